//! Defaults: what an object means by what it leaves out, written into it.
//!
//! A client writes little and reads all of it: the server fills in every field that has a
//! meaning when absent, so that nobody else needs to know what that is, and so that a later
//! version's other default can't change what is stored. Applying them twice changes nothing.
//!
//! | file | of what |
//! | --- | --- |
//! | [`pods`] | pods, and the pod templates in everything else |
//! | [`services`] | Services, Endpoints, EndpointSlices |
//! | `admission`, `flowcontrol`, [`devices`] | webhooks and policies; levels of priority; claims |
//! | `storage` | volumes, claims, and classes of both |
//! | `networking` | network policies, classes of Ingresses |
//! | `workloads` | what else keeps pods, and limits of them |
//! | this one | the rest |
//!
//! The second half of what is written for the client, [`prepare_for_create`], is what a new
//! object starts with whatever the client says: its status.
//!
//! Upstream: `pkg/apis/*/v1/defaults.go`; `pkg/registry/*/*/strategy.go`.

mod admission;
mod autoscaling;
pub mod devices;
mod flowcontrol;
mod networking;
pub mod pods;
pub mod services;
mod storage;
mod workloads;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::custom;
use crate::resources::Resource;

/// Fills in what is left out. Objects must have been checked for the types of their fields;
/// where one has a wrong type, that field is left as it is.
pub fn apply_defaults(resource: &Resource, object: &mut Value) {
    match (resource.group, resource.plural) {
        ("", "pods") => pods::pod(object),
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            custom::definition::defaults(object)
        }
        ("", "services") => services::service(object),
        ("", "endpoints") => services::endpoints(object),
        ("discovery.k8s.io", "endpointslices") => services::endpoint_slice(object),
        ("", "namespaces") => namespace(object),
        ("", "nodes") => node(object),
        ("", "limitranges") => workloads::limit_range(object),
        ("", "podtemplates") => workloads::pod_template(object),
        ("", "replicationcontrollers") => workloads::replication_controller(object),
        ("", "persistentvolumes") => storage::volume(object),
        ("", "persistentvolumeclaims") => storage::claim(object),
        ("", "secrets") => secret(object),
        ("admissionregistration.k8s.io", plural) => match plural {
            "mutatingwebhookconfigurations" => admission::webhooks(object, true),
            "validatingwebhookconfigurations" => admission::webhooks(object, false),
            "mutatingadmissionpolicies" | "validatingadmissionpolicies" => {
                admission::policy(object);
            }
            _ => admission::binding(object),
        },
        ("apiregistration.k8s.io", _) => api_service(object),
        ("apps", "deployments") => deployment(object),
        ("apps", "replicasets") => replica_set(object),
        ("apps", "daemonsets") => workloads::daemon_set(object),
        ("apps", "statefulsets") => workloads::stateful_set(object),
        ("autoscaling", _) => autoscaling::autoscaler(object),
        ("batch", "jobs") => workloads::job(object),
        ("networking.k8s.io", "networkpolicies") => networking::network_policy(object),
        ("networking.k8s.io", "ingressclasses") => networking::ingress_class(object),
        ("batch", "cronjobs") => workloads::cron_job(object),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => binding(object),
        ("scheduling.k8s.io", "priorityclasses") => {
            or_set(object, "preemptionPolicy", "PreemptLowerPriority");
        }
        ("flowcontrol.apiserver.k8s.io", "flowschemas") => flowcontrol::flow_schema(object),
        ("flowcontrol.apiserver.k8s.io", _) => flowcontrol::priority_level(object),
        ("resource.k8s.io", "resourceclaims") => devices::claim(object),
        ("resource.k8s.io", "resourceclaimtemplates") => devices::template(object),
        ("storage.k8s.io", "storageclasses") => storage::class(object),
        ("storage.k8s.io", "csidrivers") => storage::driver(object),
        _ => {}
    }
}

