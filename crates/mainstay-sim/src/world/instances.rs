//! The instances: slots, a queue before them, and what they suffer.
//!
//! A request that comes takes a slot or waits in the queue, holds the slot for as long as the work takes, and is answered.
//! What its caller does meanwhile the instance does not see, unless the scenario says that it does: so work for nobody is
//! done, as by most servers.

use std::collections::VecDeque;
use std::sync::Arc;

use mainstay_config::scenario::{Abandoned, Discipline, FaultKind, Hits, HitsOf, Slower};
use mainstay_core::{Duration, Instant, Limit, MethodClass};

use super::callers::DeedKey;
use super::gateway::{Ask, Asker, Request};
use super::network::{Direction, Path};
use super::{Connect, Deed, Event, World};
use crate::luck::Luck;
use crate::slab::Key;
use crate::stage::Behind;

/// No queue grows longer, whatever a scenario says.
const QUEUE_MAX: usize = 1_000_000;

/// What a job's luck is for, beside its lane.
const TIME: u32 = 1;
const HIT: u32 = 2;
const CALLS: u32 = 3;

/// One process that answers at an endpoint.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) service: u32,
    pub(super) number: u32,
    pub(super) zone: Arc<str>,
    pub(super) path: Path,
    /// Faults that have it dead, standing still, or gone with its machine.
    pub(super) dead: u32,
    pub(super) hung: u32,
    pub(super) silent: u32,
    /// Faults that it works under, by their number.
    pub(super) suffers: Vec<u16>,
    /// How often it has started.
    pub(super) incarnation: u32,
    /// Whether it is there, as its autoscaler sees it.
    pub(super) life: Life,
    /// How often that has changed: news of an earlier life says nothing.
    pub(super) lives: u32,
    /// How often the list of endpoints has taken it on, and off: it stands there while this is odd.
    pub(super) listing: u32,
    /// Faults that leave it without a descriptor, and that expired its certificate.
    pub(super) starved: u32,
    pub(super) distrusted: u32,
    /// When it started, where that was after the beginning.
    pub(super) started: Option<Instant>,
    /// When it stood still last, and how long it has in all, up to the time before.
    stopped: Instant,
    stood: Duration,
    running: u32,
    queue: VecDeque<Key>,
    /// Requests that nobody has read.
    unread: Vec<Key>,
    /// What would have happened while it stood still, and when.
    held: Vec<(Instant, Key)>,
    connections: u64,
    /// By key: until when it is kept.
    cache: Vec<Instant>,
    /// Whatever was kept at the beginning is gone.
    is_cold: bool,
    codel: Codel,
    pub(super) books: Books,
}

/// What an instance did, for a report.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Books {
    /// Attempts that gateways chose it for while no fault was active.
    pub(crate) chosen_calm: u64,
    /// Requests that reached it.
    pub(crate) reached: u64,
    /// Pieces of work that were done.
    pub(crate) done: u64,
    /// Those that had to wait for a slot.
    pub(crate) waited: u64,
    /// How long all of them waited.
    pub(crate) waits: Duration,
    /// How long all of them were there.
    pub(crate) stays: Duration,
    /// How long slots were held.
    pub(crate) busy: Duration,
    /// Refused for want of a place.
    pub(crate) refused: u64,
    /// Those who are there, over time: in call-nanoseconds.
    pub(crate) area: u128,
    pub(crate) there: u32,
    /// Slots that are held, over time: in slot-nanoseconds.
    pub(super) held_area: u128,
    pub(super) held: u32,
    pub(super) turned: Instant,
    /// How long it was there, up to the last time that it left.
    pub(crate) lived: Duration,
    /// Since when it is there.
    pub(super) lives_since: Option<Instant>,
    /// None where there is no end of them.
    pub(crate) slots: Option<u32>,
    pub(super) changed: Instant,
}

impl Books {
    /// Someone comes or leaves.
    fn change(&mut self, now: Instant, by: i32) {
        self.area += u128::from(self.there) * u128::from(now.since(self.changed).as_nanos());
        self.changed = now;
        self.there = self.there.saturating_add_signed(by);
    }

