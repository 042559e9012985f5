//! What a request is compared with: hosts, paths, values and addresses, with every pattern compiled.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use regex::bytes::{Regex, RegexBuilder};

/// A compiled pattern may take so much memory, so that one line of a file cannot take a node's.
const PATTERN_SIZE_MAX: usize = 1 << 20;

/// Which hosts a route is for; names are in lower case and have no port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostMatch {
    /// All.
    Any,
    /// This one.
    Exact(String),
    /// Those that end in a dot and this (`*.example`).
    Suffix(String),
}

/// Which paths a route is for, after normalising.
#[derive(Debug, Clone, PartialEq)]
pub enum PathMatch {
    /// This path and what lies below it, on segment borders. Without a slash at its end, except `/`, which is all.
    Prefix(String),
    /// This one.
    Exact(String),
    /// Those in which the pattern is found.
    Pattern(Pattern),
}

/// What a value must be.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueMatch {
    /// This.
    Exact(String),
    /// Something in which the pattern is found.
    Pattern(Pattern),
}

impl ValueMatch {
    /// Whether `value` is such a value.
    #[must_use]
    pub fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => text.as_bytes() == value,
            Self::Pattern(pattern) => pattern.is_match(value),
        }
    }
}

/// What must be found in a body.
#[derive(Debug, Clone, PartialEq)]
pub enum BodyMatch {
    /// This text, anywhere.
    Contains(String),
    /// The pattern.
    Pattern(Pattern),
}

impl BodyMatch {
    /// Whether it is found in `body`.
    #[must_use]
    pub fn is_in(&self, body: &[u8]) -> bool {
        match self {
            Self::Contains(text) => body.windows(text.len().max(1)).any(|part| part == text.as_bytes()),
            Self::Pattern(pattern) => pattern.is_match(body),
        }
    }
}

/// A regular expression over bytes, found anywhere in a value unless it says `^` or `$`. Matching takes time linear in
/// the value's length.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// Whether it is found in `value`.
    #[must_use]
    pub fn is_match(&self, value: &[u8]) -> bool {
        self.0.is_match(value)
    }

    /// The expression as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Compiles `text`; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let compiled = RegexBuilder::new(text).unicode(false).size_limit(PATTERN_SIZE_MAX).build();
        compiled.map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => format!("the pattern needs more than {limit} bytes of memory"),
            // The last line of the library's message names the fault; those before draw it, and we draw our own.
            other => {
                let text = other.to_string();
                let fault = text.lines().last().unwrap_or_default();
                format!("the pattern is not a regular expression: {}", fault.trim_start_matches("error: "))
            }
        })
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

/// A range of addresses: `10.0.0.0/8`, `::1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    base: IpAddr,
    prefix: u8,
}

/// The text is not a range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseCidrError {
    /// No address, or no length after the slash.
    #[error("expected an address or a range of them, as in \"10.0.0.0/8\" or \"::1\"")]
    Form,
    /// Bits are set behind the prefix: the writer may have meant another range.
    #[error("the address has bits set behind /{0}")]
    HostBits(u8),
}

impl Cidr {
    /// Whether `address` lies in the range. An IPv4 address that came through an IPv6 socket counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                leading(u128::from(base.to_bits()) << 96, self.prefix)
                    == leading(u128::from(address.to_bits()) << 96, self.prefix)
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                leading(base.to_bits(), self.prefix) == leading(address.to_bits(), self.prefix)
            }
            _ => false,
        }
    }
}

/// The first `count` bits of `bits`.
const fn leading(bits: u128, count: u8) -> u128 {
    match count {
        0 => 0,
        128.. => bits,
        _ => bits >> (128 - count),
    }
}

impl FromStr for Cidr {
    type Err = ParseCidrError;

    fn from_str(text: &str) -> Result<Self, ParseCidrError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let base: IpAddr = address.parse().map_err(|_| ParseCidrError::Form)?;
        let (bits, width) = match base {
            IpAddr::V4(base) => (u128::from(base.to_bits()) << 96, 32),
            IpAddr::V6(base) => (base.to_bits(), 128),
        };
        let prefix = match prefix {
            None => width,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().filter(|prefix| *prefix <= width).ok_or(ParseCidrError::Form)?
            }
            Some(_) => return Err(ParseCidrError::Form),
        };
        if bits.checked_shl(u32::from(prefix)).unwrap_or(0) != 0 {
            return Err(ParseCidrError::HostBits(prefix));
        }
        Ok(Self { base, prefix })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_addresses_and_no_others() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("0.0.0.0/0", "203.0.113.9", "::1"),
            ("fd00::/8", "fdff::1", "fe80::1"),
            ("::1/128", "::1", "::2"),
            ("192.168.0.0/16", "::ffff:192.168.3.4", "::ffff:192.169.0.0"),
        ] {
            let range: Cidr = range.parse().unwrap();
            assert!(range.contains(inside.parse().unwrap()), "{range} {inside}");
            assert!(!range.contains(outside.parse().unwrap()), "{range} {outside}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "shop", "::/129", "10.0.0.0/8/8", "10/8"] {
            assert_eq!(text.parse::<Cidr>(), Err(ParseCidrError::Form), "{text}");
        }
        assert_eq!("10.0.0.1/8".parse::<Cidr>(), Err(ParseCidrError::HostBits(8)));
    }

    #[test]
    fn a_text_is_found_anywhere_in_a_body() {
        let ok = BodyMatch::Contains("ok".to_owned());
        assert!(ok.is_in(b"ok") && ok.is_in(b"all is ok\n"));
        assert!(!ok.is_in(b"") && !ok.is_in(b"o k"));
        let whole = BodyMatch::Pattern(Pattern::parse("^ok$").unwrap());
        assert!(whole.is_in(b"ok") && !whole.is_in(b"not ok"));
    }

    #[test]
    fn a_pattern_is_found_anywhere_unless_it_says_otherwise() {
        let found = |pattern: &str, value: &[u8]| Pattern::parse(pattern).unwrap().is_match(value);
        assert!(found("be", b"abet"));
        assert!(!found("^be$", b"abet"));
        assert!(found("^.$", b"\xff"), "a byte beyond UTF-8 is a byte");
        assert!(Pattern::parse("(").unwrap_err().starts_with("the pattern is not a regular expression: "));
        assert!(Pattern::parse(r"(a{1000}){1000}").is_err());
    }
}
