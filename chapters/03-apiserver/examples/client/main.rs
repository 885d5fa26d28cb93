//! A client of the Kubernetes API in plain HTTP: what every client library does at bottom.
//!
//! ```text
//! cargo client [-HName:value …] get PATH
//! cargo client delete PATH [OPTIONS]
//! cargo client create | replace PATH BODY
//! cargo client patch MEDIA_TYPE PATH BODY
//! cargo client list COLLECTION                   in pages, as of one revision
//! cargo client follow COLLECTION EVENTS [FROM]   list and watch, until so many events were seen
//! cargo client count OBJECT TIMES                adds one to a ConfigMap's `count`, so often
//! ```
//!
//! `KUBECONFIG` names the file that says where the server is, and who asks. The same with a
//! library is `kube-client.rs`; what makes a client out of a client is in `07-informers`.

mod client;
mod kubeconfig;

use anyhow::{Result, bail};
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use serde_json::Value;

use client::{Client, text};

/// Prints a body: an object without its field owners, as kubectl does, and anything else as it is.
async fn print(response: Response<Incoming>) -> Result<()> {
    let body = response.into_body().collect().await?.to_bytes();
    match serde_json::from_slice::<Value>(&body) {
        Ok(mut object) => {
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("managedFields");
            }
            println!("{object:#}");
        }
        Err(_not_json) => std::io::Write::write_all(&mut std::io::stdout(), &body)?,
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    component::install_crypto();
    let (headers, words): (Vec<_>, Vec<_>) = std::env::args()
        .skip(1)
        .partition(|word| word.starts_with("-H"));
    let headers = headers.iter().map(|word| word[2..].to_owned()).collect();
    let client = Client::from_kubeconfig(headers)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let json = "application/json";
    match words[..] {
        ["get", path] => print(client.send("GET", path, json, "").await?).await,
        ["delete", path] => print(client.send("DELETE", path, json, "").await?).await,
        ["delete", path, options] => print(client.send("DELETE", path, json, options).await?).await,
        ["create", path, body] => print(client.send("POST", path, json, body).await?).await,
        ["replace", path, body] => print(client.send("PUT", path, json, body).await?).await,
        ["patch", media, path, body] => print(client.send("PATCH", path, media, body).await?).await,
        ["list", collection] => {
            let (objects, version) = client.list(collection).await?;
            println!("resourceVersion: {version}");
            let names = objects.iter().map(|it| text(&it["metadata"]["name"]));
            names.for_each(|name| println!("{name}"));
            Ok(())
        }
        ["follow", collection, events] => client.follow(collection, events.parse()?, None).await,
        ["follow", collection, events, from] => {
            client
                .follow(collection, events.parse()?, Some(from.to_owned()))
                .await
        }
        ["count", path, times] => {
            for _ in 0..times.parse()? {
                client.add_one(path).await?;
            }
            Ok(())
        }
        _ => bail!("get, delete, create, replace, patch, list, follow or count"),
    }
}
