//! Priority and DefaultTolerationSeconds: what a new pod is worth, and how patient it is.

use serde_json::{Value, json};

use super::{Lookup, Operation, Request};
use crate::status::ApiError;

const PREEMPT: &str = "PreemptLowerPriority";

/// Writes the number of the pod's priority class into it. Nobody sets the number by hand: that
/// would be a way around who may use which class.
pub(super) fn priority(request: &mut Request, lookup: &dyn Lookup) -> Result<(), ApiError> {
    let Some(pod) = request.object.as_deref_mut() else {
        return Ok(());
    };
    let spec = &mut pod["spec"];
    let named = spec["priorityClassName"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let class = if named.is_empty() {
        default_class(lookup)
    } else {
        match lookup.get("priorityclasses", "", &named) {
            Some(class) => Some(class),
            None => {
                let why = format!("no PriorityClass with name {named} was found");
                return Err(request.forbidden(why));
            }
        }
    };
    let class = class.unwrap_or_default();
    let value = class["value"].as_i64().unwrap_or(0);
    let policy = class["preemptionPolicy"].as_str().unwrap_or(PREEMPT);
    let (given_value, given_policy) = (spec["priority"].clone(), spec["preemptionPolicy"].clone());
    if given_value.as_i64().is_some_and(|given| given != value) {
        return Err(request.forbidden(format!(
            "the integer value of priority ({given_value}) must not be provided in pod spec; \
             priority admission controller computed {value} from the given PriorityClass name"
        )));
    }
    if let Some(given) = given_policy.as_str().filter(|given| *given != policy) {
        return Err(request.forbidden(format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; \
             priority admission controller computed {policy} from the given PriorityClass name"
        )));
    }
    if let Some(name) = class["metadata"]["name"].as_str() {
        spec["priorityClassName"] = json!(name);
    }
    spec["priority"] = json!(value);
    spec["preemptionPolicy"] = json!(policy);
    Ok(())
}

/// The class of pods that name none: the one marked so, the lowest if several are.
fn default_class(lookup: &dyn Lookup) -> Option<Value> {
    let classes = lookup.list("priorityclasses", "").into_iter();
    let defaults = classes.filter(|class| class["globalDefault"] == true);
    defaults.min_by_key(|class| class["value"].as_i64())
}

/// One class at most is the default.
pub(super) fn one_default_class(request: &Request, lookup: &dyn Lookup) -> Result<(), ApiError> {
    let group = "scheduling.k8s.io";
    let is_write = request.is(Operation::Create, group, "priorityclasses")
        || request.is(Operation::Update, group, "priorityclasses");
    let is_default = |class: &Value| class["globalDefault"] == true;
    if !is_write || !request.object.as_deref().is_some_and(is_default) {
        return Ok(());
    }
    let name = |class: &Value| {
        class["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let new = request.object.as_deref().map(name).unwrap_or_default();
    match default_class(lookup).map(|class| name(&class)) {
        Some(other) if other != new => Err(request.forbidden(format!(
            "PriorityClass {other} is already marked as default. Only one default can exist"
        ))),
        _ => Ok(()),
    }
}

/// Lets a pod stay for a while on a node with this taint, unless it says itself for how long.
pub fn tolerate(pod: &mut Value, taint: &str, seconds: i64) {
    // ANCHOR: exercise-03.7
    let tolerations = &mut pod["spec"]["tolerations"];
    let is_said = |toleration: &Value| {
        let is_or_any = |key: &str, value: &str| {
            let said = toleration[key].as_str().unwrap_or_default();
            said.is_empty() || said == value
        };
        is_or_any("key", taint) && is_or_any("effect", "NoExecute")
    };
    if tolerations.as_array().into_iter().flatten().any(is_said) {
        return;
    }
    let toleration = json!({
        "key": taint,
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": seconds,
    });
    match tolerations.as_array_mut() {
        Some(list) => list.push(toleration),
        None => *tolerations = json!([toleration]),
    }
    // ANCHOR_END: exercise-03.7
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::tests::{World, create};

    fn class(name: &str, value: i64, default: bool) -> Value {
        json!({"metadata": {"name": name}, "value": value, "globalDefault": default})
    }

    #[test]
    fn a_class_is_a_number() {
        let world = World::new()
            .with("priorityclasses", "high", class("high", 1000, false))
            .with("priorityclasses", "usual", class("usual", 10, true));
        let pod = |spec: Value| {
            let mut pod = json!({"spec": spec});
            create(&world, "Pod", &mut pod)
                .map(|()| pod["spec"].clone())
                .map_err(|e| e.message)
        };
        let high = pod(json!({"priorityClassName": "high"})).expect("admitted");
        assert_eq!(
            (&high["priority"], &high["preemptionPolicy"]),
            (&json!(1000), &json!(PREEMPT))
        );
        let usual = pod(json!({})).expect("admitted");
        assert_eq!(
            (&usual["priority"], &usual["priorityClassName"]),
            (&json!(10), &json!("usual"))
        );
        assert_eq!(
            pod(json!({"priorityClassName": "none"})),
            Err("pods \"x\" is forbidden: no PriorityClass with name none was found".into())
        );
        let by_hand = pod(json!({"priority": 5})).expect_err("a number by hand");
        assert!(
            by_hand.contains("computed 10 from the given PriorityClass name"),
            "{by_hand}"
        );
        let mut second = class("x", 1, true);
        let error = create(&world, "PriorityClass", &mut second).expect_err("a second default");
        assert!(
            error
                .message
                .ends_with("usual is already marked as default. Only one default can exist")
        );
    }

    #[test]
    fn own_patience_stays() {
        let mut pod = json!({"spec": {"tolerations": [{"operator": "Exists"}]}});
        tolerate(&mut pod, "node.kubernetes.io/not-ready", 300);
        assert_eq!(pod["spec"]["tolerations"].as_array().map(Vec::len), Some(1));
    }
}
