//! The handle of a service, as a program holds it.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_core::{Duration, Instant};
use mainstay_policy::{BreakerOrder, Order};

use crate::shard::{News, Shard, State, shard_of_thread};
use crate::sync::RateLimiter;
use crate::time::Time;
use crate::view::{View, merge};
use crate::{Attempt, BuildError, Builder, Call, Endpoint, Facts};

/// Something that a program depends on, with all that is known about it and all that stands between it and a call:
/// deadline, breaker, bulkhead, choice of an endpoint, retry, hedge, fallback, in this order.
///
/// A clone is another handle to the same service. `V` is the value by which an attempt reaches an endpoint: an address, a
/// client, a pool; `()` for a service that is one thing. Each attempt gets a clone of it, which is made under a lock and so
/// is to be cheap, as that of an `Arc` is.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// # runtime.block_on(async {
/// use mainstay::{Attempt, Facts, Service};
///
/// let shop = Service::builder("shop").endpoints(["127.0.0.1:9101", "127.0.0.1:9102"]).build()?;
///
/// let page = shop
///     .call(Facts::idempotent(), |attempt: Attempt| async move {
///         // Here you would ask `attempt.endpoint`, and have `attempt.left` to do so.
///         Ok::<_, std::io::Error>(format!("the answer of {}", attempt.endpoint))
///     })
///     .fallback(|_, _| Ok("the page of yesterday".to_owned()))
///     .await?;
///
/// assert!(page.starts_with("the answer of 127.0.0.1:910"));
/// # Ok(()) })
/// # }
/// ```
pub struct Service<V = SocketAddr> {
    pub(crate) inner: Arc<Inner<V>>,
}

/// What all handles share.
pub(crate) struct Inner<V> {
    pub(crate) name: Arc<str>,
    pub(crate) shards: Box<[Shard<V>]>,
    pub(crate) time: Arc<dyn Time>,
    /// What a call has at the most.
    pub(crate) within: Duration,
    /// What stands before a call, in this order.
    pub(crate) limits: Vec<RateLimiter>,
    /// Held while endpoints change: every shard has to see the same lists in the same order.
    pub(crate) updates: Mutex<()>,
}

impl Service<()> {
    /// Begins a service called `name`, without endpoints: one thing, such as a database that is reached through a pool.
    pub fn builder(name: impl Into<Arc<str>>) -> Builder<()> {
        Builder::new(name.into())
    }
}

