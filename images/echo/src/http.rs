//! As much of HTTP/1.1 as it takes to answer a GET: request heads, bodies skipped, keep-alive.

use std::io::{self, BufRead, Read, Write};

/// Longest request head, in bytes.
const HEAD_LEN_MAX: u64 = 16 << 10;
/// Longest body that is skipped for the sake of the next request on the connection.
const BODY_LEN_MAX: u64 = 1 << 20;

/// A request, without its body.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Another request may follow on this connection.
    pub keep_alive: bool,
}

/// Why there is no request.
#[derive(Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The client is gone.
    Closed,
    /// What came is no request.
    Bad(&'static str),
}

impl From<io::Error> for RequestError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => RequestError::Bad("the request is not text"),
            _ => RequestError::Closed,
        }
    }
}

impl Request {
    /// Reads a request and skips its body.
    pub fn read(reader: &mut impl BufRead) -> Result<Self, RequestError> {
        let mut head = reader.by_ref().take(HEAD_LEN_MAX);
        let line = read_line(&mut head)?;
        let mut words = line.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(RequestError::Bad(
                "the request line is not METHOD TARGET VERSION",
            ));
        };
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(RequestError::Bad("the method is malformed"));
        }
        if !target.starts_with('/') || target.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(RequestError::Bad("the target is not a path"));
        }
        let mut keep_alive = match version {
            "HTTP/1.1" => true,
            "HTTP/1.0" => false,
            _ => return Err(RequestError::Bad("the version is not HTTP/1.1")),
        };
        let (method, target) = (method.to_string(), target.to_string());
        let mut body_len = 0;
        loop {
            let line = read_line(&mut head)?;
            if line.is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(':') else {
                return Err(RequestError::Bad("a header has no colon"));
            };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "connection" if value.eq_ignore_ascii_case("close") => keep_alive = false,
                "connection" if value.eq_ignore_ascii_case("keep-alive") => keep_alive = true,
                "content-length" => {
                    let parsed: Result<u64, _> = value.parse();
                    body_len = parsed.map_err(|_| RequestError::Bad("malformed content-length"))?;
                }
                // Where its body ends would have to be found: the connection ends instead.
                "transfer-encoding" => keep_alive = false,
                _ => {}
            }
        }
        if body_len > BODY_LEN_MAX {
            keep_alive = false;
        } else {
            io::copy(&mut reader.take(body_len), &mut io::sink())?;
        }
        Ok(Request {
            method,
            target,
            keep_alive,
        })
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// A line without its end.
fn read_line(head: &mut impl BufRead) -> Result<String, RequestError> {
    let mut line = String::new();
    if head.read_line(&mut line)? == 0 {
        return Err(RequestError::Closed);
    }
    match line.strip_suffix('\n') {
        Some(text) => Ok(text.strip_suffix('\r').unwrap_or(text).to_string()),
        None => Err(RequestError::Bad(
            "the request's head is cut short or too long",
        )),
    }
}

/// An answer in plain text.
#[derive(Debug)]
pub struct Response {
    /// 200.
    pub status: u16,
    /// The body.
    pub text: String,
}

impl Response {
    /// Writes the answer, of which a `HEAD` gets only the head.
    pub fn write(&self, mut out: impl Write, is_head: bool, keep_alive: bool) -> io::Result<()> {
        let reason = if self.status == 200 {
            "OK"
        } else {
            "Bad Request"
        };
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let mut answer = format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\nConnection: {connection}\r\n\r\n",
            self.status,
            self.text.len(),
        );
        if !is_head {
            answer.push_str(&self.text);
        }
        out.write_all(answer.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut text: &[u8]) -> Result<Request, RequestError> {
        Request::read(&mut text)
    }

    #[test]
    fn requests() {
        let request = read(b"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert_eq!((request.path(), request.keep_alive), ("/a", true));
        assert!(
            !read(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
                .unwrap()
                .keep_alive
        );
        assert!(!read(b"GET / HTTP/1.0\n\n").unwrap().keep_alive);
        let mut two =
            &b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\n\r\n"[..];
        assert_eq!(Request::read(&mut two).unwrap().method, "POST");
        assert_eq!(Request::read(&mut two).unwrap().path(), "/2");
        assert_eq!(Request::read(&mut two), Err(RequestError::Closed));
    }

    #[test]
    fn what_is_no_request() {
        let wrong: [&[u8]; 8] = [
            b"hello\r\n\r\n",
            b"GET  / HTTP/1.1\r\n\r\n",
            b"get / HTTP/1.1\r\n\r\n",
            b"GET http://x/ HTTP/1.1\r\n\r\n",
            b"GET / HTTP/2\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"\xff\xfe / HTTP/1.1\r\n\r\n",
        ];
        for text in wrong {
            assert!(matches!(read(text), Err(RequestError::Bad(_))), "{text:?}");
        }
        let long = [
            b"GET /".as_slice(),
            &vec![b'x'; 20 << 10],
            b" HTTP/1.1\r\n\r\n",
        ]
        .concat();
        assert!(matches!(read(&long), Err(RequestError::Bad(_))));
        assert_eq!(read(b""), Err(RequestError::Closed));
    }
}
