//! The gateways: the driver of [`Call`] and [`mainstay_policy::Service`] in virtual time, step by step what `mainstay-gateway`'s does.
//!
//! A call begins when its request is there; every output is carried out before anything else is looked at; then those
//! whose wait in the queue is over have their turn; and each call is looked after at the latest when its own deadline,
//! its attempt's or its caller's patience ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstay_config::{Config, Route, RouteRetry, Target};
use mainstay_core::{CallId, EndpointId, Instant, MethodClass, Purpose, Seed, below};
use mainstay_policy::{
    Admission, AnswerFacts, Call, Facts, Input, Output, PermitPool, Pool, Priority, Refusal, RetrySettings,
};

use super::callers::DeedKey;
use super::connections::{Link, Try};
use super::limits::{Hearing, Limit};
use super::ticks::Checks;
use super::{Event, World};
use crate::account::Failed;
use crate::desk::Desk;
use crate::slab::Key;

/// Attempts of one call that can run at once.
pub(super) const TRIES: usize = 1 + mainstay_policy::HEDGES_MAX as usize;
/// Calls of different workers have different luck.
const WORKER_CALLS: u32 = 48;
/// Records that lie ready.
const SPARE: usize = 4096;

/// One gateway: what its workers share.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) zone: Arc<str>,
    pub(super) limits: Vec<Limit>,
    /// By service; none where none are configured.
    pub(super) checks: Vec<Option<Checks>>,
    /// By instance: how often the list had changed there that it knows.
    pub(super) listings: Vec<u32>,
    /// The first of its workers.
    pub(super) first: u32,
    /// Its zone is gone.
    pub(super) is_down: bool,
}

/// One thread of a gateway.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) gateway: u16,
    pub(super) is_first: bool,
    pub(super) cells: Vec<Cell>,
    calls: u64,
    /// When it looks after everything next, and not only after those that wait.
    pub(super) slow: Instant,
}

/// One service on one worker.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) service: Desk,
    /// By slot.
    pub(super) endpoints: Vec<Option<Endpoint>>,
    /// Calls in the queue.
    pub(super) waiting: BTreeMap<CallId, Key>,
}

/// One endpoint and the connections to it.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) id: EndpointId,
    pub(super) instance: u32,
    pub(super) pool: Pool,
    /// By number.
    pub(super) links: Vec<Link>,
    /// Attempts that wait for one.
    pub(super) waiting: Vec<(Key, u8)>,
}

/// What a caller wants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    /// Which of all: its luck.
    pub(super) number: u64,
    pub(super) workload: u16,
    pub(super) caller: u32,
    pub(super) key: u32,
    pub(super) method: MethodClass,
    pub(super) deed: DeedKey,
    /// When it was due.
    pub(super) due: Instant,
    /// When the caller leaves.
    pub(super) leaves: Instant,
}

/// Who waits for an answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asker {
    /// A caller, which asks so often again by itself.
    Caller { client: u32, again: u32, tries: u32 },
    /// An instance, for a piece of work.
    Job { job: Key, tries: u32 },
}

impl Asker {
    /// How often it was asked before: another time has other luck.
    pub(super) fn tries(self) -> u32 {
        match self {
            Self::Caller { tries, .. } | Self::Job { tries, .. } => tries,
        }
    }
}

/// A request on its way to a gateway.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    pub(super) request: Request,
    pub(super) route: usize,
    /// The caller tells its deadline.
    pub(super) told: bool,
    pub(super) from: Asker,
}

/// A call under way.
#[derive(Debug)]
pub(super) struct Live {
    call: Call,
    pub(super) worker: u32,
    pub(super) service: u32,
    pub(super) ask: Ask,
    facts: Facts,
    /// Attempts that run.
    pub(super) tries: [Option<Try>; TRIES],
    /// The attempt before broke on a used connection.
    pub(super) stale: bool,
    /// It stands in the service's queue.
    queued: bool,
    pub(super) hearing: Hearing,
    /// What has gone down.
    given: Option<Given>,
    /// The caller has left.
    left: bool,
    /// The answer under way is false.
    pub(super) is_false: bool,
    /// Calls whose fallback it is, the caller's own first.
    outer: Vec<(Call, u32)>,
}

/// What a caller got.
#[derive(Debug, Clone, Copy)]
enum Given {
    Answer(u16),
    Refusal(Refusal),
    Fixed(u16),
}

impl Live {
    /// When the call must have an answer.
    pub(super) fn deadline(&self) -> Instant {
        self.facts.deadline
    }

