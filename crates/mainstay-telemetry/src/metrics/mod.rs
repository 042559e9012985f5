//! What a worker counts, and how it is brought together.
//!
//! Each worker owns a [`Recorder`] and counts into plain tables through `&mut`: an observation is an index, an addition
//! and no more. A scrape asks each worker for a [`Snapshot`], a plain copy, and adds the copies up elsewhere. Shared
//! atomics were refused: a contended cache line costs more than everything else that is done here.

mod histogram;
mod series;
mod words;

use mainstay_core::{Duration, Failure};
pub use mainstay_policy::Priority;
use mainstay_policy::{Cause, FallbackKind, FaultKind, NoRetry, Refusal};

pub use histogram::Histogram;
pub(crate) use series::{OTHER_OUTCOME, Series};
pub use words::{AttemptResult, KeyResult, MirrorResult, ShedReason};
pub(crate) use words::{CAUSES, FAILURES, FALLBACKS, KEYS, MIRRORED, NO_RETRY, PRIORITIES, REFUSALS, RESULTS, SHED};
use words::{cause_index, failure_index, fallback_index, no_retry_index, refusal_index};

use crate::hedges::{HEDGES, HedgeResult};
use crate::{EndpointKey, LimitKey, ListenerKey, Method, RecordRing, RouteKey, ServiceKey};

/// The counters of one worker.
#[derive(Debug, Default)]
pub struct Recorder(Snapshot);

/// A copy of counters, of one worker or of several together.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub(crate) server: Series,
    pub(crate) client: Series,
    pub(crate) services: Vec<ServiceCounters>,
    pub(crate) attempts: Vec<[u64; RESULTS.len()]>,
    pub(crate) ejections: Vec<[u64; CAUSES.len()]>,
    pub(crate) limits: Vec<u64>,
    pub(crate) accepted: Vec<u64>,
    pub(crate) records: RingFigures,
}

/// The state of the record rings.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RingFigures {
    /// Records that can be found.
    pub(crate) records: u64,
    /// Bytes that they may take.
    pub(crate) bytes: u64,
    /// Those of them that have been used.
    pub(crate) used: u64,
}

/// What is counted for each service.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServiceCounters {
    pub(crate) retries: [u64; FAILURES.len()],
    pub(crate) not_retried: [u64; NO_RETRY.len()],
    pub(crate) hedges: [u64; HEDGES.len()],
    pub(crate) not_hedged: [u64; NO_RETRY.len()],
    pub(crate) refused: [u64; REFUSALS.len()],
    pub(crate) shed: [[u64; SHED.len()]; PRIORITIES.len()],
    pub(crate) fallbacks: [u64; FALLBACKS.len()],
    pub(crate) faults: [u64; FaultKind::WORDS.len()],
    pub(crate) keys: [u64; KEYS.len()],
    pub(crate) mirrored: [u64; MIRRORED.len()],
}

/// The place `index` of a table that grows when a key is seen for the first time.
fn at<T: Clone + Default>(table: &mut Vec<T>, index: usize) -> &mut T {
    if index >= table.len() {
        table.resize(index + 1, T::default());
    }
    &mut table[index]
}

impl Recorder {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A request was answered, by whomever: from its first byte to the last of the answer. A status of 0 means that the
    /// caller left before there was one.
    pub fn request(&mut self, route: RouteKey, method: Method, status: u16, duration: Duration) {
        self.0.server.observe(route.index(), method, status, duration);
    }

    /// An attempt ended; `duration` from the choice of its endpoint to its end. Counts in the number of attempts and in
    /// the durations of client requests. One that is no request of HTTP has [`Method::Other`].
    pub fn attempt(&mut self, endpoint: EndpointKey, method: Method, result: AttemptResult, duration: Duration) {
        at(&mut self.0.attempts, endpoint.index())[result.index()] += 1;
        self.0.client.observe(endpoint.index(), method, result.outcome(), duration);
    }

    /// Another attempt was made, after an attempt that failed with `failure`.
    pub fn retry(&mut self, service: ServiceKey, failure: Failure) {
        self.service(service).retries[failure_index(failure)] += 1;
    }

    /// An attempt failed and no other followed.
    pub fn no_retry(&mut self, service: ServiceKey, why: NoRetry) {
        self.service(service).not_retried[no_retry_index(why)] += 1;
    }

    /// A hedge was made, and this became of it.
    pub fn hedge(&mut self, service: ServiceKey, result: HedgeResult) {
        self.service(service).hedges[result as usize] += 1;
    }

    /// A hedge was due and was not made.
    pub fn no_hedge(&mut self, service: ServiceKey, why: NoRetry) {
        self.service(service).not_hedged[no_retry_index(why)] += 1;
    }

    /// A call got no answer of an instance. Where that is shedding, it counts as shed too.
    pub fn refused(&mut self, service: ServiceKey, priority: Priority, refusal: Refusal) {
        self.service(service).refused[refusal_index(refusal)] += 1;
        if let Some(reason) = ShedReason::of(refusal) {
            self.shed(service, priority, reason);
        }
    }

    /// A call was shed for a reason that is no [`Refusal`].
    pub fn shed(&mut self, service: ServiceKey, priority: Priority, reason: ShedReason) {
        self.service(service).shed[priority as usize][reason as usize] += 1;
    }

