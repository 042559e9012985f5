//! What a member answers to the others.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use mainstay_mvcc::{Applied, Command, Refused};
use openraft::Snapshot;
use openraft::raft::AppendEntriesRequest;

use super::leading::asking;
use super::{Inner, grows};
use crate::elector;
use crate::engine::Failure;
use crate::identity::Identity;
use crate::members::{self, Unchanged};
use crate::peer::{Answers, Message, NONE, Transfer};
use crate::propose;
use crate::raft::{Batch, Entry, LogId, MemberId, Receiving, Vote, decode, stopped};
use crate::turns::Asker;

impl Answers for Inner {
    fn who(&self) -> (u64, MemberId) {
        (self.identity.cluster, self.me())
    }

    async fn answer(&self, from: MemberId, asked: Message) -> Message {
        let answer = self.reply(from, asked).await;
        // That this member was removed is its own affair: whoever asks looks for who leads.
        answer.unwrap_or_else(|why| Message::Failed(if why == Failure::Removed { Failure::NoLeader } else { why }))
    }
}

impl Inner {
    async fn reply(&self, from: MemberId, asked: Message) -> Result<Message, Failure> {
        if from == NONE {
            let Message::Join { peer } = asked else { return Err(Unchanged::Unknown.into()) };
            return self.welcome(&peer).await;
        }
        Ok(match asked {
            Message::Append { vote, .. } | Message::Snapshot { vote, .. } if !self.hears(&vote) => {
                return Err(Failure::NoLeader);
            }
            Message::Append { vote, previous, committed, entries } => {
                let entries: Result<Vec<Entry>, _> = entries.into_iter().map(decode).collect();
                let entries = entries.map_err(|error| Failure::Stopped(error.to_string()))?;
                let leader_commit = committed;
                let request = AppendEntriesRequest { vote, prev_log_id: previous, entries, leader_commit };
                let response = self.raft.append_entries(request).await.map_err(|error| propose::failed(&error))?;
                if response.is_success() {
                    self.elector().heard(self.now());
                    self.becomes_whole(&vote, leader_commit);
                }
                Message::Appended(response)
            }
            Message::Vote(request) if !self.may_vote(from, request.last_log_id) => return Err(Failure::NoLeader),
            Message::Vote(request) => {
                Message::Voted(self.raft.vote(request).await.map_err(|error| propose::failed(&error))?)
            }
            Message::Would { last } => Message::WouldVote(self.would(from, last)),
            Message::LastVote => Message::LastVoteWas(self.voice().is_whole().then(|| self.log.vote())),
            Message::Propose(_) if !self.leads() => return Err(Failure::NoLeader),
            Message::Propose(batch) => Message::Applied(self.propose_all(from, batch).await?),
            Message::Confirm => Message::Confirmed(self.confirm_here().await?),
            Message::Renew(lease) if self.leads() => Message::Renewed(self.renew_here(lease).await?),
            Message::Lease { id, keys } if self.leads() => Message::LeaseIs(self.lease_here(id, keys).await?),
            Message::Change(change) => Message::Changed(self.change_here(&change).await?),
            Message::Belong => Message::Belongs(self.belongs(from).await?),
            Message::Stand if !self.voice().is_whole() => return Err(Failure::NoLeader),
            Message::Stand => {
                self.raft.trigger().elect().await.map_err(|fatal| stopped(&fatal))?;
                Message::Done
            }
            Message::Snapshot { transfer, vote, meta } => {
                *self.receiving.lock().await = Some(self.keeper.receive(from, transfer, vote, meta));
                Message::Received
            }
            Message::Piece { transfer, at, data } => {
                let mut receiving = self.receiving.lock().await;
                expected(&mut receiving, from, transfer, at)?.piece(data).await?;
                Message::Received
            }
            Message::Whole { transfer, at } => {
                let mut receiving = self.receiving.lock().await;
                expected(&mut receiving, from, transfer, at)?;
                let Some(open) = receiving.take() else { return Err(astray()) };
                drop(receiving);
                let (vote, meta, snapshot) = open.whole().await?;
                let snapshot = Snapshot { meta, snapshot: Box::new(snapshot) };
                let installed = self.raft.install_full_snapshot(vote, snapshot).await;
                Message::Installed(installed.map_err(|fatal| stopped(&fatal))?)
            }
            _ => return Err(Failure::NoLeader),
        })
    }

    /// Proposes as the leader what another member has gathered. When there is no room for more data, what would make it grow
    /// is left out.
    async fn propose_all(&self, from: MemberId, batch: Batch) -> Result<Vec<Result<Applied, Failure>>, Failure> {
        if self.yielding.load(Ordering::Relaxed) {
            return Err(Failure::NoLeader);
        }
        let asker = self.asker(from);
        if !self.is_full() {
            return Ok(self.proposals.propose_all(&asker, batch).await?.into_iter().map(Ok).collect());
        }
        let may = |bytes: Option<Bytes>| {
            let command = Command::decode(&bytes?).ok()?;
            Some((propose::encode(&command), !grows(&command)))
        };
        let commands: Option<Vec<_>> = propose::frames(&batch).map(may).collect();
        let commands = commands.ok_or(Failure::Refused(Refused::Unreadable))?;
        let left: Vec<_> = commands.iter().filter(|(_, may)| *may).map(|(bytes, _)| &bytes[..]).collect();
        let applied = match left[..] {
            [] => Vec::new(),
            _ => self.proposals.propose_all(&asker, Batch(left.concat().into())).await?,
        };
        let mut applied = applied.into_iter();
        let outcome = |may: bool| if may { applied.next().ok_or(Failure::Timeout) } else { Err(Failure::NoSpace) };
        Ok(commands.iter().map(|(_, may)| *may).map(outcome).collect())
    }

