//! The node's rate limits: exact over all workers.
//!
//! In: a request, and the limits that its route names. Out: the strictest verdict, and whose it is. A limit must be
//! exact, so its counts are shared; they are spread over shards by the key, each under a lock that is held for one look
//! into a table, some tens of nanoseconds. That is the one lock on a request's path, and only on the path of routes that
//! ask for it.
//!
//! - Keys are hashed with a secret of this process, so nobody can choose keys that meet in one slot.
//! - An IPv6 client counts by its /64: that is what one customer is given, and single addresses in it cost nothing.
//! - Callers that lack what a key is made of share one key.
//! - A limit is recognised by its name in the next configuration, and what each key has used stays.
//! - What several limits must all admit is asked in the route's order up to the first refusal; those before it have
//!   counted the call.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use mainstay_config::{Config, KeyPart, RateLimit, RateLimitId};
use mainstay_core::Instant;
use mainstay_http1::RequestView;
use mainstay_policy::{KeyedLimiter, LimitVerdict, RateLimitSettings};

use crate::route::header;

/// Shards of a limit with many keys: enough that two workers seldom meet.
const SHARDS: u32 = 16;

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
            let counts = match previous.0.iter().find(|old| old.limit.name == limit.name && old.limit.key == limit.key)
            {
                Some(old) => {
                    old.counts.configure(now, &limit.policy);
                    Arc::clone(&old.counts)
                }
                None => Arc::new(Counts::new(limit)),
            };
            NodeLimit { limit: limit.clone(), counts }
        };
        Self(limits.iter().map(compile).collect())
    }

    /// Asks all of `limits` for leave: the strictest verdict and the limit that gave it; `None` when there is none.
    pub(crate) fn ask(
        &self,
        now: Instant,
        limits: &[RateLimitId],
        asking: &Asking<'_>,
    ) -> Option<(RateLimitId, LimitVerdict)> {
        let mut strictest: Option<(RateLimitId, LimitVerdict)> = None;
        for id in limits {
            let Some(limit) = self.0.get(id.0) else { continue };
            let verdict = limit.counts.admit(now, &limit.limit.key, asking);
            strictest = match strictest {
                Some((first, kept)) if kept.stricter(verdict) == kept => Some((first, kept)),
                _ => Some((*id, verdict)),
            };
            if !verdict.admitted {
                break;
            }
        }
        strictest
    }

    /// What the configuration says of a limit.
    #[must_use]
    pub(crate) fn get(&self, id: RateLimitId) -> Option<&RateLimit> {
        self.0.get(id.0).map(|limit| &limit.limit)
    }
}

impl Counts {
    fn new(limit: &RateLimit) -> Self {
        let shards = if limit.key.contains(&KeyPart::Global) { 1 } else { SHARDS };
        let settings = share(&limit.policy, shards);
        let shards = (0..shards).map(|_| Mutex::new(KeyedLimiter::new(&settings))).collect();
        Self { secret: RandomState::new(), shards }
    }

    fn configure(&self, now: Instant, policy: &RateLimitSettings) {
        let settings = share(policy, self.shards.len() as u32);
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).configure(now, &settings);
        }
    }

    fn admit(&self, now: Instant, parts: &[KeyPart], asking: &Asking<'_>) -> LimitVerdict {
        let key = self.key(parts, asking);
        // The table in a shard goes by the high bits, so the shard goes by the low ones.
        let shard = &self.shards[key as usize % self.shards.len()];
        shard.lock().unwrap_or_else(PoisonError::into_inner).admit(now, key)
    }

    fn key(&self, parts: &[KeyPart], asking: &Asking<'_>) -> u64 {
        let mut hasher = self.secret.build_hasher();
        for part in parts {
            match part {
                KeyPart::Global => {}
                KeyPart::ClientIp => hasher.write_u64(network(asking.client)),
                KeyPart::Path => write_part(asking.path, &mut hasher),
                KeyPart::Header(name) => write_part(header(asking.request, name), &mut hasher),
            }
        }
        hasher.finish()
    }
}

/// The keys of a limit are shared out among its shards.
fn share(policy: &RateLimitSettings, shards: u32) -> RateLimitSettings {
    RateLimitSettings { max_keys: policy.max_keys.div_ceil(shards).max(1), ..*policy }
}

/// The length goes first, so that two parts cannot run into each other.
fn write_part(part: &[u8], hasher: &mut impl Hasher) {
    hasher.write_usize(part.len());
    hasher.write(part);
}

/// An IPv4 address, or the first half of an IPv6 address.
fn network(client: IpAddr) -> u64 {
    match client.to_canonical() {
        // Of the IPv6 networks in use only the loopback begins with 32 zero bits, and 0.0.0.0 is nobody.
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests;
