//! Changing what a running pod may use: `pods/resize`.
//!
//! Upstream: `ValidatePodResize` in `pkg/apis/core/validation/validation.go`, KEP-1287.

use serde_json::{Value, json};

use super::check::{Errors, entries, has, join, list, same, text};
use super::pods;
use crate::defaults::pods::qos_class;
use crate::status::FieldError;

/// The resources that can change while a container runs.
const RESIZABLE: [&str; 2] = ["cpu", "memory"];

/// A pod whose resources are changed by their own subresource.
pub(super) fn update(errors: &mut Errors, new: &Value, old: &Value) {
    if has(
        &old["metadata"]["annotations"],
        "kubernetes.io/config.mirror",
    ) {
        let wrong = "static pods cannot be resized";
        return errors.push(FieldError::forbidden("", wrong));
    }
    let (new, old) = (&new["spec"], &old["spec"]);
    pods::spec(errors, new, "spec");
    for field in ["containers", "initContainers"] {
        if list(new, field).len() != list(old, field).len() {
            let wrong = "pod resize may not add or remove containers";
            return errors.push(FieldError::forbidden(format!("spec.{field}"), wrong));
        }
    }
    let mut renamed = false;
    for field in ["containers", "initContainers"] {
        for (index, (is, was)) in list(new, field).iter().zip(list(old, field)).enumerate() {
            let path = format!("spec.{field}[{index}]");
            if is["name"] != was["name"] {
                let wrong = "containers may not be renamed or reordered on resize";
                errors.push(FieldError::forbidden(join(&path, "name"), wrong));
                renamed = true;
                continue;
            }
            nothing_removed(errors, is, was, &join(&path, "resources"));
            let fixed = field == "initContainers" && was["restartPolicy"] != "Always";
            if fixed && !same(&is["resources"], &was["resources"]) {
                let wrong = "resources for non-sidecar init containers are immutable";
                errors.push(FieldError::forbidden(join(&path, "resources"), wrong));
            }
        }
    }
    let (class, class_was) = (qos_class(new), qos_class(old));
    if class != class_was {
        let wrong = "Pod QOS Class may not change as a result of resizing";
        errors.push(FieldError::invalid("spec", &json!(class), wrong));
    }
    if !renamed && !same(&without_resizable(new, old), old) {
        let wrong = "only cpu and memory resources are mutable";
        errors.push(FieldError::forbidden("spec", wrong));
    }
}

/// What is limited stays limited, what is asked for stays asked for.
fn nothing_removed(errors: &mut Errors, new: &Value, old: &Value, path: &str) {
    for field in ["limits", "requests"] {
        let removed = entries(&old["resources"], field)
            .any(|(name, _)| RESIZABLE.contains(&name) && !has(&new["resources"][field], name));
        if removed {
            let wrong = format!("resource {field} cannot be removed");
            errors.push(FieldError::forbidden(join(path, field), wrong));
        }
    }
}

/// The new spec with what may change put back to what it was.
fn without_resizable(new: &Value, old: &Value) -> Value {
    let mut rest = new.clone();
    for field in ["containers", "initContainers"] {
        let before = list(old, field);
        for (container, was) in rest[field].as_array_mut().into_iter().flatten().zip(before) {
            for list in ["limits", "requests"] {
                let amounts = &mut container["resources"][list];
                for name in RESIZABLE {
                    let was = &was["resources"][list][name];
                    match amounts.as_object_mut() {
                        Some(amounts) if was.is_null() => {
                            amounts.remove(name);
                        }
                        _ if was.is_null() => {}
                        _ => amounts[name] = was.clone(),
                    }
                }
            }
        }
    }
    rest
}

