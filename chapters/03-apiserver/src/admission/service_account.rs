//! ServiceAccount: every pod is somebody, and carries the proof.
//!
//! The proof is a projected volume at a well-known path: a token that the kubelet asks for and
//! renews, the CA to know the API server by, and the name of the namespace. In-cluster clients
//! need nothing else.

use serde_json::{Value, json};

use super::{Lookup, Request};
use crate::{alloc, defaults, status::ApiError};

const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
/// Upstream's way to know injected tokens by: an hour and seven seconds.
const TOKEN_SECONDS: i64 = 3607;

/// Gives a new pod its account, the account's image pull secrets and its token.
pub(super) fn admit(request: &mut Request, lookup: &dyn Lookup) -> Result<(), ApiError> {
    let Some(pod) = request.object.as_deref_mut() else {
        return Ok(());
    };
    let is_mirror = !pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null();
    let spec = &mut pod["spec"];
    let name = spec["serviceAccountName"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    if is_mirror {
        // A kubelet's own pod runs without the API, so nothing of the API may be in it.
        if !name.is_empty() {
            return Err(request.forbidden("a mirror pod may not reference service accounts"));
        }
        return Ok(());
    }
    let name = if name.is_empty() {
        "default".to_owned()
    } else {
        name
    };
    spec["serviceAccountName"] = json!(name);
    defaults::pods::service_account_alias(spec);
    let namespace = request.namespace;
    let Some(account) = lookup.get("serviceaccounts", namespace, &name) else {
        return Err(request.forbidden(format!(
            "error looking up service account {namespace}/{name}: serviceaccount {name:?} not found"
        )));
    };
    let no_secrets = spec["imagePullSecrets"]
        .as_array()
        .is_none_or(Vec::is_empty);
    if let (true, secrets @ Value::Array(_)) = (no_secrets, &account["imagePullSecrets"]) {
        spec["imagePullSecrets"] = secrets.clone();
    }
    let wanted = [
        &spec["automountServiceAccountToken"],
        &account["automountServiceAccountToken"],
    ];
    if wanted.into_iter().find_map(Value::as_bool).unwrap_or(true) {
        mount_token(spec);
    }
    Ok(())
}

/// Whether this error may go away by itself in a moment: the default account of a namespace that
/// has just been made is a controller's to make. Upstream tries for a second before it gives up.
pub fn is_worth_waiting_for(error: &ApiError) -> bool {
    error.code == 403
        && error
            .message
            .ends_with("serviceaccount \"default\" not found")
}

fn mount_token(spec: &mut Value) {
    let volumes = spec["volumes"].as_array().into_iter().flatten();
    let existing = volumes
        .filter_map(|volume| volume["name"].as_str())
        .find(|name| name.starts_with(VOLUME_PREFIX))
        .map(str::to_owned);
    let name = existing
        .clone()
        .unwrap_or_else(|| format!("{VOLUME_PREFIX}{}", alloc::name_suffix()));
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            // Whoever mounts something else there wants it there.
            let mounts = container["volumeMounts"].as_array().into_iter().flatten();
            if mounts
                .into_iter()
                .any(|mount| mount["mountPath"] == MOUNT_PATH)
            {
                continue;
            }
            let mount = json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH});
            push(&mut container["volumeMounts"], mount);
            mounted = true;
        }
    }
    if mounted && existing.is_none() {
        push(&mut spec["volumes"], token_volume(&name));
    }
}

fn token_volume(name: &str) -> Value {
    json!({
        "name": name,
        "projected": {
            "defaultMode": 0o644,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                {"configMap": {
                    "name": "kube-root-ca.crt",
                    "items": [{"key": "ca.crt", "path": "ca.crt"}],
                }},
                {"downwardAPI": {"items": [{
                    "path": "namespace",
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                }]}},
            ],
        },
    })
}

fn push(list: &mut Value, item: Value) {
    match list {
        Value::Array(list) => list.push(item),
        other => *other = json!([item]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::tests::{World, create};

    #[test]
    fn every_pod_is_somebody() {
        let account = json!({"imagePullSecrets": [{"name": "hub"}]});
        let world = World::new().with("serviceaccounts", "default", account);
        let mut pod = json!({"spec": {
            "initContainers": [{"name": "i", "volumeMounts": [{"mountPath": MOUNT_PATH}]}],
            "containers": [{"name": "a"}],
        }});
        create(&world, "Pod", &mut pod).expect("admitted");
        let spec = &pod["spec"];
        assert_eq!(spec["serviceAccountName"], "default");
        assert_eq!(spec["serviceAccount"], "default");
        assert_eq!(spec["imagePullSecrets"][0]["name"], "hub");
        let volume = spec["volumes"][0]["name"].as_str().expect("a volume");
        assert!(volume.starts_with(VOLUME_PREFIX) && volume.len() == VOLUME_PREFIX.len() + 5);
        assert_eq!(spec["containers"][0]["volumeMounts"][0]["name"], volume);
        assert_eq!(
            spec["initContainers"][0]["volumeMounts"]
                .as_array()
                .map(Vec::len),
            Some(1)
        );
    }

    #[test]
    fn who_wants_no_token_gets_none() {
        let mut pod =
            json!({"spec": {"automountServiceAccountToken": false, "containers": [{"name": "a"}]}});
        create(&World::new(), "Pod", &mut pod).expect("admitted");
        assert_eq!(pod["spec"]["volumes"], Value::Null);
    }

    #[test]
    fn the_account_must_be_there() {
        let mut pod = json!({"spec": {"serviceAccountName": "web", "containers": []}});
        let error = create(&World::new(), "Pod", &mut pod).expect_err("no such account");
        assert_eq!(
            error.message,
            "pods \"x\" is forbidden: error looking up service account ns/web: serviceaccount \
             \"web\" not found"
        );
        assert!(!is_worth_waiting_for(&error));
    }
}
