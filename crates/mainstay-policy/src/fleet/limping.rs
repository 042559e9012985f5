//! Endpoints that do not keep pace: who they are, when one is tried, and when one is used all the same.
//!
//! An endpoint that limps is no candidate while at least half of those that could be candidates keep pace. It gets
//!
//! - trials: one call at a time, at the times that [`crate::pace`] names and no oftener than one in a hundred calls, a
//!   first attempt that can be repeated elsewhere;
//! - calls that nobody else can take, because each other endpoint is full or was tried;
//! - calls whose endpoint has become as slow as it is.
//!
//! Only the adaptive rule leaves anybody alone for being slow; the others do what their names say.

use mainstay_core::{EndpointId, Instant, Purpose};

use super::choosing::is_usable;
use super::{Ask, Fleet, FleetEvent, Recovery, has_room};
use crate::latency::nanos;
use crate::pace::{self, Limp, Verdict};
use crate::{Balance, EndpointState};

/// As many of the others are asked how they do, so that a large fleet is judged as quickly as a small one.
const ASKED: usize = 32;
/// Calls between two trials of one worker, unless time presses.
const CALLS_PER_TRIAL: u64 = 100;

impl Fleet {
    /// From what length on an answer is slow, in nanoseconds; `None` while too little is known or nobody asks.
    pub(super) fn slow_from(&self) -> Option<f64> {
        if self.settings.balance != Balance::Adaptive || self.median.samples() < pace::ANSWERS_MIN {
            return None;
        }
        self.median.nanos().zip(self.tail.nanos()).map(|(median, tail)| pace::slow_from(median, tail))
    }

    /// Draws the consequences of what an answer said about an endpoint's pace.
    pub(super) fn follow(&mut self, now: Instant, slot: u32, verdict: Verdict) {
        match verdict {
            Verdict::AsBefore => {}
            Verdict::Suspicious => self.judge(now, slot),
            Verdict::Tried => self.note_pace(slot),
            Verdict::Recovered => self.recovered(now, slot),
        }
    }

    fn judge(&mut self, now: Instant, slot: u32) {
        let is_allowed = self.may_limp();
        let others = self.recent_of_others(now, slot).filter(|_| is_allowed);
        let Some(endpoint) = self.endpoints.at_mut(slot) else { return };
        if !endpoint.learned.pace.judge(now, others) {
            return;
        }
        let (endpoint, address) = (endpoint.id, endpoint.spec.address);
        if let Some(Limp { own, others, .. }) = self.limp(slot) {
            self.tell(FleetEvent::Limping { endpoint, address, latency: nanos(own), others: nanos(others) });
        }
        self.is_stale = true;
        self.note_pace(slot);
    }

    fn recovered(&mut self, now: Instant, slot: u32) {
        let Some(endpoint) = self.endpoints.at_mut(slot) else { return };
        let (endpoint, address) = (endpoint.id, endpoint.spec.address);
        self.tell(FleetEvent::Restored { endpoint, address, by: Recovery::Pace });
        self.begin_to_warm(now, slot);
        self.note_pace(slot);
    }

    /// Whether one endpoint more may limp: half of those that are well must keep pace.
    fn may_limp(&self) -> bool {
        2 * (self.limping.len() + 1) <= self.census.ready as usize
    }

    /// The median of how the others do at the moment: what they answered lately, or for how long they have been silent.
    fn recent_of_others(&self, now: Instant, slot: u32) -> Option<f64> {
        let slots = self.endpoints.slots();
        let stride = slots.div_ceil(ASKED).max(1);
        let (mut lengths, mut count) = ([0.0; ASKED], 0);
        for step in 1..=ASKED {
            let other = (slot as usize + step * stride) % slots;
            if step * stride > slots + stride || count == ASKED || other == slot as usize {
                continue;
            }
            let Some(learned) = self.endpoints.at(other as u32).map(|endpoint| &endpoint.learned) else { continue };
            let is_steady = learned.availability.state() == EndpointState::Ready && learned.pace.limp().is_none();
            if let Some(recent) = learned.pace.recent().filter(|_| is_steady) {
                lengths[count] = recent.max(learned.load.silence(now).as_nanos() as f64);
                count += 1;
            }
        }
        lengths[..count].sort_unstable_by(f64::total_cmp);
        lengths[..count].get(count.saturating_sub(1) / 2).copied()
    }

