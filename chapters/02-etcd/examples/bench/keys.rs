//! Keys that are there before something is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use bytes::Bytes;
use etcd::grpc::pb::etcdserverpb as rpc;
use futures::future::join_all;
use tonic::transport::Channel;

use crate::calls::put;
use crate::load::KvClient;
use crate::server::Server;

/// Where the keys are made by [`fill_keys`].
pub const FOLDER: &str = "/registry/fill";

/// Bytes of each value.
pub const VALUE_BYTES: usize = 256;

/// Makes the keys of `folder` up to that many; they are there already after the first time.
///
/// # Errors
/// If the server fails.
pub async fn fill(server: &Server, folder: &str, keys: u64) -> Result<()> {
    let channel = server.connect().await?;
    let mut kv = KvClient::new(channel.clone());
    let count = rpc::RangeRequest {
        key: format!("{folder}/").into(),
        range_end: format!("{folder}0").into(),
        count_only: true,
        ..Default::default()
    };
    let there = kv.range(count).await?.into_inner().count as u64;
    fill_from(&channel, folder, there, keys).await
}

/// The key of that number in `folder`.
pub fn key_of(folder: &str, n: u64) -> Bytes {
    format!("{folder}/{n:08}").into()
}

/// Makes the keys of these numbers, without the last.
async fn fill_from(channel: &Channel, folder: &str, first: u64, last: u64) -> Result<()> {
    let next = Arc::new(AtomicU64::new(first));
    let fillers = (0..200).map(|_| {
        let (next, channel, folder) = (next.clone(), channel.clone(), folder.to_owned());
        tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= last {
                    return Ok::<_, anyhow::Error>(());
                }
                let value = vec![b'z'; VALUE_BYTES].into();
                put(channel.clone(), key_of(&folder, n), value).await?;
            }
        })
    });
    for filler in join_all(fillers).await {
        filler??;
    }
    Ok(())
}

/// Makes a million keys of 256 bytes, or however many.
///
/// # Errors
/// If the server fails.
pub async fn fill_keys(server: &Server, keys: u64) -> Result<()> {
    let channel = server.connect().await?;
    fill_from(&channel, FOLDER, 0, keys).await
}