    /// The place in line of another member.
    fn asker(&self, of: MemberId) -> Asker {
        self.askers.lock().unwrap_or_else(PoisonError::into_inner).entry(of).or_default().clone()
    }

    /// Tells one who comes which number it was given when it was added.
    async fn welcome(&self, peer: &str) -> Result<Message, Failure> {
        self.confirm().await?;
        let member = members::awaited(self.data.reached().members.membership().nodes(), peer)?;
        Ok(Message::Welcome { cluster: self.identity.cluster, member })
    }

    /// Whether entries and snapshots are taken from a leader with this vote.
    fn hears(&self, leader: &Vote) -> bool {
        self.voice().is_whole() || self.voice().hears(leader, &self.voter_ids())
    }

    /// Whether a vote may be given to a member whose log ends there.
    fn may_vote(&self, candidate: MemberId, last: Option<LogId>) -> bool {
        let may = self.voice().may_vote(candidate, last, &self.voter_ids());
        may && self.is_whole_now()
    }

    /// Has a voice from now on, if it has carried out all that the leader said was agreed on.
    fn becomes_whole(&self, leader: &Vote, committed: Option<LogId>) {
        let applied = self.data.reached().applied;
        if self.voice().becomes_whole(leader, committed, applied) {
            self.is_whole_now();
        }
    }

    /// Writes down that this member is whole; whether it is. Where it cannot be written down it stays without a voice, and
    /// tries again with the next sign of life.
    pub(super) fn is_whole_now(&self) -> bool {
        if self.voice().is_whole() {
            return true;
        }
        let identity = Identity { whole: true, ..self.identity.clone() };
        let kept = identity.keep(&self.settings.directory);
        match &kept {
            Ok(()) => self.voice().is_whole_now(),
            Err(error) => {
                tracing::warn!(%error, "it cannot be written down that this member has all that was agreed on");
            }
        }
        kept.is_ok()
    }

    /// Whether this member would vote for one whose log ends there.
    fn would(&self, candidate: MemberId, last: Option<LogId>) -> bool {
        let follows = self.leads() || self.elector().follows(self.now());
        let voters = self.voter_ids();
        self.log.last().is_ok_and(|ours| elector::would(last, ours, follows))
            && self.voice().would_vote(candidate, last, &voters, self.now(), asking(self.settings.election))
    }
}

/// The transfer that comes in, if what is there of it is of this one and reaches up to this byte. One whose pieces do not
/// follow each other is given up; what belongs to another is none of its business.
fn expected(
    receiving: &mut Option<Receiving>,
    from: MemberId,
    transfer: Transfer,
    at: u64,
) -> Result<&mut Receiving, Failure> {
    if receiving.as_ref().is_some_and(|open| open.is(from, transfer) && !open.stands_at(at)) {
        *receiving = None;
    }
    receiving.as_mut().filter(|open| open.is(from, transfer)).ok_or_else(astray)
}

fn astray() -> Failure {
    Failure::Stopped("a piece of a snapshot that is not the next one of what comes in".to_owned())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::raft::{Keeper, Vote, open};
    use crate::settings::Settings;

    fn comes(keeper: &Keeper, from: MemberId, transfer: Transfer) -> Option<Receiving> {
        Some(keeper.receive(from, transfer, Vote::new_committed(1, from), openraft::SnapshotMeta::default()))
    }

    #[tokio::test]
    async fn a_piece_of_another_transfer_or_sender_or_out_of_order_never_gets_into_a_snapshot() {
        let dir = tempfile::tempdir().unwrap();
        let keeper = open(&Settings::new("n1", dir.path()), 1).unwrap().keeper;
        let mut receiving = comes(&keeper, 2, 70);
        let first = expected(&mut receiving, 2, 70, 0).unwrap();
        first.piece(Bytes::from_static(b"abc")).await.unwrap();
        // A leader that was, and one that sends anew: theirs is refused, and what comes goes on.
        for (from, transfer) in [(3, 70), (2, 69), (2, 71)] {
            assert_eq!(expected(&mut receiving, from, transfer, 3).unwrap_err(), astray());
        }
        expected(&mut receiving, 2, 70, 3).unwrap();
        // A piece that is missing, or comes twice: nothing can become of it.
        for at in [0, 2, 4] {
            let mut receiving = comes(&keeper, 2, 70);
            expected(&mut receiving, 2, 70, 0).unwrap().piece(Bytes::from_static(b"abc")).await.unwrap();
            assert_eq!(expected(&mut receiving, 2, 70, at).unwrap_err(), astray());
            assert!(receiving.is_none(), "it is given up");
        }
    }
}
