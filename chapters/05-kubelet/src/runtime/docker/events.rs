//! The engine's events, as news about pods.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptions;
use futures::StreamExt;

use super::{Inner, labels};

/// What changes a container's state; much else is told as well, such as each exec.
const ACTIONS: [&str; 5] = ["create", "destroy", "die", "oom", "start"];
/// The wait before an engine is asked again that does not answer.
const RETRY: Duration = Duration::from_millis(500);
/// After an event a pod is looked at twice: an engine tells of a container's end before its list
/// shows it (20.10 does so every time).
const SHOWN_AFTER: Duration = Duration::from_millis(300);

/// Tells what happens, as long as the process lives. When the stream breaks, something may have
/// been missed: all pods are looked at again.
pub(super) async fn follow(inner: Arc<Inner>) {
    loop {
        let labels = inner.own_labels();
        let options = EventsOptions {
            filters: Some(HashMap::from([
                ("type".to_owned(), vec!["container".to_owned()]),
                ("label".to_owned(), labels),
            ])),
            ..EventsOptions::default()
        };
        let mut events = Box::pin(inner.engine.docker.events(Some(options)));
        // Asked for first and listed then, so that nothing falls between the two.
        let first = tokio::time::timeout(RETRY, events.next()).await;
        inner.tell_all().await;
        let mut next = match first {
            Ok(event) => event,
            // Nothing happened so far.
            Err(_) => events.next().await,
        };
        while let Some(Ok(event)) = next {
            inner.clone().tell(event);
            next = events.next().await;
        }
        tracing::info!("the engine's events ended; asking for them again");
        tokio::time::sleep(RETRY).await;
    }
}

impl Inner {
    fn tell(self: Arc<Self>, event: EventMessage) {
        let action = event.action.unwrap_or_default();
        if !ACTIONS.contains(&action.as_str()) {
            return;
        }
        let actor = event.actor.unwrap_or_default();
        // What it was then is not what it is now, whatever the list says.
        self.state().seen.remove(&actor.id.unwrap_or_default());
        let uid = labels::text(&actor.attributes.unwrap_or_default(), labels::POD_UID);
        if uid.is_empty() {
            return;
        }
        self.changed(uid.clone());
        tokio::spawn(async move {
            tokio::time::sleep(SHOWN_AFTER).await;
            self.changed(uid);
        });
    }

    /// Has all pods looked at.
    async fn tell_all(&self) {
        let sandboxes = self.list_sandboxes(None).await.unwrap_or_default();
        let containers = self
            .engine
            .list(self.own_labels())
            .await
            .unwrap_or_default();
        let of_containers = containers.into_iter().filter_map(|it| it.labels);
        let mut uids: BTreeSet<String> = of_containers
            .map(|own| labels::text(&own, labels::POD_UID))
            .collect();
        uids.extend(sandboxes.into_iter().map(|sandbox| sandbox.metadata.uid));
        for uid in uids.into_iter().filter(|uid| !uid.is_empty()) {
            self.changed(uid);
        }
    }
}
