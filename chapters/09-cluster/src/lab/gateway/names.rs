//! Names outside the cluster: asking the host's name servers, for the lab and for its nodes.
//!
//! The C library's resolver loads its sources (`nsswitch`) at run time, which a static program
//! cannot, so what is needed of DNS (RFC 1035) is here: a question for addresses, and its answer.

use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
const MESSAGE_BYTES_MAX: usize = 4096;
const HEADER_LEN: usize = 12;
const TYPE_A: u16 = 1;
const CLASS_IN: u16 = 1;

/// Forwards questions that come from nodes and pods to the host's name servers.
pub async fn serve(socket: UdpSocket) {
    let socket = Arc::new(socket);
    let mut buffer = [0; MESSAGE_BYTES_MAX];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let (socket, question) = (socket.clone(), buffer[..length].to_vec());
        tokio::spawn(async move {
            let answer = ask(&question)
                .await
                .ok()
                .or_else(|| server_failure(&question));
            if let Some(answer) = answer {
                let _ = socket.send_to(&answer, from).await;
            }
        });
    }
}

/// The addresses of a host: itself if it is one, else from `/etc/hosts`, else from DNS.
///
/// # Errors
/// When no name server answers, or the name does not exist.
pub async fn resolve(host: &str) -> Result<Vec<IpAddr>> {
    if let Ok(ip) = host.parse() {
        return Ok(vec![ip]);
    }
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let known = from_hosts(&hosts, host);
    if !known.is_empty() {
        return Ok(known);
    }
    let no_name = || {
        Error::new(
            ErrorKind::InvalidInput,
            format!("{host:?} is no host's name"),
        )
    };
    let answer = ask(&question(1, host).ok_or_else(no_name)?).await?;
    let found = addresses(&answer).unwrap_or_default();
    if found.is_empty() {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("no such host: {host}"),
        ));
    }
    Ok(found.into_iter().map(IpAddr::V4).collect())
}

/// Sends a message to the host's name servers, one after the other, for the first answer.
async fn ask(message: &[u8]) -> Result<Vec<u8>> {
    let table = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let mut last = Error::new(ErrorKind::NotFound, "/etc/resolv.conf names no name server");
    for server in name_servers(&table) {
        match ask_server(message, server).await {
            Ok(answer) => return Ok(answer),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn ask_server(message: &[u8], server: SocketAddr) -> Result<Vec<u8>> {
    let any: SocketAddr = if server.is_ipv4() {
        ([0; 4], 0).into()
    } else {
        ([0u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(message).await?;
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    let length = tokio::time::timeout(ANSWER_TIMEOUT, socket.recv(&mut buffer)).await??;
    buffer.truncate(length);
    Ok(buffer)
}

fn name_servers(resolv_conf: &str) -> impl Iterator<Item = SocketAddr> {
    resolv_conf.lines().filter_map(|line| {
        let ip: IpAddr = line
            .trim()
            .strip_prefix("nameserver")?
            .trim()
            .parse()
            .ok()?;
        Some(SocketAddr::new(ip, 53))
    })
}

fn from_hosts(table: &str, host: &str) -> Vec<IpAddr> {
    let line = |line: &str| {
        let mut words = line.split('#').next()?.split_whitespace();
        let ip = words.next()?.parse().ok()?;
        words
            .any(|name| name.eq_ignore_ascii_case(host))
            .then_some(ip)
    };
    table.lines().filter_map(line).collect()
}

/// A question for the IPv4 addresses of `name`; `None` when it is no name.
pub fn question(id: u16, name: &str) -> Option<Vec<u8>> {
    const RECURSION_DESIRED: u16 = 1 << 8;
    let mut message = Vec::new();
    for word in [id, RECURSION_DESIRED, 1, 0, 0, 0] {
        message.extend(word.to_be_bytes());
    }
    for label in name.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len())
            .ok()
            .filter(|length| (1..=63).contains(length))?;
        message.push(length);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(TYPE_A.to_be_bytes());
    message.extend(CLASS_IN.to_be_bytes());
    Some(message)
}

/// The IPv4 addresses in an answer; `None` when it cannot be read.
pub fn addresses(message: &[u8]) -> Option<Vec<Ipv4Addr>> {
    let word = |at: usize| {
        Some(u16::from_be_bytes(
            message.get(at..at + 2)?.try_into().ok()?,
        ))
    };
    let mut at = HEADER_LEN;
    for _question in 0..word(4)? {
        at = skip_name(message, at)? + 4;
    }
    let mut found = Vec::new();
    for _answer in 0..word(6)? {
        at = skip_name(message, at)?;
        let (kind, length) = (word(at)?, usize::from(word(at + 8)?));
        let data = message.get(at + 10..at + 10 + length)?;
        if kind == TYPE_A
            && let Ok(octets) = <[u8; 4]>::try_from(data)
        {
            found.push(octets.into());
        }
        at += 10 + length;
    }
    Some(found)
}

/// The offset after the name at `at`: labels up to an empty one or a pointer.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match message.get(at)? {
            0 => return Some(at + 1),
            pointer if pointer & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(*length),
        }
    }
}

/// The answer that says that none can be had: SERVFAIL.
fn server_failure(question: &[u8]) -> Option<Vec<u8>> {
    let mut answer = question.to_vec();
    *answer.get_mut(2)? |= 0x80;
    *answer.get_mut(3)? = 0x82;
    (answer.len() >= HEADER_LEN).then_some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_and_survives_anything_else() {
        let mut message = question(7, "a.example").unwrap();
        message[7] = 2;
        let cname = [0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 12];
        let a = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 1, 2, 3];
        message.extend(cname.iter().chain(&a));
        assert_eq!(addresses(&message), Some(vec![Ipv4Addr::new(10, 1, 2, 3)]));
        for cut in 0..message.len() {
            assert_eq!(addresses(&message[..cut]), None, "cut at {cut}");
        }
        assert_eq!(question(1, ""), None);
        assert_eq!(question(1, "a..b"), None);
    }

    #[test]
    fn reads_the_hosts_tables() {
        let servers: Vec<_> = name_servers("# x\nnameserver 10.0.0.1\nsearch a\nnameserver ::1\n")
            .map(|server| server.to_string())
            .collect();
        assert_eq!(servers, ["10.0.0.1:53", "[::1]:53"]);
        let hosts = "127.0.0.1 localhost # me\n10.0.0.9 Reg.example reg\n";
        assert_eq!(
            from_hosts(hosts, "reg.example"),
            ["10.0.0.9".parse::<IpAddr>().unwrap()]
        );
        assert!(from_hosts(hosts, "me").is_empty());
    }
}
