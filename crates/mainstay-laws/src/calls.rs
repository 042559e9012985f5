//! Calls: whatever happens, in whatever order, what was lent comes back and nobody is answered twice.
//!
//! The bytes are the play: settings and endpoints first, then what happens, one choice after the other. News may be
//! late, early, of attempts that never were, and twice.

use std::collections::BTreeSet;

use mainstay_core::{CallId, Certainty, Duration, EndpointId, Failure, Instant, Limit, MethodClass, Ratio, Seed};
use mainstay_policy::{
    Adaptive, AnswerFacts, AttemptReason, Balance, BreakerOrder, BudgetSettings, Call, CheckFailure, CheckResult,
    EndpointSpec, Facts, HEDGES_MAX, HealthSettings, HedgeAfter, HedgeSettings, Input, KeyRefusal, KeyVerdict, LimitId,
    LimitVerdict, Order, Output, Percentile, PermitPool, Priority, Probe, Record, Service, ServiceSettings, Usable,
};

use crate::bytes::Choices;

/// Steps that a play may have; a longer input says nothing new.
const STEPS_MAX: u32 = 2_000;

/// What was seen of one call.
struct Seen {
    call: Call,
    /// Attempts that were ordered and not taken back.
    orders: BTreeSet<u8>,
    /// An answer was committed: an instance's, the fixed one or a refusal.
    answered: bool,
    made: u32,
}

struct Play<'a> {
    choices: Choices<'a>,
    now: Instant,
    service: Service,
    calls: Vec<Seen>,
    begun: u64,
    ids: Vec<EndpointId>,
    /// Retries and hedges that the budget paid for, and the most that it can have held and been given.
    paid: u64,
    funded: f64,
}

/// Plays `bytes` against a service and its calls.
pub(crate) fn call(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let settings = settings(&mut choices);
    let now = Instant::from_nanos(1_000_000_000);
    let pool = PermitPool::new(settings.bulkhead.concurrency, 1);
    let service = Service::new(&settings, pool, Seed::new(7), now);
    let funded = budget(&settings).map_or(0.0, |budget| f64::from(budget.cap));
    let mut play = Play { choices, now, service, calls: Vec::new(), begun: 0, ids: Vec::new(), paid: 0, funded };
    play.move_endpoints();
    for _ in 0..STEPS_MAX {
        if !play.choices.are_left() {
            break;
        }
        play.pass_time();
        play.step();
        play.settle();
    }
    play.end();
}

fn settings(choices: &mut Choices<'_>) -> ServiceSettings {
    let mut settings = ServiceSettings {
        balance: Balance::ALL[choices.below(Balance::ALL.len() as u32) as usize].1,
        panic: Ratio::percent(choices.below(101) as u8),
        zone: "a".into(),
        ..ServiceSettings::default()
    };
    if choices.one_in(2) {
        settings.health = Some(HealthSettings::new(Probe::Tcp));
    }
    if choices.one_in(4) {
        settings.outlier = None;
    }
    if let Some(breaker) = settings.breaker.as_mut() {
        breaker.minimum_calls = 1 + choices.below(20);
        breaker.half_open_calls = 1 + choices.below(4);
    }
    if let Some(retry) = settings.retry.as_mut() {
        retry.attempts = 1 + choices.below(16);
        retry.idempotent_only = choices.one_in(2);
        retry.budget = Some(BudgetSettings {
            share: Ratio::percent(choices.below(101) as u8),
            per_second: choices.below(4),
            cap: choices.below(6),
        });
        retry.hedge = choices.one_in(2).then(|| HedgeSettings {
            after: choices.pick(&[
                HedgeAfter::Fixed(Duration::from_millis(5)),
                HedgeAfter::Fixed(Duration::from_millis(300)),
                HedgeAfter::Percentile(Percentile::P50),
                HedgeAfter::Percentile(Percentile::P99),
            ]),
            max: 1 + choices.below(HEDGES_MAX),
        });
    }
    if choices.one_in(8) {
        settings.retry = None;
    }
    settings.bulkhead.concurrency = Limit::At(1 + choices.below(8));
    settings.bulkhead.adaptive = Adaptive::ALL[choices.below(Adaptive::ALL.len() as u32) as usize].1;
    settings.bulkhead.queue = choices.below(8);
    settings.fallback.respond = choices.one_in(3);
    settings.fallback.service = choices.one_in(3);
    settings
}