/// Sets what a new object starts with: no status but the first one of its kind, and what only
/// the server may say. Runs before admission; clients' own words about these are dropped.
pub fn prepare_for_create(resource: &Resource, object: &mut Value) {
    if resource.plural == "customresourcedefinitions" {
        return custom::definition::prepare_create(object);
    }
    let status = match (resource.group, resource.plural) {
        ("", "pods") => json!({"phase": "Pending", "qosClass": pods::qos_class(&object["spec"])}),
        ("", "services") | ("networking.k8s.io", "ingresses") => json!({"loadBalancer": {}}),
        ("networking.k8s.io", "servicecidrs") => json!({}),
        ("autoscaling", _) => json!({"desiredReplicas": 0}),
        ("", "namespaces") => {
            // The namespace controller's hold: the namespace goes when what is in it has gone.
            let spec = child(object, "spec");
            let held = spec.get("finalizers").and_then(Value::as_array);
            if held.is_none_or(|finalizers| !finalizers.contains(&json!("kubernetes"))) {
                let mut finalizers = held.cloned().unwrap_or_default();
                finalizers.push(json!("kubernetes"));
                spec.insert("finalizers".to_owned(), finalizers.into());
            }
            json!({"phase": "Active"})
        }
        ("", "persistentvolumes") => {
            json!({"phase": "Pending", "lastPhaseTransitionTime": object["metadata"]["creationTimestamp"]})
        }
        ("", "persistentvolumeclaims") => json!({"phase": "Pending"}),
        ("storage.k8s.io", "volumeattachments") => json!({"attached": false}),
        ("certificates.k8s.io", _)
        | ("flowcontrol.apiserver.k8s.io", _)
        | ("resource.k8s.io", "resourceclaims")
        | ("admissionregistration.k8s.io", "validatingadmissionpolicies") => json!({}),
        ("apiregistration.k8s.io", _) => local_api_service(object),
        ("apps", "deployments") => json!({}),
        ("apps", "replicasets") | ("", "replicationcontrollers") => json!({"replicas": 0}),
        ("apps", "statefulsets") => json!({"replicas": 0, "availableReplicas": 0}),
        ("apps", "daemonsets") => json!({"currentNumberScheduled": 0,
            "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0}),
        ("batch", "jobs") => {
            workloads::select_own_pods(object);
            json!({})
        }
        ("batch", "cronjobs") | ("", "resourcequotas") => json!({}),
        ("policy", "poddisruptionbudgets") => json!({"disruptionsAllowed": 0,
            "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}),
        // A kubelet says in one go that its node is there and how it is.
        _ => return,
    };
    object["status"] = status;
}

/// Writes into a changed object what the server had given the old one and the client left out.
/// Runs before validation.
pub fn prepare_for_update(resource: &Resource, object: &mut Value, old: &Value) {
    if (resource.group, resource.plural) == ("", "services") {
        crate::alloc::carry_over(object, old);
    }
}

fn namespace(object: &mut Value) {
    let name = object["metadata"]["name"].clone();
    if let Some(name) = name.as_str().filter(|name| !name.is_empty()) {
        let labels = child(child_value(object, "metadata"), "labels");
        labels
            .entry("kubernetes.io/metadata.name")
            .or_insert_with(|| json!(name));
    }
    or_set_value(object, "spec", || json!({}));
}

fn node(object: &mut Value) {
    or_set_value(object, "spec", || json!({}));
    or_set_value(object, "status", || json!({}));
    let status = &mut object["status"];
    if let (Some(capacity), None) = (
        present(status, "capacity").cloned(),
        present(status, "allocatable"),
    ) {
        status["allocatable"] = capacity;
    }
}

fn secret(object: &mut Value) {
    or_set(object, "type", "Opaque");
    let Some(text) = object.as_object_mut().and_then(|o| o.remove("stringData")) else {
        return;
    };
    let Value::Object(text) = text else { return };
    let data = child(object, "data");
    for (key, value) in text {
        data.insert(
            key,
            STANDARD.encode(value.as_str().unwrap_or_default()).into(),
        );
    }
}

fn api_service(object: &mut Value) {
    let spec = child_value(object, "spec");
    if let Some(service) = existing(spec, "service") {
        or_set_value(service, "port", || json!(443));
    }
}

/// What this server serves itself can be had at once.
fn local_api_service(object: &Value) -> Value {
    if present(&object["spec"], "service").is_some() {
        return json!({});
    }
    json!({"conditions": [{
        "type": "Available",
        "status": "True",
        "reason": "Local",
        "message": "Local APIServices are always available",
        "lastTransitionTime": object["metadata"]["creationTimestamp"],
    }]})
}

fn deployment(object: &mut Value) {
    let spec = child_value(object, "spec");
    or_set_value(spec, "replicas", || json!(1));
    or_set_value(spec, "revisionHistoryLimit", || json!(10));
    or_set_value(spec, "progressDeadlineSeconds", || json!(600));
    let strategy = child_value(spec, "strategy");
    or_set(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        let rolling = child_value(strategy, "rollingUpdate");
        or_set(rolling, "maxUnavailable", "25%");
        or_set(rolling, "maxSurge", "25%");
    }
    template(object);
}

fn replica_set(object: &mut Value) {
    or_set_value(child_value(object, "spec"), "replicas", || json!(1));
    template(object);
}

fn template(object: &mut Value) {
    let template = child_value(child_value(object, "spec"), "template");
    or_set_value(template, "metadata", || json!({}));
    pods::pod_spec(child_value(template, "spec"));
}

fn binding(object: &mut Value) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    or_set(child_value(object, "roleRef"), "apiGroup", GROUP);
    for subject in items(object, "subjects") {
        if matches!(subject["kind"].as_str(), Some("User" | "Group")) {
            or_set(subject, "apiGroup", GROUP);
        }
    }
}

/// The field, unless it is absent or null.
fn present<'a>(object: &'a Value, key: &str) -> Option<&'a Value> {
    object.get(key).filter(|value| !value.is_null())
}

/// Sets a field that is absent, null or empty to a text.
fn or_set(object: &mut Value, key: &str, value: &str) {
    if present(object, key).is_none_or(|value| value == "") {
        set(object, key, value.into());
    }
}

/// Sets a field that is absent or null.
fn or_set_value(object: &mut Value, key: &str, value: impl FnOnce() -> Value) {
    if present(object, key).is_none() {
        set(object, key, value());
    }
}

fn set(object: &mut Value, key: &str, value: Value) {
    if let Value::Object(object) = object {
        object.insert(key.to_owned(), value);
    }
}

/// A field that is an object, made if it is not there.
fn child_value<'a>(object: &'a mut Value, key: &str) -> &'a mut Value {
    if !object.is_object() {
        *object = json!({});
    }
    let child = &mut object[key];
    if !child.is_object() {
        *child = json!({});
    }
    child
}

