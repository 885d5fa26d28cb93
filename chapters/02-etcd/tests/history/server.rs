//! The server as a process of its own, and how to speak to it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{IntoStreamingRequest, Request, Status, Streaming};
use tonic_prost::ProstCodec;

/// A server. It is killed when this is dropped.
pub struct Server {
    process: Child,
    /// Where it listens.
    pub url: String,
}

impl Server {
    /// Starts a server on `dir` and waits until it listens.
    pub fn start(dir: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_etcd"))
            .args([
                "serve",
                "--listen-client-urls",
                "http://127.0.0.1:0",
                "--data-dir",
            ])
            .arg(dir)
            .env_remove("WORKSHOP_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server can be run");
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let url = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let at = line.find("http://")?;
            line.contains("listening")
                .then(|| line[at..].trim().to_owned())
        });
        // Somebody has to take what else it says, or it would wait for that.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let Some(url) = url else {
            panic!("the server ended: {:?}", process.wait());
        };
        Self { process, url }
    }
}

impl Drop for Server {
    /// `kill -9`
    fn drop(&mut self) {
        self.process.kill().expect("it is ours");
        self.process.wait().expect("it is ours");
    }
}

/// A connection to a server.
pub async fn connect(url: &str) -> Result<Channel, Status> {
    let endpoint = Endpoint::from_shared(url.to_owned()).expect("a server's URL");
    let connected = endpoint.tcp_nodelay(true).connect().await;
    connected.map_err(|error| Status::unavailable(error.to_string()))
}

/// One call with one answer.
pub async fn call<Q, A>(channel: &Channel, path: &'static str, request: Q) -> Result<A, Status>
where
    Q: prost::Message + 'static,
    A: prost::Message + Default + 'static,
{
    let mut grpc = ready(channel).await?;
    let (path, codec) = (PathAndQuery::from_static(path), ProstCodec::default());
    let answer = grpc.unary(Request::new(request), path, codec).await?;
    Ok(answer.into_inner())
}

/// A call with many requests and many answers.
pub async fn stream<Q, A>(
    channel: &Channel,
    path: &'static str,
    requests: impl IntoStreamingRequest<Message = Q>,
) -> Result<Streaming<A>, Status>
where
    Q: prost::Message + 'static,
    A: prost::Message + Default + 'static,
{
    let mut grpc = ready(channel).await?;
    let (path, codec) = (PathAndQuery::from_static(path), ProstCodec::default());
    let requests = requests.into_streaming_request();
    Ok(grpc.streaming(requests, path, codec).await?.into_inner())
}

async fn ready(channel: &Channel) -> Result<Grpc<Channel>, Status> {
    let mut grpc = Grpc::new(channel.clone());
    let ready = grpc.ready().await;
    ready.map_err(|error| Status::unavailable(error.to_string()))?;
    Ok(grpc)
}
