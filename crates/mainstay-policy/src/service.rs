//! All that is known about one service, with one owner.
//!
//! A service is its fleet of endpoints, its breaker, its retry budget and its bulkhead, made from one configuration.
//! Each worker thread of a driver has its own and changes it through `&mut`; there is no lock on the path of a call.
//! What several workers learn is exchanged by [`Service::take_delta`] and [`Service::merge`] every few milliseconds.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mainstay_core::{CallId, Duration, EndpointId, Instant, Purpose, Seed, below};

use crate::{
    Admission, Breaker, BreakerEvent, BreakerOrder, BreakerPermit, Budget, Bulkhead, CallOutcome, CheckResult, Choice,
    EndpointChanges, EndpointSpec, Fault, Fleet, FleetDelta, FleetEvent, HEDGES_MAX, Heard, Order, PermitPool, Report,
    ServiceSettings, ServiceView, Turn,
};

/// The longest that the refused are asked to stay away, in seconds, before it is drawn.
const RETRY_AFTER_MAX: u64 = 30;

/// One service, as one worker sees it.
#[derive(Debug)]
pub struct Service {
    settings: ServiceSettings,
    seed: Seed,
    pub(crate) fault: Option<Fault>,
    pub(crate) fleet: Fleet,
    pub(crate) breaker: Breaker,
    pub(crate) budget: Budget,
    pub(crate) bulkhead: Bulkhead,
    lost: Arc<LostAndFound>,
}

/// Something that an operator wants to know of.
#[derive(Debug, Clone, PartialEq)]
pub enum ServiceEvent {
    /// An endpoint changed its state.
    Fleet(FleetEvent),
    /// The breaker changed its state.
    Breaker(BreakerEvent),
}

impl Service {
    /// A service without endpoints. `permits` is shared by the workers of one node.
    #[must_use]
    pub fn new(settings: &ServiceSettings, permits: PermitPool, seed: Seed, now: Instant) -> Self {
        Self {
            fleet: Fleet::new(settings, seed.derive("fleet")),
            breaker: Breaker::new(settings.breaker.as_ref()),
            budget: Budget::new(settings.retry.as_ref().and_then(|retry| retry.budget.as_ref()), now),
            bulkhead: Bulkhead::new(&settings.bulkhead, permits),
            settings: settings.clone(),
            fault: None,
            seed: seed.derive("call"),
            lost: Arc::default(),
        }
    }

    /// Takes on other settings. What was learned stays.
    pub fn configure(&mut self, now: Instant, settings: &ServiceSettings) {
        self.fleet.configure(now, settings);
        self.breaker.configure(now, settings.breaker.as_ref());
        self.budget.configure(now, settings.retry.as_ref().and_then(|retry| retry.budget.as_ref()));
        self.bulkhead.configure(now, &settings.bulkhead);
        self.settings = settings.clone();
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &ServiceSettings {
        &self.settings
    }

    /// Takes on another set of endpoints. What was learned of those that stay, stays.
    pub fn update(&mut self, now: Instant, endpoints: &[EndpointSpec]) -> EndpointChanges {
        self.fleet.update(now, endpoints)
    }

    /// The result of an active check.
    pub fn check(&mut self, now: Instant, endpoint: EndpointId, result: CheckResult) {
        self.fleet.check(now, endpoint, result);
        if result == CheckResult::Pass {
            self.breaker.check_passed(now);
        }
    }

    /// An operator's word about one endpoint; false when there is none at `address`.
    pub fn order(&mut self, now: Instant, address: SocketAddr, order: Order) -> bool {
        let endpoint = self.fleet.find(address);
        if let Some(endpoint) = endpoint {
            self.fleet.order(now, endpoint, order);
        }
        endpoint.is_some()
    }

    /// An operator's word about the breaker.
    pub fn order_breaker(&mut self, now: Instant, order: BreakerOrder) {
        self.breaker.order(now, order);
    }

    /// Lets the service have a fault on purpose, in place of the one that it may have had; `None` ends it.
    pub fn order_fault(&mut self, fault: Option<Fault>) {
        self.fault = fault;
    }

    /// The next call whose wait in the queue is over, and how: hand it to the call as
    /// [`crate::Input::Admitted`]. Poll it after every input to any call of the service, and after [`Service::poke`].
    #[must_use]
    pub fn poll_admitted(&mut self, now: Instant) -> Option<Admission> {
        if self.bulkhead.is_idle() {
            return None;
        }
        let served = self.served();
        self.bulkhead.poll_admitted(now, served)
    }

    /// Gives back the permit of an [`Admission`] whose call has vanished in the meantime.
    pub fn decline(&mut self, now: Instant, admission: Admission) {
        if admission.turn == Turn::Granted {
            self.bulkhead.release(now);
        }
    }

    /// Looks whether permits came free on other workers, lets the limit follow what attempts measured, and compares the
    /// endpoints' success rates. To be called every few milliseconds while calls wait, and ten times a second else.
    pub fn poke(&mut self, now: Instant) {
        self.recover_lost(now);
        self.bulkhead.poke(now);
        self.fleet.compare(now);
    }

    /// Whether [`Service::poll_admitted`] may name a call.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        !self.bulkhead.is_idle()
    }

