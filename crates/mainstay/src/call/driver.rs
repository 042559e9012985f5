//! The steps of a call, each under the lock of its shard.

use std::borrow::Borrow;
use std::marker::PhantomData;
use std::sync::MutexGuard;
use std::task::{Context, Waker};

use mainstay_core::{Certainty, Duration, Failure, Instant};
use mainstay_policy::{
    Admission, AttemptOrder, Call, Facts as PolicyFacts, FallbackKind, FallbackSettings, Input, LimitId, LimitVerdict,
    Output, Priority, Turn,
};

use super::Attempt;
use crate::error::{Unanswered, certainty_of};
use crate::shard::{NEWS_EVERY, State};
use crate::sync::{Place, RateLimiter};
use crate::{Error, Facts, Service};

/// What a step wants to be done, once the lock is free.
#[derive(Debug)]
pub(super) struct Steps<V> {
    pub(super) cancelled: Cancelled,
    /// One at the most is begun in a step.
    pub(super) attempt: Option<(u8, Attempt<V>)>,
    pub(super) decided: Option<Decided>,
}

/// Attempts that nobody waits for any more, by their bits.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cancelled(u16);

impl Cancelled {
    pub(super) const fn any(self) -> bool {
        self.0 != 0
    }

    pub(super) const fn has(self, attempt: u8) -> bool {
        self.0 >> attempt & 1 == 1
    }
}

/// How the call ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Decided {
    /// The result of the attempt that ended last is the answer.
    Answer,
    /// There is none.
    Refuse(Unanswered),
    /// The fallback that is at hand is to answer.
    Fall(Unanswered),
    /// The fallback is to be asked, on what is left of the time.
    Delegate(Unanswered),
}

/// A call and the shard that it belongs to.
#[derive(Debug)]
pub(super) struct Driver<S: Borrow<Service<V>>, V> {
    service: S,
    shard: usize,
    call: Option<Call>,
    waits: Waits,
    value: PhantomData<fn() -> V>,
}

/// What the call waits for, or may have to.
#[derive(Debug)]
struct Waits {
    deadline: Instant,
    priority: Priority,
    /// It stands in the queue of the shard.
    queued: bool,
    /// The fallback is asked.
    delegated: bool,
    limits: Hearing,
}

/// What the rate limits have said so far.
#[derive(Debug)]
struct Hearing {
    key: Option<u64>,
    /// How many were asked.
    asked: usize,
    /// The strictest, and whose word that is.
    strictest: Option<(LimitId, LimitVerdict)>,
    place: Option<Place>,
}

impl<S: Borrow<Service<V>>, V> Driver<S, V> {
    pub(super) const fn new(service: S) -> Self {
        let limits = Hearing { key: None, asked: 0, strictest: None, place: None };
        let waits = Waits {
            deadline: Instant::FAR_FUTURE,
            priority: Priority::Normal,
            queued: false,
            delegated: false,
            limits,
        };
        Self { service, shard: 0, call: None, waits, value: PhantomData }
    }

    pub(super) fn service(&self) -> &Service<V> {
        self.service.borrow()
    }

    pub(super) const fn has_begun(&self) -> bool {
        self.call.is_some()
    }

    /// When something may be different, whatever else happens.
    pub(super) fn due(&self) -> Option<Instant> {
        let due = self.call.as_ref()?.poll_timeout().map(|deadline| deadline.at);
        let due = due.or(self.waits.delegated.then_some(self.waits.deadline));
        let look = self.waits.queued.then(|| self.service().now() + NEWS_EVERY);
        due.into_iter().chain(look).min()
    }

    /// What is to be said of an answer that is an error.
    pub(super) fn failed<E>(&self, error: E) -> Error<E> {
        let attempts = self.call.as_ref().map_or(0, Call::attempts);
        Error::Failed { error, attempts, certainty: Certainty::Applied }
    }

    /// What is to be said when the fallback was too slow.
    pub(super) fn late<E>(&self) -> Error<E> {
        let (attempts, certainty) =
            self.call.as_ref().map_or((0, Certainty::NotSent), |call| (call.attempts(), certainty_of(call.record())));
        Error::TimedOut { error: None, attempts, certainty }
    }
}

