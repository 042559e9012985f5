//! Who waits for a permit, in which order, and who need not wait at all.
//!
//! **Order.** A line for each [`Priority`], first in, first out; the most important line that has somebody is served first.
//! When the queue is full, a call takes the place of a less important one, the one that came last. Nothing protects a
//! less important line from a more important one: under an overload that is critical throughout, nothing else is
//! answered, and each learns so within its wait.
//!
//! **Early.** Who will not be served in time is told so when it comes, not when its wait is over: a line knows its pace,
//! the time from one turn to the next, so it knows how long a newcomer waits. While a line has not been empty for 100 ms
//! it is a standing one, which buys no throughput and only makes everybody late: the wait that is accepted falls to
//! 40 ms (K. Nichols, V. Jacobson: "Controlling Queue Delay", ACM Queue, 2012; B. Maurer: "Fail at Scale", ACM Queue,
//! 2015). As in CoDel, the last of a line is not dropped for it, because its permit would go unused. A call whose deadline
//! comes before an answer usually does is dropped too: it would take a permit for nothing.
//!
//! **Not the newest first.** Serving the newest first in a standing line (as Maurer does) saves those who are served most
//! of their wait, which is 40 ms at the most, and lets the others wait in vain: measured, four in five of the refused learn
//! it only after that wait, instead of one in thirteen (`docs/decisions/`).
//!
//! Each call that waits is granted its turn, is dropped, or leaves: once.

use std::collections::VecDeque;

use mainstay_core::{CallId, Duration, Instant};

use crate::Priority;

/// A line that has not been empty for this long is a standing one.
const STANDING: Duration = Duration::from_millis(100);
/// The longest wait that is accepted in a standing line.
const STANDING_WAIT: Duration = Duration::from_millis(40);
/// What a pace is worth after the line was empty for so long: nothing.
const PACE_OLD: Duration = Duration::from_secs(1);
/// One turn's share in the pace.
const PACE_SHARE: u64 = 16;

/// A call that would wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Which.
    pub call: CallId,
    /// How much it matters.
    pub priority: Priority,
    /// When its wait is over at the latest.
    pub until: Instant,
    /// When it must have an answer.
    pub deadline: Instant,
    /// How long an answer usually takes.
    pub served: Duration,
}

/// Why a call may not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// As many wait as may, and none of them matters less.
    Full,
    /// It would be served too late.
    LongWait {
        /// How long it would wait.
        expected: Duration,
        /// How long it may.
        accepted: Duration,
    },
    /// Its deadline comes before an answer usually does.
    Hopeless,
}

/// How a wait ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It has a permit now.
    Granted,
    /// It has waited too long.
    Late,
    /// A more important call took its place.
    Displaced,
    /// Its deadline comes before an answer usually does.
    Hopeless,
}

/// A call's wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// Which call.
    pub call: CallId,
    /// How. Who was granted its turn has a permit, to be given back by [`crate::Bulkhead::release`].
    pub turn: Turn,
}

/// The calls of one worker that wait.
#[derive(Debug)]
pub(crate) struct Queue {
    most: usize,
    /// By [`Priority`].
    lines: [Line; Priority::ALL.len()],
    /// Whose place was taken, and who do not know yet.
    displaced: VecDeque<CallId>,
}

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    /// When it was last empty.
    standing_since: Instant,
    /// From one turn to the next; `None` when that is not known.
    pace: Option<Duration>,
    /// The last turn, or when somebody came to wait.
    turned: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    call: CallId,
    since: Instant,
    until: Instant,
    deadline: Instant,
}

impl Queue {
    pub(crate) fn new(most: u32) -> Self {
        Self { most: most as usize, lines: Default::default(), displaced: VecDeque::new() }
    }

    pub(crate) fn configure(&mut self, most: u32) {
        self.most = most as usize;
    }

    pub(crate) fn len(&self) -> usize {
        self.lines.iter().map(|line| line.waiting.len()).sum()
    }

    /// Whether nobody waits, and nobody is still to be told that the wait was in vain.
    pub(crate) fn is_empty(&self) -> bool {
        self.displaced.is_empty() && self.lines.iter().all(|line| line.waiting.is_empty())
    }

    /// Whether nobody waits who is served before a newcomer of this priority.
    pub(crate) fn is_next(&self, priority: Priority) -> bool {
        self.lines[..=priority as usize].iter().all(|line| line.waiting.is_empty())
    }

    /// The most important priority that somebody waits with and that is admitted now.
    pub(crate) fn first(&self, is_admitted: impl Fn(Priority) -> bool) -> Option<Priority> {
        let waits = |priority: &Priority| !self.lines[*priority as usize].waiting.is_empty();
        Priority::ALL.into_iter().filter(waits).find(|priority| is_admitted(*priority))
    }

