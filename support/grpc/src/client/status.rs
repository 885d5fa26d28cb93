//! How a call ended, if not with a reply.

use http::HeaderMap;

/// What a call may end with instead of a reply. Upstream: `google.golang.org/grpc/codes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The call took longer than it may.
    DeadlineExceeded,
    /// What it is about is not there.
    NotFound,
    /// The other side does not know this call.
    Unimplemented,
    /// Nobody listens, or the connection broke.
    Unavailable,
    /// Any other, by its number.
    Other(u32),
}

impl Code {
    fn of(number: u32) -> Code {
        match number {
            4 => Code::DeadlineExceeded,
            5 => Code::NotFound,
            12 => Code::Unimplemented,
            14 => Code::Unavailable,
            other => Code::Other(other),
        }
    }

    /// The name that Go's library prints.
    fn name(self) -> &'static str {
        let number = match self {
            Code::DeadlineExceeded => 4,
            Code::NotFound => 5,
            Code::Unimplemented => 12,
            Code::Unavailable => 14,
            Code::Other(number) => number,
        };
        crate::CODES
            .get(number as usize)
            .copied()
            .unwrap_or("Unknown")
    }
}

/// A call that failed, in the words of Go's library: users see it in events.
#[derive(Debug, Clone, thiserror::Error)]
#[error("rpc error: code = {} desc = {message}", .code.name())]
pub struct Status {
    /// Why, for programs.
    pub code: Code,
    /// Why, for people.
    pub message: String,
}

impl Status {
    /// A status of this side's own.
    pub fn new(code: Code, message: impl std::fmt::Display) -> Status {
        Status {
            code,
            message: message.to_string(),
        }
    }
}

/// What the headers say of the call; `None` if they say nothing.
pub fn status_of(headers: Option<&HeaderMap>) -> Option<Result<(), Status>> {
    let headers = headers?;
    let number: u32 = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    if number == 0 {
        return Some(Ok(()));
    }
    let message = headers.get("grpc-message").map(|text| text.as_bytes());
    let message = percent_decoded(message.unwrap_or_default());
    Some(Err(Status::new(Code::of(number), message)))
}

/// Text in a header, where what is not plain ASCII is `%` and two digits.
fn percent_decoded(text: &[u8]) -> String {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let escaped = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        match (byte, escaped) {
            (b'%', Some(escaped)) => {
                plain.push(escaped);
                rest = &tail[2..];
            }
            _ => {
                plain.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_in_the_trailers() {
        let mut headers = HeaderMap::new();
        assert!(status_of(Some(&headers)).is_none());
        headers.insert("grpc-status", "5".parse().expect("is a value"));
        let text = "no %22x%22, 100%".parse().expect("is a value");
        headers.insert("grpc-message", text);
        let status = status_of(Some(&headers)).expect("is one");
        let status = status.expect_err("it failed");
        assert_eq!(status.code, Code::NotFound);
        assert_eq!(
            status.to_string(),
            "rpc error: code = NotFound desc = no \"x\", 100%"
        );
    }
}