fn child<'a>(object: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    child_value(object, key)
        .as_object_mut()
        .expect("child_value gives an object")
}

/// The objects in a field that is a list; none if it is absent.
fn items<'a>(object: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    let list = object.get_mut(key).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter(|item| item.is_object())
}

/// A field that is an object, if it is there.
fn existing<'a>(object: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    object.get_mut(key).filter(|value| value.is_object())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::by_kind;

    fn defaulted(kind: &str, group: &str, mut object: Value) -> Value {
        let resource = by_kind(group, "v1", kind).expect(kind);
        apply_defaults(resource, &mut object);
        let once = object.clone();
        apply_defaults(resource, &mut object);
        assert_eq!(object, once, "twice is once");
        object
    }

    #[test]
    fn a_deployment_filled_in() {
        let deployment = json!({
            "metadata": {"name": "web"},
            "spec": {
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{"name": "web", "image": "nginx"}]},
                },
            },
        });
        assert_eq!(
            defaulted("Deployment", "apps", deployment)["spec"],
            json!({
                "replicas": 1,
                "revisionHistoryLimit": 10,
                "progressDeadlineSeconds": 600,
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
                },
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {
                        "containers": [{
                            "name": "web",
                            "image": "nginx",
                            "imagePullPolicy": "Always",
                            "resources": {},
                            "terminationMessagePath": "/dev/termination-log",
                            "terminationMessagePolicy": "File",
                        }],
                        "dnsPolicy": "ClusterFirst",
                        "restartPolicy": "Always",
                        "schedulerName": "default-scheduler",
                        "securityContext": {},
                        "terminationGracePeriodSeconds": 30,
                    },
                },
            })
        );
    }

    #[test]
    fn small_kinds() {
        let secret = defaulted("Secret", "", json!({"stringData": {"a": "b"}}));
        assert_eq!(secret, json!({"type": "Opaque", "data": {"a": "Yg=="}}));
        let namespace = defaulted("Namespace", "", json!({"metadata": {"name": "x"}}));
        assert_eq!(
            namespace["metadata"]["labels"],
            json!({"kubernetes.io/metadata.name": "x"})
        );
        let binding = json!({"roleRef": {"kind": "Role"}, "subjects": [{"kind": "User"}]});
        let binding = defaulted("RoleBinding", "rbac.authorization.k8s.io", binding);
        assert_eq!(
            binding["subjects"][0]["apiGroup"],
            "rbac.authorization.k8s.io"
        );
        let node = defaulted("Node", "", json!({"status": {"capacity": {"cpu": "2"}}}));
        assert_eq!(node["status"]["allocatable"]["cpu"], "2");
        let mut namespace = json!({"status": {"phase": "Terminating"}});
        let resource = by_kind("", "v1", "Namespace").expect("served");
        prepare_for_create(resource, &mut namespace);
        assert_eq!(
            namespace,
            json!({"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}})
        );
    }
}
