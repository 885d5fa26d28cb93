//! The way to the records, and the command's way to the API server.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use apiserver::trace::{PATH, Record};
use futures::{AsyncBufRead, AsyncBufReadExt, StreamExt, io::Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::causality::{self, Own};
use crate::lab::Error;
use crate::lab::layout::Layout;
use crate::lab::record::write_atomically;

/// What the API server tells, while it tells it.
pub struct Recording {
    lines: Lines<Pin<Box<dyn AsyncBufRead>>>,
    /// Each with the time at which it came.
    records: Vec<(Instant, Record)>,
}

impl Recording {
    /// Listens to the lab's API server: what is answered from now on is recorded.
    ///
    /// # Errors
    /// When it does not answer, or does not know what a trace is.
    pub async fn start(layout: &Layout) -> Result<Recording, Error> {
        let refused = |error: kube::Error| match error {
            kube::Error::Api(status) if status.code == 404 => Error::Refused(
                "the lab's API server is from before there were traces; `cargo xtask lab down` \
                 and `cargo xtask lab` start this one"
                    .into(),
            ),
            error => Error::Refused(format!("the API server cannot be traced: {error}")),
        };
        let kubeconfig = kube::config::Kubeconfig::read_from(layout.kubeconfig());
        let kubeconfig = kubeconfig.map_err(|error| Error::Refused(error.to_string()))?;
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await;
        let mut config = config.map_err(|error| Error::Refused(error.to_string()))?;
        // A trace may be silent for as long as its command takes.
        config.read_timeout = None;
        let client = kube::Client::try_from(config).map_err(refused)?;
        let request = http::Request::get(PATH).body(Vec::new());
        let request = request.expect("the path is one");
        let stream = client.request_stream(request).await.map_err(refused)?;
        let stream: Pin<Box<dyn AsyncBufRead>> = Box::pin(stream);
        Ok(Recording {
            lines: stream.lines(),
            records: Vec::new(),
        })
    }

    /// Waits for the next record.
    ///
    /// # Errors
    /// When the API server hangs up.
    pub async fn next(&mut self) -> Result<(), Error> {
        let line = self.lines.next().await.and_then(Result::ok);
        let record = line.and_then(|line| serde_json::from_str(&line).ok());
        let record = record.ok_or_else(|| {
            Error::Refused("the API server ended the trace: it stopped, or was too fast".into())
        })?;
        self.records.push((Instant::now(), record));
        Ok(())
    }

    /// When the last record came that descends from the command.
    pub fn last_of(&self, own: &Own) -> Option<Instant> {
        let records = self.records();
        let descendants: HashSet<*const Record> = causality::descendants(&records, own)
            .into_iter()
            .map(std::ptr::from_ref)
            .collect();
        let last = records
            .iter()
            .rposition(|record| descendants.contains(&std::ptr::from_ref(record)));
        last.map(|at| self.records[at].0)
    }

    /// Everything so far.
    pub fn records(&self) -> Vec<Record> {
        let records = self.records.iter();
        records.map(|(_, record)| record.clone()).collect()
    }
}

/// Carries the command's connections to the API server, and knows them.
pub struct Forwarder {
    /// Where it listens, on the host's loopback.
    pub port: u16,
    connections: Arc<Mutex<Own>>,
}

impl Forwarder {
    /// Begins to carry connections to a port of the host's loopback.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(to: u16) -> Result<Forwarder, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(Error::system("a port for the command"))?;
        let port = listener
            .local_addr()
            .map_err(Error::system("a port for the command"))?
            .port();
        let connections = Arc::<Mutex<Own>>::default();
        let known = connections.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let known = known.clone();
                tokio::spawn(async move {
                    // A refused connection is passed on as one that ends at once.
                    let _ = carry(client, to, &known).await;
                });
            }
        });
        Ok(Forwarder { port, connections })
    }

    /// The connections so far, as the API server sees them.
    pub fn connections(&self) -> Own {
        let connections = self.connections.lock();
        connections.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn carry(mut client: TcpStream, to: u16, known: &Mutex<Own>) -> std::io::Result<()> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await?;
    let address = server.local_addr()?.to_string();
    // Before the first byte: whatever comes over it is known to be the command's.
    known
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(address);
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// The command's kubeconfig: the lab's, by way of the forwarder. Removed when dropped.
pub struct Kubeconfig(PathBuf);

impl Kubeconfig {
    /// Writes it beside the lab's.
    ///
    /// # Errors
    /// When that cannot be read, or this cannot be written.
    pub fn write(layout: &Layout, from: u16, to: u16) -> Result<Kubeconfig, Error> {
        let lab = layout.kubeconfig();
        let text = std::fs::read_to_string(&lab)
            .map_err(|source| Error::File { path: lab, source })?
            .replace(
                &format!("https://127.0.0.1:{from}"),
                &format!("https://127.0.0.1:{to}"),
            );
        let name = format!("trace-{}.kubeconfig", std::process::id());
        let kubeconfig = Kubeconfig(layout.dir.join(name));
        write_atomically(kubeconfig.path(), text.as_bytes(), 0o600)?;
        Ok(kubeconfig)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Kubeconfig {
    fn drop(&mut self) {
        // Whoever removed it already wanted the same.
        let _ = std::fs::remove_file(&self.0);
    }
}
