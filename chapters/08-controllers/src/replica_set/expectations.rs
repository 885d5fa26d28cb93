//! What was asked for and has not been seen yet.
//!
//! Between a create and the moment the informer shows it, the store still counts too few pods: a
//! controller that looked again then would make too many. So each ReplicaSet remembers how many
//! creations and which deletions it waits for, and does nothing until they were seen, or so long
//! has passed that one must have been missed. Upstream: `ControllerExpectations` in
//! `pkg/controller/controller_utils.go`.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

/// After this the expectation counts as met: the informer has surely seen what there was to see.
const EXPIRY: Duration = Duration::from_secs(300);

/// Expectations of all ReplicaSets, by key.
#[derive(Clone, Default)]
pub struct Expectations {
    inner: Arc<Mutex<HashMap<String, Expected>>>,
}

struct Expected {
    creations: usize,
    /// By uid: a pod's update with a deletion timestamp and its deletion are both seen, and must
    /// count once.
    deletions: HashSet<String>,
    since: Instant,
}

impl Expectations {
    /// Whether nothing is waited for.
    pub fn satisfied(&self, key: &str) -> bool {
        self.lock().get(key).is_none_or(|expected| {
            (expected.creations == 0 && expected.deletions.is_empty())
                || expected.since.elapsed() > EXPIRY
        })
    }

    /// `count` pods are about to be made.
    pub fn expect_creations(&self, key: &str, count: usize) {
        self.set(key, count, HashSet::new());
    }

    /// The pods of these uids are about to be deleted.
    pub fn expect_deletions(&self, key: &str, uids: impl IntoIterator<Item = String>) {
        self.set(key, 0, uids.into_iter().collect());
    }

    /// A creation was seen, or failed.
    pub fn creation_observed(&self, key: &str) {
        if let Some(expected) = self.lock().get_mut(key) {
            expected.creations = expected.creations.saturating_sub(1);
        }
    }

    /// A deletion was seen, or failed.
    pub fn deletion_observed(&self, key: &str, uid: &str) {
        if let Some(expected) = self.lock().get_mut(key) {
            expected.deletions.remove(uid);
        }
    }

    /// The ReplicaSet is gone.
    pub fn forget(&self, key: &str) {
        self.lock().remove(key);
    }

    fn set(&self, key: &str, creations: usize, deletions: HashSet<String>) {
        let expected = Expected {
            creations,
            deletions,
            since: Instant::now(),
        };
        self.lock().insert(key.to_owned(), expected);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Expected>> {
        self.inner.lock().expect("no holder of the lock panics")
    }
}
