//! What holds for any bytes at all, one law per target.
//!
//! In: bytes that nobody vouches for. Out: nothing, or a panic that says which law they break. A fuzzer looks for such
//! bytes (`cargo xtask fuzz`), and every run of the tests plays the ones that it kept (`fuzz/corpus/TARGET.txt`) through
//! the same functions, so that what was once explored stays guarded where no fuzzer is at hand.
//!
//! A law is never "it does not crash" alone. The parsers are held against a second reading, the machines against the
//! same bytes cut otherwise and against what they write themselves, the decisions against what was lent and must come
//! back.

#![allow(clippy::unwrap_used, reason = "a law that meets what cannot be is broken")]

mod body;
mod bytes;
mod calls;
pub mod corpus;
mod heads;
mod machines;
mod recordings;
mod texts;

/// A law: it takes any bytes and panics when they break it.
pub type Law = fn(&[u8]);

/// Every target, by the name of its corpus.
pub const TARGETS: &[(&str, Law)] = &[
    ("request_head", heads::request),
    ("response_head", heads::response),
    ("chunked", body::chunked),
    ("server", machines::server),
    ("client", machines::client),
    ("path", mainstay_gateway::laws::path),
    ("fields", mainstay_gateway::laws::fields),
    ("config", texts::config),
    ("units", texts::units),
    ("call", calls::call),
    ("wal_segments", mainstay_wal::laws::segments),
    ("wal_snapshot", mainstay_wal::laws::snapshot),
    ("commands", mainstay_mvcc::laws::commands),
    ("snapshot", mainstay_mvcc::laws::snapshot),
    ("recording", recordings::recording),
];

/// The law of this name.
#[must_use]
pub fn law(name: &str) -> Option<Law> {
    TARGETS.iter().find(|(target, _)| *target == name).map(|(_, law)| *law)
}
