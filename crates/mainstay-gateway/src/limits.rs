//! The node's rate limits: exact over all workers.
//!
//! In: a request, and the limits that its route names. Out: for how long it has to wait or why it may not go, and whose
//! word that is. A limit must be exact, so its counts are shared; they are spread over shards by the key, each under a
//! lock that is held for one look into a table, some tens of nanoseconds. That is the one lock on a request's path, and
//! only on the path of routes that ask for it; an adaptive limit has a second one.
//!
//! - Keys are hashed with a secret of this process, so nobody can choose keys that meet in one slot.
//! - An IPv6 client counts by its /64: that is what one customer is given, and single addresses in it cost nothing.
//! - Callers that lack what a key is made of share one key: to leave a field away gains nobody a limit of their own.
//! - A tier is believed from a trusted proxy only, and each tier of a key is counted apart.
//! - A limit is recognised by its name, key and algorithm in the next configuration, and what each key has used stays.
//! - Limits stand one behind another in the route's order: a call that has to wait for one asks the next when its wait is
//!   over, and those before a refusal have counted the call.
//! - A place that a call waits for belongs to it until it goes, leaves or vanishes ([`Place`]).
//! - Of the calls that may wait, those of one key are an eighth at the most, so that nobody fills the queue alone; where
//!   all calls are counted together there is nobody else, and they may be all of them.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_config::{Config, KeyPart, RateLimit, RateLimitId, Tiers};
use mainstay_core::{Duration, Instant};
use mainstay_http1::RequestView;
use mainstay_policy::{KeyedLimiter, LimitQuery, LimitVerdict, OnExceeded, RateLimitSettings, Throttle, Ticket};

use crate::route::{cookies, header, parameters};

/// Shards of a limit with many keys: enough that two workers seldom meet.
const SHARDS: u32 = 16;

/// Of the calls that may wait for a limit, one in so many may be of one key.
const QUEUE_SHARE: u32 = 8;

/// The rate limits of one configuration, by [`RateLimitId`].
#[derive(Debug, Default)]
pub(crate) struct Limits(Vec<NodeLimit>);

#[derive(Debug)]
struct NodeLimit {
    limit: RateLimit,
    counts: Arc<Counts>,
}

/// What outlives a configuration.
#[derive(Debug)]
struct Counts {
    secret: RandomState,
    shards: Vec<Mutex<KeyedLimiter>>,
    throttle: Mutex<Throttle>,
    waiting: Mutex<Waiting>,
}

/// Calls that wait for their places.
#[derive(Debug, Default)]
struct Waiting {
    all: u32,
    by_key: HashMap<u64, u32>,
}

/// What a key is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking<'a> {
    /// The request.
    pub(crate) request: RequestView<'a>,
    /// Its canonical path.
    pub(crate) path: &'a [u8],
    /// The client's address.
    pub(crate) client: IpAddr,
    /// It comes from a trusted proxy, whose word about tiers counts.
    pub(crate) trusted: bool,
    /// When it must have an answer.
    pub(crate) deadline: Instant,
}

/// What the limits have said to one call so far.
#[derive(Debug, Default)]
pub(crate) struct Hearing {
    /// How many of the route's were asked.
    asked: usize,
    strictest: Option<Said>,
    place: Option<Place>,
}

/// The word of one limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said {
    pub(crate) id: RateLimitId,
    pub(crate) verdict: LimitVerdict,
    pub(crate) at: Instant,
}

/// The place that is reserved for a call that waits. Dropped before the wait is over, it is given back as far as nobody
/// stands behind it.
#[derive(Debug)]
struct Place {
    counts: Arc<Counts>,
    ticket: Ticket,
    shard: usize,
    key: u64,
    taken: bool,
}

impl Hearing {
    /// The refusal, or the limit that is nearest to one.
    pub(crate) fn strictest(&self) -> Option<Said> {
        self.strictest
    }

    /// The call goes no further: nobody keeps a place for it.
    pub(crate) fn leave(&mut self) {
        self.place = None;
    }

    fn hear(&mut self, said: Said) {
        let said = Said { verdict: LimitVerdict { wait: Duration::ZERO, ..said.verdict }, ..said };
        match &mut self.strictest {
            Some(kept) if kept.verdict.stricter(said.verdict) == kept.verdict => {}
            strictest => *strictest = Some(said),
        }
    }
}

