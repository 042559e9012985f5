//! A service from its settings.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::available_parallelism;

use mainstay_core::{Duration, Limit, Seed};
use mainstay_policy::{
    ATTEMPTS_MAX, Adaptive, Balance, BreakerSettings, BulkheadSettings, FallbackSettings, HEDGES_MAX, HedgeSettings,
    OutlierSettings, RetrySettings, ServiceSettings,
};

use crate::service::Inner;
use crate::shard::shards;
use crate::sync::RateLimiter;
use crate::time::{Time, default_time};
use crate::{BuildError, Endpoint, IntoEndpoint, Service};

/// A call has this long unless something else is said, as behind a route of the gateway.
const WITHIN: Duration = Duration::from_secs(15);
/// A shard's part of the calls that a breaker must have counted is not smaller than this: a rate of fewer is luck.
const CALLS_OF_SHARD_MIN: u32 = 20;
/// Threads that have a shard of their own, unless something else is said.
const SHARDS_MAX: usize = 8;

/// Makes a [`Service`]. Everything has a default, which is the one of the gateway's configuration.
///
/// ```
/// use std::time::Duration;
/// use mainstay::{BulkheadSettings, Limit, Service};
///
/// # fn main() -> Result<(), mainstay::BuildError> {
/// // A database behind a pool of ten connections: no more than ten at once, and nobody waits for longer than 100 ms.
/// let database = Service::builder("orders-db")
///     .within(Duration::from_secs(2))
///     .bulkhead(BulkheadSettings {
///         concurrency: Limit::At(10),
///         queue: 20,
///         queue_timeout: Duration::from_millis(100).into(),
///         ..BulkheadSettings::default()
///     })
///     .build()?;
/// # assert_eq!(database.name(), "orders-db");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing before it builds"]
pub struct Builder<V> {
    name: Arc<str>,
    settings: ServiceSettings,
    endpoints: Result<Vec<Endpoint<V>>, BuildError>,
    within: Duration,
    limits: Vec<RateLimiter>,
    time: Option<Arc<dyn Time>>,
    seed: Option<Seed>,
    shards: Option<usize>,
}

impl Builder<()> {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            endpoints: Ok(vec![Endpoint::named(Arc::clone(&name), ())]),
            name,
            settings: ServiceSettings::default(),
            within: WITHIN,
            limits: Vec::new(),
            time: None,
            seed: None,
            shards: None,
        }
    }

    /// Switches everything off but the deadline, so that what is named afterwards stands alone: no ejection, no breaker, no
    /// retry, no bound on what runs.
    ///
    /// ```
    /// use mainstay::{RetrySettings, Service};
    ///
    /// # fn main() -> Result<(), mainstay::BuildError> {
    /// let only_retries = Service::builder("mail").bare().retry(RetrySettings::default()).build()?;
    /// # let _ = only_retries;
    /// # Ok(())
    /// # }
    /// ```
    pub fn bare(mut self) -> Self {
        self.settings = ServiceSettings {
            slow_start: None,
            outlier: None,
            breaker: None,
            retry: None,
            bulkhead: BulkheadSettings {
                concurrency: Limit::Unlimited,
                adaptive: Adaptive::Off,
                ..BulkheadSettings::default()
            },
            ..ServiceSettings::default()
        };
        self
    }

    /// The service is answered for by these addresses: texts such as `"10.0.0.1:80"`, [`SocketAddr`]s or [`Endpoint`]s. An
    /// empty list is allowed, for a service whose endpoints become known later ([`Service::update`]).
    pub fn endpoints<E: IntoEndpoint>(self, endpoints: impl IntoIterator<Item = E>) -> Builder<SocketAddr> {
        let endpoints = endpoints.into_iter().map(IntoEndpoint::into_endpoint).collect();
        self.of(endpoints)
    }

    /// The service is answered for by these values: clients, pools, whatever an attempt needs. Each attempt gets a clone
    /// of one.
    pub fn values<V>(self, endpoints: impl IntoIterator<Item = Endpoint<V>>) -> Builder<V> {
        self.of(Ok(endpoints.into_iter().collect()))
    }

    fn of<V>(self, endpoints: Result<Vec<Endpoint<V>>, BuildError>) -> Builder<V> {
        let Self { name, settings, within, limits, time, seed, shards, .. } = self;
        Builder { name, settings, endpoints, within, limits, time, seed, shards }
    }
}

impl<V> Builder<V> {
    /// What a call has at the most, all attempts, pauses and waits together. Default 15 s.
    pub fn within(mut self, length: impl Into<Duration>) -> Self {
        self.within = length.into();
        self
    }

    /// All settings at once, in place of those that were made before. Active checks, fallbacks, idempotency keys and
    /// connection pools are the gateway's and have no effect here.
    pub fn settings(mut self, settings: ServiceSettings) -> Self {
        self.settings = settings;
        self
    }

    /// How an endpoint is chosen. Default [`Balance::Adaptive`].
    pub const fn balance(mut self, balance: Balance) -> Self {
        self.settings.balance = balance;
        self
    }