    /// Calls that wait for a permit.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.bulkhead.waiting()
    }

    /// The next change of state that nobody has been told of.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<ServiceEvent> {
        let fleet = self.fleet.poll_event().map(ServiceEvent::Fleet);
        fleet.or_else(|| self.breaker.poll_event().map(ServiceEvent::Breaker))
    }

    /// Where an endpoint is; `None` when it has left.
    #[must_use]
    pub fn address(&self, endpoint: EndpointId) -> Option<SocketAddr> {
        self.fleet.address(endpoint)
    }

    /// What this worker has learned since it was asked last, for the others.
    #[must_use]
    pub fn take_delta(&mut self) -> FleetDelta {
        self.fleet.take_delta()
    }

    /// What another worker has learned.
    pub fn merge(&mut self, now: Instant, delta: &FleetDelta) {
        self.fleet.merge(now, delta);
    }

    /// What it looks like now.
    #[must_use]
    pub fn view(&mut self, now: Instant) -> ServiceView {
        self.recover_lost(now);
        ServiceView {
            endpoints: self.fleet.view(now),
            breaker: self.breaker.state(now),
            budget: self.settings.retry.as_ref().and_then(|retry| retry.budget).map(|_| self.budget.tokens(now)),
            waiting: self.bulkhead.waiting(),
            in_use: self.bulkhead.in_use(),
            limit: self.bulkhead.limit(),
            ceiling: self.bulkhead.ceiling(),
            fault: self.fault.filter(|fault| now < fault.until),
        }
    }

    /// From now on every answer of the permits that are shared with other workers is noted, for a recording.
    pub fn note_permits(&mut self) {
        self.bulkhead.note_permits();
    }

    /// Nothing of them is noted any more.
    pub fn note_permits_no_more(&mut self) {
        self.bulkhead.note_permits_no_more();
    }

    /// Moves the answers that were noted since the last time to `into`.
    pub fn take_noted(&self, into: &mut Vec<Heard>) {
        self.bulkhead.hearing().take_noted(into);
    }

    /// From now on the shared permits are not asked: [`Service::give_again`] says what they answered.
    pub fn hear_permits_again(&mut self) {
        self.bulkhead.hear_permits_again();
    }

    /// Has these answers given to what the shared permits are asked next, for a replay.
    pub fn give_again(&mut self, answers: &[Heard]) {
        self.bulkhead.hearing().give_again(answers);
    }

    /// Whether exactly that was asked since [`Service::give_again`] what was answered there.
    #[must_use]
    pub fn was_asked_the_same(&self) -> bool {
        self.bulkhead.hearing().was_asked_the_same()
    }

    /// How long an answer usually takes, as far as that is known.
    pub(crate) fn served(&self) -> Duration {
        self.fleet.median_latency().unwrap_or_default()
    }

    /// When a call that we refuse is to come again: not before those that wait are served, and in whole seconds, because
    /// that is what can be told. Drawn for each call from once to twice that, so that they do not all come together.
    pub(crate) fn retry_after(&self, call: CallId) -> Duration {
        let seconds = self.bulkhead.drains_in().as_secs_ceil().clamp(1, RETRY_AFTER_MAX);
        let more = below(self.seed.draw(call.0, 0, Purpose::RetryAfter), seconds + 1);
        Duration::from_secs(seconds + more)
    }

    /// Where the luck of its calls comes from.
    pub(crate) fn seed(&self) -> Seed {
        self.seed
    }

    pub(crate) fn lost_and_found(&self) -> Arc<LostAndFound> {
        Arc::clone(&self.lost)
    }

    /// Takes back what calls held that were dropped on the way. Their outcome is unknown, so nobody learns one.
    #[inline]
    pub(crate) fn recover_lost(&mut self, now: Instant) {
        if self.lost.any.load(Ordering::Relaxed) {
            self.take_back(now);
        }
    }

    fn take_back(&mut self, now: Instant) {
        for held in self.lost.take() {
            if let Some(permit) = held.breaker {
                self.breaker.record(now, permit, CallOutcome::Nothing, Duration::ZERO);
            }
            for choice in held.attempts.into_iter().flatten() {
                self.fleet.report(now, choice, Report::Nothing);
                self.fleet.finish(now, choice, true);
                self.bulkhead.release(now);
            }
            if let Some(call) = held.queued {
                self.bulkhead.leave(call);
            }
        }
    }
}

/// What a dropped call held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) breaker: Option<BreakerPermit>,
    pub(crate) attempts: [Option<Choice>; 1 + HEDGES_MAX as usize],
    pub(crate) queued: Option<CallId>,
}

/// Where dropped calls leave what they held, for the service to take back at its next input.
///
/// The lock is touched only by a call that is dropped before its end, and by the service when that has happened; every
/// other call pays for one relaxed load. It holds no more than there are calls.
#[derive(Debug, Default)]
pub(crate) struct LostAndFound {
    any: AtomicBool,
    held: Mutex<Vec<Held>>,
}

impl LostAndFound {
    pub(crate) fn leave(&self, held: Held) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(held);
        self.any.store(true, Ordering::Release);
    }

    fn take(&self) -> Vec<Held> {
        self.any.store(false, Ordering::Release);
        std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
