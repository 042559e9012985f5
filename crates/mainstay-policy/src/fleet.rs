//! The fleet of endpoints of one service: who may be chosen, who is, and what is learned from it.
//!
//! In: lists of endpoints, asks, reports, checks, orders. Out: choices, events, views. The state of each endpoint is
//! decided in `availability`, the rule of choice stands in [`crate::balance`]; here they meet.
//!
//! Who may be chosen:
//!
//! - the usable primaries, as long as their share of all primaries is at least `panic`;
//! - with them the usable backups, when it is less;
//! - everybody, well or not, when the shares of the two groups together are less than `panic` too. A single backup for
//!   many primaries is a whole group of its own, so it takes over alone, as with other proxies. What an operator has
//!   taken out is never chosen and does not count.
//!
//! A call goes to no endpoint that it has tried while another has room or is only busy; when it has tried all that are
//! usable, it may go to one of them again, the last one last. (A service with one endpoint is retried there.)
//!
//! Among those who may be chosen, those of the own zone come first (`zones`), but for what a retry, a probe or a trial asks.
//!
//! The set of candidates is kept from one change of a state to the next, so a choice costs the same however many
//! endpoints there are. Nothing on the way of a call allocates. To gather the candidates costs a look at each endpoint, so
//! a large fleet whose endpoints come and go all the time does it once in some milliseconds; until then who is no longer
//! well is passed over, and who came back waits.
//!
//! Invariants: each place that [`Fleet::choose`] takes comes free with [`Fleet::finish`]; an endpoint has one probe under
//! way at the most; no more endpoints are passively ejected than `max_ejected` allows; news about an endpoint that has
//! left changes nothing.

mod choosing;
mod comparing;
mod exchange;
mod learned;
mod limping;
mod messages;
mod passed_over;
#[cfg(test)]
mod tests;
mod warming;
mod zones;

pub use exchange::FleetDelta;
pub use messages::{Ask, Choice, Crossing, EndpointView, FleetEvent, Limping, NoEndpoint, Report};
pub use passed_over::PassedOver;

use std::collections::VecDeque;
use std::net::SocketAddr;

use mainstay_core::{Certainty, Duration, EndpointId, Instant, Seed};

use crate::availability::{Availability, Failed, Suspicion};
use crate::balance::{Balancer, Candidates};
use crate::endpoints::{Endpoint, Endpoints};
use crate::latency::Quantile;
use crate::spread::Spread;
use crate::{
    Balance, CheckResult, EndpointChanges, EndpointSpec, EndpointState, Order, OutlierSettings, Percentile, Recovery,
    ServiceSettings,
};
use choosing::has_room;
use learned::{Census, Learned, view_of};
use zones::Zones;

/// Events kept for whoever polls; what does not fit is lost, and counted.
const EVENTS_MAX: usize = 256;

/// The endpoints of one service, as one worker knows them.
#[derive(Debug)]
pub struct Fleet {
    settings: ServiceSettings,
    seed: Seed,
    endpoints: Endpoints<Learned>,
    candidates: Candidates,
    balancer: Balancer,
    zones: Zones,
    median: Quantile,
    tail: Quantile,
    spread: Spread,
    census: Census,
    /// An endpoint's state has changed since the candidates were gathered.
    is_stale: bool,
    /// When time next changes a state.
    next_transition: Instant,
    /// Until then a large fleet does not look at all of its endpoints again.
    rests_until: Instant,
    /// When success rates are compared next.
    next_comparison: Instant,
    /// Slots that wait for a probe. An entry may be out of date.
    probes: VecDeque<u32>,
    /// Slots of candidates that do not keep pace and are left alone for that.
    limping: Vec<u32>,
    /// Slots of candidates that are new or back, while the others carry the load.
    warming: Vec<u32>,
    /// Attempts under way at all endpoints, here and elsewhere.
    in_flight: u32,
    calls_since_trial: u64,
    /// Slots with news for other workers.
    touched: Vec<u32>,
    events: VecDeque<FleetEvent>,
    events_lost: u64,
}

impl Fleet {
    /// No endpoints yet.
    #[must_use]
    pub fn new(settings: &ServiceSettings, seed: Seed) -> Self {
        Self {
            settings: settings.clone(),
            seed,
            endpoints: Endpoints::new(),
            candidates: Candidates::default(),
            balancer: Balancer::new(settings.balance),
            zones: Zones::default(),
            median: Quantile::median(),
            tail: Quantile::tail(),
            spread: Spread::default(),
            census: Census::default(),
            is_stale: false,
            next_transition: Instant::FAR_FUTURE,
            rests_until: Instant::ORIGIN,
            next_comparison: Instant::ORIGIN,
            probes: VecDeque::new(),
            limping: Vec::new(),
            warming: Vec::new(),
            in_flight: 0,
            calls_since_trial: 0,
            touched: Vec::new(),
            events: VecDeque::with_capacity(EVENTS_MAX),
            events_lost: 0,
        }
    }

