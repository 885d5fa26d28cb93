//! What a container may do: its own `securityContext`, else its pod's.
//!
//! Upstream: `kuberuntime/security_context.go: determineEffectiveSecurityContext`,
//! `kuberuntime/helpers.go: getSeccompProfile`.

use std::path::Path;

use k8s_openapi::api::core::v1::{AppArmorProfile, Container, Pod, SeccompProfile};

use super::admission::Rejection;
use super::spec;
use crate::runtime::{Features, Security, SecurityProfile};

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
        unmasked_proc: own.proc_mount.as_deref() == Some("Unmasked"),
        add_capabilities: plain(capabilities.add),
        strict_groups: pod.supplemental_groups_policy.as_deref() == Some(STRICT),
        drop_capabilities: plain(capabilities.drop),
        seccomp: seccomp(
            own.seccomp_profile.or(pod.seccomp_profile).as_ref(),
            seccomp_root,
        )?,
        apparmor: own
            .app_armor_profile
            .or(pod.app_armor_profile)
            .map(apparmor),
    })
}

/// Whether any container of the pod is privileged: its sandbox has to allow for that.
pub fn has_privileged(pod: &Pod) -> bool {
    let mut containers = spec::init_containers(pod)
        .iter()
        .chain(&spec::of(pod).containers);
    containers.any(|container| {
        let own = container.security_context.as_ref();
        own.and_then(|own| own.privileged) == Some(true)
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

/// A profile is in the kernel, under a name. One that was not asked for is the runtime's business.
fn apparmor(profile: AppArmorProfile) -> SecurityProfile {
    match profile.type_.as_str() {
        "RuntimeDefault" => SecurityProfile::RuntimeDefault,
        "Localhost" => SecurityProfile::Localhost(profile.localhost_profile.unwrap_or_default()),
        _ => SecurityProfile::Unconfined,
    }
}

/// `supplementalGroupsPolicy`: no groups but the pod's own.
const STRICT: &str = "Strict";

/// What of pods' security depends on the node.
#[derive(Debug, Clone, Copy, Default)]
pub struct Node {
    /// Its kernel has AppArmor.
    pub apparmor: bool,
    /// What its runtime can do.
    pub features: Features,
}

/// Whether the node can hold the pod to what it asks for.
///
/// # Errors
/// Why not. Upstream: `lifecycle/predicate.go`, `lifecycle/handlers.go`.
pub fn admit(pod: &Pod, node: Node) -> Result<(), Rejection> {
    let spec = spec::of(pod);
    let of_pod = spec.security_context.as_ref();
    let policy = of_pod.and_then(|pod| pod.supplemental_groups_policy.as_deref());
    if policy == Some(STRICT) && !node.features.supplemental_groups_policy {
        return Err(Rejection {
            reason: "SupplementalGroupsPolicyNotSupported".to_owned(),
            message: "SupplementalGroupsPolicy=Strict is not supported in this node".to_owned(),
        });
    }
    let of_pod = of_pod.and_then(|pod| pod.app_armor_profile.as_ref());
    let mut containers = spec::init_containers(pod).iter().chain(&spec.containers);
    let needs_apparmor = containers.any(|container| {
        let own = container.security_context.as_ref();
        let own = own.and_then(|own| own.app_armor_profile.as_ref());
        own.or(of_pod).is_some_and(|it| it.type_ != "Unconfined")
    });
    if needs_apparmor && !node.apparmor {
        return Err(Rejection {
            reason: "AppArmor".to_owned(),
            message: "Cannot enforce AppArmor: AppArmor is not enabled on the host".to_owned(),
        });
    }
    Ok(())
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
    fn what_the_node_cannot_do_it_does_not_take() {
        let said = |pod: Value, container: Value, node| {
            let container = json!({ "name": "c", "securityContext": container });
            let pod = json!({ "spec": { "securityContext": pod, "containers": [container] } });
            admit(&serde_json::from_value(pod).unwrap(), node).map_err(|why| why.reason)
        };
        let bare = Node::default();
        let able = Node {
            apparmor: true,
            features: Features {
                supplemental_groups_policy: true,
                ..Features::default()
            },
        };
        let none = || json!({});
        let strict = json!({ "supplementalGroupsPolicy": "Strict" });
        let why = "SupplementalGroupsPolicyNotSupported".to_owned();
        assert_eq!(said(strict.clone(), none(), bare), Err(why));
        assert_eq!(said(strict, none(), able), Ok(()));
        let profile = |kind: &str| json!({ "appArmorProfile": { "type": kind } });
        let why = Err("AppArmor".to_owned());
        assert_eq!(said(none(), profile("RuntimeDefault"), bare), why);
        assert_eq!(said(profile("RuntimeDefault"), none(), bare), why);
        assert_eq!(
            said(profile("RuntimeDefault"), profile("Unconfined"), bare),
            Ok(())
        );
        assert_eq!(said(none(), profile("RuntimeDefault"), able), Ok(()));
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
