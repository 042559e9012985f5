//! A part of what is known of a service, with a lock of its own.
//!
//! A service has one shard for each of a few threads, so that threads seldom meet at a lock: a call stays with the shard
//! of the thread on which it began. Within a shard all is decided as on a worker of the gateway. What one shard has
//! learned of the endpoints the others learn within some milliseconds ([`State::news`]), told by a call that comes by.
//!
//! - The lock is held for one step of a decision and never while code of the user's runs, is dropped or is woken.
//! - A call that waits for a permit looks at the permits of the other shards itself, so nobody is needed who ticks.
//! - In steady state nothing is allocated: records are used again, and tables keep their size.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use mainstay_core::{CallId, Duration, EndpointId, Instant};
use mainstay_policy::{Call, FleetDelta, PermitPool, Priority, Record, ServiceSettings, Turn};

use crate::Endpoint;
use crate::telling::{Counters, Events, Label};

/// How often a shard tells the others what it has learned, and how often a call that waits looks for permits there.
pub(crate) const NEWS_EVERY: Duration = Duration::from_millis(5);
/// How often a shard lets its limit follow what was measured.
const POKE_EVERY: Duration = Duration::from_millis(100);
/// Records that are kept to be used again.
const RECORDS_MAX: usize = 64;

/// One part, alone on its cache lines.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Shard<V>(Mutex<State<V>>);

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct State<V> {
    pub(crate) core: mainstay_policy::Service,
    /// By slot.
    endpoints: Vec<Option<Known<V>>>,
    waiting: HashMap<CallId, Waiter>,
    records: Vec<Record>,
    next_call: CallId,
    pub(crate) counters: Counters,
    /// From one call of this shard to its next, so that no two shards have the same.
    stride: u64,
    news_at: Instant,
    poke_at: Instant,
}

/// An endpoint that is there.
#[derive(Debug)]
struct Known<V> {
    id: EndpointId,
    endpoint: Endpoint<V>,
    label: Label,
}

/// What a shard has to tell.
#[derive(Debug)]
pub(crate) struct News {
    /// To the other shards.
    pub(crate) delta: Option<FleetDelta>,
    /// To people.
    pub(crate) events: Events,
}

/// A call that waits for a permit.
#[derive(Debug)]
struct Waiter {
    waker: Waker,
    admitted: Option<Turn>,
}

/// Who is to be woken once the lock is free.
#[derive(Debug, Default)]
#[must_use = "whoever is named here waits"]
pub(crate) struct Woken {
    first: Option<Waker>,
    others: Vec<Waker>,
}

impl Woken {
    fn push(&mut self, waker: Waker) {
        match self.first {
            None => self.first = Some(waker),
            Some(_) => self.others.push(waker),
        }
    }

    pub(crate) fn wake(self) {
        if let Some(first) = self.first {
            first.wake();
            self.others.into_iter().for_each(Waker::wake);
        }
    }
}

impl<V> Shard<V> {
    fn new(name: &str, core: mainstay_policy::Service, number: usize, shards: usize) -> Self {
        Self(Mutex::new(State {
            core,
            endpoints: Vec::new(),
            waiting: HashMap::new(),
            records: Vec::new(),
            next_call: CallId(number as u64),
            counters: Counters::new(name),
            stride: shards as u64,
            news_at: Instant::ORIGIN,
            poke_at: Instant::ORIGIN,
        }))
    }

    // A panic under the lock would be a fault of ours; the others go on with what there is.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> State<V> {
    /// The id of a new call, and a record for it.
    pub(crate) fn begin(&mut self) -> (CallId, Record) {
        let id = self.next_call;
        self.next_call.0 = id.0.wrapping_add(self.stride);
        (id, self.records.pop().unwrap_or_default())
    }

    /// Counts a call that is over, and takes its record.
    pub(crate) fn settle(&mut self, call: &mut Call, priority: Priority) {
        let record = call.take_record();
        let Self { counters, endpoints, .. } = self;
        counters.call(record.entries(), priority, |id| label_of(endpoints, id));
        if self.records.len() < RECORDS_MAX {
            self.records.push(record);
        }
    }

    /// `call` stands in the queue: `waker` is woken when its wait is over.
    pub(crate) fn wait(&mut self, call: CallId, waker: &Waker) {
        let waiter = self.waiting.entry(call).or_insert_with(|| Waiter { waker: waker.clone(), admitted: None });
        waiter.waker.clone_from(waker);
    }

