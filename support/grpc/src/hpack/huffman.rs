//! Strings in which a common byte takes five bits (RFC 7541, section 5.2 and appendix B).
//!
//! The code is canonical: of codes as long as each other the smaller byte has the smaller one, and
//! the next length goes on where the last one ended. So the lengths are all there is to know.

use std::sync::LazyLock;

use super::Malformed;

/// How many bits each byte takes. The end of a string, 30 ones, is no byte: a string is filled up
/// to its last byte with the first of them.
#[rustfmt::skip]
const BITS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// The longest code.
const BITS_MAX: usize = 30;

/// The codes, by length.
struct Codes {
    /// The first code of each length.
    first: [u32; BITS_MAX + 1],
    /// How many codes are of each length, and where their bytes begin.
    count: [u32; BITS_MAX + 1],
    start: [usize; BITS_MAX + 1],
    /// The bytes in the order of their codes.
    bytes: Vec<u8>,
}

static CODES: LazyLock<Codes> = LazyLock::new(|| {
    let mut codes = Codes {
        first: [0; BITS_MAX + 1],
        count: [0; BITS_MAX + 1],
        start: [0; BITS_MAX + 1],
        bytes: Vec::with_capacity(BITS.len()),
    };
    let mut code = 0;
    for bits in 1..=BITS_MAX {
        code <<= 1;
        codes.first[bits] = code;
        codes.start[bits] = codes.bytes.len();
        let these = (0..=u8::MAX).filter(|byte| usize::from(BITS[usize::from(*byte)]) == bits);
        codes.bytes.extend(these);
        codes.count[bits] = (codes.bytes.len() - codes.start[bits]) as u32;
        code += codes.count[bits];
    }
    codes
});

/// Appends what `bytes` spell to `out`.
///
/// # Errors
/// If they spell nothing.
pub fn decode(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let codes = &*CODES;
    let (mut code, mut length) = (0_u32, 0);
    for byte in bytes {
        for shift in (0..8).rev() {
            code = code << 1 | u32::from(byte >> shift & 1);
            length += 1;
            if length > BITS_MAX {
                return Err(Malformed);
            }
            let after = code.wrapping_sub(codes.first[length]);
            if after < codes.count[length] {
                out.push(codes.bytes[codes.start[length] + after as usize]);
                (code, length) = (0, 0);
            }
        }
    }
    // What is left is less than a byte, and ones.
    if length < 8 && code == (1 << length) - 1 {
        return Ok(());
    }
    Err(Malformed)
}
