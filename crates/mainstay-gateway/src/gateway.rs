//! The public face: start a gateway, change it, look at it, end it.
//!
//! In: a configuration that cannot be wrong, and an operator's word. Out: what the workers know, merged to one picture.
//! A [`Gateway`] lives on the runtime that started it, the control runtime: listeners, health checks and discovery run
//! there. The calls themselves run on threads of their own, one for each worker, and never wait for anything here.
//!
//! - A reload is whole or not at all: new listeners are bound before anything else changes.
//! - An operator's order survives a reload.
//! - Dropping the gateway ends it at once; [`Gateway::drain`] ends it gracefully.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use mainstay_config::Config;
use mainstay_core::Seed;
use mainstay_policy::{BreakerOrder, Fault, FaultOrder, KeyFigures, Order, ServiceView, StaleFigures};
use mainstay_telemetry::{AccessLog, FoundRecord, Names, Snapshot as Counters};
use tokio::sync::{Mutex, Semaphore};

use crate::buffers::arriving;
use crate::clock::Clock;
use crate::listener::{Bound, ListenerNumber, Listening};
use crate::recording::Recordings;
use crate::snapshot::{Common, Snapshot};
use crate::view::merge;
use crate::watch::Watch;
use crate::worker::{Mailbox, Start, Workers};

/// How often a drain looks whether the last connection has closed.
const DRAIN_LOOK: Duration = Duration::from_millis(10);

/// A running gateway.
pub struct Gateway {
    common: Arc<Common>,
    workers: Workers,
    clock: Clock,
    snapshot: ArcSwap<Snapshot>,
    ready: AtomicBool,
    /// Held for the length of a reload or a drain, so that these come one after the other.
    control: Mutex<Control>,
}

/// What a reload changes beside the snapshot.
struct Control {
    listeners: Listeners,
    watch: Watch,
}

struct Listeners {
    list: Vec<Listening>,
    /// Numbers given so far.
    numbers: u32,
    seats: Arc<Semaphore>,
    seats_max: u32,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("workers", &self.common.workers).finish_non_exhaustive()
    }
}

/// Why a gateway does not start, or does not take on another configuration.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address cannot be listened on.
    #[error("listener \"{listener}\" cannot listen on {address}")]
    Listen {
        /// The listener's name.
        listener: String,
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A worker's thread or its runtime cannot be made.
    #[error("worker {worker} cannot start")]
    Worker {
        /// Which one, from 0.
        worker: usize,
        /// What the system says.
        source: io::Error,
    },
    /// The recording of a worker cannot be made.
    #[error("the recording cannot be made")]
    Recording(#[source] io::Error),
    /// The gateway is draining and takes on nothing new.
    #[error("the gateway is stopping")]
    Stopping,
}

/// Why an operator's order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// There is no such service.
    #[error("there is no service \"{0}\"")]
    NoService(String),
    /// The service has no endpoint at this address.
    #[error("the service \"{service}\" has no endpoint {address}")]
    NoEndpoint {
        /// The service.
        service: String,
        /// The address that was named.
        address: SocketAddr,
    },
}

/// One service as all workers see it together.
#[derive(Debug, Clone)]
pub struct ServiceState {
    /// Its name in the configuration.
    pub name: String,
    /// What is known about it: counts are sums over the workers, states are the most serious of theirs.
    pub view: ServiceView,
    /// What its kept keys take; `None` when it keeps none.
    pub keys: Option<KeyFigures>,
    /// What its answers take that may stand in; `None` when it keeps none.
    pub stale: Option<StaleFigures>,
}

