//! `why`: what the scheduler thinks of every node, for one pod.

use std::fmt::Write;

use k8s_openapi::api::core::v1::{
    Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, Service,
};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use crate::cache::Cache;
use crate::schedule::schedule;

/// Lists the cluster and says, node by node, which filter said no to the pod and why, or what the
/// node's score is. A pod that has a node is asked about as if it had none.
///
/// # Errors
///
/// If the pod or the cluster cannot be read.
pub async fn why(client: Client, namespace: &str, name: &str) -> kube::Result<String> {
    let pod = Api::<Pod>::namespaced(client.clone(), namespace)
        .get(name)
        .await?;
    let all = ListParams::default();
    let mut cache = Cache::default();
    for node in Api::<Node>::all(client.clone()).list(&all).await? {
        cache.set_node(&node);
    }
    for namespace in Api::<Namespace>::all(client.clone()).list(&all).await? {
        let labels = namespace.metadata.labels.clone().unwrap_or_default();
        cache.namespaces.insert(namespace.name_any(), labels);
    }
    for service in Api::<Service>::all(client.clone()).list(&all).await? {
        let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
        cache.set_service(
            &namespace,
            &name,
            service.spec.and_then(|spec| spec.selector),
        );
    }
    let claims = Api::<PersistentVolumeClaim>::all(client.clone());
    for claim in claims.list(&all).await? {
        cache.volumes.set_claim(claim);
    }
    for volume in Api::<PersistentVolume>::all(client.clone())
        .list(&all)
        .await?
    {
        cache.volumes.set_volume(volume);
    }
    for class in Api::<StorageClass>::all(client.clone()).list(&all).await? {
        cache.volumes.set_class(class);
    }
    for other in Api::<Pod>::all(client).list(&all).await? {
        let node = other.spec.as_ref().and_then(|spec| spec.node_name.clone());
        let phase = other
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        let is_done = matches!(phase, Some("Succeeded" | "Failed"));
        if let Some(node) = node.filter(|_| !is_done && other.uid() != pod.uid()) {
            cache.assign(&other, &node);
        }
    }
    Ok(explain(pod, &cache))
}

/// The table that [`why`] prints.
pub fn explain(mut pod: Pod, cache: &Cache) -> String {
    let spec = pod.spec.get_or_insert_default();
    let at = spec.node_name.take().filter(|node| !node.is_empty());
    let decision = schedule(&pod, &cache.snapshot());
    let (scores, rejections, verdict) = match decision {
        Ok(decision) => {
            let verdict = format!("It would go to {}.", decision.node);
            (decision.scores, decision.rejections, verdict)
        }
        Err(error) => {
            let verdict = error.to_string();
            (Default::default(), error.rejections, verdict)
        }
    };
    let mut rows = vec![("NODE".to_owned(), "SAYS".to_owned(), "BECAUSE".to_owned())];
    rows.extend(
        cache
            .node_names()
            .map(|node| match (scores.get(node), rejections.get(node)) {
                (Some(score), _) => (node.to_owned(), "yes".to_owned(), format!("score {score}")),
                (_, Some(no)) => (
                    node.to_owned(),
                    "no".to_owned(),
                    format!("{}: {}", no.plugin, no.reasons.join(", ")),
                ),
                _ => unreachable!("every node has a score or a rejection"),
            }),
    );
    let width = rows.iter().map(|(node, ..)| node.len()).max().unwrap_or(0);
    let mut table = String::new();
    for (node, says, because) in rows {
        let _infallible = writeln!(table, "{node:width$}   {says:4}   {because}");
    }
    table.push('\n');
    if let Some(node) = at {
        let _infallible = writeln!(table, "It is on {node}; asked as if it had no node yet:");
    }
    table + &verdict + "\n"
}
