//! Defaults of pods and of pod templates.
//!
//! Upstream: `pkg/apis/core/v1/defaults.go`.

use serde_json::{Value, json};

use super::{child_value, existing, items, or_set, or_set_value, present, set};
pub use quota_usage::qos_class;

/// `0644`, as the number that JSON has.
const FILE_MODE: i64 = 0o644;

/// A pod: all that its spec has, and what is filled in for pods only, not for templates.
pub(super) fn pod(object: &mut Value) {
    let spec = child_value(object, "spec");
    or_set_value(spec, "enableServiceLinks", || json!(true));
    let host_network = spec["hostNetwork"] == true;
    for list in ["initContainers", "containers"] {
        for container in items(spec, list) {
            requests_from_limits(container);
            if host_network {
                for port in items(container, "ports") {
                    let number = port["containerPort"].clone();
                    if port["hostPort"].as_i64().unwrap_or_default() == 0 {
                        set(port, "hostPort", number);
                    }
                }
            }
        }
    }
    pod_spec(spec);
}

/// What is limited and not asked for is asked for up to its limit.
fn requests_from_limits(container: &mut Value) {
    let Some(resources) = existing(container, "resources") else {
        return;
    };
    let Some(limits) = present(resources, "limits")
        .and_then(Value::as_object)
        .cloned()
    else {
        return;
    };
    let requests = child_value(resources, "requests");
    for (name, limit) in limits {
        or_set_value(requests, &name, || limit);
    }
}

/// The spec of a pod or of a template.
pub(super) fn pod_spec(spec: &mut Value) {
    or_set(spec, "restartPolicy", "Always");
    or_set(spec, "dnsPolicy", "ClusterFirst");
    or_set(spec, "schedulerName", "default-scheduler");
    or_set_value(spec, "terminationGracePeriodSeconds", || json!(30));
    or_set_value(spec, "securityContext", || json!({}));
    service_account_alias(spec);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        items(spec, list).for_each(container);
    }
    items(spec, "volumes").for_each(volume);
}

/// `serviceAccount` is the old name of `serviceAccountName`; both are always told.
pub(crate) fn service_account_alias(spec: &mut Value) {
    let name = present(spec, "serviceAccountName").filter(|name| *name != "");
    let name = name
        .or_else(|| present(spec, "serviceAccount").filter(|name| *name != ""))
        .cloned();
    if let Some(name) = name {
        set(spec, "serviceAccount", name.clone());
        set(spec, "serviceAccountName", name);
    }
}