fn budget(settings: &ServiceSettings) -> Option<BudgetSettings> {
    settings.retry.as_ref().and_then(|retry| retry.budget)
}

impl Play<'_> {
    fn pass_time(&mut self) {
        let passed = [0, 1, 7_000, 40_000, 600_000, 31_000_000];
        let passed = Duration::from_micros(self.choices.pick(&passed));
        self.now += passed;
        if let Some(budget) = budget(self.service.settings()) {
            self.funded += f64::from(budget.per_second) * passed.as_nanos() as f64 / 1e9;
        }
    }

    fn step(&mut self) {
        let now = self.now;
        match self.choices.below(16) {
            0..=3 => self.arrive(),
            4 => self.world(),
            5 => {
                for seen in &mut self.calls {
                    seen.call.handle_timeout(&mut self.service, now);
                }
            }
            6 => {
                self.service.poke(now);
                let delta = self.service.take_delta();
                self.service.merge(now, &delta);
            }
            7 if !self.calls.is_empty() => {
                let gone = self.choices.below(self.calls.len() as u32) as usize;
                drop(self.calls.swap_remove(gone));
            }
            _ if !self.calls.is_empty() => {
                let at = self.choices.below(self.calls.len() as u32) as usize;
                let input = self.news();
                // Each success pays its share into the budget, once a call.
                self.funded += budget(self.service.settings()).map_or(0.0, |budget| budget.share.get());
                self.calls[at].call.handle_input(&mut self.service, now, input);
            }
            _ => {}
        }
    }

    fn arrive(&mut self) {
        if self.calls.len() >= 24 {
            return;
        }
        self.begun += 1;
        let choices = &mut self.choices;
        let facts = Facts {
            method: choices.pick(&[MethodClass::Safe, MethodClass::Idempotent, MethodClass::NonIdempotent]),
            idempotency_key: choices.one_in(4),
            hash: u64::from(choices.below(256)) << 56,
            deadline: self.now + Duration::from_millis(choices.pick(&[0, 1, 90, 800, 8_000])),
            covers_body: choices.one_in(2),
            limited: choices.one_in(4),
            priority: choices.pick(&Priority::ALL),
            keyed: choices.one_in(4),
            stale: choices.one_in(4),
        };
        let mut call = Call::new(CallId(self.begun), facts, Record::default());
        call.handle_input(&mut self.service, self.now, Input::Begin);
        self.calls.push(Seen { call, orders: BTreeSet::new(), answered: false, made: 0 });
    }

    /// Anything at all, whether or not the call waits for it.
    fn news(&mut self) -> Input {
        let choices = &mut self.choices;
        let attempt = choices.below(4) as u8;
        match choices.below(20) {
            0 => Input::Connected { attempt },
            1 => Input::Waits { attempt },
            2 => Input::Unable { attempt },
            3 => Input::Sent { attempt },
            4 => choices.pick(&[
                Input::BodyNotKept,
                Input::BodyMoved,
                Input::AwaitsBody(true),
                Input::AwaitsBody(false),
                Input::CallerLeft,
                Input::Begin,
            ]),
            5 | 6 => Input::Failed { attempt, failure: Failure::Refused, certainty: Certainty::NotSent },
            7 => {
                let failure = choices.pick(&[Failure::Reset, Failure::Timeout, Failure::Malformed, Failure::Refused]);
                let certainty = choices.pick(&[Certainty::NotSent, Certainty::Unknown, Certainty::Applied]);
                Input::Failed { attempt, failure, certainty }
            }
            8 | 9 => Input::Finished { clean: choices.one_in(2) },
            10 => Input::FallbackEnded { answered: choices.one_in(2) },
            11 | 12 => Input::Limits {
                limit: LimitId(1),
                verdict: LimitVerdict {
                    admitted: !choices.one_in(4),
                    wait: Duration::from_millis(choices.pick(&[0, 0, 0, 5, 2_000])),
                    ..LimitVerdict::FREE
                },
            },
            13 => Input::CallerLeft,
            14 => Input::Key(choices.pick(&[
                KeyVerdict::First,
                KeyVerdict::First,
                KeyVerdict::Waits,
                KeyVerdict::Replay { status: 201, age: Duration::ZERO },
                KeyVerdict::NotKept { status: 201, age: Duration::ZERO },
                KeyVerdict::Refused(KeyRefusal::Unknown),
            ])),
            15 => {
                let second = Duration::from_secs(1);
                let usable = Usable { age: second, fresh_for: Duration::ZERO, stale_for: second };
                choices.pick(&[
                    Input::Stale(Some(usable)),
                    Input::Stale(None),
                    Input::StaleIsKept { attempt, kept: true },
                    Input::StaleIsKept { attempt, kept: false },
                ])
            }
            _ => {
                let status = choices.pick(&[200, 200, 404, 429, 500, 503]);
                let retry_after = choices.one_in(8).then_some(Duration::from_millis(choices.pick(&[0, 5, 2_000])));
                Input::Head {
                    attempt,
                    head: AnswerFacts {
                        status,
                        retry_after,
                        retries_used: choices.one_in(16),
                        replaceable: choices.one_in(2),
                    },
                }
            }
        }
    }

    fn world(&mut self) {
        let now = self.now;
        let id =
            |choices: &mut Choices<'_>, ids: &[EndpointId]| ids.get(choices.below(ids.len() as u32) as usize).copied();
        match self.choices.below(6) {
            0 => self.move_endpoints(),
            1 => {
                let settings = settings(&mut self.choices);
                self.service.configure(now, &settings);
                self.funded += budget(&settings).map_or(0.0, |budget| f64::from(budget.cap));
            }
            2 => {
                let order = self.choices.pick(&[BreakerOrder::Open, BreakerOrder::Closed, BreakerOrder::Auto]);
                self.service.order_breaker(now, order);
            }
            3 => {
                let order = self.choices.pick(&[Order::Ready, Order::Draining, Order::Ejected]);
                let address = id(&mut self.choices, &self.ids).and_then(|id| self.service.address(id));
                if let Some(address) = address {
                    self.service.order(now, address, order);
                }
            }
            _ => {
                if let Some(id) = id(&mut self.choices, &self.ids) {
                    let result = self
                        .choices
                        .pick(&[CheckResult::Pass, CheckResult::Fail(CheckFailure::Attempt(Failure::Refused))]);
                    self.service.check(now, id, result);
                }
            }
        }
    }

    fn move_endpoints(&mut self) {
        let choices = &mut self.choices;
        let specs: Vec<_> = (0..choices.below(6) as u16).map(|n| endpoint(n, choices)).collect();
        let changes = self.service.update(self.now, &specs);
        self.ids.extend(&changes.added);
    }

    /// Reads all that was decided, and lets the queue go on.
    fn settle(&mut self) {
        loop {
            let unpaid = budget(self.service.settings()).is_none();
            for seen in &mut self.calls {
                self.paid += seen.look(unpaid);
            }
            let Some(admission) = self.service.poll_admitted(self.now) else { break };
            match self.calls.iter_mut().find(|seen| seen.call.id() == admission.call) {
                Some(seen) => {
                    let input = Input::Admitted { turn: admission.turn };
                    seen.call.handle_input(&mut self.service, self.now, input);
                }
                None => self.service.decline(self.now, admission),
            }
        }
        while self.service.poll_event().is_some() {}
        let view = self.service.view(self.now);
        assert!(view.budget.is_none_or(|tokens| tokens >= 0.0), "a budget is never overdrawn");
        assert!(self.paid as f64 <= self.funded + 1e-6, "{} retries from {} tokens", self.paid, self.funded);
        let running = self.calls.iter().filter(|seen| !seen.call.has_ended()).count();
        assert!(view.waiting as usize <= running, "who waits is there");
    }

    /// Everybody leaves: what was lent has come back, and a call after a long rest is served.
    fn end(mut self) {
        self.calls.clear();
        self.settle();
        self.service.poke(self.now);
        let view = self.service.view(self.now);
        assert_eq!((view.in_use, view.waiting), (0, 0), "every permit came back, and nobody waits");
        assert!(view.endpoints.iter().all(|endpoint| endpoint.in_flight == 0), "no attempt is left: {view:?}");

        self.now += Duration::from_secs(3_600);
        self.service.order_breaker(self.now, BreakerOrder::Auto);
        self.service.update(
            self.now,
            &[EndpointSpec { address: ([10, 9, 9, 9], 1).into(), weight: 1, zone: "".into(), backup: false }],
        );
        let facts = Facts {
            method: MethodClass::Safe,
            idempotency_key: false,
            hash: 0,
            deadline: self.now + Duration::from_secs(10),
            covers_body: false,
            limited: false,
            priority: Priority::Normal,
            keyed: false,
            stale: false,
        };
        let mut call = Call::new(CallId(u64::MAX), facts, Record::default());
        call.handle_input(&mut self.service, self.now, Input::Begin);
        let first = call.poll_output();
        assert!(matches!(first, Some(Output::Attempt(_))), "no probe and no permit was lost: {first:?}");
    }
}