impl<S: Borrow<Service<V>>, V: Clone> Driver<S, V> {
    pub(super) fn begin(&mut self, cx: &Context<'_>, facts: &Facts, fallback: Option<FallbackKind>) -> Steps<V> {
        let service: &Service<V> = self.service.borrow();
        let now = service.now();
        self.shard = service.own_shard();
        let mut state = service.shard(self.shard);
        let (id, record) = state.begin();
        let within = facts.within.map_or(service.inner.within, |within| within.min(service.inner.within));
        let policy_facts = PolicyFacts {
            method: facts.method,
            idempotency_key: facts.idempotency_key,
            hash: facts.hash,
            deadline: now + within,
            covers_body: false,
            limited: !service.inner.limits.is_empty(),
            priority: facts.priority,
            keyed: false,
            stale: false,
        };
        let call = self.call.insert(Call::new(id, policy_facts, record));
        if let Some(kind) = fallback {
            let (service, respond) = (kind == FallbackKind::Service, kind == FallbackKind::Respond);
            call.set_fallback(FallbackSettings { service, respond, ..FallbackSettings::default() });
        }
        (self.waits.deadline, self.waits.priority) = (policy_facts.deadline, facts.priority);
        self.waits.limits.key = facts.limit_key;
        if facts.single {
            call.handle_input(&mut state.core, now, Input::BodyNotKept);
        }
        call.know_only_ends();
        // Who drops it on its way says so, below.
        call.never_vanishes();
        call.handle_input(&mut state.core, now, Input::Begin);
        finish(service, self.shard, call, &mut self.waits, state, now, cx.waker())
    }

    /// Tells the call what happened.
    pub(super) fn input(&mut self, cx: &Context<'_>, input: Input) -> Steps<V> {
        self.step(cx, |call, state, now| call.handle_input(&mut state.core, now, input))
    }

    /// How the wait for a permit ended, once it has.
    pub(super) fn poll_turn(&mut self, cx: &Context<'_>) -> Option<Steps<V>> {
        if !self.waits.queued {
            return None;
        }
        let id = self.call.as_ref()?.id();
        let mut state = self.service.borrow().shard(self.shard);
        let Some(turn) = state.turn(id) else {
            state.wait(id, cx.waker());
            return None;
        };
        drop(state);
        self.waits.queued = false;
        Some(self.input(cx, Input::Admitted { turn }))
    }

    /// A deadline may have come, or permits may have come free in other shards.
    pub(super) fn time_passed(&mut self, cx: &Context<'_>) -> Steps<V> {
        let queued = self.waits.queued;
        self.step(cx, |call, state, now| {
            // Its turn may have come in this very moment, and with it a permit.
            if let Some(turn) = queued.then(|| state.turn(call.id())).flatten() {
                return call.handle_input(&mut state.core, now, Input::Admitted { turn });
            }
            if queued {
                state.core.poke(now);
            }
            call.handle_timeout(&mut state.core, now);
        })
    }

    /// The fallback is asked from now on, and has so long.
    pub(super) fn delegate(&mut self) -> Duration {
        self.waits.delegated = true;
        self.waits.deadline.since(self.service().now())
    }

    /// Whether the fallback is asked and its time is over.
    pub(super) fn is_fallback_late(&self) -> bool {
        self.waits.delegated && self.service().now() >= self.waits.deadline
    }

    /// The fallback has answered, or has nothing either.
    pub(super) fn fallback_ended(&mut self, cx: &Context<'_>, answered: bool) {
        if std::mem::take(&mut self.waits.delegated) {
            // What it would be refused with is known already.
            let _ = self.input(cx, Input::FallbackEnded { answered });
        }
    }

    fn step(&mut self, cx: &Context<'_>, act: impl FnOnce(&mut Call, &mut State<V>, Instant)) -> Steps<V> {
        let service: &Service<V> = self.service.borrow();
        let Some(call) = &mut self.call else {
            return Steps { cancelled: Cancelled::default(), attempt: None, decided: None };
        };
        let now = service.now();
        let mut state = service.shard(self.shard);
        act(call, &mut state, now);
        finish(service, self.shard, call, &mut self.waits, state, now, cx.waker())
    }
}

/// What follows every step: collects what is to be done, and lets go of the shard.
fn finish<V: Clone>(
    service: &Service<V>,
    shard: usize,
    call: &mut Call,
    waits: &mut Waits,
    mut state: MutexGuard<'_, State<V>>,
    now: Instant,
    waker: &Waker,
) -> Steps<V> {
    let steps = collect(service, call, waits, &mut state, now);
    if call.is_queued() && !waits.queued {
        waits.queued = true;
        state.wait(call.id(), waker);
    } else if waits.queued && !call.is_queued() {
        waits.queued = false;
        state.forget(call.id());
    }
    close(service, shard, call, state, now, waits.priority);
    steps
}

