//! Chapter 2: an MVCC key-value server that speaks etcd's v3 API.
pub mod api;