    /// What was decided about the call.
    pub(super) fn record(&self) -> &mainstay_policy::Record {
        self.call.record()
    }
}

impl World<'_> {
    pub(super) fn build_gateways(&mut self, seed: Seed) {
        let spec = &self.scenario.gateways;
        let common = crate::luck::Luck::new(seed, "gateways");
        for number in 0..spec.count {
            let zone = match spec.zones.get(number as usize % spec.zones.len().max(1)) {
                Some(zone) => zone.as_str().into(),
                None => self.config.node.zone.as_str().into(),
            };
            let first = self.workers.len() as u32;
            let seed = common.of(u64::from(number)).seed();
            let checks = self.checks(seed);
            let limits = self.config.rate_limits.iter().map(|limit| Limit::new(limit, seed)).collect();
            let listings = self.instances.iter().map(|instance| instance.listing).collect();
            self.gateways.push(Gateway { zone, limits, checks, listings, first, is_down: false });
            self.build_workers(number as u16, seed);
        }
        self.plan_checks();
    }

    fn build_workers(&mut self, gateway: u16, seed: Seed) {
        let workers = self.scenario.gateways.workers;
        let settings = self.config.services.iter().map(|service| {
            let mut settings = service.policy.per_worker(workers);
            if service.zone_aware {
                settings.zone = Arc::clone(&self.gateways[usize::from(gateway)].zone);
            }
            settings
        });
        let settings: Vec<_> = settings.collect();
        let pools: Vec<_> = self
            .config
            .services
            .iter()
            .map(|service| PermitPool::new(service.policy.bulkhead.concurrency, workers))
            .collect();
        for number in 0..workers {
            let cells = self.config.services.iter().zip(&settings).zip(&pools).map(|((service, settings), pool)| {
                let mut core = Desk::begin(settings, pool.clone(), seed.derive(&service.name), self.now);
                core.configure(self.now, settings);
                Cell { service: core, endpoints: Vec::new(), waiting: BTreeMap::new() }
            });
            let cells = cells.collect();
            let calls = u64::from(number) << WORKER_CALLS;
            let place = self.workers.len() as u32;
            self.workers.push(Worker { gateway, is_first: number == 0, cells, calls, slow: self.now });
            for service in 0..self.services.len() {
                self.update_endpoints(place, service);
            }
            self.queue.push(self.now, Event::Tick { worker: place });
        }
    }

    /// A worker learns which endpoints a service has now.
    pub(super) fn update_endpoints(&mut self, worker: u32, service: usize) {
        let behind = &self.services[service];
        let listings = &self.gateways[usize::from(self.workers[worker as usize].gateway)].listings;
        let cell = &mut self.workers[worker as usize].cells[service];
        let changes = if behind.described.autoscale.is_some() {
            let all = behind.endpoints.iter().zip(behind.instances.clone());
            let known = all.filter(|(_, number)| listings[*number as usize] % 2 == 1);
            cell.service.update(self.now, &known.map(|(spec, _)| spec.clone()).collect::<Vec<_>>())
        } else {
            cell.service.update(self.now, &behind.endpoints)
        };
        for id in changes.removed {
            let gone = cell.endpoints.get_mut(id.slot as usize).and_then(Option::take);
            // Who waits for a connection there looks again, and finds that it is gone.
            self.woken.extend(gone.into_iter().flat_map(|endpoint| endpoint.waiting));
        }
        for id in changes.added {
            let Some(address) = cell.service.address(id) else { continue };
            let Some(number) = behind.endpoints.iter().position(|spec| spec.address == address) else { continue };
            let instance = behind.instances.start + number as u32;
            let slot = id.slot as usize;
            if cell.endpoints.len() <= slot {
                cell.endpoints.resize_with(slot + 1, || None);
            }
            let pool = Pool::new(&cell.service.settings().pool);
            cell.endpoints[slot] = Some(Endpoint { id, instance, pool, links: Vec::new(), waiting: Vec::new() });
        }
    }

    /// A request comes to a gateway.
    pub(super) fn ask(&mut self, ask: Ask) {
        let Some(worker) = self.worker_for(ask.request.caller) else { return self.unanswered(&ask) };
        let begun = &mut self.workers[worker as usize].calls;
        let id = CallId(*begun);
        *begun += 1;
        let (service, retry, facts) = match ask.from {
            Asker::Caller { .. } => {
                let route = &self.config.routes[ask.route];
                let draw = self.lucks.calls.seed().draw(ask.request.number, ask.from.tries(), Purpose::Split);
                let service = side_of(&route.target, draw);
                let own = ask.request.leaves.since(self.now);
                let covers_body = ask.told && own <= route.timeout;
                let allowed = if covers_body { own } else { route.timeout };
                let facts = self.facts(&ask, service, self.now + allowed, covers_body, route.priority);
                let facts = Facts { limited: !route.rate_limits.is_empty(), ..facts };
                (service, self.rules[ask.route].clone(), facts)
            }
            Asker::Job { .. } => {
                let facts = self.facts(&ask, ask.route, ask.request.leaves, true, Priority::Normal);
                (ask.route, None, facts)
            }
        };
        self.begin(id, worker, service, ask, facts, retry);
    }

    fn facts(&self, ask: &Ask, service: usize, deadline: Instant, covers_body: bool, priority: Priority) -> Facts {
        let configured = &self.config.services[service];
        let hash = if configured.policy.balance.goes_by_key() {
            let of = match configured.hash_on {
                mainstay_config::HashOn::Path | mainstay_config::HashOn::Query(_) => u64::from(ask.request.key),
                _ => 1 << 32 | u64::from(ask.request.caller),
            };
            self.lucks.calls.bits(of, 1)
        } else {
            0
        };
        Facts {
            method: ask.request.method,
            idempotency_key: false,
            hash,
            deadline,
            covers_body,
            limited: false,
            priority,
            keyed: false,
            stale: false,
        }
    }

    fn begin(
        &mut self,
        id: CallId,
        worker: u32,
        service: usize,
        ask: Ask,
        facts: Facts,
        retry: Option<Arc<Option<RetrySettings>>>,
    ) {
        let record = self.records.pop().unwrap_or_default();
        let mut call = Desk::call(id, facts, record);
        if let Some(rule) = retry {
            Desk::set_retry(&mut call, rule);
        }
        let key = self.calls.insert(Live {
            call,
            worker,
            service: service as u32,
            ask,
            facts,
            tries: [None; TRIES],
            stale: false,
            queued: false,
            hearing: Hearing::default(),
            given: None,
            left: false,
            is_false: false,
            outer: Vec::new(),
        });
        if self.wakes.len() <= key.place as usize {
            self.wakes.push(Instant::FAR_FUTURE);
        }
        self.input(key, Input::Begin);
        self.drive(key);
    }

    /// The worker that a caller's connections lead to; none where every gateway is down.
    fn worker_for(&self, caller: u32) -> Option<u32> {
        let workers = self.scenario.gateways.workers;
        let count = self.gateways.len() as u32;
        let up = |number: &u32| !self.gateways[*number as usize].is_down;
        let gateway = (0..count).map(|next| (caller + next) % count).find(up)?;
        Some(self.gateways[gateway as usize].first + caller / count % workers)
    }

    /// Nobody is there to ask.
    fn unanswered(&mut self, ask: &Ask) {
        self.over(ask, false, Failed::Nobody);
    }

    pub(super) fn input(&mut self, key: Key, input: Input) {
        let Some(live) = self.calls.get_mut(key) else { return };
        let cell = &mut self.workers[live.worker as usize].cells[live.service as usize];
        cell.service.input(&mut live.call, self.now, input);
    }

    /// Does what the call says until it says no more, and lets others have their turn.
    pub(super) fn drive(&mut self, key: Key) {
        let Some(live) = self.calls.get(key) else { return };
        let (worker, mut service) = (live.worker, live.service);
        self.follow(key);
        self.admit(worker, service);
        // A call that went over to a fallback has left permits at the service before.
        while let Some(live) = self.calls.get(key).filter(|live| live.service != service) {
            service = live.service;
            self.admit(worker, service);
        }
    }

    fn follow(&mut self, key: Key) {
        loop {
            while let Some(output) = self.calls.get_mut(key).and_then(|live| live.call.poll_output()) {
                self.carry_out(key, output);
            }
            let Some(live) = self.calls.get_mut(key) else { return };
            if !live.call.has_ended() {
                break;
            }
            let answered = live.given.is_some();
            if live.outer.is_empty() {
                return self.ended(key);
            }
            self.leave_fallback(key, answered);
        }
        self.note_queue(key);
        self.plan_wake(key);
    }

    /// Whether the call stands in its service's queue may have changed.
    fn note_queue(&mut self, key: Key) {
        let Some(live) = self.calls.get_mut(key) else { return };
        let queued = live.call.is_queued();
        if queued == live.queued {
            return;
        }
        live.queued = queued;
        let waiting = &mut self.workers[live.worker as usize].cells[live.service as usize].waiting;
        if queued {
            waiting.insert(live.call.id(), key);
        } else {
            waiting.remove(&live.call.id());
        }
    }

    /// Whose wait in the queue is over has its turn.
    pub(super) fn admit(&mut self, worker: u32, service: u32) {
        loop {
            let cell = &mut self.workers[worker as usize].cells[service as usize];
            let Some(admission) = cell.service.next_turn(self.now) else { return };
            let Admission { call, turn } = admission;
            match cell.waiting.remove(&call) {
                Some(key) => {
                    if let Some(live) = self.calls.get_mut(key) {
                        live.queued = false;
                    }
                    self.input(key, Input::Admitted { turn });
                    self.follow(key);
                }
                None => cell.service.decline(self.now, admission),
            }
        }
    }

    fn carry_out(&mut self, key: Key, output: Output) {
        match output {
            Output::AskLimits => self.ask_limits(key),
            Output::Attempt(order) => self.begin_attempt(key, order),
            Output::Cancel { attempt } => self.cancel(key, attempt),
            Output::Forward { attempt, .. } => self.forward(key, attempt),
            Output::FallbackService => self.enter_fallback(key),
            Output::Respond => self.respond(key),
            Output::Refuse(order) => self.refuse(key, order.refusal),
            // No simulated request carries a key, and no answer is kept.
            Output::AskKey | Output::Replay | Output::RespondStale(_) | Output::Abort => {}
            Output::AskStale => self.input(key, Input::Stale(None)),
            Output::LookForStale { attempt } => self.input(key, Input::StaleIsKept { attempt, kept: false }),
        }
    }

    fn respond(&mut self, key: Key) {
        let Some(live) = self.calls.get(key) else { return };
        let configured = self.config.services[live.service as usize].fallback.respond.as_ref();
        self.give(key, Given::Fixed(configured.map_or(200, |answer| answer.status)));
    }

    fn give(&mut self, key: Key, given: Given) {
        if let Some(live) = self.calls.get_mut(key) {
            live.given = Some(given);
        }
    }

    fn refuse(&mut self, key: Key, refusal: Refusal) {
        // The refusal of a fallback is not the caller's: the call before it goes on.
        if self.calls.get(key).is_some_and(|live| live.outer.is_empty()) {
            self.give(key, Given::Refusal(refusal));
        }
    }

    /// The head of an answer goes down, and all of its body with it.
    fn forward(&mut self, key: Key, attempt: u8) {
        let Some(live) = self.calls.get_mut(key) else { return };
        let status = live.tries.iter().flatten().find(|tried| tried.attempt == attempt).and_then(|tried| tried.status);
        live.given = status.map(Given::Answer);
        self.end_try(key, attempt);
        self.input(key, Input::Finished { clean: true });
    }

    fn enter_fallback(&mut self, key: Key) {
        let Some(live) = self.calls.get(key) else { return };
        let worker = live.worker as usize;
        let Some(next) = self.config.services[live.service as usize].fallback.service else {
            return self.input(key, Input::FallbackEnded { answered: false });
        };
        let (ask, facts) = (live.ask, live.facts);
        let facts =
            Facts { limited: false, ..self.facts(&ask, next.0, facts.deadline, facts.covers_body, facts.priority) };
        let begun = &mut self.workers[worker].calls;
        let id = CallId(*begun);
        *begun += 1;
        let record = self.records.pop().unwrap_or_default();
        if let Some(live) = self.calls.get_mut(key) {
            let outer = std::mem::replace(&mut live.call, Desk::call(id, facts, record));
            live.outer.push((outer, live.service));
            live.service = next.0 as u32;
        }
        self.input(key, Input::Begin);
    }

    /// The fallback's call is over; the call before it goes on.
    fn leave_fallback(&mut self, key: Key, answered: bool) {
        let Some(live) = self.calls.get_mut(key) else { return };
        let Some((outer, service)) = live.outer.pop() else { return };
        let mut inner = std::mem::replace(&mut live.call, outer);
        live.service = service;
        live.queued = false;
        let left = live.left;
        let record = inner.take_record();
        self.spare(record);
        self.input(key, if left { Input::CallerLeft } else { Input::FallbackEnded { answered } });
    }

    fn spare(&mut self, record: mainstay_policy::Record) {
        if self.records.len() < SPARE {
            self.records.push(record);
        }
    }

    /// Nothing more comes of the call.
    fn ended(&mut self, key: Key) {
        self.note_queue(key);
        self.tell_limits(key);
        let Some(live) = self.calls.get_mut(key) else { return };
        let record = live.call.take_record();
        let ask = live.ask;
        let (good, failed) = match live.given {
            Some(Given::Answer(_)) if live.is_false => (false, Failed::False),
            Some(Given::Answer(status)) => (status < 400, Failed::Answered(status)),
            Some(Given::Refusal(refusal)) => (false, Failed::Refused(refusal)),
            Some(Given::Fixed(status)) => (false, Failed::Fixed(status)),
            None => (false, Failed::Left),
        };
        self.calls.discard(key);
        self.spare(record);
        self.over(&ask, good, failed);
    }

    /// Whoever asked knows what came of it.
    fn over(&mut self, ask: &Ask, good: bool, failed: Failed) {
        let Request { workload, deed, due, leaves, .. } = ask.request;
        match ask.from {
            Asker::Caller { client, again, tries } if !good && tries < again && self.now < leaves => {
                self.ask(Ask { from: Asker::Caller { client, again, tries: tries + 1 }, ..*ask });
            }
            Asker::Caller { client, .. } => {
                self.ledger.over(due, self.now, workload, good, failed);
                self.open -= 1;
                self.forget_deed(deed);
                if client != u32::MAX {
                    self.think_again(workload, client);
                }
            }
            Asker::Job { job, .. } => {
                self.forget_deed(deed);
                // A program takes a fixed answer for what its status says; that it is not the right one only people see.
                self.called(job, good || matches!(failed, Failed::Fixed(status) if status < 400));
            }
        }
    }

    /// Has somebody look after the call when its next deadline comes.
    fn plan_wake(&mut self, key: Key) {
        let Some(live) = self.calls.get(key) else { return };
        let own = live.call.poll_timeout().map_or(Instant::FAR_FUTURE, |deadline| deadline.at);
        let at = own.min(live.ask.request.leaves).max(self.now);
        let wake = &mut self.wakes[key.place as usize];
        if at < *wake {
            *wake = at;
            self.queue.push(at, Event::Wake { call: key.place });
        }
    }

    pub(super) fn wake(&mut self, place: u32) {
        // One that was planned earlier has overtaken this one.
        if self.wakes[place as usize] != self.now {
            return;
        }
        self.wakes[place as usize] = Instant::FAR_FUTURE;
        let Some(key) = self.calls.at(place) else { return };
        let Some(live) = self.calls.get_mut(key) else { return };
        // A deadline that is told is told in whole milliseconds, rounded down: the gateway is there first.
        let ends = live.ask.told && live.facts.deadline <= self.now;
        if ends || self.now < live.ask.request.leaves {
            let cell = &mut self.workers[live.worker as usize].cells[live.service as usize];
            cell.service.time(&mut live.call, self.now);
            self.drive(key);
        }
        if self.calls.get(key).is_some_and(|live| self.now >= live.ask.request.leaves) {
            self.caller_leaves(key);
            self.drive(key);
        }
    }

    /// The caller has waited for as long as it would.
    fn caller_leaves(&mut self, key: Key) {
        if let Some(live) = self.calls.get_mut(key) {
            live.left = true;
        }
        self.input(key, Input::CallerLeft);
    }

    /// What an answer's head says.
    pub(super) fn head(status: u16) -> AnswerFacts {
        AnswerFacts { status, retry_after: None, retries_used: false, replaceable: false }
    }
}

/// The rules for retries that routes have for themselves.
pub(super) fn rules(config: &Config) -> Vec<Option<Arc<Option<RetrySettings>>>> {
    let rule = |route: &Route| match &route.retry {
        RouteRetry::Service => None,
        RouteRetry::Own(rule) => Some(Arc::new(rule.clone())),
    };
    config.routes.iter().map(rule).collect()
}

/// The side of a split that a draw takes.
fn side_of(target: &Target, draw: u64) -> usize {
    match target {
        Target::Service(id) => id.0,
        Target::Redirect(_) => 0,
        Target::Split(parts) => {
            let whole: u64 = parts.iter().map(|(_, weight)| u64::from(*weight)).sum();
            let mut place = below(draw, whole);
            for (id, weight) in parts {
                match place.checked_sub(u64::from(*weight)) {
                    Some(rest) => place = rest,
                    None => return id.0,
                }
            }
            0
        }
    }
}
