//! The wire: a header, a fixed part, and attributes padded to four bytes.

/// `NLM_F_REQUEST`: every message to the kernel.
pub const NLM_F_REQUEST: u16 = 0x01;
/// `NLM_F_ACK`: answer with an error number, zero for success.
pub const NLM_F_ACK: u16 = 0x04;
/// `NLM_F_DUMP`: answer with all there is.
pub const NLM_F_DUMP: u16 = 0x300;
/// `NLM_F_REPLACE`: overwrite what is there.
pub const NLM_F_REPLACE: u16 = 0x100;
/// `NLM_F_EXCL`: fail if it is there.
pub const NLM_F_EXCL: u16 = 0x200;
/// `NLM_F_CREATE`: make it if it is not there.
pub const NLM_F_CREATE: u16 = 0x400;
/// `NLM_F_APPEND`: add to the end of a list.
pub const NLM_F_APPEND: u16 = 0x800;

/// `NLMSG_ERROR`: an error number, which is zero in an acknowledgement.
pub const NLMSG_ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a dump.
pub const NLMSG_DONE: u16 = 3;

/// Bytes of `struct nlmsghdr`.
pub const HEADER_LEN: usize = 16;

/// `NLA_F_NESTED`: the attribute's value is a list of attributes.
const NLA_F_NESTED: u16 = 0x8000;
/// The bits of an attribute's type that are flags.
const NLA_FLAGS: u16 = 0xc000;

fn align(len: usize) -> usize {
    len.next_multiple_of(4)
}

/// A message being written. Numbers are in the machine's byte order, as netlink wants them.
#[derive(Debug, Clone)]
pub struct Message {
    buf: Vec<u8>,
}

impl Message {
    /// Starts a message of a kind (`RTM_NEWLINK`, …); [`NLM_F_REQUEST`] is added to the flags.
    pub fn new(kind: u16, flags: u16) -> Self {
        let mut buf = vec![0; HEADER_LEN];
        buf[4..6].copy_from_slice(&kind.to_ne_bytes());
        buf[6..8].copy_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        Message { buf }
    }

    /// Appends the family's fixed part (`struct ifinfomsg`, …).
    pub fn fixed(mut self, bytes: &[u8]) -> Self {
        self.buf.extend_from_slice(bytes);
        self.pad();
        self
    }

    /// Appends an attribute.
    pub fn attr(mut self, kind: u16, value: &[u8]) -> Self {
        let len = u16::try_from(4 + value.len()).expect("an attribute is shorter than 64 KiB");
        self.buf.extend_from_slice(&len.to_ne_bytes());
        self.buf.extend_from_slice(&kind.to_ne_bytes());
        self.buf.extend_from_slice(value);
        self.pad();
        self
    }

    /// Appends a number in the machine's byte order.
    pub fn attr_u32(self, kind: u16, value: u32) -> Self {
        self.attr(kind, &value.to_ne_bytes())
    }

    /// Appends a string with the zero byte that ends it.
    pub fn attr_str(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attr(kind, &bytes)
    }

    /// Appends an attribute that holds what `fill` appends.
    pub fn nested(mut self, kind: u16, fill: impl FnOnce(Message) -> Message) -> Self {
        let start = self.buf.len();
        self.buf.extend_from_slice(&[0; 4]);
        let mut message = fill(self);
        let len = u16::try_from(message.buf.len() - start).expect("shorter than 64 KiB");
        message.buf[start..start + 2].copy_from_slice(&len.to_ne_bytes());
        message.buf[start + 2..start + 4].copy_from_slice(&(kind | NLA_F_NESTED).to_ne_bytes());
        message
    }

    /// The message's bytes, numbered `sequence`.
    pub fn encode(mut self, sequence: u32) -> Vec<u8> {
        let len = u32::try_from(self.buf.len()).expect("a message is shorter than 4 GiB");
        self.buf[0..4].copy_from_slice(&len.to_ne_bytes());
        self.buf[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.buf
    }

    fn pad(&mut self) {
        self.buf.resize(align(self.buf.len()), 0);
    }
}

/// A message that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received<'a> {
    /// `RTM_NEWLINK`, [`NLMSG_ERROR`], ….
    pub kind: u16,
    /// The number of the request that it answers.
    pub sequence: u32,
    /// Everything behind the header.
    pub payload: &'a [u8],
}

/// The messages in one datagram; stops at the first that is cut short.
pub fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Received<'_>> {
    std::iter::from_fn(move || {
        let header = datagram.get(..HEADER_LEN)?;
        let len = u32_at(header, 0)? as usize;
        let message = datagram.get(HEADER_LEN..len)?;
        let received = Received {
            kind: u16_at(header, 4)?,
            sequence: u32_at(header, 8)?,
            payload: message,
        };
        datagram = datagram.get(align(len)..).unwrap_or_default();
        Some(received)
    })
}

/// The attributes in a payload behind its fixed part; stops at the first that is cut short.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = u16_at(bytes, 0)? as usize;
        let kind = u16_at(bytes, 2)? & !NLA_FLAGS;
        let value = bytes.get(4..len)?;
        bytes = bytes.get(align(len)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The two bytes at `offset` as a number.
pub fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(
        bytes.get(offset..offset + 2)?.try_into().ok()?,
    ))
}

/// The four bytes at `offset` as a number.
pub fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(
        bytes.get(offset..offset + 4)?.try_into().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let bytes = Message::new(16, NLM_F_ACK)
            .fixed(&[1, 2, 3, 4])
            .attr_str(3, "cni0")
            .nested(18, |m| m.attr_u32(1, 7).attr(2, &[9]))
            .encode(42);
        let all: Vec<_> = messages(&bytes).collect();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].kind, all[0].sequence), (16, 42));
        let attrs: Vec<_> = attributes(&all[0].payload[4..]).collect();
        assert_eq!(attrs[0], (3, &b"cni0\0"[..]));
        assert_eq!(attrs[1].0, 18);
        let inner: Vec<_> = attributes(attrs[1].1).collect();
        assert_eq!(inner, vec![(1, &7u32.to_ne_bytes()[..]), (2, &[9][..])]);
    }

    #[test]
    fn cut_or_lying_lengths_end_the_walk() {
        let bytes = Message::new(16, 0).attr_u32(1, 7).encode(1);
        for cut in 0..bytes.len() {
            assert_eq!(messages(&bytes[..cut]).count(), 0);
        }
        // A length of zero would walk for ever if it were believed.
        assert_eq!(messages(&[0; 64]).count(), 0);
        assert_eq!(attributes(&[0; 64]).count(), 0);
        assert_eq!(attributes(&[255; 64]).count(), 0);
    }
}
