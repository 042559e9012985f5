//! What a member answers to the others.

use std::sync::PoisonError;

use mainstay_mvcc::{Command, Refused};
use openraft::Snapshot;
use openraft::raft::AppendEntriesRequest;

use super::Inner;
use super::leading::asking;
use crate::elector;
use crate::engine::Failure;
use crate::identity::Identity;
use crate::peer::{Answers, Message};
use crate::propose;
use crate::raft::{Entry, LogId, MemberId, Vote, decode, stopped};

impl Answers for Inner {
    fn who(&self) -> (u64, MemberId) {
        (self.identity.cluster, self.me())
    }

    async fn answer(&self, from: MemberId, asked: Message) -> Message {
        self.reply(from, asked).await.unwrap_or_else(Message::Failed)
    }
}

impl Inner {
    async fn reply(&self, from: MemberId, asked: Message) -> Result<Message, Failure> {
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
            Message::Propose(bytes) => {
                let command = Command::decode(&bytes).map_err(|_| Failure::Refused(Refused::Unreadable))?;
                if !self.leads() {
                    return Err(Failure::NoLeader);
                }
                Message::Applied(self.propose_here(&command, bytes).await?)
            }
            Message::Confirm => Message::Confirmed(self.confirm_here().await?),
            Message::Renew(lease) if self.leads() => Message::Renewed(self.renew_here(lease).await?),
            Message::Lease { id, keys } if self.leads() => Message::LeaseIs(self.lease_here(id, keys).await?),
            Message::Client(client) => {
                self.clients.lock().unwrap_or_else(PoisonError::into_inner).insert(from, client);
                Message::ClientIs(self.settings.client.clone())
            }
            Message::Stand if !self.voice().is_whole() => return Err(Failure::NoLeader),
            Message::Stand => {
                self.raft.trigger().elect().await.map_err(|fatal| stopped(&fatal))?;
                Message::Done
            }
            Message::Snapshot { vote, meta } => {
                let receiving = self.keeper.receive(vote, meta).await?;
                *self.receiving.lock().await = Some(receiving);
                Message::Received
            }
            Message::Piece { data } => {
                let mut receiving = self.receiving.lock().await;
                let Some(open) = receiving.as_mut() else { return Err(nothing_comes()) };
                open.piece(data).await?;
                Message::Received
            }
            Message::Whole => {
                let Some(open) = self.receiving.lock().await.take() else { return Err(nothing_comes()) };
                let (vote, meta, snapshot) = open.whole().await?;
                let snapshot = Snapshot { meta, snapshot: Box::new(snapshot) };
                let installed = self.raft.install_full_snapshot(vote, snapshot).await;
                Message::Installed(installed.map_err(|fatal| stopped(&fatal))?)
            }
            _ => return Err(Failure::NoLeader),
        })
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

fn nothing_comes() -> Failure {
    Failure::Stopped("a piece of a snapshot of which nothing is known".to_owned())
}
