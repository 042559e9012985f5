//! The lanes to the other members, each made when it is first needed.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::Failure;
use crate::peer::{Hello, Lane, Link, Message, Transfer, Unreachable};
use crate::raft::MemberId;

/// The lanes of one member to all others.
#[derive(Debug)]
pub(crate) struct Links {
    cluster: u64,
    from: MemberId,
    open: Mutex<BTreeMap<(MemberId, Lane), (String, Link)>>,
    /// When each was last heard.
    heard: Mutex<BTreeMap<MemberId, Instant>>,
    /// The number of the last snapshot that was sent. The first is drawn, so that it is none of an earlier life.
    transfers: AtomicU64,
}

impl Links {
    pub(crate) fn new(cluster: u64, from: MemberId) -> Self {
        Self {
            cluster,
            from,
            open: Mutex::default(),
            heard: Mutex::default(),
            transfers: AtomicU64::new(RandomState::new().hash_one(from)),
        }
    }

    /// A member has answered.
    pub(crate) fn heard(&self, member: MemberId) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).insert(member, Instant::now());
    }

    /// Whether a member has answered within this time.
    pub(crate) fn hears(&self, member: MemberId, within: Duration) -> bool {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(&member).is_some_and(|at| at.elapsed() < within)
    }

    /// Lets go of lanes to those who are no members any more.
    pub(crate) fn keep(&self, members: &BTreeSet<MemberId>) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|(member, _), _| members.contains(member));
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).retain(|member, _| members.contains(member));
    }

    /// A number for a snapshot that is sent.
    pub(crate) fn transfer(&self) -> Transfer {
        self.transfers.fetch_add(1, Ordering::Relaxed)
    }

    /// The lane to a member at this address. One that was at another address is let go.
    pub(crate) fn to(&self, member: MemberId, address: &str, lane: Lane) -> Link {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, link)) = open.get(&(member, lane))
            && known == address
        {
            return link.clone();
        }
        let hello = Hello { version: crate::peer::VERSION, cluster: self.cluster, from: self.from, to: member };
        let link = Link::new(address, hello);
        open.insert((member, lane), (address.to_owned(), link.clone()));
        link
    }

    /// Asks a member what a client asked for.
    pub(crate) async fn forward(
        &self,
        member: MemberId,
        address: &str,
        said: Message,
        within: Duration,
    ) -> Result<Message, Failure> {
        match self.to(member, address, Lane::Forward).ask(said, within).await {
            Ok(Message::Failed(failure)) => Err(failure),
            Ok(answer) => Ok(answer),
            Err(Unreachable { heard: false, .. }) => Err(Failure::NoLeader),
            Err(Unreachable { .. }) => Err(Failure::Timeout),
        }
    }
}
