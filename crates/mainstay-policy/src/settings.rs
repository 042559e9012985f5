//! What a service's configuration comes to: plain values with safe defaults, that cannot be wrong by their types.
//!
//! The defaults are the contract's (`docs/reference/configuration.md` gives each with its reason). A part that is
//! `None` is switched off.

use std::sync::Arc;

use mainstay_core::{Bytes, Duration, Failure, Limit, Rate, Ratio};

/// Everything that the decisions of one service depend on.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceSettings {
    /// How an endpoint is chosen.
    pub balance: Balance,
    /// How many times the average an endpoint may have in flight before a key goes elsewhere, in hundredths. Default 200.
    pub hash_load: Limit<u32>,
    /// How long the share of an endpoint grows that is new or back. Default 10 s.
    pub slow_start: Option<Duration>,
    /// When fewer than this share of the endpoints are usable, health and ejection are ignored. Default 50 %: sending a
    /// whole load to a small rest would bring the rest down too.
    pub panic: Ratio,
    /// The zone whose endpoints come first, by the rules that do not go by keys. Default empty: no zone does.
    pub zone: Arc<str>,
    /// Active checks. Default none.
    pub health: Option<HealthSettings>,
    /// Passive ejection of one endpoint. Default on.
    pub outlier: Option<OutlierSettings>,
    /// The breaker of the whole service. Default on.
    pub breaker: Option<BreakerSettings>,
    /// Lengths of connect and attempt.
    pub timeout: TimeoutSettings,
    /// Connections kept to each endpoint.
    pub pool: PoolSettings,
    /// Whether and how a failed attempt is repeated. Default on.
    pub retry: Option<RetrySettings>,
    /// How many attempts run at once, and who waits.
    pub bulkhead: BulkheadSettings,
    /// Whether the first answer of an `Idempotency-Key` is kept. Default not.
    pub idempotency: Option<IdempotencySettings>,
    /// What answers when nothing else does. Default nothing.
    pub fallback: FallbackSettings,
}

impl Default for ServiceSettings {
    fn default() -> Self {
        Self {
            balance: Balance::default(),
            hash_load: Limit::At(200),
            slow_start: Some(Duration::from_secs(10)),
            panic: Ratio::percent(50),
            zone: "".into(),
            health: None,
            outlier: Some(OutlierSettings::default()),
            breaker: Some(BreakerSettings::default()),
            timeout: TimeoutSettings::default(),
            pool: PoolSettings::default(),
            retry: Some(RetrySettings::default()),
            bulkhead: BulkheadSettings::default(),
            idempotency: None,
            fallback: FallbackSettings::default(),
        }
    }
}

impl ServiceSettings {
    /// One worker's share of them, when `workers` (at least 1) carry the load in equal parts.
    ///
    /// A budget, a breaker's least number of calls and a pool's size are meant for the node, but each worker counts its
    /// own. What is divided is rounded up, so that no part is left with nothing. The bulkhead is not divided: its
    /// permits are shared.
    #[must_use]
    pub fn per_worker(&self, workers: u32) -> Self {
        let part = |whole: u32| whole.div_ceil(workers.max(1));
        let mut share = self.clone();
        if let Some(breaker) = &mut share.breaker {
            breaker.minimum_calls = part(breaker.minimum_calls);
        }
        if let Some(budget) = share.retry.as_mut().and_then(|retry| retry.budget.as_mut()) {
            (budget.per_second, budget.cap) = (part(budget.per_second), part(budget.cap));
        }
        if let Limit::At(size) = &mut share.pool.size {
            *size = part(*size);
        }
        share
    }
}

/// How an endpoint is chosen among those that are usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// Each in turn, by weight, evenly spread (smooth weighted round robin).
    RoundRobin,
    /// Any, by weight.
    Random,
    /// The one of two drawn by weight that has fewer requests in flight for its weight.
    LeastRequest,
    /// The one of two drawn by weight with the lower peak-sensitive moving average of latency × (in flight + 1).
    PeakEwma,
    /// As [`Balance::PeakEwma`], and a failure costs as much as a whole attempt timeout (at most ten times the
    /// service's median), so that an instance that fails quickly attracts nothing.
    #[default]
    Adaptive,
    /// By the hash of the call's key on a ring of virtual nodes, so that few keys move when an endpoint comes or goes.
    RingHash,
    /// By the hash of the call's key in a table that all endpoints have filled in turns.
    Maglev,
}

