//! How many pods there should be: what the owners of those that there are want, all together.
//!
//! Upstream: `getExpectedScale` and its finders in `pkg/controller/disruption/disruption.go`.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DynamicObject};
use kube::{Resource, ResourceExt};

use crate::context::Context;
use crate::discovery;
use crate::error::ignore_not_found;
use crate::owners::controller_of;

/// What the owners of some pods want.
#[derive(Debug, Default)]
pub struct Scale {
    /// Pods.
    pub replicas: i32,
    /// Names of pods that have no owner.
    pub unmanaged: Vec<String>,
}

/// What the owners of these pods want.
///
/// # Errors
/// If an owner is not there, or does not say how many pods it wants.
pub async fn of_pods(
    context: &Context,
    namespace: &str,
    pods: &[Arc<Pod>],
) -> Result<Scale, String> {
    let mut unmanaged = Vec::new();
    // By uid of who says so: each of them counts once.
    let mut wanted: HashMap<String, i32> = HashMap::new();
    let mut asked: HashMap<&str, ()> = HashMap::new();
    for pod in pods {
        let Some(owner) = controller_of(pod.as_ref()) else {
            unmanaged.push(pod.name_any());
            continue;
        };
        if asked.insert(&owner.uid, ()).is_some() {
            continue;
        }
        let found = match known(context, namespace, owner) {
            Some(found) => Some(found),
            None => ask(context, namespace, owner).await?,
        };
        let none = || format!("found no controllers for pod {:?}", pod.name_any());
        let (uid, replicas) = found.ok_or_else(none)?;
        wanted.insert(uid, replicas);
    }
    Ok(Scale {
        replicas: wanted.values().sum(),
        unmanaged,
    })
}

/// The owner's uid and what it wants, if it is of a kind that is watched here. The pods of a
/// ReplicaSet of a Deployment are the Deployment's.
fn known(context: &Context, namespace: &str, owner: &OwnerReference) -> Option<(String, i32)> {
    let key = informers::join_key(namespace, &owner.name);
    let stores = &context.stores;
    let group = owner
        .api_version
        .split_once('/')
        .map_or("", |(group, _)| group);
    match (group, owner.kind.as_str()) {
        ("", "ReplicationController") => {
            let controller = stores.replication_controllers.get(&key)?;
            let replicas = controller.spec.as_ref().and_then(|spec| spec.replicas);
            same(controller.as_ref(), owner, replicas)
        }
        ("apps", "ReplicaSet") => {
            let set = stores.replica_sets.get(&key)?;
            let replicas = set.spec.as_ref().and_then(|spec| spec.replicas);
            let own = same(set.as_ref(), owner, replicas)?;
            let Some(above) = controller_of(set.as_ref()).filter(|it| it.kind == "Deployment")
            else {
                return Some(own);
            };
            let key = informers::join_key(namespace, &above.name);
            let deployment = stores.deployments.get(&key)?;
            let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas);
            same(deployment.as_ref(), above, replicas)
        }
        ("apps", "StatefulSet") => {
            let set = stores.stateful_sets.get(&key)?;
            let replicas = set.spec.as_ref().and_then(|spec| spec.replicas);
            same(set.as_ref(), owner, replicas)
        }
        _ => None,
    }
}

/// What an object wants, if it is still the one that is meant.
fn same<K: Resource>(
    object: &K,
    owner: &OwnerReference,
    replicas: Option<i32>,
) -> Option<(String, i32)> {
    let is_it = object.meta().uid.as_ref() == Some(&owner.uid);
    is_it.then(|| (owner.uid.clone(), replicas.unwrap_or(1)))
}

/// What an owner of any kind wants, by its subresource `scale`.
async fn ask(
    context: &Context,
    namespace: &str,
    owner: &OwnerReference,
) -> Result<Option<(String, i32)>, String> {
    let (group, version) = owner
        .api_version
        .split_once('/')
        .unwrap_or(("", &owner.api_version));
    let is_it =
        |it: &&discovery::Deletable| it.resource.group == group && it.resource.kind == owner.kind;
    let served = discovery::deletable(&context.client, true).await;
    let served = served.map_err(|error| error.to_string())?;
    let Some(found) = served.iter().find(is_it) else {
        return Err(format!(
            "no matches for kind {:?} in version {:?}",
            owner.kind, owner.api_version
        ));
    };
    let mut resource = found.resource.clone();
    resource.version = version.to_owned();
    resource.api_version.clone_from(&owner.api_version);
    let api = Api::<DynamicObject>::namespaced_with(context.client.clone(), namespace, &resource);
    let scale = ignore_not_found(api.get_scale(&owner.name).await);
    match scale.map_err(|error| error.to_string())? {
        Some(scale) => {
            let replicas = scale.spec.and_then(|spec| spec.replicas);
            let is_it = scale.metadata.uid.as_ref() == Some(&owner.uid);
            Ok(is_it.then(|| (owner.uid.clone(), replicas.unwrap_or(0))))
        }
        None => {
            // It is gone, or its kind has no scale.
            let there = ignore_not_found(api.get_metadata(&owner.name).await);
            match there.map_err(|error| error.to_string())? {
                None => Ok(None),
                Some(_) => Err(format!(
                    "{} does not implement the scale subresource",
                    qualified(&resource.plural, group)
                )),
            }
        }
    }
}

/// `jobs.batch`.
fn qualified(plural: &str, group: &str) -> String {
    match group {
        "" => plural.to_owned(),
        group => format!("{plural}.{group}"),
    }
}