    /// A slot is taken or comes free.
    fn hold(&mut self, now: Instant, by: i32) {
        self.held_area += u128::from(self.held) * u128::from(now.since(self.turned).as_nanos());
        self.turned = now;
        self.held = self.held.saturating_add_signed(by);
    }

    /// It comes, or is gone.
    pub(super) fn live(&mut self, now: Instant, lives: bool) {
        self.lived = self.lived + self.lives_since.map_or(Duration::ZERO, |since| now.since(since));
        self.lives_since = lives.then_some(now);
    }

    /// The books as they are at `now`.
    pub(crate) fn closed(mut self, now: Instant) -> Self {
        self.change(now, 0);
        self.hold(now, 0);
        self.live(now, self.lives_since.is_some());
        self
    }
}

/// Where CoDel stands (Nichols and Jacobson, 2012, in its plain form: all waits above the target for an interval).
#[derive(Debug, Clone, Copy, Default)]
struct Codel {
    /// When waits will have been too long for too long.
    above_until: Option<Instant>,
    dropping: bool,
    next: Instant,
    count: u32,
}

/// A request at an instance, or on its way there and back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    pub(super) call: Key,
    pub(super) attempt: u8,
    pub(super) gateway: u16,
    pub(super) instance: u32,
    pub(super) incarnation: u32,
    pub(super) connection: u64,
    /// Its connection is new.
    pub(super) is_fresh: bool,
    pub(super) number: u64,
    pub(super) lane: u32,
    pub(super) key: u32,
    pub(super) deadline: Instant,
    pub(super) deed: DeedKey,
    pub(super) state: State,
    pub(super) came: Instant,
    pub(super) began: Instant,
    /// How long it held a slot.
    pub(super) work: Duration,
    /// How long its instance had stood still when it was looked at last: what came on top since then it has still to do.
    pub(super) stood: Duration,
    /// Its caller waits for it, as far as the instance knows.
    pub(super) wanted: bool,
    /// It finds what it needs in the cache.
    pub(super) hit: bool,
    /// Calls to others that it has made.
    pub(super) called: u32,
    pub(super) outcome: Outcome,
}

/// Whether an instance is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Absent,
    Starting,
    Running,
    /// It is off the list and still answers.
    Leaving,
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Travelling,
    /// Nobody has read it, or what makes it late has not passed.
    Outside,
    Queued,
    Working,
    /// It waits for somebody whom it calls, and holds its slot.
    Calling,
    /// Somebody has answered whom it called, and it has not read that, for it stands still.
    Heard {
        good: bool,
    },
    Answering,
}

/// What comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Status(u16),
    /// 200, and false.
    False,
    Reset,
    Garbage,
}

/// The instances of one service, as they stand at the beginning.
pub(super) fn of_service(behind: &Behind) -> Vec<Instance> {
    (0..behind.endpoints.len() as u32).map(|number| Instance::new(behind, number)).collect()
}

impl Instance {
    pub(super) fn new(behind: &Behind, number: u32) -> Self {
        let described = &behind.described;
        let full = described.cache.is_some_and(|cache| cache.warm);
        let zone = behind.endpoints.get(number as usize).map_or_else(|| "".into(), |spec| Arc::clone(&spec.zone));
        let is_there = number < behind.at_first;
        Self {
            service: behind.place,
            number,
            zone,
            path: Path::default(),
            dead: u32::from(!is_there),
            hung: 0,
            silent: 0,
            suffers: Vec::new(),
            incarnation: 0,
            life: if is_there { Life::Running } else { Life::Absent },
            lives: 0,
            listing: u32::from(is_there),
            starved: 0,
            distrusted: 0,
            started: None,
            stopped: Instant::ORIGIN,
            stood: Duration::ZERO,
            running: 0,
            queue: VecDeque::new(),
            unread: Vec::new(),
            held: Vec::new(),
            connections: 0,
            cache: Vec::new(),
            is_cold: !full,
            codel: Codel::default(),
            books: Books { lives_since: is_there.then_some(Instant::ORIGIN), ..Books::default() },
        }
    }