impl Balance {
    /// All of them with the words that name them in a configuration.
    pub const ALL: [(&'static str, Self); 7] = [
        ("round_robin", Self::RoundRobin),
        ("random", Self::Random),
        ("least_request", Self::LeastRequest),
        ("peak_ewma", Self::PeakEwma),
        ("ring_hash", Self::RingHash),
        ("maglev", Self::Maglev),
        ("adaptive", Self::Adaptive),
    ];

    /// Whether a call's key says where it goes.
    #[must_use]
    pub const fn goes_by_key(self) -> bool {
        matches!(self, Self::RingHash | Self::Maglev)
    }
}

/// Active checks of each endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthSettings {
    /// What is asked.
    pub probe: Probe,
    /// Time between two checks of one endpoint. Default 2 s.
    pub interval: Duration,
    /// Longest wait for an answer. Default 1 s, or the interval where that is shorter.
    pub timeout: Duration,
    /// Passes in a row that make it well. Default 2; one is enough after a refused or failed connect.
    pub healthy_threshold: u32,
    /// Failures in a row that make it unwell. Default 3.
    pub unhealthy_threshold: u32,
    /// Each interval is shortened or lengthened by up to this share, so that checks do not march in step. Default 10 %.
    pub jitter: Ratio,
}

impl HealthSettings {
    /// Checks by `probe` with the defaults.
    #[must_use]
    pub fn new(probe: Probe) -> Self {
        Self {
            probe,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            healthy_threshold: 2,
            unhealthy_threshold: 3,
            jitter: Ratio::percent(10),
        }
    }
}

/// What an active check asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A GET of this path; an answer whose status lies in one of the ranges passes. Default 200 to 299.
    Http {
        /// The path, beginning with a slash.
        path: String,
        /// Statuses that pass, both ends included.
        expect: Vec<(u16, u16)>,
    },
    /// A connection that comes about.
    Tcp,
}

/// When one endpoint is ejected for how it answers.
#[derive(Debug, Clone, PartialEq)]
pub struct OutlierSettings {
    /// Failures in a row. Default 5.
    pub consecutive_failures: Option<u32>,
    /// Share of failures in the window, reached or passed. Default 50 %.
    pub failure_rate: Option<Ratio>,
    /// So many standard deviations below the mean of all success rates, in hundredths. Default off: among endpoints that
    /// are equally ill, one is always the worst.
    pub success_rate_deviation: Option<u32>,
    /// The window. Default 10 s.
    pub window: Duration,
    /// The rate is not looked at with fewer calls in the window. Default 20.
    pub minimum_calls: u32,
    /// How long the first ejection lasts; each further one doubles it. Default 2 s.
    pub base_ejection_time: Duration,
    /// The longest. Default 60 s.
    pub max_ejection_time: Duration,
    /// Share of the endpoints that may be ejected for these causes; one always may while another is left. Default 50 %.
    pub max_ejected: Ratio,
}

impl Default for OutlierSettings {
    fn default() -> Self {
        Self {
            consecutive_failures: Some(5),
            failure_rate: Some(Ratio::percent(50)),
            success_rate_deviation: None,
            window: Duration::from_secs(10),
            minimum_calls: 20,
            base_ejection_time: Duration::from_secs(2),
            max_ejection_time: Duration::from_secs(60),
            max_ejected: Ratio::percent(50),
        }
    }
}

/// When the whole service is given a rest.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakerSettings {
    /// Share of failed calls in the window, reached or passed. Default 50 %.
    pub failure_rate: Option<Ratio>,
    /// The window. Default 10 s.
    pub window: Duration,
    /// Rates are not looked at with fewer calls in the window. Default 100.
    pub minimum_calls: u32,
    /// A call that takes this long or longer is slow. Default off.
    pub slow_call: Option<Duration>,
    /// Share of slow calls in the window, reached or passed. Default 100 %.
    pub slow_rate: Ratio,
    /// How long it stays open, and again each time that its probes fail. Default 1 s.
    pub open_for: Duration,
    /// It doubles, when the service breaks down again soon after it has closed, up to this. Default 10 s.
    pub open_max: Duration,
    /// Calls let through while half-open, whose outcomes decide. Default 5.
    pub half_open_calls: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failure_rate: Some(Ratio::percent(50)),
            window: Duration::from_secs(10),
            minimum_calls: 100,
            slow_call: None,
            slow_rate: Ratio::ONE,
            open_for: Duration::from_secs(1),
            open_max: Duration::from_secs(10),
            half_open_calls: 5,
        }
    }
}

