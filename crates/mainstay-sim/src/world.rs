//! The world: callers, gateways, a network and instances, in one line of time.
//!
//! Whatever happens is an [`Event`]; it is taken from the queue, changes the world, and plans others. The decisions are
//! `mainstay-policy`'s, driven as the gateway drives them (`gateway`, `connections`, `ticks`); the rest is what the
//! gateway stands in: who calls (`callers`), what answers (`instances`), what lies between (`network`), what goes wrong
//! (`faults`).
//!
//! - The same configuration, scenario and seed give the same events in the same order, on every platform.
//! - In steady state nothing is allocated for a call: its place, its record and its jobs were used before.
//! - A play ends when the last call of a caller has; what instances still work on then is work for nobody.

mod books;
mod callers;
mod connections;
mod faults;
mod gateway;
mod instances;
mod limits;
mod network;
mod scaling;
mod ticks;

use std::collections::VecDeque;
use std::sync::Arc;

use mainstay_config::Config;
use mainstay_config::scenario::Scenario;
use mainstay_core::{Duration, Instant, Seed};
use mainstay_policy::{Record, RetrySettings};

use crate::Progress;
use crate::account::Ledger;
use crate::luck::{CALLERS, Luck};
use crate::queue::{Lane, Queue};
use crate::slab::{Key, Slab};
use crate::stage::{Behind, Calls, Stage};

use callers::Course;
pub(crate) use callers::expected;
pub(crate) use faults::Faults;
use gateway::{Gateway, Live, Worker};
pub(crate) use instances::Books;
use instances::{Instance, Job};
use scaling::Scaler;

/// Something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A call of a workload is due.
    Arrive { workload: u16 },
    /// A client has thought and calls again.
    Think { workload: u16, client: u32 },
    /// It is time to look after a call.
    Wake { call: u32 },
    /// An attempt has its connection, or not.
    Connected { call: Key, attempt: u8, how: Connect },
    /// A request is at its instance.
    Reach { job: Key },
    /// It has waited for what makes it late, and goes in.
    Enter { job: Key },
    /// The work is done.
    Done { job: Key },
    /// An answer, or what came in its place, is at the gateway.
    Answer { job: Key },
    /// The instance learns that the caller has left.
    Gone { job: Key },
    /// A worker looks after itself.
    Tick { worker: u32 },
    /// Checks of a service are due at a gateway.
    CheckDue { gateway: u16, service: u16 },
    /// A check is at its instance.
    CheckReach { gateway: u16, service: u16, instance: u32 },
    /// A check is over.
    CheckEnd { gateway: u16, service: u16, instance: u32, how: Checked },
    /// A fault begins, changes or ends.
    Fault { number: u16, step: u32 },
    /// What the instances of a service did is noted for its autoscaler.
    Measure { service: u16 },
    /// The autoscaler sees it.
    Scale { service: u16 },
    /// An instance that was started answers.
    Ready { instance: u32, life: u32 },
    /// One that was to go is gone.
    Left { instance: u32, life: u32 },
    /// A gateway hears of an instance that has come or goes.
    Learn { gateway: u16, instance: u32, listing: u32 },
    /// A second is over.
    Second,
}

/// What became of a connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connect {
    Stands,
    Refused,
    Unreachable,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checked {
    Pass,
    Refused,
    Unreachable,
    ConnectTimeout,
    Timeout,
    Reset,
    Malformed,
    Status(u16),
    Body,
}

/// Everything that there is.
#[derive(Debug)]
pub(crate) struct World<'a> {
    pub(crate) config: &'a Config,
    pub(crate) scenario: &'a Scenario,
    pub(crate) services: Vec<Behind>,
    pub(crate) workloads: Vec<Calls>,
    pub(crate) now: Instant,
    /// No call is due from here on.
    pub(crate) ends: Instant,
    pub(crate) queue: Queue,
    pub(crate) ledger: Ledger,
    pub(crate) faults: Faults,
    courses: Vec<Course>,
    /// By route.
    rules: Vec<Option<Arc<Option<RetrySettings>>>>,
    gateways: Vec<Gateway>,
    workers: Vec<Worker>,
    calls: Slab<Live>,
    /// By the call's place: when somebody looks after it at the latest.
    wakes: Vec<Instant>,
    records: Vec<Record>,
    /// Calls of callers that are under way, and how many more will come.
    open: u64,
    instances: Vec<Instance>,
    jobs: Slab<Job>,
    /// How often a request that must not be repeated was carried out.
    deeds: Slab<Deed>,
    /// Attempts that wait for a connection and may find one now.
    woken: VecDeque<(Key, u8)>,
    /// By service.
    scalers: Vec<Option<Scaler>>,
    lucks: Lucks,
}

/// A request that is not to be carried out twice.
#[derive(Debug, Clone, Copy)]
struct Deed {
    /// Calls and jobs that know of it.
    known: u32,
    done: u32,
}