impl Gateway {
    /// Binds the listeners, starts one thread for each worker and begins to serve. To be called on a tokio runtime,
    /// which becomes the control runtime.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub async fn start(config: Arc<Config>, log: &AccessLog, seed: Seed) -> Result<Self, StartError> {
        Self::start_recorded(config, log, seed, &Recordings::off()).await
    }

    /// As [`Gateway::start`], and what its workers decide is recorded.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub async fn start_recorded(
        config: Arc<Config>,
        log: &AccessLog,
        seed: Seed,
        recordings: &Recordings,
    ) -> Result<Self, StartError> {
        let clock = Clock::new();
        let workers = config.node.workers.or(std::thread::available_parallelism().ok()).map_or(1, usize::from);
        let common = Arc::new(Common {
            names: Arc::new(Names::new()),
            seed,
            workers,
            buffers: Arc::new(AtomicU64::new(config.limits.buffers.0)),
            arriving: Arc::new(AtomicU64::new(arriving(config.limits.buffers.0))),
        });
        let seats_max = config.limits.connections;
        let seats = Arc::new(Semaphore::new(seats_max as usize));
        let mut listeners = Listeners { list: Vec::new(), numbers: 0, seats, seats_max };
        let planned = listeners.plan(&config)?;
        let numbers: Vec<_> = planned.iter().map(Planned::number).collect();
        let snapshot = Arc::new(Snapshot::new(config, &numbers, None, &common, clock.now()));
        let workers = start_workers(&common, &snapshot, log, recordings, clock)?;
        let mut watch = Watch::new(workers.clone(), clock, seed);
        watch.follow(&snapshot.config);
        listeners.take_on(planned, &workers);
        let control = Mutex::new(Control { listeners, watch });
        let (snapshot, ready) = (ArcSwap::new(snapshot), AtomicBool::new(true));
        Ok(Self { common, workers, clock, snapshot, ready, control })
    }

    /// Takes on another configuration, whole or not at all. Connections, counters and learned state stay. The number of
    /// workers and the memory for records are those of the start.
    ///
    /// # Errors
    /// [`StartError`]; the old configuration stays in force then.
    pub async fn reload(&self, config: Arc<Config>) -> Result<(), StartError> {
        let mut control = self.control.lock().await;
        let Control { listeners, watch } = &mut *control;
        if !self.ready() {
            return Err(StartError::Stopping);
        }
        let planned = listeners.plan(&config)?;
        let numbers: Vec<_> = planned.iter().map(Planned::number).collect();
        let before = self.snapshot.load_full();
        let (old, new) = (before.config.limits.buffers.0, config.limits.buffers.0);
        resize(&self.common.buffers, old, new);
        resize(&self.common.arriving, arriving(old), arriving(new));
        listeners.resize(config.limits.connections);
        let snapshot = Arc::new(Snapshot::new(config, &numbers, Some(&before), &self.common, self.clock.now()));
        watch.retire(&snapshot.config);
        self.workers.reconfigure(&snapshot).await;
        watch.follow(&snapshot.config);
        self.snapshot.store(snapshot);
        listeners.take_on(planned, &self.workers);
        Ok(())
    }

    /// Every service, in the order of the configuration.
    pub async fn services(&self) -> Vec<ServiceState> {
        let views = merge(self.workers.views().await);
        let snapshot = self.snapshot.load();
        let state = |(name, view): (Arc<str>, ServiceView)| {
            let base = snapshot.services.iter().find(|base| base.name == name);
            let keys = base.and_then(|base| base.keys.as_ref()).map(|keys| keys.figures());
            let stale = base.and_then(|base| base.stale.as_ref()).map(|stale| stale.figures());
            ServiceState { name: name.to_string(), view, keys, stale }
        };
        views.into_iter().map(state).collect()
    }

    /// Carries out an operator's word about one endpoint, on every worker. It holds until it is taken back.
    ///
    /// # Errors
    /// [`OrderError`] when there is no such service or endpoint.
    pub async fn order_endpoint(&self, service: &str, address: SocketAddr, order: Order) -> Result<(), OrderError> {
        let name = self.name_of(service)?;
        if self.workers.order_endpoint(&name, address, order).await {
            Ok(())
        } else {
            Err(OrderError::NoEndpoint { service: service.to_owned(), address })
        }
    }

    /// Carries out an operator's word about a service's breaker, on every worker. It holds until it is taken back.
    ///
    /// # Errors
    /// [`OrderError::NoService`].
    pub async fn order_breaker(&self, service: &str, order: BreakerOrder) -> Result<(), OrderError> {
        let name = self.name_of(service)?;
        if self.workers.order_breaker(&name, order).await {
            Ok(())
        } else {
            Err(OrderError::NoService(service.to_owned()))
        }
    }

    /// Lets a service have a fault on purpose, on every worker, until its lease ends; `None` ends it now.
    ///
    /// # Errors
    /// [`OrderError`] when there is no such service, or not the endpoint that the fault is meant for.
    pub async fn order_fault(&self, service: &str, order: Option<FaultOrder>) -> Result<(), OrderError> {
        let name = self.name_of(service)?;
        if let Some(address) = order.and_then(|order| order.endpoint) {
            let services = self.services().await;
            let view = services.iter().find(|state| state.name == service).map(|state| &state.view);
            if !view.is_some_and(|view| view.endpoints.iter().any(|endpoint| endpoint.address == address)) {
                return Err(OrderError::NoEndpoint { service: service.to_owned(), address });
            }
        }
        let now = self.clock.now();
        if self.workers.order_fault(&name, order.map(|order| Fault::new(order, now))).await {
            Ok(())
        } else {
            Err(OrderError::NoService(service.to_owned()))
        }
    }

    fn name_of(&self, service: &str) -> Result<Arc<str>, OrderError> {
        let snapshot = self.snapshot.load();
        let found = snapshot.services.iter().find(|base| *base.name == *service);
        found.map(|base| Arc::clone(&base.name)).ok_or_else(|| OrderError::NoService(service.to_owned()))
    }

    /// The metrics of all workers, merged.
    pub async fn metrics(&self) -> Counters {
        self.workers.metrics().await
    }

    /// The labels that the metrics count by.
    #[must_use]
    pub fn names(&self) -> &Arc<Names> {
        &self.common.names
    }

    /// What was decided about the requests with this id, as far as it is remembered.
    pub async fn explain(&self, request_id: &str) -> Vec<FoundRecord> {
        self.workers.explain(&request_id.into()).await
    }

    /// What was decided about the last `max` requests, or the last that were unhappy, the newest first.
    pub async fn recent(&self, only_unhappy: bool, max: usize) -> Vec<FoundRecord> {
        self.workers.recent(only_unhappy, max).await
    }

    /// Where the listeners listen, by name: what port the system chose for port 0.
    pub async fn addresses(&self) -> Vec<(String, SocketAddr)> {
        self.by_listener(|listening| listening.local).await
    }

    /// Open connections of callers, by the listener's name.
    pub async fn connections(&self) -> Vec<(String, u64)> {
        self.by_listener(|listening| listening.open() as u64).await
    }

    async fn by_listener<T>(&self, tell: impl Fn(&Listening) -> T) -> Vec<(String, T)> {
        let control = self.control.lock().await;
        let snapshot = self.snapshot.load();
        let named = control.listeners.list.iter().filter_map(|listening| {
            let (id, _) = snapshot.listener(listening.number)?;
            Some((snapshot.config.listener(id)?.name.clone(), tell(listening)))
        });
        named.collect()
    }

    /// Whether it takes on new calls: not once a drain has begun.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Stops accepting, lets running calls end, closes idle connections, and returns when the last one has closed, or
    /// after `limit`.
    pub async fn drain(&self, limit: Duration) {
        self.ready.store(false, Ordering::Relaxed);
        // A reload that came first ends first; those that come later are refused.
        self.control.lock().await.listeners.list.clear();
        self.workers.drain().await;
        let empty = async {
            while self.workers.open() > 0 {
                tokio::time::sleep(DRAIN_LOOK).await;
            }
        };
        // What is still open after the limit is closed when the gateway is dropped.
        let _ = tokio::time::timeout(limit, empty).await;
    }
}

