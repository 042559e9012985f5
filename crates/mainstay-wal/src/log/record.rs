//! What a log is told.

use bytes::Bytes;

use super::format::{Kind, takes};
use crate::refusal::Refusal;

/// What a log is told, in the order in which it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// An entry; its index follows the last one's.
    Entry {
        /// Its index.
        index: u64,
        /// What it says, at most half a segment long.
        body: Bytes,
    },
    /// All entries after this one are taken back; all there are, if there is no number.
    TruncateAfter(Option<u64>),
    /// All entries up to this one are needed no more. If it is beyond the last one, the next entry follows it.
    PurgeUpTo(u64),
    /// The state beside the entries, in place of the one before; at most an eighth of a segment long.
    State(Bytes),
}

impl Record {
    /// An entry.
    pub fn entry(index: u64, body: impl Into<Bytes>) -> Self {
        Self::Entry { index, body: body.into() }
    }

    /// The index that its header carries: of entries that are taken back, the first; of those that are purged, the first
    /// that is left.
    pub(crate) const fn index(&self) -> u64 {
        match self {
            Self::Entry { index, .. } => *index,
            Self::TruncateAfter(None) | Self::State(_) => 0,
            Self::TruncateAfter(Some(last)) | Self::PurgeUpTo(last) => last.saturating_add(1),
        }
    }

    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Entry { .. } => Kind::Entry,
            Self::TruncateAfter(_) => Kind::Truncate,
            Self::PurgeUpTo(_) => Kind::Purge,
            Self::State(_) => Kind::State,
        }
    }

    pub(crate) fn body(&self) -> &[u8] {
        match self {
            Self::Entry { body, .. } | Self::State(body) => body,
            Self::TruncateAfter(_) | Self::PurgeUpTo(_) => &[],
        }
    }

    /// Bytes that it takes on the disk.
    pub(crate) fn takes(&self) -> u64 {
        takes(self.body().len() as u64)
    }

    pub(crate) fn no_longer_than(&self, entry_max: u64, state_max: u64) -> Result<(), Refusal> {
        let (length, max) = match self {
            Self::State(state) => (state.len() as u64, state_max),
            other => (other.body().len() as u64, entry_max),
        };
        if length > max { Err(Refusal::TooLong { length, max }) } else { Ok(()) }
    }
}