    /// Takes on other settings. What was learned stays, except what the new settings no longer watch.
    pub fn configure(&mut self, now: Instant, settings: &ServiceSettings) {
        self.settings = settings.clone();
        for slot in 0..self.endpoints.slots() as u32 {
            self.change(now, slot, Some(Recovery::Configuration), |availability, settings| {
                availability.configure(now, settings.health.is_some(), settings.outlier.as_ref());
            });
        }
        if settings.balance != Balance::Adaptive {
            self.endpoints.iter_mut().for_each(|endpoint| endpoint.learned.pace.forget());
        }
        if self.balancer.rule() != settings.balance {
            self.balancer = Balancer::new(settings.balance);
            self.deal_keys();
        }
        self.number_zones();
        self.gather_at_once();
    }

    /// Makes `specs` the endpoints; the first of several with one address counts. What was learned of those that stay,
    /// stays. The same lists in the same order give the same ids.
    pub fn update(&mut self, now: Instant, specs: &[EndpointSpec]) -> EndpointChanges {
        let outlier = self.settings.outlier.as_ref();
        let changes = self.endpoints.update(specs, || Learned::new(now, outlier));
        if !changes.is_empty() {
            self.make_room();
            self.count_anew();
            self.deal_keys();
            self.number_zones();
            self.gather_at_once();
        }
        if changes.added.len() < self.endpoints.len() {
            changes.added.iter().for_each(|id| self.begin_to_warm(now, id.slot));
        }
        changes
    }

    /// Room for every slot, so that nothing on a call's way allocates.
    fn make_room(&mut self) {
        let slots = self.endpoints.slots();
        self.candidates.reserve(slots);
        self.limping.reserve(slots.saturating_sub(self.limping.len()));
        self.warming.reserve(slots.saturating_sub(self.warming.len()));
        self.probes.reserve(slots.saturating_sub(self.probes.len()));
        self.touched.reserve(slots.saturating_sub(self.touched.len()));
    }

    /// Counts and lists only those that are still there.
    fn count_anew(&mut self) {
        self.census = Census { panic: self.census.panic, ..Census::default() };
        self.probes.clear();
        self.touched.clear();
        self.in_flight = 0;
        for endpoint in self.endpoints.iter_mut() {
            if endpoint.learned.news.is_listed {
                self.touched.push(endpoint.id.slot);
            }
            self.in_flight = self.in_flight.saturating_add(endpoint.learned.load.total());
            let availability = &endpoint.learned.availability;
            self.census.add(availability.standing());
            endpoint.learned.is_queued = availability.wants_probe();
            if endpoint.learned.is_queued {
                self.probes.push_back(endpoint.id.slot);
            }
        }
    }

    fn deal_keys(&mut self) {
        let all = (0..self.endpoints.slots() as u32).filter_map(|slot| self.endpoints.at(slot));
        self.balancer.build(all.map(|e| (&e.spec.address, e.spec.weight, e.id.slot)));
    }
}

/// Learning.
impl Fleet {
    /// What an attempt says of its endpoint: once per choice, or never.
    pub fn report(&mut self, now: Instant, choice: Choice, report: Report) {
        let (slot, scale, rule) = (choice.endpoint.slot, self.scale(), self.settings.balance);
        let slow_from = self.slow_from();
        let Some(endpoint) = self.endpoints.get_mut(choice.endpoint) else { return };
        endpoint.learned.count(now, report, rule, &scale);
        let verdict = endpoint.learned.keep_pace(now, report, slow_from);
        // Changes no state, and is what nearly always comes.
        let is_routine = matches!(report, Report::Good { .. }) && !choice.probe;
        if is_routine {
            endpoint.learned.availability.good(now, false);
        }
        match report {
            Report::Good { latency } => {
                self.median.observe(latency);
                self.tail.observe(latency);
                self.spread.observe(now, latency);
            }
            // As long as the quantile or longer: which is all that a quantile asks.
            Report::Outpaced { waited } => self.spread.observe_at_least(now, waited),
            Report::Failed { .. } | Report::Silent { .. } | Report::Nothing => {}
        }
        self.follow(now, slot, verdict);
        if !is_routine {
            self.weigh(now, choice, report);
        }
        self.touch(slot);
    }