    /// The zone whose endpoints come first. Default none.
    pub fn zone(mut self, zone: impl Into<Arc<str>>) -> Self {
        self.settings.zone = zone.into();
        self
    }

    /// When an endpoint is ejected for how it answers; `None` for never. Default on.
    pub fn outlier(mut self, outlier: impl Into<Option<OutlierSettings>>) -> Self {
        self.settings.outlier = outlier.into();
        self
    }

    /// When the whole service is given a rest; `None` for never. Default on: when half of at least 100 calls in 10 s have
    /// failed, for 1 s at first.
    pub fn breaker(mut self, breaker: impl Into<Option<BreakerSettings>>) -> Self {
        self.settings.breaker = breaker.into();
        self
    }

    /// Whether and how a failed attempt is repeated; `None` for never. Default on: three attempts, within a budget of one
    /// for five successes.
    pub fn retry(mut self, retry: impl Into<Option<RetrySettings>>) -> Self {
        self.settings.retry = retry.into();
        self
    }

    /// Another attempt beside one that is slow. Default off: it makes some calls twice. Without retries there are no
    /// hedges either, since both are paid for from one budget.
    pub fn hedge(mut self, hedge: HedgeSettings) -> Self {
        if let Some(retry) = &mut self.settings.retry {
            retry.hedge = Some(hedge);
        }
        self
    }

    /// How many attempts run at once, and who waits. Default 1024 at the most, fewer while answers become slow; 128 wait,
    /// for 500 ms at the longest.
    pub const fn bulkhead(mut self, bulkhead: BulkheadSettings) -> Self {
        self.settings.bulkhead = bulkhead;
        self
    }

    /// A limit on how often calls are made, for each key of its own ([`crate::Facts::counted_by`]). Several stand one behind
    /// another in the order in which they are given. Default none. One limiter may stand before several services.
    pub fn rate_limit(mut self, limiter: RateLimiter) -> Self {
        self.limits.push(limiter);
        self
    }

    /// How long an attempt may take after which another one may follow. Default 5 s; the last one has what is left.
    pub fn attempt_timeout(mut self, length: impl Into<Duration>) -> Self {
        self.settings.timeout.attempt = length.into();
        self
    }

    /// The clock, and how to wait. Default tokio's, or without the feature `tokio` a thread's.
    pub fn time(mut self, time: impl Time + 'static) -> Self {
        self.time = Some(Arc::new(time));
        self
    }

    /// Where luck comes from, so that a test can have it twice. Default another one each time.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(Seed::new(seed));
        self
    }

    /// Into how many parts what is known is divided, so that threads do not wait for each other. Each counts on its own for
    /// the breaker and the budget, and has its part of their settings. Default one for each core, at most eight, and none
    /// with fewer than twenty calls to a breaker's verdict.
    pub const fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// Makes the service.
    ///
    /// # Errors
    /// [`BuildError`] says what is wrong with which setting.
    pub fn build(mut self) -> Result<Service<V>, BuildError>
    where
        V: Clone,
    {
        let endpoints = self.endpoints?;
        check(&self.settings)?;
        // Fallbacks belong to calls here.
        self.settings.fallback = FallbackSettings::default();
        let count = self.shards.unwrap_or_else(|| shards_for(&self.settings)).max(1);
        let time = self.time.unwrap_or_else(default_time);
        let seed = self.seed.unwrap_or_else(any_seed).derive(&self.name);
        let shards = shards(&self.name, &self.settings, count, seed, time.now());
        let inner = Inner {
            name: self.name,
            shards,
            time,
            within: self.within,
            limits: self.limits,
            updates: Mutex::default(),
        };
        let service = Service { inner: Arc::new(inner) };
        service.update(&endpoints)?;
        Ok(service)
    }
}

fn check(settings: &ServiceSettings) -> Result<(), BuildError> {
    let within = |setting, given, range: std::ops::RangeInclusive<u32>, accepted| {
        range.contains(&given).then_some(()).ok_or(BuildError::Setting { setting, given, accepted })
    };
    if let Some(retry) = &settings.retry {
        within("retry.attempts", retry.attempts, 1..=ATTEMPTS_MAX, "1 to 16")?;
        let hedges = retry.hedge.map_or(1, |hedge| hedge.max);
        within("retry.hedge.max", hedges, 1..=HEDGES_MAX, "1 or 2")?;
    }
    if let Limit::At(concurrency) = settings.bulkhead.concurrency {
        within("bulkhead.concurrency", concurrency, 1..=u32::MAX, "1 or more")?;
    }
    Ok(())
}

fn shards_for(settings: &ServiceSettings) -> usize {
    let cores = available_parallelism().map_or(1, usize::from).min(SHARDS_MAX);
    let calls = settings.breaker.as_ref().map_or(u32::MAX, |breaker| breaker.minimum_calls);
    cores.min((calls / CALLS_OF_SHARD_MIN).max(1) as usize)
}

/// Another one in each process and for each service.
pub(crate) fn any_seed() -> Seed {
    use std::hash::{BuildHasher, RandomState};
    Seed::new(RandomState::new().hash_one(0))
}
