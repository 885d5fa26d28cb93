//! Protobuf's wire format: numbered fields, one after the other.

/// The bytes are no fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrong;

/// A field's value, as it is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Raw<'a> {
    /// A number of as many bytes as it takes.
    Number(u64),
    /// Text, bytes, or a message.
    Bytes(&'a [u8]),
    /// Eight bytes.
    Fixed64(u64),
    /// Four bytes.
    Fixed32(u32),
}

/// Reads field after field. Ends after the first that is wrong.
#[derive(Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of a message.
    pub fn new(message: &'a [u8]) -> Fields<'a> {
        Fields { rest: message }
    }

    fn field(&mut self) -> Result<(u32, Raw<'a>), Wrong> {
        let tag = self.number()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Wrong)?;
        let raw = match tag & 7 {
            0 => Raw::Number(self.number()?),
            1 => Raw::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.number()?).map_err(|_| Wrong)?;
                let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Wrong)?;
                self.rest = rest;
                Raw::Bytes(bytes)
            }
            5 => Raw::Fixed32(u32::from_le_bytes(self.array()?)),
            // Groups, which nobody has used for ages.
            _ => return Err(Wrong),
        };
        Ok((number, raw))
    }

    /// A number: seven bits a byte, the lowest first, the top bit says that there are more.
    fn number(&mut self) -> Result<u64, Wrong> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(Wrong)?;
            self.rest = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Wrong)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Wrong)?;
        self.rest = rest;
        Ok(*array)
    }
}

/// Writes field after field.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// A field that is a number.
    pub fn number(&mut self, field: u32, value: u64) {
        self.tag(field, 0);
        push_number(&mut self.out, value);
    }

    /// A field of eight bytes.
    pub fn fixed64(&mut self, field: u32, value: u64) {
        self.tag(field, 1);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// A field that is text, bytes, or a message that is written already.
    pub fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, 2);
        push_number(&mut self.out, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    /// A field that is a message.
    pub fn message(&mut self, field: u32, write: impl FnOnce(&mut Writer)) {
        let begin = self.open(field);
        write(self);
        self.close(begin);
    }

    /// Begins a field that is a message; to be closed with what this returns.
    pub fn open(&mut self, field: u32) -> usize {
        self.tag(field, 2);
        self.out.len()
    }

    /// Ends a message.
    pub fn close(&mut self, begin: usize) {
        // How long it is comes first, and is known only now.
        let end = self.out.len();
        push_number(&mut self.out, (end - begin) as u64);
        let length = self.out.len() - end;
        self.out[begin..].rotate_right(length);
    }

    /// How much has been written.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Takes back what was written after so many bytes.
    pub fn take_from(&mut self, begin: usize) -> Vec<u8> {
        self.out.split_off(begin)
    }

    /// Fields that were written elsewhere.
    pub fn append(&mut self, fields: &[u8]) {
        self.out.extend_from_slice(fields);
    }

    fn tag(&mut self, field: u32, wire_type: u64) {
        push_number(&mut self.out, u64::from(field) << 3 | wire_type);
    }
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Raw<'a>), Wrong>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_wire_type() {
        let bytes = [0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x1d, 1, 0, 0, 0];
        let fields: Result<Vec<_>, _> = Fields::new(&bytes).collect();
        let expected = vec![
            (1, Raw::Number(150)),
            (2, Raw::Bytes(b"hi")),
            (3, Raw::Fixed32(1)),
        ];
        assert_eq!(fields, Ok(expected));
    }

    #[test]
    fn reads_what_it_writes() {
        let mut out = Writer::default();
        out.number(1, u64::MAX);
        out.message(300, |inner| inner.bytes(2, &[7; 200]));
        out.fixed64(3, 1);
        let bytes = out.into_bytes();
        let fields: Result<Vec<_>, _> = Fields::new(&bytes).collect();
        let fields = fields.expect("is right");
        assert_eq!(fields[0], (1, Raw::Number(u64::MAX)));
        let (300, Raw::Bytes(inner)) = fields[1] else {
            panic!("{fields:?}");
        };
        let inner: Result<Vec<_>, _> = Fields::new(inner).collect();
        assert_eq!(inner, Ok(vec![(2, Raw::Bytes(&[7; 200][..]))]));
        assert_eq!(fields[2], (3, Raw::Fixed64(1)));
    }

    #[test]
    fn stops_at_what_is_cut_off() {
        let fields: Vec<_> = Fields::new(&[0x12, 5, b'h']).collect();
        assert_eq!(fields, [Err(Wrong)]);
        assert_eq!(Fields::new(&[0xff; 11]).next(), Some(Err(Wrong)));
    }
}