impl Limits {
    /// The limits of `config`; what `previous` has counted under the same name goes on counting. The counts are
    /// `previous`'s own, so this is to be called when nothing can refuse the new configuration any more.
    #[must_use]
    pub(crate) fn compile(config: &Config, previous: &Self, now: Instant) -> Self {
        Self::of(&config.rate_limits, previous, now)
    }

    fn of(limits: &[RateLimit], previous: &Self, now: Instant) -> Self {
        let compile = |limit: &RateLimit| {
            let counts = match previous.0.iter().find(|old| counts_the_same(&old.limit, limit)) {
                Some(old) => {
                    old.counts.configure(&limit.policy);
                    Arc::clone(&old.counts)
                }
                None => Arc::new(Counts::new(limit, now)),
            };
            NodeLimit { limit: limit.clone(), counts }
        };
        Self(limits.iter().map(compile).collect())
    }

    /// Asks those of `limits` that were not asked yet for leave, up to the first that refuses the call or makes it wait;
    /// `None` when there is none.
    pub(crate) fn ask(
        &self,
        now: Instant,
        limits: &[RateLimitId],
        asking: &Asking<'_>,
        hearing: &mut Hearing,
    ) -> Option<Said> {
        if let Some(place) = hearing.place.take() {
            place.take();
        }
        while let Some(id) = limits.get(hearing.asked) {
            hearing.asked += 1;
            let Some(limit) = self.0.get(id.0) else { continue };
            let (verdict, place) = limit.ask(now, asking);
            let said = Said { id: *id, verdict, at: now };
            hearing.hear(said);
            if !verdict.admitted || !verdict.wait.is_zero() {
                hearing.place = place;
                return Some(said);
            }
        }
        hearing.strictest
    }

    /// Tells the limits that let a call through how it ended, as far as they want to know.
    pub(crate) fn tell(&self, now: Instant, limits: &[RateLimitId], went_well: bool) {
        for limit in limits.iter().filter_map(|id| self.0.get(id.0)).filter(|limit| limit.limit.policy.adaptive) {
            limit.counts.throttle().record(now, went_well);
        }
    }

    /// What the configuration says of a limit.
    #[must_use]
    pub(crate) fn get(&self, id: RateLimitId) -> Option<&RateLimit> {
        self.0.get(id.0).map(|limit| &limit.limit)
    }
}

/// Whether the counts of `old` are those of `new`.
fn counts_the_same(old: &RateLimit, new: &RateLimit) -> bool {
    old.name == new.name && old.key == new.key && old.policy.algorithm == new.policy.algorithm
}

impl NodeLimit {
    /// At how much of its rate it stands; people are told when it falls and when it is whole again.
    fn percent(&self, now: Instant) -> u8 {
        let (percent, event) = {
            let mut throttle = self.counts.throttle();
            (throttle.percent(now), throttle.poll_event())
        };
        let limit = self.limit.name.as_str();
        match event {
            Some(true) => tracing::warn!(limit, percent, "a rate limit is lowered: calls that it let through fail"),
            Some(false) => tracing::info!(limit, "a rate limit has its whole rate again"),
            None => {}
        }
        percent
    }

    fn ask(&self, now: Instant, asking: &Asking<'_>) -> (LimitVerdict, Option<Place>) {
        let tier = self.limit.tiers.as_ref().and_then(|tiers| tier_of(tiers, asking));
        let key = self.counts.key(&self.limit.key, asking, tier.map(|(_, name)| name));
        let patience = asking.deadline.since(now).as_nanos().saturating_sub(1);
        let query = LimitQuery {
            key,
            tier: tier.map_or(0, |(at, _)| at + 1),
            patience: Duration::from_nanos(patience),
            percent: if self.limit.policy.adaptive { self.percent(now) } else { 100 },
        };
        // The table in a shard goes by the high bits, so the shard goes by the low ones.
        let shard = key as usize % self.counts.shards.len();
        let (verdict, ticket) = self.counts.shard(shard).admit(now, &query);
        if verdict.wait.is_zero() {
            return (verdict, None);
        }
        let place = Place { counts: Arc::clone(&self.counts), ticket, shard, key, taken: false };
        let (all, of_key) = place.begin();
        if all <= self.queue() && of_key <= self.queue_of_key() {
            (verdict, Some(place))
        } else {
            (verdict.refused(), None)
        }
    }

