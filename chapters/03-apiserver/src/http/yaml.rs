//! Answers as YAML: in blocks, with quotes where a text could be read as something else.

use std::fmt::Write;

use serde_json::Value;

/// A value as YAML, with a line break at its end.
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => entries(&mut out, value, 0),
        Value::Array(list) if !list.is_empty() => entries(&mut out, value, 0),
        scalar => out.push_str(&plain(scalar)),
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// The entries of a map or list that is not empty, each on lines of its own.
fn entries(out: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let _ = write!(out, "{indent}{}:", text(key));
                after(out, value, depth + usize::from(value.is_object()));
            }
        }
        Value::Array(list) => {
            for value in list {
                let begin = out.len();
                if is_block(value) {
                    // The first line of what is inside begins on the line of the dash.
                    entries(out, value, depth + 1);
                    out.replace_range(begin..begin + indent.len() + 2, &format!("{indent}- "));
                } else {
                    let _ = writeln!(out, "{indent}- {}", plain(value));
                }
            }
        }
        _ => {}
    }
}

fn after(out: &mut String, value: &Value, depth: usize) {
    if is_block(value) {
        out.push('\n');
        entries(out, value, depth);
    } else {
        let _ = writeln!(out, " {}", plain(value));
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    }
}

/// What fits on the line. JSON is YAML, so whatever is not plain text stays as it is.
fn plain(value: &Value) -> String {
    match value {
        Value::String(value) => text(value),
        other => other.to_string(),
    }
}

/// A text, in quotes unless it can only be read as that text.
fn text(text: &str) -> String {
    // Words that mean something else, in YAML 1.1 too.
    const WORDS: &[&str] = &["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let is_word = WORDS.contains(&text.to_ascii_lowercase().as_str());
    if begins && text.chars().all(is_plain) && !is_word {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn writes_blocks() {
        let value = json!({"kind": "Pod", "metadata": {"labels": {"a/b": "no", "c": "1"}},
            "items": [{"name": "x", "args": ["-c", "d: e"]}, {}, [1, [true]]], "none": null});
        let expected = "items:\n- args:\n  - \"-c\"\n  - \"d: e\"\n  name: x\n- {}\n- - 1\n  - - true\n\
            kind: Pod\nmetadata:\n  labels:\n    a/b: \"no\"\n    c: \"1\"\nnone: null\n";
        assert_eq!(write(&value), expected);
        assert_eq!(write(&json!({})), "{}\n");
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[ -~]{0,8}".prop_map(Value::from),
            "[a-z/._-]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ -~]{1,6}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in values()) {
            let read: Value = serde_saphyr::from_str(&write(&value)).expect("is YAML");
            prop_assert_eq!(read, value);
        }
    }
}
