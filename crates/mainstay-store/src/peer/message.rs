//! What members say to each other.

use bytes::Bytes;
use mainstay_mvcc::{Applied, LeaseId};
use openraft::SnapshotMeta;
use openraft::raft::{AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use serde::{Deserialize, Serialize};

use crate::engine::{Failure, Lease};
use crate::members::Change;
use crate::raft::{Batch, LogId, MemberId, Place, Vote};

/// The version of everything here. Members of another version are refused at the door.
pub(crate) const VERSION: u32 = 2;

/// The first that is said on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// [`VERSION`] of who speaks.
    pub(crate) version: u32,
    /// Its cluster.
    pub(crate) cluster: u64,
    /// Its own number.
    pub(crate) from: MemberId,
    /// Whom it means to speak to.
    pub(crate) to: MemberId,
}

/// The number of a cluster, or of a member, that nobody has.
pub(crate) const NONE: u64 = 0;

impl Hello {
    /// Of one who belongs to no cluster yet, to whoever listens.
    pub(crate) const STRANGER: Self = Self { version: VERSION, cluster: NONE, from: NONE, to: NONE };
}

/// Which snapshot on its way a piece belongs to: the sender gives no two the same number.
pub(crate) type Transfer = u64;

/// A question or an answer.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Message {
    /// Entries of the log, or none: a sign of life.
    Append {
        vote: Vote,
        previous: Option<LogId>,
        committed: Option<LogId>,
        entries: Vec<Bytes>,
    },
    Appended(AppendEntriesResponse<MemberId>),
    /// Give me your vote.
    Vote(VoteRequest<MemberId>),
    Voted(VoteResponse<MemberId>),
    /// Would you give me your vote? Nothing changes by the question.
    Would {
        last: Option<LogId>,
    },
    WouldVote(bool),
    /// For whom did you vote last?
    LastVote,
    /// For this one; nothing where it may have been forgotten.
    LastVoteWas(Option<Vote>),
    /// Nothing: a sign of life, to which nobody answers.
    Alive,
    /// A snapshot comes.
    Snapshot {
        transfer: Transfer,
        vote: Vote,
        meta: SnapshotMeta<MemberId, Place>,
    },
    /// The next piece of it, which begins at this byte.
    Piece {
        transfer: Transfer,
        at: u64,
        data: Bytes,
    },
    /// That was all of it, so many bytes.
    Whole {
        transfer: Transfer,
        at: u64,
    },
    Received,
    Installed(SnapshotResponse<MemberId>),
    /// Clients' commands, for the leader.
    Propose(Batch),
    /// What became of each.
    Applied(Vec<Result<Applied, Failure>>),
    /// Which index must be carried out, before a read that begins now is linearizable?
    Confirm,
    Confirmed(u64),
    /// A sign of life for a lease.
    Renew(LeaseId),
    Renewed(Option<i64>),
    /// How a lease stands.
    Lease {
        id: LeaseId,
        keys: bool,
    },
    LeaseIs(Option<Lease>),
    /// Have the members changed.
    Change(Change),
    /// They are, as of this entry of the log.
    Changed(u64),
    /// I was added at this address, and have no number yet: who am I?
    Join {
        peer: String,
    },
    /// A member of this cluster, under this number.
    Welcome {
        cluster: u64,
        member: MemberId,
    },
    /// Am I a member still?
    Belong,
    Belongs(bool),
    /// Leadership is yours: stand for it.
    Stand,
    Done,
    /// It was not done.
    Failed(Failure),
}
