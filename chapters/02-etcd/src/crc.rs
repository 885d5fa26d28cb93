//! CRC-32C (Castagnoli), the checksum of every record on disk.

/// The reversed polynomial.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// `TABLES[0]` is the classic byte table; `TABLES[k]` moves a byte `k` further places, so that
/// eight bytes take eight independent look-ups.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ POLYNOMIAL
            } else {
                crc >> 1
            };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut place = 1;
    while place < 8 {
        let mut byte = 0;
        while byte < 256 {
            let crc = tables[place - 1][byte];
            tables[place][byte] = (crc >> 8) ^ tables[0][(crc & 0xff) as usize];
            byte += 1;
        }
        place += 1;
    }
    tables
}

/// The checksum of `data`, going on from `seed`: the checksum of what came before it, or any
/// number that only this file knows.
pub fn crc32c(seed: u32, data: &[u8]) -> u32 {
    let mut crc = !seed;
    let mut chunks = data.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().expect("chunks are of eight bytes"));
        let bytes = (word ^ u64::from(crc)).to_le_bytes();
        crc = (0..8).fold(0, |sum, i| sum ^ TABLES[7 - i][usize::from(bytes[i])]);
    }
    for byte in chunks.remainder() {
        crc = (crc >> 8) ^ TABLES[0][usize::from((crc as u8) ^ byte)];
    }
    !crc
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
