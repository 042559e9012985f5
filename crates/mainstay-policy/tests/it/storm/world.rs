//! A small world: instances with slots and a queue, workers with their own services and calls, callers that do not wait
//! for ever. Time is a number and luck a seed, so a story is the same whenever it is told.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use mainstay_core::{CallId, Certainty, Duration, Failure, Instant, MethodClass, Purpose, Seed, below, unit};
use mainstay_policy::{
    AnswerFacts, Call, EndpointSpec, Facts, FleetEvent, Input, Output, PermitPool, Priority, Record, Service,
    ServiceEvent, ServiceSettings,
};

/// How long a call keeps its slot at a well instance.
pub(super) type ServiceTime = fn(f64, f64) -> Duration;

/// What is wrong with an instance for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    /// It holds its slots for so much longer.
    Late(u64),
    /// It takes everything and answers when the fault is over.
    Hung,
    /// It takes everything and never answers it.
    Stall,
    /// It answers this at once, to one call of so many.
    Errors(u16, u64),
    /// It breaks one connection of so many at once.
    Reset(u64),
    /// It speaks no HTTP.
    Garbage,
    /// Nobody listens.
    Killed,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Trouble {
    pub(super) slot: u32,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) fault: Fault,
}

pub(super) struct Plan {
    pub(super) workers: u64,
    pub(super) instances: u16,
    pub(super) slots: usize,
    /// Calls a second over all workers.
    pub(super) rate: u64,
    pub(super) seconds: u64,
    pub(super) time: ServiceTime,
    pub(super) settings: ServiceSettings,
    pub(super) deadline: Duration,
    /// Callers leave after this.
    pub(super) patience: Duration,
    pub(super) troubles: Vec<Trouble>,
    pub(super) seed: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            workers: 2,
            instances: 4,
            slots: 8,
            rate: 1_000,
            seconds: 20,
            time: |_, _| Duration::from_millis(10),
            settings: ServiceSettings::default(),
            deadline: Duration::from_secs(15),
            patience: Duration::from_secs(2),
            troubles: Vec::new(),
            seed: 1,
        }
    }
}

/// What a story came to.
pub(super) struct Outcome {
    /// Attempts by instance and second.
    pub(super) landed: Vec<Vec<u32>>,
    /// How long each call took; a failed one as long as its caller's patience.
    pub(super) lengths: Vec<Duration>,
    pub(super) good: usize,
    /// Calls that were not, by the second in which they began.
    pub(super) bad: Vec<u32>,
    /// How often an endpoint was found to limp.
    pub(super) limped: u32,
}

impl Outcome {
    pub(super) fn share_good(&self) -> f64 {
        self.good as f64 / self.lengths.len() as f64
    }

    /// The length that all but `1 - quantile` of the calls keep to.
    pub(super) fn quantile(&self, quantile: f64) -> Duration {
        let mut lengths = self.lengths.clone();
        lengths.sort_unstable();
        lengths[((lengths.len() - 1) as f64 * quantile) as usize]
    }

