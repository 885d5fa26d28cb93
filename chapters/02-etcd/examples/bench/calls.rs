//! The calls that the rows make, and what they have to be answered.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use etcd::grpc::pb::etcdserverpb::{self as rpc, compare, request_op};
use measure::Measured;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::load::{self, KvClient};
use crate::rows::CONNECTIONS;
use crate::server::Server;

/// Puts one key.
///
/// # Errors
/// If the server fails.
pub async fn put(channel: Channel, key: Bytes, value: Bytes) -> Result<()> {
    let request = rpc::PutRequest {
        key,
        value,
        ..Default::default()
    };
    KvClient::new(channel).put(request).await?;
    Ok(())
}

/// As an API server writes: if the key is as it was, put; else say what it is.
///
/// # Errors
/// If the server fails.
pub async fn update(client: usize, n: u64, channel: Channel) -> Result<()> {
    let key = Bytes::from(format!("/registry/update/{client:04}/{:02}", n % 10));
    let mut kv = KvClient::new(channel);
    let mut revision = 0;
    loop {
        let get = rpc::RangeRequest {
            key: key.clone(),
            ..Default::default()
        };
        let put = rpc::PutRequest {
            key: key.clone(),
            value: vec![b'y'; 256].into(),
            ..Default::default()
        };
        let op = |request| rpc::RequestOp {
            request: Some(request),
        };
        let txn = rpc::TxnRequest {
            compare: vec![rpc::Compare {
                result: compare::CompareResult::Equal.into(),
                target: compare::CompareTarget::Mod.into(),
                key: key.clone(),
                target_union: Some(compare::TargetUnion::ModRevision(revision)),
                ..Default::default()
            }],
            success: vec![op(request_op::Request::RequestPut(put))],
            failure: vec![op(request_op::Request::RequestRange(get))],
        };
        let answer = kv.txn(txn).await?.into_inner();
        if answer.succeeded {
            return Ok(());
        }
        let found = answer
            .responses
            .first()
            .and_then(|response| match &response.response {
                Some(rpc::response_op::Response::ResponseRange(range)) => range.kvs.first(),
                _ => None,
            });
        revision = found.context("the key that another wrote")?.mod_revision;
    }
}

/// Reads one key.
///
/// # Errors
/// If the server fails, or does not have it.
pub async fn get(channel: Channel, key: Bytes, serializable: bool) -> Result<()> {
    let request = rpc::RangeRequest {
        key,
        serializable,
        ..Default::default()
    };
    find(channel, request, 1).await
}

/// Reads so many keys of a folder.
///
/// # Errors
/// If the server fails, or does not have them.
pub async fn list(channel: Channel, folder: &str, keys: u64, serializable: bool) -> Result<()> {
    let request = rpc::RangeRequest {
        key: format!("{folder}/").into(),
        range_end: format!("{folder}0").into(),
        limit: keys as i64,
        serializable,
        ..Default::default()
    };
    find(channel, request, keys).await
}

async fn find(channel: Channel, request: rpc::RangeRequest, keys: u64) -> Result<()> {
    let mut kv = KvClient::new(channel).max_decoding_message_size(64 << 20);
    let found = kv.range(request).await?.into_inner().kvs.len() as u64;
    anyhow::ensure!(found == keys, "{found} keys of {keys}");
    Ok(())
}

/// Leases kept alive by so many clients.
///
/// # Errors
/// If the server fails.
pub async fn keep_alive(server: &Server, clients: usize, time: Duration) -> Result<Measured> {
    // Each client has a stream of its own, and says one thing at a time on it.
    type Client = rpc::lease_client::LeaseClient<Channel>;
    let mut streams = Vec::new();
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        channels.push(server.connect().await?);
    }
    for client in 0..clients {
        let mut lease = Client::new(channels[client % CONNECTIONS].clone());
        let grant = rpc::LeaseGrantRequest { ttl: 600, id: 0 };
        let id = lease.lease_grant(grant).await?.into_inner().id;
        let (sender, receiver) = mpsc::channel(1);
        sender.send(rpc::LeaseKeepAliveRequest { id }).await?;
        let answers = lease
            .lease_keep_alive(ReceiverStream::new(receiver))
            .await?
            .into_inner();
        streams.push(Arc::new(tokio::sync::Mutex::new((id, sender, answers))));
    }
    let streams = Arc::new(streams);
    load::run(server, clients, CONNECTIONS, time, move |client, _, _| {
        let stream = streams[client].clone();
        async move {
            let mut stream = stream.lock().await;
            let (id, sender, answers) = &mut *stream;
            answers.message().await?.context("an answer")?;
            sender.send(rpc::LeaseKeepAliveRequest { id: *id }).await?;
            Ok(())
        }
    })
    .await
}
