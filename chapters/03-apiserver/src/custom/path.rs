//! Where in an object a walk is, in the two ways in which that is told.

/// A step down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Into a field, or a key of a map.
    Key(String),
    /// Into an entry of a list.
    Index(usize),
}

/// `spec.ports[0].name`
pub(super) fn show(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text.push_str(&format!(".{key}")),
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

/// `spec.ports[0]` and a field of it.
pub(super) fn below(steps: &[Step], field: &str) -> String {
    match steps {
        [] => field.to_owned(),
        _ => format!("{}.{field}", show(steps)),
    }
}
