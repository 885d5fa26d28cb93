//! What ReplicaSets and ReplicationControllers have in common.
//!
//! Upstream takes a ReplicationController for a ReplicaSet, too:
//! `pkg/controller/replication/conversion.go`.

use std::borrow::Cow;
use std::fmt::Debug;

use informers::Object;
use informers::shared_informer::SharedInformer;
use informers::store::Store;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetSpec, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{
    ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::{SharedInformers, Stores};

/// A kind that keeps a number of pods alike.
pub trait Replicated:
    Object
    + Debug
    + Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Serialize
    + DeserializeOwned
{
    /// `ReplicaSet`.
    const KIND: &'static str;
    /// The controller's name in events: `replicaset-controller`.
    const COMPONENT: &'static str;

    /// Its informer.
    fn informer(informers: &mut SharedInformers) -> &mut SharedInformer<Self>;

    /// Its store.
    fn store(stores: &Stores) -> &Store<Self>;

    /// Which pods are its own.
    fn selector(&self) -> Option<Cow<'_, LabelSelector>>;

    /// The same as a ReplicaSet says it.
    fn as_replica_set(&self) -> Cow<'_, ReplicaSet>;

    /// Takes a status over; whether that changed anything.
    fn set_status(&mut self, status: ReplicaSetStatus) -> bool;
}

impl Replicated for ReplicaSet {
    const KIND: &'static str = "ReplicaSet";
    const COMPONENT: &'static str = "replicaset-controller";

    fn informer(informers: &mut SharedInformers) -> &mut SharedInformer<Self> {
        &mut informers.replica_sets
    }

    fn store(stores: &Stores) -> &Store<Self> {
        &stores.replica_sets
    }

    fn selector(&self) -> Option<Cow<'_, LabelSelector>> {
        let spec = self.spec.as_ref()?;
        Some(Cow::Borrowed(&spec.selector))
    }

    fn as_replica_set(&self) -> Cow<'_, ReplicaSet> {
        Cow::Borrowed(self)
    }

    fn set_status(&mut self, status: ReplicaSetStatus) -> bool {
        let differs = self.status.as_ref() != Some(&status);
        self.status = Some(status);
        differs
    }
}

impl Replicated for ReplicationController {
    const KIND: &'static str = "ReplicationController";
    const COMPONENT: &'static str = "replication-controller";

    fn informer(informers: &mut SharedInformers) -> &mut SharedInformer<Self> {
        &mut informers.replication_controllers
    }

    fn store(stores: &Stores) -> &Store<Self> {
        &stores.replication_controllers
    }

    fn selector(&self) -> Option<Cow<'_, LabelSelector>> {
        let match_labels = self.spec.as_ref()?.selector.clone();
        Some(Cow::Owned(LabelSelector {
            match_labels,
            ..LabelSelector::default()
        }))
    }

    fn as_replica_set(&self) -> Cow<'_, ReplicaSet> {
        let spec = self.spec.clone().unwrap_or_default();
        Cow::Owned(ReplicaSet {
            metadata: self.metadata.clone(),
            spec: Some(ReplicaSetSpec {
                min_ready_seconds: spec.min_ready_seconds,
                replicas: spec.replicas,
                selector: self.selector().unwrap_or_default().into_owned(),
                template: spec.template,
            }),
            status: self.status.clone().map(|status| ReplicaSetStatus {
                available_replicas: status.available_replicas,
                conditions: status.conditions.map(|them| same_in_json(&them)),
                fully_labeled_replicas: status.fully_labeled_replicas,
                observed_generation: status.observed_generation,
                ready_replicas: status.ready_replicas,
                replicas: status.replicas,
                terminating_replicas: None,
            }),
        })
    }

    fn set_status(&mut self, status: ReplicaSetStatus) -> bool {
        let conditions: Option<Vec<ReplicationControllerCondition>> =
            status.conditions.map(|them| same_in_json(&them));
        let status = ReplicationControllerStatus {
            available_replicas: status.available_replicas,
            conditions,
            fully_labeled_replicas: status.fully_labeled_replicas,
            observed_generation: status.observed_generation,
            ready_replicas: status.ready_replicas,
            replicas: status.replicas,
        };
        let differs = !same_status(self.status.as_ref(), &status);
        self.status = Some(status);
        differs
    }
}

/// Whether it says so already; what is zero is left out by who stores it.
fn same_status(
    old: Option<&ReplicationControllerStatus>,
    new: &ReplicationControllerStatus,
) -> bool {
    let numbers = |it: &ReplicationControllerStatus| {
        [
            Some(it.replicas),
            it.fully_labeled_replicas,
            it.ready_replicas,
            it.available_replicas,
        ]
        .map(Option::unwrap_or_default)
    };
    old.is_some_and(|old| {
        numbers(old) == numbers(new)
            && old.observed_generation == new.observed_generation
            && old.conditions == new.conditions
    })
}

/// Types of the API that have the same fields.
fn same_in_json<A: Serialize, B: DeserializeOwned>(them: &A) -> B {
    let value = serde_json::to_value(them).expect("objects are JSON");
    serde_json::from_value(value).expect("both have the same fields")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_elder_is_taken_for_a_replica_set_and_back() {
        let condition = json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
            "message": "no room", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let elder = json!({
            "metadata": {"name": "web", "generation": 2},
            "spec": {"replicas": 3, "selector": {"app": "web"}, "minReadySeconds": 5,
                "template": {"metadata": {"labels": {"app": "web"}}}},
            "status": {"replicas": 1, "readyReplicas": 1, "observedGeneration": 2,
                "conditions": [condition]},
        });
        let mut elder: ReplicationController = serde_json::from_value(elder).expect("it is one");
        let set = elder.as_replica_set().into_owned();
        let as_json = serde_json::to_value(&set).expect("objects are JSON");
        let spec = &as_json["spec"];
        assert_eq!(spec["selector"], json!({"matchLabels": {"app": "web"}}));
        assert_eq!(
            (&spec["replicas"], &spec["minReadySeconds"]),
            (&json!(3), &json!(5))
        );
        assert_eq!(as_json["status"]["conditions"], json!([condition]));

        let status = set.status.expect("it has one");
        let zeros = ReplicaSetStatus {
            available_replicas: Some(0),
            terminating_replicas: Some(0),
            ..status.clone()
        };
        assert!(!elder.set_status(zeros), "nothing that is told has changed");
        let ready = ReplicaSetStatus {
            ready_replicas: Some(0),
            ..status
        };
        assert!(elder.set_status(ready));
    }
}
