//! How many instances a service should have.
//!
//! In: settings, the time, how many instances there are and what each was seen doing. Out: how many there should be, and
//! why. What is seen is always old, and who starts and stops them takes time; both are the driver's.
//!
//! The rule is the one that most people know, that of the Kubernetes HorizontalPodAutoscaler (kubernetes.io, "Horizontal
//! Pod Autoscaling": algorithm details, configurable scaling behavior), with its defaults:
//!
//! 1. **Measure.** So many are wanted as bring each to its target: the sum of what was seen by the target, rounded up.
//!    Nothing changes while the mean is within the tolerance. Where something is not known, it is taken so that the change
//!    is smaller: an instance that starts or says nothing does nothing when more are wanted, and one that says nothing is
//!    exactly on its target when fewer are. Where nothing at all is known, nothing changes.
//! 2. **Wait.** Up goes what was wanted for the whole of a window, and so does down: fewer than the most that was wanted
//!    within the last five minutes are not kept, so a load that comes back finds its instances.
//! 3. **Steps.** Within each period no more than a share, or a number, of those there were at its beginning, whichever is
//!    more.
//! 4. **Bounds**, before and after everything else.
//!
//! An error of the measure is the dangerous one: a utilisation cannot be more than 100 %, so at a target of 60 % one
//! decision adds two thirds at the most, however much too much the load is. Calls that are there, or that wait, have no
//! such end.
//!
//! Invariants: what is wanted lies between the bounds; in one direction no period moves more than its steps; nothing is
//! taken away that was wanted within the window.

use std::collections::VecDeque;
use std::fmt;

use mainstay_core::{Duration, Instant, Ratio};

/// What a sum of doubles may be off by, in instances.
const EXACT: f64 = 1e-9;
/// Changes that are remembered apart; with more, the oldest two count as one.
const CHANGES_MAX: usize = 64;

/// When a service needs more instances, and how fast their number may change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AutoscaleSettings {
    /// Never fewer, 1 or more. Default 1.
    pub min: u32,
    /// Never more, `min` or more.
    pub max: u32,
    /// What is sought.
    pub measure: Measure,
    /// What each instance should come to, above 0, in the unit of the measure. Default 0.6 of its slots: what is left
    /// carries what comes until others run.
    pub target: f64,
    /// No change while the mean is that near to the target. Default 10 %: a measure is never still.
    pub tolerance: Ratio,
    /// How more come about.
    pub up: ScaleUp,
    /// How fewer come about.
    pub down: ScaleDown,
    /// After a change nothing changes for so long. Default not at all: windows and steps do that, and a pause in the
    /// middle of a rise is the worst moment for one.
    pub cooldown: Option<Duration>,
}

/// What is seen of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Measure {
    /// The share of its slots that was busy: 1 at most.
    #[default]
    Utilisation,
    /// Calls that were there, in work or waiting.
    Concurrency,
    /// Calls that waited.
    Queue,
}

/// How more come about. With neither a factor nor a count none do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScaleUp {
    /// So many times as many within a period, above 1. Default 2.
    pub factor: Option<f64>,
    /// Or so many more. Default 4: from one, doubling is slow.
    pub count: Option<u32>,
    /// Default 15 s.
    pub period: Duration,
    /// For so long more must have been wanted. Default no time.
    pub window: Duration,
}

/// How fewer come about. With neither a share nor a count none do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScaleDown {
    /// No more than this share of them within a period. Default all.
    pub share: Option<Ratio>,
    /// Or so many. Default no number.
    pub count: Option<u32>,
    /// Default 15 s.
    pub period: Duration,
    /// For so long fewer must have been wanted. Default 5 min.
    pub window: Duration,
}

