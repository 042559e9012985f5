//! Numbers in as few bytes as they need: seven bits a byte, the least first (LEB128).

/// Writes the number; how many bytes it took.
pub(crate) fn write(mut number: u64, to: &mut [u8]) -> usize {
    let mut at = 0;
    while number >= 0x80 {
        to[at] = number as u8 | 0x80;
        number >>= 7;
        at += 1;
    }
    to[at] = number as u8;
    at + 1
}

/// Adds the number at the end.
pub(crate) fn push(number: u64, to: &mut Vec<u8>) {
    let mut bytes = [0; 10];
    let len = write(number, &mut bytes);
    to.extend_from_slice(&bytes[..len]);
}

/// Takes a number off the front; `None` if there is none or it is longer than it need be.
pub(crate) fn read(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for (at, byte) in from.iter().take(10).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if at == 9 && bits > 1 {
            return None;
        }
        number |= bits << (7 * at);
        if byte & 0x80 == 0 {
            if *byte == 0 && at > 0 {
                return None;
            }
            *from = &from[at + 1..];
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_it_was_written_and_in_one_form_only() {
        for shift in 0..64 {
            for number in [(1u64 << shift) - 1, 1 << shift, (1 << shift) + 1, u64::MAX] {
                let mut bytes = Vec::new();
                push(number, &mut bytes);
                assert_eq!(read(&mut &bytes[..]), Some(number));
                assert_eq!(read(&mut &bytes[..bytes.len() - 1]), None);
            }
        }
        assert_eq!(read(&mut &[0x80, 0][..]), None);
        assert_eq!(read(&mut &[0xff; 10][..]), None);
    }
}
