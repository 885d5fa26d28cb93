//! `lab etcdctl`: etcd's own client, beside the members, with the API server's certificate.
//!
//! The members' network is joined to that of the control plane's node, which nobody else sees. So
//! the client is started there: the namespace of the user first, which lends the right to enter the
//! other.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::layout::Layout;
use super::record::{CONTROL_PLANE, Record};
use super::{Error, status};

/// `lab etcdctl`
#[derive(Debug, clap::Args)]
pub struct Etcdctl {
    /// Ask this member alone
    #[arg(long)]
    member: Option<String>,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Becomes `etcdctl`.
///
/// # Errors
/// When the lab does not run or has no such members, or there is no `etcdctl`.
pub fn run(name: &str, layout: &Layout, options: &Etcdctl) -> Result<(), Error> {
    let record = Record::load(layout).ok_or_else(|| Error::NotRunning(name.into()))?;
    let members = record.members()?;
    let endpoints = match &options.member {
        Some(member) => members.endpoint_of(member)?,
        None => members.endpoints(),
    };
    let rows = status::rows(name, layout)?;
    let init = rows
        .iter()
        .find(|row| row.node == CONTROL_PLANE && row.component == "init");
    let pid = init.and_then(|row| row.pid).ok_or(Error::Lost)?;
    enter(pid).map_err(Error::system("enter the control plane's network"))?;
    let error = Command::new("etcdctl")
        .envs(members.environment(layout, endpoints))
        .args(&options.args)
        .exec();
    Err(match error.kind() {
        std::io::ErrorKind::NotFound => Error::Machine(
            "etcdctl is not installed: on Debian and Ubuntu, `apt-get install etcd-client`".into(),
        ),
        _ => Error::system("etcdctl")(error),
    })
}

/// Moves this process, which has one thread, into the network of another.
///
/// # Errors
/// When that one is gone, or this user may not.
pub fn enter(pid: i32) -> std::io::Result<()> {
    let namespace = |kind: &str| format!("/proc/{pid}/ns/{kind}");
    let own = std::fs::read_link("/proc/self/ns/user")?;
    let network = File::open(namespace("net"))?;
    // Nobody can enter the one that they are in.
    if std::fs::read_link(namespace("user"))? != own {
        let user = File::open(namespace("user"))?;
        move_into_link_name_space(user.as_fd(), Some(LinkNameSpaceType::User))?;
    }
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}