    pub(super) fn limp(&self, slot: u32) -> Option<Limp> {
        self.endpoints.at(slot)?.learned.pace.limp()
    }

    /// For the other workers: how it keeps pace now.
    fn note_pace(&mut self, slot: u32) {
        if let Some(endpoint) = self.endpoints.at_mut(slot) {
            endpoint.learned.news.limp = Some(endpoint.learned.pace.limp());
        }
        self.touch(slot);
    }

    /// What another worker says of an endpoint's pace.
    pub(super) fn merge_limp(&mut self, now: Instant, slot: u32, news: Option<Option<Limp>>) {
        let Some(theirs) = news.filter(|_| self.settings.balance == Balance::Adaptive) else { return };
        let is_allowed = self.may_limp();
        let Some(endpoint) = self.endpoints.at_mut(slot) else { return };
        let before = endpoint.learned.pace.limp().is_some();
        if theirs.is_none() || before || is_allowed {
            endpoint.learned.pace.adopt(theirs);
            self.is_stale |= before != theirs.is_some();
            if before && theirs.is_none() {
                self.begin_to_warm(now, slot);
            }
        }
    }

    /// The limping endpoint whose turn it is to be tried, if this call may be risked there.
    pub(super) fn pick_trial(&mut self, now: Instant, ask: &Ask<'_>) -> Option<u32> {
        self.calls_since_trial += u64::from(ask.attempt == 0);
        if self.limping.is_empty() || ask.attempt > 0 {
            return None;
        }
        // One of them per call, so that their number costs nothing.
        let turn = (self.calls_since_trial % self.limping.len() as u64) as usize;
        let slot = self.limping.get(turn).copied()?;
        let panic = self.census.panic;
        let endpoint = self.endpoints.at_mut(slot).filter(|endpoint| is_usable(endpoint, panic))?;
        let limp = endpoint.learned.pace.limp()?;
        // Each worker a little later or earlier, so that the first tells the others.
        let stagger = self.seed.draw(u64::from(slot), 0, Purpose::Sample);
        let is_harmless = ask.idempotent && limp.is_due(now, stagger);
        let is_rationed = self.calls_since_trial < CALLS_PER_TRIAL && !limp.is_returning() && !limp.is_overdue(now);
        let may = (is_harmless && !is_rationed) || limp.is_due_for_any(now);
        if !may || ask.tried.contains(&endpoint.id) || !has_room(endpoint, &self.settings) {
            return None;
        }
        endpoint.learned.pace.take_trial(now);
        self.calls_since_trial = 0;
        self.note_pace(slot);
        Some(slot)
    }

    /// A limping endpoint that has room and was not tried.
    pub(super) fn pick_limping(&self, ask: &Ask<'_>) -> Option<u32> {
        let is_open = |slot: &u32| {
            self.endpoints.at(*slot).is_some_and(|e| {
                is_usable(e, self.census.panic) && has_room(e, &self.settings) && !ask.tried.contains(&e.id)
            })
        };
        self.limping.iter().copied().find(is_open)
    }

    /// A limping endpoint that would answer sooner than the steady one in `slot`, as that has been of late.
    pub(super) fn pick_sooner(&self, now: Instant, ask: &Ask<'_>, slot: u32) -> Option<u32> {
        let scale = self.scale();
        let steady = &self.endpoints.at(slot)?.learned;
        let expected = steady.load.at_least_silence(now, steady.pace.recent()?, &scale);
        let other = self.pick_limping(ask)?;
        let limping = &self.endpoints.at(other)?.learned;
        (limping.cost(now, Balance::Adaptive, 1.0, &scale) < expected).then_some(other)
    }

    /// Whether a limping endpoint was not tried yet.
    pub(super) fn has_untried_limping(&self, tried: &[EndpointId]) -> bool {
        let id = |slot: &u32| self.endpoints.at(*slot).map(|endpoint| endpoint.id);
        self.limping.iter().filter_map(id).any(|id| !tried.contains(&id))
    }
}
