//! The folder of static pods: read when it changes, and every 20 seconds all the same.
//!
//! Upstream: `pkg/kubelet/config/file.go` and `file_linux.go`.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::sync::mpsc;

use crate::decide::static_pod;

/// How often the folder is read without news. Upstream: `fileCheckFrequency`.
const CHECK_SECONDS: i64 = 20;

/// All pods that the folder (or the one file) wants, whenever that may have changed.
pub fn watch(path: PathBuf, node_name: String) -> mpsc::Receiver<Vec<Pod>> {
    let (sender, receiver) = mpsc::channel(1);
    // A thread of its own, which waits in the kernel; it ends with the receiver or the process.
    std::thread::spawn(move || {
        loop {
            // Watched before it is read: what changes in between is news.
            let news = inotify(&path);
            if sender.blocking_send(read(&path, &node_name)).is_err() {
                return;
            }
            match news {
                Ok(news) => wait(&news),
                Err(error) => {
                    tracing::debug!(path = %path.display(), %error, "folder not watched");
                    std::thread::sleep(Duration::from_secs(CHECK_SECONDS as u64));
                }
            }
        }
    });
    receiver
}

fn inotify(path: &Path) -> rustix::io::Result<OwnedFd> {
    let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    // A file that is still being written is read when it is closed.
    let flags = WatchFlags::CLOSE_WRITE
        | WatchFlags::MOVED_TO
        | WatchFlags::MOVED_FROM
        | WatchFlags::DELETE
        | WatchFlags::DELETE_SELF;
    inotify::add_watch(&inotify, path, flags)?;
    Ok(inotify)
}

/// Waits for news, or until it is time to read all the same. What exactly changed does not matter.
fn wait(news: &OwnedFd) {
    let timeout = Timespec {
        tv_sec: CHECK_SECONDS,
        tv_nsec: 0,
    };
    let mut ready = [PollFd::new(news, PollFlags::IN)];
    let _news_or_not = poll(&mut ready, Some(&timeout));
}

/// Reads all manifests. One that cannot be read is told of and left out.
fn read(path: &Path, node_name: &str) -> Vec<Pod> {
    let mut files = Vec::new();
    if path.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        files.extend(entries.map(|entry| entry.path()).filter(|path| {
            let name = path.file_name().unwrap_or_default();
            path.is_file() && !name.to_string_lossy().starts_with('.')
        }));
        // In the order of names, so that the first of two with one name is always the same.
        files.sort();
    } else if path.is_file() {
        files.push(path.to_owned());
    }
    let seen = Timestamp::now().to_string();
    let mut pods: Vec<Pod> = Vec::new();
    for file in files {
        match manifest(&file, node_name, &seen) {
            Ok(pod) => {
                let same = |other: &Pod| {
                    other.metadata.name == pod.metadata.name
                        && other.metadata.namespace == pod.metadata.namespace
                };
                if pods.iter().any(same) {
                    tracing::warn!(file = %file.display(), "another manifest has this name");
                } else {
                    pods.push(pod);
                }
            }
            Err(error) => tracing::warn!(file = %file.display(), error, "no static pod"),
        }
    }
    pods
}

fn manifest(file: &Path, node_name: &str, seen: &str) -> Result<Pod, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let value: serde_json::Value =
        serde_saphyr::from_str(&text).map_err(|error| error.to_string())?;
    let kind = (value["apiVersion"].as_str(), value["kind"].as_str());
    if kind != (Some("v1"), Some("Pod")) {
        return Err("a manifest is a Pod of v1".to_owned());
    }
    let pod: Pod = serde_json::from_value(value).map_err(|error| error.to_string())?;
    static_pod::from_manifest(pod, &file.display().to_string(), node_name, seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn names(manifests: &mut mpsc::Receiver<Vec<Pod>>) -> Vec<String> {
        let pods = manifests.recv().await.unwrap();
        pods.into_iter()
            .filter_map(|pod| pod.metadata.name)
            .collect()
    }

    #[tokio::test]
    async fn a_change_is_seen_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut manifests = watch(folder.path().to_owned(), "n".to_owned());
        assert!(names(&mut manifests).await.is_empty());
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: []}\n";
        std::fs::write(folder.path().join("web.yaml"), pod).unwrap();
        assert_eq!(names(&mut manifests).await, ["web-n"]);
        std::fs::write(
            folder.path().join("bad.yaml"),
            "kind: Service\napiVersion: v1",
        )
        .unwrap();
        assert_eq!(names(&mut manifests).await, ["web-n"]);
        std::fs::remove_file(folder.path().join("web.yaml")).unwrap();
        assert!(names(&mut manifests).await.is_empty());
    }
}
