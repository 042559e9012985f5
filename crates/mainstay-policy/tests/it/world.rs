//! A small world in virtual time, for stories of load: callers that arrive by chance, one gateway with the real
//! decisions, and instances with slots and a queue.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use mainstay_core::{
    CallId, Certainty, Duration, EndpointId, Failure, Instant, Limit, MethodClass, Purpose, Seed, unit,
};
use mainstay_policy::{
    AnswerFacts, Call, EndpointSpec, Facts, Input, Output, PermitPool, Priority, Record, Refusal, Service,
    ServiceSettings,
};

/// How often a worker looks after a service: while calls wait, and else.
const BUSY: Duration = Duration::from_millis(5);
const QUIET: Duration = Duration::from_millis(100);

/// How an instance is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Health {
    Well,
    /// Nobody listens.
    Killed,
    /// It takes everything and answers nothing, until it goes on.
    Hung,
    /// Each answer comes later by this.
    Late(Duration),
    /// It answers 503 at once.
    Sick,
}

/// What is played.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) settings: ServiceSettings,
    pub(crate) seed: u64,
    pub(crate) instances: u16,
    pub(crate) slots: usize,
    pub(crate) service_time: Duration,
    /// Exponential service times, else all alike.
    pub(crate) exponential: bool,
    pub(crate) lasts: Duration,
    /// Calls per second from an instant on.
    pub(crate) rates: Vec<(Duration, u64)>,
    /// How much each call matters, by its number.
    pub(crate) priority: fn(u64) -> Priority,
    /// How long callers wait for an answer.
    pub(crate) deadline: Duration,
    /// What becomes of an instance, and when.
    pub(crate) faults: Vec<(Duration, usize, Health)>,
}

impl Default for Scenario {
    /// Four instances of eight slots and 10 ms: 3,200 calls a second.
    fn default() -> Self {
        Self {
            settings: ServiceSettings::default(),
            seed: 1,
            instances: 4,
            slots: 8,
            service_time: Duration::from_millis(10),
            exponential: true,
            lasts: Duration::from_secs(20),
            rates: vec![(Duration::ZERO, 1_000)],
            priority: |_| Priority::Normal,
            deadline: Duration::from_secs(15),
            faults: Vec::new(),
        }
    }
}

/// What became of one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) arrived: Instant,
    pub(crate) lasted: Duration,
    /// The status, or why there is none.
    pub(crate) answer: Result<u16, Refusal>,
    pub(crate) priority: Priority,
    pub(crate) retry_after: Option<Duration>,
}

impl Ended {
    pub(crate) fn is_good(&self) -> bool {
        self.answer == Ok(200)
    }

    pub(crate) fn at(&self) -> Instant {
        self.arrived + self.lasted
    }
}

/// What came of a scenario.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) calls: Vec<Ended>,
    /// The limit, whenever it was looked at.
    pub(crate) limits: Vec<(Instant, u32)>,
}

impl Report {
    /// Calls that arrived in a part of the time.
    pub(crate) fn between(&self, from: Duration, to: Duration) -> impl Iterator<Item = &Ended> {
        let (from, to) = (Instant::ORIGIN + from, Instant::ORIGIN + to);
        self.calls.iter().filter(move |call| call.arrived >= from && call.arrived < to)
    }

    /// The limit as it was found last before an instant.
    pub(crate) fn limit_at(&self, at: Duration) -> u32 {
        let before = self.limits.iter().rev().find(|(when, _)| *when <= Instant::ORIGIN + at);
        before.map_or(0, |(_, limit)| *limit)
    }
}

/// The length under which the share of `calls` lies.
pub(crate) fn quantile<'a>(calls: impl Iterator<Item = &'a Ended>, share: f64) -> Duration {
    let mut lengths: Vec<Duration> = calls.map(|call| call.lasted).collect();
    lengths.sort_unstable();
    let place = (lengths.len() as f64 * share) as usize;
    lengths.get(place.min(lengths.len().saturating_sub(1))).copied().unwrap_or_default()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives,
    Fault(usize),
    /// An instance has worked on an attempt.
    Done {
        instance: usize,
        job: Job,
    },
    Answers {
        job: Job,
        status: u16,
    },
    Refuses(Job),
    Times(u64),
    Poke,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Job {
    call: u64,
    attempt: u8,
}

struct Instance {
    health: Health,
    busy: usize,
    queue: VecDeque<Job>,
}

struct World<'a> {
    scenario: &'a Scenario,
    luck: Seed,
    drawn: u64,
    now: Instant,
    service: Service,
    calls: HashMap<u64, (Call, Instant)>,
    next: u64,
    instances: Vec<Instance>,
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    planned: u64,
    report: Report,
}

