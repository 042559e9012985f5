//! The same events give the same decisions, byte for byte, in every process.
//!
//! A seed draws a configuration and a long sequence of events over many calls at once: arrivals, answers, failures,
//! checks, orders, changes of the endpoints, drops. Two processes play it, and their traces must be equal; then the same
//! play is held against the laws that hold for every sequence.

use std::fmt::Write as _;
use std::process::Command;

use mainstay_core::{
    CallId, Certainty, Duration, EndpointId, Failure, Instant, Limit, MethodClass, Purpose, Ratio, Seed, below,
};
use mainstay_policy::{
    AnswerFacts, AttemptOrder, AttemptReason, Balance, BreakerOrder, Call, CheckResult, EndpointSpec, Facts,
    HEDGES_MAX, HealthSettings, HedgeAfter, HedgeSettings, Input, KeyRefusal, KeyVerdict, LimitId, LimitVerdict, Order,
    Output, Percentile, PermitPool, Priority, Probe, Record, Service, ServiceSettings, Usable,
};

/// Luck of the player's own, which must not be the luck of what it plays.
struct Luck {
    seed: Seed,
    drawn: u64,
}

impl Luck {
    fn below(&mut self, bound: u64) -> u64 {
        self.drawn += 1;
        below(self.seed.draw(self.drawn, 0, Purpose::Sample), bound)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

fn draw_settings(luck: &mut Luck) -> ServiceSettings {
    let mut settings = ServiceSettings {
        balance: Balance::ALL[luck.below(Balance::ALL.len() as u64) as usize].1,
        panic: Ratio::percent(luck.below(101) as u8),
        zone: "a".into(),
        ..ServiceSettings::default()
    };
    if luck.one_in(2) {
        settings.health = Some(HealthSettings::new(Probe::Tcp));
    }
    if luck.one_in(4) {
        settings.outlier = None;
    }
    if let Some(outlier) = settings.outlier.as_mut() {
        outlier.success_rate_deviation = Some(190);
    }
    if let Some(breaker) = settings.breaker.as_mut() {
        breaker.minimum_calls = 1 + luck.below(20) as u32;
        breaker.half_open_calls = 1 + luck.below(4) as u32;
    }
    if let Some(retry) = settings.retry.as_mut() {
        retry.attempts = 1 + luck.below(5) as u32;
        retry.hedge = luck.one_in(2).then(|| draw_hedge(luck));
    }
    // Enough for hedges, or so few that calls wait.
    let most = if luck.one_in(2) { 8 } else { 80 };
    settings.bulkhead.concurrency = Limit::At(1 + luck.below(most) as u32);
    settings.bulkhead.queue = luck.below(8) as u32;
    settings.fallback.respond = luck.one_in(3);
    settings.fallback.service = luck.one_in(3);
    settings
}

fn draw_hedge(luck: &mut Luck) -> HedgeSettings {
    let after = match luck.below(3) {
        0 => HedgeAfter::Percentile(Percentile::ALL[luck.below(2) as usize].1),
        _ => HedgeAfter::Fixed(Duration::from_millis(luck.below(200))),
    };
    HedgeSettings { after, max: 1 + luck.below(u64::from(HEDGES_MAX)) as u32 }
}

fn draw_endpoints(luck: &mut Luck) -> Vec<EndpointSpec> {
    (0..luck.below(7) as u16)
        .map(|n| EndpointSpec {
            address: ([10, 0, 0, 1], 9000 + n + luck.below(3) as u16 * 10).into(),
            weight: 1 + luck.below(3) as u32,
            zone: ["a", "b", ""][usize::from(n) % 3].into(),
            backup: luck.one_in(5),
        })
        .collect()
}

/// A call and the attempts that it is waiting for.
struct Running {
    call: Call,
    attempts: Vec<AttemptOrder>,
    tried: Vec<EndpointId>,
    delegated: bool,
    streaming: bool,
    asking: bool,
    asking_key: bool,
    asking_stale: bool,
    /// The attempt for whose sake it asks whether an answer is kept.
    looking: Option<u8>,
}

struct Player {
    luck: Luck,
    now: Instant,
    service: Service,
    calls: Vec<Running>,
    next: u64,
    ids: Vec<EndpointId>,
    trace: String,
}

impl Player {
    fn new(seed: u64) -> Self {
        let mut luck = Luck { seed: Seed::new(seed).derive("player"), drawn: 0 };
        let settings = draw_settings(&mut luck);
        let now = Instant::from_nanos(1_000_000_000);
        let pool = PermitPool::new(settings.bulkhead.concurrency, 1);
        let service = Service::new(&settings, pool, Seed::new(seed), now);
        let trace = format!("{settings:?}\n");
        let mut player = Self { luck, now, service, calls: Vec::new(), next: 0, ids: Vec::new(), trace };
        player.move_endpoints();
        player
    }

    fn play(mut self, steps: u32) -> (String, Service, Instant) {
        for _ in 0..steps {
            self.now += Duration::from_micros(self.luck.below(40_000));
            self.step();
            self.settle();
        }
        self.calls.clear();
        (self.trace, self.service, self.now)
    }

    fn step(&mut self) {
        match self.luck.below(20) {
            0..=5 => self.arrive(),
            6 => self.world(),
            7 | 8 => {
                for running in &mut self.calls {
                    running.call.handle_timeout(&mut self.service, self.now);
                }
            }
            9 if !self.calls.is_empty() => {
                let gone = self.luck.below(self.calls.len() as u64) as usize;
                drop(self.calls.swap_remove(gone));
            }
            _ if !self.calls.is_empty() => {
                let at = self.luck.below(self.calls.len() as u64) as usize;
                self.advance(at);
            }
            _ => {}
        }
    }

    fn arrive(&mut self) {
        if self.calls.len() > 40 {
            return;
        }
        self.next += 1;
        let method =
            [MethodClass::Safe, MethodClass::Idempotent, MethodClass::NonIdempotent][self.luck.below(3) as usize];
        let facts = Facts {
            method,
            idempotency_key: self.luck.one_in(4),
            hash: self.luck.below(u64::MAX),
            deadline: self.now + Duration::from_millis(self.luck.below(8_000)),
            covers_body: self.luck.one_in(2),
            limited: self.luck.one_in(4),
            priority: Priority::ALL[self.luck.below(3) as usize],
            keyed: method == MethodClass::NonIdempotent && self.luck.one_in(2),
            stale: self.luck.one_in(4),
        };
        let mut call = Call::new(CallId(self.next), facts, Record::default());
        call.handle_input(&mut self.service, self.now, Input::Begin);
        self.calls.push(Running {
            call,
            attempts: Vec::new(),
            tried: Vec::new(),
            delegated: false,
            streaming: false,
            asking: false,
            asking_key: false,
            asking_stale: false,
            looking: None,
        });
    }

    fn advance(&mut self, at: usize) {
        let input = {
            let luck = &mut self.luck;
            let running = &mut self.calls[at];
            if luck.one_in(12) {
                Input::CallerLeft
            } else if std::mem::take(&mut running.asking) {
                let verdict = LimitVerdict {
                    admitted: !luck.one_in(4),
                    wait: Duration::from_millis(if luck.one_in(3) { luck.below(2_000) } else { 0 }),
                    ..LimitVerdict::FREE
                };
                Input::Limits { limit: LimitId(1), verdict }
            } else if let Some(attempt) = running.looking.take() {
                Input::StaleIsKept { attempt, kept: luck.one_in(2) }
            } else if std::mem::take(&mut running.asking_stale) {
                let second = Duration::from_secs(1);
                let usable = Usable { age: second, fresh_for: Duration::ZERO, stale_for: second };
                Input::Stale(luck.one_in(2).then_some(usable))
            } else if running.asking_key {
                let verdict = draw_verdict(luck);
                running.asking_key = verdict == KeyVerdict::Waits;
                Input::Key(verdict)
            } else if std::mem::take(&mut running.delegated) {
                Input::FallbackEnded { answered: luck.one_in(2) }
            } else if std::mem::take(&mut running.streaming) {
                Input::Finished { clean: !luck.one_in(4) }
            } else if !running.attempts.is_empty() {
                let news = luck.below(running.attempts.len() as u64) as usize;
                draw_news(luck, running.attempts[news].attempt)
            } else {
                return;
            }
        };
        self.calls[at].call.handle_input(&mut self.service, self.now, input);
    }

    fn world(&mut self) {
        let now = self.now;
        match self.luck.below(6) {
            0 => self.move_endpoints(),
            1 => {
                let settings = draw_settings(&mut self.luck);
                self.service.configure(now, &settings);
            }
            2 => {
                let order = [BreakerOrder::Open, BreakerOrder::Closed, BreakerOrder::Auto, BreakerOrder::Auto]
                    [self.luck.below(4) as usize];
                self.service.order_breaker(now, order);
            }
            _ if self.ids.is_empty() => {}
            3 => {
                let id = self.ids[self.luck.below(self.ids.len() as u64) as usize];
                if let Some(address) = self.service.address(id) {
                    let order =
                        [Order::Ready, Order::Ready, Order::Draining, Order::Ejected][self.luck.below(4) as usize];
                    self.service.order(now, address, order);
                }
            }
            _ => {
                let id = self.ids[self.luck.below(self.ids.len() as u64) as usize];
                let result =
                    if self.luck.one_in(2) { CheckResult::Pass } else { CheckResult::Fail(Failure::Refused.into()) };
                self.service.check(now, id, result);
            }
        }
    }

    fn move_endpoints(&mut self) {
        let specs = draw_endpoints(&mut self.luck);
        let changes = self.service.update(self.now, &specs);
        writeln!(self.trace, "{changes:?}").unwrap();
        self.ids.extend(&changes.added);
    }

    /// Writes down all that was decided, and lets the queue go on.
    fn settle(&mut self) {
        loop {
            for running in &mut self.calls {
                while let Some(output) = running.call.poll_output() {
                    writeln!(self.trace, "{:?} {:?} {output:?}", self.now, running.call.id()).unwrap();
                    note(running, output);
                }
            }
            let Some(admission) = self.service.poll_admitted(self.now) else { break };
            writeln!(self.trace, "{admission:?}").unwrap();
            match self.calls.iter_mut().find(|running| running.call.id() == admission.call) {
                Some(running) => {
                    let input = Input::Admitted { turn: admission.turn };
                    running.call.handle_input(&mut self.service, self.now, input);
                }
                None => self.service.decline(self.now, admission),
            }
        }
        while let Some(event) = self.service.poll_event() {
            writeln!(self.trace, "{event:?}").unwrap();
        }
        self.calls.retain(|running| !running.call.has_ended());
        let view = self.service.view(self.now);
        assert!(view.limit.allows(view.in_use) || self.next > 0, "more permits than there are: {view:?}");
        writeln!(self.trace, "{view:?}").unwrap();
    }
}

fn note(running: &mut Running, output: Output) {
    match output {
        // News of an attempt that has failed may still come, but not for ever.
        Output::Attempt(order) => {
            let is_elsewhere = !running.tried.contains(&order.endpoint);
            assert!(is_elsewhere || order.why != AttemptReason::Hedge, "a hedge goes where none was: {order:?}");
            running.tried.push(order.endpoint);
            running.attempts.truncate(2);
            running.attempts.insert(0, order);
        }
        Output::Cancel { attempt } => running.attempts.retain(|order| order.attempt != attempt),
        Output::Forward { attempt, .. } => {
            running.attempts.retain(|order| order.attempt != attempt);
            running.streaming = true;
        }
        Output::AskLimits => running.asking = true,
        Output::AskKey => running.asking_key = true,
        Output::AskStale => running.asking_stale = true,
        Output::LookForStale { attempt } => running.looking = Some(attempt),
        Output::FallbackService => running.delegated = true,
        Output::RespondStale(_) | Output::Replay | Output::Respond | Output::Refuse(_) | Output::Abort => {}
    }
}

fn draw_verdict(luck: &mut Luck) -> KeyVerdict {
    match luck.below(8) {
        0 => KeyVerdict::Waits,
        1 => KeyVerdict::Replay { status: 201, age: Duration::from_secs(1) },
        2 => KeyVerdict::Refused(KeyRefusal::Unknown),
        _ => KeyVerdict::First,
    }
}

fn draw_news(luck: &mut Luck, attempt: u8) -> Input {
    match luck.below(10) {
        0 => Input::Connected { attempt },
        8 => Input::Waits { attempt },
        9 => Input::Unable { attempt },
        1 => Input::Sent { attempt },
        2 => [Input::BodyNotKept, Input::BodyMoved, Input::AwaitsBody(true), Input::AwaitsBody(false)]
            [luck.below(4) as usize],
        3 => Input::Failed { attempt, failure: Failure::Refused, certainty: Certainty::NotSent },
        4 => Input::Failed { attempt, failure: Failure::Reset, certainty: Certainty::Unknown },
        _ => {
            let status = [200, 200, 404, 429, 500, 503][luck.below(6) as usize];
            let retry_after = luck.one_in(8).then_some(Duration::from_millis(luck.below(2_000)));
            let head = AnswerFacts { status, retry_after, retries_used: luck.one_in(16), replaceable: luck.one_in(2) };
            Input::Head { attempt, head }
        }
    }
}

const SEEDS: std::ops::Range<u64> = 0..60;
const STEPS: u32 = 600;

fn trace_of_all_seeds() -> String {
    SEEDS.map(|seed| format!("seed {seed}\n{}", Player::new(seed).play(STEPS).0)).collect()
}

/// What the two other processes run: it only prints.
#[test]
#[ignore = "run by the_same_events_give_the_same_trace_in_two_processes"]
fn print_the_trace() {
    println!("{}", trace_of_all_seeds());
}

#[test]
fn the_same_events_give_the_same_trace_in_two_processes() {
    let run = || {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "determinism::print_the_trace", "--ignored", "--nocapture", "--test-threads=1"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        // What the test runner itself prints has a clock in it.
        let from = text.find("seed 0").expect("a trace");
        let to = text.rfind("\ntest result").unwrap_or(text.len());
        text[from..to].to_owned()
    };
    let (one, other) = (run(), run());
    assert!(one.len() > 1_000_000, "a trace that says something: {} bytes", one.len());
    for (at, (a, b)) in one.lines().zip(other.lines()).enumerate() {
        assert_eq!(a, b, "the traces part at line {at}");
    }
    assert_eq!(one.len(), other.len());
}

#[test]
fn the_play_has_hedges() {
    let trace = trace_of_all_seeds();
    let hedges = trace.matches("why: Hedge").count();
    assert!(hedges > 100, "{hedges}");
}

#[test]
fn whatever_happens_everything_that_was_lent_comes_back() {
    for seed in SEEDS {
        let (_, mut service, now) = Player::new(seed).play(STEPS);
        let view = service.view(now);
        assert_eq!(view.in_use, 0, "seed {seed}: permits came back");
        assert_eq!(view.waiting, 0, "seed {seed}: nobody waits");
        for endpoint in &view.endpoints {
            assert_eq!(endpoint.in_flight, 0, "seed {seed}: {endpoint:?}");
        }
    }
}
