//! Whether an endpoint keeps pace with the others of its service, or limps.
//!
//! In: how long answers take, or how long they have not come when somebody gave up waiting, and how the others do. Out:
//! steady, or limping with the time of the next trial. An endpoint that limps is well, so it is not ejected; it is left
//! alone while others keep pace, and tried by one call at a time until it keeps pace too.
//!
//! - An answer is **slow** when it takes three times the service's median, 20 ms more than that, and longer than 98 % of
//!   the service's answers, all three: less than the first is how instances of different sizes differ, less than the
//!   second nobody feels, and the third is what is usual where answers vary much.
//! - Slow answers add to a score and others take from it, a quarter as much; four slow ones in a row, or two that take
//!   three times as long again, raise a suspicion. A single stray raises none, whatever its length. Where 2 % are slow by
//!   definition, a run of luck reaches that score about once in a million answers.
//! - The suspicion stands when the endpoint's own recent answers are as far from the median of the *others'* recent ones,
//!   as those are now. When all become slower together, nobody limps.
//!
//! A trial follows after a second, then two, then four; three good ones in a row and it is steady again. What the
//! endpoint did before does not fade: time alone makes nobody quicker.

use mainstay_core::{Duration, Instant, below};

use crate::recording::coded;

/// As slow as this many medians is slow.
const FACTOR: f64 = 3.0;
/// And by this much, in nanoseconds.
const MARGIN: f64 = 20e6;
/// And longer than this many times what is usual of the slowest.
const TAIL: f64 = 1.5;
/// Answers seen before any is called slow.
pub(crate) const ANSWERS_MIN: u32 = 20;

/// What a slow answer adds; another takes 1.
const SLOW: u32 = 4;
/// What suffices for a suspicion.
const SUSPICIOUS: u32 = 4 * SLOW;
/// The weight of the newest answer among the recent ones.
const NEWEST: f64 = 1.0 / 3.0;

/// The first pause before a trial...
const REST: Duration = Duration::from_secs(1);
/// ...and the longest.
const REST_MAX: Duration = Duration::from_secs(4);
/// Good trials in a row.
const GOOD_TRIALS: u8 = 3;

/// Whether `length` stands out against `usual`; both in nanoseconds.
pub(crate) fn stands_out(length: f64, usual: f64) -> bool {
    length > out_of(usual)
}

/// What stands out begins here.
pub(crate) fn out_of(usual: f64) -> f64 {
    (usual * FACTOR).max(usual + MARGIN)
}

/// From what length on an answer is slow, where these are the service's median and what 98 % of its answers keep to.
pub(crate) fn slow_from(median: f64, tail: f64) -> f64 {
    out_of(median).max(tail * TAIL)
}

/// How one endpoint keeps pace.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pace {
    score: u32,
    /// A short moving average of its answers, in nanoseconds.
    recent: Option<f64>,
    limp: Option<Limp>,
}

/// It does not keep pace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limp {
    pub(crate) since: Instant,
    /// When it is tried next.
    pub(crate) due: Instant,
    rest: Duration,
    good: u8,
    /// Its own recent answers, in nanoseconds.
    pub(crate) own: f64,
    /// The median of the others'.
    pub(crate) others: f64,
}

coded! { struct Limp { since, due, rest, good, own, others } }

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing new.
    AsBefore,
    /// It may limp: to be compared with the others.
    Suspicious,
    /// It keeps pace again.
    Recovered,
    /// A trial was slow, or the first of them was good.
    Tried,
}

impl Pace {
    /// An answer took `sample` nanoseconds, or had not come by then; from `limit` on one is slow.
    pub(crate) fn observe(&mut self, now: Instant, sample: f64, limit: Option<f64>) -> Verdict {
        let recent = self.recent.map_or(sample, |recent| recent + (sample - recent) * NEWEST);
        self.recent = Some(recent);
        let Some(limit) = limit else { return Verdict::AsBefore };
        let is_slow = sample > limit;
        if self.limp.is_some() {
            return self.tried(now, sample, is_slow);
        }
        let weight = if sample > limit * FACTOR { 2 * SLOW } else { SLOW };
        self.score = if is_slow { self.score + weight } else { self.score.saturating_sub(1) };
        if self.score >= SUSPICIOUS { Verdict::Suspicious } else { Verdict::AsBefore }
    }

