//! Keeps a mirror in the API of each static pod.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use tokio::sync::mpsc;

use crate::context::Context;
use crate::decide::pod_key;
use crate::decide::static_pod::{self, MirrorStep};
use crate::retry::Retry;

/// The static pods and their mirrors, by `namespace/name`.
pub struct Mirrors {
    context: Arc<Context>,
    wanted: HashMap<String, Arc<Pod>>,
    mirrors: HashMap<String, Arc<Pod>>,
    /// Keys of which a mirror is being made or deleted; `true`: look at it again afterwards.
    under_way: HashMap<String, bool>,
    done: mpsc::UnboundedSender<String>,
}

impl Mirrors {
    /// None yet. The receiver tells what was carried out; hand it to [`Mirrors::carried_out`].
    pub fn new(context: Arc<Context>) -> (Mirrors, mpsc::UnboundedReceiver<String>) {
        let (done, receiver) = mpsc::unbounded_channel();
        let mirrors = Mirrors {
            context,
            wanted: HashMap::new(),
            mirrors: HashMap::new(),
            under_way: HashMap::new(),
            done,
        };
        (mirrors, receiver)
    }

    /// The mirror of a static pod, if it shows what the pod is now.
    pub fn of(&self, pod: &Pod) -> Option<Arc<Pod>> {
        let mirror = self.mirrors.get(&pod_key(pod))?;
        let step = static_pod::mirror_step(Some(pod), Some(mirror));
        (step == MirrorStep::Nothing).then(|| mirror.clone())
    }

    /// These static pods are wanted, and no others.
    pub fn want(&mut self, pods: impl Iterator<Item = Arc<Pod>>) {
        let before: HashSet<String> = self.wanted.keys().cloned().collect();
        self.wanted = pods.map(|pod| (pod_key(&pod), pod)).collect();
        let all: HashSet<String> = before
            .into_iter()
            .chain(self.wanted.keys().cloned())
            .collect();
        for key in all {
            self.step(&key);
        }
    }

    /// A mirror came, changed or went. Returns the static pod it shows.
    pub fn seen(&mut self, mirror: Arc<Pod>, gone: bool) -> Option<Arc<Pod>> {
        let key = pod_key(&mirror);
        if gone {
            let uid = &mirror.metadata.uid;
            let known = self.mirrors.get(&key);
            if known.is_some_and(|known| known.metadata.uid == *uid) {
                self.mirrors.remove(&key);
            }
        } else {
            self.mirrors.insert(key.clone(), mirror);
        }
        self.step(&key);
        self.wanted.get(&key).cloned()
    }

    /// All mirrors have been listed: those not in the list are gone.
    pub fn listed(&mut self, uids: &[String]) {
        let is_listed = |mirror: &Pod| {
            mirror
                .metadata
                .uid
                .as_ref()
                .is_some_and(|uid| uids.contains(uid))
        };
        self.mirrors.retain(|_, mirror| is_listed(mirror));
        let keys: Vec<String> = self.wanted.keys().cloned().collect();
        for key in keys {
            self.step(&key);
        }
    }

    /// What was under way for a key has been carried out.
    pub fn carried_out(&mut self, key: &str) {
        if self.under_way.remove(key) == Some(true) {
            self.step(key);
        }
    }

    fn step(&mut self, key: &str) {
        if let Some(again) = self.under_way.get_mut(key) {
            *again = true;
            return;
        }
        let wanted = self.wanted.get(key).map(|pod| &**pod);
        let mirror = self.mirrors.get(key).map(|pod| &**pod);
        let step = static_pod::mirror_step(wanted, mirror);
        if step == MirrorStep::Nothing {
            return;
        }
        self.under_way.insert(key.to_owned(), false);
        let (context, done, key) = (self.context.clone(), self.done.clone(), key.to_owned());
        tokio::spawn(async move {
            carry_out(&context, &key, step).await;
            let _kubelet_stops = done.send(key);
        });
    }
}

async fn carry_out(context: &Context, key: &str, step: MirrorStep) {
    let (namespace, name) = key.split_once('/').unwrap_or(("default", key));
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let mut retry = Retry::new();
    loop {
        let result = match &step {
            MirrorStep::Nothing => return,
            MirrorStep::Create(mirror) => create(context, &api, mirror).await,
            MirrorStep::Delete(uid) => {
                let params = DeleteParams {
                    grace_period_seconds: Some(0),
                    preconditions: Some(Preconditions {
                        uid: Some(uid.clone()),
                        ..Preconditions::default()
                    }),
                    ..DeleteParams::default()
                };
                api.delete(name, &params).await.map(drop)
            }
        };
        match result {
            Ok(()) => return,
            // Gone already, there already, or another's: the watch tells what is.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => {
                tracing::debug!(pod = key, status.message, "mirror");
                return;
            }
            Err(error) => {
                tracing::debug!(pod = key, %error, "mirror not kept");
                retry.wait().await;
            }
        }
    }
}

async fn create(context: &Context, api: &Api<Pod>, mirror: &Pod) -> kube::Result<()> {
    // The node that goes takes its mirrors with it.
    let nodes: Api<Node> = Api::all(context.client.clone());
    let node = nodes.get(&context.node_name).await?;
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: context.node_name.clone(),
        uid: node.metadata.uid.unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    };
    let mut mirror = mirror.clone();
    mirror.metadata.owner_references = Some(vec![owner]);
    api.create(&PostParams::default(), &mirror).await.map(drop)
}
