//! What `etcdctl` does not ask for, without it: messages as they go over the wire.

use std::fmt::Write;
use std::time::Duration;

use etcd::grpc::pb::etcdserverpb as rpc;
use prost::Message;
use rpc::watch_request::RequestUnion;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::{Server, difference, real_etcd};

/// More than one of these is more than a message may have, in fragments.
const LARGE: usize = 700 * 1024;

#[tokio::test]
async fn messages() {
    let ours = session(&Server::ours().address).await;
    match real_etcd() {
        Some(program) => {
            let theirs = session(&Server::real(&program).address).await;
            assert!(
                ours == theirs,
                "ours and etcd's answers differ\n{}",
                difference(&ours, &theirs)
            );
        }
        None => eprintln!("no etcd to compare with (Debian: apt install etcd-server)"),
    }
    insta::assert_snapshot!(ours);
}

/// Asks, and writes down what comes.
async fn session(address: &str) -> String {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let channel = endpoint.connect().await.expect("it listens");
    let mut said = String::new();
    unknown_calls(&channel, &mut said).await;
    watches(&channel, &mut said).await;
    said
}

async fn unknown_calls(channel: &Channel, said: &mut String) {
    for path in [
        "/etcdserverpb.KV/Nope",
        "/etcdserverpb.Watch/Nope",
        "/nope.Nope/Nope",
        "/grpc.health.v1.Health/Nope",
    ] {
        let answer = call::<_, rpc::RangeResponse>(channel, path, rpc::RangeRequest::default());
        let refused = answer.await.expect_err("there is no such call");
        let (code, message) = (refused.code(), refused.message());
        writeln!(said, "\n$ {path}\n{code:?}: {message}").expect("a string");
    }
}

/// Many watches on a stream: progress on demand, and history too long for one message.
async fn watches(channel: &Channel, said: &mut String) {
    let (asks, asked) = mpsc::channel(8);
    let ask = async |union| {
        let request = rpc::WatchRequest {
            request_union: Some(union),
        };
        asks.send(request).await.expect("the stream goes on");
    };
    let path = "/etcdserverpb.Watch/Watch";
    let mut grpc = ready(channel).await;
    let request = Request::new(ReceiverStream::new(asked));
    let opened = grpc.streaming(request, path.parse().expect("a path"), codec());
    let create = |key: &str, fragment| {
        RequestUnion::CreateRequest(rpc::WatchCreateRequest {
            key: key.to_owned().into(),
            start_revision: 2,
            fragment,
            ..Default::default()
        })
    };
    let progress = || RequestUnion::ProgressRequest(rpc::WatchProgressRequest {});

    put(channel, "small", 1).await;
    for _ in 0..3 {
        put(channel, "large", LARGE).await;
    }
    ask(create("small", false)).await;
    let mut stream = opened.await.expect("a stream").into_inner();
    writeln!(said, "\n$ watch small").expect("a string");
    hear(&mut stream, 2, said).await;
    ask(progress()).await;
    writeln!(said, "\n$ progress").expect("a string");
    hear(&mut stream, 1, said).await;
    ask(create("large", true)).await;
    writeln!(said, "\n$ watch large, in fragments").expect("a string");
    hear(&mut stream, 3, said).await;
    ask(create("large", false)).await;
    writeln!(said, "\n$ watch large, whole").expect("a string");
    hear(&mut stream, 2, said).await;
    ask(progress()).await;
    writeln!(said, "\n$ progress").expect("a string");
    hear(&mut stream, 1, said).await;
}

/// Writes down so many messages.
async fn hear(stream: &mut Streaming<rpc::WatchResponse>, messages: usize, said: &mut String) {
    for _ in 0..messages {
        let next = tokio::time::timeout(Duration::from_secs(10), stream.message());
        let Ok(message) = next.await else {
            writeln!(said, "silence").expect("a string");
            return;
        };
        let message = message.expect("the stream goes on").expect("it has no end");
        let header = message.header.expect("a header");
        writeln!(
            said,
            "watch {} at {}: created {}, canceled {}, fragment {}, events {}",
            message.watch_id,
            header.revision,
            message.created,
            message.canceled,
            message.fragment,
            message.events.len(),
        )
        .expect("a string");
    }
}

async fn put(channel: &Channel, key: &str, bytes: usize) {
    let put = rpc::PutRequest {
        key: key.to_owned().into(),
        value: vec![b'x'; bytes].into(),
        ..Default::default()
    };
    let path = "/etcdserverpb.KV/Put";
    call::<_, rpc::PutResponse>(channel, path, put)
        .await
        .expect("it is put");
}

async fn ready(channel: &Channel) -> Grpc<Channel> {
    let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(usize::MAX);
    grpc.ready().await.expect("the connection goes on");
    grpc
}

fn codec<A: Message + 'static, B: Message + Default + 'static>() -> ProstCodec<A, B> {
    ProstCodec::default()
}

async fn call<A, B>(channel: &Channel, path: &str, request: A) -> Result<B, Status>
where
    A: Message + 'static,
    B: Message + Default + 'static,
{
    let mut grpc = ready(channel).await;
    let path = path.parse().expect("a path");
    let answer = grpc.unary(Request::new(request), path, codec()).await;
    answer.map(tonic::Response::into_inner)
}
