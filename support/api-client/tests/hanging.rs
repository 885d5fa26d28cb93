//! A client against servers that take requests and hang.

use std::time::Duration;

use api_client::client_within;
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, ListParams, WatchParams};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What requests of these tests may take.
const LIMIT: Duration = Duration::from_millis(50);
/// The head of a watch's answer, whose events never come.
const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";

/// A client of a server that answers each connection's first request with `answer`, and nothing
/// more.
async fn client(answer: &'static str) -> Client {
    component::install_crypto();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held: Vec<TcpStream> = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _request = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            held.push(stream);
        }
    });
    let url = format!("http://{address}").parse().unwrap();
    client_within(kube::Config::new(url), LIMIT).unwrap()
}

/// All that an error says, down to its cause.
fn said(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

fn took_too_long(error: &dyn std::error::Error) -> bool {
    said(error).contains("the API server did not answer within 50ms")
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let maps: Api<ConfigMap> = Api::default_namespaced(client("").await);
    let error = maps.list(&ListParams::default()).await.unwrap_err();
    assert!(took_too_long(&error), "{}", said(&error));
    let watched = maps.watch(&WatchParams::default(), "0").await;
    let error = watched.map(drop).unwrap_err();
    assert!(took_too_long(&error), "{}", said(&error));
}

#[tokio::test]
async fn so_is_one_that_does_not_end_what_it_began() {
    let maps: Api<ConfigMap> = Api::default_namespaced(client(HEAD).await);
    let error = maps.list(&ListParams::default()).await.unwrap_err();
    assert!(took_too_long(&error), "{}", said(&error));
}

#[tokio::test]
async fn a_watch_may_last_as_long_as_it_asked_for() {
    let maps: Api<ConfigMap> = Api::default_namespaced(client(HEAD).await);
    let asked = std::time::Instant::now();
    let watched = maps.watch(&WatchParams::default().timeout(1), "0").await;
    let mut events = std::pin::pin!(watched.unwrap());
    let error = events.next().await.unwrap().unwrap_err();
    assert!(asked.elapsed() > Duration::from_secs(1));
    assert!(took_too_long(&error), "{}", said(&error));
}
