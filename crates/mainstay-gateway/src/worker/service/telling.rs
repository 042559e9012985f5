//! Everything that a worker tells its decisions, each in one line that a recording reads too.
//!
//! A method for each [`Step`]: it does what its name says, and where the worker is recorded it writes down that it was
//! done and what came of it. The [`Service`] is changed by no other way.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use mainstay_core::{CallId, EndpointId, Instant, Seed};
use mainstay_policy::recording::{Answer, Beginning, Step};
use mainstay_policy::{
    Admission, BreakerOrder, Call, CheckResult, EndpointChanges, EndpointSpec, Facts, Fault, FleetDelta, Input, KeyEnd,
    Order, PermitPool, Record, RetrySettings, Service, ServiceEvent, ServiceSettings, ServiceView, WholeAnswer,
};
use mainstay_telemetry::Names;

use super::ServiceCell;
use crate::recording::{Before, Tape};

/// The service.
impl ServiceCell {
    /// A service without endpoints.
    pub(crate) fn begin(
        name: Arc<str>,
        names: Arc<Names>,
        (settings, permits, seed): (&ServiceSettings, PermitPool, Seed),
        now: Instant,
        tape: Option<Rc<Tape>>,
    ) -> Self {
        let mut core = Service::new(settings, permits, seed, now);
        let tape = tape.map(|tape| {
            let number = tape.begin_service();
            let beginning = Beginning { name: Arc::clone(&name), seed, settings: settings.clone() };
            tape.saw_beside((now, number), &Step::Begin(Box::new(beginning)));
            core.note_permits();
            (tape, number)
        });
        let key = names.service(&name);
        let (endpoints, waiting) = (RefCell::default(), RefCell::default());
        Self { name, key, names, core: RefCell::new(core), tape, endpoints, waiting }
    }

    /// It has these settings from now on.
    pub(crate) fn configure(&self, now: Instant, settings: &ServiceSettings) {
        self.tell(now, || Step::Configure(Box::new(settings.clone())), |core| core.configure(now, settings));
    }

    pub(super) fn tell_endpoints(&self, now: Instant, specs: &[EndpointSpec]) -> EndpointChanges {
        self.tell(now, || Step::Update(specs.to_vec()), |core| core.update(now, specs))
    }

    /// An active check of an endpoint ended.
    pub(crate) fn check(&self, now: Instant, endpoint: EndpointId, result: CheckResult) {
        self.tell(now, || Step::Check { endpoint, result }, |core| core.check(now, endpoint, result));
    }

    /// An operator's word about an endpoint; false when there is none at `address`.
    pub(crate) fn order(&self, now: Instant, address: SocketAddr, order: Order) -> bool {
        let act = |core: &mut Service| core.order(now, address, order);
        self.tell_and_hear(now, || Step::Order { address, order }, act, |found| Answer::Is(*found))
    }

    /// An operator's word about the breaker.
    pub(crate) fn order_breaker(&self, now: Instant, order: BreakerOrder) {
        self.tell(now, || Step::OrderBreaker(order), |core| core.order_breaker(now, order));
    }

    /// It has this fault on purpose from now on, or none.
    pub(crate) fn order_fault(&self, now: Instant, fault: Option<Fault>) {
        self.tell(now, || Step::OrderFault(fault), |core| core.order_fault(fault));
    }

    /// Lets it look after itself.
    pub(crate) fn poke(&self, now: Instant) {
        self.tell(now, || Step::Poke, |core| core.poke(now));
    }

    /// What it looks like.
    pub(crate) fn view(&self, now: Instant) -> ServiceView {
        self.tell(now, || Step::View, |core| core.view(now))
    }

    /// What this worker has learned since it was asked last, for the others.
    pub(crate) fn share(&self, now: Instant) -> FleetDelta {
        let learned = |delta: &FleetDelta| {
            let tape = self.tape.as_ref();
            Answer::Learned(tape.map_or(0, |(tape, _)| tape.checksum(now, delta)))
        };
        self.tell_and_hear(now, || Step::Share, Service::take_delta, learned)
    }

    /// What another worker has learned.
    pub(crate) fn learn(&self, now: Instant, delta: &Arc<FleetDelta>) {
        self.tell(now, || Step::Learn(Arc::clone(delta)), |core| core.merge(now, delta));
    }

    /// The next change of state that nobody has been told of.
    pub(crate) fn next_event(&self) -> Option<ServiceEvent> {
        self.core.borrow_mut().poll_event()
    }

    pub(super) fn next_turn(&self, now: Instant) -> Option<Admission> {
        // Mostly nobody waits, and then nothing is asked.
        if self.core.borrow().waiting() == 0 {
            return None;
        }
        self.tell_and_hear(now, || Step::Turn, |core| core.poll_admitted(now), |turn| Answer::Turn(*turn))
    }

