//! One thread that carries calls, and everything that it owns.
//!
//! A worker has its own single-threaded runtime, its own policies, connections to instances, buffers, counters and
//! records. A task of it may use any of them at any time between two waits, because no other thread ever does: what a
//! request touches is borrowed for one step, without a lock and without an atomic that others write. Others reach it by
//! its [`Mailbox`] only.

mod mailbox;
mod service;
mod tick;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::thread::JoinHandle;

use mainstay_core::{CallId, Duration, Seed};
use mainstay_policy::{CheckResult, EndpointSpec, Order, Record, ServiceView};
use mainstay_telemetry::{AccessWriter, RecordRing, Recorder};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

pub(crate) use mailbox::{Mailbox, Message, Peer, Workers};
pub(crate) use service::{Found, ServiceCell};

use crate::buffers::{Budget, Buffers};
use crate::clock::{Clock, unix_time};
use crate::forward::HttpDate;
use crate::listener::Accepted;
use crate::mirror::MIRRORS_MAX;
use crate::purse::Purse;
use crate::recording::Tape;
use crate::snapshot::{Common, Snapshot};

/// Records of decisions that lie ready for the next calls.
const SPARE_RECORDS: usize = 256;

/// A configuration as one worker has it.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) shared: Arc<Snapshot>,
    /// By [`mainstay_config::ServiceId`].
    pub(crate) services: Vec<Rc<ServiceCell>>,
}

/// Everything that one worker owns.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) clock: Clock,
    pub(crate) seed: Seed,
    pub(crate) buffers: Buffers,
    budget: Budget,
    arriving: Budget,
    pub(crate) counters: RefCell<Recorder>,
    pub(crate) access: RefCell<AccessWriter>,
    tape: Option<Rc<Tape>>,
    pub(crate) records: RefCell<Option<RecordRing>>,
    pub(crate) date: RefCell<HttpDate>,
    common: Arc<Common>,
    local: RefCell<Rc<Local>>,
    calls: Cell<u64>,
    spare: RefCell<Vec<Record>>,
    draining: Cell<bool>,
    /// Copies of calls under way.
    mirrors: Cell<u32>,
    /// It tells what every worker learns alike.
    is_first: bool,
    /// How to wake each connection's task, by its place.
    connections: RefCell<Vec<Option<Waker>>>,
    vacant: RefCell<Vec<usize>>,
}

/// What a worker is started with.
pub(crate) struct Start {
    pub(crate) index: usize,
    pub(crate) clock: Clock,
    pub(crate) common: Arc<Common>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) access: AccessWriter,
    pub(crate) tape: Option<Tape>,
    pub(crate) messages: mpsc::Receiver<Message>,
    /// The other workers.
    pub(crate) peers: Vec<Peer>,
}

/// Starts a worker's thread; it ends, with whatever it still carries, when nobody can reach its mailbox any more.
///
/// # Errors
/// The system gives no thread, or the runtime no file descriptors.
pub(crate) fn start(start: Start) -> io::Result<JoinHandle<()>> {
    let name = format!("worker-{}", start.index);
    // Made here and not on the thread, so that what it lacks is known before anything is served.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let run = move || {
        let Start { index, clock, common, snapshot, access, tape, messages, peers } = start;
        let worker = Rc::new(Worker::new(index, clock, common, &snapshot, (access, tape)));
        LocalSet::new().block_on(&runtime, worker.run(messages, peers));
    };
    std::thread::Builder::new().name(name.clone()).spawn(move || unless_it_panics(&name, run, std::process::abort))
}

/// Runs a worker, and does the `last` thing when it panics.
///
/// A panic in the task of one connection ends that connection. One in the worker itself leaves its callers without
/// anybody, and its share of every state unknown to the others, while the node looks well. So the process ends, loudly,
/// and whoever watches over it starts another.
fn unless_it_panics<T>(name: &str, run: impl FnOnce(), last: impl FnOnce() -> T) {
    if std::panic::catch_unwind(AssertUnwindSafe(run)).is_err() {
        tracing::error!(worker = name, "a worker panicked: this process ends");
        last();
    }
}