/// What is left to do for the shard, whoever ends a step.
fn close<V>(
    service: &Service<V>,
    shard: usize,
    call: &mut Call,
    mut state: MutexGuard<'_, State<V>>,
    now: Instant,
    priority: Priority,
) {
    if call.has_ended() {
        state.settle(call, priority);
    }
    if state.has_more_to_do(now) {
        let (woken, news) = (state.admit(now), state.news(now));
        drop(state);
        woken.wake();
        if let Some(news) = news {
            service.tell(shard, now, news);
        }
    }
}

fn collect<V: Clone>(
    service: &Service<V>,
    call: &mut Call,
    waits: &mut Waits,
    state: &mut State<V>,
    now: Instant,
) -> Steps<V> {
    let mut steps = Steps { cancelled: Cancelled::default(), attempt: None, decided: None };
    let mut refused = None;
    while let Some(output) = call.poll_output() {
        match output {
            Output::Attempt(order) => {
                debug_assert!(steps.attempt.is_none(), "one attempt begins in a step: {order:?}");
                steps.attempt = begin_attempt(call, state, now, &order);
            }
            Output::Cancel { attempt } => steps.cancelled.0 |= 1 << attempt,
            Output::Forward { .. } => steps.decided = Some(Decided::Answer),
            Output::Refuse(order) => refused = Some(Decided::Refuse(Unanswered::new(&order, call.record()))),
            Output::Respond => refused = why(call).map(Decided::Fall),
            Output::AskLimits => {
                let (limit, verdict) = waits.limits.ask(&service.inner.limits, now, waits.deadline);
                call.handle_input(&mut state.core, now, Input::Limits { limit, verdict });
            }
            Output::FallbackService => refused = why(call).map(Decided::Delegate),
            // The facts never ask for these.
            Output::AskKey
            | Output::Replay
            | Output::AskStale
            | Output::LookForStale { .. }
            | Output::RespondStale(_)
            | Output::Abort => {}
        }
    }
    steps.decided = steps.decided.or(refused);
    steps
}

fn why(call: &Call) -> Option<Unanswered> {
    call.refused().map(|order| Unanswered::new(&order, call.record()))
}

impl Hearing {
    /// Asks those that were not asked yet, up to the first that refuses the call or makes it wait.
    fn ask(&mut self, limits: &[RateLimiter], now: Instant, deadline: Instant) -> (LimitId, LimitVerdict) {
        self.place.take().into_iter().for_each(Place::take);
        // One that could only be had at the deadline comes too late.
        let patience = Duration::from_nanos(deadline.since(now).as_nanos().saturating_sub(1));
        while let Some(limiter) = limits.get(self.asked) {
            self.asked += 1;
            let id = limiter.id();
            let (verdict, place) = limiter.ask(limiter.now(), self.key, patience);
            self.place = place;
            if !verdict.admitted || !verdict.wait.is_zero() {
                return (id, verdict);
            }
            if self.strictest.is_none_or(|(_, kept)| kept.stricter(verdict) != kept) {
                self.strictest = Some((id, verdict));
            }
        }
        self.strictest.unwrap_or((LimitId::NONE, LimitVerdict::FREE))
    }
}

fn begin_attempt<V: Clone>(
    call: &mut Call,
    state: &mut State<V>,
    now: Instant,
    order: &AttemptOrder,
) -> Option<(u8, Attempt<V>)> {
    let AttemptOrder { attempt, endpoint, why, deadline } = *order;
    let Some(found) = state.endpoint(endpoint) else {
        // It was chosen in this very step, so it is there.
        let (failure, certainty) = (Failure::Unreachable, Certainty::NotSent);
        call.handle_input(&mut state.core, now, Input::Failed { attempt, failure, certainty });
        return None;
    };
    let begun = Attempt { endpoint: found.value.clone(), number: attempt + 1, why, left: deadline.since(now).into() };
    Some((attempt, begun))
}

/// A call that is dropped on its way gives back what it held: its caller has left.
impl<S: Borrow<Service<V>>, V> Drop for Driver<S, V> {
    fn drop(&mut self) {
        let Some(call) = self.call.as_mut().filter(|call| !call.has_ended()) else { return };
        let service: &Service<V> = self.service.borrow();
        let now = service.now();
        let mut state = service.shard(self.shard);
        if self.waits.queued && state.forget(call.id()) == Some(Turn::Granted) {
            state.core.decline(now, Admission { call: call.id(), turn: Turn::Granted });
        }
        call.handle_input(&mut state.core, now, Input::CallerLeft);
        while call.poll_output().is_some() {}
        close(service, self.shard, call, state, now, self.waits.priority);
    }
}
