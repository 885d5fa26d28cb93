//! Whose the files of a volume are: `fsGroup`, and the user of a pod's tokens.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;

use crate::decide::spec;

/// The pod's `fsGroup`.
pub fn group(pod: &Pod) -> Option<u32> {
    let security = spec::of(pod).security_context.as_ref()?;
    security.fs_group.and_then(|group| group.try_into().ok())
}

/// The user that all containers of the pod run as, if they name one and the same. Upstream:
/// `pkg/volume/util: FsUserFrom`.
pub fn user(pod: &Pod) -> Option<u32> {
    let of_pod = spec::of(pod).security_context.as_ref();
    let of_pod = of_pod.and_then(|security| security.run_as_user);
    let containers = spec::init_containers(pod).iter();
    let mut users = containers
        .chain(&spec::of(pod).containers)
        .map(|container| {
            let own = container.security_context.as_ref();
            own.and_then(|security| security.run_as_user).or(of_pod)
        });
    let first = users.next()??;
    let same = users.all(|user| user == Some(first));
    same.then_some(first)?.try_into().ok()
}

/// Gives a volume to the pod's `fsGroup`. Where the group has no meaning in the node's user
/// namespace (a lab of an ordinary user) that cannot be done, and files stay readable by mode.
pub fn set_group(pod: &Pod, path: &Path, writable: bool) {
    let Some(group) = group(pod) else {
        return;
    };
    if let Err(error) = give_to_group(path, group, writable) {
        tracing::debug!(path = %path.display(), group, %error, "fsGroup not applied");
    }
}

/// Gives a volume that outlives its pod to the pod's `fsGroup`: with the policy `OnRootMismatch`
/// only if its root is not the group's yet, for there may be many files.
pub fn set_group_of_lasting(pod: &Pod, path: &Path) {
    let security = spec::of(pod).security_context.as_ref();
    let policy = security.and_then(|security| security.fs_group_change_policy.as_deref());
    let skipped = policy == Some("OnRootMismatch")
        && group(pod).is_some_and(|group| is_given(path, group).unwrap_or(false));
    if !skipped {
        set_group(pod, path, true);
    }
}

/// Whether a root is the group's, and new files in it will be.
/// Upstream: `requiresPermissionChange`.
fn is_given(path: &Path, group: u32) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    const WANTED: u32 = 0o2770;
    let meta = fs::metadata(path)?;
    Ok(meta.gid() == group && meta.permissions().mode() & WANTED == WANTED)
}

/// Upstream: `pkg/volume/volume_linux.go: changeFilePermission`.
fn give_to_group(path: &Path, group: u32, writable: bool) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    std::os::unix::fs::lchown(path, None, Some(group))?;
    if meta.is_symlink() {
        return Ok(());
    }
    let mut mode = meta.permissions().mode() & 0o7777;
    mode |= if writable { 0o660 } else { 0o440 };
    if meta.is_dir() {
        // New files in it belong to the group as well.
        mode |= 0o2110;
        for entry in fs::read_dir(path)? {
            give_to_group(&entry?.path(), group, writable)?;
        }
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn user_of(pod: Value, containers: &[Value]) -> Option<u32> {
        let containers: Vec<Value> = containers
            .iter()
            .map(|security| json!({"name": "c", "securityContext": security}))
            .collect();
        let spec = json!({"spec": {"securityContext": pod, "containers": containers}});
        user(&serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn a_pod_has_a_user_if_all_its_containers_have_the_same() {
        let runs_as = |user: i64| json!({"runAsUser": user});
        assert_eq!(user_of(json!({}), &[json!({})]), None);
        assert_eq!(user_of(runs_as(7), &[json!({}), json!({})]), Some(7));
        assert_eq!(user_of(runs_as(7), &[json!({}), runs_as(8)]), None);
        assert_eq!(user_of(json!({}), &[runs_as(8), runs_as(8)]), Some(8));
        assert_eq!(user_of(json!({}), &[runs_as(8), json!({})]), None);
    }

    #[test]
    fn a_root_that_is_the_group_s_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let own = rustix::process::getgid().as_raw();
        let pod = |policy: &str| -> Pod {
            let security = json!({"fsGroup": own, "fsGroupChangePolicy": policy});
            let spec = json!({"spec": {"securityContext": security, "containers": []}});
            serde_json::from_value(spec).unwrap()
        };
        let after = |policy: &str, root: u32| {
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(root)).unwrap();
            set_group_of_lasting(&pod(policy), dir.path());
            fs::metadata(&file).unwrap().permissions().mode() & 0o777
        };
        assert_eq!(after("Always", 0o2770), 0o660);
        assert_eq!(after("OnRootMismatch", 0o2770), 0o600);
        assert_eq!(after("OnRootMismatch", 0o770), 0o660);
    }

    #[test]
    fn a_group_reads_what_is_shown_and_writes_what_is_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let own = rustix::process::getgid().as_raw();
        for (writable, before, folder, after) in [
            (false, 0o600, 0o2750, 0o640),
            (true, 0o600, 0o2770, 0o660),
            (false, 0o400, 0o2750, 0o440),
        ] {
            fs::set_permissions(&file, fs::Permissions::from_mode(before)).unwrap();
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
            give_to_group(dir.path(), own, writable).unwrap();
            assert_eq!((mode(dir.path()), mode(&file)), (folder, after));
        }
    }
}
