//! Whether a definition's names are free, and so whether it is served.
//!
//! ```text
//!  created ─▶ NamesAccepted=True ─▶ Established=True ─▶ served
//!        └──▶ NamesAccepted=False: another definition of the group has a name;
//!             looked at again when one changes or goes
//! ```
//!
//! Upstream: `apiextensions-apiserver/pkg/controller/status/naming_controller.go`,
//! `pkg/controller/establish`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// The names that others of the group have been given: of resources, and of kinds.
#[derive(Debug, Default)]
pub struct Taken {
    resources: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

impl Taken {
    /// The names of these definitions.
    pub fn by<'a>(definitions: impl Iterator<Item = &'a Value>) -> Taken {
        let mut taken = Taken::default();
        for definition in definitions {
            let names = &definition["status"]["acceptedNames"];
            let short = names["shortNames"].as_array().into_iter().flatten();
            let resources = short.chain([&names["plural"], &names["singular"]]);
            taken.resources.extend(texts(resources));
            taken
                .kinds
                .extend(texts([&names["kind"], &names["listKind"]].into_iter()));
        }
        taken
    }
}

fn texts<'a>(values: impl Iterator<Item = &'a Value>) -> impl Iterator<Item = String> {
    let texts = values
        .filter_map(Value::as_str)
        .filter(|text| !text.is_empty());
    texts.map(str::to_owned)
}

/// The status that a definition should have, if it is another one than it has.
pub fn settle(definition: &Value, taken: &Taken, now: &str) -> Option<Value> {
    let (accepted, naming) = name(definition, taken);
    let mut settled = definition.clone();
    settled["status"]["acceptedNames"] = accepted;
    let named = naming["status"] == "True";
    set_condition(&mut settled, naming, now);
    if !has(&settled, "Established") {
        let established = match named {
            true => (
                "True",
                "InitialNamesAccepted",
                "the initial names have been accepted",
            ),
            false => ("False", "NotAccepted", "not all names are accepted"),
        };
        set_condition(&mut settled, condition("Established", established), now);
    }
    (settled["status"] != definition["status"]).then_some(settled)
}

fn has(definition: &Value, kind: &str) -> bool {
    crate::resources::has_condition(definition, kind)
}

/// The names that it gets, and how that is told.
fn name(definition: &Value, taken: &Taken) -> (Value, Value) {
    let (wanted, had) = (
        &definition["spec"]["names"],
        &definition["status"]["acceptedNames"],
    );
    let mut accepted = if had.is_object() {
        had.clone()
    } else {
        json!({})
    };
    let mut conflict = None;
    let mut claim = |field: &str, reason: &'static str, taken: &BTreeSet<String>| {
        let name = wanted[field].as_str().unwrap_or_default();
        if wanted[field] != had[field] && taken.contains(name) {
            conflict = Some((reason, format!("{name:?} is already in use")));
        } else {
            accepted[field] = name.into();
        }
    };
    claim("plural", "PluralConflict", &taken.resources);
    claim("singular", "SingularConflict", &taken.resources);
    claim("kind", "KindConflict", &taken.kinds);
    claim("listKind", "ListKindConflict", &taken.kinds);
    let short = wanted["shortNames"].as_array().into_iter().flatten();
    let mine = |name: &&Value| {
        had["shortNames"]
            .as_array()
            .is_some_and(|all| all.contains(name))
    };
    let used: Vec<String> = short
        .filter(|name| !mine(name))
        .filter_map(Value::as_str)
        .filter(|name| taken.resources.contains(*name))
        .map(|name| format!("{name:?} is already in use"))
        .collect();
    match used.as_slice() {
        [] => carry(wanted, &mut accepted, "shortNames"),
        [one] => conflict = Some(("ShortNamesConflict", one.clone())),
        many => conflict = Some(("ShortNamesConflict", format!("[{}]", many.join(", ")))),
    }
    carry(wanted, &mut accepted, "categories");
    let naming = match conflict {
        None => condition(
            "NamesAccepted",
            ("True", "NoConflicts", "no conflicts found"),
        ),
        Some((reason, message)) => condition("NamesAccepted", ("False", reason, &message)),
    };
    (accepted, naming)
}

fn carry(from: &Value, to: &mut Value, field: &str) {
    crate::registry::meta::carry(from, to, field);
}

/// A condition: its status, reason and message.
pub fn condition(kind: &str, (status, reason, message): (&str, &str, &str)) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message})
}

/// Puts a condition into a status; its time stays as long as its status does.
pub fn set_condition(definition: &mut Value, mut condition: Value, now: &str) {
    let conditions = &mut definition["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Some(conditions) = conditions.as_array_mut() else {
        return;
    };
    let old = conditions
        .iter_mut()
        .find(|old| old["type"] == condition["type"]);
    condition["lastTransitionTime"] = now.into();
    match old {
        None => conditions.push(condition),
        Some(old) => {
            if old["status"] == condition["status"] {
                condition["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            *old = condition;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-01T00:00:00Z";

    fn definition(kind: &str, short: &str) -> Value {
        let plural = format!("{}s", kind.to_lowercase());
        json!({"spec": {"group": "example.com", "names": {"kind": kind, "listKind": format!("{kind}List"),
            "plural": plural, "singular": kind.to_lowercase(), "shortNames": [short]}}, "status": {}})
    }

    fn told(definition: &Value) -> Vec<String> {
        let conditions = definition["status"]["conditions"]
            .as_array()
            .expect("has some");
        let told = conditions.iter().map(|c| {
            format!(
                "{}={} {}: {}",
                c["type"], c["status"], c["reason"], c["message"]
            )
        });
        told.map(|text| text.replace('"', "")).collect()
    }

    #[test]
    fn names_that_are_free_are_given() {
        let settled = settle(&definition("Tab", "t"), &Taken::default(), NOW).expect("changes");
        assert_eq!(
            told(&settled),
            [
                "NamesAccepted=True NoConflicts: no conflicts found",
                "Established=True InitialNamesAccepted: the initial names have been accepted",
            ]
        );
        assert_eq!(settled["status"]["acceptedNames"], settled["spec"]["names"]);
        assert_eq!(settle(&settled, &Taken::default(), NOW), None);
    }

    #[test]
    fn names_that_others_have_are_not_given() {
        let first = settle(&definition("Tab", "t"), &Taken::default(), NOW).expect("changes");
        let taken = Taken::by([&first].into_iter());
        let second = settle(&definition("Table", "t"), &taken, NOW).expect("changes");
        assert_eq!(
            told(&second),
            [
                "NamesAccepted=False ShortNamesConflict: \\t\\ is already in use",
                "Established=False NotAccepted: not all names are accepted",
            ]
        );
        assert_eq!(second["status"]["acceptedNames"].get("shortNames"), None);
        // Once the other is gone, it gets them.
        let third = settle(&second, &Taken::default(), NOW).expect("changes");
        assert_eq!(
            told(&third)[1],
            "Established=True InitialNamesAccepted: the initial names have been accepted"
        );
    }
}
