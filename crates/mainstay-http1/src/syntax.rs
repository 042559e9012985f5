//! The grammar's classes of bytes, and the scans over them.
//!
//! Short things (names, methods, hosts, targets) are scanned through one table, four bytes for each branch; values, which
//! are long, eight bytes at a time. Both beat a vectorised search on the lengths that heads have, for that pays its entry at every call.

/// A byte that a token may hold (RFC 9110 section 5.6.2).
pub(crate) const TOKEN: u8 = 1;
/// A byte that the path of a target may hold. Wider than RFC 3986, as browsers write `|` and `"`, but without `\`, which
/// some take for `/`.
pub(crate) const PATH: u8 = 1 << 1;
/// A byte that the query of a target may hold; a target has no fragment, so no `#`.
pub(crate) const QUERY: u8 = 1 << 2;
/// A byte that a registered name may hold, `%` included (RFC 3986 section 3.2.2), but for the comma, which joins lists.
pub(crate) const NAME: u8 = 1 << 3;

/// A byte of a name that has no `%` in it.
pub(crate) const PLAIN_NAME: u8 = 1 << 4;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0x21u8;
    while byte < 0x7f {
        let alphanumeric = byte.is_ascii_alphanumeric();
        let mut class = 0;
        if alphanumeric || is_in(byte, b"!#$%&'*+-.^_`|~") {
            class |= TOKEN;
        }
        if alphanumeric || is_in(byte, b"-._~%!$&'()*+;=") {
            class |= NAME;
            class |= if byte == b'%' { 0 } else { PLAIN_NAME };
        }
        if byte != b'#' {
            class |= QUERY;
        }
        if !is_in(byte, b"#?\\") {
            class |= PATH;
        }
        table[byte as usize] = class;
        byte += 1;
    }
    table
}

const fn is_in(byte: u8, set: &[u8]) -> bool {
    let mut i = 0;
    while i < set.len() {
        if set[i] == byte {
            return true;
        }
        i += 1;
    }
    false
}

/// The number of bytes at the front that are of `class`.
#[inline]
pub(crate) fn run(bytes: &[u8], class: u8) -> usize {
    // Four at a time as long as all of them are, and then the rest one by one.
    let (fours, _) = bytes.as_chunks::<4>();
    let are = |four: &[u8; 4]| four.iter().fold(class, |all, &byte| all & CLASS[byte as usize]) != 0;
    let whole = 4 * fours.iter().take_while(|four| are(four)).count();
    let rest = &bytes[whole..];
    whole + rest.iter().position(|&byte| CLASS[byte as usize] & class == 0).unwrap_or(rest.len())
}

/// Whether all bytes are of `class`, and there is one at least.
pub(crate) fn all(bytes: &[u8], class: u8) -> bool {
    !bytes.is_empty() && run(bytes, class) == bytes.len()
}

pub(crate) fn is_token(bytes: &[u8]) -> bool {
    all(bytes, TOKEN)
}

const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);

/// Sets the high bit of every byte that is below `bound` or DEL, exactly up to the first such byte.
///
/// `bound` is at most 0x80. A borrow can set a bit too many, but only above a byte that is rightly marked, so the lowest
/// mark is always true.
#[inline]
const fn marks(word: u64, bound: u8) -> u64 {
    let below = word.wrapping_sub(LOW * bound as u64) & !word;
    let flipped = word ^ (LOW * 0x7f);
    let delete = flipped.wrapping_sub(LOW) & !flipped;
    (below | delete) & HIGH
}

#[inline(always)]
fn first_below(bytes: &[u8], bound: u8) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let marks = marks(u64::from_le_bytes(*word), bound);
        if marks != 0 {
            return Some(index * 8 + marks.trailing_zeros() as usize / 8);
        }
    }
    match bytes.last_chunk() {
        // What it has in common with the words before it is known to have no mark.
        Some(last) if !rest.is_empty() => {
            let marks = marks(u64::from_le_bytes(*last), bound);
            (marks != 0).then(|| bytes.len() - 8 + marks.trailing_zeros() as usize / 8)
        }
        Some(_) => None,
        None => rest.iter().position(|&byte| byte < bound || byte == 0x7f),
    }
}

