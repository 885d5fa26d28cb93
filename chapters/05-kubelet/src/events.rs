//! Events: what the kubelet did, for `kubectl describe` and `kubectl get events`.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, Node, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::mpsc;

use crate::decide::spec;

/// `Normal` or `Warning`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// As it should be.
    Normal,
    /// Somebody should look.
    Warning,
}

/// Most events that wait to be sent; more are dropped, as upstream does.
const QUEUE: usize = 256;
/// Most events remembered for counting repetitions.
const REMEMBERED: usize = 1024;

/// Hands events to a task that writes them, so that nobody waits for them.
#[derive(Clone)]
pub struct Recorder {
    sender: mpsc::Sender<Event>,
    node_name: String,
}

impl Recorder {
    /// Starts the task. It ends when the last recorder is dropped.
    pub fn new(client: kube::Client, node_name: &str) -> Recorder {
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(write(client, receiver));
        Recorder {
            sender,
            node_name: node_name.to_owned(),
        }
    }

    /// An event of a pod.
    pub fn pod(&self, pod: &Pod, severity: Severity, reason: &str, message: String) {
        self.send(pod_reference(pod), severity, reason, message);
    }

    /// An event of one of a pod's containers.
    pub fn container(
        &self,
        pod: &Pod,
        container: &str,
        severity: Severity,
        reason: &str,
        message: String,
    ) {
        let field_path = Some(spec::field_path(pod, container));
        let reference = ObjectReference {
            field_path,
            ..pod_reference(pod)
        };
        self.send(reference, severity, reason, message);
    }

    /// An event of the node.
    pub fn node(&self, node: &Node, severity: Severity, reason: &str, message: String) {
        let reference = ObjectReference {
            kind: Some("Node".to_owned()),
            name: node.metadata.name.clone(),
            uid: node.metadata.uid.clone(),
            ..ObjectReference::default()
        };
        self.send(reference, severity, reason, message);
    }

    fn send(&self, object: ObjectReference, severity: Severity, reason: &str, message: String) {
        let now = Timestamp::now();
        let namespace = object
            .namespace
            .clone()
            .unwrap_or_else(|| "default".to_owned());
        let name = object.name.clone().unwrap_or_default();
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{:x}", now.as_nanosecond())),
                namespace: Some(namespace),
                ..ObjectMeta::default()
            },
            involved_object: object,
            reason: Some(reason.to_owned()),
            message: Some(truncated(message)),
            type_: Some(format!("{severity:?}")),
            count: Some(1),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            source: Some(EventSource {
                component: Some("kubelet".to_owned()),
                host: Some(self.node_name.clone()),
            }),
            reporting_component: Some("kubelet".to_owned()),
            reporting_instance: Some(self.node_name.clone()),
            ..Event::default()
        };
        if self.sender.try_send(event).is_err() {
            tracing::debug!(reason, "event dropped");
        }
    }
}

/// The API takes messages up to 1024 bytes.
fn truncated(mut message: String) -> String {
    if message.len() > 1024 {
        let mut end = 1021;
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push_str("...");
    }
    message
}

fn pod_reference(pod: &Pod) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: pod.metadata.name.clone(),
        namespace: pod.metadata.namespace.clone(),
        uid: pod.metadata.uid.clone(),
        resource_version: pod.metadata.resource_version.clone(),
        ..ObjectReference::default()
    }
}

/// Writes events one by one; one like an earlier one raises that one's count.
async fn write(client: kube::Client, mut receiver: mpsc::Receiver<Event>) {
    let mut seen: HashMap<String, (String, i32)> = HashMap::new();
    while let Some(event) = receiver.recv().await {
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        let key = aggregation_key(&event);
        if let Some((name, count)) = seen.get_mut(&key) {
            *count += 1;
            let patch = json!({ "count": *count, "lastTimestamp": event.last_timestamp });
            let patch = Patch::Merge(patch);
            if api
                .patch(name, &PatchParams::default(), &patch)
                .await
                .is_ok()
            {
                continue;
            }
            // It has expired: this one begins anew.
        }
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        match api.create(&PostParams::default(), &event).await {
            Ok(created) => {
                let name = created.metadata.name.unwrap_or_default();
                seen.insert(key, (name, 1));
            }
            Err(error) => tracing::debug!(%error, "event not written"),
        }
    }
}

fn aggregation_key(event: &Event) -> String {
    let object = &event.involved_object;
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        part(&object.uid),
        part(&object.name),
        part(&object.field_path),
        part(&event.type_),
        part(&event.reason),
        part(&event.message),
    ]
    .join("\0")
}
