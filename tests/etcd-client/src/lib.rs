//! Rust's usual etcd client, the crate `etcd-client`, on the store of chapter 2: all in `tests`.
//!
//! ```text
//! cargo build --package etcd
//! WORKSHOP_STORE=$PWD/target/debug/etcd cargo test --manifest-path tests/etcd-client/Cargo.toml
//! ```
