//! What the members agree on, in the words of the engine that makes them agree.
//!
//! Consensus is openraft's (`docs/decisions/0011`). Its log carries batches: many clients' commands in one entry, so that
//! one flush and one round trip serve them all. A batch stays the bytes that it was made of, from the proposer's memory
//! through the log and the network to the moment in which it is carried out.

mod entry;
mod flushes;
mod keeper;
mod log;
mod machine;
mod network;
mod write;

use bytes::Bytes;
use mainstay_mvcc::Applied;
use serde::{Deserialize, Serialize};

pub(crate) use entry::{decode, encode};
pub use flushes::Flushes;
pub(crate) use keeper::{Keeper, Opened, Receiving, SnapshotFile, open};
pub(crate) use log::LogStore;
pub(crate) use machine::Machine;
pub(crate) use network::Network;
pub(crate) use write::{stopped, write};

/// The number of a member.
pub(crate) type MemberId = u64;

/// Many commands, encoded, each with its length before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Batch(pub(crate) Bytes);

/// What each command of a batch did, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done(pub(crate) Vec<Applied>);

/// Where a member is and what it is there for: what all agree on, and so what counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Its name; empty until it has started for the first time.
    pub(crate) name: String,
    /// Where other members reach it.
    pub(crate) peer: String,
    /// Where clients reach it; empty until it has said so.
    pub(crate) client: String,
    /// It is to vote, once it has caught up.
    pub(crate) votes: bool,
}

openraft::declare_raft_types!(
    /// What our Raft works with.
    pub(crate) Types:
        D = Batch,
        R = Done,
        NodeId = MemberId,
        Node = Place,
        SnapshotData = SnapshotFile,
);

pub(crate) type Raft = openraft::Raft<Types>;
pub(crate) type Entry = openraft::Entry<Types>;
pub(crate) type LogId = openraft::LogId<MemberId>;
pub(crate) type Vote = openraft::Vote<MemberId>;
pub(crate) type StorageError = openraft::StorageError<MemberId>;
