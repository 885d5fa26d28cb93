//! What `client.rs` does, with `kube`: the requests are the same, and have types.

use std::collections::BTreeMap;
use std::pin::pin;

use anyhow::Result;
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    component::install_crypto();
    let maps: Api<ConfigMap> = Api::default_namespaced(Client::try_default().await?);
    let one = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let greeting = ConfigMap {
        metadata: ObjectMeta {
            name: Some("greeting".into()),
            labels: Some(one("app", "greeting")),
            ..Default::default()
        },
        data: Some(one("text", "hello")),
        ..Default::default()
    };
    maps.create(&PostParams::default(), &greeting).await?;
    let ours = ListParams::default().labels("app=greeting");
    println!("listed: {}", maps.list(&ours).await?.items.len());

    // List, watch, bookmarks, 410 and what to do then: all in here.
    let ours = watcher::Config::default().labels("app=greeting");
    let mut events = pin!(watcher::watcher(maps.clone(), ours));
    while let Some(event) = events.try_next().await? {
        match event {
            Event::Init => println!("what is there:"),
            Event::InitApply(map) => println!("  {}: {:?}", map.name_any(), map.data),
            Event::InitDone => {
                let patch = Patch::Merge(json!({"data": {"text": "good morning"}}));
                let params = PatchParams::default();
                maps.patch("greeting", &params, &patch).await?;
            }
            Event::Apply(map) => {
                println!("changed: {:?}", map.data);
                maps.delete("greeting", &DeleteParams::default()).await?;
            }
            Event::Delete(map) => {
                println!("gone: {}", map.name_any());
                break;
            }
        }
    }
    Ok(())
}
