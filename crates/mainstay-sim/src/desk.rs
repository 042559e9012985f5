//! One service on one worker, and the only place where the simulator tells it or a call of it anything.
//!
//! Two tell: the world, what happens in it (`world`), and a recording, what happened to a gateway ([`crate::replay`]). The
//! gateway has such a place too, and each step is named as there; so a step that only one of them had would be a decision
//! that only one of them makes.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use mainstay_core::{CallId, EndpointId, Instant, Seed};
use mainstay_policy::{
    Admission, BreakerOrder, Call, CheckResult, EndpointChanges, EndpointSpec, Facts, Fault, FleetDelta, Heard, Input,
    KeyEnd, Order, PermitPool, Record, RetrySettings, Service, ServiceEvent, ServiceSettings, ServiceView, WholeAnswer,
};

/// A service. It can be looked at as such, and is changed by what stands here alone.
#[derive(Debug)]
pub(crate) struct Desk(Service);

impl Deref for Desk {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.0
    }
}

/// The service.
impl Desk {
    pub(crate) fn begin(settings: &ServiceSettings, permits: PermitPool, seed: Seed, now: Instant) -> Self {
        Self(Service::new(settings, permits, seed, now))
    }

    pub(crate) fn configure(&mut self, now: Instant, settings: &ServiceSettings) {
        self.0.configure(now, settings);
    }

    pub(crate) fn update(&mut self, now: Instant, endpoints: &[EndpointSpec]) -> EndpointChanges {
        self.0.update(now, endpoints)
    }

    pub(crate) fn check(&mut self, now: Instant, endpoint: EndpointId, result: CheckResult) {
        self.0.check(now, endpoint, result);
    }

    pub(crate) fn order(&mut self, now: Instant, address: SocketAddr, order: Order) -> bool {
        self.0.order(now, address, order)
    }

    pub(crate) fn order_breaker(&mut self, now: Instant, order: BreakerOrder) {
        self.0.order_breaker(now, order);
    }

    pub(crate) fn order_fault(&mut self, fault: Option<Fault>) {
        self.0.order_fault(fault);
    }

    pub(crate) fn poke(&mut self, now: Instant) {
        self.0.poke(now);
    }

    pub(crate) fn view(&mut self, now: Instant) -> ServiceView {
        self.0.view(now)
    }

    pub(crate) fn share(&mut self) -> FleetDelta {
        self.0.take_delta()
    }

    pub(crate) fn learn(&mut self, now: Instant, delta: &FleetDelta) {
        self.0.merge(now, delta);
    }

    pub(crate) fn next_event(&mut self) -> Option<ServiceEvent> {
        self.0.poll_event()
    }

    pub(crate) fn next_turn(&mut self, now: Instant) -> Option<Admission> {
        self.0.poll_admitted(now)
    }

    pub(crate) fn decline(&mut self, now: Instant, admission: Admission) {
        self.0.decline(now, admission);
    }

    /// From now on the shared permits answer what they answered then.
    pub(crate) fn hear_again(&mut self) {
        self.0.hear_permits_again();
    }

    pub(crate) fn give_again(&mut self, answers: &[Heard]) {
        self.0.give_again(answers);
    }
}

/// Calls to it.
impl Desk {
    pub(crate) fn call(id: CallId, facts: Facts, record: Record) -> Call {
        Call::new(id, facts, record)
    }

    pub(crate) fn set_retry(call: &mut Call, rule: Arc<Option<RetrySettings>>) {
        call.set_retry(rule);
    }

    pub(crate) fn input(&mut self, call: &mut Call, now: Instant, input: Input) {
        call.handle_input(&mut self.0, now, input);
    }

    pub(crate) fn time(&mut self, call: &mut Call, now: Instant) {
        call.handle_timeout(&mut self.0, now);
    }

    pub(crate) fn goes_on(call: &mut Call, now: Instant) -> bool {
        call.go_on_alone(now)
    }

    pub(crate) fn release_key(&self, call: &mut Call, answer: Option<WholeAnswer>, applied: bool) -> Option<KeyEnd> {
        call.release_key(&self.0, answer, applied)
    }

    pub(crate) fn tell_key(call: &mut Call, now: Instant, end: KeyEnd) {
        call.tell_key(now, end);
    }
}
