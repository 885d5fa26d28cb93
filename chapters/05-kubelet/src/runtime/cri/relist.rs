//! What changed in the runtime, found by looking again and again.
//!
//! CRI has no events that every runtime serves (`GetContainerEvents` came with containerd 1.7),
//! so once a second all states are asked for and compared with the last ones; after what the
//! kubelet did itself, at once. Upstream: `pkg/kubelet/pleg/generic.go`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, broadcast};

use super::messages as cri;
use crate::runtime::RuntimeEvent;
use grpc::client::{Client, Status};

/// How often the runtime is asked. Upstream: `genericPlegRelistPeriod`.
const PERIOD: Duration = Duration::from_secs(1);
/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// The states last seen, and who is told of changes.
pub struct Relist {
    events: broadcast::Sender<RuntimeEvent>,
    again: Notify,
}

/// State and pod of each sandbox and container, by id.
type States = BTreeMap<String, (i32, String)>;

impl Relist {
    /// Looks until nobody holds it any more.
    pub fn start(client: Arc<Client>) -> Arc<Relist> {
        let relist = Arc::new(Relist {
            events: broadcast::channel(256).0,
            again: Notify::new(),
        });
        let weak = Arc::downgrade(&relist);
        tokio::spawn(async move {
            let mut states = States::new();
            let mut tick = tokio::time::interval(PERIOD);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while let Some(relist) = weak.upgrade() {
                relist.look(&client, &mut states).await;
                tokio::select! {
                    _ = tick.tick() => {}
                    () = relist.again.notified() => {}
                }
            }
        });
        relist
    }

    /// Changes from now on.
    pub fn events(&self) -> broadcast::Receiver<RuntimeEvent> {
        self.events.subscribe()
    }

    /// Something was done: look now.
    pub fn soon(&self) {
        self.again.notify_one();
    }

    async fn look(&self, client: &Client, states: &mut States) {
        match list(client).await {
            Ok(new) => {
                for pod_uid in changed(states, &new) {
                    let _nobody_listens = self.events.send(RuntimeEvent { pod_uid });
                }
                *states = new;
            }
            Err(error) => tracing::warn!(%error, "the container runtime does not answer"),
        }
    }
}

async fn list(client: &Client) -> std::result::Result<States, Status> {
    let mut states = States::new();
    let sandboxes = client
        .call(&cri::ListPodSandboxRequest { filter: None }, DEADLINE)
        .await?;
    for sandbox in sandboxes.items {
        let uid = sandbox.metadata.unwrap_or_default().uid;
        states.insert(sandbox.id, (sandbox.state, uid));
    }
    let containers = client
        .call(&cri::ListContainersRequest { filter: None }, DEADLINE)
        .await?;
    for mut container in containers.containers {
        let uid = container.labels.remove("io.kubernetes.pod.uid");
        states.insert(container.id, (container.state, uid.unwrap_or_default()));
    }
    Ok(states)
}

/// The pods of which something came, went or changed, each once.
fn changed(old: &States, new: &States) -> Vec<String> {
    let pods_of = |some: &States, others: &States| -> Vec<String> {
        let differ = some
            .iter()
            .filter(|(id, state)| others.get(*id) != Some(state));
        differ.map(|(_, (_, uid))| uid.clone()).collect()
    };
    let mut pods = [pods_of(old, new), pods_of(new, old)].concat();
    pods.sort();
    pods.dedup();
    pods
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pod_is_told_once() {
        let states = |list: &[(&str, i32, &str)]| -> States {
            let entry = |(id, state, uid): &(&str, i32, &str)| {
                ((*id).to_owned(), (*state, (*uid).to_owned()))
            };
            list.iter().map(entry).collect()
        };
        let old = states(&[
            ("s1", 0, "a"),
            ("c1", 1, "a"),
            ("s2", 0, "b"),
            ("s3", 0, "c"),
        ]);
        let new = states(&[
            ("s1", 1, "a"),
            ("c1", 2, "a"),
            ("s2", 0, "b"),
            ("s4", 0, "d"),
        ]);
        assert_eq!(changed(&old, &new), ["a", "c", "d"]);
        assert_eq!(changed(&new, &new), [""; 0]);
    }
}
