//! RuntimeClass: what a pod costs beyond its containers, and which nodes can run it.
//!
//! Upstream: `plugin/pkg/admission/runtimeclass/admission.go`,
//! `pkg/util/tolerations/tolerations.go`.

use serde_json::{Value, json};

use super::{Lookup, Request};
use crate::status::ApiError;
use crate::validation::same;

/// Writes into a new pod what its class says. Nobody sets the overhead by hand: nodes are filled
/// by it.
pub(super) fn admit(request: &mut Request, lookup: &dyn Lookup) -> Result<(), ApiError> {
    let Some(pod) = request.object.as_deref_mut() else {
        return Ok(());
    };
    let spec = &mut pod["spec"];
    let written = match spec["runtimeClassName"].as_str() {
        None => write(spec, &Value::Null),
        Some(name) => match lookup.get("runtimeclasses", "", name) {
            Some(class) => write(spec, &class),
            None => Err(format!("pod rejected: RuntimeClass {name:?} not found")),
        },
    };
    written.map_err(|why| request.forbidden(why))
}

fn write(spec: &mut Value, class: &Value) -> Result<(), String> {
    let overhead = &class["overhead"];
    let given = &spec["overhead"];
    if overhead.is_null() && !given.is_null() {
        let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined \
                   Overhead";
        return Err(why.to_owned());
    }
    if !overhead.is_null() {
        if !given.is_null() && !same(given, &overhead["podFixed"]) {
            let why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
            return Err(why.to_owned());
        }
        spec["overhead"] = overhead["podFixed"].clone();
    }
    let scheduling = &class["scheduling"];
    select_nodes(spec, &scheduling["nodeSelector"])?;
    if let Some(more) = scheduling["tolerations"].as_array() {
        let own = spec["tolerations"].as_array().cloned().unwrap_or_default();
        spec["tolerations"] = json!(merged(&own, more));
    }
    Ok(())
}

/// A pod of the class runs where both its own selector and the class's say.
fn select_nodes(spec: &mut Value, wanted: &Value) -> Result<(), String> {
    for (key, value) in wanted.as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        match spec["nodeSelector"][key].as_str() {
            Some(own) if own != value => {
                return Err(format!(
                    "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; \
                     pod.spec.nodeSelector[{key}] = {own}"
                ));
            }
            _ => spec["nodeSelector"][key] = json!(value),
        }
    }
    Ok(())
}

/// Both lists in one, without what another of them tolerates already.
fn merged(first: &[Value], second: &[Value]) -> Vec<Value> {
    let all: Vec<&Value> = first.iter().chain(second).collect();
    let mut merged: Vec<Value> = Vec::new();
    for (index, toleration) in all.iter().enumerate() {
        let before = merged.iter().any(|other| covers(other, toleration));
        let after = all[index + 1..]
            .iter()
            .any(|other| other != toleration && covers(other, toleration));
        if !before && !after {
            merged.push((*toleration).clone());
        }
    }
    merged
}