/// Luck of each kind.
#[derive(Debug, Clone, Copy)]
struct Lucks {
    callers: Luck,
    work: Luck,
    network: Luck,
    faults: Luck,
    checks: Luck,
    calls: Luck,
    scaling: Luck,
}

impl<'a> World<'a> {
    pub(crate) fn new(config: &'a Config, scenario: &'a Scenario, stage: Stage, seed: Seed) -> Self {
        let lucks = Lucks {
            callers: Luck::new(seed, CALLERS),
            work: Luck::new(seed, "work"),
            network: Luck::new(seed, "network"),
            faults: Luck::new(seed, "faults"),
            checks: Luck::new(seed, "checks"),
            calls: Luck::new(seed, "calls"),
            scaling: Luck::new(seed, "scaling"),
        };
        let Stage { services, workloads, faults } = stage;
        let ends = Instant::ORIGIN + scenario.duration;
        let mut world = Self {
            config,
            scenario,
            now: Instant::ORIGIN,
            ends,
            queue: Queue::default(),
            ledger: Ledger::new(scenario),
            courses: callers::courses(&workloads, &faults, ends),
            rules: gateway::rules(config),
            instances: services.iter().flat_map(instances::of_service).collect(),
            faults: Faults { strikes: faults },
            services,
            workloads,
            gateways: Vec::new(),
            workers: Vec::new(),
            calls: Slab::default(),
            wakes: Vec::new(),
            records: Vec::new(),
            open: 0,
            jobs: Slab::default(),
            deeds: Slab::default(),
            woken: VecDeque::new(),
            scalers: Vec::new(),
            lucks,
        };
        world.build_gateways(seed);
        world.plan_faults();
        world.begin_scaling();
        world.begin_workloads();
        world.queue.push(Instant::ORIGIN + Duration::from_secs(1), Event::Second);
        world
    }

    /// Plays to the end, and tells after each second how far that is.
    pub(crate) fn run(&mut self, tell: &mut dyn FnMut(Progress)) {
        while !self.is_over() {
            let Some((at, event)) = self.queue.pop() else { break };
            self.now = at;
            self.happen(event);
            if event == Event::Second {
                tell(self.progress());
            }
        }
        // The last second ends with the play.
        self.sample();
        self.ledger.close(self.now);
    }

    fn progress(&self) -> Progress {
        let share = self.now.since(Instant::ORIGIN).as_nanos() as f64 / self.scenario.duration.as_nanos().max(1) as f64;
        Progress { share: share.min(1.0), calls: self.courses.iter().map(|course| course.calls).sum() }
    }

    fn is_over(&self) -> bool {
        self.now >= self.ends && self.open == 0
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive { workload } => self.arrive(workload),
            Event::Think { workload, client } => self.think(workload, client),
            Event::Wake { call } => self.wake(call),
            Event::Connected { call, attempt, how } => self.connected(call, attempt, how),
            Event::Reach { job } => self.reach(job),
            Event::Enter { job } => self.enter(job),
            Event::Done { job } => self.done(job),
            Event::Answer { job } => self.answered(job),
            Event::Gone { job } => self.gone(job),
            Event::Tick { worker } => self.tick(worker),
            Event::CheckDue { gateway, service } => self.check_due(gateway, service),
            Event::CheckReach { gateway, service, instance } => self.check_reached(gateway, service, instance),
            Event::CheckEnd { gateway, service, instance, how } => self.check_ended(gateway, service, instance, how),
            Event::Fault { number, step } => self.fault(number, step),
            Event::Measure { service } => self.measure(service),
            Event::Scale { service } => self.scale(service),
            Event::Ready { instance, life } => self.ready(instance, life),
            Event::Left { instance, life } => self.left_for_good(instance, life),
            Event::Learn { gateway, instance, listing } => self.learn(gateway, instance, listing),
            Event::Second => self.second(),
        }
        self.serve_waiting();
    }

    fn plan(&mut self, after: Duration, event: Event) {
        self.queue.push(self.now + after, event);
    }

    /// Plans what a message brings.
    fn plan_message(&mut self, after: Duration, event: Event) {
        self.queue.push_in(Lane::Messages, self.now + after, event);
    }

    /// Seconds are counted until the last call has ended.
    fn second(&mut self) {
        self.sample();
        self.plan(Duration::from_secs(1), Event::Second);
    }

    /// A call or a job that knows of a deed is over.
    fn forget_deed(&mut self, deed: Option<Key>) {
        let Some(key) = deed else { return };
        let Some(deed) = self.deeds.get_mut(key) else { return };
        deed.known -= 1;
        if deed.known == 0 {
            self.deeds.remove(key);
        }
    }

    fn share_deed(&mut self, deed: Option<Key>) {
        if let Some(deed) = deed.and_then(|key| self.deeds.get_mut(key)) {
            deed.known += 1;
        }
    }
}
