//! The attempts of a call that run at this moment: the first or a retry of it, and hedges beside it.

use mainstay_core::{Certainty, Deadline, Instant};

use super::Timer;
use crate::{AttemptReason, Choice};

/// Hedges that one call can make at the most; a configuration may ask for fewer.
pub const HEDGES_MAX: u32 = 2;

/// Attempts of one call that can run at once.
const RUNNING_MAX: usize = 1 + HEDGES_MAX as usize;

/// An attempt that has begun and is not over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Running {
    pub(super) choice: Choice,
    pub(super) attempt: u8,
    pub(super) why: AttemptReason,
    pub(super) began: Instant,
    /// Attempts of the service that were under way when it began.
    pub(super) in_flight: u32,
    pub(super) connected: bool,
    /// It waits, or waited before it connects, for a connection that our own limit holds back.
    pub(super) waits: bool,
    pub(super) sent: bool,
    pub(super) connect_by: Instant,
    pub(super) head_by: Instant,
    /// When half of the time that was left is over, where something may stand in for the service; else far away.
    pub(super) half_by: Instant,
    /// A drill delays it.
    pub(super) held_until: Option<Instant>,
}

impl Running {
    pub(super) fn certainty(&self) -> Certainty {
        if self.sent { Certainty::Unknown } else { Certainty::NotSent }
    }

    /// When its time is over, and which.
    pub(super) fn due(&self) -> Deadline<Timer> {
        let end = match self.half_by < self.head_by {
            true => Deadline::new(self.half_by, Timer::Fallback),
            false => Deadline::new(self.head_by, Timer::Attempt),
        };
        if let Some(until) = self.held_until.filter(|until| *until < end.at) {
            Deadline::new(until, Timer::Fault)
        } else if !self.connected && self.connect_by < end.at {
            Deadline::new(self.connect_by, Timer::Connect)
        } else {
            end
        }
    }
}

/// Those that run, in no order that means anything.
#[derive(Debug, Clone, Default)]
pub(super) struct RunningSet([Option<Running>; RUNNING_MAX]);

impl RunningSet {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Running> {
        self.0.iter().filter_map(Option::as_ref)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Running> {
        self.0.iter_mut().filter_map(Option::as_mut)
    }

    pub(super) fn get(&self, attempt: u8) -> Option<Running> {
        self.iter().find(|running| running.attempt == attempt).copied()
    }

    pub(super) fn get_mut(&mut self, attempt: u8) -> Option<&mut Running> {
        self.iter_mut().find(|running| running.attempt == attempt)
    }

    pub(super) fn any(&self) -> Option<Running> {
        self.iter().next().copied()
    }

    pub(super) fn other_than(&self, attempt: u8) -> Option<Running> {
        self.iter().find(|running| running.attempt != attempt).copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Whether more than one runs.
    pub(super) fn are_several(&self) -> bool {
        self.iter().nth(1).is_some()
    }

    /// Whether there is room for one more.
    pub(super) fn has_room(&self) -> bool {
        self.0.iter().any(Option::is_none)
    }

    pub(super) fn add(&mut self, running: Running) {
        let free = self.0.iter_mut().find(|slot| slot.is_none());
        debug_assert!(free.is_some(), "no more run than may: {running:?}");
        if let Some(slot) = free {
            *slot = Some(running);
        }
    }

    pub(super) fn remove(&mut self, attempt: u8) {
        for slot in &mut self.0 {
            slot.take_if(|running| running.attempt == attempt);
        }
    }

    /// When the time of one of them is over first.
    pub(super) fn next_due(&self) -> Option<Deadline<Timer>> {
        self.iter().map(Running::due).min_by_key(|due| due.at)
    }

    /// The one whose time is over first.
    pub(super) fn first_due(&self) -> Option<(Deadline<Timer>, Running)> {
        self.iter().map(|running| (running.due(), *running)).min_by_key(|(due, _)| due.at)
    }

    /// Where they run.
    pub(super) fn choices(&self) -> [Option<Choice>; RUNNING_MAX] {
        self.0.map(|slot| slot.map(|running| running.choice))
    }
}
