//! Asks the endpoints of a service how they are: the driver of [`mainstay_policy::CheckSchedule`] on sockets.
//!
//! In: the service's health settings and its endpoints, which may change at any time. Out: one [`CheckResult`] for each
//! check that could be made, to a callback that tells the workers and is awaited. When a check is due is the schedule's
//! decision; what a result means is the fleet's. This runs on the control runtime and never on a worker.
//!
//! - A check never outlives its timeout, and never more than [`CONCURRENCY`] of one service run at once.
//! - The result of an endpoint that has left in the meantime is nobody's.
//! - Dropping [`Checks`] ends them.

mod probe;

use std::collections::HashMap;
use std::net::SocketAddr;

use mainstay_config::BodyMatch;
use mainstay_core::{EndpointId, Seed};
use mainstay_policy::{CheckResult, CheckSchedule, HealthSettings};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::clock::Clock;

/// Checks of one service that run at once: enough for 100 endpoints that all time out each second, and few sockets.
const CONCURRENCY: usize = 128;

/// The checks of one service.
#[derive(Debug)]
pub(crate) struct Checks {
    orders: watch::Sender<Orders>,
    task: JoinHandle<()>,
}

/// What is asked and how often, and what an answer must be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    pub(crate) settings: HealthSettings,
    /// What the body of an answer must have.
    pub(crate) body: Option<BodyMatch>,
}

#[derive(Debug, Clone)]
struct Orders {
    asked: Asked,
    endpoints: Vec<SocketAddr>,
}

impl Checks {
    /// Begins to check `endpoints` on the current runtime; `report` is told each result and delays the next by as long
    /// as it takes.
    #[must_use]
    pub(crate) fn start<F>(
        asked: Asked,
        endpoints: Vec<SocketAddr>,
        seed: Seed,
        clock: Clock,
        report: impl FnMut(SocketAddr, CheckResult) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (orders, inbox) = watch::channel(Orders { asked, endpoints });
        let task = tokio::spawn(run(inbox, seed, clock, report));
        Self { orders, task }
    }

    /// The endpoints are these from now on. Those that stay keep the time of their next check.
    pub(crate) fn update(&self, endpoints: Vec<SocketAddr>) {
        self.orders.send_modify(|orders| orders.endpoints = endpoints);
    }

    /// Other settings from now on.
    pub(crate) fn configure(&self, asked: Asked) {
        self.orders.send_modify(|orders| orders.asked = asked);
    }
}

impl Drop for Checks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run<F: Future<Output = ()>>(
    mut inbox: watch::Receiver<Orders>,
    seed: Seed,
    clock: Clock,
    mut report: impl FnMut(SocketAddr, CheckResult) -> F,
) {
    let mut driver = Driver::new(inbox.borrow_and_update().clone(), seed, clock);
    loop {
        driver.start_due();
        let due = driver.due();
        tokio::select! {
            changed = inbox.changed() => {
                if changed.is_err() {
                    return;
                }
                driver.take(inbox.borrow_and_update().clone());
            }
            Some(ended) = driver.running.join_next() => {
                // A check that was aborted with its set or that panicked has no result; the next one will have.
                if let Ok((endpoint, result)) = ended
                    && let Some(address) = driver.finish(endpoint)
                    && let Some(result) = result
                {
                    report(address, result).await;
                }
            }
            () = tokio::time::sleep_until(due) => {}
        }
    }
}

struct Driver {
    clock: Clock,
    schedule: CheckSchedule,
    asked: Asked,
    /// What the schedule calls an address; never used again for another.
    ids: HashMap<SocketAddr, EndpointId>,
    addresses: HashMap<EndpointId, SocketAddr>,
    named: u64,
    running: JoinSet<(EndpointId, Option<CheckResult>)>,
}

impl Driver {
    fn new(orders: Orders, seed: Seed, clock: Clock) -> Self {
        let mut driver = Self {
            clock,
            schedule: CheckSchedule::new(&orders.asked.settings, seed),
            asked: orders.asked.clone(),
            ids: HashMap::new(),
            addresses: HashMap::new(),
            named: 0,
            running: JoinSet::new(),
        };
        driver.take(orders);
        driver
    }

    fn take(&mut self, orders: Orders) {
        let now = self.clock.now();
        if orders.asked != self.asked {
            self.schedule.configure(now, &orders.asked.settings);
            self.asked = orders.asked;
        }
        let before = std::mem::take(&mut self.ids);
        let ids: Vec<_> = orders
            .endpoints
            .iter()
            .map(|address| before.get(address).copied().unwrap_or_else(|| self.name()))
            .collect();
        self.schedule.update(now, &ids);
        self.addresses = ids.iter().copied().zip(orders.endpoints.iter().copied()).collect();
        self.ids = orders.endpoints.into_iter().zip(ids).collect();
    }

    fn name(&mut self) -> EndpointId {
        let id = EndpointId { slot: self.named as u32, generation: (self.named >> 32) as u32 };
        self.named += 1;
        id
    }

    fn start_due(&mut self) {
        while self.running.len() < CONCURRENCY {
            let Some(endpoint) = self.schedule.poll_due(self.clock.now()) else { return };
            let Some(address) = self.addresses.get(&endpoint).copied() else {
                self.schedule.done(self.clock.now(), endpoint);
                continue;
            };
            let asked = self.asked.clone();
            self.running.spawn(async move { (endpoint, probe::check(address, &asked).await) });
        }
    }

    /// When to look again; with every place taken, the end of a check wakes us up.
    fn due(&self) -> tokio::time::Instant {
        let due = self.schedule.poll_timeout().filter(|_| self.running.len() < CONCURRENCY);
        self.clock.to_tokio(due.map_or(mainstay_core::Instant::FAR_FUTURE, |deadline| deadline.at))
    }

    /// Where the endpoint is, unless it has left.
    fn finish(&mut self, endpoint: EndpointId) -> Option<SocketAddr> {
        self.schedule.done(self.clock.now(), endpoint);
        self.addresses.get(&endpoint).copied()
    }
}

#[cfg(test)]
mod tests;
