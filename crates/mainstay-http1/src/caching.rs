//! What `Cache-Control` says (RFC 9111, section 5.2).
//!
//! In: the fields of a message. Out: the directives that a shared cache acts upon. A directive that says `private` or
//! `no-cache` of single fields counts as if it said so of all. A number that is none counts as zero and of several the
//! least counts, so that no mistake makes anything fresher (section 4.2.1).

use crate::fields::FieldsView;
use crate::known::Known;

/// The longest time, in seconds, to which longer ones are cut (section 1.2.2).
const SECONDS_MAX: u64 = 1 << 31;

/// The directives of a request or a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheControl {
    /// `public`.
    pub public: bool,
    /// `private`.
    pub private: bool,
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache`.
    pub no_cache: bool,
    /// `must-revalidate`.
    pub must_revalidate: bool,
    /// `proxy-revalidate`.
    pub proxy_revalidate: bool,
    /// `max-age`, in seconds.
    pub max_age: Option<u64>,
    /// `s-maxage`, in seconds.
    pub s_maxage: Option<u64>,
    /// `min-fresh`, in seconds.
    pub min_fresh: Option<u64>,
    /// `stale-if-error`, in seconds (RFC 5861, section 4).
    pub stale_if_error: Option<u64>,
}

impl CacheControl {
    /// What the fields say.
    #[must_use]
    pub fn of(fields: FieldsView<'_>) -> Self {
        let mut control = Self::default();
        for mut rest in fields.get_all(Known::CacheControl) {
            while !rest.is_empty() {
                let (member, after) = rest.split_at(end_of_member(rest));
                control.directive(member.trim_ascii());
                rest = after.get(1..).unwrap_or_default();
            }
        }
        control
    }

    fn directive(&mut self, member: &[u8]) {
        let split = member.iter().position(|byte| *byte == b'=').unwrap_or(member.len());
        let (name, value) = (member[..split].trim_ascii(), member.get(split + 1..));
        let least = |place: &mut Option<u64>| {
            let seconds = value.map_or(0, seconds);
            *place = Some(place.map_or(seconds, |other| other.min(seconds)));
        };
        match name.to_ascii_lowercase().as_slice() {
            b"public" => self.public = true,
            b"private" => self.private = true,
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"max-age" => least(&mut self.max_age),
            b"s-maxage" => least(&mut self.s_maxage),
            b"min-fresh" => least(&mut self.min_fresh),
            b"stale-if-error" => least(&mut self.stale_if_error),
            _ => {}
        }
    }
}

/// Where the first member of a list ends: at a comma that stands in no quotes.
fn end_of_member(list: &[u8]) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in list.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return at,
            _ => {}
        }
    }
    list.len()
}

fn seconds(value: &[u8]) -> u64 {
    let value = value.trim_ascii();
    let digits = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    digits.iter().fold(0, add).min(SECONDS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::{Field, Span};

    fn of(values: &[&str]) -> CacheControl {
        let mut bytes = Vec::new();
        let mut fields = Vec::new();
        for value in values {
            let start = bytes.len();
            bytes.extend_from_slice(value.as_bytes());
            fields.push(Field {
                name: Span::default(),
                value: Span::new(start..bytes.len()),
                known: Known::CacheControl,
            });
        }
        CacheControl::of(FieldsView::new(&bytes, &fields))
    }

    #[test]
    fn directives_are_found_in_any_case_and_in_several_fields() {
        let control = of(&["Public , MAX-AGE=60,,stale-if-error = 30", "s-maxage=\"5\""]);
        let want = CacheControl {
            public: true,
            max_age: Some(60),
            s_maxage: Some(5),
            stale_if_error: Some(30),
            ..CacheControl::default()
        };
        assert_eq!(control, want);
    }

    #[test]
    fn what_stands_in_quotes_is_no_directive() {
        let control = of(&[r#"ext="a, no-store, \", public", private="set-cookie, x", no-cache="x""#]);
        let want = CacheControl { private: true, no_cache: true, ..CacheControl::default() };
        assert_eq!(control, want);
    }

    #[test]
    fn no_mistake_makes_anything_fresher() {
        for (value, want) in [
            ("max-age", 0),
            ("max-age=", 0),
            ("max-age=-1", 0),
            ("max-age=1.5", 0),
            ("max-age=abc", 0),
            ("max-age=60, max-age=5", 5),
            ("max-age=99999999999999999999999", 1 << 31),
        ] {
            assert_eq!(of(&[value]).max_age, Some(want), "{value}");
        }
        assert_eq!(of(&["maxage=60, x-max-age=60"]), CacheControl::default());
    }
}
