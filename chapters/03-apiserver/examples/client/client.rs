//! Requests, lists and watches: the protocol.

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What the server says of itself when it refuses: `metav1.Status`.
#[derive(Debug, thiserror::Error)]
#[error("{code} {reason}: {message}")]
pub struct Refused {
    code: u64,
    reason: String,
    message: String,
}

/// A server, and who asks it.
pub struct Client {
    pub(super) host: String,
    pub(super) tls: TlsConnector,
    /// Of every request: `Name: value`.
    pub(super) headers: Vec<String>,
}

impl Client {
    // ANCHOR: send
    /// One request, on a connection of its own. What is no success is an error.
    pub async fn send(
        &self,
        verb: &str,
        path: &str,
        media: &str,
        body: &str,
    ) -> Result<Response<Incoming>> {
        let name = self.host.split(':').next().unwrap_or_default();
        let name = ServerName::try_from(name.to_owned())?;
        let stream = TcpStream::connect(&self.host).await?;
        let stream = TokioIo::new(self.tls.connect(name, stream).await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        tokio::spawn(connection);
        let mut request = Request::builder().method(verb).uri(path);
        request = request
            .header("Host", &self.host)
            .header("Content-Type", media);
        for header in &self.headers {
            let (name, value) = header.split_once(':').context("a header is Name:value")?;
            request = request.header(name, value.trim());
        }
        let body = Full::new(Bytes::from(body.to_owned()));
        let response = sender.send_request(request.body(body)?).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let code = response.status().as_u16().into();
        let body = response.into_body().collect().await?.to_bytes();
        bail!(refused(code, &serde_json::from_slice(&body)?))
    }

    /// The same, for an answer that is an object.
    pub async fn object(&self, verb: &str, path: &str, body: &str) -> Result<Value> {
        let response = self.send(verb, path, "application/json", body).await?;
        let body = response.into_body().collect().await?.to_bytes();
        Ok(serde_json::from_slice(&body)?)
    }
    // ANCHOR_END: send

    // ANCHOR: list
    /// A collection as of one revision, in pages, and that revision.
    pub async fn list(&self, collection: &str) -> Result<(Vec<Value>, String)> {
        let (mut objects, mut next) = (Vec::new(), String::new());
        loop {
            let page = format!("{collection}?limit=2&continue={next}");
            let page = self.object("GET", &page, "").await?;
            objects.extend(page["items"].as_array().into_iter().flatten().cloned());
            next = text(&page["metadata"]["continue"]);
            if next.is_empty() {
                return Ok((objects, text(&page["metadata"]["resourceVersion"])));
            }
        }
    }
    // ANCHOR_END: list

    // ANCHOR: watch
    /// What happened after a revision, an event a line, until so many were seen or the server ends
    /// it; the revision to go on from.
    pub async fn watch(
        &self,
        collection: &str,
        mut version: String,
        wanted: &mut usize,
    ) -> Result<String> {
        let path =
            format!("{collection}?watch=1&allowWatchBookmarks=true&resourceVersion={version}");
        let mut body = self.send("GET", &path, "", "").await?.into_body();
        let mut line = Vec::new();
        while let Some(frame) = body.frame().await {
            for byte in frame?.into_data().unwrap_or_default() {
                line.push(byte);
                if byte != b'\n' {
                    continue;
                }
                let event: Value = serde_json::from_slice(&std::mem::take(&mut line))?;
                let object = &event["object"];
                match text(&event["type"]).as_str() {
                    "ERROR" => bail!(refused(object["code"].as_u64().unwrap_or(500), object)),
                    "BOOKMARK" => {}
                    kind => {
                        println!("{kind} {}", text(&object["metadata"]["name"]));
                        *wanted -= 1;
                    }
                }
                version = text(&object["metadata"]["resourceVersion"]);
                if *wanted == 0 {
                    return Ok(version);
                }
            }
        }
        Ok(version)
    }
    // ANCHOR_END: watch

    // ANCHOR: follow
    /// List, then watch from there; and again, when "there" is no longer known.
    pub async fn follow(
        &self,
        collection: &str,
        mut wanted: usize,
        from: Option<String>,
    ) -> Result<()> {
        let mut from = from;
        while wanted > 0 {
            let version = match from.take() {
                Some(version) => version,
                None => {
                    let (objects, version) = self.list(collection).await?;
                    let names = objects.iter().map(|it| text(&it["metadata"]["name"]));
                    names.for_each(|name| println!("LISTED {name}"));
                    version
                }
            };
            match self.watch(collection, version, &mut wanted).await {
                Ok(last) => from = Some(last),
                Err(error) if is(&error, 410) => println!("{error}"),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
    // ANCHOR_END: follow

    // ANCHOR: count
    /// Adds one to `data.count`: read, change, write back; and again, when somebody was quicker.
    pub async fn add_one(&self, path: &str) -> Result<()> {
        loop {
            let mut object = self.object("GET", path, "").await?;
            let count: u64 = text(&object["data"]["count"]).parse().unwrap_or(0);
            object["data"]["count"] = (count + 1).to_string().into();
            match self.object("PUT", path, &object.to_string()).await {
                Err(error) if is(&error, 409) => {}
                done => return done.map(drop),
            }
        }
    }
    // ANCHOR_END: count
}

fn refused(code: u64, status: &Value) -> Refused {
    let (reason, message) = (text(&status["reason"]), text(&status["message"]));
    Refused {
        code,
        reason,
        message,
    }
}

fn is(error: &anyhow::Error, code: u64) -> bool {
    error
        .downcast_ref::<Refused>()
        .is_some_and(|it| it.code == code)
}

/// A value that is text; nothing when it is not.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
