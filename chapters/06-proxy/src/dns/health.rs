//! `GET /ready` and `GET /health`: the least HTTP that a probe needs.
//!
//! A probe that comes before we are ready is held for a moment instead of being told "not yet":
//! the next one comes a whole period later, and the cluster's first names are waited for.

use std::net::SocketAddr;
use std::time::Duration;

use component::CancellationToken;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::Error;

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a client is held while all is not well; below the one second that a probe waits.
const HOLD: Duration = Duration::from_millis(700);

/// Listens on `address` and, until `shutdown`, answers requests for `path` with 200 while all is
/// `well` and 503 otherwise.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(
    address: SocketAddr,
    path: &'static str,
    well: watch::Receiver<bool>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| Error::Listen { address, error })?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                    tokio::spawn(tokio::time::timeout(PATIENCE, answer(stream, path, well.clone())));
                },
            }
        }
    });
    Ok(())
}

async fn answer(
    mut stream: TcpStream,
    path: &str,
    mut well: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut request = Vec::with_capacity(1024);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < 8192 {
        if stream.read_buf(&mut request).await? == 0 {
            break;
        }
    }
    let _or_not = tokio::time::timeout(HOLD, well.wait_for(|well| *well))
        .await
        .is_ok();
    let well = *well.borrow();
    stream
        .write_all(response(&request, path, well).as_bytes())
        .await?;
    stream.shutdown().await
}

fn response(request: &[u8], path: &str, well: bool) -> String {
    let line = request
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let target = line
        .split(' ')
        .nth(1)
        .and_then(|target| target.split('?').next());
    let (status, body) = match target {
        Some(target) if target != path => ("404 Not Found", "404 page not found\n"),
        Some(_) if well => ("200 OK", "OK"),
        Some(_) => ("503 Service Unavailable", "not ready"),
        None => ("400 Bad Request", ""),
    };
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::response;

    #[test]
    fn status_tells_path_and_health() {
        let status = |request: &str, well| {
            let response = response(request.as_bytes(), "/ready", well);
            response.lines().next().unwrap_or_default().to_owned()
        };
        assert_eq!(
            status("GET /ready HTTP/1.1\r\n\r\n", true),
            "HTTP/1.1 200 OK"
        );
        assert_eq!(
            status("GET /ready?a HTTP/1.1\r\n\r\n", false),
            "HTTP/1.1 503 Service Unavailable"
        );
        assert_eq!(
            status("GET / HTTP/1.1\r\n\r\n", true),
            "HTTP/1.1 404 Not Found"
        );
        assert_eq!(status("", true), "HTTP/1.1 400 Bad Request");
    }
}