impl Measure {
    /// All of them with the words that name them in a configuration.
    pub const ALL: [(&'static str, Self); 3] =
        [("utilisation", Self::Utilisation), ("concurrency", Self::Concurrency), ("queue", Self::Queue)];
}

impl AutoscaleSettings {
    /// At most `max` instances, by their utilisation, and every default.
    #[must_use]
    pub fn up_to(max: u32) -> Self {
        Self {
            min: 1,
            max,
            measure: Measure::Utilisation,
            target: 0.6,
            tolerance: Ratio::percent(10),
            up: ScaleUp::default(),
            down: ScaleDown::default(),
            cooldown: None,
        }
    }
}

impl Default for ScaleUp {
    fn default() -> Self {
        Self { factor: Some(2.0), count: Some(4), period: Duration::from_secs(15), window: Duration::ZERO }
    }
}

impl Default for ScaleDown {
    fn default() -> Self {
        let (period, window) = (Duration::from_secs(15), Duration::from_secs(300));
        Self { share: Some(Ratio::ONE), count: None, period, window }
    }
}

/// What the instances were seen doing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Seen {
    /// How many were seen.
    pub told: u32,
    /// The sum of what they did, in the unit of the measure.
    pub sum: f64,
    /// Those that are there and of which nothing is known: they crashed, or their figures were lost.
    pub silent: u32,
    /// Those that have not begun, or have since those figures.
    pub starting: u32,
}

impl Seen {
    /// How many there are.
    #[must_use]
    pub const fn all(&self) -> u32 {
        self.told + self.silent + self.starting
    }
}

/// How many there should be, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scaling {
    /// So many.
    pub wanted: u32,
    /// What decided it.
    pub why: ScaleReason,
}

/// What decided how many instances there should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScaleReason {
    /// The measure asks for so many.
    Measure,
    /// The measure is near enough to its target, or too little is known to say that it is not.
    OnTarget,
    /// Nothing is known.
    Unseen,
    /// Other numbers were wanted within the window.
    Window,
    /// More is not changed within a period.
    Steps,
    /// The last change is too recent.
    Cooldown,
    /// There may be no fewer, or no more.
    Bounds,
}

impl fmt::Display for ScaleReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Measure => "as the measure asks",
            Self::OnTarget => "on target",
            Self::Unseen => "nothing is known of them",
            Self::Window => "another number was wanted a while ago",
            Self::Steps => "no more in one step",
            Self::Cooldown => "the last change is too recent",
            Self::Bounds => "at its bound",
        })
    }
}

/// Decides how many instances a service should have.
///
/// ```
/// use mainstay_core::Instant;
/// use mainstay_policy::{AutoscaleSettings, Autoscaler, Seen};
/// let mut autoscaler = Autoscaler::new(AutoscaleSettings { target: 0.5, ..AutoscaleSettings::up_to(20) });
/// // Four instances, of which each is wholly busy, are half of what is needed.
/// let seen = Seen { told: 4, sum: 4.0, ..Seen::default() };
/// assert_eq!(autoscaler.decide(Instant::ORIGIN, &seen).wanted, 8);
/// ```
#[derive(Debug, Clone)]
pub struct Autoscaler {
    settings: AutoscaleSettings,
    least: Recent,
    most: Recent,
    changes: VecDeque<Change>,
}

/// So many came or went.
#[derive(Debug, Clone, Copy)]
struct Change {
    at: Instant,
    came: u32,
    went: u32,
}

impl Autoscaler {
    /// One that has not decided anything.
    #[must_use]
    pub fn new(settings: AutoscaleSettings) -> Self {
        let (least, most) = (Recent::new(settings.up.window), Recent::new(settings.down.window));
        Self { settings, least, most, changes: VecDeque::new() }
    }

    /// How many there should be, by what was seen of those that there are. What it says is taken for done.
    pub fn decide(&mut self, now: Instant, seen: &Seen) -> Scaling {
        let current = seen.all();
        let scaling = self.judged(now, current, seen);
        if scaling.wanted != current {
            self.remember(now, current, scaling.wanted);
        }
        scaling
    }

    fn judged(&mut self, now: Instant, current: u32, seen: &Seen) -> Scaling {
        let (min, max) = (self.settings.min, self.settings.max);
        let asked = self.asked(current, seen);
        let within = asked.wanted.clamp(min, max);
        let waited = self.waited(now, current, within);
        if !(min..=max).contains(&current) {
            return Scaling { wanted: current.clamp(min, max), why: ScaleReason::Bounds };
        }
        let why = match asked.why {
            ScaleReason::Measure if waited != within => ScaleReason::Window,
            ScaleReason::Measure if within != asked.wanted => ScaleReason::Bounds,
            why => why,
        };
        if waited == current {
            return Scaling { wanted: current, why };
        }
        if self.is_cooling(now) {
            return Scaling { wanted: current, why: ScaleReason::Cooldown };
        }
        let stepped = self.stepped(now, current, waited);
        Scaling { wanted: stepped, why: if stepped == waited { why } else { ScaleReason::Steps } }
    }

