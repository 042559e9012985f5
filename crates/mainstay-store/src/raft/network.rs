//! What the engine of consensus says to other members.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::error::{Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::{AnyError, Snapshot};

use super::{MemberId, Place, Types, Vote, encode};
use crate::engine::Failure;
use crate::links::Links;
use crate::peer::{self, Lane, Link, Message};
use crate::voice::Voice;

type Failed<E = RaftError<MemberId>> = RPCError<MemberId, Place, E>;

/// How long is waited before a member that is not there is tried again.
const AGAIN: Duration = Duration::from_millis(50);

/// How long a piece of a snapshot, or what is done with all of it, may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes what speaks to a member.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) links: Arc<Links>,
    pub(crate) voice: Arc<Mutex<Voice>>,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Speaker;

    async fn new_client(&mut self, target: MemberId, node: &Place) -> Speaker {
        let (links, voice) = (Arc::clone(&self.links), Arc::clone(&self.voice));
        Speaker { links, voice, target, address: node.peer.clone() }
    }
}

/// Speaks to one member.
#[derive(Debug)]
pub(crate) struct Speaker {
    links: Arc<Links>,
    voice: Arc<Mutex<Voice>>,
    target: MemberId,
    address: String,
}

impl Speaker {
    fn lane(&self, lane: Lane) -> Link {
        self.links.to(self.target, &self.address, lane)
    }

    async fn ask(&self, said: Message, within: Duration) -> Result<Message, Failed> {
        let answer = self.lane(Lane::Raft).ask(said, within).await.map_err(|error| unreachable(&error))?;
        self.links.heard(self.target);
        Ok(answer)
    }
}

fn unreachable(error: &peer::Unreachable) -> Failed {
    if error.heard {
        RPCError::Network(NetworkError::new(error))
    } else {
        RPCError::Unreachable(Unreachable::new(error))
    }
}

/// An answer that belongs to another question.
fn odd(answer: &Message) -> Failed {
    RPCError::Network(NetworkError::new(&AnyError::error(format!("an answer that does not fit: {answer:?}"))))
}

impl RaftNetwork<Types> for Speaker {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<MemberId>, Failed> {
        let said = Message::Append {
            vote: rpc.vote,
            previous: rpc.prev_log_id,
            committed: rpc.leader_commit,
            entries: rpc.entries.iter().map(encode).collect(),
        };
        match self.ask(said, option.hard_ttl()).await? {
            Message::Appended(response) => Ok(response),
            // It may hear nobody yet: it is tried again after a while.
            Message::Failed(failure) => Err(RPCError::Unreachable(Unreachable::new(&failure))),
            other => Err(odd(&other)),
        }
    }

    async fn vote(&mut self, rpc: VoteRequest<MemberId>, option: RPCOption) -> Result<VoteResponse<MemberId>, Failed> {
        // The engine stands by itself when a cluster begins. Nobody is asked for a vote before this member may stand.
        if !self.voice.lock().unwrap_or_else(PoisonError::into_inner).is_whole() {
            return Err(RPCError::Unreachable(Unreachable::new(&Failure::NoLeader)));
        }
        match self.ask(Message::Vote(rpc), option.hard_ttl()).await? {
            Message::Voted(response) => Ok(response),
            other => Err(odd(&other)),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<Types>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<MemberId>, StreamingError<Types, Fatal<MemberId>>> {
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send(vote, snapshot) => sent,
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(AGAIN))
    }
}

impl Speaker {
    /// Sends all of a snapshot, piece by piece, each once the one before it was taken.
    async fn send(
        &self,
        vote: Vote,
        snapshot: Snapshot<Types>,
    ) -> Result<SnapshotResponse<MemberId>, StreamingError<Types, Fatal<MemberId>>> {
        let lane = self.lane(Lane::Bulk);
        let network = |error: &dyn std::error::Error| {
            StreamingError::Network(NetworkError::new(&AnyError::error(error.to_string())))
        };
        let ask = async |said| lane.ask(said, PATIENCE).await.map_err(|error| network(&error));
        let taken = async |said| match ask(said).await? {
            Message::Received => Ok(()),
            other => Err(network(&odd(&other))),
        };
        let mut reading = snapshot.snapshot.reader();
        let (transfer, mut at) = (self.links.transfer(), 0);
        taken(Message::Snapshot { transfer, vote, meta: snapshot.meta }).await?;
        while let Some(data) = reading.next().await.map_err(|error| network(&error))? {
            let length = data.len() as u64;
            taken(Message::Piece { transfer, at, data }).await?;
            at += length;
        }
        match ask(Message::Whole { transfer, at }).await? {
            Message::Installed(response) => Ok(response),
            other => Err(network(&odd(&other))),
        }
    }
}
