//! Trying again: soon at first, since at boot everything comes up together, then less often.

use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::api::Api;
use kube::runtime::watcher;
use watches::Watched;

/// Delays from 5 ms, doubling up to 250 ms for the first seconds, then 2 s.
#[derive(Debug)]
pub struct Retry {
    attempts: u32,
}

impl Retry {
    /// Nothing has failed yet.
    pub fn new() -> Retry {
        Retry { attempts: 0 }
    }

    /// Counts a failure and returns how long to wait after it.
    pub fn next_delay(&mut self) -> Duration {
        let attempts = self.attempts;
        self.attempts = attempts.saturating_add(1);
        match attempts {
            0..40 => Duration::from_millis((5 << attempts.min(6)).min(250)),
            _ => Duration::from_secs(2),
        }
    }

    /// Waits after a failure.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next_delay()).await;
    }
}

impl Default for Retry {
    fn default() -> Retry {
        Retry::new()
    }
}

/// A watch that never ends: after a failure it waits a little and goes on.
pub fn watch<K: Watched>(
    api: Api<K>,
    config: watcher::Config,
) -> impl Stream<Item = watcher::Event<K>> {
    let state = (K::watch(api, config), Retry::new());
    futures::stream::unfold(state, |(mut events, mut retry)| async move {
        loop {
            match events.next().await? {
                Ok(event) => return Some((event, (events, Retry::new()))),
                Err(error) => {
                    tracing::debug!(%error, "watch interrupted");
                    retry.wait().await;
                }
            }
        }
    })
}
