//! `/metrics`: what the server counts, under the names that etcd has for it, so that its
//! dashboards and alerts work.
//!
//! Help texts are our own. `tests/metrics.txt` has all names of etcd 3.5, and of each that is left
//! out why: most are of Raft's messages, of Go's runtime, of bbolt, or of the API of version 2.
//! Three mean something close to what they mean in etcd:
//!
//! - `etcd_disk_backend_commit_duration_seconds` is how long checkpoints take to write: that is
//!   when a change leaves the log for its place on disk.
//! - `etcd_server_proposals_…` count the commands of the log.
//! - `etcd_debugging_mvcc_pending_events_total` is always 0: no watch has a queue.

mod calls;
mod machine;
mod text;

use std::sync::Arc;

pub use calls::{CallCounts, MethodId};
pub use text::CONTENT_TYPE;
use text::Text;

use super::{API_VERSION, CLUSTER_VERSION, MEMBER_ID, Server, checks};
use crate::counts::Counter;

/// What is counted beside the store's own [`counts`](crate::counts).
#[derive(Debug)]
pub struct Metrics {
    /// The calls.
    pub calls: Arc<CallCounts>,
    /// Events that were told to watches.
    pub events: Counter,
    /// Answers to `/health` that all is well.
    pub health_successes: Counter,
    /// And that it is not.
    pub health_failures: Counter,
}

impl Metrics {
    /// Counts the calls of the services that these descriptors describe.
    pub fn new(descriptors: &[&[u8]]) -> Self {
        Self {
            calls: Arc::new(CallCounts::new(descriptors)),
            events: Counter::default(),
            health_successes: Counter::default(),
            health_failures: Counter::default(),
        }
    }
}

/// The page.
pub fn page(server: &Server) -> String {
    let mut text = Text::default();
    write_server(&mut text, server);
    write_store(&mut text, server);
    write_disk(&mut text, server);
    server.metrics.calls.write(&mut text);
    machine::write(&mut text);
    text.into_string()
}

fn write_server(text: &mut Text, server: &Server) {
    // `3.5` of `3.5.0`.
    let cluster = CLUSTER_VERSION
        .rsplit_once('.')
        .map_or("", |(minor, _)| minor);
    text.info(
        "etcd_cluster_version",
        "The version that all members have.",
        "cluster_version",
        cluster,
    );
    text.info(
        "etcd_server_version",
        "The version whose API this is.",
        "server_version",
        API_VERSION,
    );
    let id = format!("{MEMBER_ID:x}");
    text.info("etcd_server_id", "The member's id.", "server_id", &id);
    text.gauge("etcd_server_has_leader", "Whether there is a leader.", 1);
    text.gauge("etcd_server_is_leader", "Whether it is this member.", 1);
    text.gauge("etcd_server_is_learner", "Whether it has no vote.", 0);
    text.counter(
        "etcd_server_leader_changes_seen_total",
        "Times that there was a new leader: once, at the start.",
        1,
    );
    let counts = server.store.counts();
    let written = counts.applied.get();
    text.gauge(
        "etcd_server_proposals_committed_total",
        "Commands that were written to the log, since there is the store.",
        written,
    );
    text.gauge(
        "etcd_server_proposals_applied_total",
        "Commands that were applied, since there is the store.",
        written,
    );
    text.gauge(
        "etcd_server_proposals_pending",
        "Commands that wait to be written.",
        server.store.writes_waiting(),
    );
    text.counter(
        "etcd_server_proposals_failed_total",
        "Commands that could not be written.",
        counts.failed.get(),
    );
    text.gauge(
        "etcd_server_quota_backend_bytes",
        "Bytes that the store may take.",
        server.config.quota_backend_bytes,
    );
    text.counter(
        "etcd_server_health_success",
        "Times that /health said all is well.",
        server.metrics.health_successes.get(),
    );
    text.counter(
        "etcd_server_health_failures",
        "Times that /health said it is not.",
        server.metrics.health_failures.get(),
    );
    let name = "etcd_server_healthcheck";
    text.family(name, "gauge", "Each check of /livez and /readyz.");
    for (kind, check, is_well) in checks::results(&server.condition()) {
        let labels = [("name", check), ("type", kind)];
        text.sample(name, &labels, u8::from(is_well));
    }
}

fn write_store(text: &mut Text, server: &Server) {
    let store = &server.store;
    let counts = store.counts();
    for (name, help, counter) in [
        ("put_total", "Keys that were put.", &counts.puts),
        ("delete_total", "Ranges that were deleted.", &counts.deletes),
        ("range_total", "Ranges that were read.", &counts.ranges),
        (
            "txn_total",
            "Transactions of more than one step.",
            &counts.txns,
        ),
    ] {
        text.counter(&format!("etcd_mvcc_{name}"), help, counter.get());
    }
    text.counter(
        "etcd_debugging_mvcc_range_total",
        "Ranges that were read.",
        counts.ranges.get(),
    );
    text.gauge(
        "etcd_debugging_mvcc_total_put_size_in_bytes",
        "Bytes of the keys and values that were put.",
        counts.put_bytes.get(),
    );
    text.gauge(
        "etcd_debugging_mvcc_keys_total",
        "Keys that exist.",
        store.keys(),
    );
    text.gauge(
        "etcd_debugging_mvcc_current_revision",
        "The revision of the last write.",
        store.revision(),
    );
    text.gauge(
        "etcd_debugging_mvcc_compact_revision",
        "The revision of the last compaction.",
        store.compact_revision(),
    );
    let (watchers, streams, behind) = store.watch_counts();
    for (name, help, value) in [
        ("watch_stream_total", "Clients that watch.", streams),
        ("watcher_total", "Watches.", watchers),
        (
            "slow_watcher_total",
            "Watches that have something to tell.",
            behind,
        ),
        ("pending_events_total", "Events that wait in a queue.", 0),
    ] {
        text.gauge(&format!("etcd_debugging_mvcc_{name}"), help, value);
    }
    text.counter(
        "etcd_debugging_mvcc_events_total",
        "Events that were told.",
        server.metrics.events.get(),
    );
    for (name, help, counter) in [
        (
            "lease_granted_total",
            "Leases granted.",
            &counts.leases_granted,
        ),
        (
            "lease_revoked_total",
            "Leases that have ended.",
            &counts.leases_revoked,
        ),
        (
            "lease_renewed_total",
            "Keep-alives of leases.",
            &counts.leases_renewed,
        ),
        (
            "server_lease_expired_total",
            "Leases whose time was up.",
            &counts.leases_expired,
        ),
    ] {
        text.counter(&format!("etcd_debugging_{name}"), help, counter.get());
    }
}

fn write_disk(text: &mut Text, server: &Server) {
    let counts = server.store.counts();
    let bytes = server.store.size_bytes();
    text.gauge(
        "etcd_mvcc_db_total_size_in_bytes",
        "Bytes that the store takes on disk.",
        bytes,
    );
    text.gauge(
        "etcd_mvcc_db_total_size_in_use_in_bytes",
        "Bytes of them that are in use.",
        bytes,
    );
    text.gauge(
        "etcd_disk_wal_write_bytes_total",
        "Bytes that were written to the log.",
        counts.log_bytes.get(),
    );
    text.histogram(
        "etcd_disk_wal_fsync_duration_seconds",
        "How long syncs of the log take.",
        &counts.syncs,
    );
    text.histogram(
        "etcd_disk_backend_commit_duration_seconds",
        "How long checkpoints take to write.",
        &counts.checkpoints,
    );
}