    /// Lets a call wait, and says how many are served before it.
    pub(crate) fn push(&mut self, now: Instant, wish: &Wish) -> Result<u32, NoPlace> {
        let line = &self.lines[wish.priority as usize];
        let (expected, accepted) = (line.expected(now), line.accepted(now, wish));
        if !line.waiting.is_empty() && expected > accepted {
            return Err(NoPlace::LongWait { expected, accepted });
        }
        if wish.deadline.since(now) < expected + wish.served {
            return Err(NoPlace::Hopeless);
        }
        if self.len() >= self.most {
            self.displace(wish.priority)?;
        }
        let ahead = self.lines[..=wish.priority as usize].iter().map(|line| line.waiting.len()).sum::<usize>();
        self.lines[wish.priority as usize].push(now, wish);
        Ok(ahead as u32)
    }

    /// Takes the place of the least important that matters less than `priority`, of these the newest.
    fn displace(&mut self, priority: Priority) -> Result<(), NoPlace> {
        let less = &mut self.lines[priority as usize + 1..];
        let newest = less.iter_mut().rev().find_map(|line| line.waiting.pop_back());
        self.displaced.push_back(newest.ok_or(NoPlace::Full)?.call);
        Ok(())
    }

    pub(crate) fn leave(&mut self, call: CallId) {
        if !self.lines.iter_mut().any(|line| line.leave(call)) {
            self.displaced.retain(|displaced| *displaced != call);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.lines.iter_mut().for_each(|line| line.waiting.clear());
        self.displaced.clear();
    }

    /// The next call that waits in vain.
    pub(crate) fn drop_next(&mut self, now: Instant, served: Duration) -> Option<Admission> {
        if let Some(call) = self.displaced.pop_front() {
            return Some(Admission { call, turn: Turn::Displaced });
        }
        self.lines.iter_mut().find_map(|line| {
            let head = line.waiting.front()?;
            let turn = if line.is_late(now, head) {
                Turn::Late
            } else if head.deadline.since(now) < served {
                Turn::Hopeless
            } else {
                return None;
            };
            line.waiting.pop_front().map(|head| Admission { call: head.call, turn })
        })
    }

    /// Grants the first of a line its turn.
    pub(crate) fn grant(&mut self, now: Instant, priority: Priority) -> Option<Admission> {
        let line = &mut self.lines[priority as usize];
        let head = line.waiting.pop_front()?;
        line.turn(now);
        Some(Admission { call: head.call, turn: Turn::Granted })
    }

    /// How long those that wait will need, as far as that is known.
    pub(crate) fn drains_in(&self) -> Duration {
        let drains_in = |line: &Line| line.pace.unwrap_or_default().saturating_mul(line.waiting.len() as u64);
        self.lines.iter().map(drains_in).max().unwrap_or_default()
    }
}

impl Line {
    fn push(&mut self, now: Instant, wish: &Wish) {
        if self.waiting.is_empty() {
            self.standing_since = now;
            if now.since(self.turned) > PACE_OLD {
                self.pace = None;
            }
            self.turned = now;
        }
        self.waiting.push_back(Waiting { call: wish.call, since: now, until: wish.until, deadline: wish.deadline });
    }

    /// Calls are numbered as they come, so the line is in order but for the odd call that was held up before it.
    /// Removal moves the shorter side, and who leaves is mostly the oldest.
    fn leave(&mut self, call: CallId) -> bool {
        let sorted = self.waiting.binary_search_by_key(&call, |waiting| waiting.call).ok();
        let place = sorted.or_else(|| self.waiting.iter().position(|waiting| waiting.call == call));
        place.is_some_and(|place| self.waiting.remove(place).is_some())
    }

    fn turn(&mut self, now: Instant) {
        let gap = now.since(self.turned).as_nanos();
        let pace = self.pace.map_or(gap, |pace| (pace.as_nanos() * (PACE_SHARE - 1) + gap) / PACE_SHARE);
        self.pace = Some(Duration::from_nanos(pace));
        self.turned = now;
    }

    /// How long a newcomer waits: as many turns as wait before it and its own, and no less than the last turn is ago.
    fn expected(&self, now: Instant) -> Duration {
        if self.waiting.is_empty() {
            return Duration::ZERO;
        }
        let turns = self.waiting.len() as u64 + 1;
        self.pace.unwrap_or_default().saturating_mul(turns).max(now.since(self.turned))
    }

    fn accepted(&self, now: Instant, wish: &Wish) -> Duration {
        let accepted = wish.until.since(now);
        if self.is_standing(now) { accepted.min(STANDING_WAIT) } else { accepted }
    }

    fn is_standing(&self, now: Instant) -> bool {
        !self.waiting.is_empty() && now.since(self.standing_since) > STANDING
    }

    fn is_late(&self, now: Instant, head: &Waiting) -> bool {
        let is_last = self.waiting.len() == 1;
        head.until <= now || (!is_last && self.is_standing(now) && now.since(head.since) > STANDING_WAIT)
    }
}

#[cfg(test)]
mod tests;
