//! Whether a caller's trace can be continued (W3C Trace Context, level 1, sections 3.2 and 4.3).
//!
//! In: the fields as they came. Out: the identity to pass on, or none, and then a new trace begins and `tracestate` is
//! left out, because it says something about a trace that nobody can name. What is passed on is written anew in the
//! version that is spoken here.

use mainstay_core::{Purpose, Seed};
use mainstay_http1::{FieldsView, Known};

/// Length of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// The `traceparent` that goes upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trace {
    text: [u8; LENGTH],
    /// The caller began it, so its `tracestate` goes on too.
    pub(crate) continued: bool,
}

impl Trace {
    /// The caller's trace, or else a new one that is not sampled, named by the luck of call `counter`.
    #[must_use]
    pub(crate) fn of(fields: FieldsView<'_>, seed: Seed, counter: u64) -> Self {
        let mut values = fields.get_all(Known::Traceparent);
        match (values.next().and_then(parse), values.next()) {
            (Some(text), None) => Self { text, continued: true },
            _ => Self { text: begin(seed, counter), continued: false },
        }
    }

    /// The field's value.
    #[must_use]
    pub(crate) fn value(&self) -> &[u8] {
        &self.text
    }
}

/// The value in version 00; `None` when it is not valid. A later version may have more after a dash.
fn parse(value: &[u8]) -> Option<[u8; LENGTH]> {
    let (head, tail) = value.split_at_checked(LENGTH)?;
    let mut text: [u8; LENGTH] = head.try_into().ok()?;
    let shaped = text.iter().enumerate().all(|(at, byte)| match at {
        2 | 35 | 52 => *byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    });
    let known = match &text[..2] {
        b"ff" => false,
        b"00" => tail.is_empty(),
        _ => tail.is_empty() || tail[0] == b'-',
    };
    let named = |id: &[u8]| id.iter().any(|digit| *digit != b'0');
    if !shaped || !known || !named(&text[3..35]) || !named(&text[36..52]) {
        return None;
    }
    text[..2].copy_from_slice(b"00");
    Some(text)
}

fn begin(seed: Seed, counter: u64) -> [u8; LENGTH] {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    // An id of nothing but zeros is not valid, hence the lowest bit.
    hex_into(seed.draw(counter, 0, Purpose::Id), &mut text[3..19]);
    hex_into(seed.draw(counter, 1, Purpose::Id) | 1, &mut text[19..35]);
    hex_into(seed.draw(counter, 2, Purpose::Id) | 1, &mut text[36..52]);
    text
}

/// An id for a request that came without one: 32 hexadecimal digits, from the luck of call `counter`.
#[must_use]
pub(crate) fn make_request_id(seed: Seed, counter: u64) -> [u8; 32] {
    let mut id = [0; 32];
    hex_into(seed.draw(counter, 3, Purpose::Id), &mut id[..16]);
    hex_into(seed.draw(counter, 4, Purpose::Id), &mut id[16..]);
    id
}

/// Writes a number as 16 hexadecimal digits.
fn hex_into(number: u64, digits: &mut [u8]) {
    let (high, low) = digits.split_at_mut(8);
    high.copy_from_slice(&hex((number >> 32) as u32));
    low.copy_from_slice(&hex(number as u32));
}

/// A number as eight hexadecimal digits, all at once: each in a byte of its own, and what is above 9 moved up to the
/// letters.
const fn hex(number: u32) -> [u8; 8] {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    let pairs = (number as u64 | (number as u64) << 16) & 0x0000_ffff_0000_ffff;
    let bytes = (pairs | pairs << 8) & 0x00ff_00ff_00ff_00ff;
    let digits = (bytes | bytes << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = ((digits + EACH * 6) >> 4) & EACH;
    (digits + EACH * b'0' as u64 + letters * (b'a' - b'9' - 1) as u64).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::tests::fields;

    const GOOD: &str = "00-12345678901234567890123456789012-1234567890123456-01";

    fn trace(lines: &[(&str, &str)]) -> Trace {
        fields(lines, |view| Trace::of(view, Seed::new(1), 7))
    }

    #[test]
    fn a_valid_trace_is_continued() {
        let trace = trace(&[("traceparent", GOOD)]);
        assert!(trace.continued);
        assert_eq!(trace.value(), GOOD.as_bytes());
    }

    #[test]
    fn a_later_version_is_continued_in_the_version_that_is_spoken_here() {
        for value in [
            "cc-12345678901234567890123456789012-1234567890123456-01",
            "cc-12345678901234567890123456789012-1234567890123456-01-what-comes",
        ] {
            let trace = trace(&[("traceparent", value)]);
            assert!(trace.continued, "{value}");
            assert_eq!(trace.value(), GOOD.as_bytes(), "{value}");
        }
    }

    #[test]
    fn what_is_not_valid_begins_a_new_trace() {
        for value in [
            "",
            "00-12345678901234567890123456789012-1234567890123456",
            "00-12345678901234567890123456789012-1234567890123456-01-x",
            "00-12345678901234567890123456789012-1234567890123456-01.",
            "cc-12345678901234567890123456789012-1234567890123456-01.x",
            "ff-12345678901234567890123456789012-1234567890123456-01",
            "00-00000000000000000000000000000000-1234567890123456-01",
            "00-12345678901234567890123456789012-0000000000000000-01",
            "00-1234567890123456789012345678901A-1234567890123456-01",
            "00_12345678901234567890123456789012-1234567890123456-01",
        ] {
            let trace = trace(&[("traceparent", value)]);
            assert!(!trace.continued, "{value}");
            assert!(parse(trace.value()).is_some(), "the new one is valid");
        }
        assert!(!trace(&[]).continued);
        assert!(!trace(&[("traceparent", GOOD), ("traceparent", GOOD)]).continued, "two say nothing");
    }

    #[test]
    fn eight_digits_at_once_are_those_of_the_standard_library() {
        for number in [0, 1, 9, 10, 15, 16, 0x0123_4567, 0x89ab_cdef, 0xfedc_ba98, 0x7654_3210, u32::MAX] {
            assert_eq!(hex(number), format!("{number:08x}").as_bytes());
        }
    }

    #[test]
    fn every_call_has_its_own_trace() {
        assert_ne!(begin(Seed::new(1), 1), begin(Seed::new(1), 2));
        assert_eq!(begin(Seed::new(1), 1), begin(Seed::new(1), 1));
    }
}
