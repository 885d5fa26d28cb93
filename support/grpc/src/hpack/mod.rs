//! HPACK: how HTTP/2 writes headers (RFC 7541).
//!
//! A client that calls the same method a thousand times says the same ten headers each time. So
//! both sides keep a table of headers that were said, and what is in it is said by its number: a
//! call's headers are ten bytes. It is why a header block cannot be passed over even when its
//! stream is not wanted: the next one counts on what it put into the table.

mod huffman;
mod table;

use std::collections::VecDeque;

/// Most bytes that the table of headers said to us may take: what peers expect unless told.
const TABLE_BYTES_MAX: usize = 4096;

/// What an entry counts beside its name and value (RFC 7541, section 4.1).
const ENTRY_BYTES: usize = 32;

/// Most bytes of all headers of a block. A block of a few bytes can say long headers many times.
const HEADERS_BYTES_MAX: usize = 64 * 1024;

/// A header block that is not one, or says too much: the connection cannot go on, as the tables
/// differ from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed header block")]
pub struct Malformed;

/// A header's name and value.
type Entry = (Box<[u8]>, Box<[u8]>);

/// The reading side's table.
#[derive(Debug)]
pub struct Decoder {
    /// The newest first, as they are numbered.
    entries: VecDeque<Entry>,
    bytes: usize,
    bytes_max: usize,
    /// Changes of the table so far: a block that is read twice with no change between means the
    /// same both times.
    changes: u64,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            bytes_max: TABLE_BYTES_MAX,
            changes: 0,
        }
    }
}

impl Decoder {
    /// How often the table was changed.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Reads a whole header block into `headers`.
    ///
    /// # Errors
    /// If it is not one.
    pub fn decode(&mut self, mut block: &[u8], headers: &mut Headers) -> Result<(), Malformed> {
        while let Some(first) = block.first() {
            match first {
                0x80.. => {
                    let index = integer(&mut block, 7)?;
                    let (name, value) = self.entry(index)?;
                    headers.push(name, value);
                }
                0x40.. => {
                    let at = self.literal(&mut block, 6, headers)?;
                    let (name, value) = headers.get(at);
                    let entry = (name.into(), value.into());
                    self.insert(entry);
                }
                0x20.. => {
                    let bytes = integer(&mut block, 5)?;
                    if bytes > TABLE_BYTES_MAX {
                        return Err(Malformed);
                    }
                    self.bytes_max = bytes;
                    self.changes += 1;
                    self.evict(0);
                }
                // Without indexing, or never to be indexed: the same to who does not pass it on.
                _ => {
                    self.literal(&mut block, 4, headers)?;
                }
            }
            if headers.bytes.len() + headers.spans.len() * ENTRY_BYTES > HEADERS_BYTES_MAX {
                return Err(Malformed);
            }
        }
        Ok(())
    }

    /// Reads a header whose value, and perhaps name, is spelt out; returns its place.
    fn literal(
        &self,
        block: &mut &[u8],
        prefix: u32,
        headers: &mut Headers,
    ) -> Result<usize, Malformed> {
        let index = integer(block, prefix)?;
        let start = headers.bytes.len();
        match index {
            0 => string(block, &mut headers.bytes)?,
            _ => headers.bytes.extend_from_slice(self.entry(index)?.0),
        }
        let middle = headers.bytes.len();
        string(block, &mut headers.bytes)?;
        headers.spans.push((start, middle, headers.bytes.len()));
        Ok(headers.spans.len() - 1)
    }

    fn entry(&self, index: usize) -> Result<(&[u8], &[u8]), Malformed> {
        let index = index.checked_sub(1).ok_or(Malformed)?;
        if let Some((name, value)) = table::STATIC.get(index) {
            return Ok((name.as_bytes(), value.as_bytes()));
        }
        let entry = self.entries.get(index - table::STATIC.len());
        entry
            .map(|(name, value)| (&**name, &**value))
            .ok_or(Malformed)
    }

    fn insert(&mut self, entry: Entry) {
        let bytes = entry.0.len() + entry.1.len() + ENTRY_BYTES;
        self.changes += 1;
        self.evict(bytes);
        // One that is larger than the table empties it, and is not in it: that is no error.
        if bytes <= self.bytes_max {
            self.bytes += bytes;
            self.entries.push_front(entry);
        }
    }

    /// Makes room for `bytes`.
    fn evict(&mut self, bytes: usize) {
        while self.bytes + bytes > self.bytes_max {
            let Some((name, value)) = self.entries.pop_back() else {
                return;
            };
            self.bytes -= name.len() + value.len() + ENTRY_BYTES;
        }
    }
}

/// Headers in the order they were said, in one buffer that is used again.
#[derive(Debug, Default)]
pub struct Headers {
    bytes: Vec<u8>,
    /// Where each one's name starts, its value starts, and it ends.
    spans: Vec<(usize, usize, usize)>,
}

impl Headers {
    /// Forgets them.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        (0..self.spans.len()).map(|at| self.get(at))
    }

    /// The first one of a name.
    pub fn find(&self, name: &str) -> Option<&[u8]> {
        let mut all = self.iter();
        all.find(|(other, _)| *other == name.as_bytes())
            .map(|(_, value)| value)
    }

    fn get(&self, at: usize) -> (&[u8], &[u8]) {
        let (start, middle, end) = self.spans[at];
        (&self.bytes[start..middle], &self.bytes[middle..end])
    }

    fn push(&mut self, name: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.spans
            .push((start, start + name.len(), self.bytes.len()));
    }
}

