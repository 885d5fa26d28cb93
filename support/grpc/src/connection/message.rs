//! What streams say, up to the call that is made of it.

use bytes::Bytes;
use tonic::{Code, Status};

use super::{Connection, PREFIX_BYTES};
use crate::Service;
use crate::frame::{self, Head, Reason, flag};
use crate::outbox::Reply;
use crate::stream::Receive;

impl<S: Service> Connection<S> {
    pub(super) fn data(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        // Padding counts too.
        let bytes = payload.len() as u32;
        self.window -= i64::from(bytes);
        if self.window < 0 {
            return Err(Reason::FlowControl);
        }
        if head.stream == 0 || head.stream > self.newest {
            return Err(Reason::Protocol);
        }
        let data = frame::unpad(head, payload)?;
        let ends = head.flags & flag::END_STREAM != 0;
        let Some(stream) = self.streams.get_mut(&head.stream) else {
            // Closed, and its last bytes were on the way.
            self.used += bytes;
            return Ok(());
        };
        match &mut stream.receive {
            Receive::Nothing => self.used += bytes,
            Receive::Body(sender) => {
                stream.held += bytes;
                if stream.held + stream.taken > self.stream_window {
                    return Err(Reason::FlowControl);
                }
                let sent = sender
                    .as_ref()
                    .map(|sender| sender.send(Bytes::copy_from_slice(data)));
                // Padding is nothing to be taken, and what nobody takes is given back here.
                let taken = if let Some(Ok(())) = sent {
                    bytes - data.len() as u32
                } else {
                    bytes
                };
                self.taken(head.stream, taken);
            }
            Receive::Message { method, message } => {
                stream.held += bytes;
                // Almost every message comes whole in one frame, and is read where it lies.
                if ends && message.is_empty() {
                    let method = *method;
                    stream.receive = Receive::Nothing;
                    self.call(head.stream, method, data);
                    return Ok(());
                }
                message.extend_from_slice(data);
                let limit = self.service.message_bytes_max();
                if let Some(length) = message_length(message).filter(|length| *length > limit) {
                    self.refuse(head.stream, &too_large(length, limit));
                    return Ok(());
                }
                // More than the one message of such a call: wrong, and not to be gathered.
                if message.len() > limit + PREFIX_BYTES {
                    self.refuse(head.stream, &not_one_message());
                    return Ok(());
                }
            }
        }
        if ends {
            self.ended(head.stream)
        } else {
            Ok(())
        }
    }

    /// The peer has said all of a stream.
    pub(super) fn ended(&mut self, id: u32) -> Result<(), Reason> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        match std::mem::replace(&mut stream.receive, Receive::Nothing) {
            Receive::Message { method, message } => self.call(id, method, &message),
            // Dropping the sender is how the body ends.
            Receive::Body(_) => stream.receive = Receive::Body(None),
            Receive::Nothing => {}
        }
        Ok(())
    }

    /// Makes a call whose message is whole, prefix and all.
    fn call(&mut self, stream: u32, method: u16, message: &[u8]) {
        let limit = self.service.message_bytes_max();
        match message_length(message) {
            Some(length) if length > limit => self.refuse(stream, &too_large(length, limit)),
            Some(length) if length + PREFIX_BYTES == message.len() && message[0] == 0 => {
                let reply = Reply::new(self.outbox.clone(), stream);
                self.has_called = true;
                self.service.call(method, &message[PREFIX_BYTES..], reply);
            }
            _ => self.refuse(stream, &not_one_message()),
        }
    }

    /// Answers a call that is not made.
    fn refuse(&mut self, id: u32, status: &Status) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.receive = Receive::Nothing;
        }
        self.fail(id, status);
    }
}

/// The length that a message's prefix says; none if the prefix is not all there.
fn message_length(message: &[u8]) -> Option<usize> {
    let [_, l0, l1, l2, l3] = *message.first_chunk()?;
    Some(u32::from_be_bytes([l0, l1, l2, l3]) as usize)
}

/// The failure of a call with a message of `length` where `limit` is the largest.
pub fn too_large(length: usize, limit: usize) -> Status {
    // The words of grpc-go's servers, which clients know.
    let said = format!("grpc: received message larger than max ({length} vs. {limit})");
    Status::new(Code::ResourceExhausted, said)
}

fn not_one_message() -> Status {
    Status::new(
        Code::Internal,
        "a call of this method has one message that is not compressed",
    )
}
