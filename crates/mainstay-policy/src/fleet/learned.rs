//! What a fleet keeps about each endpoint, and the sums over all of them.

use mainstay_core::{Certainty, Duration, Failure, Instant};

use super::exchange::Pending;
use super::warming;
use super::{EndpointView, Limping, Report};
use crate::availability::{Availability, Standing};
use crate::endpoints::Endpoint;
use crate::latency::{Latency, Load, Scale, nanos};
use crate::pace::{Pace, Verdict};
use crate::{Balance, CheckResult, EndpointState, OutlierSettings};

/// For so long after a failure an endpoint is one where calls may be lost.
const RISKY_FOR: Duration = Duration::from_secs(10);

/// What a call that cannot be repeated pays there, as many times as another: as many medians as a failure costs.
const RISK: f64 = 10.0;

/// What is learned of one endpoint.
#[derive(Debug)]
pub(super) struct Learned {
    pub(super) availability: Availability,
    pub(super) latency: Latency,
    pub(super) load: Load,
    pub(super) pace: Pace,
    /// The number of its zone, where zones are looked at.
    pub(super) zone: u32,
    /// Since when its share grows, if it is new or back.
    pub(super) warm_since: Option<Instant>,
    pub(super) successes: u64,
    pub(super) failures: u64,
    pub(super) ejections: u64,
    pub(super) last_check: Option<(Instant, CheckResult)>,
    /// When an attempt last failed that had, or may have, reached it. An ejection's end does not take it back.
    pub(super) lost: Option<Instant>,
    /// It stands in [`super::Fleet::probes`].
    pub(super) is_queued: bool,
    pub(super) news: Pending,
}

/// How many endpoints are how.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Census {
    pub(super) ready: u32,
    pub(super) probing: u32,
    pub(super) passively_out: u32,
    pub(super) ordered_out: u32,
    /// Health and ejection are ignored.
    pub(super) panic: bool,
}

impl Learned {
    pub(super) fn new(now: Instant, outlier: Option<&OutlierSettings>) -> Self {
        Self {
            availability: Availability::new(now, outlier),
            latency: Latency::default(),
            load: Load::default(),
            pace: Pace::default(),
            zone: 0,
            warm_since: None,
            successes: 0,
            failures: 0,
            ejections: 0,
            last_check: None,
            lost: None,
            is_queued: false,
            news: Pending::default(),
        }
    }

    pub(super) fn cost(&self, now: Instant, rule: Balance, lightness: f64, scale: &Scale) -> f64 {
        let load = f64::from(self.load.total()) * lightness;
        let latency = || self.latency.predicted(now, scale);
        match rule {
            Balance::PeakEwma => latency() * (load + 1.0),
            Balance::Adaptive => self.length(now, scale) * (load + 1.0),
            _ => load,
        }
    }

    /// As [`Self::cost`], for a call that cannot be repeated if it is lost: where one was lost lately it pays more under
    /// the rule that prices failures. A failure's own price fades within seconds, and a probe that went well takes it
    /// back; the call that can be repeated finds out for the others.
    pub(super) fn cost_of_risk(&self, now: Instant, rule: Balance, lightness: f64, scale: &Scale) -> f64 {
        let is_risky = rule == Balance::Adaptive && self.lost.is_some_and(|lost| now.since(lost) < RISKY_FOR);
        self.cost(now, rule, lightness, scale) * if is_risky { RISK } else { 1.0 }
    }

    fn lose(&mut self, now: Instant) {
        self.lost = Some(now);
        self.news.lost = Some(now);
    }

    /// What the adaptive rule expects an attempt to take, in nanoseconds.
    pub(super) fn length(&self, now: Instant, scale: &Scale) -> f64 {
        let predicted = self.load.at_least_silence(now, self.latency.predicted(now, scale), scale);
        // What was slow does not grow quicker by being left alone.
        self.pace.limp().map_or(predicted, |limp| predicted.max(limp.own))
    }

