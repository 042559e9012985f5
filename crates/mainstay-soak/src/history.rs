//! What clients asked and were answered, and what watches brought.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// Microseconds since the run began.
pub(crate) type Moment = u64;

/// A value of a key; none where there is no such key.
pub(crate) type Value = Option<String>;

/// One question of one client.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) client: usize,
    pub(crate) member: usize,
    /// Which life of the member it was called in; none if that ended meanwhile.
    pub(crate) life: Option<u64>,
    pub(crate) called: Moment,
    pub(crate) returned: Moment,
    pub(crate) ask: Ask,
    pub(crate) said: Said,
}

#[derive(Debug, Clone)]
pub(crate) enum Ask {
    /// The values of keys, at one moment.
    Get { keys: Vec<String>, serializable: bool },
    /// Changes, all at one moment: if a key has the value that is expected, where one is.
    Change { expected: Option<(String, Value)>, changes: Vec<(String, Value)> },
}

#[derive(Debug, Clone)]
pub(crate) enum Said {
    Unknown(String),
    Refused(String),
    Done(Done),
}

/// What was done.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    /// The revision that was told: that of the changes, or the one that was read at.
    pub(crate) revision: i64,
    /// Whether anything was changed.
    pub(crate) changed: bool,
    /// What was read.
    pub(crate) seen: Vec<Seen>,
}

/// A key as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) key: String,
    pub(crate) value: Value,
    /// The revision of its last change; 0 where there is no such key.
    pub(crate) modified: i64,
}

/// All changes, by their revision.
pub(crate) type Log = BTreeMap<i64, BTreeMap<String, Value>>;

/// What the watch of one member brought, over all its connections.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched {
    pub(crate) log: Log,
    /// What it should not have brought, or should have.
    pub(crate) wrong: Vec<String>,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(why) => write!(f, "unknown ({why})"),
            Self::Refused(why) => write!(f, "refused ({why})"),
            Self::Done(done) => write!(f, "{done:?}"),
        }
    }
}

impl Asked {
    pub(crate) fn done(&self) -> Option<&Done> {
        match &self.said {
            Said::Done(done) => Some(done),
            _ => None,
        }
    }
}

/// The history as text, one question a line.
pub(crate) fn text(asked: &[Asked]) -> String {
    let mut text = String::new();
    for Asked { client, member, called, returned, ask, said, .. } in asked {
        _ = writeln!(text, "{called} {returned} client {client} asks n{}: {ask:?} -> {said}", member + 1);
    }
    text
}
