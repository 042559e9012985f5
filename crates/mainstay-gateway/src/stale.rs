//! Answers that stand in for a service that fails, kept for the whole node.
//!
//! In: the answers of a service that lives, as they pass, and the fields that say what a cache may do with them. Out: one
//! that may be given when the service has failed. The rules are [`mainstay_policy::may_keep`]'s and
//! [`mainstay_policy::may_give`]'s; here fields become their facts, and the answers of a service are spread over shards,
//! each under a lock that is held for one look-up. Only services that have `stale_if_error` ever touch it.
//!
//! - Answers are known by the URI that the caller asked for. Those of one URI differ by the request's fields that their
//!   `Vary` names (RFC 9111, section 4.1) and by what the route makes of the request.
//! - Both are hashed to 128 bits with secrets of this process.
//! - An answer that varies on what a gateway writes anew for every request (who calls, an id, a trace) is for one request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_config::HostHeader;
use mainstay_core::{Bytes, Duration, Instant};
use mainstay_http1::{CacheControl, Known, RequestView, ResponseView};
use mainstay_policy::{
    CachingAnswer, CachingRequest, FallbackSettings, KeepTerms, StaleAnswers, StaleFigures, TargetId, Usable,
};

use crate::forward::{Peer, credentials, decimal, named_host, named_scheme, parse_date};
use crate::idempotency::Secrets;
use crate::kept::Kept;
use crate::route::CompiledRoute;

/// Shards at the most, and memory of one at the least, as for keys.
const SHARDS_MAX: u64 = 16;
const SHARD_MIN: u64 = 1024 * 1024;
/// The largest answer that is kept, where the memory is not small.
const ANSWER_MAX: u64 = 1024 * 1024;
/// What the names in `Vary` count for beside their bytes.
const NAME: u64 = 24;

type Shard = StaleAnswers<Arc<Stored>>;

/// The kept answers of one service.
#[derive(Debug)]
pub(crate) struct StaleStore {
    secrets: Secrets,
    shards: Vec<Mutex<Shard>>,
    answer_max: AtomicU64,
}

/// An answer with what it varies on.
#[derive(Debug)]
struct Stored {
    kept: Arc<Kept>,
    names: Vec<Box<[u8]>>,
    /// What [`StaleStore::varied`] gave for its request.
    varied: u128,
}

/// A request for which an answer is kept or looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Presented<'a> {
    pub(crate) request: RequestView<'a>,
    pub(crate) peer: &'a Peer,
    /// Its path in canonical form.
    pub(crate) path: &'a [u8],
    pub(crate) route: &'a CompiledRoute,
    /// What the instance is asked for.
    pub(crate) target: &'a [u8],
}

impl StaleStore {
    /// No answers.
    pub(crate) fn new(settings: &FallbackSettings) -> Self {
        let shards = (settings.stale_memory.0 / SHARD_MIN).clamp(1, SHARDS_MAX);
        let part = Bytes(settings.stale_memory.0 / shards);
        Self {
            secrets: Secrets::default(),
            shards: (0..shards).map(|_| Mutex::new(Shard::new(part))).collect(),
            answer_max: AtomicU64::new(answer_max(settings)),
        }
    }

    /// Takes on another memory; the answers stay.
    pub(crate) fn configure(&self, settings: &FallbackSettings) {
        let part = Bytes(settings.stale_memory.0 / self.shards.len() as u64);
        self.shards.iter().for_each(|shard| lock(shard).configure(part));
        self.answer_max.store(answer_max(settings), Ordering::Relaxed);
    }

    /// The largest answer that is kept.
    pub(crate) fn answer_max(&self) -> u64 {
        self.answer_max.load(Ordering::Relaxed)
    }

    /// What they take.
    pub(crate) fn figures(&self) -> StaleFigures {
        self.shards.iter().map(|shard| lock(shard).figures()).fold(StaleFigures::default(), StaleFigures::plus)
    }

    /// Keeps the answer to a request that came `at`.
    pub(crate) fn keep(&self, at: Instant, presented: &Presented<'_>, kept: Arc<Kept>, terms: KeepTerms) {
        let names = varies_on(kept.view());
        let varied = self.varied(presented, &names);
        let size = kept.size() + names.iter().map(|name| NAME + name.len() as u64).sum::<u64>();
        let id = self.id(presented);
        let stored = Arc::new(Stored { kept, names, varied });
        self.shard(id).keep(at, id, (stored, size), terms, |known| self.matches(presented, known));
    }

    /// The answer that may be given to a request now.
    pub(crate) fn find(&self, now: Instant, presented: &Presented<'_>, limit: Duration) -> Option<(Arc<Kept>, Usable)> {
        let id = self.id(presented);
        let asked = caching_request(presented.request);
        let (stored, usable) = self.shard(id).find(now, id, &asked, limit, |known| self.matches(presented, known))?;
        Some((Arc::clone(&stored.kept), usable))
    }

