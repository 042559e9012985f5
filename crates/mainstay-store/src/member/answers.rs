//! What a member answers to the others.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use mainstay_mvcc::{Command, Refused};
use openraft::Snapshot;
use openraft::raft::AppendEntriesRequest;

use super::Inner;
use crate::elector;
use crate::engine::Failure;
use crate::identity::Identity;
use crate::peer::{Answers, Message};
use crate::propose;
use crate::raft::{Entry, LogId, MemberId, decode, stopped};

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
            Message::Append { vote, previous, committed, entries } => {
                let entries: Result<Vec<Entry>, _> = entries.into_iter().map(decode).collect();
                let entries = entries.map_err(|error| Failure::Stopped(error.to_string()))?;
                let leader_commit = committed;
                let request = AppendEntriesRequest { vote, prev_log_id: previous, entries, leader_commit };
                let response = self.raft.append_entries(request).await.map_err(|error| propose::failed(&error))?;
                if response.is_success() {
                    self.elector().heard(self.now());
                    self.becomes_whole(leader_commit);
                }
                Message::Appended(response)
            }
            Message::Vote(request) if !self.may_vote(request.last_log_id) => return Err(Failure::NoLeader),
            Message::Vote(request) => {
                Message::Voted(self.raft.vote(request).await.map_err(|error| propose::failed(&error))?)
            }
            Message::Would { last } => Message::WouldVote(self.would(last)),
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

    /// A member that may have lost its data has no voice about a log that has begun: it could agree with another that never
    /// knew that what it has forgotten was never there. When a cluster is new, nobody's log has more than its members.
    fn may_vote(&self, last: Option<LogId>) -> bool {
        self.whole.load(Ordering::Relaxed) || last.is_none_or(|last| last.index == 0)
    }

    /// Has a voice from now on, if it has carried out all that the leader said was agreed on.
    pub(super) fn becomes_whole(&self, committed: Option<LogId>) {
        if self.whole.load(Ordering::Relaxed) || committed.is_none() || self.data.reached().applied < committed {
            return;
        }
        let identity = Identity { whole: true, ..self.identity.clone() };
        // Where it cannot be written down it stays without a voice, and tries again with the next sign of life.
        if identity.keep(&self.settings.directory).is_ok() {
            self.whole.store(true, Ordering::Relaxed);
        }
    }

    /// Whether this member would vote for one whose log ends there.
    pub(super) fn would(&self, last: Option<LogId>) -> bool {
        let follows = self.leads() || self.elector().follows(self.now());
        self.may_vote(last) && self.log.last().is_ok_and(|ours| elector::would(last, ours, follows))
    }
}

fn nothing_comes() -> Failure {
    Failure::Stopped("a piece of a snapshot of which nothing is known".to_owned())
}