    /// What a report means for the state of its endpoint.
    fn weigh(&mut self, now: Instant, choice: Choice, report: Report) {
        let slot = choice.endpoint.slot;
        let suspicion = self.change(now, slot, Some(Recovery::Probe), |availability, settings| {
            if choice.probe {
                availability.probe_reported();
            }
            match report {
                Report::Good { .. } => {
                    availability.good(now, choice.probe);
                    None
                }
                Report::Failed { failure, certainty, latency } => {
                    let not_sent = certainty == Certainty::NotSent;
                    let failed = Failed { probe: choice.probe, failure, not_sent, began: now - latency };
                    availability.failed(now, failed, settings.outlier.as_ref())
                }
                Report::Outpaced { .. } | Report::Silent { .. } | Report::Nothing => None,
            }
        });
        self.act_on(now, slot, suspicion.flatten());
        if choice.probe {
            self.queue_probe(slot);
        }
    }

    /// Gives the place of an attempt back: once per choice. When the answer was reported good and then broke off after
    /// its head by the endpoint's fault, `clean` is false, and the attempt counts as a failure after all.
    pub fn finish(&mut self, now: Instant, choice: Choice, clean: bool) {
        let slot = choice.endpoint.slot;
        let Some(endpoint) = self.endpoints.get_mut(choice.endpoint) else { return };
        endpoint.learned.finish(now, clean);
        self.in_flight = self.in_flight.saturating_sub(1);
        if clean && !choice.probe {
            // Changes no state, as above.
            let _ = endpoint.learned.availability.finished(now, true, self.settings.outlier.as_ref());
            return self.touch(slot);
        }
        let suspicion = self.change(now, slot, None, |availability, settings| {
            if choice.probe {
                availability.probe_finished();
            }
            availability.finished(now, clean, settings.outlier.as_ref())
        });
        self.act_on(now, slot, suspicion.flatten());
        if choice.probe {
            self.queue_probe(slot);
        }
        self.touch(slot);
    }

    /// An active check of an endpoint ended. Means nothing while no checks are configured.
    pub fn check(&mut self, now: Instant, endpoint: EndpointId, result: CheckResult) {
        let Some(checked) = self.endpoints.get_mut(endpoint).filter(|_| self.settings.health.is_some()) else { return };
        checked.learned.last_check = Some((now, result));
        let address = checked.spec.address;
        let is_news = self.change(now, endpoint.slot, Some(Recovery::Check), |availability, settings| {
            if let Some(health) = &settings.health {
                availability.checked(now, result, health);
            }
            availability.is_first_of_its_kind()
        });
        if is_news == Some(true) {
            self.tell(match result {
                CheckResult::Pass => FleetEvent::CheckPassed { endpoint, address },
                CheckResult::Fail(failure) => FleetEvent::CheckFailed { endpoint, address, failure },
            });
        }
    }

    /// An operator's word about an endpoint.
    pub fn order(&mut self, now: Instant, endpoint: EndpointId, order: Order) {
        if self.endpoints.get(endpoint).is_some() {
            self.change(now, endpoint.slot, Some(Recovery::Operator), |availability, _| {
                availability.ordered(now, order);
            });
        }
    }

    /// The whole service was out and is back: who was ejected meanwhile is tried again at once, by one call at a time as
    /// ever. Each worker finds that out for itself.
    pub(crate) fn outage_is_over(&mut self, now: Instant) {
        for slot in 0..self.endpoints.slots() as u32 {
            self.change(now, slot, Some(Recovery::Exchange), |availability, _| availability.reconsider(now));
        }
    }

    /// Ejects for a passive cause, if so many may be.
    fn act_on(&mut self, now: Instant, slot: u32, suspicion: Option<Suspicion>) {
        let Some(suspicion) = suspicion else { return };
        if self.may_eject() {
            self.change(now, slot, None, |availability, settings| {
                if let Some(outlier) = &settings.outlier {
                    availability.eject(now, suspicion, outlier);
                }
            });
        }
    }

    /// Whether one endpoint more may be ejected for a passive cause.
    fn may_eject(&self) -> bool {
        let Some(OutlierSettings { max_ejected, .. }) = &self.settings.outlier else { return false };
        // A share such as 29 % of 100 must give 29 although its product is a little less.
        let most = (max_ejected.get() * self.endpoints.len() as f64 + 1e-9) as u32;
        let is_another_left = self.census.ready >= 2;
        self.census.passively_out < most || (self.census.passively_out == 0 && is_another_left)
    }

