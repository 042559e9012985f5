//! Which keys are meant.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Keys that lie side by side: from `from`, inclusive, to `end`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// The first key that is meant, if it exists.
    pub from: Bytes,
    /// Where it ends.
    pub end: End,
}

/// Where a [`Span`] ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum End {
    /// Only the key `from` is meant.
    Single,
    /// All keys below this one, exclusive.
    Before(Bytes),
    /// All keys from `from` on.
    Open,
}

impl Span {
    /// One key.
    #[must_use]
    pub fn key(key: impl Into<Bytes>) -> Self {
        Self { from: key.into(), end: End::Single }
    }

    /// What etcd's `key` and `range_end` mean: no end is one key, an end of one zero byte is all keys from `key` on, and
    /// a key of one zero byte begins before every other (`rpc.proto`, `RangeRequest`).
    #[must_use]
    pub fn of(key: Bytes, range_end: Bytes) -> Self {
        let end = match &range_end[..] {
            [] => End::Single,
            [0] => End::Open,
            _ => End::Before(range_end),
        };
        Self { from: key, end }
    }

    /// All keys that begin with this.
    #[must_use]
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let from = prefix.into();
        let end = prefix_end(&from);
        Self::of(from, end)
    }

    /// Whether the key is one of those that are meant.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        match &self.end {
            End::Single => key == &self.from[..],
            End::Before(end) => key >= &self.from[..] && key < &end[..],
            End::Open => key >= &self.from[..],
        }
    }
}

/// The first key behind all that begin with this, as etcd's `range_end` says it: a zero byte where there is none.
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end.into();
        }
    }
    Bytes::from_static(&[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_first_key_that_does_not_begin_with_it() {
        assert_eq!(prefix_end(b"ab"), "ac");
        assert_eq!(&prefix_end(b"a\xff")[..], b"b");
        assert_eq!(&prefix_end(b"\xff\xff")[..], [0]);
        assert_eq!(&prefix_end(b"")[..], [0]);
        assert!(Span::prefix("a").contains(b"a\xff\xff") && !Span::prefix("a").contains(b"b"));
        assert!(Span::prefix(&b"\xff"[..]).contains(b"\xff\xff"));
    }

    #[test]
    fn a_span_means_what_etcd_means_by_a_key_and_its_end() {
        let span = |key: &'static [u8], end: &'static [u8]| Span::of(Bytes::from_static(key), Bytes::from_static(end));
        assert!(span(b"a", b"").contains(b"a") && !span(b"a", b"").contains(b"ab"));
        assert!(span(b"a", b"b").contains(b"ab") && !span(b"a", b"b").contains(b"b"));
        assert!(span(b"a", b"\0").contains(b"zz") && !span(b"b", b"\0").contains(b"a"));
        assert!(span(b"\0", b"\0").contains(b"a") && span(b"\0", b"\0").contains(b"\xff\xff"));
        assert!(!span(b"b", b"a").contains(b"b"), "an end before its beginning means nothing");
    }
}
