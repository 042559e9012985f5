//! What happened to keys, for those who watch them.

use serde::{Deserialize, Serialize};

use crate::command::Revision;
use crate::read::KeyValue;
use crate::span::Span;

/// What is watched, from when, and what of it is brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Which keys.
    pub span: Span,
    /// The first revision that may be brought; one that has not come yet is waited for. 0 or less means from now on.
    pub from: Revision,
    /// Keys that were set are brought.
    pub puts: bool,
    /// Keys that were deleted are brought.
    pub deletes: bool,
    /// Whether what was there before is wanted, as far as it is remembered.
    pub previous: bool,
}

/// Something that happened to a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Whether it was deleted, else it was set.
    pub deleted: bool,
    /// What it is now; of a deleted one its name and the revision of the deletion.
    pub kv: KeyValue,
    /// What it was before, where that is wanted and remembered.
    pub previous: Option<KeyValue>,
}
