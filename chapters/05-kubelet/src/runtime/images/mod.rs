//! Images: what a container's root is made of, by reference, without an engine.
//!
//! ```text
//! reference ──► registry (oci-client) ─┐
//! docker save, OCI layout ─────────────┼─► layers, unpacked once each ──► overlay's lower folders
//! built in: workshop/{echo,shell,dns} ─┘   config: command, env, user
//! ```
//!
//! The store is a folder that all nodes of a machine share: what one node pulls, all have. It
//! keeps no compressed blobs, only what containers are made of:
//!
//! ```text
//! {store}/index.json            references and images
//! {store}/lock                  held while the index changes
//! {store}/layers/{diff id}/     an unpacked layer, as overlay wants it; never changed
//! {store}/uses/{container id}   the layers that a container stands on
//! {store}/tmp/                  what is on its way
//! ```
//!
//! Left out: zstd layers, extended attributes of files (file capabilities among them), signatures,
//! and everything that pushes. Upstream: containerd `core/images`, `core/content`,
//! `core/snapshots`.

mod archive;
mod builtin;
mod export;
mod pull;
mod reference;
mod store;
mod unpack;

pub use archive::load_archive;
pub(in crate::runtime) use builtin::is_builtin;
pub(in crate::runtime) use export::Scratch;
pub use pull::Puller;
pub use reference::Reference;
pub use store::{ImageConfig, ImageRecord, ImageStore};
