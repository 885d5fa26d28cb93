//! Who owns whom, as a graph of all objects of the cluster, and what a change of it asks for.
//!
//! ```text
//!   Deployment web ◄── ReplicaSet web-9f2 ◄── Pod web-9f2-x7k      (arrows: owner references)
//! ```
//!
//! Upstream: `pkg/controller/garbagecollector/graph_builder.go`. Pure: it is told of objects and
//! answers with work; whether an owner that the graph does not know is really gone only the API
//! can say.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// Finalizer: delete the dependents first.
pub const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer: let the dependents live on their own.
pub const ORPHAN: &str = "orphan";

/// Where an object is found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Which of the watched resources.
    pub resource: usize,
    /// Empty for what lives in no namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// An object of the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it is found.
    pub identity: Identity,
    /// Its owners.
    pub owners: Vec<OwnerReference>,
    /// It is being deleted.
    pub deleting: bool,
    /// Its dependents must go first.
    pub foreground: bool,
    /// Its dependents must be let go first.
    pub orphan: bool,
}

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Work {
    /// Whether the object of this uid still has a right to be.
    AttemptDelete(String),
    /// The dependents of this object are to be let go.
    Orphan(String),
}

/// The graph.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: HashMap<String, Node>,
    dependents: HashMap<String, BTreeSet<String>>,
}

impl Graph {
    /// The object of a uid.
    pub fn get(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    /// The objects that name `uid` as an owner.
    pub fn dependents(&self, uid: &str) -> Vec<(String, Node)> {
        let uids = self.dependents.get(uid).into_iter().flatten();
        uids.filter_map(|uid| Some((uid.clone(), self.nodes.get(uid)?.clone())))
            .collect()
    }

    /// Whether any object that names `uid` as an owner holds up its deletion.
    pub fn is_blocked(&self, uid: &str) -> bool {
        self.dependents(uid).iter().any(|(_, dependent)| {
            dependent
                .owners
                .iter()
                .any(|owner| owner.uid == uid && owner.block_owner_deletion == Some(true))
        })
    }

    /// Whether an object of this uid that is deleted in the foreground would wait for itself: one of
    /// its dependents waits already, for what may be this very object.
    pub fn closes_circle(&self, uid: &str) -> bool {
        let dependents = self.dependents(uid);
        let mut dependents = dependents.iter();
        dependents.any(|(_, dependent)| dependent.deleting && dependent.foreground)
    }

    /// Takes in an object as it is now.
    pub fn observe(&mut self, identity: Identity, meta: &ObjectMeta) -> Vec<Work> {
        let Some(uid) = meta.uid.clone() else {
            return Vec::new();
        };
        let has = |name: &str| {
            meta.finalizers
                .iter()
                .flatten()
                .any(|finalizer| finalizer == name)
        };
        let node = Node {
            identity,
            owners: meta.owner_references.clone().unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
            foreground: has(FOREGROUND),
            orphan: has(ORPHAN),
        };
        let old = self.nodes.insert(uid.clone(), node.clone());
        if old.as_ref() == Some(&node) {
            return Vec::new();
        }
        for owner in old.iter().flat_map(|old| &old.owners) {
            self.unlink(&owner.uid, &uid);
        }
        for owner in &node.owners {
            self.dependents
                .entry(owner.uid.clone())
                .or_default()
                .insert(uid.clone());
        }
        let mut work = Vec::new();
        if node.deleting && node.orphan {
            work.push(Work::Orphan(uid));
        } else if node.deleting && node.foreground {
            work.extend(
                self.dependents(&uid)
                    .into_iter()
                    .map(|(uid, _)| Work::AttemptDelete(uid)),
            );
            work.push(Work::AttemptDelete(uid));
        } else if !node.owners.is_empty() && !node.deleting {
            work.push(Work::AttemptDelete(uid));
        }
        // An owner that waits for this one may wait no longer.
        let given_up = old.iter().flat_map(|old| &old.owners);
        work.extend(self.waiting(given_up.filter(|owner| !node.owners.contains(owner))));
        work
    }

    /// Takes in that an object is gone.
    pub fn remove(&mut self, uid: &str) -> Vec<Work> {
        let Some(node) = self.nodes.remove(uid) else {
            return Vec::new();
        };
        for owner in &node.owners {
            self.unlink(&owner.uid, uid);
        }
        let dependents = self.dependents(uid).into_iter();
        let mut work: Vec<Work> = dependents
            .map(|(uid, _)| Work::AttemptDelete(uid))
            .collect();
        work.extend(self.waiting(node.owners.iter()));
        work
    }

    /// Takes in that a resource is no longer served, and nothing of it is there.
    pub fn forget(&mut self, resource: usize) -> Vec<Work> {
        let of_it = self.nodes.iter();
        let of_it = of_it.filter(|(_, node)| node.identity.resource == resource);
        let uids: Vec<String> = of_it.map(|(uid, _)| uid.clone()).collect();
        uids.iter().flat_map(|uid| self.remove(uid)).collect()
    }

    fn waiting<'a>(&self, owners: impl Iterator<Item = &'a OwnerReference>) -> Vec<Work> {
        owners
            .filter(|owner| {
                self.nodes
                    .get(&owner.uid)
                    .is_some_and(|owner| owner.deleting && owner.foreground)
            })
            .map(|owner| Work::AttemptDelete(owner.uid.clone()))
            .collect()
    }

    fn unlink(&mut self, owner: &str, dependent: &str) {
        if let Some(dependents) = self.dependents.get_mut(owner) {
            dependents.remove(dependent);
            if dependents.is_empty() {
                self.dependents.remove(owner);
            }
        }
    }
}

/// How an owner stands to its dependent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerState {
    /// It is there.
    Solid,
    /// It is gone for sure.
    Dangling,
    /// It is being deleted and waits for its dependents to go.
    Waiting,
}

/// What to do with an object that has owners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Keep,
    /// Take the owners of these uids out of its list: others still hold it.
    DropOwners(Vec<String>),
    /// Delete it; its own dependents first.
    DeleteForeground,
    /// Delete it; its dependents are let go.
    DeleteOrphan,
    /// Delete it.
    DeleteBackground,
}

/// Decides by how the owners stand. Upstream: `attemptToDeleteItem`.
pub fn judge(node: &Node, owners: &[(String, OwnerState)], has_dependents: bool) -> Verdict {
    let of = |wanted: OwnerState| {
        owners
            .iter()
            .filter(move |(_, state)| *state == wanted)
            .map(|(uid, _)| uid.clone())
    };
    if owners.is_empty() {
        return Verdict::Keep;
    }
    if of(OwnerState::Solid).next().is_some() {
        let drop: Vec<String> = of(OwnerState::Dangling)
            .chain(of(OwnerState::Waiting))
            .collect();
        return if drop.is_empty() {
            Verdict::Keep
        } else {
            Verdict::DropOwners(drop)
        };
    }
    if of(OwnerState::Waiting).next().is_some() && has_dependents {
        return Verdict::DeleteForeground;
    }
    match (node.orphan, node.foreground) {
        (true, _) => Verdict::DeleteOrphan,
        (_, true) => Verdict::DeleteForeground,
        _ => Verdict::DeleteBackground,
    }
}
