//! Between the host's network and the lab's, without any privilege on the host.
//!
//! A socket belongs to the namespace in which it was made, and stays usable everywhere. So one
//! thread lives in the lab's network and makes sockets there ([`LabSide`]), all others are in the
//! host's, and bytes are copied between the two kinds:
//!
//! | what | listens | calls |
//! | --- | --- | --- |
//! | [`egress`] | 172.30.0.1:3128, an HTTP proxy for the kubelets' image pulls | the internet |
//! | [`names`] | 172.30.0.1:53, for names outside the cluster | the host's name servers |
//! | [`node_ports`] | 127.0.0.1 of the host, a port for each NodePort Service | the control plane |

pub mod egress;
pub mod names;
pub mod node_ports;

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot};

use super::network::GATEWAY;

/// Port of the proxy for image pulls.
const EGRESS_PORT: u16 = 3128;
const DNS_PORT: u16 = 53;

/// A request for a connection that begins in the lab.
struct Dial {
    to: SocketAddr,
    reply: oneshot::Sender<std::io::Result<std::net::TcpStream>>,
}

/// The thread that makes sockets in the lab's network.
#[derive(Clone)]
pub struct LabSide {
    dials: mpsc::Sender<Dial>,
}

/// What comes from the lab's nodes.
pub struct FromLab {
    /// Connections to the proxy for image pulls.
    pub egress: mpsc::Receiver<std::net::TcpStream>,
    /// The socket that is asked for names.
    pub names: std::net::UdpSocket,
}

impl LabSide {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the namespace cannot be entered or its ports are taken.
    pub fn start(netns: &OwnedFd) -> std::io::Result<(Self, FromLab)> {
        let netns = netns.try_clone()?;
        let (dials, dial_requests) = mpsc::channel(64);
        let (accepted, egress) = mpsc::channel(16);
        let (ready, names) = std::sync::mpsc::channel();
        let run = move || {
            let enter = || {
                move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
                let names = std::net::UdpSocket::bind((GATEWAY, DNS_PORT))?;
                names.set_nonblocking(true)?;
                let listener = std::net::TcpListener::bind((GATEWAY, EGRESS_PORT))?;
                listener.set_nonblocking(true)?;
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                Ok((names, listener, runtime))
            };
            match enter() {
                Ok((names, listener, runtime)) => {
                    let _ = ready.send(Ok(names));
                    runtime.block_on(serve(listener, accepted, dial_requests));
                }
                Err(error) => drop(ready.send(std::io::Result::Err(error))),
            }
        };
        std::thread::Builder::new()
            .name("lab-side".into())
            .spawn(run)?;
        let names = names
            .recv()
            .unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into()))?;
        Ok((Self { dials }, FromLab { egress, names }))
    }

    /// Connects from the lab's network to one of its nodes.
    ///
    /// # Errors
    /// As `connect(2)`.
    pub async fn connect(&self, to: SocketAddr) -> std::io::Result<TcpStream> {
        let (reply, answer) = oneshot::channel();
        let gone = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        self.dials
            .send(Dial { to, reply })
            .await
            .map_err(|_| gone())?;
        TcpStream::from_std(answer.await.map_err(|_| gone())??)
    }
}

async fn serve(
    listener: std::net::TcpListener,
    accepted: mpsc::Sender<std::net::TcpStream>,
    mut dials: mpsc::Receiver<Dial>,
) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    loop {
        tokio::select! {
            connection = listener.accept() => {
                // Only nodes pull images. Pods have other addresses, and what a pod says is
                // nobody's business on the host's network.
                if let Ok((stream, from)) = connection
                    && is_node(from.ip())
                    && let Ok(stream) = stream.into_std()
                {
                    let _ = accepted.try_send(stream);
                }
            }
            dial = dials.recv() => {
                let Some(Dial { to, reply }) = dial else { return };
                tokio::spawn(async move {
                    let stream = TcpStream::connect(to).await.and_then(TcpStream::into_std);
                    let _ = reply.send(stream);
                });
            }
        }
    }
}

fn is_node(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if ip.octets()[..2] == GATEWAY.octets()[..2])
}

/// Starts what the host's side does for the nodes.
pub fn serve_nodes(from_lab: FromLab) {
    let FromLab { mut egress, names } = from_lab;
    tokio::spawn(async move {
        while let Some(stream) = egress.recv().await {
            tokio::spawn(async move {
                if let Err(error) = egress::serve(stream).await {
                    tracing::debug!(%error, "image proxy");
                }
            });
        }
    });
    if let Ok(socket) = UdpSocket::from_std(names) {
        tokio::spawn(names::serve(socket));
    }
}