    pub(super) fn decline(&self, now: Instant, admission: Admission) {
        self.tell(now, || Step::Decline(admission), |core| core.decline(now, admission));
    }

    fn tell<T>(&self, now: Instant, step: impl FnOnce() -> Step, act: impl FnOnce(&mut Service) -> T) -> T {
        self.tell_and_hear(now, step, act, |_| Answer::Nothing)
    }

    fn tell_and_hear<T>(
        &self,
        now: Instant,
        step: impl FnOnce() -> Step,
        act: impl FnOnce(&mut Service) -> T,
        answer: impl FnOnce(&T) -> Answer,
    ) -> T {
        let core = &mut *self.core.borrow_mut();
        let result = act(core);
        if let Some((tape, number)) = self.recorded(core) {
            tape.saw((now, *number), core, &step(), answer(&result));
        }
        result
    }

    /// Who records, as long as somebody does.
    #[inline]
    fn recorded(&self, core: &mut Service) -> Option<&(Rc<Tape>, u32)> {
        let tape = self.tape.as_ref()?;
        if tape.0.has_ended() {
            core.note_permits_no_more();
            return None;
        }
        Some(tape)
    }
}

/// Calls to it.
impl ServiceCell {
    /// A call that has not begun.
    #[inline]
    pub(crate) fn call(&self, now: Instant, id: CallId, facts: Facts, mut record: Record) -> Call {
        // A call that ends before it begins would else be told with what another one decided.
        record.begin(now);
        self.tell_beside(|| now, || Step::Call { call: id, facts });
        Call::new(id, facts, record)
    }

    /// It has a rule for retries of its own.
    pub(crate) fn set_retry(&self, call: &mut Call, now: Instant, rule: &Arc<Option<RetrySettings>>) {
        self.tell_beside(|| now, || Step::Retry { call: call.id(), rule: Arc::clone(rule) });
        call.set_retry(Arc::clone(rule));
    }

    /// Something happened to `call`.
    #[inline]
    pub(crate) fn input(&self, call: &mut Call, now: Instant, input: Input) {
        self.tell_call(
            (now, call),
            |call| Step::Input { call, input },
            |call, core| call.handle_input(core, now, input),
            |()| Answer::Nothing,
        );
    }

    /// The deadline of `call` may have come.
    pub(crate) fn time(&self, call: &mut Call, now: Instant) {
        self.tell_call(
            (now, call),
            |call| Step::Time { call },
            |call, core| call.handle_timeout(core, now),
            |()| Answer::Nothing,
        );
    }

    /// Whether `call` goes on without its caller.
    pub(crate) fn goes_on(&self, call: &mut Call, now: Instant) -> bool {
        self.tell_call(
            (now, call),
            |call| Step::GoOn { call },
            |call, _| call.go_on_alone(now),
            |goes_on| Answer::Is(*goes_on),
        )
    }

    /// What becomes of the key of `call`.
    pub(crate) fn release_key(
        &self,
        call: &mut Call,
        now: Instant,
        answer: Option<WholeAnswer>,
        applied: bool,
    ) -> Option<KeyEnd> {
        self.tell_call(
            (now, call),
            |call| Step::ReleaseKey { call, answer, applied },
            |call, core| call.release_key(core, answer, applied),
            |end| Answer::Key(*end),
        )
    }

    /// What became of it.
    pub(crate) fn tell_key(&self, call: &mut Call, now: Instant, end: KeyEnd) {
        self.tell_call(
            (now, call),
            |call| Step::TellKey { call, end },
            |call, _| call.tell_key(now, end),
            |()| Answer::Nothing,
        );
    }

    /// `call` is about to be dropped: it gives back what it holds.
    pub(crate) fn gone(&self, call: &Call, now: impl FnOnce() -> Instant) {
        self.tell_beside(now, || Step::Gone { call: call.id() });
    }

    #[inline]
    fn tell_call<T>(
        &self,
        (now, call): (Instant, &mut Call),
        step: impl FnOnce(CallId) -> Step,
        act: impl FnOnce(&mut Call, &mut Service) -> T,
        answer: impl FnOnce(&T) -> Answer,
    ) -> T {
        let core = &mut *self.core.borrow_mut();
        let Some((tape, number)) = self.recorded(core) else { return act(call, core) };
        let before = Before::of(call);
        let result = act(call, core);
        tape.saw_call((now, *number), core, (before, call), &step(call.id()), answer(&result));
        result
    }

    /// What changes nothing for the service.
    #[inline]
    fn tell_beside(&self, now: impl FnOnce() -> Instant, step: impl FnOnce() -> Step) {
        if let Some((tape, number)) = &self.tape {
            tape.saw_beside((now(), *number), &step());
        }
    }
}
