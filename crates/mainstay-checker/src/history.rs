//! What clients asked, when, and what they were answered.

use bytes::Bytes;

/// The value of a key; none where there is no such key.
pub type Value = Option<Bytes>;

/// All operations of all clients, in any order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The operations.
    pub operations: Vec<Operation>,
}

/// One operation of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Who asked. It does not matter to the verdict.
    pub client: u64,
    /// When it was asked, in any unit.
    pub called: u64,
    /// When it was answered. What touches counts as overlapping. It does not matter where the outcome is unknown.
    pub returned: u64,
    /// What was asked.
    pub call: Call,
    /// What was answered.
    pub outcome: Outcome,
}

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// The value of a key.
    Get {
        /// Which.
        key: Bytes,
    },
    /// A key gets a value.
    Put {
        /// Which.
        key: Bytes,
        /// The value.
        value: Bytes,
    },
    /// A key's value is made longer; where there is no such key, it gets the value.
    Append {
        /// Which.
        key: Bytes,
        /// What is put behind the value.
        suffix: Bytes,
    },
    /// A key gets a value if it has another one now.
    CompareAndSwap {
        /// Which.
        key: Bytes,
        /// What it must have now.
        expected: Value,
        /// What it gets.
        value: Bytes,
    },
    /// A key is removed.
    Delete {
        /// Which.
        key: Bytes,
    },
    /// One of two lists of operations, all of it at one moment.
    Transaction {
        /// What must hold, all of it, for the first.
        compares: Vec<Compare>,
        /// What happens then.
        then: Vec<Call>,
        /// What happens otherwise.
        otherwise: Vec<Call>,
    },
}

/// What must hold of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compare {
    /// Which.
    pub key: Bytes,
    /// Whether its value is to be this one, or is not to be.
    pub equal: bool,
    /// The value.
    pub value: Value,
}

/// What a client was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: it may have happened or not, at any moment after the call.
    Unknown,
    /// It certainly did not happen and never will.
    Refused,
    /// It happened, and there was nothing to be told.
    Done,
    /// The value of a get.
    Value(Value),
    /// Whether a swap was made, or there was something to delete.
    Was(bool),
    /// Whether what had to hold in a transaction did, and what each operation of the list that was taken was answered.
    Transaction {
        /// Whether all compares held.
        held: bool,
        /// The answers, in order.
        answers: Vec<Outcome>,
    },
}

impl Call {
    /// Every key that it is about.
    pub(crate) fn keys<'a>(&'a self, to: &mut Vec<&'a Bytes>) {
        match self {
            Self::Get { key }
            | Self::Put { key, .. }
            | Self::Append { key, .. }
            | Self::CompareAndSwap { key, .. }
            | Self::Delete { key } => to.push(key),
            Self::Transaction { compares, then, otherwise } => {
                to.extend(compares.iter().map(|compare| &compare.key));
                then.iter().chain(otherwise).for_each(|call| call.keys(to));
            }
        }
    }

    /// Whether it changes nothing, whatever it finds.
    pub(crate) fn only_reads(&self) -> bool {
        match self {
            Self::Get { .. } => true,
            Self::Transaction { then, otherwise, .. } => then.iter().chain(otherwise).all(Self::only_reads),
            _ => false,
        }
    }
}
