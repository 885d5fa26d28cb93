//! What is measured: each row of the table, as a load on one server.

use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use measure::{Measured, table};
use tonic::transport::Channel;

use crate::calls::{self, get, list, put, update};
use crate::keys::{fill, key_of};
use crate::load;
use crate::server::Server;
use crate::watches::{fan_out, put_beside};

/// Connections that clients share, at most: what a server of many clients sees.
pub const CONNECTIONS: usize = 10;

/// Keys for the rows that read many of them, and for those about how cost grows with their number.
const READ: &str = "/registry/range";
const AMONG: &str = "/registry/among";

/// A row.
#[derive(Debug, Clone, Copy)]
pub enum Row {
    /// Puts by so many clients of values of so many bytes.
    Put(usize, usize),
    /// Compare-and-puts by so many clients: what an API server's update is.
    Update(usize),
    /// Reads of so many keys by so many clients, and whether any member may answer.
    Range(u64, usize, bool),
    /// One key that so many watch: puts, each until all have heard.
    OneToMany(u64),
    /// So many keys that one watches each: puts, each until its watcher has heard.
    OneToOne(u64),
    /// Puts by a hundred clients while so many watch other keys.
    PutWatched(u64),
    /// Leases kept alive by so many clients.
    KeepAlive(usize),
    /// Nine reads, an update and a list of a hundred: about what API servers do.
    Mixed(usize),
    /// Puts by a hundred clients of any of so many keys.
    PutAmong(u64),
    /// Reads likewise.
    RangeAmong(u64),
}

/// All rows. Those among many keys come last: the keys stay.
pub const ROWS: &[Row] = &[
    Row::Put(1, 256),
    Row::Put(10, 256),
    Row::Put(100, 256),
    Row::Put(1000, 256),
    Row::Put(1, 4096),
    Row::Put(100, 4096),
    Row::Put(1000, 4096),
    Row::Update(1),
    Row::Update(100),
    Row::Update(1000),
    Row::Range(1, 1, false),
    Row::Range(1, 100, false),
    Row::Range(1, 100, true),
    Row::Range(1000, 10, false),
    Row::Range(10_000, 2, false),
    Row::OneToMany(1),
    Row::OneToMany(100),
    Row::OneToMany(1000),
    Row::OneToOne(1000),
    Row::PutWatched(1),
    Row::PutWatched(100),
    Row::PutWatched(10_000),
    Row::KeepAlive(100),
    Row::Mixed(100),
    Row::PutAmong(10_000),
    Row::RangeAmong(10_000),
    Row::PutAmong(1_000_000),
    Row::RangeAmong(1_000_000),
    Row::PutAmong(10_000_000),
    Row::RangeAmong(10_000_000),
];

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let clients = |n: &usize| measure::clients(*n);
        let watchers = |n: &u64| match n {
            1 => "1 watcher".to_owned(),
            n => format!("{} watchers", table::grouped(*n)),
        };
        match self {
            Self::Put(n, bytes) => write!(f, "put {bytes} B, {}", clients(n)),
            Self::Update(n) => write!(f, "compare and put 256 B, {}", clients(n)),
            Self::Range(keys, n, any) => {
                let any = if *any { ", serializable" } else { "" };
                write!(f, "range of {keys}{any}, {}", clients(n))
            }
            Self::OneToMany(n) => write!(f, "1 key to {}", watchers(n)),
            Self::OneToOne(n) => write!(f, "{} keys to a watcher each", table::grouped(*n)),
            Self::PutWatched(n) => write!(f, "put, {} of other keys", watchers(n)),
            Self::KeepAlive(n) => write!(f, "lease keep-alive, {}", clients(n)),
            Self::Mixed(n) => write!(f, "mixed, {}", clients(n)),
            Self::PutAmong(keys) => write!(f, "put among {} keys", table::grouped(*keys)),
            Self::RangeAmong(keys) => {
                write!(f, "range of 1 among {} keys", table::grouped(*keys))
            }
        }
    }
}

impl Row {
    /// How many keys have to be made for it, where that is what it is about.
    pub fn keys(self) -> Option<u64> {
        match self {
            Self::PutAmong(keys) | Self::RangeAmong(keys) => Some(keys),
            _ => None,
        }
    }

    /// Measures it.
    ///
    /// # Errors
    /// If the server fails.
    pub async fn measure(self, server: &Server, time: Duration) -> Result<Measured> {
        match self {
            Self::Put(clients, bytes) => puts(server, time, clients, bytes, key).await,
            Self::Update(clients) => load::run(server, clients, CONNECTIONS, time, update).await,
            Self::Range(keys, clients, any) => {
                fill(server, READ, keys).await?;
                load::run(server, clients, CONNECTIONS, time, move |_, _, channel| {
                    read(channel, keys, any)
                })
                .await
            }
            Self::OneToMany(count) => fan_out(server, time, count, true).await,
            Self::OneToOne(count) => fan_out(server, time, count, false).await,
            Self::PutWatched(count) => {
                put_beside(server, count, puts(server, time, 100, 256, key)).await
            }
            Self::KeepAlive(clients) => calls::keep_alive(server, clients, time).await,
            Self::Mixed(clients) => {
                fill(server, READ, 1000).await?;
                load::run(
                    server,
                    clients,
                    CONNECTIONS,
                    time,
                    move |client, n, channel| async move {
                        match n % 11 {
                            0 => update(client, n / 11, channel).await,
                            1 => read(channel, 100, false).await,
                            _ => read(channel, 1, false).await,
                        }
                    },
                )
                .await
            }
            Self::PutAmong(keys) => {
                fill(server, AMONG, keys).await?;
                let any = move |client, n| key_of(AMONG, spread(client, n) % keys);
                puts(server, time, 100, 256, any).await
            }
            Self::RangeAmong(keys) => {
                fill(server, AMONG, keys).await?;
                load::run(server, 100, CONNECTIONS, time, move |client, n, channel| {
                    get(channel, key_of(AMONG, spread(client, n) % keys), false)
                })
                .await
            }
        }
    }
}

/// Puts by so many clients of values of so many bytes.
async fn puts(
    server: &Server,
    time: Duration,
    clients: usize,
    bytes: usize,
    key: impl Fn(usize, u64) -> Bytes + Clone + Send + 'static,
) -> Result<Measured> {
    let value = Bytes::from(vec![b'x'; bytes]);
    load::run(
        server,
        clients,
        CONNECTIONS,
        time,
        move |client, n, channel| put(channel, key(client, n), value.clone()),
    )
    .await
}

/// Reads the first so many keys of those to be read.
async fn read(channel: Channel, keys: u64, any: bool) -> Result<()> {
    match keys {
        1 => get(channel, key_of(READ, 0), any).await,
        keys => list(channel, READ, keys, any).await,
    }
}

/// A key of a client's own, one of a hundred.
fn key(client: usize, n: u64) -> Bytes {
    format!("/registry/put/{client:04}/{:04}", n % 100).into()
}

/// A number for each call, far from those of the calls before it.
fn spread(client: usize, n: u64) -> u64 {
    let call = (client as u64) << 32 | n;
    call.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24
}