    /// A fallback answered.
    pub fn fallback(&mut self, service: ServiceKey, kind: FallbackKind) {
        self.service(service).fallbacks[fallback_index(kind)] += 1;
    }

    /// A drill's fault hit an attempt.
    pub fn fault(&mut self, service: ServiceKey, kind: FaultKind) {
        self.service(service).faults[kind.index()] += 1;
    }

    /// A call carried an `Idempotency-Key` and was not refused for it.
    pub fn key(&mut self, service: ServiceKey, result: KeyResult) {
        self.service(service).keys[result as usize] += 1;
    }

    /// A copy of a call was to go to `service`, and this became of it.
    pub fn mirrored(&mut self, service: ServiceKey, result: MirrorResult) {
        self.service(service).mirrored[result as usize] += 1;
    }

    /// A rate limit refused a call.
    pub fn rate_limited(&mut self, limit: LimitKey) {
        *at(&mut self.0.limits, limit.index()) += 1;
    }

    /// A caller's connection of `listener` came to this worker.
    pub fn accepted(&mut self, listener: ListenerKey) {
        *at(&mut self.0.accepted, listener.index()) += 1;
    }

    /// An endpoint was ejected.
    pub fn ejection(&mut self, endpoint: EndpointKey, cause: Cause) {
        at(&mut self.0.ejections, endpoint.index())[cause_index(cause)] += 1;
    }

    /// A copy of everything counted so far.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.0.clone()
    }

    fn service(&mut self, service: ServiceKey) -> &mut ServiceCounters {
        at(&mut self.0.services, service.index())
    }
}

impl Snapshot {
    /// Adds what another worker counted.
    pub fn merge(&mut self, other: &Self) {
        self.server.merge(&other.server);
        self.client.merge(&other.client);
        for (index, theirs) in other.services.iter().enumerate() {
            at(&mut self.services, index).merge(theirs);
        }
        for (index, theirs) in other.attempts.iter().enumerate() {
            add(at(&mut self.attempts, index).as_mut_slice(), theirs);
        }
        for (index, theirs) in other.ejections.iter().enumerate() {
            add(at(&mut self.ejections, index).as_mut_slice(), theirs);
        }
        add_all(&mut self.limits, &other.limits);
        add_all(&mut self.accepted, &other.accepted);
        self.records.records += other.records.records;
        self.records.bytes += other.records.bytes;
        self.records.used += other.records.used;
    }

    /// The same with the state of the worker's record ring.
    #[must_use]
    pub fn with_records(mut self, ring: &RecordRing) -> Self {
        self.records =
            RingFigures { records: ring.len() as u64, bytes: ring.memory() as u64, used: ring.memory_in_use() as u64 };
        self
    }

    /// Requests counted, over all routes.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.server.iter().map(|(.., histogram)| histogram.count()).sum()
    }

    /// Attempts counted, over all endpoints and results.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.attempts.iter().flatten().sum()
    }
}

impl ServiceCounters {
    fn merge(&mut self, other: &Self) {
        add(&mut self.retries, &other.retries);
        add(&mut self.not_retried, &other.not_retried);
        add(&mut self.hedges, &other.hedges);
        add(&mut self.not_hedged, &other.not_hedged);
        add(&mut self.refused, &other.refused);
        for (mine, theirs) in self.shed.iter_mut().zip(&other.shed) {
            add(mine, theirs);
        }
        add(&mut self.fallbacks, &other.fallbacks);
        add(&mut self.faults, &other.faults);
        add(&mut self.keys, &other.keys);
        add(&mut self.mirrored, &other.mirrored);
    }
}

fn add(mine: &mut [u64], theirs: &[u64]) {
    for (mine, theirs) in mine.iter_mut().zip(theirs) {
        *mine += theirs;
    }
}

fn add_all(mine: &mut Vec<u64>, theirs: &[u64]) {
    if mine.len() < theirs.len() {
        mine.resize(theirs.len(), 0);
    }
    add(mine, theirs);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Names;

    #[test]
    fn what_two_workers_counted_adds_up_whatever_each_saw_first() {
        let names = Names::new();
        let shop = names.service("shop");
        let (a, b) = (names.endpoint(shop, "a:1"), names.endpoint(shop, "b:1"));
        let ms = Duration::from_millis(1);
        let (mut one, mut two) = (Recorder::new(), Recorder::new());
        one.attempt(a, Method::Get, AttemptResult::Success(200), ms);
        two.attempt(b, Method::Get, AttemptResult::Failed(Failure::Reset), ms);
        two.attempt(a, Method::Post, AttemptResult::Cancelled, ms);
        one.ejection(b, Cause::Check(Failure::Refused.into()));
        two.ejection(b, Cause::Check(Failure::Timeout.into()));
        two.request(names.route("/"), Method::Get, 200, ms);
        two.refused(shop, Priority::Sheddable, Refusal::QueueFull);
        two.refused(shop, Priority::Normal, Refusal::BreakerOpen);

        let mut all = one.snapshot();
        all.merge(&two.snapshot());
        assert_eq!(all.attempts(), 3);
        assert_eq!(all.requests(), 1);
        assert_eq!(all.ejections[b.index()].iter().sum::<u64>(), 2);
        assert_eq!(all.services[shop.index()].refused.iter().sum::<u64>(), 2);
        assert_eq!(all.services[shop.index()].shed.iter().flatten().sum::<u64>(), 1);
    }
}