fn container(container: &mut Value) {
    let image = container["image"].as_str().unwrap_or_default();
    let pull = if is_latest(image) {
        "Always"
    } else {
        "IfNotPresent"
    };
    or_set(container, "imagePullPolicy", pull);
    or_set(container, "terminationMessagePath", "/dev/termination-log");
    or_set(container, "terminationMessagePolicy", "File");
    or_set_value(container, "resources", || json!({}));
    for port in items(container, "ports") {
        or_set(port, "protocol", "TCP");
    }
    for variable in items(container, "env") {
        if let Some(source) = existing(variable, "valueFrom") {
            downward(source);
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = existing(container, probe) {
            for (field, seconds) in [
                ("timeoutSeconds", 1),
                ("periodSeconds", 10),
                ("successThreshold", 1),
                ("failureThreshold", 3),
            ] {
                if probe[field].as_i64().unwrap_or_default() == 0 {
                    set(probe, field, json!(seconds));
                }
            }
            if let Some(grpc) = existing(probe, "grpc") {
                or_set_value(grpc, "service", || json!(""));
            }
            http_get(probe);
        }
    }
    if let Some(lifecycle) = existing(container, "lifecycle") {
        for hook in ["postStart", "preStop"] {
            if let Some(hook) = existing(lifecycle, hook) {
                http_get(hook);
            }
        }
    }
}

fn http_get(handler: &mut Value) {
    if let Some(http_get) = existing(handler, "httpGet") {
        or_set(http_get, "path", "/");
        or_set(http_get, "scheme", "HTTP");
    }
}

/// A reference to the pod's own fields, resources or files.
fn downward(source: &mut Value) {
    if let Some(field) = existing(source, "fieldRef") {
        or_set(field, "apiVersion", "v1");
    }
    if let Some(file) = existing(source, "fileKeyRef") {
        or_set_value(file, "optional", || json!(false));
    }
    if let Some(resource) = existing(source, "resourceFieldRef") {
        or_set_value(resource, "divisor", || json!("0"));
    }
}

fn volume(volume: &mut Value) {
    let has_source = volume.as_object().is_some_and(|volume| {
        volume
            .iter()
            .any(|(key, value)| key != "name" && !value.is_null())
    });
    if !has_source {
        set(volume, "emptyDir", json!({}));
    }
    for kind in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = existing(volume, kind) {
            or_set_value(source, "defaultMode", || json!(FILE_MODE));
        }
    }
    if let Some(host_path) = existing(volume, "hostPath") {
        or_set_value(host_path, "type", || json!(""));
    }
    if let Some(downward_api) = existing(volume, "downwardAPI") {
        items(downward_api, "items").for_each(downward);
    }
    if let Some(projected) = existing(volume, "projected") {
        for source in items(projected, "sources") {
            if let Some(token) = existing(source, "serviceAccountToken") {
                or_set_value(token, "expirationSeconds", || json!(3600));
            }
            if let Some(downward_api) = existing(source, "downwardAPI") {
                items(downward_api, "items").for_each(downward);
            }
        }
    }
}

/// Whether an image's tag is `latest`, said or meant: neither tag nor digest.
fn is_latest(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    // A colon before the last slash is the registry's port.
    let name = image.rsplit_once('/').map_or(image, |(_, name)| name);
    name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        for latest in ["nginx", "nginx:latest", "host:5000/nginx"] {
            assert!(is_latest(latest), "{latest}");
        }
        for fixed in [
            "nginx:1",
            "host:5000/nginx:1",
            "nginx@sha256:00",
            "nginx:latest@sha256:00",
        ] {
            assert!(!is_latest(fixed), "{fixed}");
        }
    }

    #[test]
    fn a_pod_with_everything() {
        let mut object = json!({"spec": {
            "serviceAccountName": "web",
            "hostNetwork": true,
            "containers": [{
                "image": "a:1",
                "ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": "1"}},
                "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "readinessProbe": {"httpGet": {"port": 80}, "periodSeconds": 2},
            }],
            "volumes": [
                {"name": "a"},
                {"name": "b", "configMap": {"name": "x"}},
                {"name": "c", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            ],
        }});
        pod(&mut object);
        let spec = &object["spec"];
        assert_eq!(spec["serviceAccount"], "web");
        assert_eq!(spec["enableServiceLinks"], true);
        let container = &spec["containers"][0];
        assert_eq!(container["imagePullPolicy"], "IfNotPresent");
        assert_eq!(container["resources"]["requests"], json!({"cpu": "1"}));
        assert_eq!(
            container["ports"][0],
            json!({"containerPort": 80, "hostPort": 80, "protocol": "TCP"})
        );
        assert_eq!(
            container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"],
            "v1"
        );
        assert_eq!(
            container["readinessProbe"],
            json!({
                "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                "periodSeconds": 2, "timeoutSeconds": 1, "successThreshold": 1,
                "failureThreshold": 3,
            })
        );
        assert_eq!(spec["volumes"][0]["emptyDir"], json!({}));
        assert_eq!(spec["volumes"][1]["configMap"]["defaultMode"], 420);
        let token = &spec["volumes"][2]["projected"]["sources"][0]["serviceAccountToken"];
        assert_eq!(token["expirationSeconds"], 3600);
    }
}
