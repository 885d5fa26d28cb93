//! CRC-32C (Castagnoli), the checksum of every record on disk: a polynomial of which processors
//! have an instruction.

/// The checksum of `data`, going on from `seed`: the checksum of what came before it, or any
/// number that only this file knows.
pub fn crc32c(seed: u32, data: &[u8]) -> u32 {
    crc32c::crc32c_append(seed, data)
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    #[test]
    fn known_values() {
        // RFC 3720, B.4 and the customary check value.
        assert_eq!(crc32c(0, b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(0, &[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(0, &[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn goes_on_where_it_stopped() {
        let data: Vec<u8> = (0..100).collect();
        for cut in 0..data.len() {
            assert_eq!(
                crc32c(crc32c(0, &data[..cut]), &data[cut..]),
                crc32c(0, &data)
            );
        }
    }
}