    /// Whether it was there all the time, as far as its autoscaler is concerned.
    pub(super) fn is_lasting(&self) -> bool {
        self.life == Life::Running && self.lives == 0
    }

    /// Whether it was ever there.
    pub(super) fn was_there(&self) -> bool {
        self.books.lives_since.is_some() || !self.books.lived.is_zero()
    }

    fn take_slot(&mut self, now: Instant) {
        self.running += 1;
        self.books.hold(now, 1);
    }

    fn free_slot(&mut self, now: Instant) {
        self.running -= 1;
        self.books.hold(now, -1);
    }

    /// What becomes of a connect; none where nobody will say.
    pub(super) fn connect(&self) -> Option<Connect> {
        match (self.silent, self.dead) {
            (0, 0) => Some(if self.distrusted > 0 { Connect::Unreachable } else { Connect::Stands }),
            (0, _) => Some(Connect::Refused),
            _ => None,
        }
    }

    /// The number of the next connection, and of the process that has it.
    pub(super) fn accept(&mut self) -> (u64, u32) {
        self.connections += 1;
        (self.connections, self.incarnation)
    }

    /// Whether nobody there says anything, not even that there is nobody.
    pub(super) fn is_silent(&self) -> bool {
        self.silent > 0
    }

    pub(super) fn chosen(&mut self, calm: bool) {
        self.books.chosen_calm += u64::from(calm);
    }
}

