//! Watching a resource for as long as the scheduler runs.

use std::time::Duration;

use futures::stream::StreamExt;
use kube::api::Api;
use kube::runtime::utils::Backoff;
use kube::runtime::{WatchStreamExt, watcher};
use watches::Watched;

/// A list and watch of a whole resource, begun anew when it breaks: at once, then less and less
/// often, but at least every quarter of a second, for the API server may be just starting.
pub fn watch<K: Watched>(api: Api<K>) -> impl futures::Stream<Item = watcher::Event<K>> + Send {
    K::watch(api, watcher::Config::default())
        .backoff(Retry::default())
        .filter_map(|event| async {
            event
                .inspect_err(|error| tracing::debug!(%error, "a watch is begun anew"))
                .ok()
        })
}

/// The time between attempts to watch.
#[derive(Debug, Default)]
struct Retry {
    attempts: u32,
}

impl Iterator for Retry {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = Duration::from_millis(5) * (1 << self.attempts.min(6));
        self.attempts += 1;
        Some(pause.min(Duration::from_millis(250)))
    }
}

impl Backoff for Retry {
    fn reset(&mut self) {
        self.attempts = 0;
    }
}
