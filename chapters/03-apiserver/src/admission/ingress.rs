//! DefaultIngressClass: an Ingress that names no class is of the cluster's default one.
//!
//! Upstream: `plugin/pkg/admission/network/defaultingressclass/admission.go`.

use super::{Lookup, Operation, Request};

const IS_DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
/// How an Ingress named its class before there was a field for it.
const CLASS: &str = "kubernetes.io/ingress.class";

pub(super) fn default_class(request: &mut Request, lookup: &dyn Lookup) {
    if !request.is(Operation::Create, "networking.k8s.io", "ingresses") {
        return;
    }
    let Some(ingress) = request.object.as_deref_mut() else {
        return;
    };
    let is_said = ingress["spec"]["ingressClassName"].is_string()
        || ingress["metadata"]["annotations"][CLASS].is_string();
    if is_said {
        return;
    }
    let mut classes = lookup.list("ingressclasses", "");
    classes.retain(|class| class["metadata"]["annotations"][IS_DEFAULT] == "true");
    let text = |class: &serde_json::Value, field: &str| {
        let text = class["metadata"][field].as_str();
        text.unwrap_or_default().to_owned()
    };
    // Of several the newest counts, then the first by name.
    let newest = classes.iter().max_by(|a, b| {
        let made = |class| text(class, "creationTimestamp");
        let by_name = || text(b, "name").cmp(&text(a, "name"));
        made(a).cmp(&made(b)).then_with(by_name)
    });
    if let Some(class) = newest {
        ingress["spec"]["ingressClassName"] = class["metadata"]["name"].clone();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::admission::tests::{World, create};

    #[test]
    fn an_ingress_is_of_the_default_class() {
        let class = |name: &str, made: &str, default: &str| {
            json!({"metadata": {"name": name, "creationTimestamp": made,
                "annotations": {IS_DEFAULT: default}}})
        };
        let world = World::new()
            .with(
                "ingressclasses",
                "a",
                class("a", "2026-01-01T00:00:00Z", "true"),
            )
            .with(
                "ingressclasses",
                "b",
                class("b", "2026-01-02T00:00:00Z", "true"),
            )
            .with(
                "ingressclasses",
                "c",
                class("c", "2026-01-03T00:00:00Z", "false"),
            );
        let check = |mut ingress: Value, expected: Value| {
            create(&world, "Ingress", &mut ingress).expect("is admitted");
            assert_eq!(ingress["spec"]["ingressClassName"], expected);
        };
        check(json!({"spec": {}}), json!("b"));
        check(json!({"spec": {"ingressClassName": "x"}}), json!("x"));
        let noted = json!({"metadata": {"annotations": {CLASS: "old"}}, "spec": {}});
        check(noted, Value::Null);
    }
}