/// How a container takes a change of each resource.
pub(super) fn policies(errors: &mut Errors, container: &Value, path: &str, restarts: bool) {
    let mut seen = Vec::new();
    for (index, policy) in list(container, "resizePolicy").iter().enumerate() {
        let path = format!("{path}.resizePolicy[{index}]");
        let resource = text(policy, "resourceName");
        if seen.contains(&resource) {
            errors.push(FieldError::duplicate(path.clone(), &policy["resourceName"]));
        }
        seen.push(resource);
        if !RESIZABLE.contains(&resource) {
            let at = join(&path, "resourceName");
            errors.push(FieldError::not_supported(
                at,
                &policy["resourceName"],
                &RESIZABLE,
            ));
        }
        let at = join(&path, "restartPolicy");
        match text(policy, "restartPolicy") {
            "" => errors.push(FieldError::required(at, "")),
            "NotRequired" => {}
            "RestartContainer" if restarts => {}
            "RestartContainer" => {
                let wrong = "must be 'NotRequired' when `restartPolicy` is 'Never'";
                errors.push(FieldError::invalid(at, &policy["restartPolicy"], wrong));
            }
            _ => errors.push(FieldError::not_supported(
                at,
                &policy["restartPolicy"],
                &["NotRequired", "RestartContainer"],
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::by_kind;
    use crate::validation::{validate_ephemeral_containers_update, validate_resize};
    use crate::{defaults::apply_defaults, registry::strategy::prepare_update, status::FieldError};

    fn pod() -> Value {
        let mut pod = json!({
            "metadata": {"name": "p", "namespace": "ns", "generation": 1},
            "spec": {
                "initContainers": [{"name": "i", "image": "a"}],
                "containers": [
                    {"name": "c1", "image": "a", "resources": {
                        "requests": {"cpu": "20m", "memory": "20Mi"}, "limits": {"cpu": "30m"},
                    }},
                    {"name": "c2", "image": "a"},
                ],
            },
        });
        apply_defaults(by_kind("", "v1", "Pod").expect("is served"), &mut pod);
        pod
    }

    /// What is said of a pod in which fields of the spec were set through the subresource.
    fn check(subresource: &str, changes: &[(&str, Value)]) -> Result<Value, Vec<String>> {
        let resource = by_kind("", "v1", "Pod").expect("is served");
        let old = pod();
        let mut new = old.clone();
        for (pointer, value) in changes {
            let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
            let parent = new["spec"].pointer_mut(parent).expect(pointer);
            match value {
                Value::Null => drop(parent.as_object_mut().expect("a map").remove(key)),
                value => parent[key] = value.clone(),
            }
        }
        apply_defaults(resource, &mut new);
        prepare_update(resource, subresource, &mut new, &old);
        let errors = match subresource {
            "resize" => validate_resize(&new, &old),
            _ => validate_ephemeral_containers_update(&new, &old),
        };
        let said = |error: &FieldError| format!("{}: {}", error.field, error.message);
        if errors.is_empty() {
            Ok(new)
        } else {
            Err(errors.iter().map(said).collect())
        }
    }

    #[test]
    fn cpu_and_memory_change_and_nothing_else() {
        let request = "/containers/0/resources/requests";
        let more = json!({"cpu": "25m", "memory": "25Mi"});
        let new = check("resize", &[(request, more.clone())]).expect("is allowed");
        assert_eq!(new["spec"]["containers"][0]["resources"]["requests"], more);
        assert_eq!(new["metadata"]["generation"], 2);

        // What is no resource is not looked at.
        let image = ("/containers/0/image", json!("b"));
        let new = check("resize", &[image]).expect("is dropped");
        assert_eq!(
            (&new["spec"], &new["metadata"]),
            (&pod()["spec"], &pod()["metadata"])
        );

        let refused = [
            (
                "/containers/0/resources/limits/cpu",
                Value::Null,
                "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
            ),
            (
                "/containers/0/resources/requests/memory",
                Value::Null,
                "spec.containers[0].resources.requests: Forbidden: resource requests cannot be \
                 removed",
            ),
            (
                "/containers/0/resources/limits/ephemeral-storage",
                json!("1Gi"),
                "spec: Forbidden: only cpu and memory resources are mutable",
            ),
            (
                "/containers/0/name",
                json!("new"),
                "spec.containers[0].name: Forbidden: containers may not be renamed or reordered \
                 on resize",
            ),
            (
                "/initContainers/0/resources",
                json!({"requests": {"cpu": "1m"}}),
                "spec.initContainers[0].resources: Forbidden: resources for non-sidecar init \
                 containers are immutable",
            ),
            (
                "/containers/0/resources/requests/cpu",
                json!("1"),
                "spec.containers[0].resources.requests: Invalid value: \"1\": must be less than \
                 or equal to cpu limit of 30m",
            ),
        ];
        for (pointer, value, expected) in refused {
            let said = check("resize", &[(pointer, value)]).expect_err(pointer);
            assert!(said.contains(&expected.to_owned()), "{pointer}: {said:?}");
        }
    }

    #[test]
    fn a_pod_keeps_its_quality_of_service() {
        let full = json!({"cpu": "30m", "memory": "20Mi"});
        let all = json!({"requests": full, "limits": full});
        let changes = [0, 1].map(|index| (format!("/containers/{index}/resources"), all.clone()));
        let mut changes: Vec<_> = changes
            .iter()
            .map(|(p, v)| (p.as_str(), v.clone()))
            .collect();
        changes.push(("/initContainers/0/resources", all.clone()));
        let said = check("resize", &changes).expect_err("is another class");
        let expected = "spec: Invalid value: \"Guaranteed\": Pod QOS Class may not change as a \
                        result of resizing";
        assert!(said.contains(&expected.to_owned()), "{said:?}");
    }

    #[test]
    fn an_ephemeral_container_is_a_guest() {
        let guest = |more: Value| {
            let mut guest = json!({"name": "debug", "image": "a", "targetContainerName": "c1"});
            for (key, value) in more.as_object().expect("a map") {
                guest[key] = value.clone();
            }
            ("/ephemeralContainers", json!([guest]))
        };
        let new = check("ephemeralcontainers", &[guest(json!({}))]).expect("is allowed");
        assert_eq!(
            new["spec"]["ephemeralContainers"][0]["imagePullPolicy"],
            "Always"
        );
        assert_eq!(new["metadata"]["generation"], 2);
        let at = "spec.ephemeralContainers[0]";
        for (more, expected) in [
            (
                json!({"targetContainerName": "no"}),
                format!("{at}.targetContainerName: Not found: \"no\""),
            ),
            (
                json!({"name": "c2"}),
                format!("{at}.name: Duplicate value: \"c2\""),
            ),
            (
                json!({"ports": [{"containerPort": 80, "protocol": "TCP"}]}),
                format!("{at}.ports: Forbidden: cannot be set for an Ephemeral Container"),
            ),
            (
                json!({"resources": {"limits": {"cpu": "1"}}}),
                format!("{at}.resources: Forbidden: cannot be set for an Ephemeral Container"),
            ),
        ] {
            let said = check("ephemeralcontainers", &[guest(more)]).expect_err(&expected);
            assert_eq!(said, [expected]);
        }
    }
}
