//! Messages, each with the five bytes that precede it.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use super::status::{Code, Status};

/// The bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// A message as it is sent.
pub fn framed(message: &impl Message) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.encoded_len());
    framed.put_u8(0);
    framed.put_u32(message.encoded_len() as u32);
    message
        .encode(&mut framed)
        .expect("there is room for all of it");
    framed.freeze()
}

/// The only message of a body.
pub fn unframed<M: Message + Default>(body: Bytes) -> Result<M, Status> {
    let mut rest = BytesMut::from(body);
    match next(&mut rest)? {
        Some(message) if rest.is_empty() => Ok(message),
        Some(_) => Err(malformed("more than one message")),
        None => Err(malformed("it is cut short")),
    }
}

/// Takes the first message out of what was received, once it is whole.
pub fn next<M: Message + Default>(received: &mut BytesMut) -> Result<Option<M>, Status> {
    if received.len() < PREFIX {
        return Ok(None);
    }
    let mut prefix = &received[..PREFIX];
    let (compressed, length) = (prefix.get_u8(), prefix.get_u32() as usize);
    if compressed != 0 {
        return Err(malformed("it is compressed"));
    }
    if received.len() - PREFIX < length {
        return Ok(None);
    }
    received.advance(PREFIX);
    M::decode(received.split_to(length))
        .map(Some)
        .map_err(|error| malformed(&error.to_string()))
}

fn malformed(why: &str) -> Status {
    Status::new(Code::Other(13), format!("malformed reply: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_that_are_cut_short_are_told() {
        let whole = framed(&"x".to_owned());
        assert_eq!(
            unframed::<String>(whole.clone()).expect("it is whole"),
            "x".to_owned()
        );
        for length in 0..whole.len() {
            assert!(
                unframed::<String>(whole.slice(..length)).is_err(),
                "{length}"
            );
        }
        assert!(unframed::<String>([&whole[..], &whole[..]].concat().into()).is_err());
    }

    #[test]
    fn messages_come_in_any_pieces() {
        let sent = [framed(&"one".to_owned()), framed(&"two".to_owned())].concat();
        let (mut received, mut read) = (BytesMut::new(), Vec::new());
        for byte in sent {
            received.put_u8(byte);
            read.extend(next::<String>(&mut received).expect("is well-formed"));
        }
        assert_eq!(read, ["one", "two"]);
    }
}