    /// How the wait of `call` ended, once it has. Said once.
    pub(crate) fn turn(&mut self, call: CallId) -> Option<Turn> {
        let turn = self.waiting.get(&call)?.admitted?;
        self.waiting.remove(&call);
        Some(turn)
    }

    /// `call` waits no longer.
    pub(crate) fn forget(&mut self, call: CallId) -> Option<Turn> {
        self.waiting.remove(&call)?.admitted
    }

    /// Whether somebody's wait may be over, or there may be something to tell.
    pub(crate) fn has_more_to_do(&self, now: Instant) -> bool {
        self.core.has_waiting() || now >= self.news_at
    }

    /// Looks for the calls whose wait is over. To be called after every step.
    pub(crate) fn admit(&mut self, now: Instant) -> Woken {
        let mut woken = Woken::default();
        while let Some(admission) = self.core.poll_admitted(now) {
            match self.waiting.get_mut(&admission.call) {
                Some(waiter) => {
                    waiter.admitted = Some(admission.turn);
                    woken.push(waiter.waker.clone());
                }
                None => self.core.decline(now, admission),
            }
        }
        woken
    }

    /// What is to be told now, if anything.
    pub(crate) fn news(&mut self, now: Instant) -> Option<News> {
        if now < self.news_at {
            return None;
        }
        self.news_at = now + NEWS_EVERY;
        let mut events = Events::default();
        if now >= self.poke_at {
            self.poke_at = now + POKE_EVERY;
            self.core.poke(now);
            events = self.events();
        }
        let delta = (self.stride > 1).then(|| self.core.take_delta()).filter(|delta| !delta.is_empty());
        (delta.is_some() || !events.is_empty()).then_some(News { delta, events })
    }

    /// What has changed since it was asked last.
    pub(crate) fn events(&mut self) -> Events {
        let Self { counters, core, endpoints, .. } = self;
        counters.events(core, |id| label_of(endpoints, id))
    }

    /// Takes on a set of endpoints. What was there before is given back, to be dropped once the lock is free.
    pub(crate) fn update(&mut self, name: &str, now: Instant, endpoints: &[Endpoint<V>]) -> impl Sized + use<V>
    where
        V: Clone,
    {
        let specs: Vec<_> = endpoints.iter().map(|endpoint| endpoint.spec.clone()).collect();
        self.core.update(now, &specs);
        let before = std::mem::take(&mut self.endpoints);
        for view in self.core.view(now).endpoints {
            let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.spec.address == view.address) else {
                continue;
            };
            let slot = view.id.slot as usize;
            if self.endpoints.len() <= slot {
                self.endpoints.resize_with(slot + 1, || None);
            }
            let label = Label::of(name, &endpoint.name);
            self.endpoints[slot] = Some(Known { id: view.id, endpoint: endpoint.clone(), label });
        }
        before
    }

    /// All endpoints that are there.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Endpoint<V>> {
        self.endpoints.iter().flatten().map(|known| &known.endpoint)
    }

    /// The endpoint, while it is there.
    pub(crate) fn endpoint(&self, id: EndpointId) -> Option<&Endpoint<V>> {
        let known = self.endpoints.get(id.slot as usize)?.as_ref()?;
        (known.id == id).then_some(&known.endpoint)
    }
}

fn label_of<V>(endpoints: &[Option<Known<V>>], id: EndpointId) -> Label {
    let known = endpoints.get(id.slot as usize).and_then(Option::as_ref);
    known.filter(|known| known.id == id).map_or(Label::NONE, |known| known.label)
}

/// A part of the service for each shard.
pub(crate) fn shards<V>(
    name: &str,
    settings: &ServiceSettings,
    count: usize,
    seed: mainstay_core::Seed,
    now: Instant,
) -> Box<[Shard<V>]> {
    let permits = PermitPool::new(settings.bulkhead.concurrency, count as u32);
    let share = settings.per_worker(count as u32);
    let shard = |number: usize| {
        let seed = seed.derive(&number.to_string());
        Shard::new(name, mainstay_policy::Service::new(&share, permits.clone(), seed, now), number, count)
    };
    (0..count).map(shard).collect()
}

/// Which of `shards` shards this thread goes to: threads are dealt out in turn.
pub(crate) fn shard_of_thread(shards: usize) -> usize {
    thread_local! {
        static NUMBER: usize = {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            NEXT.fetch_add(1, Ordering::Relaxed)
        };
    }
    if shards == 1 {
        return 0;
    }
    // A thread that is ending has no number any more; any shard will do.
    NUMBER.try_with(|number| number % shards).unwrap_or(0)
}
