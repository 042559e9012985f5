//! Attempts on connections: found in the pool or opened, written to, answered, broken.

use mainstay_core::{Certainty, Duration, EndpointId, Failure};
use mainstay_policy::{AttemptOrder, AttemptReason, Checkout, ConnectionId, Freshness, Input};

use super::gateway::Asker;
use super::instances::{Job, Outcome, State};
use super::network::Direction;
use super::{Connect, Event, World};
use crate::slab::Key;

/// A connection as the gateway holds it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Link {
    /// How often the instance had started when it was opened.
    incarnation: u32,
    /// Which of the instance's connections it is: its luck.
    number: u64,
    /// Requests before this one.
    served: u32,
}

/// One attempt under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Try {
    pub(super) attempt: u8,
    endpoint: EndpointId,
    instance: u32,
    /// None while it waits for one.
    connection: Option<ConnectionId>,
    /// The status of its answer, which is whole.
    pub(super) status: Option<u16>,
    job: Key,
}

impl World<'_> {
    pub(super) fn begin_attempt(&mut self, key: Key, order: AttemptOrder) {
        let AttemptOrder { attempt, endpoint, why, .. } = order;
        let Some(live) = self.calls.get_mut(key) else { return };
        let cell = &self.workers[live.worker as usize].cells[live.service as usize];
        let there = cell.endpoints.get(endpoint.slot as usize).and_then(Option::as_ref);
        // The endpoint was chosen in this very step, so it is there.
        let Some(instance) = there.filter(|there| there.id == endpoint).map(|there| there.instance) else {
            let (failure, certainty) = (Failure::Unreachable, Certainty::NotSent);
            return self.input(key, Input::Failed { attempt, failure, certainty });
        };
        if let Some(free) = live.tries.iter_mut().find(|tried| tried.is_none()) {
            *free = Some(Try { attempt, endpoint, instance, connection: None, status: None, job: Key::NONE });
        }
        let retry = !matches!(why, AttemptReason::First);
        let workload = matches!(live.ask.from, Asker::Caller { .. }).then_some(live.ask.request.workload);
        self.ledger.attempt(self.now, retry, workload);
        self.instances[instance as usize].chosen(self.ledger.is_calm());
        self.find_connection(key, attempt);
    }

    fn find_connection(&mut self, key: Key, attempt: u8) {
        let Some(live) = self.calls.get_mut(key) else { return };
        let needs = if live.stale { Freshness::New } else { Freshness::of(live.ask.request.method) };
        let Some(tried) = live.tries.iter_mut().flatten().find(|tried| tried.attempt == attempt) else { return };
        let cells = &mut self.workers[live.worker as usize].cells[live.service as usize].endpoints;
        let cell = cells.get_mut(tried.endpoint.slot as usize).and_then(Option::as_mut);
        let Some(cell) = cell.filter(|cell| cell.id == tried.endpoint) else {
            return self.fail(key, attempt, Failure::Unreachable, Certainty::NotSent);
        };
        let instance = &self.instances[tried.instance as usize];
        loop {
            let checkout = cell.pool.checkout(self.now, needs);
            while cell.pool.poll_expired(self.now).is_some() {}
            match checkout {
                Checkout::Reuse(id) => {
                    // A process that died has closed its connections, and that is seen before they are used again.
                    if cell.links[id.0 as usize].incarnation != instance.incarnation && !instance.is_silent() {
                        cell.pool.closed(id);
                        continue;
                    }
                    tried.connection = Some(id);
                    self.input(key, Input::Connected { attempt });
                    return self.send(key, attempt);
                }
                Checkout::Connect(id) => {
                    tried.connection = Some(id);
                    return self.connect(key, attempt, id);
                }
                Checkout::Full => {
                    cell.waiting.push((key, attempt));
                    return self.input(key, Input::Waits { attempt });
                }
            }
        }
    }

    fn connect(&mut self, key: Key, attempt: u8, id: ConnectionId) {
        let Some((place, instance, tried)) = self.place_of(key, attempt) else { return };
        let (number, incarnation) = self.instances[instance as usize].accept();
        let (worker, service) = place;
        let cells = &mut self.workers[worker as usize].cells[service as usize].endpoints;
        if let Some(cell) = cells.get_mut(tried.endpoint.slot as usize).and_then(Option::as_mut) {
            if cell.links.len() <= id.0 as usize {
                cell.links.resize(id.0 as usize + 1, Link::default());
            }
            cell.links[id.0 as usize] = Link { incarnation, number, served: 0 };
        }
        if !self.scenario.network.handshake && self.instances[instance as usize].connect() == Some(Connect::Stands) {
            self.input(key, Input::Connected { attempt });
            return self.send(key, attempt);
        }
        let gateway = self.workers[worker as usize].gateway;
        // Nobody hears of what is lost; the call's own time ends the wait.
        let Some(takes) = self.there_and_back(gateway, instance, number) else { return };
        if let Some(how) = self.instances[instance as usize].connect() {
            self.plan(takes, Event::Connected { call: key, attempt, how });
        }
    }

    /// Where an attempt is: worker and service, instance, and itself.
    fn place_of(&self, key: Key, attempt: u8) -> Option<((u32, u32), u32, Try)> {
        let live = self.calls.get(key)?;
        let tried = live.tries.iter().flatten().find(|tried| tried.attempt == attempt)?;
        Some(((live.worker, live.service), tried.instance, *tried))
    }

    pub(super) fn connected(&mut self, key: Key, attempt: u8, how: Connect) {
        if self.place_of(key, attempt).is_none() {
            return;
        }
        match how {
            Connect::Stands => {
                self.input(key, Input::Connected { attempt });
                self.send(key, attempt);
            }
            Connect::Refused => self.fail(key, attempt, Failure::Refused, Certainty::NotSent),
            Connect::Unreachable => self.fail(key, attempt, Failure::Unreachable, Certainty::NotSent),
        }
        self.drive(key);
    }

    /// The request goes out.
    fn send(&mut self, key: Key, attempt: u8) {
        self.input(key, Input::Sent { attempt });
        let Some(((worker, service), instance, tried)) = self.place_of(key, attempt) else { return };
        let Some(id) = tried.connection else { return };
        let gateway = self.workers[worker as usize].gateway;
        let cells = &self.workers[worker as usize].cells[service as usize].endpoints;
        let link =
            cells.get(tried.endpoint.slot as usize).and_then(Option::as_ref).map(|cell| cell.links[id.0 as usize]);
        let (Some(link), Some(live)) = (link, self.calls.get(key)) else { return };
        let ask = live.ask;
        let lane = ask_lane(ask.from, attempt);
        let deadline = live.deadline();
        let job = Job {
            call: key,
            attempt,
            gateway,
            instance,
            incarnation: link.incarnation,
            connection: link.number,
            is_fresh: link.served == 0,
            number: ask.request.number,
            lane,
            key: ask.request.key,
            deadline,
            deed: ask.request.deed,
            state: State::Travelling,
            came: self.now,
            began: self.now,
            work: Duration::ZERO,
            stood: Duration::ZERO,
            wanted: true,
            hit: false,
            called: 0,
            outcome: Outcome::Reset,
        };
        let job = self.jobs.insert(job);
        self.share_deed(ask.request.deed);
        if let Some(tried) = self.try_mut(key, attempt) {
            tried.job = job;
        }
        match self.pass(gateway, instance, Direction::There, ask.request.number, lane) {
            Some(after) => self.plan_message(after, Event::Reach { job }),
            None => self.lost(job),
        }
    }

    fn try_mut(&mut self, key: Key, attempt: u8) -> Option<&mut Try> {
        let live = self.calls.get_mut(key)?;
        live.tries.iter_mut().flatten().find(|tried| tried.attempt == attempt)
    }

    /// An answer, or what came in its place, is at the gateway.
    pub(super) fn answered(&mut self, key: Key) {
        let Some(job) = self.jobs.remove(key) else { return };
        let awaited = self.try_mut(job.call, job.attempt).filter(|tried| tried.job == key);
        if let Some(tried) = awaited {
            tried.job = Key::NONE;
            self.ledger.worked(job.work, true);
            self.deliver(&job);
        } else {
            self.ledger.worked(job.work, false);
        }
        self.forget_deed(job.deed);
    }

    /// Whether the gateway still waits for a job.
    pub(super) fn is_awaited(&self, key: Key, job: &Job) -> bool {
        self.calls.get(job.call).is_some_and(|live| live.tries.iter().flatten().any(|tried| tried.job == key))
    }

    fn deliver(&mut self, job: &Job) {
        let (call, attempt) = (job.call, job.attempt);
        match job.outcome {
            Outcome::Status(status) => self.take_head(call, attempt, status, false),
            Outcome::False => self.take_head(call, attempt, 200, true),
            Outcome::Reset => self.fail(call, attempt, Failure::Reset, Certainty::Unknown),
            Outcome::Garbage => self.fail(call, attempt, Failure::Malformed, Certainty::Unknown),
        }
        self.drive(call);
    }

    fn take_head(&mut self, key: Key, attempt: u8, status: u16, is_false: bool) {
        if let Some(tried) = self.try_mut(key, attempt) {
            tried.status = Some(status);
        }
        if let Some(live) = self.calls.get_mut(key) {
            live.is_false = is_false;
        }
        self.input(key, Input::Head { attempt, head: Self::head(status) });
    }

    /// The attempt is over without an answer.
    fn fail(&mut self, key: Key, attempt: u8, failure: Failure, certainty: Certainty) {
        let Some(((worker, service), _, tried)) = self.place_of(key, attempt) else { return };
        let cells = &self.workers[worker as usize].cells[service as usize].endpoints;
        let cell = cells.get(tried.endpoint.slot as usize).and_then(Option::as_ref);
        let served =
            tried.connection.zip(cell).and_then(|(id, cell)| cell.links.get(id.0 as usize)).map(|link| link.served);
        if let Some(live) = self.calls.get_mut(key) {
            live.stale = failure == Failure::Reset && served.is_some_and(|served| served > 0);
        }
        self.end_try(key, attempt);
        self.input(key, Input::Failed { attempt, failure, certainty });
    }

    /// The call gives the attempt up.
    pub(super) fn cancel(&mut self, key: Key, attempt: u8) {
        self.end_try(key, attempt);
    }

    /// The attempt's connection goes back to the pool if its answer is whole, and is closed else.
    pub(super) fn end_try(&mut self, key: Key, attempt: u8) {
        let Some(live) = self.calls.get_mut(key) else { return };
        let (worker, service) = (live.worker as usize, live.service as usize);
        let place = live.tries.iter_mut().find(|tried| tried.is_some_and(|tried| tried.attempt == attempt));
        let Some(tried) = place.and_then(Option::take) else { return };
        let cells = &mut self.workers[worker].cells[service].endpoints;
        let cell = cells.get_mut(tried.endpoint.slot as usize).and_then(Option::as_mut);
        if let (Some(id), Some(cell)) = (tried.connection, cell.filter(|cell| cell.id == tried.endpoint)) {
            if tried.status.is_some() {
                cell.links[id.0 as usize].served += 1;
                cell.pool.checkin(self.now, id);
                while cell.pool.poll_expired(self.now).is_some() {}
            } else {
                cell.pool.closed(id);
            }
            if !cell.waiting.is_empty() {
                self.woken.extend(cell.waiting.drain(..));
            }
        }
        self.unwanted(tried.job);
    }

    /// Attempts that waited for a connection look again.
    pub(super) fn serve_waiting(&mut self) {
        while let Some((key, attempt)) = self.woken.pop_front() {
            let waits = self.place_of(key, attempt).is_some_and(|(_, _, tried)| tried.connection.is_none());
            if waits {
                self.find_connection(key, attempt);
                self.drive(key);
            }
        }
    }
}

/// Which luck an attempt has: that of the same attempt is the same in every play.
fn ask_lane(from: Asker, attempt: u8) -> u32 {
    (from.tries() << 8 | u32::from(attempt)) << 4
}