impl World<'_> {
    /// A request is at its instance.
    pub(super) fn reach(&mut self, key: Key) {
        let Some(job) = self.jobs.get_mut(key) else { return };
        let instance = &mut self.instances[job.instance as usize];
        instance.books.reached += 1;
        job.came = self.now;
        if instance.silent > 0 {
            self.lost(key);
        } else if instance.dead > 0 || job.incarnation != instance.incarnation {
            self.answer(key, Outcome::Reset);
        } else if instance.hung > 0 || (instance.starved > 0 && job.is_fresh) {
            job.state = State::Outside;
            instance.unread.push(key);
        } else {
            self.suffer(key);
        }
    }

    /// What is wrong with the instance strikes before the work begins.
    fn suffer(&mut self, key: Key) {
        let Some(job) = self.jobs.get(key).copied() else { return };
        let instance = &self.instances[job.instance as usize];
        let mut late = Duration::ZERO;
        for number in &instance.suffers {
            let luck = self.lucks.faults.of(u64::from(*number));
            let hits = |hits: Hits| struck(luck, hits, &job);
            match self.faults.strikes[usize::from(*number)].kind {
                FaultKind::Limp(delay, of) if hits(of) => late = late + delay,
                FaultKind::Errors(status, of) | FaultKind::Gray(status, of) if hits(of) => {
                    return self.answer(key, Outcome::Status(status));
                }
                FaultKind::Reset(of) if hits(of) => return self.answer(key, Outcome::Reset),
                FaultKind::Stall(of) if hits(of) => return self.lost(key),
                FaultKind::Garbage(of) if hits(of) => return self.answer(key, Outcome::Garbage),
                FaultKind::BadDeploy(share) if luck.strikes(share.get(), job.number, job.lane + HIT) => {
                    return self.answer(key, Outcome::Status(500));
                }
                _ => {}
            }
        }
        if late.is_zero() {
            return self.go_in(key);
        }
        if let Some(job) = self.jobs.get_mut(key) {
            job.state = State::Outside;
        }
        self.plan(late, Event::Enter { job: key });
    }

    pub(super) fn enter(&mut self, key: Key) {
        let Some(job) = self.jobs.get(key).filter(|job| job.state == State::Outside) else { return };
        let instance = &mut self.instances[job.instance as usize];
        if instance.hung > 0 {
            instance.held.push((self.now, key));
        } else {
            self.go_in(key);
        }
    }

    /// Takes a slot, or a place in the queue, or is refused.
    fn go_in(&mut self, key: Key) {
        let Some(job) = self.jobs.get_mut(key) else { return };
        let instance = &mut self.instances[job.instance as usize];
        let described = &self.services[instance.service as usize].described;
        job.came = self.now;
        if is_under(described.concurrency, instance.running) {
            instance.books.change(self.now, 1);
            self.work(key);
        } else if is_under(described.queue, instance.queue.len() as u32) && instance.queue.len() < QUEUE_MAX {
            instance.books.change(self.now, 1);
            job.state = State::Queued;
            instance.queue.push_back(key);
        } else {
            instance.books.refused += 1;
            self.answer(key, Outcome::Status(503));
        }
    }

    fn work(&mut self, key: Key) {
        let Some(job) = self.jobs.get(key).copied() else { return };
        let hit = self.finds(job.instance, job.key);
        let time = self.work_time(&job, hit);
        let instance = &mut self.instances[job.instance as usize];
        instance.take_slot(self.now);
        let stood = instance.stood;
        let wait = self.now.since(job.came);
        instance.books.waited += u64::from(!wait.is_zero());
        instance.books.waits = instance.books.waits + wait;
        if let Some(job) = self.jobs.get_mut(key) {
            (job.state, job.began, job.stood, job.hit) = (State::Working, self.now, stood, hit);
        }
        self.plan(time, Event::Done { job: key });
    }

    /// How long the work takes, if nothing comes between.
    fn work_time(&self, job: &Job, hit: bool) -> Duration {
        let instance = &self.instances[job.instance as usize];
        let described = &self.services[instance.service as usize].described;
        let drawn = match described.cache.filter(|_| hit) {
            Some(cache) => cache.hit_time,
            None => described.service_time,
        };
        let mut time = self.lucks.work.length(&drawn, job.number, job.lane + TIME);
        let others = described.slowdown.get() * f64::from(instance.books.there.saturating_sub(1));
        let mut factor = 1.0 + others;
        if let (Some(warm_up), Some(started)) = (described.warm_up, instance.started) {
            let age = self.now.since(started).as_nanos() as f64 / warm_up.over.as_nanos() as f64;
            factor *= 1.0 + (warm_up.factor - 1.0) * (1.0 - age).max(0.0);
        }
        let mut more = Duration::ZERO;
        for number in &instance.suffers {
            let luck = self.lucks.faults.of(u64::from(*number));
            match self.faults.strikes[usize::from(*number)].kind {
                FaultKind::Slow(slower, of) if struck(luck, of, job) => match slower {
                    Slower::By(delay) => more = more + delay,
                    Slower::Times(times) => factor *= times,
                },
                FaultKind::Cpu(left) => factor /= left.get(),
                _ => {}
            }
        }
        if factor != 1.0 {
            time = time.mul_f64(factor);
        }
        time + more
    }

    pub(super) fn done(&mut self, key: Key) {
        let Some(job) = self.jobs.get_mut(key).filter(|job| job.state == State::Working) else { return };
        let instance = &mut self.instances[job.instance as usize];
        if instance.hung > 0 {
            return instance.held.push((self.now, key));
        }
        // Nothing was done while it stood still, and standing still is no work.
        let missed = instance.stood - job.stood;
        if missed.is_zero() {
            return self.call_others(key);
        }
        (job.began, job.stood) = (job.began + missed, instance.stood);
        self.plan(missed, Event::Done { job: key });
    }

    /// Calls whom the work needs, one after the other, and answers when the last has.
    fn call_others(&mut self, key: Key) {
        let Some(job) = self.jobs.get_mut(key) else { return };
        let behind = &self.services[self.instances[job.instance as usize].service as usize];
        let mut before = 0;
        let next = behind.described.calls.iter().zip(&behind.calls).find_map(|(call, service)| {
            before += call.times;
            (job.called < before).then_some((call, *service, before))
        });
        let Some((call, service, last)) = next.filter(|_| !job.hit) else {
            return self.complete(key, Outcome::Status(200));
        };
        let number = job.called;
        job.called += 1;
        let first = number + call.times == last;
        let luck = self.lucks.calls.of(u64::from(number));
        if first && !luck.strikes(call.share.get(), job.number, job.lane + CALLS) {
            job.called = last;
            return self.call_others(key);
        }
        job.state = State::Calling;
        let leaves = job.deadline.min(self.now + call.deadline);
        let (is_post, key_asked) = (job.deed.is_some(), job.key);
        let method = if is_post { MethodClass::NonIdempotent } else { MethodClass::Safe };
        let request = Request {
            number: luck.bits(job.number, job.lane + CALLS) >> 1,
            workload: 0,
            caller: job.instance,
            key: key_asked,
            method,
            deed: is_post.then(|| self.deeds.insert(Deed { known: 1, done: 0 })),
            due: self.now,
            leaves,
        };
        self.ask(Ask { request, route: service, told: true, from: Asker::Job { job: key, tries: 0 } });
    }

    /// Whom a job has called has answered, or not.
    pub(super) fn called(&mut self, key: Key, good: bool) {
        let Some(job) = self.jobs.get_mut(key).filter(|job| job.state == State::Calling) else { return };
        let instance = &mut self.instances[job.instance as usize];
        if instance.hung > 0 {
            job.state = State::Heard { good };
            return instance.held.push((self.now, key));
        }
        if good { self.call_others(key) } else { self.complete(key, Outcome::Status(502)) }
    }

    /// The work is done: the slot is free for whoever waits.
    fn complete(&mut self, key: Key, outcome: Outcome) {
        let Some(job) = self.jobs.get_mut(key) else { return };
        job.work = self.now.since(job.began);
        let copy = *job;
        if self.keeps_late(copy.instance) || self.is_awaited(key, &copy) {
            self.keep(copy.instance, copy.key, copy.hit || outcome != Outcome::Status(200));
        }
        let instance = &mut self.instances[copy.instance as usize];
        instance.free_slot(self.now);
        let books = &mut instance.books;
        books.change(self.now, -1);
        books.done += 1;
        books.busy = books.busy + copy.work;
        books.stays = books.stays + self.now.since(copy.came);
        if let Some(deed) = copy.deed.and_then(|deed| self.deeds.get_mut(deed)) {
            deed.done += 1;
            if deed.done > 1 {
                self.ledger.duplicated();
            }
        }
        let outcome = if outcome == Outcome::Status(200) && self.is_false(&copy) { Outcome::False } else { outcome };
        self.answer(key, outcome);
        self.serve_next(copy.instance);
    }

    fn is_false(&self, job: &Job) -> bool {
        self.instances[job.instance as usize].suffers.iter().any(|number| {
            let luck = self.lucks.faults.of(u64::from(*number));
            matches!(self.faults.strikes[usize::from(*number)].kind, FaultKind::Wrong(of) if struck(luck, of, job))
        })
    }

    /// Whoever is next takes the slot that came free.
    fn serve_next(&mut self, number: u32) {
        loop {
            let instance = &mut self.instances[number as usize];
            let described = &self.services[instance.service as usize].described;
            if instance.hung > 0 || !is_under(described.concurrency, instance.running) {
                return;
            }
            let next = match described.discipline {
                Discipline::Lifo => instance.queue.pop_back(),
                Discipline::Fifo | Discipline::Codel { .. } => instance.queue.pop_front(),
            };
            let Some(key) = next else { return };
            let Some(job) = self.jobs.get(key) else { continue };
            let expired = described.drop_expired && job.deadline <= self.now;
            let left = described.abandoned != Abandoned::Done && !job.wanted;
            let is_last = instance.queue.is_empty();
            let too_late = match described.discipline {
                Discipline::Codel { target, interval } => {
                    instance.codel.drops(self.now, self.now.since(job.came), is_last, target, interval)
                }
                Discipline::Fifo | Discipline::Lifo => false,
            };
            if expired || left || too_late {
                instance.books.change(self.now, -1);
                self.answer(key, Outcome::Status(503));
            } else {
                self.work(key);
            }
        }
    }

    /// Sends what came of a job back.
    fn answer(&mut self, key: Key, outcome: Outcome) {
        let Some(job) = self.jobs.get_mut(key) else { return };
        (job.state, job.outcome) = (State::Answering, outcome);
        let (gateway, instance, number, lane) = (job.gateway, job.instance, job.number, job.lane);
        match self.pass(gateway, instance, Direction::Back, number, lane) {
            Some(after) => self.plan_message(after, Event::Answer { job: key }),
            None => self.lost(key),
        }
    }

    /// Nobody will ever hear of the job.
    pub(super) fn lost(&mut self, key: Key) {
        if let Some(job) = self.jobs.remove(key) {
            self.ledger.worked(job.work, false);
            self.forget_deed(job.deed);
        }
    }

    /// The gateway does not wait for a job any longer.
    pub(super) fn unwanted(&mut self, key: Key) {
        let Some(job) = self.jobs.get(key) else { return };
        let service = self.instances[job.instance as usize].service;
        if self.services[service as usize].described.abandoned == Abandoned::Done {
            return;
        }
        let (gateway, instance, number, lane) = (job.gateway, job.instance, job.number, job.lane);
        if let Some(after) = self.pass(gateway, instance, Direction::There, number, lane) {
            self.plan(after, Event::Gone { job: key });
        }
    }

    /// The instance learns that the caller has left.
    pub(super) fn gone(&mut self, key: Key) {
        let Some(job) = self.jobs.get_mut(key) else { return };
        job.wanted = false;
        let (instance, state, began) = (job.instance, job.state, job.began);
        let service = self.instances[instance as usize].service;
        let cancels = self.services[service as usize].described.abandoned == Abandoned::Cancelled;
        if cancels && matches!(state, State::Working | State::Calling | State::Heard { .. }) {
            let there = &mut self.instances[instance as usize];
            there.free_slot(self.now);
            there.books.change(self.now, -1);
            let work = self.now.since(began);
            there.books.busy = there.books.busy + work;
            if let Some(job) = self.jobs.get_mut(key) {
                job.work = work;
            }
            self.lost(key);
            self.serve_next(instance);
        }
    }

    /// Everything in the process is lost with it.
    pub(super) fn die(&mut self, number: u32) {
        let inside: Vec<Key> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.instance == number && !matches!(job.state, State::Travelling | State::Answering))
            .map(|(key, _)| key)
            .collect();
        let instance = &mut self.instances[number as usize];
        instance.incarnation += 1;
        instance.queue.clear();
        instance.unread.clear();
        instance.held.clear();
        let books = &mut instance.books;
        let there = i32::try_from(books.there).unwrap_or(i32::MAX);
        books.change(self.now, -there);
        let held = i32::try_from(books.held).unwrap_or(i32::MAX);
        books.hold(self.now, -held);
        instance.running = 0;
        instance.cache.clear();
        instance.codel = Codel::default();
        let silent = instance.silent > 0;
        for key in inside {
            if silent {
                self.lost(key);
            } else {
                self.answer(key, Outcome::Reset);
            }
        }
    }

    /// A process begins anew: cold, and slow at first.
    pub(super) fn start(&mut self, number: u32) {
        let now = self.now;
        let instance = &mut self.instances[number as usize];
        instance.started = Some(now);
        instance.is_cold = true;
    }

    /// What stood still goes on where it stood.
    pub(super) fn go_on(&mut self, number: u32) {
        let instance = &mut self.instances[number as usize];
        let (held, unread) = (std::mem::take(&mut instance.held), std::mem::take(&mut instance.unread));
        let stopped = instance.stopped;
        let stood = self.now.since(stopped);
        instance.stood = instance.stood + stood;
        for (at, key) in held {
            let Some(job) = self.jobs.get_mut(key) else { continue };
            match job.state {
                // It had so much left to do when the process stopped.
                State::Working => {
                    (job.began, job.stood) = (job.began + stood, job.stood + stood);
                    self.plan(at.since(stopped), Event::Done { job: key });
                }
                State::Heard { good } => {
                    job.state = State::Calling;
                    self.called(key, good);
                }
                _ => self.go_in(key),
            }
        }
        self.read(unread);
        self.serve_next(number);
    }

    /// Requests that nobody had read are read.
    fn read(&mut self, unread: Vec<Key>) {
        for key in unread {
            self.suffer(key);
        }
    }

    /// Connections that were not accepted are.
    pub(super) fn accept_waiting(&mut self, number: u32) {
        let unread = std::mem::take(&mut self.instances[number as usize].unread);
        self.read(unread);
    }

    pub(super) fn stop(&mut self, number: u32) {
        self.instances[number as usize].stopped = self.now;
    }
}