/// What is left of a memory when it is another.
fn resize(left: &AtomicU64, before: u64, now: u64) {
    if now >= before {
        left.fetch_add(now - before, Ordering::Relaxed);
    } else {
        // What is in use beyond a lower limit comes back by itself; the sum is only right once it has.
        let _ = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(before - now)));
    }
}

fn start_workers(
    common: &Arc<Common>,
    snapshot: &Arc<Snapshot>,
    log: &AccessLog,
    recordings: &Recordings,
    clock: Clock,
) -> Result<Workers, StartError> {
    let (mailboxes, inboxes): (Vec<_>, Vec<_>) = (0..common.workers).map(|_| Mailbox::new()).unzip();
    for (index, messages) in inboxes.into_iter().enumerate() {
        let others = mailboxes.iter().enumerate().filter(|(other, _)| *other != index);
        let peers = others.map(|(_, mailbox)| mailbox.peer()).collect();
        let (common, snapshot) = (Arc::clone(common), Arc::clone(snapshot));
        let tape = recordings.worker(index, common.workers).map_err(StartError::Recording)?;
        let access = log.worker();
        crate::worker::start(Start { index, clock, common, snapshot, access, tape, messages, peers })
            .map_err(|source| StartError::Worker { worker: index, source })?;
    }
    Ok(Workers::new(mailboxes))
}

/// A listener of the next configuration.
enum Planned {
    /// One that listens already.
    Kept(ListenerNumber),
    New(Bound),
}

impl Planned {
    fn number(&self) -> ListenerNumber {
        match self {
            Self::Kept(number) => *number,
            Self::New(bound) => bound.number,
        }
    }
}

impl Listeners {
    /// Which sockets stay, and new ones for the rest, bound and not yet accepting.
    fn plan(&mut self, config: &Config) -> Result<Vec<Planned>, StartError> {
        let mut free: Vec<_> = self.list.iter().map(|listening| (listening.address, listening.number)).collect();
        let mut planned = Vec::with_capacity(config.listeners.len());
        for listener in &config.listeners {
            let kept = free.iter().position(|(address, _)| *address == listener.address);
            planned.push(match kept {
                Some(at) => Planned::Kept(free.remove(at).1),
                None => Planned::New(self.bind(listener)?),
            });
        }
        Ok(planned)
    }

    fn bind(&mut self, listener: &mainstay_config::Listener) -> Result<Bound, StartError> {
        self.numbers += 1;
        Bound::bind(ListenerNumber(self.numbers), listener.address).map_err(|source| StartError::Listen {
            listener: listener.name.clone(),
            address: listener.address,
            source,
        })
    }

    /// Begins to accept on the new sockets, and stops on those that are no longer wanted.
    fn take_on(&mut self, planned: Vec<Planned>, workers: &Workers) {
        let mut before = std::mem::take(&mut self.list);
        for listener in planned {
            match listener {
                Planned::Kept(number) => {
                    let at = before.iter().position(|listening| listening.number == number);
                    self.list.extend(at.map(|at| before.swap_remove(at)));
                }
                Planned::New(bound) => self.list.push(bound.start(workers.clone(), Arc::clone(&self.seats))),
            }
        }
    }

    /// Follows `limits.connections`. Seats that are taken beyond a lower limit are lost as far as they are free now.
    fn resize(&mut self, seats: u32) {
        if seats > self.seats_max {
            self.seats.add_permits((seats - self.seats_max) as usize);
            self.seats_max = seats;
        } else {
            self.seats_max -= self.seats.forget_permits((self.seats_max - seats) as usize) as u32;
        }
    }
}
