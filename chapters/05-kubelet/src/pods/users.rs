//! The users of pods with `hostUsers: false`: chosen once for each pod, kept in its folder, free
//! again when the folder goes.
//!
//! What is taken is what the folders say, and nothing else: a kubelet that restarts has nothing to
//! find out again. Nodes that share a machine, as those of a lab do, choose by themselves, so pods
//! of two nodes may have the same range.
//!
//! Upstream: `pkg/kubelet/userns/userns_manager.go`.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Mutex;

use k8s_openapi::api::core::v1::Pod;

use crate::context::Context;
use crate::decide::spec;
use crate::decide::users::{Mappings, allocate, check};
use crate::runtime::UserRange;

/// Name of the file in a pod's folder that tells its range. Upstream's name and form.
const FILE: &str = "userns";

/// The ranges of a node's pods.
#[derive(Debug, Default)]
pub struct UserRanges {
    /// Held from looking what is taken to writing down what was chosen.
    choosing: Mutex<()>,
}

/// The pod's own users; `None` for a pod that has the node's.
///
/// # Errors
/// When the runtime cannot give it any, or there are no more.
pub async fn of_pod(
    context: &Context,
    pod: &Pod,
    handler: &str,
) -> Result<Option<UserRange>, String> {
    if spec::of(pod).host_users != Some(false) {
        return Ok(None);
    }
    let handlers = context.runtime.runtime_handlers().await;
    let handlers = handlers.map_err(|error| error.to_string())?;
    let mut handlers = handlers.into_iter();
    let asked = handlers.find(|known| known.name == handler);
    check(handler, asked.map(|known| known.features.user_namespaces))?;
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let range = context.users.choose(&context.pods_dir(), uid);
    range.map(Some)
}

impl UserRanges {
    /// The range of the pod with that uid: as it was chosen before, or else a free one.
    fn choose(&self, pods_dir: &Path, uid: &str) -> Result<UserRange, String> {
        let _choosing = self.choosing.lock().expect("no holder of the lock panics");
        if let Some(range) = read(&pods_dir.join(uid))? {
            return Ok(range);
        }
        let range = taken(pods_dir).and_then(|taken| allocate(&taken));
        let range = range.map_err(|error| format!("create user namespace: {error}"))?;
        write(&pods_dir.join(uid), range)?;
        Ok(range)
    }
}

/// The ranges that pods of this node have.
fn taken(pods_dir: &Path) -> Result<Vec<UserRange>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", pods_dir.display());
    let mut taken = Vec::new();
    match std::fs::read_dir(pods_dir) {
        Ok(entries) => {
            for entry in entries {
                taken.extend(read(&entry.map_err(failed)?.path())?);
            }
            Ok(taken)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(taken),
        Err(error) => Err(failed(error)),
    }
}

fn read(pod_dir: &Path) -> Result<Option<UserRange>, String> {
    let path = pod_dir.join(FILE);
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&error)),
    };
    let mappings: Mappings = serde_json::from_slice(&text).map_err(|error| failed(&error))?;
    mappings.range().map(Some)
}

/// Synced, as a pod that goes on after a power cut must not find its range given to another.
fn write(pod_dir: &Path, range: UserRange) -> Result<(), String> {
    let path = pod_dir.join(FILE);
    let new = pod_dir.join("userns.new");
    let text = serde_json::to_vec(&Mappings::of(range)).expect("numbers are JSON");
    std::fs::create_dir_all(pod_dir)
        .and_then(|()| std::fs::write(&new, text))
        .and_then(|()| std::fs::File::open(&new)?.sync_all())
        .and_then(|()| std::fs::rename(&new, &path))
        .and_then(|()| std::fs::File::open(pod_dir)?.sync_all())
        .map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_a_pod_s_until_its_folder_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let pods = dir.path().join("pods");
        let ranges = UserRanges::default();
        let choose = |uid: &str| ranges.choose(&pods, uid).unwrap().host_id;
        assert_eq!((choose("a"), choose("b")), (65_536, 131_072));
        // The next kubelet.
        let again = UserRanges::default().choose(&pods, "a").unwrap();
        assert_eq!(again.host_id, 65_536);
        std::fs::create_dir_all(pods.join("without")).unwrap();
        std::fs::remove_dir_all(pods.join("a")).unwrap();
        assert_eq!(choose("c"), 65_536);
        assert_eq!(choose("d"), 196_608);
    }
}