    /// An attempt that began since it limps has ended.
    fn tried(&mut self, now: Instant, sample: f64, is_slow: bool) -> Verdict {
        let Some(limp) = &mut self.limp else { return Verdict::AsBefore };
        let began = now - Duration::from_nanos(sample as u64);
        if began < limp.since {
            return Verdict::AsBefore;
        }
        if is_slow {
            limp.rest = limp.rest.saturating_mul(2).min(REST_MAX);
            (limp.good, limp.own) = (0, sample);
            limp.due = (began + limp.rest).max(now + REST);
            return Verdict::Tried;
        }
        (limp.good, limp.due) = (limp.good + 1, now);
        if limp.good < GOOD_TRIALS {
            return Verdict::Tried;
        }
        *self = Self { recent: Some(sample), ..Self::default() };
        Verdict::Recovered
    }

    /// Other workers saw so many answers, of which so many were slow.
    pub(crate) fn learn(&mut self, answers: u64, slow: u64, mean: f64) -> Verdict {
        for _ in 0..answers.min(8) {
            self.recent = Some(self.recent.map_or(mean, |recent| recent + (mean - recent) * NEWEST));
        }
        if self.limp.is_some() || answers == 0 {
            return Verdict::AsBefore;
        }
        let added = u32::try_from(slow).unwrap_or(u32::MAX).saturating_mul(SLOW).min(SUSPICIOUS);
        let taken = u32::try_from(answers - slow.min(answers)).unwrap_or(u32::MAX);
        self.score = (self.score + added).saturating_sub(taken);
        if self.score >= SUSPICIOUS { Verdict::Suspicious } else { Verdict::AsBefore }
    }

    /// The others' median is `others`: whether it limps against that.
    pub(crate) fn judge(&mut self, now: Instant, others: Option<f64>) -> bool {
        let limps = self.recent.zip(others).is_some_and(|(own, others)| stands_out(own, others));
        // All are slower: this one is heard again after some more slow answers.
        self.score = SUSPICIOUS / 2;
        if limps && let Some((own, others)) = self.recent.zip(others) {
            self.limp = Some(Limp { since: now, due: now + REST, rest: REST, good: 0, own, others });
        }
        limps
    }

    /// One call tries it; another may when this one does not tell.
    pub(crate) fn take_trial(&mut self, now: Instant) {
        if let Some(limp) = &mut self.limp {
            limp.due = now + limp.rest;
        }
    }

    /// Another worker says how it is.
    pub(crate) fn adopt(&mut self, other: Option<Limp>) {
        self.limp = match (self.limp, other) {
            (Some(own), Some(other)) if own.due >= other.due => Some(own),
            (_, other) => other,
        };
        if self.limp.is_none() {
            self.score = 0;
        }
    }

    /// It is somebody else now, or nobody watches any more.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn limp(&self) -> Option<Limp> {
        self.limp
    }

    pub(crate) fn recent(&self) -> Option<f64> {
        self.recent
    }
}

impl Limp {
    /// Whether a call that can be repeated elsewhere may try it.
    pub(crate) fn is_due(&self, now: Instant, stagger: u64) -> bool {
        now >= self.due + Duration::from_nanos(below(stagger, self.rest.as_nanos() / 4))
    }

    /// Whether it has waited for its trial for so long that few calls are no reason to wait longer.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        now.since(self.due) >= self.rest.saturating_mul(2)
    }

    /// Whether its last trial was good.
    pub(crate) fn is_returning(&self) -> bool {
        self.good > 0
    }

    /// Whether no such call has come for so long that any may.
    pub(crate) fn is_due_for_any(&self, now: Instant) -> bool {
        now.since(self.due) >= self.rest.saturating_mul(4)
    }
}