impl<V> Service<V> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// A call: `attempt` is asked for a future as often as an attempt is to be made, and the first that answers is the
    /// answer. Nothing happens before the call is awaited; dropped on its way, it gives back what it held.
    ///
    /// `attempt` runs once for most calls. It runs again only for what may be made twice ([`Facts`]), or was certainly not
    /// sent, and never more often than [`crate::RetrySettings::attempts`] says. Hedges run at the same time as the attempt
    /// that is slow, so what `attempt` gives must not depend on its being alone.
    pub fn call<F, Fut, T, E>(&self, facts: Facts, attempt: F) -> Call<'_, V, F>
    where
        F: FnMut(Attempt<V>) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        Call::new(self, facts, attempt)
    }

    /// What it looks like now: breaker, budget, limit, endpoints. What the threads know is put together; a state is the
    /// most serious that any of them has.
    #[must_use]
    pub fn view(&self) -> View {
        let now = self.now();
        let parts = self.inner.shards.iter().map(|shard| {
            let mut state = shard.lock();
            let view = state.core.view(now);
            let name = |endpoint| state.endpoint(endpoint).map_or_else(Arc::default, |known| Arc::clone(&known.name));
            let names = view.endpoints.iter().map(|endpoint| name(endpoint.id)).collect();
            (names, view)
        });
        merge(now, parts)
    }

    /// Takes `endpoint` out of the choice or back in, whatever its health. False when there is none of this name; one with
    /// an address is called by it.
    pub fn order(&self, endpoint: &str, order: Order) -> bool {
        let now = self.now();
        self.each_shard(|state| {
            let address = state.endpoints().find(|known| *known.name == *endpoint).map(|known| known.spec.address);
            address.is_some_and(|address| state.core.order(now, address, order))
        })
    }

    /// Holds the breaker open or closed, or gives it back to itself.
    pub fn order_breaker(&self, order: BreakerOrder) {
        let now = self.now();
        self.each_shard(|state| {
            state.core.order_breaker(now, order);
            true
        });
    }

    fn each_shard(&self, mut act: impl FnMut(&mut State<V>) -> bool) -> bool {
        self.inner.shards.iter().map(|shard| act(&mut shard.lock())).fold(false, |any, this| any | this)
    }

    pub(crate) fn now(&self) -> Instant {
        self.inner.time.now()
    }

    /// The shard of this thread.
    pub(crate) fn own_shard(&self) -> usize {
        shard_of_thread(self.inner.shards.len())
    }

    pub(crate) fn shard(&self, shard: usize) -> MutexGuard<'_, State<V>> {
        self.inner.shards[shard].lock()
    }

    /// Tells the other shards, and people, what `shard` has learned.
    pub(crate) fn tell(&self, shard: usize, now: Instant, news: News) {
        if let Some(delta) = news.delta {
            for (_, other) in self.inner.shards.iter().enumerate().filter(|(number, _)| *number != shard) {
                other.lock().core.merge(now, &delta);
            }
        }
        news.events.tell(&self.inner.name);
    }

    /// What there is to show to whoever gathers metrics.
    #[cfg(feature = "telemetry")]
    pub(crate) fn shown(&self) -> crate::telling::Shown {
        let mut counted = mainstay_telemetry::Snapshot::default();
        let mut has_breaker = false;
        for shard in &self.inner.shards {
            let events = {
                let mut state = shard.lock();
                let events = state.events();
                has_breaker = state.core.settings().breaker.is_some();
                counted.merge(&state.counters.snapshot());
                events
            };
            events.tell(&self.inner.name);
        }
        crate::telling::Shown { name: self.inner.name.to_string(), view: self.view(), has_breaker, counted }
    }
}

impl<V: Clone> Service<V> {
    /// Makes `endpoints` the endpoints. What was learned of those that stay, stays; what runs at those that leave is
    /// finished.
    ///
    /// # Errors
    /// [`BuildError::SameEndpoint`] when two have one identity; nothing changes then.
    pub fn update(&self, endpoints: &[Endpoint<V>]) -> Result<(), BuildError> {
        for (at, endpoint) in endpoints.iter().enumerate() {
            if endpoints[..at].iter().any(|before| before.spec.address == endpoint.spec.address) {
                return Err(BuildError::SameEndpoint { name: endpoint.name.to_string() });
            }
        }
        let _alone = self.inner.updates.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now();
        for shard in &self.inner.shards {
            let before = { shard.lock().update(&self.inner.name, now, endpoints) };
            drop(before);
        }
        Ok(())
    }
}

impl<V> Clone for Service<V> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<V> fmt::Debug for Service<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.inner.name)
            .field("shards", &self.inner.shards.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use mainstay_policy::{Balance, EndpointState};

    use super::*;
    use crate::time::VirtualTime;

    #[test]
    fn what_one_shard_learns_of_an_endpoint_the_others_learn() {
        let time = VirtualTime::new();
        let builder = Service::builder("shop").endpoints(["10.0.0.1:80", "10.0.0.2:80"]).time(time.clone());
        let shop = builder.balance(Balance::RoundRobin).shards(2).seed(1).build().unwrap();
        for _ in 0..50 {
            let answer = time.run(async {
                let attempt = |attempt: Attempt| {
                    let is_ill = attempt.endpoint.ip().to_string() == "10.0.0.2";
                    let sleep = time.sleep(Duration::from_millis(2));
                    async move {
                        sleep.await;
                        if is_ill { Err(()) } else { Ok(()) }
                    }
                };
                shop.call(Facts::idempotent(), attempt).await
            });
            answer.unwrap();
        }
        let now = shop.now();
        for shard in 0..2 {
            let states = shop.shard(shard).core.view(now).endpoints.into_iter().map(|endpoint| endpoint.state);
            assert_eq!(states.collect::<Vec<_>>(), [EndpointState::Ready, EndpointState::Ejected], "{shard}");
        }
    }
}