impl Worker {
    fn new(
        index: usize,
        clock: Clock,
        common: Arc<Common>,
        snapshot: &Arc<Snapshot>,
        (access, tape): (AccessWriter, Option<Tape>),
    ) -> Self {
        let explain = snapshot.config.explain;
        let share = explain.memory.as_usize() / common.workers.max(1);
        let records = explain.keep.map(|keep| RecordRing::new(share, keep));
        let nothing = Rc::new(Local { shared: Arc::clone(snapshot), services: Vec::new() });
        let worker = Self {
            clock,
            seed: common.seed.derive("call"),
            buffers: Buffers::default(),
            budget: Budget::new(Arc::clone(&common.buffers)),
            arriving: Budget::new(Arc::clone(&common.arriving)),
            counters: RefCell::default(),
            access: RefCell::new(access),
            tape: tape.map(Rc::new),
            records: RefCell::new(records),
            date: RefCell::new(HttpDate::new(unix_time())),
            common,
            local: RefCell::new(nothing),
            is_first: index == 0,
            // Calls of different workers have different luck.
            calls: Cell::new((index as u64) << 48),
            spare: RefCell::default(),
            draining: Cell::new(false),
            mirrors: Cell::new(0),
            connections: RefCell::default(),
            vacant: RefCell::default(),
        };
        worker.reconfigure(snapshot);
        worker
    }

    /// Ends with its mailbox. Neither half is a task of its own: what panics there is to end more than itself.
    async fn run(self: Rc<Self>, messages: mpsc::Receiver<Message>, peers: Vec<Peer>) {
        tokio::select! {
            () = Rc::clone(&self).tick(peers) => {}
            () = self.serve(messages) => {}
        }
    }

    async fn serve(self: &Rc<Self>, mut messages: mpsc::Receiver<Message>) {
        while let Some(message) = messages.recv().await {
            match message {
                Message::Connection(accepted) => self.accept(accepted),
                other => self.obey(other),
            }
        }
    }

    fn accept(self: &Rc<Self>, accepted: Accepted) {
        let Accepted { stream, peer, listener, seat } = accepted;
        // The runtime refuses only when it has no descriptors left for itself.
        let Ok(stream) = tokio::net::TcpStream::from_std(stream) else { return };
        tokio::task::spawn_local(crate::serve::serve(Rc::clone(self), stream, peer, listener, seat));
    }

    /// Whoever asked and has gone away needs no answer, hence the results that are not looked at.
    fn obey(&self, message: Message) {
        let now = self.clock.now();
        match message {
            Message::Connection(_) => {}
            Message::Reconfigure(snapshot, done) => {
                self.reconfigure(&snapshot);
                let _ = done.send(());
            }
            Message::Endpoints(service, endpoints) => self.update_endpoints(&service, &endpoints),
            Message::Check(service, address, result) => self.check(&service, address, result),
            Message::OrderEndpoint(service, address, order, found) => {
                let _ = found.send(self.order(&service, address, order));
            }
            Message::OrderBreaker(service, order, found) => {
                let cell = self.service(&service);
                if let Some(cell) = &cell {
                    cell.order_breaker(now, order);
                    self.tell_events(cell);
                }
                let _ = found.send(cell.is_some());
            }
            Message::OrderFault(service, fault, found) => {
                let cell = self.service(&service);
                if let Some(cell) = &cell {
                    cell.order_fault(now, fault);
                }
                let _ = found.send(cell.is_some());
            }
            Message::View(answer) => {
                let _ = answer.send(self.views());
            }
            Message::Metrics(answer) => {
                let snapshot = self.counters.borrow().snapshot();
                let records = self.records.borrow();
                let _ = answer.send(match records.as_ref() {
                    Some(ring) => snapshot.with_records(ring),
                    None => snapshot,
                });
            }
            Message::Explain(id, answer) => {
                let records = self.records.borrow();
                let found = records.as_ref().map(|ring| ring.find(id.as_bytes(), now, &self.common.names));
                let _ = answer.send(found.unwrap_or_default());
            }
            Message::Recent(only_unhappy, max, answer) => {
                let records = self.records.borrow();
                let found = records.as_ref().map(|ring| ring.recent(only_unhappy, max, now, &self.common.names));
                let _ = answer.send(found.unwrap_or_default());
            }
            Message::Learned(service, delta) => {
                if let Some(cell) = self.service(&service) {
                    cell.learn(now, &delta);
                }
            }
            Message::Drain => self.drain(),
        }
    }

