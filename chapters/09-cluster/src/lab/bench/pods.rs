//! Pods bound to one node, and when a watch told what became of them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt};

use super::Failure;
use super::calls::Calls;
use super::figures::Figures;
use crate::lab::layout::Layout;

/// Pods that take longer are a failure, not a figure.
const TIMEOUT: Duration = Duration::from_secs(300);
/// On all pods of the measurement.
const LABEL: &str = "bench=kubelet";

/// What many pods took.
#[derive(Debug, Default)]
pub struct Took {
    /// From the news that a pod is bound to the news that it is Running.
    running: Vec<Duration>,
    /// … that it is Ready.
    ready: Vec<Duration>,
    /// From the request to delete it to the news that it is gone.
    gone: Vec<Duration>,
    /// From the first pod bound to the last Running.
    pub all_running: Duration,
    /// From the first request to delete to the last gone.
    pub all_gone: Duration,
}

impl Took {
    /// Adds what others took.
    pub fn add(&mut self, others: Self) {
        self.running.extend(others.running);
        self.ready.extend(others.ready);
        self.gone.extend(others.gone);
    }

    /// From bound to Running.
    pub fn running(&self) -> Option<Figures> {
        Figures::of(self.running.clone())
    }

    /// From bound to Ready.
    pub fn ready(&self) -> Option<Figures> {
        Figures::of(self.ready.clone())
    }

    /// From the request to delete to gone.
    pub fn gone(&self) -> Option<Figures> {
        Figures::of(self.gone.clone())
    }
}

/// The pods of one node.
pub struct Pods {
    client: Client,
    api: Api<Pod>,
    all: Api<Pod>,
    node: String,
    made: u32,
}

impl Pods {
    /// Connects to the lab.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn connect(layout: &Layout, node: &str) -> Result<Self, Failure> {
        let config = kube::config::Kubeconfig::read_from(layout.kubeconfig())?;
        let config = kube::Config::from_custom_kubeconfig(config, &Default::default()).await?;
        let client = Client::try_from(config)?;
        Ok(Self {
            api: Api::namespaced(client.clone(), "default"),
            all: Api::all(client.clone()),
            client,
            node: node.to_owned(),
            made: 0,
        })
    }

    /// How many pods the node has.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn count(&self) -> Result<u32, Failure> {
        let field = format!("spec.nodeName={}", self.node);
        let pods = self.all.list(&ListParams::default().fields(&field)).await?;
        Ok(pods.items.len() as u32)
    }

    /// Makes so many pods at once, waits until they run and are ready.
    ///
    /// # Errors
    /// When one does not.
    pub async fn start(&mut self, count: u32) -> Result<Took, Failure> {
        let numbers = self.made..self.made + count;
        self.made += count;
        let pods: Vec<Pod> = numbers.map(|number| pod(number, &self.node)).collect();
        let version = self.version().await?;
        let params = WatchParams::default().labels(LABEL);
        let events = self.api.watch(&params, &version).await?;
        let api = &self.api;
        let created: FuturesUnordered<_> = pods
            .iter()
            .map(|pod| async move { api.create(&PostParams::default(), pod).await.map(drop) })
            .collect();
        let created = async { Ok::<_, Failure>(created.try_collect::<()>().await?) };

        let (mut bound, mut running, mut ready) = (HashMap::new(), HashMap::new(), HashMap::new());
        let told = async {
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.try_next().await? {
                let now = Instant::now();
                let (WatchEvent::Added(pod) | WatchEvent::Modified(pod)) = event else {
                    continue;
                };
                let name = pod.name_any();
                bound.entry(name.clone()).or_insert(now);
                if is_running(&pod) {
                    running.entry(name.clone()).or_insert(now);
                }
                if is_ready(&pod) {
                    ready.entry(name).or_insert(now);
                }
                if running.len() == pods.len() && ready.len() == pods.len() {
                    return Ok(());
                }
            }
            Err(Failure::from("the watch ended"))
        };
        let both = async { tokio::try_join!(created, told) };
        tokio::time::timeout(TIMEOUT, both).await??;
        let since = |then: &HashMap<String, Instant>| {
            let each = then.iter().filter_map(|(name, at)| {
                let bound = bound.get(name)?;
                Some(at.duration_since(*bound))
            });
            each.collect()
        };
        let first = bound.values().min().ok_or("no pods")?;
        let last = running.values().max().ok_or("no pods")?;
        Ok(Took {
            running: since(&running),
            ready: since(&ready),
            all_running: last.duration_since(*first),
            ..Took::default()
        })
    }

    /// Deletes all pods that were made, and waits until they are gone.
    ///
    /// # Errors
    /// When one stays.
    pub async fn delete(&self) -> Result<Took, Failure> {
        let listed = self.api.list(&ListParams::default().labels(LABEL)).await?;
        let version = listed.metadata.resource_version.unwrap_or_default();
        let names: Vec<String> = listed.items.iter().map(ResourceExt::name_any).collect();
        let params = WatchParams::default().labels(LABEL);
        let events = self.api.watch(&params, &version).await?;
        let began = Instant::now();
        let asked: FuturesUnordered<_> = names
            .iter()
            .map(|name| async move {
                let params = DeleteParams::default();
                self.api.delete(name, &params).await.map(drop)
            })
            .collect();
        let asked = async { Ok::<_, Failure>(asked.try_collect::<()>().await?) };
        let mut gone = Vec::new();
        let told = async {
            let mut events = std::pin::pin!(events.fuse());
            while gone.len() < names.len() {
                let event = events.try_next().await?.ok_or("the watch ended")?;
                if let WatchEvent::Deleted(_) = event {
                    gone.push(began.elapsed());
                }
            }
            Ok(())
        };
        let both = async { tokio::try_join!(asked, told) };
        tokio::time::timeout(TIMEOUT, both).await??;
        Ok(Took {
            all_gone: gone.iter().max().copied().unwrap_or_default(),
            gone,
            ..Took::default()
        })
    }

    /// What the kubelet's calls to its runtime took until now.
    ///
    /// # Errors
    /// When the kubelet does not answer, or made none.
    pub async fn calls(&self) -> Result<Calls, Failure> {
        let path = format!("/api/v1/nodes/{}/proxy/metrics", self.node);
        let request = http::Request::get(path).body(Vec::new())?;
        let metrics = self.client.request_text(request).await?;
        Ok(Calls::of(&metrics).ok_or("no pod was started")?)
    }

    async fn version(&self) -> Result<String, Failure> {
        let listed = self.api.list(&ListParams::default().limit(1)).await?;
        Ok(listed.metadata.resource_version.unwrap_or_default())
    }
}

fn is_running(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|it| it.phase.as_deref());
    phase == Some("Running")
}

fn is_ready(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|it| it.conditions.as_deref());
    let mut conditions = conditions.unwrap_or_default().iter();
    conditions.any(|it| it.type_ == "Ready" && it.status == "True")
}

/// A pod of one container that answers and ends when asked to, bound already: what the scheduler
/// takes is not measured.
fn pod(number: u32, node: &str) -> Pod {
    serde_json::from_value(serde_json::json!({
        "metadata": {"name": format!("bench-{number}"), "labels": {"bench": "kubelet"}},
        "spec": {
            "nodeName": node,
            "containers": [{"name": "echo", "image": super::kubelet::IMAGE}],
        },
    }))
    .expect("the pod is well-formed")
}