    /// Forgets what is kept of a URI: it has changed, or must not be kept any more.
    pub(crate) fn forget(&self, presented: &Presented<'_>) {
        let id = self.id(presented);
        self.shard(id).forget(id);
    }

    fn id(&self, presented: &Presented<'_>) -> TargetId {
        let Presented { request, peer, path, .. } = *presented;
        let mut hasher = self.secrets.hasher();
        hasher.write_part(named_scheme(request, peer));
        hasher.write_part(&named_host(request, peer).unwrap_or_default().to_ascii_lowercase());
        hasher.write_part(path);
        // `/a?` is another URI than `/a`.
        hasher.write_part(&[u8::from(request.query().is_some())]);
        hasher.write_part(request.query().unwrap_or_default());
        TargetId(hasher.finish())
    }

    fn matches(&self, presented: &Presented<'_>, stored: &Stored) -> bool {
        self.varied(presented, &stored.names) == stored.varied
    }

    /// The hash of the request's fields of these names, and of what its route makes of it.
    fn varied(&self, presented: &Presented<'_>, names: &[Box<[u8]>]) -> u128 {
        let Presented { request, route, target, .. } = *presented;
        let mut hasher = self.secrets.hasher();
        hasher.write_part(target);
        hasher.write_part(route.request_fields.lines());
        hasher.write_part(match &route.host_header {
            HostHeader::Fixed(host) => host.as_bytes(),
            HostHeader::Preserve | HostHeader::Endpoint => b"",
        });
        for name in names {
            hasher.write_part(name);
            for field in request.fields().iter().filter(|field| field.name.eq_ignore_ascii_case(name)) {
                hasher.write_part(field.value);
            }
        }
        hasher.finish()
    }

    fn shard(&self, id: TargetId) -> MutexGuard<'_, Shard> {
        lock(&self.shards[id.0 as usize % self.shards.len()])
    }
}

fn answer_max(settings: &FallbackSettings) -> u64 {
    (settings.stale_memory.0 / 64).min(ANSWER_MAX)
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a request says about caching.
pub(crate) fn caching_request(request: RequestView<'_>) -> CachingRequest {
    let control = CacheControl::of(request.fields());
    CachingRequest {
        credentials: credentials(request.fields()).next().is_some(),
        no_store: control.no_store,
        no_cache: control.no_cache,
        max_age: control.max_age.map(Duration::from_secs),
        min_fresh: control.min_fresh.map(Duration::from_secs),
    }
}

/// What an answer that comes at `now`, in seconds of civil time, says about caching.
pub(crate) fn caching_answer(answer: ResponseView<'_>, now: u64) -> CachingAnswer {
    let control = CacheControl::of(answer.fields());
    let seconds = |seconds: Option<u64>| seconds.map(Duration::from_secs);
    let date = answer.get(Known::Date).and_then(parse_date);
    let since = |later: u64, earlier: u64| Duration::from_secs(later.saturating_sub(earlier));
    let made = date.unwrap_or(now);
    let age = answer.get(Known::Age).map_or(0, |age| decimal(age, 10).unwrap_or(u64::from(u32::MAX)));
    CachingAnswer {
        status: answer.status(),
        public: control.public,
        private: control.private,
        no_store: control.no_store,
        no_cache: control.no_cache,
        must_revalidate: control.must_revalidate,
        proxy_revalidate: control.proxy_revalidate,
        s_maxage: seconds(control.s_maxage),
        max_age: seconds(control.max_age),
        expires_after: answer.get_named("expires").map(|date| since(parse_date(date).unwrap_or(0), made)),
        unchanged_for: answer.get_named("last-modified").and_then(parse_date).map(|changed| since(made, changed)),
        age: Duration::from_secs(age).max(since(now, made)),
        stale_if_error: seconds(control.stale_if_error),
        varies_on_all: varies_on(answer).iter().any(|name| **name == *b"*" || is_of_one_request(name)),
        sets_cookie: answer.get(Known::SetCookie).is_some(),
    }
}

/// Whether a gateway writes a field anew for every request, so that what the caller sent in it says nothing.
fn is_of_one_request(name: &[u8]) -> bool {
    matches!(
        Known::of(name),
        Known::Forwarded
            | Known::Traceparent
            | Known::Tracestate
            | Known::XForwardedFor
            | Known::XMainstayDeadlineMs
            | Known::XRequestId
    )
}

/// The names in `Vary`, in lower case.
fn varies_on(answer: ResponseView<'_>) -> Vec<Box<[u8]>> {
    let fields = answer.fields().iter().filter(|field| field.name.eq_ignore_ascii_case(b"vary"));
    let names = fields.flat_map(|field| field.value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    names.filter(|name| !name.is_empty()).map(|name| name.to_ascii_lowercase().into()).collect()
}

#[cfg(test)]
mod tests;
