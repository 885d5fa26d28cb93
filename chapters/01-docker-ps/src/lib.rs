//! Chapter 1: `docker ps`, where everything starts.
//!
//! One machine, one engine, a list of processes in boxes. The engine is a server, `docker` a
//! client that asks it over a Unix socket and prints a table; so does this crate, through
//! `bollard`. Hold on to the shape of it: a list of desired-or-running things, kept by a server,
//! shown by a client. Kubernetes is the same list kept for many machines at once, and
//! `kubectl get pods -A` is `docker ps` on all of them.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`engine`] | finds an engine and asks it (the shell) |
//! | [`table`] | containers to text, as `docker ps` prints them (the core) |
//! | [`duration`] | "2 hours ago" |
//! | [`ports`] | `0.0.0.0:8080->80/tcp` |
//!
//! Upstream: `cli/command/container/list.go` and `cli/command/formatter/container.go` in
//! docker/cli. Left out so far: `--filter`, `--format`, sizes, and several engines side by side.

pub mod duration;
pub mod engine;
pub mod ports;
pub mod table;
