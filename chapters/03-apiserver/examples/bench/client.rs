//! A client as client-go is one: many requests at once on an HTTP/2 connection.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// JSON, as kubectl and most languages' clients ask for.
pub const JSON: &str = "application/json";
/// Protobuf, as client-go's typed clients do.
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// A connection; clones share it.
#[derive(Clone)]
pub struct Client {
    sender: http2::SendRequest<Full<Bytes>>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens.
    pub async fn connect(port: u16, tls: Arc<ClientConfig>) -> Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        let stream = TlsConnector::from(tls).connect(name, stream).await?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20)
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::spawn(connection);
        Ok(Client { sender })
    }

    /// Sends a request; the answer's body is still to come.
    ///
    /// # Errors
    /// If the answer is not a success.
    pub async fn open(
        &self,
        method: &str,
        path: &str,
        accept: &str,
        body: Bytes,
    ) -> Result<Incoming> {
        let mut sender = self.sender.clone();
        sender.ready().await?;
        let request = Request::builder()
            .method(method)
            .uri(format!("https://localhost{path}"))
            .header("accept", accept)
            .header("content-type", content_type(method))
            .body(Full::new(body))?;
        let response = sender.send_request(request).await?;
        let code = response.status();
        if !code.is_success() {
            let body = response.into_body().collect().await?.to_bytes();
            bail!(
                "{method} {path}: {code}: {}",
                String::from_utf8_lossy(&body)
            );
        }
        Ok(response.into_body())
    }

    /// Sends a request and takes the whole answer.
    ///
    /// # Errors
    /// If it is not a success.
    pub async fn call(&self, method: &str, path: &str, accept: &str, body: Bytes) -> Result<Bytes> {
        let body = self.open(method, path, accept, body).await?;
        let body = body.collect().await;
        Ok(body.with_context(|| format!("{method} {path}"))?.to_bytes())
    }

    /// Gets a path and counts the bytes, keeping none: a client's own memory is not what is measured.
    ///
    /// # Errors
    /// If the answer is not a success, or not whole.
    pub async fn drain(&self, path: &str, accept: &str) -> Result<usize> {
        let mut body = self.open("GET", path, accept, Bytes::new()).await?;
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(bytes)
    }
}

fn content_type(method: &str) -> &'static str {
    match method {
        "PATCH" => "application/merge-patch+json",
        _ => JSON,
    }
}