    /// Lets `act` change an endpoint's state, and draws every consequence of the change. `by` is how it came back, for an
    /// act that may bring it back.
    fn change<R>(
        &mut self,
        now: Instant,
        slot: u32,
        by: Option<Recovery>,
        act: impl FnOnce(&mut Availability, &ServiceSettings) -> R,
    ) -> Option<R> {
        let endpoint = self.endpoints.at_mut(slot)?;
        let availability = &mut endpoint.learned.availability;
        let before = availability.standing();
        let result = act(availability, &self.settings);
        self.next_transition = self.next_transition.min(availability.due());
        let after = availability.standing();
        if after != before {
            self.census.remove(before);
            self.census.add(after);
            self.is_stale = true;
            endpoint.learned.note_change(before.ejection, by);
            self.touch(slot);
        }
        if after.state != before.state {
            self.entered(slot, by);
        }
        if after.state != before.state && after.state == EndpointState::Ready && by != Some(Recovery::Configuration) {
            self.begin_to_warm(now, slot);
        }
        Some(result)
    }

    /// An endpoint has entered another state.
    fn entered(&mut self, slot: u32, by: Option<Recovery>) {
        let Some(Endpoint { id, spec, learned }) = self.endpoints.at_mut(slot) else { return };
        let (endpoint, address, availability) = (*id, spec.address, &learned.availability);
        let event = match (availability.state(), availability.cause()) {
            (EndpointState::Ejected, Some(cause)) => {
                learned.ejections += 1;
                Some(FleetEvent::Ejected { endpoint, address, cause, until: availability.until() })
            }
            (EndpointState::Ejected, None) => None,
            (EndpointState::Probing, _) => Some(FleetEvent::Probing { endpoint, address }),
            (EndpointState::Draining, _) => Some(FleetEvent::Draining { endpoint, address }),
            (EndpointState::Ready, _) => by.map(|by| FleetEvent::Restored { endpoint, address, by }),
        };
        // What another worker has learned it tells itself.
        if let Some(event) = event.filter(|_| by != Some(Recovery::Exchange)) {
            self.tell(event);
        }
        self.queue_probe(slot);
    }

    fn touch(&mut self, slot: u32) {
        if let Some(endpoint) = self.endpoints.at_mut(slot)
            && !endpoint.learned.news.is_listed
        {
            endpoint.learned.news.is_listed = true;
            self.touched.push(slot);
        }
    }
}

/// Telling.
impl Fleet {
    /// The next event that nobody has been told of, the oldest first.
    pub fn poll_event(&mut self) -> Option<FleetEvent> {
        self.events.pop_front()
    }

    /// Events that were lost because nobody polled.
    #[must_use]
    pub fn events_lost(&self) -> u64 {
        self.events_lost
    }

    /// Where an endpoint listens; `None` when it has left.
    #[must_use]
    pub fn address(&self, endpoint: EndpointId) -> Option<SocketAddr> {
        self.endpoints.get(endpoint).map(|endpoint| endpoint.spec.address)
    }

    /// The endpoint that listens there.
    #[must_use]
    pub fn find(&self, address: SocketAddr) -> Option<EndpointId> {
        self.endpoints.find(address)
    }

    /// All endpoints in the order of their slots.
    #[must_use]
    pub fn view(&self, now: Instant) -> Vec<EndpointView> {
        // Where too few are warm, those that are not have their whole share.
        let (scale, slow_start) = (self.scale(), self.settings.slow_start.filter(|_| !self.warming.is_empty()));
        let view = |endpoint| view_of(endpoint, now, &scale, slow_start, self.zone_keeps(endpoint));
        self.endpoints.iter().map(view).collect()
    }

    /// The median time to the head of a good answer over all endpoints, within a few per cent.
    #[must_use]
    pub fn median_latency(&self) -> Option<Duration> {
        self.median.get()
    }

    /// How long an attempt at any endpoint takes at the most to the head of a good answer, but for the slowest. `None`
    /// until that is learned, which begins when it is asked for the first time.
    pub fn percentile(&mut self, percentile: Percentile) -> Option<Duration> {
        self.spread.get(percentile)
    }

    fn tell(&mut self, event: FleetEvent) {
        if self.events.len() < EVENTS_MAX {
            self.events.push_back(event);
        } else {
            self.events_lost += 1;
        }
    }
}
