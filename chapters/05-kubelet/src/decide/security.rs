//! What a container may do: its own `securityContext`, else its pod's.
//!
//! Upstream: `kuberuntime/security_context.go: determineEffectiveSecurityContext`,
//! `kuberuntime/helpers.go: getSeccompProfile`.

use std::path::Path;

use k8s_openapi::api::core::v1::{Container, Pod, SeccompProfile};

use super::spec;
use crate::runtime::{Security, SecurityProfile};

/// What the runtime is asked to hold the container to. `seccomp_root` is the folder of the node's
/// own profiles.
///
/// # Errors
/// When the context makes no sense, which the API server does not let pass.
pub fn security(pod: &Pod, container: &Container, seccomp_root: &Path) -> Result<Security, String> {
    let own = container.security_context.clone().unwrap_or_default();
    let pod = spec::of(pod).security_context.clone().unwrap_or_default();
    let capabilities = own.capabilities.unwrap_or_default();
    let supplemental_groups = pod.supplemental_groups.iter().flatten().copied();
    let supplemental_groups = supplemental_groups.chain(pod.fs_group);
    Ok(Security {
        run_as_user: id(own.run_as_user.or(pod.run_as_user)),
        run_as_group: id(own.run_as_group.or(pod.run_as_group)),
        supplemental_groups: supplemental_groups.filter_map(|g| id(Some(g))).collect(),
        read_only_root_filesystem: own.read_only_root_filesystem.unwrap_or(false),
        privileged: own.privileged.unwrap_or(false),
        no_new_privileges: own.allow_privilege_escalation == Some(false),
        add_capabilities: plain(capabilities.add),
        drop_capabilities: plain(capabilities.drop),
        seccomp: seccomp(
            own.seccomp_profile.or(pod.seccomp_profile).as_ref(),
            seccomp_root,
        )?,
    })
}

fn id(value: Option<i64>) -> Option<u32> {
    value.and_then(|value| u32::try_from(value).ok())
}

/// Names of capabilities without `CAP_`.
fn plain(names: Option<Vec<String>>) -> Vec<String> {
    let names = names.unwrap_or_default().into_iter();
    names
        .map(|name| name.trim_start_matches("CAP_").to_uppercase())
        .collect()
}

/// A container that asks for no profile has none: `seccompDefault` is off, as upstream's is.
fn seccomp(profile: Option<&SeccompProfile>, root: &Path) -> Result<SecurityProfile, String> {
    let Some(profile) = profile else {
        return Ok(SecurityProfile::Unconfined);
    };
    match profile.type_.as_str() {
        "RuntimeDefault" => Ok(SecurityProfile::RuntimeDefault),
        "Localhost" => match profile.localhost_profile.as_deref() {
            Some(path) if !path.is_empty() => {
                let path = root.join(path).display().to_string();
                Ok(SecurityProfile::Localhost(path))
            }
            _ => Err("localhostProfile must be set if seccompProfile type is Localhost.".into()),
        },
        _ => Ok(SecurityProfile::Unconfined),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(pod: Value, container: Value) -> Result<Security, String> {
        let container = json!({ "name": "c", "securityContext": container });
        let pod: Pod = serde_json::from_value(json!({
            "spec": { "securityContext": pod, "containers": [container] }
        }))
        .unwrap();
        security(&pod, &spec::of(&pod).containers[0], Path::new("/k/seccomp"))
    }

    #[test]
    fn the_container_s_word_goes_before_the_pod_s() {
        let pod = json!({ "runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4],
            "seccompProfile": { "type": "RuntimeDefault" } });
        let inherited = of(pod.clone(), json!({})).unwrap();
        assert_eq!(inherited.run_as_user, Some(1));
        assert_eq!(inherited.supplemental_groups, [4, 3]);
        assert_eq!(inherited.seccomp, SecurityProfile::RuntimeDefault);
        let own = json!({ "runAsUser": 9, "seccompProfile": { "type": "Unconfined" } });
        let own = of(pod, own).unwrap();
        assert_eq!((own.run_as_user, own.run_as_group), (Some(9), Some(2)));
        assert_eq!(own.seccomp, SecurityProfile::Unconfined);
    }

    #[test]
    fn profiles_of_the_node_are_in_its_folder() {
        let profile = |profile: Value| {
            let said = of(json!({}), json!({ "seccompProfile": profile }));
            said.map(|security| security.seccomp)
        };
        let path = "/k/seccomp/a/b.json".to_owned();
        assert_eq!(
            profile(json!({ "type": "Localhost", "localhostProfile": "a/b.json" })),
            Ok(SecurityProfile::Localhost(path))
        );
        assert_eq!(profile(Value::Null), Ok(SecurityProfile::Unconfined));
        assert_eq!(
            profile(json!({ "type": "Localhost" })),
            Err("localhostProfile must be set if seccompProfile type is Localhost.".to_owned())
        );
    }
}
