//! What a member counts of itself, for its metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::raft::MemberId;

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pending: AtomicU64,
    failed: AtomicU64,
    /// Who led when somebody last did; 0 before.
    leader: AtomicU64,
    leaders: AtomicU64,
}

/// A proposal whose outcome is not known yet.
pub(crate) struct Pending<'c>(&'c Counts);

impl Counts {
    pub(crate) fn proposes(&self) -> Pending<'_> {
        self.pending.fetch_add(1, Ordering::Relaxed);
        Pending(self)
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// This one leads.
    pub(crate) fn led_by(&self, leader: MemberId) {
        let known = self.leader.load(Ordering::Relaxed) == leader;
        if !known && self.leader.swap(leader, Ordering::Relaxed) != leader {
            self.leaders.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Proposals under way.
    pub(crate) fn pending(&self) -> u64 {
        self.pending.load(Ordering::Relaxed)
    }

    /// Proposals that failed, or of which nobody knows the end.
    pub(crate) fn failures(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// How often somebody came to lead who had not led before.
    pub(crate) fn leaders(&self) -> u64 {
        self.leaders.load(Ordering::Relaxed)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::Relaxed);
    }
}
