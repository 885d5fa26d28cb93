//! Netfilter's messages, many to a datagram, written into one growing buffer.
//!
//! They are read as all netlink messages are: [`crate::message`].

/// Set on the type of an attribute that holds attributes.
const NLA_F_NESTED: u16 = 0x8000;

/// Appends messages; lengths are filled in when a message or an attribute is complete.
#[derive(Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

/// A message's header, but for its length.
pub(super) struct Header {
    /// Subsystem and message, `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// `nlmsg_seq`: errors name it.
    pub sequence: u32,
    /// `nfgen_family`.
    pub family: u8,
    /// `res_id`, which only a batch's first and last message use.
    pub resource: u16,
}

impl Writer {
    /// Writes one message whose attributes `body` writes.
    pub fn message(&mut self, header: Header, body: impl FnOnce(&mut Writer)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 4]);
        self.bytes.extend(header.kind.to_ne_bytes());
        self.bytes.extend(header.flags.to_ne_bytes());
        self.bytes.extend(header.sequence.to_ne_bytes());
        self.bytes.extend([0; 4]); // port id: the kernel knows who we are
        self.bytes.extend([header.family, 0]); // and version 0
        self.bytes.extend(header.resource.to_be_bytes());
        body(self);
        let length = u32::try_from(self.bytes.len() - start).expect("a message is small");
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Attributes that somebody else wrote.
    pub fn raw(&mut self, attributes: &[u8]) {
        self.bytes.extend(attributes);
    }

    /// An attribute of raw bytes.
    pub fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.attribute(kind, |writer| writer.bytes.extend(value));
    }

    /// A string, with the NUL that the kernel wants.
    pub fn string(&mut self, kind: u16, value: &str) {
        self.attribute(kind, |writer| {
            writer.bytes.extend(value.as_bytes());
            writer.bytes.push(0);
        });
    }

    /// A number; nf_tables takes them in network byte order.
    pub fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// An attribute that holds attributes.
    pub fn nested(&mut self, kind: u16, body: impl FnOnce(&mut Writer)) {
        self.attribute(kind | NLA_F_NESTED, body);
    }

    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    fn attribute(&mut self, kind: u16, body: impl FnOnce(&mut Writer)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        body(self);
        let length = u16::try_from(self.bytes.len() - start).expect("an attribute is below 64 KiB");
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
