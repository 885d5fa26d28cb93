//! Which port of the host's loopback the API server gets.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use super::Error;
use super::layout::Layout;
use super::record::Record;

/// Upstream's port, and the first that is tried.
const FIRST: u16 = 6443;
/// How many are tried after it.
const TRIES: u16 = 100;
/// How long the port that the lab had before is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// Binds the lab's port. One that the user named, or that the lab had before, must be had; else
/// the first that is free is taken, so that labs run side by side.
///
/// # Errors
/// When the port is taken: the text says by whom, if that can be seen.
pub fn bind(named: Option<u16>, before: Option<u16>) -> Result<TcpListener, Error> {
    let Some(port) = named.or(before) else {
        return bind_free();
    };
    // Of a lab that was killed just now, a process may still be on its way out.
    let patience = if before == Some(port) {
        PATIENCE
    } else {
        Duration::ZERO
    };
    let began = Instant::now();
    let bound = loop {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Err(error)
                if error.kind() == std::io::ErrorKind::AddrInUse && began.elapsed() < patience =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            bound => break bound,
        }
    };
    bound.map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => Error::Machine(format!(
            "port {port} of 127.0.0.1 is in use{}; `--port` chooses another one",
            holder(port)
                .map(|who| format!(" by {who}"))
                .unwrap_or_default()
        )),
        std::io::ErrorKind::PermissionDenied => Error::Machine(format!(
            "port {port} of 127.0.0.1 is for root alone; `--port` chooses another one"
        )),
        _ => Error::System {
            what: format!("listen on 127.0.0.1:{port}"),
            source,
        },
    })
}

fn bind_free() -> Result<TcpListener, Error> {
    // A lab that is down for the moment keeps its port: its kubeconfig may have been copied.
    let taken: Vec<u16> = super::layout::labs()
        .iter()
        .filter_map(|name| Record::load(&Layout::of(name)))
        .map(|record| record.port)
        .collect();
    let free = (FIRST..FIRST + TRIES)
        .filter(|port| !taken.contains(port))
        .find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    free.ok_or_else(|| {
        let last = FIRST + TRIES - 1;
        Error::Machine(format!(
            "ports {FIRST} to {last} of 127.0.0.1 are all in use"
        ))
    })
}

/// Who listens on the port: `PID 123 (nginx)`, as far as this user may see it.
fn holder(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .find_map(|table| {
            let table = std::fs::read_to_string(table).ok()?;
            listening_inode(&table, port)
        })?;
    let socket = format!("socket:[{inode}]");
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let is_number = |entry: &std::fs::DirEntry| {
        entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.parse::<u32>().is_ok())
    };
    let mut processes = processes.filter(is_number).map(|entry| entry.path());
    let holder = processes.find(|process| {
        let Ok(open) = std::fs::read_dir(process.join("fd")) else {
            return false;
        };
        open.flatten()
            .any(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to.to_str() == Some(&socket)))
    })?;
    let name = std::fs::read_to_string(holder.join("comm")).ok()?;
    Some(format!(
        "PID {} ({})",
        holder.file_name()?.to_str()?,
        name.trim()
    ))
}

/// The inode of the socket that listens on `port`, from the text of `/proc/net/tcp`.
fn listening_inode(table: &str, port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let local = u16::from_str_radix(fields.get(1)?.rsplit(':').next()?, 16).ok()?;
        (local == port && fields.get(3) == Some(&LISTEN)).then(|| fields.get(9)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_before_is_waited_for() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        let freed = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            drop(held);
        });
        assert_eq!(
            bind(None, Some(port)).unwrap().local_addr().unwrap().port(),
            port
        );
        freed.join().unwrap();
    }

    #[test]
    fn a_port_in_use_is_refused_with_its_holder() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = bind(Some(port), None).unwrap_err().to_string();
        let me = format!("in use by PID {} (", std::process::id());
        assert!(error.contains(&me) && error.contains("--port"), "{error}");
    }
}
