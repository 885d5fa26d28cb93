//! Names that are not the cluster's: asked of the servers in `/etc/resolv.conf`.
//!
//! A pod of the DNS server has the node's own file (`dnsPolicy: Default`). Where that names no
//! server that can be reached from a pod, as in a lab without network, there is nobody to ask and
//! the client is told so at once: a program that waits for a timeout is worse off.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long a server has for its answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a server that did not answer is left alone.
const PENALTY: Duration = Duration::from_secs(10);

/// How a query came, and thus how it is passed on: an answer may not fit a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream, each message behind its length.
    Tcp,
}

/// The servers to ask, in order.
#[derive(Debug, Default)]
pub struct Upstreams {
    servers: Vec<Upstream>,
}

#[derive(Debug)]
struct Upstream {
    address: SocketAddr,
    silent_until: Mutex<Option<Instant>>,
}

/// The servers that a `resolv.conf` names. A loopback address means a resolver on the machine
/// that wrote the file, which is not there in our network namespace.
pub fn read_resolv_conf(path: &Path) -> Upstreams {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    Upstreams::new(
        parse_resolv_conf(&text)
            .into_iter()
            .map(|ip| SocketAddr::new(ip, 53)),
    )
}

fn parse_resolv_conf(text: &str) -> Vec<IpAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse::<IpAddr>().ok())?
    });
    servers.filter(|ip| !ip.is_loopback()).collect()
}

impl Upstreams {
    /// Servers at these addresses.
    pub fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let servers = addresses.into_iter().map(|address| Upstream {
            address,
            silent_until: Mutex::new(None),
        });
        Upstreams {
            servers: servers.collect(),
        }
    }

    /// Whether there is nobody to ask.
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// The first answer to `query`, as it came; `None` if no server has one.
    pub async fn ask(&self, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
        for server in self
            .servers
            .iter()
            .filter(|server| server.is_worth_asking())
        {
            let exchange = async {
                match transport {
                    Transport::Udp => ask_udp(server.address, query).await,
                    Transport::Tcp => ask_tcp(server.address, query).await,
                }
            };
            let answer = timeout(PATIENCE, exchange).await;
            let answer = answer.map_err(|_| "no answer in time".to_owned());
            match answer.and_then(|answer| answer.map_err(|error| error.to_string())) {
                Ok(answer) => return Some(answer),
                Err(error) => {
                    tracing::warn!(server = %server.address, %error, "upstream does not answer");
                    let until = Instant::now() + PENALTY;
                    *server.silent_until.lock().expect("no panic holds it") = Some(until);
                }
            }
        }
        None
    }
}

impl Upstream {
    fn is_worth_asking(&self) -> bool {
        let silent_until = *self.silent_until.lock().expect("no panic holds it");
        silent_until.is_none_or(|until| until < Instant::now())
    }
}

/// Each query has a socket, and so a random port, of its own: who wants to forge an answer has to
/// guess it as well as the id. What does not fit the query is not an answer.
async fn ask_udp(server: SocketAddr, query: &[u8]) -> std::io::Result<Vec<u8>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if answers(query, &buffer[..length]) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn ask_tcp(server: SocketAddr, query: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.len()).map_err(std::io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(query).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    match answers(query, &answer) {
        true => Ok(answer),
        false => Err(std::io::Error::other("the answer is to another question")),
    }
}

/// Same id, and marked as a response.
fn answers(query: &[u8], answer: &[u8]) -> bool {
    answer.len() >= 12 && answer[..2] == query[..2] && answer[2] & 0x80 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_names_servers_that_a_pod_can_reach() {
        let text = "# comment\nnameserver 127.0.0.53\nnameserver 192.0.2.1\nsearch x\n\
                    nameserver\nnameserver nonsense\nnameserver 2001:db8::1 trailing\n";
        let servers: Vec<String> = parse_resolv_conf(text)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(servers, ["192.0.2.1", "2001:db8::1"]);
    }
}
