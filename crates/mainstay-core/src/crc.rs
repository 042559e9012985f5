//! A checksum: CRC-32C (Castagnoli; RFC 3720, appendix B.4), eight bytes at a time. Every burst of up to 32 changed bits is
//! found.

/// A checksum of what was added so far.
#[derive(Debug, Clone, Copy)]
pub struct Crc {
    state: u32,
}

const POLYNOMIAL: u32 = 0x82f6_3b78;

static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let crc: u32 = tables[table - 1][byte];
            tables[table][byte] = crc >> 8 ^ tables[0][(crc & 0xff) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

impl Default for Crc {
    fn default() -> Self {
        Self { state: u32::MAX }
    }
}

impl Crc {
    /// Adds bytes behind those that were added before.
    pub fn add(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            let word = u64::from_le_bytes(*word) ^ u64::from(self.state);
            let bytes = word.to_le_bytes();
            self.state = (0..8).fold(0, |crc, at| crc ^ TABLES[7 - at][usize::from(bytes[at])]);
        }
        for byte in rest {
            self.state = self.state >> 8 ^ TABLES[0][usize::from(self.state as u8 ^ byte)];
        }
    }

    /// The checksum of all that was added.
    #[must_use]
    pub fn sum(self) -> u32 {
        !self.state
    }
}

/// The checksum of these bytes.
#[must_use]
pub fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::default();
    crc.add(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_are_those_of_the_rfc() {
        assert_eq!(crc(b"123456789"), 0xe306_9283);
        assert_eq!(crc(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc(&[0xff; 32]), 0x62a8_ab43);
        let mut pieces = Crc::default();
        pieces.add(b"1234");
        pieces.add(b"56789");
        assert_eq!(pieces.sum(), 0xe306_9283);
    }
}