/// The caches.
impl World<'_> {
    fn finds(&self, number: u32, key: u32) -> bool {
        let instance = &self.instances[number as usize];
        let Some(cache) = self.services[instance.service as usize].described.cache else { return false };
        match instance.cache.get(key as usize) {
            Some(until) if *until > Instant::ORIGIN => self.now < *until,
            // A full cache was filled over its whole time to live, so its first entries grow old one after the other.
            _ => {
                let age = self.lucks.work.unit(u64::from(number) << 32 | u64::from(key), u32::MAX);
                !instance.is_cold && self.now < Instant::ORIGIN + cache.ttl.mul_f64(age)
            }
        }
    }

    fn keeps_late(&self, number: u32) -> bool {
        let service = self.instances[number as usize].service as usize;
        self.services[service].described.cache.is_none_or(|cache| cache.keeps_late)
    }

    fn keep(&mut self, number: u32, key: u32, known: bool) {
        let instance = &mut self.instances[number as usize];
        let Some(cache) = self.services[instance.service as usize].described.cache.filter(|_| !known) else { return };
        let place = key as usize;
        if instance.cache.len() <= place {
            instance.cache.resize(place + 1, Instant::ORIGIN);
        }
        instance.cache[place] = self.now + cache.ttl;
    }

    /// What is kept is gone.
    pub(super) fn chill(&mut self, number: u32) {
        let instance = &mut self.instances[number as usize];
        instance.cache.clear();
        instance.is_cold = true;
    }
}