    /// What the measure asks for, whatever was before.
    fn asked(&self, current: u32, seen: &Seen) -> Scaling {
        let AutoscaleSettings { target, tolerance, .. } = self.settings;
        if seen.told == 0 {
            return Scaling { wanted: current, why: ScaleReason::Unseen };
        }
        let rises = seen.sum > f64::from(seen.told) * target;
        let (sum, count) = match rises {
            true => (seen.sum, current),
            false => (seen.sum + f64::from(seen.silent) * target, seen.told + seen.silent),
        };
        let ratio = sum / (f64::from(count) * target);
        let wanted = (sum / target - EXACT).ceil().max(0.0) as u32;
        let is_near = (ratio - 1.0).abs() <= tolerance.get() + EXACT;
        let turns = if rises { wanted <= current } else { wanted >= current };
        if is_near || turns {
            return Scaling { wanted: current, why: ScaleReason::OnTarget };
        }
        Scaling { wanted, why: ScaleReason::Measure }
    }

    /// What was wanted for the whole of a window.
    fn waited(&mut self, now: Instant, current: u32, wanted: u32) -> u32 {
        if self.most.is_empty() {
            // Nothing was wanted yet but those that there are.
            self.most.take(now, current, |old, new| old > new);
            self.least.take(now, current, |old, new| old < new);
        }
        let most = self.most.take(now, wanted, |old, new| old > new);
        let least = self.least.take(now, wanted, |old, new| old < new);
        current.max(least).min(most)
    }

    fn is_cooling(&self, now: Instant) -> bool {
        let last = self.changes.back().map(|change| change.at);
        self.settings.cooldown.zip(last).is_some_and(|(cooldown, last)| now < last + cooldown)
    }

    /// As much of the change as a period allows.
    fn stepped(&self, now: Instant, current: u32, wanted: u32) -> u32 {
        let AutoscaleSettings { up, down, .. } = &self.settings;
        if wanted > current {
            let before = self.before(now, current, up.period);
            let times = up.factor.map(|factor| (f64::from(before) * factor - EXACT).ceil() as u32);
            let more = up.count.map(|count| before.saturating_add(count));
            wanted.min(times.max(more).unwrap_or(current).max(current))
        } else {
            let before = self.before(now, current, down.period);
            let rest = down.share.map(|share| (f64::from(before) * (1.0 - share.get()) + EXACT) as u32);
            let fewer = down.count.map(|count| before.saturating_sub(count));
            let least = rest.into_iter().chain(fewer).min().unwrap_or(current);
            wanted.max(least.min(current))
        }
    }

    /// How many there were a period ago.
    fn before(&self, now: Instant, current: u32, period: Duration) -> u32 {
        let recent = self.changes.iter().filter(|change| change.at + period > now);
        let (came, went) = recent.fold((0, 0), |(came, went), change| (came + change.came, went + change.went));
        (current + went).saturating_sub(came)
    }

    fn remember(&mut self, now: Instant, current: u32, wanted: u32) {
        let longest = self.settings.up.period.max(self.settings.down.period);
        while self.changes.len() > 1 && self.changes[0].at + longest <= now {
            self.changes.pop_front();
        }
        if self.changes.len() == CHANGES_MAX
            && let Some(oldest) = self.changes.pop_front()
        {
            self.changes[0].came += oldest.came;
            self.changes[0].went += oldest.went;
        }
        let (came, went) = (wanted.saturating_sub(current), current.saturating_sub(wanted));
        self.changes.push_back(Change { at: now, came, went });
    }
}

/// The best of what was wanted within a window. What a later one beats is forgotten, so there are never more than there
/// are numbers between the bounds.
#[derive(Debug, Clone)]
struct Recent {
    window: Duration,
    best: VecDeque<(Instant, u32)>,
}

impl Recent {
    fn new(window: Duration) -> Self {
        Self { window, best: VecDeque::new() }
    }

    fn is_empty(&self) -> bool {
        self.best.is_empty()
    }

    fn take(&mut self, now: Instant, wanted: u32, stays: fn(u32, u32) -> bool) -> u32 {
        while self.best.back().is_some_and(|(_, old)| !stays(*old, wanted)) {
            self.best.pop_back();
        }
        self.best.push_back((now, wanted));
        while self.best.len() > 1 && self.best[0].0 + self.window <= now {
            self.best.pop_front();
        }
        self.best[0].1
    }
}

#[cfg(test)]
mod tests;