/// Whether whatever `narrow` tolerates, `wide` does too, and as long.
fn covers(wide: &Value, narrow: &Value) -> bool {
    let text = |toleration: &Value, key: &str| {
        let text = toleration[key].as_str().unwrap_or_default();
        text.to_owned()
    };
    let is_same = |key: &str| text(wide, key) == text(narrow, key);
    if same(wide, narrow) {
        return true;
    }
    let wide_operator = text(wide, "operator");
    let every_key = text(wide, "key").is_empty() && wide_operator == "Exists";
    let every_effect = text(wide, "effect").is_empty();
    if !(is_same("key") || every_key) || !(is_same("effect") || every_effect) {
        return false;
    }
    let seconds = |toleration: &Value| toleration["tolerationSeconds"].as_i64();
    if let (true, Some(wide)) = (text(wide, "effect") == "NoExecute", seconds(wide))
        && seconds(narrow).is_none_or(|narrow| narrow > wide)
    {
        return false;
    }
    match wide_operator.as_str() {
        "" | "Equal" => text(narrow, "operator") == "Equal" && is_same("value"),
        "Exists" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::tests::{World, create};

    fn admitted(class: &Value, spec: Value) -> Result<Value, String> {
        let world = World::new().with("runtimeclasses", "x", class.clone());
        let mut pod = json!({ "spec": spec });
        match create(&world, "Pod", &mut pod) {
            Ok(()) => Ok(pod["spec"].take()),
            Err(error) => Err(error.message),
        }
    }

    fn said(class: &Value, spec: Value) -> String {
        let said = admitted(class, spec).expect_err("not admitted");
        said.trim_start_matches("pods \"x\" is forbidden: ")
            .to_owned()
    }

    #[test]
    fn the_overhead_is_the_class_s() {
        let class = json!({ "handler": "h", "overhead": { "podFixed": { "cpu": "10m" } } });
        let pod = json!({ "runtimeClassName": "x" });
        assert_eq!(
            admitted(&class, pod).unwrap()["overhead"],
            json!({ "cpu": "10m" })
        );
        let pod = json!({ "runtimeClassName": "x", "overhead": { "cpu": "20m" } });
        assert_eq!(
            said(&class, pod),
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
        );
        let alone = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined \
                     Overhead";
        assert_eq!(said(&class, json!({ "overhead": { "cpu": "10m" } })), alone);
        let free = json!({ "handler": "h" });
        let pod = json!({ "runtimeClassName": "x", "overhead": { "cpu": "10m" } });
        assert_eq!(said(&free, pod), alone);
        let pod = admitted(&free, json!({ "runtimeClassName": "x" })).unwrap();
        assert_eq!(
            pod.get("overhead").filter(|overhead| !overhead.is_null()),
            None
        );
    }

    #[test]
    fn a_class_that_is_not_there() {
        let pod = json!({ "runtimeClassName": "other" });
        let expected = "pod rejected: RuntimeClass \"other\" not found";
        assert_eq!(said(&json!({}), pod), expected);
    }

    #[test]
    fn nodes_are_those_of_both() {
        let class = json!({ "handler": "h", "scheduling": {
            "nodeSelector": { "disk": "ssd" },
            "tolerations": [{ "key": "vm", "operator": "Exists" }],
        } });
        let pod = json!({
            "runtimeClassName": "x",
            "nodeSelector": { "zone": "a" },
            "tolerations": [
                { "key": "vm", "operator": "Equal", "value": "1", "effect": "NoSchedule" },
                { "key": "own", "operator": "Exists" },
            ],
        });
        let pod = admitted(&class, pod).unwrap();
        assert_eq!(pod["nodeSelector"], json!({ "disk": "ssd", "zone": "a" }));
        let keys: Vec<&Value> = pod["tolerations"].as_array().unwrap().iter().collect();
        let keys: Vec<&str> = keys.iter().filter_map(|it| it["key"].as_str()).collect();
        let expected = [
            "own",
            "node.kubernetes.io/not-ready",
            "node.kubernetes.io/unreachable",
            "vm",
        ];
        assert_eq!(keys, expected, "the class tolerates more than the pod did");
        let pod = json!({ "runtimeClassName": "x", "nodeSelector": { "disk": "hdd" } });
        assert_eq!(
            said(&class, pod),
            "conflict: runtimeClass.scheduling.nodeSelector[disk] = ssd; \
             pod.spec.nodeSelector[disk] = hdd"
        );
    }

    #[test]
    fn a_toleration_covers_another() {
        let of = |key: &str, operator: &str, seconds: Option<i64>| {
            json!({ "key": key, "operator": operator, "effect": "NoExecute",
                    "tolerationSeconds": seconds })
        };
        assert!(covers(&of("a", "Exists", None), &of("a", "Equal", Some(5))));
        assert!(!covers(
            &of("a", "Exists", Some(5)),
            &of("a", "Equal", None)
        ));
        assert!(covers(
            &of("a", "Exists", Some(5)),
            &of("a", "Exists", Some(4))
        ));
        assert!(covers(&of("", "Exists", None), &of("a", "Exists", None)));
        assert!(!covers(&of("b", "Exists", None), &of("a", "Exists", None)));
        assert!(!covers(&of("a", "Equal", None), &of("a", "Exists", None)));
    }
}
