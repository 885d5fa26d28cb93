//! `lab --store etcd`: real etcd members in place of the API server's own store.
//!
//! They run on the control plane's node, each in a [network](super::member_network) of its own, with
//! etcd's ports: what three machines would have, as far as etcd can tell. Who is a member and who a
//! client is told by certificates of an authority that signs for nobody else (upstream: `kubeadm init
//! phase etcd`): whoever may speak to the members may read and write everything.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Error;
use super::components::{Component, Flags};
use super::layout::Layout;
use super::member_network::address;
use super::record::{CONTROL_PLANE, Record};

/// Where clients are listened for, and the other members: etcd's ports.
const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;

/// What keeps the cluster's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StoreKind {
    /// The API server itself
    Embedded,
    /// Members of a real etcd
    Etcd,
}

/// The options of `lab up` that are about the store.
#[derive(Debug, Default, PartialEq, Eq, clap::Args)]
pub struct StoreOptions {
    /// What keeps the cluster's state [default: embedded]
    #[arg(long, value_enum)]
    store: Option<StoreKind>,
    /// Members of --store etcd: 1, 3 or 5 [default: 1]
    #[arg(long, value_parser = ["1", "3", "5"])]
    etcd_members: Option<String>,
    /// The etcd program [default: that of WORKSHOP_ETCD, or the one in the path]
    #[arg(long, value_name = "PATH")]
    etcd: Option<PathBuf>,
}

/// The members of a lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// How many.
    pub count: u8,
    /// The etcd program.
    pub program: PathBuf,
}

impl StoreOptions {
    /// The members that the lab is to have: those that it has, once it is made.
    ///
    /// # Errors
    /// When the options do not fit each other or the lab, or there is no etcd.
    pub fn members(&self, before: Option<&Record>) -> Result<Option<Members>, Error> {
        let count = self.etcd_members.as_deref().map(|count| {
            let parsed = count.parse::<u8>();
            parsed.expect("it is one of the values that are taken")
        });
        if let Some(record) = before {
            let has = record.members.as_ref();
            let other_kind =
                (self.store).is_some_and(|kind| (kind == StoreKind::Etcd) != has.is_some());
            let other_count = count.is_some_and(|count| has.is_none_or(|has| has.count != count));
            if other_kind || other_count {
                return Err(Error::Usage(format!(
                    "lab {:?} is there already, with another store; `cargo xtask lab down` ends it, \
                     `--name` starts another one beside it",
                    record.name
                )));
            }
            return Ok(has.cloned());
        }
        if self.store != Some(StoreKind::Etcd) {
            if count.is_some() {
                return Err(Error::Usage("--etcd-members needs --store etcd".into()));
            }
            return Ok(None);
        }
        Ok(Some(Members {
            count: count.unwrap_or(1),
            program: self.program()?,
        }))
    }

    /// Whether anything else than the embedded store is asked for.
    pub fn is_given(&self) -> bool {
        self.store == Some(StoreKind::Etcd) || self.etcd_members.is_some()
    }

    fn program(&self) -> Result<PathBuf, Error> {
        self.etcd.as_deref().map_or_else(installed, named)
    }
}

fn named(path: &Path) -> Result<PathBuf, Error> {
    if !path.is_file() {
        return Err(Error::Usage(format!("{} is no program", path.display())));
    }
    std::path::absolute(path).map_err(|source| Error::File {
        path: path.into(),
        source,
    })
}

/// The etcd that `WORKSHOP_ETCD` names, or the one in the path.
///
/// # Errors
/// How to get one.
pub fn installed() -> Result<PathBuf, Error> {
    if let Some(path) = std::env::var_os("WORKSHOP_ETCD") {
        return named(Path::new(&path));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join("etcd"));
    found.find(|program| program.is_file()).ok_or_else(|| {
        Error::Machine(
            "etcd is not installed: on Debian and Ubuntu, `apt-get install etcd-server` (and end \
             the service that it starts: `systemctl disable --now etcd`); or name one with `--etcd`"
                .into(),
        )
    })
}

