//! Chapter 2: an MVCC key-value server that speaks etcd's v3 API.
//!
//! Everything a cluster knows is in one place: a store of keys and values that only the API
//! server opens. It needs four things of it, and they are what this crate is:
//!
//! - **Revisions.** Every write transaction gets the next number, and the store can be read as of
//!   each: [`mvcc`], the pure core.
//! - **Compare and swap.** A transaction writes only if what it compares still holds:
//!   [`Store::txn`].
//! - **Watches.** Hear of every change after a revision, without gap: [`Watcher`].
//! - **Durability.** What was acknowledged survives any crash: a write-ahead log that is synced
//!   before a write is answered, and checkpoints that keep it short.
//!
//! ```text
//!   txn, put ──► writer ──► log ──► fdatasync ──► mvcc ──► answer
//!                  │ (one thread, batches)         │ └───► ring the watchers
//!                  └──► checkpoint, now and then   │
//!   range, watch ◄─────────────── memory ──────────┘
//! ```
//!
//! The whole store is in memory, keys and values; disk is only for coming back. A version of a key
//! is one piece of memory, shared with whoever read it, so a cache on top holds no second copy.
//!
//! Read [`mvcc`] first, then `writer`, `log` and `disk`, then [`watch`]. The feature `grpc` adds the
//! server; the API server embeds the store without it. The feature `remote` adds the other way: the
//! same store as real etcd members, behind the same calls (`Backend`).
//!
//! That it keeps its promises is tested by trying to have it break them: `faults` has a disk that
//! fails or loses its power at every step; `tests/history` has clients write down what they saw
//! while the server was killed, and looks whether it can be; `tests/model` holds the core against
//! a list of all versions. `cargo xtask soak store` does the first two for as long as one likes. What
//! none of them can see is a disk that says that something is durable and does not keep it.
//! That it speaks as etcd does: `tests/referee` has the same scripts of `etcdctl` on both; the
//! clients of others hold sessions, Rust's in the workspace's `tests/etcd-client`, Python's in
//! `tests/python`.
//!
//! ```console
//! $ cargo run -p etcd -- serve --data-dir /tmp/etcd --listen-client-urls http://127.0.0.1:2379
//! $ etcdctl put hello world
//! ```
//!
//! Left out: Raft and with it clusters of several members (a real etcd takes this store's place
//! there), and users and roles. Upstream: `server/storage/mvcc` and
//! `server/storage/wal` in etcd-io/etcd.

pub mod api;
#[cfg(feature = "remote")]
pub mod backend;
#[cfg(feature = "grpc")]
mod backup;
mod checkpoint;
mod codec;
pub mod counts;
mod crc;
pub mod deadlines;
pub mod disk;
#[cfg(test)]
mod faults;
mod frame;
#[cfg(feature = "grpc")]
pub mod grpc;
mod log;
pub mod mvcc;
mod queue;
mod random;
#[cfg(feature = "remote")]
pub mod remote;
mod store;
pub mod watch;
mod writer;

pub use api::Error;
#[cfg(feature = "remote")]
pub use backend::{Backend, BackendWatcher};
#[cfg(feature = "grpc")]
pub use backup::restore;
pub use store::{Options, Store};
pub use watch::{Watcher, Watches};