impl Codel {
    /// Whether one that waited so long is dropped.
    fn drops(&mut self, now: Instant, waited: Duration, is_last: bool, target: Duration, interval: Duration) -> bool {
        if waited < target || is_last {
            *self = Self { count: self.count, next: self.next, ..Self::default() };
            return false;
        }
        let until = *self.above_until.get_or_insert(now + interval);
        if now < until {
            return false;
        }
        if !self.dropping {
            self.dropping = true;
            // Where it was dropping a moment ago, it goes on nearly where it stopped.
            let recent = self.count > 2 && now.since(self.next) < interval.saturating_mul(16);
            self.count = if recent { self.count - 2 } else { 1 };
            self.next = now + paced(interval, self.count);
            return true;
        }
        if now < self.next {
            return false;
        }
        self.count += 1;
        self.next += paced(interval, self.count);
        true
    }
}

/// The interval by the root of the number of drops, so that throughput falls in a straight line.
fn paced(interval: Duration, count: u32) -> Duration {
    interval.mul_f64(1.0 / f64::from(count).sqrt())
}

fn is_under(limit: Limit<u32>, count: u32) -> bool {
    match limit {
        Limit::Unlimited => true,
        Limit::At(most) => count < most,
    }
}

/// Whether a fault hits a job.
fn struck(luck: Luck, hits: Hits, job: &Job) -> bool {
    match hits.of {
        HitsOf::Requests => luck.strikes(hits.share.get(), job.number, job.lane + HIT),
        HitsOf::Connections => luck.strikes(hits.share.get(), u64::from(job.instance) << 40 | job.connection, u32::MAX),
    }
}