    pub(super) fn count(&mut self, now: Instant, report: Report, rule: Balance, scale: &Scale) {
        match report {
            Report::Good { latency } => {
                self.load.reported(now, true);
                self.successes += 1;
                self.latency.observe(now, latency, scale);
                self.news.good(latency);
            }
            Report::Failed { failure, latency, certainty } => {
                if certainty != Certainty::NotSent {
                    self.lose(now);
                }
                self.load.reported(now, !matches!(failure, Failure::Timeout | Failure::ConnectTimeout));
                self.failures += 1;
                self.news.failed();
                if rule == Balance::Adaptive {
                    self.latency.penalise(now, scale);
                } else if latency.as_nanos() as f64 > self.latency.predicted(now, scale) {
                    // A quick failure must not look like a quick answer, but a timeout is as slow as it says.
                    self.latency.observe(now, latency, scale);
                }
            }
            Report::Outpaced { waited } => {
                self.load.outpaced(now, waited);
                self.latency.observe_at_least(now, waited.max(self.load.unanswered().min(scale.most())), scale);
                self.news.outpaced(waited);
            }
            Report::Silent { .. } | Report::Nothing => self.load.reported(now, false),
        }
    }

    /// What a report says of the endpoint's pace. A timeout and a wait that somebody gave up tell how long it takes at
    /// the least; another failure tells nothing of how long an answer takes.
    pub(super) fn keep_pace(&mut self, now: Instant, report: Report, slow_from: Option<f64>) -> Verdict {
        let slow = slow_from.unwrap_or(f64::INFINITY);
        let length = match report {
            Report::Good { latency } | Report::Failed { failure: Failure::Timeout, latency, .. } => latency,
            Report::Outpaced { waited } | Report::Silent { waited } if waited.as_nanos() as f64 > slow => waited,
            _ => return Verdict::AsBefore,
        };
        let length = length.as_nanos() as f64;
        self.news.paced(length > slow);
        self.pace.observe(now, length, slow_from)
    }

    pub(super) fn finish(&mut self, now: Instant, clean: bool) {
        self.load.finish();
        self.news.in_flight -= 1;
        if !clean {
            self.successes = self.successes.saturating_sub(1);
            self.failures += 1;
            self.news.broke_off();
            self.lose(now);
        }
    }
}

impl Census {
    pub(super) fn add(&mut self, standing: Standing) {
        self.shift(standing, 1);
    }

    pub(super) fn remove(&mut self, standing: Standing) {
        self.shift(standing, -1);
    }

    fn shift(&mut self, standing: Standing, by: i32) {
        let shift = |count: &mut u32, applies: bool| *count = count.saturating_add_signed(if applies { by } else { 0 });
        shift(&mut self.ready, standing.state == EndpointState::Ready);
        shift(&mut self.probing, standing.state == EndpointState::Probing);
        shift(&mut self.passively_out, standing.ejection.is_some());
        shift(&mut self.ordered_out, standing.is_ordered_out);
    }
}

pub(super) fn view_of(
    endpoint: &Endpoint<Learned>,
    now: Instant,
    scale: &Scale,
    slow_start: Option<Duration>,
    zone_keeps: Option<u8>,
) -> EndpointView {
    let Endpoint { id, spec, learned } = endpoint;
    // A state that time has ended already is shown ended, though no call has come to notice.
    let mut availability = learned.availability.clone();
    availability.handle_time(now);
    let predicted = Duration::from_nanos(learned.latency.predicted(now, scale) as u64);
    EndpointView {
        id: *id,
        address: spec.address,
        weight: spec.weight,
        zone: spec.zone.clone(),
        backup: spec.backup,
        state: availability.state(),
        cause: availability.cause(),
        until: availability.until(),
        in_flight: learned.load.in_flight(),
        latency: learned.latency.is_known().then_some(predicted),
        warming: warming::share(learned, now, slow_start),
        limping: learned.pace.limp().map(|limp| Limping {
            latency: nanos(limp.own),
            others: nanos(limp.others),
            tried_at: limp.due,
        }),
        zone_keeps,
        successes: learned.successes,
        failures: learned.failures,
        ejections: learned.ejections,
        last_check: learned.last_check,
    }
}
