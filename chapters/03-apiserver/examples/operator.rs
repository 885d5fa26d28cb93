//! A small operator: what a `ConfigHistory` asks for, done.
//!
//! Whenever the ConfigMap that a history is of has changed, a copy of it is kept: `NAME-1`,
//! `NAME-2`, … and the oldest go when there are more than `keep`. The kind is defined in
//! `book/manifests/config-histories.yaml`.
//!
//! * Copies are *owned* by their history: the garbage collector takes them away with it.
//! * The mark on the ConfigMap is on somebody else's object, which no owner reference reaches: a
//!   *finalizer* holds the history until the mark is off.
//! * What is so is said in the *status*; what should be so is in the *spec*, and is the user's.
//!
//! `#[derive(CustomResource)]` of `kube` would write the kind's boilerplate and its definition;
//! here both are written out, so as to be seen.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind, Object};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{self, Event, finalizer};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Config;
use kube::{Api, Client, Resource, ResourceExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Who writes, in `managedFields` and in the finalizer's name.
const MANAGER: &str = "example.com/histories";
/// The label of a copy: whose it is.
const HISTORY: &str = "example.com/history";

// ANCHOR: kind
/// What is asked for.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct HistorySpec {
    /// The ConfigMap that is kept.
    of: String,
    /// How many copies there are at most.
    keep: usize,
}

/// What is so.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
struct HistoryStatus {
    copies: usize,
    latest: Option<String>,
}

type ConfigHistory = Object<HistorySpec, HistoryStatus>;

fn kind() -> ApiResource {
    let kind = GroupVersionKind::gvk("example.com", "v1", "ConfigHistory");
    ApiResource::from_gvk_with_plural(&kind, "confighistories")
}
// ANCHOR_END: kind

// ANCHOR: main
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    component::install_crypto();
    let client = Client::try_default().await?;
    let histories: Api<ConfigHistory> = Api::all_with(client.clone(), &kind());
    let maps: Api<ConfigMap> = Api::all(client.clone());
    let controller = Controller::new_with(histories, Config::default(), kind());
    let known = controller.store();
    // A ConfigMap has changed: whose histories are to be looked at? Its copies are ConfigMaps too.
    let concerned = move |map: ConfigMap| {
        let owner = map.labels().get(HISTORY).cloned();
        let is_of = move |it: &Arc<ConfigHistory>| {
            it.namespace() == map.namespace()
                && (it.spec.of == map.name_any() || Some(it.name_any()) == owner)
        };
        let found = known.state().into_iter().filter(is_of);
        found
            .map(|it| ObjectRef::from_obj_with(&*it, kind()))
            .collect::<Vec<_>>()
    };
    controller
        .watches(maps, Config::default(), concerned)
        .shutdown_on_signal()
        .run(reconcile, again, Arc::new(client))
        .for_each(|_| std::future::ready(()))
        .await;
    Ok(())
}
// ANCHOR_END: main

type Failure = finalizer::Error<kube::Error>;

/// Something was refused, or changed meanwhile: what to do is decided anew from what is then so.
fn again(history: Arc<ConfigHistory>, failure: &Failure, _: Arc<Client>) -> Action {
    eprintln!("{}: {failure}", history.name_any());
    Action::requeue(Duration::from_secs(1))
}

// ANCHOR: reconcile
/// Looks at what is, and makes it what it should be. It is told which history, and not why.
async fn reconcile(history: Arc<ConfigHistory>, client: Arc<Client>) -> Result<Action, Failure> {
    let namespace = history.namespace().expect("the kind has namespaces");
    let client = Client::clone(&client);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let histories: Api<ConfigHistory> = Api::namespaced_with(client, &namespace, &kind());
    finalizer(&histories, MANAGER, history, |event| async {
        match event {
            Event::Apply(history) => keep(&histories, &maps, &history).await,
            Event::Cleanup(history) => mark(&maps, &history, json!({})).await,
        }?;
        Ok(Action::await_change())
    })
    .await
}
// ANCHOR_END: reconcile

// ANCHOR: keep
async fn keep(
    histories: &Api<ConfigHistory>,
    maps: &Api<ConfigMap>,
    history: &ConfigHistory,
) -> kube::Result<()> {
    let name = history.name_any();
    mark(
        maps,
        history,
        json!({(format!("{HISTORY}.{name}")): "kept"}),
    )
    .await?;
    let of_ours = ListParams::default().labels(&format!("{HISTORY}={name}"));
    let mut copies = maps.list(&of_ours).await?.items;
    copies.sort_by_key(number);

    let original = maps.get_opt(&history.spec.of).await?;
    if let Some(original) = original
        && copies.last().is_none_or(|last| last.data != original.data)
    {
        let copy = ConfigMap {
            metadata: ObjectMeta {
                name: Some(format!(
                    "{name}-{}",
                    copies.last().map_or(1, |last| number(last) + 1)
                )),
                labels: Some([(HISTORY.to_owned(), name.clone())].into()),
                owner_references: history.controller_owner_ref(&kind()).map(|it| vec![it]),
                ..Default::default()
            },
            data: original.data,
            ..Default::default()
        };
        // If there is one of this name already, this is refused, and we look again.
        copies.push(maps.create(&PostParams::default(), &copy).await?);
    }
    let surplus = copies.len().saturating_sub(history.spec.keep);
    for old in copies.drain(..surplus) {
        maps.delete(&old.name_any(), &DeleteParams::default())
            .await?;
    }

    let status = HistoryStatus {
        copies: copies.len(),
        latest: copies.last().map(ResourceExt::name_any),
    };
    // Only when it is news: each write is an event, which would bring us here again.
    if history.status.as_ref() != Some(&status) {
        let patch = Patch::Merge(json!({"status": status}));
        histories
            .patch_status(&name, &PatchParams::default(), &patch)
            .await?;
    }
    Ok(())
}

/// The number at the end of a copy's name.
fn number(copy: &ConfigMap) -> u64 {
    let name = copy.name_any();
    let (_, number) = name.rsplit_once('-').unwrap_or_default();
    number.parse().unwrap_or(0)
}
// ANCHOR_END: keep

// ANCHOR: mark
/// Has the original say that it is kept, or no longer: by server-side apply, where what one does
/// not mention any more goes.
async fn mark(
    maps: &Api<ConfigMap>,
    history: &ConfigHistory,
    annotations: Value,
) -> kube::Result<()> {
    let Some(original) = maps.get_opt(&history.spec.of).await? else {
        return Ok(());
    };
    let wish = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        // Of this uid: had it gone meanwhile, apply would make a new one.
        "metadata": {"uid": original.uid(), "annotations": annotations},
    });
    let manager = format!("{MANAGER}-{}", history.name_any());
    let params = PatchParams::apply(&manager);
    maps.patch(&history.spec.of, &params, &Patch::Apply(wish))
        .await?;
    Ok(())
}
// ANCHOR_END: mark
