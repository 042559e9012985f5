//! What the members agree on, and what it did.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::read::{Found, KeyValue, Range};
use crate::span::Span;

/// A point in the life of the store; 1 is the empty store.
pub type Revision = i64;

/// The number of a lease, chosen by a client or drawn by whoever proposes its grant; never 0.
pub type LeaseId = i64;

/// A change that the members have agreed on, or will.
///
/// The log keeps these for as long as it keeps anything: a variant is added at the end and none is ever taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Sets a key.
    Put(Put),
    /// Deletes keys.
    Delete(Delete),
    /// Compares, then does one of two lists of things, as one.
    Txn(Txn),
    /// Forgets what is older than this revision, but for what is still alive at it.
    Compact(Revision),
    /// Makes a lease. It carries its length; who leads counts its time.
    Grant {
        /// Its number.
        id: LeaseId,
        /// How long it lives without a sign of life, in seconds.
        ttl: i64,
    },
    /// Ends a lease because a client wishes it: its keys are deleted in one revision.
    Revoke(LeaseId),
    /// Ends leases because nobody kept them alive. One that is gone is passed over.
    Expire(Vec<LeaseId>),
}

/// Sets a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// Its name, not empty.
    pub key: Bytes,
    /// What it shall hold; `None` leaves it as it is (etcd's `ignore_value`).
    pub value: Option<Bytes>,
    /// The lease that it shall hang on, 0 for none; `None` leaves it as it is (etcd's `ignore_lease`).
    pub lease: Option<LeaseId>,
    /// Whether what was there before is wanted.
    pub previous: bool,
}

/// Deletes keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delete {
    /// Which.
    pub span: Span,
    /// Whether what was there before is wanted.
    pub previous: bool,
}

/// Compares, then does one of two lists of things, as one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Txn {
    /// What must be so, all of it.
    pub when: Vec<Compare>,
    /// What is done if it is.
    pub then: Vec<Op>,
    /// What is done if it is not.
    pub otherwise: Vec<Op>,
}

/// A comparison; over a span it must be so for every key in it, and a span without a key compares as one key that is
/// missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compare {
    /// Which keys.
    pub span: Span,
    /// How the key's own must stand to the given one.
    pub relation: Relation,
    /// What of the key, and what it is held against. A missing key's numbers are 0; its value compares as false.
    pub target: Target,
}

/// How a key's own stands to what it is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relation {
    /// The same.
    Equal,
    /// Greater.
    Greater,
    /// Less.
    Less,
    /// Another.
    NotEqual,
}

/// What of a key is compared, with what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// The number of its changes.
    Version(i64),
    /// The revision at which it was made.
    Create(Revision),
    /// The revision of its last change.
    Mod(Revision),
    /// Its value.
    Value(Bytes),
    /// Its lease.
    Lease(LeaseId),
}

/// One thing that a transaction does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Reads.
    Range(Range),
    /// Sets a key.
    Put(Put),
    /// Deletes keys.
    Delete(Delete),
    /// A transaction within.
    Txn(#[serde(deserialize_with = "crate::codec::deeper")] Txn),
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The store's revision afterwards: one more than before if anything was written.
    pub revision: Revision,
    /// What it answers.
    pub done: Result<Done, Refused>,
}

/// What a command that was carried out answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Done {
    /// A key was set; with what it was before, where that was wanted and there was something.
    Put(Option<KeyValue>),
    /// Keys were deleted.
    Deleted(Deleted),
    /// A transaction.
    Txn(TxnDone),
    /// What was older was forgotten.
    Compacted,
    /// A lease was made, of this length.
    Granted {
        /// Its number.
        id: LeaseId,
        /// Its length in seconds.
        ttl: i64,
    },
    /// Leases were ended: those that were still there.
    Ended(Vec<LeaseId>),
}

/// Keys were deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// How many.
    pub count: i64,
    /// What they were, where that was wanted.
    pub previous: Vec<KeyValue>,
}

/// What a transaction did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxnDone {
    /// Whether all comparisons held.
    pub succeeded: bool,
    /// What each of the things that were done answers, in their order.
    pub responses: Vec<Response>,
}

/// What one thing of a transaction answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// It read.
    Range(Found),
    /// It set a key.
    Put(Option<KeyValue>),
    /// It deleted.
    Deleted(Deleted),
    /// It was a transaction.
    Txn(TxnDone),
}

/// Why a command or a question was refused. Nothing was changed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refused {
    /// The revision is older than what is remembered, which begins at `at`.
    #[error("the revision has been compacted; the oldest that is remembered is {at}")]
    Compacted {
        /// The oldest revision that can be read.
        at: Revision,
    },
    /// The revision has not come yet; the store stands at `at`.
    #[error("the revision has not come yet; the store stands at {at}")]
    Future {
        /// The store's revision.
        at: Revision,
    },
    /// The value or the lease of a key that is missing was to be left as it is.
    #[error("there is no such key, whose value or lease could be left as it is")]
    KeyNotFound,
    /// There is no such lease.
    #[error("there is no such lease")]
    LeaseNotFound,
    /// There is such a lease already.
    #[error("there is such a lease already")]
    LeaseExists,
    /// A transaction sets one key twice, or sets a key that it also deletes.
    #[error("a transaction may change a key only once")]
    DuplicateKey,
    /// A key has no name.
    #[error("the key is empty")]
    EmptyKey,
    /// Transactions lie in each other deeper than anybody means.
    #[error("a transaction may lie in {} others at the most", crate::check::DEPTH_MAX - 1)]
    TooDeep,
    /// A lease is longer than a lease may be.
    #[error("a lease lives 9000000000 seconds at the most")]
    LeaseTooLong,
    /// The command is of a version that this member does not know; all members of a version pass it over alike.
    #[error("the command is of a version that this member does not know")]
    Unreadable,
}