    /// Attempts at `slot` in these seconds.
    pub(super) fn landed(&self, slot: u32, seconds: std::ops::Range<usize>) -> u32 {
        self.landed[slot as usize][seconds].iter().sum()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive,
    Work(Job),
    Done(Job),
    Timer { worker: usize, call: u64 },
    Leave { worker: usize, call: u64 },
    Exchange,
    Trouble,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Job {
    worker: usize,
    call: u64,
    attempt: u8,
    slot: u32,
}

#[derive(Default)]
struct Instance {
    busy: usize,
    queue: VecDeque<Job>,
    /// Answers that wait for the end of a hang.
    held: Vec<Job>,
}

struct Worker {
    service: Service,
    calls: BTreeMap<u64, Call>,
}

pub(super) struct World {
    plan: Plan,
    now: Instant,
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    instances: Vec<Instance>,
    workers: Vec<Worker>,
    begun: u64,
    drawn: u64,
    numbered: u64,
    outcome: Outcome,
}

/// From a worker to an instance and back.
const WAY: Duration = Duration::from_micros(100);
const EXCHANGE: Duration = Duration::from_millis(5);

impl World {
    pub(super) fn new(plan: Plan) -> Self {
        let specs: Vec<_> = (0..plan.instances)
            .map(|n| EndpointSpec { address: ([10, 0, 0, 1], n).into(), weight: 1, zone: "".into(), backup: false })
            .collect();
        let settings = plan.settings.per_worker(plan.workers as u32);
        let pool = PermitPool::new(settings.bulkhead.concurrency, plan.workers as u32);
        let workers = (0..plan.workers).map(|n| {
            let seed = Seed::new(plan.seed * 1_000 + n);
            let mut service = Service::new(&settings, pool.clone(), seed, Instant::ORIGIN);
            service.update(Instant::ORIGIN, &specs);
            Worker { service, calls: BTreeMap::new() }
        });
        let mut world = Self {
            now: Instant::ORIGIN,
            events: BinaryHeap::new(),
            instances: specs.iter().map(|_| Instance::default()).collect(),
            workers: workers.collect(),
            begun: 0,
            drawn: 0,
            numbered: 0,
            outcome: Outcome {
                landed: vec![vec![0; plan.seconds as usize + 3]; specs.len()],
                lengths: Vec::new(),
                good: 0,
                bad: vec![0; plan.seconds as usize + 1],
                limped: 0,
            },
            plan,
        };
        world.after(Duration::ZERO, Event::Arrive);
        world.after(EXCHANGE, Event::Exchange);
        for trouble in world.plan.troubles.clone() {
            world.after(Duration::from_millis(trouble.from), Event::Trouble);
            world.after(Duration::from_millis(trouble.to), Event::Trouble);
        }
        world
    }

    pub(super) fn run(mut self) -> Outcome {
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            self.now = at;
            match event {
                Event::Arrive => self.arrive(),
                Event::Work(job) => self.work(job),
                Event::Done(job) => self.done(job),
                Event::Timer { worker, call } => self.with(worker, call, |call, service, now| {
                    call.handle_timeout(service, now);
                }),
                Event::Leave { worker, call } => self.tell(worker, call, Input::CallerLeft),
                Event::Exchange => self.exchange(),
                Event::Trouble => self.trouble(),
            }
        }
        self.outcome
    }

    fn after(&mut self, length: Duration, event: Event) {
        self.numbered += 1;
        self.events.push(Reverse((self.now + length, self.numbered, event)));
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        Seed::new(self.plan.seed).derive("world").draw(self.drawn, 0, Purpose::Sample)
    }

    fn one_in(&mut self, n: u64) -> bool {
        below(self.draw(), n) == 0
    }

    fn fault(&self, slot: u32) -> Option<Fault> {
        let millis = self.now.as_nanos() / 1_000_000;
        let mut active = self.plan.troubles.iter().filter(|t| t.slot == slot && (t.from..t.to).contains(&millis));
        active.next().map(|trouble| trouble.fault)
    }

    fn ends(&self) -> Instant {
        Instant::ORIGIN + Duration::from_secs(self.plan.seconds)
    }

    fn arrive(&mut self) {
        // Callers come independently of each other.
        let pause = exponential(unit(self.draw()), Duration::from_nanos(1_000_000_000 / self.plan.rate));
        if self.now + pause < self.ends() {
            self.after(pause, Event::Arrive);
        }
        self.begun += 1;
        let (call, worker) = (self.begun, (self.begun % self.plan.workers) as usize);
        let facts = Facts {
            method: MethodClass::Safe,
            idempotency_key: false,
            hash: call,
            deadline: self.now + self.plan.deadline,
            covers_body: false,
            limited: false,
            priority: Priority::Normal,
            keyed: false,
            stale: false,
        };
        self.workers[worker].calls.insert(call, Call::new(CallId(call), facts, Record::default()));
        self.after(self.plan.patience, Event::Leave { worker, call });
        self.tell(worker, call, Input::Begin);
    }

    fn tell(&mut self, worker: usize, call: u64, input: Input) {
        self.with(worker, call, |call, service, now| call.handle_input(service, now, input));
    }

    fn with(&mut self, worker: usize, id: u64, act: impl FnOnce(&mut Call, &mut Service, Instant)) {
        let now = self.now;
        let Worker { service, calls } = &mut self.workers[worker];
        let Some(mut call) = calls.remove(&id) else { return };
        act(&mut call, service, now);
        self.follow(worker, id, call);
        self.admit(worker);
    }

    fn admit(&mut self, worker: usize) {
        while let Some(admission) = self.workers[worker].service.poll_admitted(self.now) {
            self.tell(worker, admission.call.0, Input::Admitted { turn: admission.turn });
        }
    }

    /// Does what the call wants done.
    fn follow(&mut self, worker: usize, id: u64, mut call: Call) {
        while let Some(output) = call.poll_output() {
            match output {
                Output::Attempt(order) => {
                    let slot = order.endpoint.slot;
                    let second = (self.now.as_nanos() / 1_000_000_000) as usize;
                    let seconds = &mut self.outcome.landed[slot as usize];
                    let last = seconds.len() - 1;
                    seconds[second.min(last)] += 1;
                    self.after(WAY, Event::Work(Job { worker, call: id, attempt: order.attempt, slot }));
                }
                Output::Forward { .. } => {
                    let service = &mut self.workers[worker].service;
                    call.handle_input(service, self.now, Input::Finished { clean: true });
                }
                _ => {}
            }
        }
        if call.has_ended() {
            return self.note(&call);
        }
        if let Some(deadline) = call.poll_timeout() {
            self.after(deadline.at.since(self.now), Event::Timer { worker, call: id });
        }
        self.workers[worker].calls.insert(id, call);
    }

    fn note(&mut self, call: &Call) {
        let length = self.now.since(call.record().began());
        let end = call.record().entries().last().map(|entry| format!("{:?}", entry.what)).unwrap_or_default();
        let good = end.contains("Answered { status: 200 }");
        self.outcome.good += usize::from(good);
        let began = call.record().began().since(Instant::ORIGIN).as_millis() / 1000;
        self.outcome.bad[began as usize] += u32::from(!good);
        self.outcome.lengths.push(if good { length } else { self.plan.patience });
    }

    /// A request has come to an instance.
    fn work(&mut self, job: Job) {
        let fault = self.fault(job.slot);
        match fault {
            Some(Fault::Killed) => self.fail(job, Failure::Refused, Certainty::NotSent),
            Some(Fault::Garbage) => self.fail(job, Failure::Malformed, Certainty::Applied),
            Some(Fault::Reset(n)) if self.one_in(n) => self.fail(job, Failure::Reset, Certainty::Unknown),
            Some(Fault::Errors(status, n)) if self.one_in(n) => self.answer(job, status),
            Some(Fault::Stall) => self.sent(job),
            _ => {
                self.sent(job);
                self.instances[job.slot as usize].queue.push_back(job);
                self.begin_work(job.slot);
            }
        }
    }

    fn sent(&mut self, job: Job) {
        self.tell(job.worker, job.call, Input::Sent { attempt: job.attempt });
    }

    fn begin_work(&mut self, slot: u32) {
        while self.instances[slot as usize].busy < self.plan.slots {
            let Some(job) = self.instances[slot as usize].queue.pop_front() else { return };
            self.instances[slot as usize].busy += 1;
            let (a, b) = (unit(self.draw()), unit(self.draw()));
            let late = match self.fault(slot) {
                Some(Fault::Late(millis)) => Duration::from_millis(millis),
                _ => Duration::ZERO,
            };
            self.after((self.plan.time)(a, b) + late, Event::Done(job));
        }
    }

    fn done(&mut self, job: Job) {
        if self.fault(job.slot) == Some(Fault::Hung) {
            return self.instances[job.slot as usize].held.push(job);
        }
        let instance = &mut self.instances[job.slot as usize];
        instance.busy = instance.busy.saturating_sub(1);
        self.answer(job, 200);
        self.begin_work(job.slot);
    }

    /// A trouble has begun or ended.
    fn trouble(&mut self) {
        for slot in 0..self.plan.instances.into() {
            match self.fault(slot) {
                Some(Fault::Killed) => {
                    let gone = std::mem::take(&mut self.instances[slot as usize]);
                    gone.queue.into_iter().chain(gone.held).for_each(|job| {
                        self.fail(job, Failure::Reset, Certainty::Unknown);
                    });
                }
                Some(Fault::Hung) => {}
                _ => std::mem::take(&mut self.instances[slot as usize].held).into_iter().for_each(|job| self.done(job)),
            }
        }
    }

    fn answer(&mut self, job: Job, status: u16) {
        let head = AnswerFacts { status, retry_after: None, retries_used: false, replaceable: false };
        self.tell(job.worker, job.call, Input::Head { attempt: job.attempt, head });
    }

    fn fail(&mut self, job: Job, failure: Failure, certainty: Certainty) {
        self.tell(job.worker, job.call, Input::Failed { attempt: job.attempt, failure, certainty });
    }

    fn exchange(&mut self) {
        let deltas: Vec<_> = self.workers.iter_mut().map(|worker| worker.service.take_delta()).collect();
        for (at, worker) in self.workers.iter_mut().enumerate() {
            for (_, delta) in deltas.iter().enumerate().filter(|(from, _)| *from != at) {
                worker.service.merge(self.now, delta);
            }
            worker.service.poke(self.now);
            while let Some(event) = worker.service.poll_event() {
                if let ServiceEvent::Fleet(FleetEvent::Limping { .. }) = event {
                    self.outcome.limped += 1;
                }
            }
        }
        (0..self.workers.len()).for_each(|worker| self.admit(worker));
        if self.now < self.ends() {
            self.after(EXCHANGE, Event::Exchange);
        }
    }
}

/// A length of this mean that does not remember how long it has lasted.
#[allow(clippy::disallowed_methods, reason = "luck of the world, which no decision sees")]
pub(super) fn exponential(luck: f64, mean: Duration) -> Duration {
    mean.mul_f64(-(1.0 - luck).ln())
}

/// A number of the normal distribution (G. Box, M. Muller, 1958).
#[allow(clippy::disallowed_methods, reason = "luck of the world, which no decision sees")]
pub(super) fn normal(a: f64, b: f64) -> f64 {
    (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}
