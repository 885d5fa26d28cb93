//! An HTTP proxy (RFC 9110, `CONNECT` and absolute URIs) for the kubelets' image pulls.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::names;

/// Longest head of a request.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What the head of a request asks for.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    host: String,
    port: u16,
    /// What to send to the host first: nothing for a tunnel.
    head: Vec<u8>,
    tunnel: bool,
}

/// Serves one connection of a node.
///
/// # Errors
/// When either end breaks off.
pub async fn serve(client: std::net::TcpStream) -> Result<()> {
    let mut client = TcpStream::from_std(client)?;
    let (head, rest) = read_head(&mut client).await?;
    let Some(target) = parse(&head) else {
        return client
            .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            .await;
    };
    let mut server = match connect(&target).await {
        Ok(Way::Direct(mut server)) => {
            if target.tunnel {
                client
                    .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    .await?;
            } else {
                server.write_all(&target.head).await?;
            }
            server
        }
        Ok(Way::Proxy(mut server)) => {
            server.write_all(&head).await?;
            server
        }
        Err(error) => {
            let text = format!("{}:{}: {error}\n", target.host, target.port);
            let head = format!(
                "HTTP/1.1 502 Bad Gateway\r\nContent-Length: {}\r\n\r\n",
                text.len()
            );
            return client.write_all([head, text].concat().as_bytes()).await;
        }
    };
    server.write_all(&rest).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// Reads up to the empty line; returns the head with it, and what came after.
async fn read_head(client: &mut TcpStream) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((bytes, rest));
        }
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "the request's head is too long",
            ));
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}

fn parse(head: &[u8]) -> Option<Target> {
    let head = std::str::from_utf8(head).ok()?;
    let (line, fields) = head.split_once("\r\n")?;
    let mut words = line.split(' ');
    let (method, uri, version) = (words.next()?, words.next()?, words.next()?);
    if method == "CONNECT" {
        let (host, port) = split_port(uri, None)?;
        return Some(Target {
            host,
            port,
            head: Vec::new(),
            tunnel: true,
        });
    }
    let uri = uri.strip_prefix("http://")?;
    let (authority, path) = uri.split_at(uri.find('/').unwrap_or(uri.len()));
    let (host, port) = split_port(authority, Some(80))?;
    let path = if path.is_empty() { "/" } else { path };
    // One request for each connection: the next one may be for another host.
    let kept: String = fields
        .split("\r\n")
        .filter(|field| !field.is_empty())
        .filter(|field| {
            let name = field.split(':').next().unwrap_or_default();
            !["connection", "proxy-connection", "proxy-authorization"]
                .contains(&name.to_ascii_lowercase().as_str())
        })
        .flat_map(|field| [field, "\r\n"])
        .collect();
    let head = format!("{method} {path} {version}\r\n{kept}Connection: close\r\n\r\n");
    Some(Target {
        host,
        port,
        head: head.into_bytes(),
        tunnel: false,
    })
}

fn split_port(authority: &str, default: Option<u16>) -> Option<(String, u16)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
        _ => (authority, default),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then_some((host.to_owned(), port?))
}

enum Way {
    Direct(TcpStream),
    /// A proxy that the host itself goes through takes the request as it came.
    Proxy(TcpStream),
}

async fn connect(target: &Target) -> Result<Way> {
    if let Some((host, port)) = host_proxy(target) {
        return dial(&host, port).await.map(Way::Proxy);
    }
    dial(&target.host, target.port).await.map(Way::Direct)
}

async fn dial(host: &str, port: u16) -> Result<TcpStream> {
    let mut last = Error::new(ErrorKind::NotFound, "no such host");
    for ip in names::resolve(host).await? {
        match TcpStream::connect((ip, port)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The proxy that the host's environment names for this target.
fn host_proxy(target: &Target) -> Option<(String, u16)> {
    let variables = if target.tunnel {
        ["HTTPS_PROXY", "https_proxy"]
    } else {
        ["HTTP_PROXY", "http_proxy"]
    };
    let set = |names: [&str; 2]| {
        names
            .into_iter()
            .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
    };
    let direct = set(["NO_PROXY", "no_proxy"]).unwrap_or_default();
    if direct.split(',').any(|suffix| {
        let suffix = suffix.trim().trim_start_matches('.');
        !suffix.is_empty()
            && (suffix == "*"
                || target.host == suffix
                || target.host.ends_with(&format!(".{suffix}")))
    }) {
        return None;
    }
    let url = set(variables)?;
    let authority = url.strip_prefix("http://").unwrap_or(&url);
    split_port(authority.trim_end_matches('/'), Some(80))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(head: &str) -> Option<(String, u16, String)> {
        let target = parse(head.as_bytes())?;
        Some((
            target.host,
            target.port,
            String::from_utf8(target.head).unwrap(),
        ))
    }

    #[test]
    fn requests_name_their_target() {
        assert_eq!(
            target("CONNECT registry.example:443 HTTP/1.1\r\nHost: x\r\n\r\n"),
            Some(("registry.example".into(), 443, String::new()))
        );
        assert_eq!(
            target("GET http://127.0.0.1:5000/v2/ HTTP/1.1\r\nHost: h\r\nConnection: x\r\n\r\n"),
            Some((
                "127.0.0.1".into(),
                5000,
                "GET /v2/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".into()
            ))
        );
        assert_eq!(
            target("CONNECT [::1]:443 HTTP/1.1\r\n\r\n").unwrap().0,
            "::1"
        );
        for bad in [
            "GET / HTTP/1.1\r\n\r\n",
            "CONNECT host HTTP/1.1\r\n\r\n",
            "\r\n\r\n",
            "x",
        ] {
            assert_eq!(target(bad), None, "{bad:?}");
        }
    }
}