/// The place of the first colon, if it is among the first bytes: so few that no known name is longer.
#[inline(always)]
pub(crate) fn near_colon(bytes: &[u8]) -> Option<usize> {
    let (words, _) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().take(3).enumerate() {
        let colons = u64::from_le_bytes(*word) ^ (LOW * b':' as u64);
        // Exact up to the first, as in `marks`.
        let marks = colons.wrapping_sub(LOW) & !colons & HIGH;
        if marks != 0 {
            return Some(index * 8 + marks.trailing_zeros() as usize / 8);
        }
    }
    None
}

/// The place of the first control character.
#[inline(always)]
pub(crate) fn control(bytes: &[u8]) -> Option<usize> {
    first_below(bytes, b' ')
}

/// Whether there is a byte, and none is a space or a control character.
#[inline]
pub(crate) fn is_visible(bytes: &[u8]) -> bool {
    !bytes.is_empty() && first_below(bytes, b' ' + 1).is_none()
}

/// Whether the byte is a space or a tab.
pub(crate) const fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// The bytes without blanks at both ends.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|&byte| !is_blank(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|&byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// The members of a comma-separated list; empty ones do not count (RFC 9110 section 5.6.1.2).
pub(crate) fn list_members(value: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    value.split(|&byte| byte == b',').map(trim).filter(|member| !member.is_empty())
}

/// What a hexadecimal digit stands for.
pub(crate) const fn hex_value(byte: u8) -> Option<u64> {
    match byte {
        b'0'..=b'9' => Some((byte - b'0') as u64),
        b'a'..=b'f' => Some((byte - b'a') as u64 + 10),
        b'A'..=b'F' => Some((byte - b'A') as u64 + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_token_class_is_that_of_the_rfc() {
        let tokens: Vec<u8> = (0..=255).filter(|&byte| is_token(&[byte])).collect();
        let mut expected: Vec<u8> =
            b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".to_vec();
        expected.sort_unstable();
        assert_eq!(tokens, expected);
    }

    #[test]
    fn no_class_holds_a_space_a_control_or_a_high_byte() {
        for byte in (0..=b' ').chain(0x7f..=255) {
            assert_eq!(run(&[byte], TOKEN | PATH | QUERY | NAME), 0, "{byte:#x}");
        }
    }

    #[test]
    fn lists_forget_empty_members_and_blanks() {
        let members: Vec<_> = list_members(b" , close ,\tx-a,,").collect();
        assert_eq!(members, [&b"close"[..], b"x-a"]);
    }

    proptest! {
        #[test]
        fn eight_bytes_at_a_time_find_what_one_at_a_time_finds(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(control(&bytes), bytes.iter().position(u8::is_ascii_control));
        }

        #[test]
        fn a_near_colon_is_the_first_of_all(bytes in proptest::collection::vec(b'0'..b'@', 0..40)) {
            let first = bytes.iter().position(|&byte| byte == b':');
            let near = bytes.len().min(24) / 8 * 8;
            prop_assert_eq!(near_colon(&bytes), first.filter(|at| *at < near));
        }

        #[test]
        fn visible_text_holds_no_space_and_no_control(bytes in proptest::collection::vec(0x1fu8..=0xff, 0..20)) {
            let hidden = |byte: &u8| *byte == b' ' || byte.is_ascii_control();
            prop_assert_eq!(is_visible(&bytes), !bytes.is_empty() && !bytes.iter().any(hidden));
        }

        #[test]
        fn a_single_control_is_found_wherever_it_stands(len in 1usize..40, at in any::<prop::sample::Index>(), byte in 0u8..=0x20) {
            let byte = if byte == 0x20 { 0x7f } else { byte };
            let mut bytes = vec![0xffu8; len];
            let at = at.index(len);
            bytes[at] = byte;
            prop_assert_eq!(control(&bytes), Some(at));
        }
    }
}