/// How long the parts of an attempt may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeoutSettings {
    /// A connection comes about. Default 1 s.
    pub connect: Duration,
    /// From the choice of the endpoint to the response's head. Only where another attempt may follow; otherwise an
    /// attempt has the rest of the deadline. Default 5 s.
    pub attempt: Duration,
}

impl Default for TimeoutSettings {
    fn default() -> Self {
        Self { connect: Duration::from_secs(1), attempt: Duration::from_secs(5) }
    }
}

/// Connections kept to each endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSettings {
    /// An idle connection is closed after this. Default 4 s, under the 5 s at which common servers close theirs.
    pub idle: Duration,
    /// Connections per endpoint, idle and busy. Default unlimited.
    pub size: Limit<u32>,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self { idle: Duration::from_secs(4), size: Limit::Unlimited }
    }
}

/// Whether and how a failed attempt is repeated.
#[derive(Debug, Clone, PartialEq)]
pub struct RetrySettings {
    /// Attempts in all, the first included. Default 3.
    pub attempts: u32,
    /// What is worth another attempt.
    pub on: RetryOn,
    /// Only idempotent calls, unless nothing was sent. Default true.
    pub idempotent_only: bool,
    /// The service honours `Idempotency-Key`, so a call that carries one counts as idempotent. Default false.
    pub idempotency_key: bool,
    /// A body longer than this commits a call to its attempt. Default 64 KiB.
    pub buffer: Bytes,
    /// The pause before another attempt.
    pub backoff: BackoffSettings,
    /// What retries may cost in all.
    pub budget: Option<BudgetSettings>,
    /// Whether another attempt is made beside one that is slow. Default off: it sends some calls twice.
    pub hedge: Option<HedgeSettings>,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            attempts: 3,
            on: RetryOn::default(),
            idempotent_only: true,
            idempotency_key: false,
            buffer: Bytes::kib(64),
            backoff: BackoffSettings::default(),
            budget: Some(BudgetSettings::default()),
            hedge: None,
        }
    }
}

/// Another attempt beside one that is slow (J. Dean, L. A. Barroso: "The Tail at Scale", CACM 56(2), 2013).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HedgeSettings {
    /// How slow.
    pub after: HedgeAfter,
    /// Hedges per call, 1 to [`crate::HEDGES_MAX`]. Default 1.
    pub max: u32,
}

/// How long an attempt has to answer before another is made beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HedgeAfter {
    /// Always so long.
    Fixed(Duration),
    /// As long as this share of the service's attempts need at the most, once that is learned.
    Percentile(Percentile),
}

/// The shares of all attempts whose latency is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Percentile {
    /// Half of them.
    P50,
    /// Nine in ten.
    P90,
    /// 95 in a hundred.
    P95,
    /// 99 in a hundred.
    P99,
}

