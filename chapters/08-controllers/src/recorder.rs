//! Events: what controllers tell people about what they did.
//!
//! Recording never holds up a controller: events wait in a bounded queue and are written by one
//! task; when the queue is full the newest is dropped, for an event is news, not state. The same
//! event again raises the count of the one that is there. Upstream:
//! `client-go/tools/record/event.go` and `events_cache.go`.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use serde_json::json;
use tokio::sync::mpsc;

/// Events that wait to be written.
const QUEUE_CAPACITY: usize = 512;
/// Events that are remembered so that they can be counted instead of repeated.
const REMEMBERED_MAX: usize = 512;

/// Writes events in the name of one component.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<News>,
    component: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct News {
    object: (String, String, String, String, String),
    component: &'static str,
    kind: &'static str,
    reason: &'static str,
    message: String,
}

impl Recorder {
    /// A recorder, and the task that writes for it: run that until the process ends.
    pub fn new(client: Client) -> (Recorder, impl Future<Output = ()> + Send + 'static) {
        let (queue, news) = mpsc::channel(QUEUE_CAPACITY);
        (
            Recorder {
                queue,
                component: "",
            },
            write_all(client, news),
        )
    }

    /// The same recorder for another component: `deployment-controller`.
    pub fn named(&self, component: &'static str) -> Recorder {
        Recorder {
            queue: self.queue.clone(),
            component,
        }
    }

    /// Something went as it should.
    pub fn normal<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        reason: &'static str,
        message: String,
    ) {
        self.record("Normal", object, reason, message);
    }

    /// Something did not.
    pub fn warning<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        reason: &'static str,
        message: String,
    ) {
        self.record("Warning", object, reason, message);
    }

    fn record<K: Resource<DynamicType = ()>>(
        &self,
        kind: &'static str,
        object: &K,
        reason: &'static str,
        message: String,
    ) {
        let reference = object.object_ref(&());
        let object = (
            reference.api_version.unwrap_or_default(),
            reference.kind.unwrap_or_default(),
            reference.namespace.unwrap_or_default(),
            reference.name.unwrap_or_default(),
            reference.uid.unwrap_or_default(),
        );
        let news = News {
            object,
            component: self.component,
            kind,
            reason,
            message,
        };
        if let Err(error) = self.queue.try_send(news) {
            tracing::debug!(%error, reason, "an event was dropped");
        }
    }
}

async fn write_all(client: Client, mut news: mpsc::Receiver<News>) {
    let mut written: HashMap<News, (String, i32)> = HashMap::new();
    while let Some(news) = news.recv().await {
        if let Err(error) = write(&client, &mut written, &news).await {
            tracing::debug!(%error, reason = news.reason, "an event could not be written");
        }
    }
}

async fn write(
    client: &Client,
    written: &mut HashMap<News, (String, i32)>,
    news: &News,
) -> Result<(), kube::Error> {
    let (api_version, kind, namespace, name, uid) = &news.object;
    // Events about what lives in no namespace go to `default`.
    let event_namespace = if namespace.is_empty() {
        "default"
    } else {
        namespace
    };
    let api = Api::<Event>::namespaced(client.clone(), event_namespace);
    let now = Timestamp::now();
    if let Some((event_name, count)) = written.get_mut(news) {
        let patch = json!({"count": *count + 1, "lastTimestamp": Time(now)});
        match api
            .patch(event_name, &PatchParams::default(), &Patch::Merge(patch))
            .await
        {
            Ok(_) => {
                *count += 1;
                return Ok(());
            }
            // It has expired: write it anew.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    let event_name = format!("{name}.{:x}", now.as_nanosecond());
    let optional = |text: &String| (!text.is_empty()).then(|| text.clone());
    let event = Event {
        metadata: ObjectMeta {
            name: Some(event_name.clone()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: optional(api_version),
            kind: optional(kind),
            namespace: optional(namespace),
            name: optional(name),
            uid: optional(uid),
            ..ObjectReference::default()
        },
        reason: Some(news.reason.to_owned()),
        message: Some(news.message.clone()),
        type_: Some(news.kind.to_owned()),
        source: Some(EventSource {
            component: Some(news.component.to_owned()),
            host: None,
        }),
        reporting_component: Some(news.component.to_owned()),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        ..Event::default()
    };
    api.create(&PostParams::default(), &event).await?;
    if written.len() >= REMEMBERED_MAX {
        written.clear();
    }
    written.insert(news.clone(), (event_name, 1));
    Ok(())
}