    /// Services of the same name keep what they learned.
    fn reconfigure(&self, snapshot: &Arc<Snapshot>) {
        let now = self.clock.now();
        let before = self.local();
        let services = snapshot.services.iter().zip(&snapshot.config.services).map(|(base, service)| {
            let settings = service.policy.per_worker(self.common.workers as u32);
            let kept = before.services.iter().find(|cell| cell.name == base.name);
            let cell = kept.map_or_else(
                || {
                    let core = (&settings, base.permits.clone(), self.common.seed.derive(&base.name));
                    let (name, names) = (Arc::clone(&base.name), Arc::clone(&self.common.names));
                    Rc::new(ServiceCell::begin(name, names, core, now, self.tape.clone()))
                },
                Rc::clone,
            );
            cell.configure(now, &settings);
            cell.configure_pools();
            if let mainstay_config::Endpoints::Fixed(endpoints) = &service.endpoints {
                cell.update(now, endpoints);
            }
            cell
        });
        let services = services.collect();
        *self.local.borrow_mut() = Rc::new(Local { shared: Arc::clone(snapshot), services });
    }

    fn update_endpoints(&self, service: &str, endpoints: &[EndpointSpec]) {
        if let Some(cell) = self.service(service) {
            cell.update(self.clock.now(), endpoints);
            self.tell_events(&cell);
        }
    }

    fn check(&self, service: &str, address: SocketAddr, result: CheckResult) {
        let Some(cell) = self.service(service) else { return };
        if let Some(endpoint) = cell.find(address) {
            cell.check(self.clock.now(), endpoint, result);
            self.tell_events(&cell);
        }
    }

    fn order(&self, service: &str, address: SocketAddr, order: Order) -> bool {
        let Some(cell) = self.service(service) else { return false };
        let found = cell.order(self.clock.now(), address, order);
        self.tell_events(&cell);
        found
    }

    fn views(&self) -> Vec<(Arc<str>, ServiceView)> {
        let now = self.clock.now();
        self.local().services.iter().map(|cell| (Arc::clone(&cell.name), cell.view(now))).collect()
    }

    fn service(&self, name: &str) -> Option<Rc<ServiceCell>> {
        self.local.borrow().services.iter().find(|cell| *cell.name == *name).cloned()
    }

    /// No further connections come: those that are idle are woken to close.
    fn drain(&self) {
        self.draining.set(true);
        for waker in self.connections.borrow().iter().flatten() {
            waker.wake_by_ref();
        }
    }

    /// Whether idle connections are to close and answers are to say that theirs will.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// The configuration in force.
    pub(crate) fn local(&self) -> Rc<Local> {
        Rc::clone(&self.local.borrow())
    }

    /// The memory that ordinary calls take what they hold from.
    pub(crate) fn purse(&self) -> Purse<'_> {
        Purse::Buffers { all: &self.budget, arriving: &self.arriving }
    }

    /// The id of the next call.
    pub(crate) fn next_call(&self) -> CallId {
        let id = self.calls.get();
        self.calls.set(id + 1);
        CallId(id)
    }

    /// A record to begin, one that was used before where there is one.
    pub(crate) fn record(&self) -> Record {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a record back.
    pub(crate) fn give_back_record(&self, record: Record) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_RECORDS {
            spare.push(record);
        }
    }

    /// Takes a place for a copy of a call, if one is free.
    pub(crate) fn begin_mirror(&self) -> bool {
        let is_free = self.mirrors.get() < MIRRORS_MAX;
        self.mirrors.set(self.mirrors.get() + u32::from(is_free));
        is_free
    }

    /// Gives the place back.
    pub(crate) fn end_mirror(&self) {
        self.mirrors.set(self.mirrors.get().saturating_sub(1));
    }

    /// A connection's task says how it can be woken, and learns its place.
    pub(crate) fn enter(&self, waker: Waker) -> usize {
        let mut connections = self.connections.borrow_mut();
        match self.vacant.borrow_mut().pop() {
            Some(place) => {
                connections[place] = Some(waker);
                place
            }
            None => {
                connections.push(Some(waker));
                connections.len() - 1
            }
        }
    }

    /// A connection's task ends.
    pub(crate) fn leave(&self, place: usize) {
        if let Some(slot) = self.connections.borrow_mut().get_mut(place) {
            *slot = None;
            self.vacant.borrow_mut().push(place);
        }
    }
}

/// The same length for the runtime's timers.
pub(crate) fn to_std(length: Duration) -> std::time::Duration {
    std::time::Duration::from_nanos(length.as_nanos())
}

#[cfg(test)]
mod tests {
    use super::unless_it_panics;

    #[test]
    fn a_worker_that_panics_ends_more_than_itself() {
        let mut ended = false;
        unless_it_panics("worker-0", || (), || ended = true);
        assert!(!ended, "a worker that ends with its mailbox ends alone");
        unless_it_panics("worker-0", || panic!("a mistake of ours"), || ended = true);
        assert!(ended);
    }
}