fn endpoint(n: u16, choices: &mut Choices<'_>) -> EndpointSpec {
    EndpointSpec {
        address: ([10, 0, 0, 1], 9000 + n + choices.below(3) as u16 * 10).into(),
        weight: 1 + choices.below(3),
        zone: ["a", "b", ""][usize::from(n) % 3].into(),
        backup: choices.one_in(5),
    }
}

impl Seen {
    /// Reads the call's outputs and tells how many of them the budget paid for.
    fn look(&mut self, unpaid: bool) -> u64 {
        let mut paid = 0;
        while let Some(output) = self.call.poll_output() {
            match output {
                Output::Attempt(order) => {
                    assert!(!self.answered, "an attempt after the answer");
                    assert!(self.orders.insert(order.attempt), "attempt {} runs already", order.attempt);
                    self.made += 1;
                    assert!(self.made <= 16, "attempts have an end");
                    let costs = matches!(order.why, AttemptReason::Retry | AttemptReason::Hedge);
                    paid += u64::from(costs && !unpaid);
                }
                Output::Cancel { attempt } => {
                    self.orders.remove(&attempt);
                }
                Output::Forward { attempt, .. } => {
                    assert!(!self.answered && self.orders.contains(&attempt), "one answer, of an attempt that runs");
                    self.answered = true;
                }
                Output::Respond | Output::Refuse(_) | Output::Replay | Output::RespondStale(_) => {
                    assert!(!self.answered, "one answer");
                    self.answered = true;
                }
                Output::Abort => assert!(self.answered, "only what has begun is broken off"),
                Output::AskLimits
                | Output::AskKey
                | Output::AskStale
                | Output::LookForStale { .. }
                | Output::FallbackService => assert!(!self.answered),
                #[allow(unreachable_patterns, reason = "whatever else there will be to do is nothing to this law")]
                _ => {}
            }
        }
        assert!(!self.call.has_ended() || self.call.poll_timeout().is_none(), "who has ended waits for nothing");
        paid
    }
}
