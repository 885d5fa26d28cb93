//! The pods that this node has taken, as they are allocated: what its room is counted by.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::watch;

/// Pods by uid. One at a time is decided about, so that no room is given away twice.
#[derive(Debug)]
pub struct Ledger {
    pods: Mutex<HashMap<String, Arc<Pod>>>,
    changed: watch::Sender<u64>,
}

impl Ledger {
    /// Decides about a pod beside all others. What `decide` returns beside its answer is what the
    /// node holds of the pod from now on.
    pub fn decide<T>(&self, uid: &str, decide: impl FnOnce(&[&Pod]) -> (T, Option<Arc<Pod>>)) -> T {
        let mut pods = self.pods.lock().expect("no panics inside");
        let others = pods.iter().filter(|(other, _)| *other != uid);
        let others: Vec<&Pod> = others.map(|(_, pod)| &**pod).collect();
        let (answer, entry) = decide(&others);
        if let Some(pod) = entry {
            pods.insert(uid.to_owned(), pod);
            drop(pods);
            self.changed.send_modify(|version| *version += 1);
        }
        answer
    }

    /// The pod needs no room any more: it is over, or gone.
    pub fn leave(&self, uid: &str) {
        let left = self.pods.lock().expect("no panics inside").remove(uid);
        if left.is_some() {
            self.changed.send_modify(|version| *version += 1);
        }
    }

    /// All pods that hold room.
    pub fn pods(&self) -> Vec<Arc<Pod>> {
        let pods = self.pods.lock().expect("no panics inside");
        pods.values().cloned().collect()
    }

    /// Wakes when room was taken or given back.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger {
            pods: Mutex::default(),
            changed: watch::channel(0).0,
        }
    }
}