    /// Calls that may wait at once.
    fn queue(&self) -> u32 {
        match self.limit.policy.on_exceeded {
            OnExceeded::Queue { calls, .. } => calls,
            OnExceeded::Reject => 0,
        }
    }

    /// Calls of one key that may.
    fn queue_of_key(&self) -> u32 {
        let is_one_for_all = self.limit.key.iter().all(|part| *part == KeyPart::Global);
        if is_one_for_all { self.queue() } else { self.queue().div_ceil(QUEUE_SHARE) }
    }
}

impl Counts {
    fn new(limit: &RateLimit, now: Instant) -> Self {
        let shards = if limit.key.contains(&KeyPart::Global) { 1 } else { SHARDS };
        let settings = share(&limit.policy, shards);
        let shards = (0..shards).map(|_| Mutex::new(KeyedLimiter::new(&settings))).collect();
        Self { secret: RandomState::new(), shards, throttle: Mutex::new(Throttle::new(now)), waiting: Mutex::default() }
    }

    fn configure(&self, policy: &RateLimitSettings) {
        let settings = share(policy, self.shards.len() as u32);
        for shard in 0..self.shards.len() {
            self.shard(shard).configure(&settings);
        }
    }

    fn shard(&self, shard: usize) -> MutexGuard<'_, KeyedLimiter> {
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, parts: &[KeyPart], asking: &Asking<'_>, tier: Option<&str>) -> u64 {
        let mut hasher = self.secret.build_hasher();
        let request = asking.request;
        for part in parts {
            match part {
                KeyPart::Global => {}
                KeyPart::ClientIp => hasher.write_u64(network(asking.client)),
                KeyPart::Path => write_part(asking.path, &mut hasher),
                KeyPart::Header(name) => write_part(header(request, name), &mut hasher),
                KeyPart::Query(name) => {
                    write_part(&parameters(request, name.as_bytes()).next().unwrap_or_default(), &mut hasher);
                }
                KeyPart::Cookie(name) => {
                    write_part(cookies(request, name.as_bytes()).next().unwrap_or_default(), &mut hasher);
                }
            }
        }
        if let Some(tier) = tier {
            write_part(tier.as_bytes(), &mut hasher);
        }
        hasher.finish()
    }
}

impl Waiting {
    /// One more waits: how many do now, and how many of its key.
    fn begin(&mut self, key: u64) -> (u32, u32) {
        let of_key = self.by_key.entry(key).or_default();
        *of_key += 1;
        self.all += 1;
        (self.all, *of_key)
    }

    fn end(&mut self, key: u64) {
        self.all -= 1;
        let Some(of_key) = self.by_key.get_mut(&key) else { return };
        *of_key -= 1;
        if *of_key == 0 {
            self.by_key.remove(&key);
        }
    }
}

impl Place {
    /// It is waited for from now on, until it is dropped: how many calls wait now, and how many of its key.
    fn begin(&self) -> (u32, u32) {
        self.counts.waiting().begin(self.key)
    }

    /// The wait is over, and the call goes on.
    fn take(mut self) {
        self.taken = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counts.waiting().end(self.key);
        if !self.taken {
            self.counts.shard(self.shard).give_back(&self.ticket);
        }
    }
}

/// The caller's tier and its position, where a trusted proxy names one that there is.
fn tier_of<'t>(tiers: &'t Tiers, asking: &Asking<'_>) -> Option<(usize, &'t str)> {
    if !asking.trusted {
        return None;
    }
    let named = header(asking.request, &tiers.header);
    tiers.names.iter().enumerate().find(|(_, name)| name.as_bytes() == named).map(|(at, name)| (at, name.as_str()))
}

/// The keys of a limit are shared out among its shards.
fn share(policy: &RateLimitSettings, shards: u32) -> RateLimitSettings {
    RateLimitSettings { max_keys: policy.max_keys.div_ceil(shards).max(1), ..policy.clone() }
}

/// The length goes first, so that two parts cannot run into each other.
fn write_part(part: &[u8], hasher: &mut impl Hasher) {
    hasher.write_usize(part.len());
    hasher.write(part);
}

/// An IPv4 address, or the first half of an IPv6 address.
pub(crate) fn network(client: IpAddr) -> u64 {
    match client.to_canonical() {
        // Of the IPv6 networks in use only the loopback begins with 32 zero bits, and 0.0.0.0 is nobody.
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests;