/// What a member is called, as a component of the control plane: `etcd-1` and up.
fn name(number: u8) -> String {
    format!("etcd-{number}")
}

fn url(number: u8, port: u16) -> String {
    format!("https://{}:{port}", address(number))
}

impl Members {
    fn numbers(&self) -> std::ops::RangeInclusive<u8> {
        1..=self.count
    }

    /// What they are called.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.numbers().map(name)
    }

    /// Their addresses.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.numbers().map(address)
    }

    /// Where clients reach the members.
    pub fn endpoints(&self) -> String {
        let urls: Vec<String> = self.numbers().map(|it| url(it, CLIENT_PORT)).collect();
        urls.join(",")
    }

    /// The address of one of them.
    ///
    /// # Errors
    /// When it is none: which there are.
    pub fn address_of(&self, member: &str) -> Result<Ipv4Addr, Error> {
        self.number_of(member).map(address)
    }

    /// Where clients reach one of them.
    ///
    /// # Errors
    /// When it is none: which there are.
    pub fn endpoint_of(&self, member: &str) -> Result<String, Error> {
        self.number_of(member).map(|it| url(it, CLIENT_PORT))
    }

    fn number_of(&self, member: &str) -> Result<u8, Error> {
        let number = self.numbers().find(|number| name(*number) == member);
        number.ok_or_else(|| {
            let names: Vec<String> = self.names().collect();
            let names = names.join(", ");
            Error::Usage(format!(
                "no member is called {member:?}; there are: {names}"
            ))
        })
    }

    /// Puts the members beside the control plane's components, and has the API server use them.
    pub fn join(&self, layout: &Layout, lab: &str, components: &mut Vec<Component>) {
        for component in components.iter_mut().filter(|it| it.name == "apiserver") {
            component.args.retain(|arg| !arg.starts_with("--data-dir="));
            component.args.extend(self.client_flags(layout));
        }
        let members = self
            .numbers()
            .map(|number| self.member(layout, lab, number));
        components.splice(0..0, members);
    }

    fn client_flags(&self, layout: &Layout) -> Vec<String> {
        Flags::default()
            .text("etcd-servers", self.endpoints())
            .path("etcd-cafile", &layout.pki_file("etcd-ca.crt"))
            .path(
                "etcd-certfile",
                &layout.pki_file("apiserver-etcd-client.crt"),
            )
            .path(
                "etcd-keyfile",
                &layout.pki_file("apiserver-etcd-client.key"),
            )
            .args
    }

    fn member(&self, layout: &Layout, lab: &str, number: u8) -> Component {
        let name = name(number);
        let pki = |file: &str| layout.pki_file(file);
        let (client, peer) = (url(number, CLIENT_PORT), url(number, PEER_PORT));
        let peers: Vec<String> = (self.numbers())
            .map(|number| format!("{}={}", self::name(number), url(number, PEER_PORT)))
            .collect();
        let args = Flags::default()
            .text("name", &name)
            .path("data-dir", &layout.member(&name))
            .text("listen-client-urls", &client)
            .text("advertise-client-urls", &client)
            .text("listen-peer-urls", &peer)
            .text("initial-advertise-peer-urls", &peer)
            .text("initial-cluster", peers.join(","))
            .text("initial-cluster-token", lab)
            .text("client-cert-auth", true)
            .path("trusted-ca-file", &pki("etcd-ca.crt"))
            .path("cert-file", &pki("etcd-server.crt"))
            .path("key-file", &pki("etcd-server.key"))
            .text("peer-client-cert-auth", true)
            .path("peer-trusted-ca-file", &pki("etcd-ca.crt"))
            .path("peer-cert-file", &pki("etcd-peer.crt"))
            .path("peer-key-file", &pki("etcd-peer.key"))
            // What newer etcds do anyhow: a member that was cut off asks whether it would be
            // elected before it unseats a leader, and logs are lines of JSON.
            .text("pre-vote", true)
            .text("logger", "zap")
            .args;
        Component {
            log: layout.log(CONTROL_PLANE, &name),
            name,
            program: self.program.clone(),
            args,
            listener: None,
            network: Some(address(number)),
        }
    }

    /// What a client of etcd needs, as `etcdctl` takes it from its environment.
    pub fn environment(&self, layout: &Layout, endpoints: String) -> Vec<(&'static str, String)> {
        let pki = |file: &str| Path::display(&layout.pki_file(file)).to_string();
        vec![
            ("ETCDCTL_API", "3".to_owned()),
            ("ETCDCTL_ENDPOINTS", endpoints),
            ("ETCDCTL_CACERT", pki("etcd-ca.crt")),
            ("ETCDCTL_CERT", pki("apiserver-etcd-client.crt")),
            ("ETCDCTL_KEY", pki("apiserver-etcd-client.key")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::components;
    use crate::lab::record::{Node, Runtime};

    fn record(count: u8) -> Record {
        Record {
            name: "x".into(),
            port: 6443,
            workers: 1,
            runtime: Runtime::Embedded,
            network: 0,
            scheduler: None,
            members: Some(Members {
                count,
                program: "/usr/bin/etcd".into(),
            }),
            supervisor: None,
        }
    }

    #[test]
    fn members_are_of_the_control_plane_and_the_api_server_is_their_client() {
        let layout = Layout::at("/lab");
        let of = |node| components::of(&layout, &record(3), &Node::numbered(node, 0), 3);
        let names: Vec<_> = of(0).iter().map(|it| it.name.clone()).collect();
        assert_eq!(names[..4], ["etcd-1", "etcd-2", "etcd-3", "apiserver"]);
        assert!(of(1).iter().all(|it| !it.name.starts_with("etcd")));
        let apiserver = &of(0)[3];
        let has = |arg: &str| apiserver.args.iter().any(|it| it == arg);
        assert!(has(
            "--etcd-servers=https://172.31.0.11:2379,https://172.31.0.12:2379,https://172.31.0.13:2379"
        ));
        assert!(
            apiserver
                .args
                .iter()
                .all(|arg| !arg.starts_with("--data-dir"))
        );
        let second = &of(0)[1];
        assert!(second.args.contains(&"--initial-cluster=etcd-1=https://172.31.0.11:2380,etcd-2=https://172.31.0.12:2380,etcd-3=https://172.31.0.13:2380".to_owned()));
        assert!(
            second
                .args
                .contains(&"--listen-peer-urls=https://172.31.0.12:2380".to_owned())
        );
    }

    #[test]
    fn a_member_is_found_by_its_name() {
        let members = record(3).members.expect("it has members");
        let endpoint = members.endpoint_of("etcd-2").expect("it is one");
        assert_eq!(endpoint, "https://172.31.0.12:2379");
        let unknown = members.address_of("etcd-4").expect_err("there is none");
        assert_eq!(
            unknown.to_string(),
            "no member is called \"etcd-4\"; there are: etcd-1, etcd-2, etcd-3"
        );
    }

    #[test]
    fn a_lab_keeps_its_store() {
        let of = |store, members: Option<&str>| StoreOptions {
            store,
            etcd_members: members.map(Into::into),
            etcd: None,
        };
        let three = record(3);
        let before = Some(&three);
        let kept = of(None, None)
            .members(before)
            .expect("nothing else is asked for");
        assert_eq!(kept, three.members);
        assert!(of(Some(StoreKind::Etcd), Some("3")).members(before).is_ok());
        assert!(
            of(Some(StoreKind::Etcd), Some("1"))
                .members(before)
                .is_err()
        );
        assert!(of(Some(StoreKind::Embedded), None).members(before).is_err());
        assert!(of(None, Some("3")).members(None).is_err());
        assert_eq!(of(None, None).members(None).expect("the default"), None);
    }
}
