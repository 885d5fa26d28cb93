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
//! | [`ps`] | `docker-ps`: from flags to text |
//! | [`engine`] | finds an engine and asks it (the shell) |
//! | [`filter`] | `--filter status=running` |
//! | [`format`] | `--format`: which table, which line |
//! | [`template`] | Go templates, as far as `--format` needs them |
//! | [`columns`], [`cells`] | what `{{.ID}}` and the others show |
//! | [`duration`], [`ports`], [`size`] | "2 hours ago", `0.0.0.0:8080->80/tcp`, `762kB` |
//! | [`table`] | cells in columns |
//! | [`nodes`] | several engines, one table |
//! | [`keep`] | holds one engine at a desired state |
//!
//! Read [`table`] and [`duration`] first, then [`engine`], [`nodes`], and [`keep`] last. What a
//! container is to the kernel is in `examples/by-hand.rs`.
//!
//! Upstream: `cli/command/container/list.go` and `cli/command/formatter/container.go` in
//! docker/cli. Left out: TLS and SSH to the engine, `range` and `with` in templates.

pub mod cells;
pub mod columns;
pub mod duration;
pub mod engine;
pub mod filter;
pub mod format;
pub mod keep;
pub mod nodes;
pub mod ports;
pub mod ps;
pub mod size;
pub mod table;
pub mod template;