impl Percentile {
    /// All of them with the words that name them in a configuration, in ascending order.
    pub const ALL: [(&'static str, Self); 4] =
        [("p50", Self::P50), ("p90", Self::P90), ("p95", Self::P95), ("p99", Self::P99)];

    /// Attempts in a hundred that take longer.
    #[must_use]
    pub const fn slower_in_100(self) -> u32 {
        match self {
            Self::P50 => 50,
            Self::P90 => 10,
            Self::P95 => 5,
            Self::P99 => 1,
        }
    }
}

/// The failures that are worth another attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryOn {
    /// No connection came about.
    pub connect: bool,
    /// The connection broke before the head of an answer.
    pub reset: bool,
    /// No head in time.
    pub timeout: bool,
    /// The answer was not HTTP.
    pub malformed: bool,
    /// These statuses, in ascending order.
    pub statuses: Vec<u16>,
}

impl Default for RetryOn {
    fn default() -> Self {
        Self { connect: true, reset: true, timeout: true, malformed: true, statuses: vec![500, 502, 503, 504] }
    }
}

impl RetryOn {
    /// Whether `failure` is one of them.
    #[must_use]
    pub fn includes(&self, failure: Failure) -> bool {
        match failure {
            Failure::Refused | Failure::Unreachable | Failure::ConnectTimeout => self.connect,
            Failure::Reset => self.reset,
            Failure::Timeout => self.timeout,
            Failure::Malformed => self.malformed,
            Failure::Status(status) => self.statuses.binary_search(&status).is_ok(),
        }
    }
}

/// The pause before another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffSettings {
    /// Whether it grows.
    pub kind: BackoffKind,
    /// The first pause, before jitter. Default 25 ms.
    pub base: Duration,
    /// The longest. Default 1 s.
    pub max: Duration,
    /// How it is spread. Default full.
    pub jitter: Jitter,
}

impl Default for BackoffSettings {
    fn default() -> Self {
        Self {
            kind: BackoffKind::Exponential,
            base: Duration::from_millis(25),
            max: Duration::from_secs(1),
            jitter: Jitter::Full,
        }
    }
}

/// Whether a backoff grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackoffKind {
    /// Always the base.
    Fixed,
    /// The base, twice it, four times it, up to the longest.
    Exponential,
}

/// How pauses are spread, so that callers that failed together do not come back together
/// (M. Brooker: "Exponential Backoff and Jitter", AWS Architecture Blog, 2015).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jitter {
    /// Not at all.
    None,
    /// Anything from nothing to the pause.
    Full,
    /// Anything from half the pause to the pause.
    Equal,
    /// Anything from the base to three times the pause before, up to the longest.
    Decorrelated,
}

/// A token bucket that pays for retries and hedges: a service that is failing is not sent much more than its load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BudgetSettings {
    /// Deposited per success. Default 20 %: one retry for five successes.
    pub share: Ratio,
    /// Deposited per second, so that a service with few calls can retry too. Default 10.
    pub per_second: u32,
    /// The most it holds; it starts full. Default 100.
    pub cap: u32,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self { share: Ratio::percent(20), per_second: 10, cap: 100 }
    }
}

/// How many attempts run at once, and who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkheadSettings {
    /// Attempts at once over all workers, at the most. Default 1024.
    pub concurrency: Limit<u32>,
    /// How the limit under that ceiling follows latency.
    pub adaptive: Adaptive,
    /// Calls that may wait. Default 128; zero when the configuration says `"off"`.
    pub queue: u32,
    /// The longest wait. Default 500 ms.
    pub queue_timeout: Duration,
    /// Attempts at once at one endpoint. Default unlimited.
    pub per_endpoint: Limit<u32>,
}

impl Default for BulkheadSettings {
    fn default() -> Self {
        Self {
            concurrency: Limit::At(1024),
            adaptive: Adaptive::default(),
            queue: 128,
            queue_timeout: Duration::from_millis(500),
            per_endpoint: Limit::Unlimited,
        }
    }
}

/// How much a call matters when not all can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Priority {
    /// Shed last.
    Critical,
    /// The default.
    #[default]
    Normal,
    /// Shed first.
    Sheddable,
}

impl Priority {
    /// All of them, the most important first.
    pub const ALL: [Self; 3] = [Self::Critical, Self::Normal, Self::Sheddable];

    /// The word for configurations, metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Normal => "normal",
            Self::Sheddable => "sheddable",
        }
    }
}

/// How the limit on attempts at once follows latency ([`crate::Concurrency`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Adaptive {
    /// Not at all: the ceiling is the limit.
    Off,
    /// To what the service carries in the latency that is usual for it.
    #[default]
    Gradient,
    /// One up while attempts succeed, a tenth down when most are given up for their time.
    Aimd,
    /// By small steps to a short queue at the service.
    Vegas,
}

