//! One service on one worker: its decisions, its connections, and the calls that wait for it.
//!
//! The policies' [`Service`] decides; here are the things that it decides about. Everything is behind a `RefCell` that is
//! borrowed for one step and never across a wait, since all tasks of a worker share one thread.
//!
//! Nobody else tells the decisions anything ([`telling`]), so what they were told can be recorded whole.

mod telling;

use std::cell::{Ref, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use mainstay_core::{CallId, EndpointId, Instant};
use mainstay_policy::{Checkout, ConnectionId, EndpointSpec, Freshness, Pool, Service, Turn};
use mainstay_telemetry::{EndpointKey, Names, ServiceKey};

use crate::recording::Tape;

use crate::upstream::Connection;

/// A service and what belongs to it.
#[derive(Debug)]
pub(crate) struct ServiceCell {
    pub(crate) name: Arc<str>,
    pub(crate) key: ServiceKey,
    names: Arc<Names>,
    core: RefCell<Service>,
    /// What is told is recorded, under this number.
    tape: Option<(Rc<Tape>, u32)>,
    /// By slot.
    endpoints: RefCell<Vec<Option<EndpointCell>>>,
    waiting: RefCell<HashMap<CallId, Waiter>>,
}

/// One endpoint and the connections to it.
#[derive(Debug)]
struct EndpointCell {
    id: EndpointId,
    address: SocketAddr,
    text: Arc<str>,
    key: EndpointKey,
    pool: Pool,
    /// Idle ones, by their number.
    idle: Vec<Option<Box<Connection>>>,
    /// Attempts that wait for a connection to come free.
    waiting: Vec<Waker>,
}

/// A call that waits in the bulkhead's queue.
#[derive(Debug)]
struct Waiter {
    waker: Waker,
    admitted: Option<Turn>,
}

/// The connection of an attempt.
#[derive(Debug)]
pub(crate) enum Found {
    /// This one, out of the pool.
    Reuse(Box<Connection>),
    /// A new one, to be called so.
    Connect(ConnectionId),
    /// None before another comes free.
    Wait,
}

impl ServiceCell {
    /// Its decisions, to be read.
    pub(crate) fn settings(&self) -> Ref<'_, Service> {
        self.core.borrow()
    }

    /// Takes on a set of endpoints; connections to those that left are closed.
    pub(crate) fn update(&self, now: Instant, specs: &[EndpointSpec]) {
        let changes = self.tell_endpoints(now, specs);
        let core = self.core.borrow();
        let mut endpoints = self.endpoints.borrow_mut();
        for id in changes.removed {
            if let Some(slot) = endpoints.get_mut(id.slot as usize).filter(|slot| is(slot, id)) {
                wake_all(slot.take());
            }
        }
        for id in changes.added {
            let Some(address) = core.address(id) else { continue };
            let slot = id.slot as usize;
            if endpoints.len() <= slot {
                endpoints.resize_with(slot + 1, || None);
            }
            endpoints[slot] = Some(self.endpoint(id, address, Pool::new(&core.settings().pool)));
        }
    }

    fn endpoint(&self, id: EndpointId, address: SocketAddr, pool: Pool) -> EndpointCell {
        let text: Arc<str> = address.to_string().into();
        let key = self.names.endpoint(self.key, &text);
        EndpointCell { id, address, text, key, pool, idle: Vec::new(), waiting: Vec::new() }
    }

    /// The pools follow the settings.
    pub(crate) fn configure_pools(&self) {
        let settings = self.core.borrow().settings().pool;
        for endpoint in self.endpoints.borrow_mut().iter_mut().flatten() {
            endpoint.pool.configure(&settings);
        }
    }

    /// The endpoint at `address`.
    pub(crate) fn find(&self, address: SocketAddr) -> Option<EndpointId> {
        self.endpoints.borrow().iter().flatten().find(|endpoint| endpoint.address == address).map(|found| found.id)
    }

    /// Where `endpoint` is; `None` when it has left.
    pub(crate) fn destination(&self, endpoint: EndpointId) -> Option<(SocketAddr, EndpointKey)> {
        self.with(endpoint, |cell| (cell.address, cell.key))
    }

    /// The address of `endpoint` as text.
    pub(crate) fn endpoint_text(&self, endpoint: EndpointId) -> Option<Arc<str>> {
        self.with(endpoint, |cell| Arc::clone(&cell.text))
    }

    /// The label of the endpoint that lives in the slot of `endpoint`, or lived there when it has left.
    pub(crate) fn key_of(&self, endpoint: EndpointId) -> EndpointKey {
        self.with(endpoint, |cell| cell.key).unwrap_or(EndpointKey::NONE)
    }

    /// A connection for an attempt; `None` when the endpoint has left. Who has to wait is woken by `waker`.
    pub(crate) fn checkout(&self, now: Instant, to: EndpointId, needs: Freshness, waker: &Waker) -> Option<Found> {
        self.with(to, |cell| {
            loop {
                match cell.pool.checkout(now, needs) {
                    Checkout::Reuse(id) => match cell.idle.get_mut(id.0 as usize).and_then(Option::take) {
                        Some(connection) if connection.is_quiet() => break Found::Reuse(connection),
                        _ => cell.pool.closed(id),
                    },
                    Checkout::Connect(id) => {
                        cell.close_expired(now);
                        break Found::Connect(id);
                    }
                    Checkout::Full => {
                        if !cell.waiting.iter().any(|waiting| waiting.will_wake(waker)) {
                            cell.waiting.push(waker.clone());
                        }
                        break Found::Wait;
                    }
                }
            }
        })
    }

    /// An attempt is done with its connection, which lives on if it is handed back.
    pub(crate) fn checkin(&self, now: Instant, to: EndpointId, id: ConnectionId, connection: Option<Box<Connection>>) {
        self.with(to, |cell| {
            match connection {
                Some(connection) => {
                    let place = id.0 as usize;
                    if cell.idle.len() <= place {
                        cell.idle.resize_with(place + 1, || None);
                    }
                    cell.idle[place] = Some(connection);
                    cell.pool.checkin(now, id);
                    cell.close_expired(now);
                }
                None => cell.pool.closed(id),
            }
            // All of them: one that no longer waits must not swallow the news.
            cell.waiting.drain(..).for_each(Waker::wake);
        });
    }

    /// Closes connections that were idle for too long.
    pub(crate) fn close_expired(&self, now: Instant) {
        for endpoint in self.endpoints.borrow_mut().iter_mut().flatten() {
            endpoint.close_expired(now);
        }
    }

    fn with<T>(&self, endpoint: EndpointId, act: impl FnOnce(&mut EndpointCell) -> T) -> Option<T> {
        let mut endpoints = self.endpoints.borrow_mut();
        let slot = endpoints.get_mut(endpoint.slot as usize).filter(|slot| is(slot, endpoint))?;
        slot.as_mut().map(act)
    }

    /// `call` stands in the queue: `waker` is woken when its wait is over.
    pub(crate) fn wait(&self, call: CallId, waker: &Waker) {
        let mut waiting = self.waiting.borrow_mut();
        let waiter = waiting.entry(call).or_insert_with(|| Waiter { waker: waker.clone(), admitted: None });
        waiter.waker.clone_from(waker);
    }

    /// How the wait of `call` ended, once it has. Said once.
    pub(crate) fn admission(&self, call: CallId) -> Option<Turn> {
        let mut waiting = self.waiting.borrow_mut();
        let admitted = waiting.get(&call)?.admitted?;
        waiting.remove(&call);
        Some(admitted)
    }

    /// `call` no longer waits: whether a permit was on its way to it.
    pub(crate) fn forget(&self, call: CallId) -> bool {
        self.waiting.borrow_mut().remove(&call).is_some_and(|waiter| waiter.admitted == Some(Turn::Granted))
    }

    /// Wakes the calls whose wait is over. To be called after every input to a call of the service, and after a poke.
    pub(crate) fn admit(&self, now: Instant) {
        while let Some(admission) = self.next_turn(now) {
            match self.waiting.borrow_mut().get_mut(&admission.call) {
                Some(waiter) => {
                    waiter.admitted = Some(admission.turn);
                    waiter.waker.wake_by_ref();
                }
                None => self.decline(now, admission),
            }
        }
    }

    /// Whether calls wait in the queue.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }
}

impl EndpointCell {
    fn close_expired(&mut self, now: Instant) {
        while let Some(id) = self.pool.poll_expired(now) {
            if let Some(slot) = self.idle.get_mut(id.0 as usize) {
                *slot = None;
            }
        }
    }
}

fn is(slot: &Option<EndpointCell>, id: EndpointId) -> bool {
    slot.as_ref().is_some_and(|cell| cell.id == id)
}

fn wake_all(cell: Option<EndpointCell>) {
    for waker in cell.into_iter().flat_map(|cell| cell.waiting) {
        waker.wake();
    }
}
