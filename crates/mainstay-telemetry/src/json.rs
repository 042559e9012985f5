//! JSON written straight into a buffer, without an allocation and without a value tree in between.
//!
//! What comes from outside is escaped so that no reader of the line, a parser or a terminal, can be led astray: quotes,
//! backslashes, every control character of ASCII and of Latin-1, and the two line separators of Unicode. Bytes that are
//! not UTF-8 become U+FFFD (RFC 8259, sections 7 and 8.1).

use std::io::Write as _;

/// Appends `text` as a JSON string, quotes included.
pub fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    push_escaped(out, text);
    out.push(b'"');
}

/// Appends `text` escaped as in a JSON string, without quotes.
pub fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    // Nearly every text is plain, and then it is one copy.
    if text.iter().all(|byte| matches!(byte, 0x20..=0x7e) && *byte != b'"' && *byte != b'\\') {
        return out.extend_from_slice(text);
    }
    for chunk in text.utf8_chunks() {
        push_valid(out, chunk.valid());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn push_valid(out: &mut Vec<u8>, text: &str) {
    let mut plain = 0;
    for (at, letter) in text.char_indices().filter(|(_, letter)| needs_escape(*letter)) {
        out.extend_from_slice(&text.as_bytes()[plain..at]);
        push_escape(out, letter);
        plain = at + letter.len_utf8();
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
}

fn needs_escape(letter: char) -> bool {
    matches!(letter, '"' | '\\' | '\u{2028}' | '\u{2029}') || letter.is_control()
}

fn push_escape(out: &mut Vec<u8>, letter: char) {
    match letter {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        _ => push_display(out, format_args!("\\u{:04x}", u32::from(letter))),
    }
}

/// Appends `number` in decimal.
pub fn push_number(out: &mut Vec<u8>, number: u64) {
    push_digits(out, number, 1);
}

/// Appends `number` in decimal, with zeros in front up to `width` digits; by hand, because the formatter of the standard
/// library takes longer for a line's numbers than for all the rest of the line.
pub(crate) fn push_digits(out: &mut Vec<u8>, mut number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    while number > 0 {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits[first.min(digits.len() - width.min(digits.len()))..]);
}

/// Appends what `value` prints.
pub fn push_display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing into memory does not fail.
    let _ = write!(out, "{value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &[u8]) -> String {
        let mut out = Vec::new();
        push_string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_with_the_digits_that_are_wanted() {
        for (number, width, text) in
            [(0, 1, "0"), (7, 3, "007"), (1234, 3, "1234"), (u64::MAX, 1, "18446744073709551615")]
        {
            let mut out = Vec::new();
            push_digits(&mut out, number, width);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn no_text_from_outside_can_end_its_string_or_its_line() {
        assert_eq!(escaped(b"/a\"b\\c"), r#""/a\"b\\c""#);
        assert_eq!(escaped(b"a\nb\r\tc\0\x1b[31m\x7f"), r#""a\nb\r\tc\u0000\u001b[31m\u007f""#);
        assert_eq!(escaped("\u{85}\u{9b}\u{2028}".as_bytes()), r#""\u0085\u009b\u2028""#);
        assert_eq!(escaped(b"a\xffb"), "\"a\u{fffd}b\"");
        assert_eq!(escaped("grün".as_bytes()), "\"grün\"");
    }
}