/// Plays it to the end.
pub(crate) fn play(scenario: &Scenario) -> Report {
    let mut world = World::new(scenario);
    while let Some(Reverse((at, _, event))) = world.events.pop() {
        world.now = at;
        world.happen(event);
    }
    world.report
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let (now, seed) = (Instant::ORIGIN, Seed::new(scenario.seed));
        let permits = PermitPool::new(scenario.settings.bulkhead.concurrency, 1);
        let mut service = Service::new(&scenario.settings, permits, seed.derive("service"), now);
        let specs: Vec<_> = (0..scenario.instances)
            .map(|n| EndpointSpec {
                address: ([127, 0, 0, 1], 9100 + n).into(),
                weight: 1,
                zone: "".into(),
                backup: false,
            })
            .collect();
        service.update(now, &specs);
        let instance = |_| Instance { health: Health::Well, busy: 0, queue: VecDeque::new() };
        let mut world = Self {
            scenario,
            luck: seed.derive("world"),
            drawn: 0,
            now,
            service,
            calls: HashMap::new(),
            next: 0,
            instances: (0..scenario.instances).map(instance).collect(),
            events: BinaryHeap::new(),
            planned: 0,
            report: Report::default(),
        };
        world.plan(Duration::ZERO, Event::Arrives);
        world.plan(QUIET, Event::Poke);
        for (index, (at, ..)) in scenario.faults.iter().enumerate() {
            world.plan(*at, Event::Fault(index));
        }
        world
    }

    fn plan(&mut self, after: Duration, event: Event) {
        self.planned += 1;
        self.events.push(Reverse((self.now + after, self.planned, event)));
    }

    /// A length around `mean` by chance.
    fn exponential(&mut self, mean: Duration) -> Duration {
        self.drawn += 1;
        let draw = unit(self.luck.draw(self.drawn, 0, Purpose::Sample));
        Duration::from_nanos((mean.as_nanos() as f64 * -logarithm(1.0 - draw)) as u64)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrives => self.arrive(),
            Event::Fault(index) => {
                let (_, instance, health) = self.scenario.faults[index];
                self.instances[instance].health = health;
                self.start_next(instance);
            }
            Event::Done { instance, job } => {
                self.instances[instance].busy -= 1;
                match self.instances[instance].health {
                    Health::Hung => self.instances[instance].queue.push_front(job),
                    Health::Late(by) => self.plan(by, Event::Answers { job, status: 200 }),
                    _ => self.plan(Duration::ZERO, Event::Answers { job, status: 200 }),
                }
                self.start_next(instance);
            }
            Event::Answers { job: Job { call, attempt }, status } => {
                let head = AnswerFacts { status, retry_after: None, retries_used: false, replaceable: false };
                self.input(call, Input::Head { attempt, head });
            }
            Event::Refuses(Job { call, attempt }) => {
                let (failure, certainty) = (Failure::Refused, Certainty::NotSent);
                self.input(call, Input::Failed { attempt, failure, certainty });
            }
            Event::Times(call) => self.with(call, Call::handle_timeout),
            Event::Poke => {
                self.service.poke(self.now);
                self.admit();
                if let Limit::At(limit) = self.service.view(self.now).limit {
                    self.report.limits.push((self.now, limit));
                }
                if self.is_on() || !self.calls.is_empty() {
                    self.plan(if self.service.waiting() > 0 { BUSY } else { QUIET }, Event::Poke);
                }
            }
        }
    }

    fn is_on(&self) -> bool {
        self.now.since(Instant::ORIGIN) < self.scenario.lasts
    }

    fn arrive(&mut self) {
        if !self.is_on() {
            return;
        }
        let since = self.now.since(Instant::ORIGIN);
        let rate = self.scenario.rates.iter().rev().find(|(from, _)| *from <= since).map_or(1, |(_, rate)| *rate);
        let gap = self.exponential(Duration::from_nanos(1_000_000_000 / rate));
        self.plan(gap, Event::Arrives);
        self.next += 1;
        let facts = Facts {
            method: MethodClass::Safe,
            idempotency_key: false,
            hash: 0,
            deadline: self.now + self.scenario.deadline,
            covers_body: false,
            limited: false,
            priority: (self.scenario.priority)(self.next),
            keyed: false,
            stale: false,
        };
        self.calls.insert(self.next, (Call::new(CallId(self.next), facts, Record::default()), self.now));
        self.input(self.next, Input::Begin);
    }

    fn input(&mut self, call: u64, input: Input) {
        self.with(call, |call, service, now| call.handle_input(service, now, input));
    }

    fn with(&mut self, id: u64, act: impl FnOnce(&mut Call, &mut Service, Instant)) {
        if let Some((call, _)) = self.calls.get_mut(&id) {
            act(call, &mut self.service, self.now);
            self.carry_out(id);
        }
        self.admit();
    }

    fn admit(&mut self) {
        while let Some(admission) = self.service.poll_admitted(self.now) {
            let id = admission.call.0;
            match self.calls.get_mut(&id) {
                Some((call, _)) => {
                    let input = Input::Admitted { turn: admission.turn };
                    call.handle_input(&mut self.service, self.now, input);
                    self.carry_out(id);
                }
                None => self.service.decline(self.now, admission),
            }
        }
    }

    fn carry_out(&mut self, id: u64) {
        while let Some((call, arrived)) = self.calls.get_mut(&id) {
            let Some(output) = call.poll_output() else { break };
            let priority = (self.scenario.priority)(id);
            let ended = |answer, retry_after| Ended {
                arrived: *arrived,
                lasted: self.now.since(*arrived),
                answer,
                priority,
                retry_after,
            };
            match output {
                Output::Attempt(order) => {
                    let job = Job { call: id, attempt: order.attempt };
                    call.handle_input(&mut self.service, self.now, Input::Sent { attempt: order.attempt });
                    self.ask(order.endpoint, job);
                }
                Output::Forward { .. } => {
                    let status = call.record().entries().iter().rev().find_map(|entry| match entry.what {
                        mainstay_policy::Decision::Head { status, .. } => Some(status),
                        _ => None,
                    });
                    self.report.calls.push(ended(Ok(status.unwrap_or(0)), None));
                    call.handle_input(&mut self.service, self.now, Input::Finished { clean: true });
                }
                Output::Refuse(order) => self.report.calls.push(ended(Err(order.refusal), order.retry_after)),
                Output::Cancel { attempt } => {
                    let job = Job { call: id, attempt };
                    self.instances.iter_mut().for_each(|instance| instance.queue.retain(|other| *other != job));
                }
                other => panic!("nobody asked for {other:?}"),
            }
        }
        let Some((call, _)) = self.calls.get(&id) else { return };
        if call.has_ended() {
            self.calls.remove(&id);
        } else if let Some(deadline) = call.poll_timeout() {
            self.plan(deadline.at.since(self.now), Event::Times(id));
        }
    }

    fn ask(&mut self, endpoint: EndpointId, job: Job) {
        let instance = endpoint.slot as usize;
        match self.instances[instance].health {
            Health::Killed => self.plan(Duration::from_micros(100), Event::Refuses(job)),
            Health::Sick => self.plan(Duration::from_millis(1), Event::Answers { job, status: 503 }),
            Health::Hung => self.instances[instance].queue.push_back(job),
            Health::Well | Health::Late(_) if self.instances[instance].queue.len() >= 400 => {
                self.plan(Duration::from_millis(1), Event::Answers { job, status: 503 });
            }
            Health::Well | Health::Late(_) => {
                self.instances[instance].queue.push_back(job);
                self.start_next(instance);
            }
        }
    }

    fn start_next(&mut self, instance: usize) {
        while self.instances[instance].busy < self.scenario.slots && self.instances[instance].health != Health::Hung {
            let Some(job) = self.instances[instance].queue.pop_front() else { return };
            self.instances[instance].busy += 1;
            let mean = self.scenario.service_time;
            let takes = if self.scenario.exponential { self.exponential(mean) } else { mean };
            self.plan(takes, Event::Done { instance, job });
        }
    }
}

/// The natural logarithm of a number above 0 and up to 1, the same on every platform.
fn logarithm(x: f64) -> f64 {
    // Halved until it is near 1, where the series of the inverse hyperbolic tangent is exact after a few terms.
    let (mut x, mut halvings) = (x.max(f64::MIN_POSITIVE), 0.0);
    while x < 0.75 {
        x *= 2.0;
        halvings += 1.0;
    }
    let y = (x - 1.0) / (x + 1.0);
    let (mut power, mut series) = (y, 0.0);
    for n in 0..20 {
        series += power / f64::from(2 * n + 1);
        power *= y * y;
    }
    2.0 * series - halvings * std::f64::consts::LN_2
}