/// Reads a number whose first bits are the last `prefix` of a byte.
fn integer(block: &mut &[u8], prefix: u32) -> Result<usize, Malformed> {
    let (first, mut rest) = block.split_first().ok_or(Malformed)?;
    let mask = (1 << prefix) - 1;
    let mut number = usize::from(*first) & mask;
    if number == mask {
        let mut shift = 0;
        loop {
            let (byte, after) = rest.split_first().ok_or(Malformed)?;
            rest = after;
            // Four bytes of seven bits are more than any length that is let in.
            if shift > 21 {
                return Err(Malformed);
            }
            number += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *block = rest;
    Ok(number)
}

/// Reads a string to the end of `out`.
fn string(block: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let is_huffman = block.first().ok_or(Malformed)? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (bytes, rest) = block.split_at_checked(length).ok_or(Malformed)?;
    *block = rest;
    if is_huffman {
        return huffman::decode(bytes, out);
    }
    out.extend_from_slice(bytes);
    Ok(())
}

/// Appends a header that is spelt out and not to be kept by the peer.
pub fn put_literal(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.push(0);
    put_string(out, name.as_bytes());
    put_string(out, value);
}

/// Appends a header that is spelt out, for the peer to put into its table.
pub fn put_indexed(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.push(0x40);
    put_string(out, name.as_bytes());
    put_string(out, value);
}

fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() < 127 {
        out.push(bytes.len() as u8);
    } else {
        out.push(127);
        let mut rest = bytes.len() - 127;
        while rest >= 128 {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: String = text.split_whitespace().collect();
        (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal"))
            .collect()
    }

    fn decode(decoder: &mut Decoder, block: &str) -> String {
        let mut headers = Headers::default();
        decoder.decode(&hex(block), &mut headers).expect("a block");
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let lines = headers
            .iter()
            .map(|(name, value)| format!("{}: {}", text(name), text(value)));
        lines.collect::<Vec<_>>().join("\n")
    }

    const FIRST: &str = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com";

    /// RFC 7541, appendix C.3: three requests on one connection.
    #[test]
    fn the_standards_requests_are_read() {
        let mut decoder = Decoder::default();
        let block = "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d";
        assert_eq!(decode(&mut decoder, block), FIRST);
        let block = "8286 84be 5808 6e6f 2d63 6163 6865";
        assert_eq!(
            decode(&mut decoder, block),
            format!("{FIRST}\ncache-control: no-cache")
        );
        let block = "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65";
        let third = ":method: GET\n:scheme: https\n:path: /index.html\n\
                     :authority: www.example.com\ncustom-key: custom-value";
        assert_eq!(decode(&mut decoder, block), third);
    }

    /// RFC 7541, appendix C.4: the same, Huffman-coded.
    #[test]
    fn the_standards_huffman_codes_are_read() {
        let mut decoder = Decoder::default();
        let block = "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff";
        assert_eq!(decode(&mut decoder, block), FIRST);
        let block = "8286 84be 5886 a8eb 1064 9cbf";
        assert_eq!(
            decode(&mut decoder, block),
            format!("{FIRST}\ncache-control: no-cache")
        );
    }

    #[test]
    fn what_is_too_old_is_forgotten() {
        let mut decoder = Decoder::default();
        let mut headers = Headers::default();
        for n in 0..100 {
            let mut block = Vec::new();
            put_indexed(&mut block, "name", format!("{n:0>100}").as_bytes());
            decoder.decode(&block, &mut headers).expect("a block");
        }
        assert!(decoder.bytes <= TABLE_BYTES_MAX);
        assert_eq!(decoder.entries.len(), TABLE_BYTES_MAX / 136);
        assert_eq!(
            decoder.decode(&[0x80 | 127, 50], &mut headers),
            Err(Malformed)
        );
        // A table of no bytes holds nothing.
        decoder.decode(&[0x20], &mut headers).expect("a block");
        assert!(decoder.entries.is_empty());
    }

    proptest! {
        /// Whatever a client sends is headers or an error.
        #[test]
        fn any_block_is_read_or_refused(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..5)) {
            let mut decoder = Decoder::default();
            for block in blocks {
                let mut headers = Headers::default();
                if decoder.decode(&block, &mut headers).is_err() {
                    break;
                }
                prop_assert!(decoder.bytes <= TABLE_BYTES_MAX);
            }
        }

        /// What we write, we read.
        #[test]
        fn what_is_written_is_read(name in "[a-z-]{1,300}", value in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut block = Vec::new();
            put_literal(&mut block, &name, &value);
            put_indexed(&mut block, &name, &value);
            let mut headers = Headers::default();
            Decoder::default().decode(&block, &mut headers).expect("a block");
            prop_assert_eq!(headers.iter().count(), 2);
            for header in headers.iter() {
                prop_assert_eq!(header, (name.as_bytes(), value.as_slice()));
            }
        }
    }
}