impl Adaptive {
    /// All of them with the words that name them in a configuration.
    pub const ALL: [(&'static str, Self); 4] =
        [("gradient", Self::Gradient), ("aimd", Self::Aimd), ("vegas", Self::Vegas), ("off", Self::Off)];
}

/// For how long, and in how much memory, the first answers of keys are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotencySettings {
    /// From the end of a call until its key is forgotten. Default 24 h, as clients of payment services expect.
    pub ttl: Duration,
    /// Memory of one service's keys and answers over all workers. Default 64 MiB.
    pub memory: Bytes,
}

impl Default for IdempotencySettings {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(24 * 60 * 60), memory: Bytes::mib(64) }
    }
}

/// What answers when the service does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FallbackSettings {
    /// An answer that was kept, up to this time past its freshness. Default not.
    pub stale_if_error: Option<Duration>,
    /// Memory of one service's kept answers over all workers. Default 64 MiB.
    pub stale_memory: Bytes,
    /// Another service is asked, on what is left of the deadline.
    pub service: bool,
    /// A fixed answer stands ready.
    pub respond: bool,
}

impl Default for FallbackSettings {
    fn default() -> Self {
        Self { stale_if_error: None, stale_memory: Bytes::mib(64), service: false, respond: false }
    }
}

/// One limit on how often something may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimitSettings {
    /// What the rate means in the short run. Default token bucket.
    pub algorithm: RateLimitAlgorithm,
    /// The rate over time; a window is as long as its period.
    pub rate: Rate,
    /// How many may come at once, at least 1; of a leaky bucket, how many may wait in it. Windows have none.
    pub burst: u64,
    /// Other rates for some callers.
    pub tiers: Vec<TierSettings>,
    /// What becomes of a call over the limit. Default it is refused.
    pub on_exceeded: OnExceeded,
    /// The limit is lowered while the calls that it lets through fail. Default false.
    pub adaptive: bool,
    /// Keys remembered at once. Default 1,000,000.
    pub max_keys: u32,
}

impl RateLimitSettings {
    /// So many in a second (none counts as one), and as many at once.
    #[must_use]
    pub fn per_second(count: u64) -> Self {
        let count = count.max(1);
        Self {
            algorithm: RateLimitAlgorithm::default(),
            rate: Rate::per_second(count),
            burst: count,
            tiers: Vec::new(),
            on_exceeded: OnExceeded::Reject,
            adaptive: false,
            max_keys: 1_000_000,
        }
    }
}

/// The rate of one tier of callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierSettings {
    /// In place of the limit's own.
    pub rate: Rate,
    /// Likewise.
    pub burst: u64,
}

/// What a rate means in the short run; each has a law of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RateLimitAlgorithm {
    /// The burst at once, and then the rate.
    #[default]
    TokenBucket,
    /// One after another, evenly spread.
    LeakyBucket,
    /// The rate's count in each of its periods, the first of which begins with the key's first call.
    FixedWindow,
    /// As many in the last period, where of the period before that share counts which still overlaps it.
    SlidingWindow,
}

impl RateLimitAlgorithm {
    /// All of them with the words that name them in a configuration.
    pub const ALL: [(&'static str, Self); 4] = [
        ("token_bucket", Self::TokenBucket),
        ("leaky_bucket", Self::LeakyBucket),
        ("fixed_window", Self::FixedWindow),
        ("sliding_window", Self::SlidingWindow),
    ];

    /// Whether it goes by windows and so has no burst.
    #[must_use]
    pub const fn is_window(self) -> bool {
        matches!(self, Self::FixedWindow | Self::SlidingWindow)
    }
}

/// What becomes of a call over a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExceeded {
    /// It is refused at once.
    Reject,
    /// It waits for its place, where that comes soon enough.
    Queue {
        /// The longest wait. Default 1 s.
        timeout: Duration,
        /// Calls of all keys that may wait at once. Default 1000.
        calls: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_what_is_meant_for_the_node() {
        let mut node = ServiceSettings::default();
        node.pool.size = Limit::At(5);
        let share = node.per_worker(2);
        assert_eq!(share.breaker.unwrap().minimum_calls, 50);
        assert_eq!(share.retry.unwrap().budget.unwrap().cap, 50);
        assert_eq!(share.pool.size, Limit::At(3), "rounded up");
        assert_eq!(share.bulkhead, node.bulkhead, "its permits are shared, not divided");
        assert_eq!(node.per_worker(1), node);
    }
}
