//! What one worker tells the others of a fleet, so that all of them learn what one has seen.
//!
//! Each worker hands out the difference since it was asked last, and takes in the differences of all others. Nothing
//! that came from another worker is handed on, so a piece of news reaches each worker once whatever the order.
//!
//! Invariants: an ejection that comes from elsewhere is held to `max_ejected` like one's own; attempts in flight
//! elsewhere are never fewer than none, so a difference that was missed while an endpoint was not known here yet is made
//! good as soon as nothing is in flight there.

use mainstay_core::{Duration, EndpointId, Instant};

use super::Fleet;
use super::learned::Learned;
use crate::availability::Ejection;
use crate::pace::{Limp, Verdict};
use crate::recording::coded;
use crate::spread::Percentiles;
use crate::{Balance, Recovery};

/// What a worker has learned since it was asked last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FleetDelta {
    median: Option<Duration>,
    percentiles: Option<Percentiles>,
    news: Vec<News>,
}

impl FleetDelta {
    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.news.is_empty()
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct News {
    endpoint: EndpointId,
    what: Pending,
}

/// What was learned of one endpoint and not told yet.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Pending {
    /// It stands in the fleet's list of endpoints with news.
    pub(super) is_listed: bool,
    /// Attempts begun less attempts ended.
    pub(super) in_flight: i64,
    attempts: u64,
    failed: u64,
    pub(super) lost: Option<Instant>,
    latencies: Latencies,
    /// Answers that told of its pace, and the slow ones among them.
    paced: u64,
    slow: u64,
    /// Whether it limps, where that has changed.
    pub(super) limp: Option<Option<Limp>>,
    turn: Option<Turn>,
}

/// Times to a head.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Latencies {
    count: u64,
    sum: Duration,
    worst: Duration,
    /// The longest that was waited for a head in vain.
    at_least: Duration,
}

/// The last passive change of state.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Turn {
    Ejected { ejection: Ejection, doublings: u32 },
    Restored,
}

coded! { struct FleetDelta { median, percentiles, news } }
coded! { struct News { endpoint, what } }
coded! { struct Pending {
    is_listed, in_flight, attempts, failed, lost, latencies, paced, slow, limp, turn,
} }
coded! { struct Latencies { count, sum, worst, at_least } }
coded! { enum Turn { 0 => Ejected { ejection, doublings }, 1 => Restored } }

impl Pending {
    pub(super) fn good(&mut self, latency: Duration) {
        self.attempts += 1;
        self.latencies.count += 1;
        self.latencies.sum = self.latencies.sum + latency;
        self.latencies.worst = self.latencies.worst.max(latency);
    }

    pub(super) fn paced(&mut self, slow: bool) {
        self.paced += 1;
        self.slow += u64::from(slow);
    }

    pub(super) fn failed(&mut self) {
        self.attempts += 1;
        self.failed += 1;
    }

    pub(super) fn outpaced(&mut self, waited: Duration) {
        self.latencies.at_least = self.latencies.at_least.max(waited);
    }

    pub(super) fn broke_off(&mut self) {
        self.failed += 1;
    }
}

impl Learned {
    /// Notes a change of state for the others. Checks, orders and settings reach every worker themselves, and what came
    /// from elsewhere is not handed on.
    pub(super) fn note_change(&mut self, before: Option<Ejection>, by: Option<Recovery>) {
        match (before, self.availability.ejection()) {
            (Some(_), None) if by == Some(Recovery::Probe) => self.news.turn = Some(Turn::Restored),
            (_, Some(ejection)) if before != Some(ejection) && by != Some(Recovery::Exchange) => {
                self.news.turn = Some(Turn::Ejected { ejection, doublings: self.availability.doublings() });
            }
            _ => {}
        }
    }
}

impl Fleet {
    /// What this worker has learned since it was asked last, for every other worker of the same endpoints.
    #[must_use]
    pub fn take_delta(&mut self) -> FleetDelta {
        let mut news = Vec::with_capacity(self.touched.len());
        while let Some(slot) = self.touched.pop() {
            let Some(endpoint) = self.endpoints.at_mut(slot) else { continue };
            let what = std::mem::take(&mut endpoint.learned.news);
            news.push(News { endpoint: endpoint.id, what: Pending { is_listed: false, ..what } });
        }
        FleetDelta { median: self.median.get(), percentiles: self.spread.learned(), news }
    }

    /// Takes in what another worker has learned. Its ids must come from the same lists of endpoints; one that is not
    /// known here (yet, or any more) is passed over.
    pub fn merge(&mut self, now: Instant, delta: &FleetDelta) {
        if let (None, Some(median)) = (self.median.get(), delta.median) {
            self.median.observe(median);
        }
        if let Some(percentiles) = delta.percentiles {
            self.spread.adopt(percentiles);
        }
        for News { endpoint, what } in &delta.news {
            self.merge_one(now, *endpoint, what);
        }
    }

    fn merge_one(&mut self, now: Instant, id: EndpointId, what: &Pending) {
        let (scale, rule) = (self.scale(), self.settings.balance);
        let Some(endpoint) = self.endpoints.get_mut(id) else { return };
        let learned = &mut endpoint.learned;
        let mut verdict = Verdict::AsBefore;
        let before = learned.load.total();
        learned.load.change_elsewhere(what.in_flight);
        self.in_flight = self.in_flight.saturating_sub(before).saturating_add(learned.load.total());
        learned.availability.learn(now, what.attempts, what.failed);
        learned.lost = learned.lost.max(what.lost);
        if let Some(mean) = what.latencies.sum.as_nanos().checked_div(what.latencies.count) {
            // As if the answers had come here: the worst is believed at once if it is worse than expected.
            let is_peak = what.latencies.worst.as_nanos() as f64 > learned.latency.predicted(now, &scale);
            let sample = if is_peak { what.latencies.worst } else { Duration::from_nanos(mean) };
            learned.latency.observe(now, sample, &scale);
            verdict = learned.pace.learn(what.paced, what.slow, mean as f64);
        }
        learned.latency.observe_at_least(now, what.latencies.at_least, &scale);
        if what.failed > 0 && rule == Balance::Adaptive {
            learned.latency.penalise(now, &scale);
        }
        self.merge_limp(now, id.slot, what.limp);
        self.follow(now, id.slot, verdict);
        self.merge_turn(now, id.slot, what.turn);
    }

    fn merge_turn(&mut self, now: Instant, slot: u32, turn: Option<Turn>) {
        let Some(turn) = turn else { return };
        let is_allowed = self.may_eject();
        self.change(now, slot, Some(Recovery::Exchange), |availability, settings| match turn {
            Turn::Restored if availability.is_passively_out() => availability.restore(now),
            Turn::Ejected { ejection, doublings } if settings.outlier.is_some() => {
                let is_newer = availability.ejection().is_some_and(|own| own.until < ejection.until);
                if is_newer || (is_allowed && !availability.is_passively_out()) {
                    availability.adopt(ejection, doublings);
                }
            }
            Turn::Restored | Turn::Ejected { .. } => {}
        });
    }
}
