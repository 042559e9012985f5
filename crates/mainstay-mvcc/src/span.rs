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

#[cfg(test)]
mod tests {
    use super::*;

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
