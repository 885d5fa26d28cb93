//! Events: what happened to a pod, for `kubectl describe`.
//!
//! The same thing happening again is counted in the first event of it, not told anew.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use tokio::sync::mpsc;

/// Who the events are from: the name that pods ask for in `spec.schedulerName`.
pub const COMPONENT: &str = "default-scheduler";

/// Events that wait to be written; more are dropped, as upstream drops them: they are
/// information, and must not hold anything up.
const WAITING: usize = 512;

/// Events that are remembered to be counted.
const REMEMBERED: usize = 1024;

/// Something that happened to a pod.
#[derive(Debug, Clone)]
pub struct Occurrence {
    involved_object: ObjectReference,
    type_: &'static str,
    reason: &'static str,
    message: String,
}

/// Writes events, in the background.
#[derive(Clone)]
pub struct Recorder {
    occurrences: mpsc::Sender<Occurrence>,
}

impl Recorder {
    /// A recorder whose writer runs until the recorder is dropped.
    pub fn spawn(client: Client) -> Self {
        let (occurrences, receiver) = mpsc::channel(WAITING);
        tokio::spawn(write_all(client, receiver));
        Self { occurrences }
    }

    /// Tells that all went well.
    pub fn normal(&self, pod: &Pod, reason: &'static str, message: String) {
        self.record(pod, "Normal", reason, message);
    }

    /// Tells that something did not.
    pub fn warning(&self, pod: &Pod, reason: &'static str, message: String) {
        self.record(pod, "Warning", reason, message);
    }

    fn record(&self, pod: &Pod, type_: &'static str, reason: &'static str, message: String) {
        let involved_object = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: pod.namespace(),
            name: Some(pod.name_any()),
            uid: pod.uid(),
            resource_version: pod.resource_version(),
            field_path: None,
        };
        let occurrence = Occurrence {
            involved_object,
            type_,
            reason,
            message,
        };
        if self.occurrences.try_send(occurrence).is_err() {
            tracing::debug!("too many events wait to be written; one was dropped");
        }
    }
}

async fn write_all(client: Client, mut occurrences: mpsc::Receiver<Occurrence>) {
    let mut known: HashMap<(String, &'static str, String), (String, i32)> = HashMap::new();
    while let Some(occurrence) = occurrences.recv().await {
        let namespace = occurrence
            .involved_object
            .namespace
            .clone()
            .unwrap_or_default();
        let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
        let uid = occurrence.involved_object.uid.clone().unwrap_or_default();
        let key = (uid, occurrence.reason, occurrence.message.clone());
        if let Some((name, count)) = known.get_mut(&key) {
            *count += 1;
            let patch = serde_json::json!({
                "count": count,
                "lastTimestamp": Time(jiff::Timestamp::now()),
            });
            // It may be gone: events last an hour. Then this is the first one again.
            if events
                .patch(name, &PatchParams::default(), &Patch::Merge(patch))
                .await
                .is_ok()
            {
                continue;
            }
        }
        let event = new_event(&namespace, occurrence);
        match events.create(&PostParams::default(), &event).await {
            Ok(_) => {
                if known.len() >= REMEMBERED {
                    known.clear();
                }
                known.insert(key, (event.name_any(), 1));
            }
            Err(error) => tracing::debug!(%error, "an event was not written"),
        }
    }
}

fn new_event(namespace: &str, occurrence: Occurrence) -> Event {
    let now = jiff::Timestamp::now();
    let name = occurrence.involved_object.name.clone().unwrap_or_default();
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{:x}", now.as_nanosecond())),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        involved_object: occurrence.involved_object,
        type_: Some(occurrence.type_.to_owned()),
        reason: Some(occurrence.reason.to_owned()),
        message: Some(occurrence.message),
        source: Some(EventSource {
            component: Some(COMPONENT.to_owned()),
            host: None,
        }),
        reporting_component: Some(COMPONENT.to_owned()),
        count: Some(1),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        ..Event::default()
    }
}
