//! Which answers may stand in for a service that fails, and for how long.
//!
//! In: what an answer and its request say about caching, as facts. Out: whether the answer is kept, and whether one that
//! is kept may be given now. A service that lives is always asked: what is kept here answers nobody before its service has
//! failed, so being too careful costs little, and where RFC 9111 leaves a choice the careful one is taken.
//!
//! - Kept is what a shared cache may store (RFC 9111, section 3): a GET's answer whose status is cacheable by default, or
//!   a redirect that says how long it is fresh. An answer that says no (404, 405, 410, 414) may be kept by default too
//!   (RFC 9110, section 15.1), but is only when it says for how long it holds, and is given past that only when it says so
//!   itself: said of what has come to be since, "there is none" does more harm than a 503. All this without `no-store`, `private` and `no-cache` (a qualified one counts like
//!   a bare one) and without `Vary: *`.
//! - An answer to somebody with credentials (`Authorization`, and beyond the RFC whatever says who asks) is kept only when it says
//!   `public`, `s-maxage` or `must-revalidate` (section 3.5). One that sets a cookie is never kept.
//! - Given is what is fresh (section 4.2), and past that what is stale for no longer than the configuration allows and the
//!   answer itself (`stale-if-error`, RFC 5861, section 4). `must-revalidate`, `proxy-revalidate` and `s-maxage` forbid
//!   anything stale (sections 5.2.2.2, 5.2.2.8 and 5.2.2.10).
//! - A caller that asks for better gets no worse: `no-cache`, `max-age` (which wants nothing stale, section 5.2.1.1) and
//!   `min-fresh` of the request hold.
//! - Memory is bounded. For want of room the answer goes that was refreshed the longest time ago.

use std::collections::BTreeMap;

use mainstay_core::{Bytes, Duration, Instant};

/// A guess at freshness is a tenth of the time since the last change (RFC 9111, section 4.2.2), and a day at the most.
const HEURISTIC_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Answers kept of one target that differ by what they vary on.
pub const VARIANTS_MAX: usize = 8;

/// What a request says about caching.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CachingRequest {
    /// It says who asks: `Authorization`, `Cookie`, or a service's own field.
    pub credentials: bool,
    /// `no-store`: its answer is not kept.
    pub no_store: bool,
    /// `no-cache`: it wants nothing that was kept.
    pub no_cache: bool,
    /// `max-age`: the oldest answer that it takes, and only while that is fresh.
    pub max_age: Option<Duration>,
    /// `min-fresh`: how long it must still be fresh.
    pub min_fresh: Option<Duration>,
}

/// What an answer says about caching.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CachingAnswer {
    /// The status.
    pub status: u16,
    /// `public`.
    pub public: bool,
    /// `private`, qualified or not.
    pub private: bool,
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache`, qualified or not.
    pub no_cache: bool,
    /// `must-revalidate`.
    pub must_revalidate: bool,
    /// `proxy-revalidate`.
    pub proxy_revalidate: bool,
    /// `s-maxage`.
    pub s_maxage: Option<Duration>,
    /// `max-age`.
    pub max_age: Option<Duration>,
    /// From `Date` to `Expires`; nothing when that is no date or not later.
    pub expires_after: Option<Duration>,
    /// From `Last-Modified` to `Date`.
    pub unchanged_for: Option<Duration>,
    /// How old it was when it came: the more of `Age` and the time since its `Date` (section 4.2.3).
    pub age: Duration,
    /// `stale-if-error`.
    pub stale_if_error: Option<Duration>,
    /// `Vary: *`.
    pub varies_on_all: bool,
    /// It sets a cookie.
    pub sets_cookie: bool,
}

/// What a kept answer may be used for, counted from when it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepTerms {
    /// How old it was.
    pub age: Duration,
    /// How old it may become and be fresh.
    pub lifetime: Duration,
    /// How long it may be given past that; without end when only the configuration limits it.
    pub stale_max: Duration,
}

/// An answer that may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usable {
    /// How old it is.
    pub age: Duration,
    /// How long it is still fresh; nothing when it is stale.
    pub fresh_for: Duration,
    /// For how long it has been stale; nothing while it is fresh.
    pub stale_for: Duration,
}

/// Whether it may be stored as far as its status goes (RFC 9110, section 15.1; RFC 9111, section 3); of parts (206) nothing
/// is made here, and what fails is nothing to fall back to.
const fn cacheable(answer: &CachingAnswer) -> bool {
    let explicit = answer.s_maxage.is_some() || answer.max_age.is_some() || answer.expires_after.is_some();
    match answer.status {
        200 | 203 | 204 | 300 | 301 | 308 => true,
        302 | 303 | 307 => answer.public || explicit,
        status => says_no(status) && (explicit || answer.stale_if_error.is_some()),
    }
}

/// Whether a status is cacheable by default and says that there is nothing to be had.
const fn says_no(status: u16) -> bool {
    matches!(status, 404 | 405 | 410 | 414)
}

/// Whether an answer is kept, and under which terms.
#[must_use]
pub fn may_keep(request: &CachingRequest, answer: &CachingAnswer) -> Option<KeepTerms> {
    let forbidden = request.no_store || answer.no_store || answer.private || answer.no_cache;
    let shared = answer.public || answer.s_maxage.is_some() || answer.must_revalidate;
    if forbidden || !cacheable(answer) || answer.varies_on_all || answer.sets_cookie || (request.credentials && !shared)
    {
        return None;
    }
    let strict = answer.must_revalidate || answer.proxy_revalidate || answer.s_maxage.is_some();
    let otherwise = if says_no(answer.status) { Duration::ZERO } else { Duration::MAX };
    let stale_max = if strict { Duration::ZERO } else { answer.stale_if_error.unwrap_or(otherwise) };
    let lifetime = lifetime(answer);
    let terms = KeepTerms { age: answer.age, lifetime, stale_max };
    // What could never be given is not kept.
    (terms.age < lifetime || !stale_max.is_zero()).then_some(terms)
}

/// Whether an older answer of the same target is outdated although this one may not be kept: because it says that none
/// must be, or that there is nothing at the target any more.
#[must_use]
pub const fn forbids_keeping(answer: &CachingAnswer) -> bool {
    let forbids = answer.no_store || answer.private || answer.no_cache || answer.varies_on_all;
    (answer.status < 300 && forbids) || matches!(answer.status, 404 | 410)
}

fn lifetime(answer: &CachingAnswer) -> Duration {
    let explicit = answer.s_maxage.or(answer.max_age).or(answer.expires_after);
    explicit.unwrap_or_else(|| {
        let tenth = answer.unchanged_for.map_or(0, |unchanged| unchanged.as_nanos() / 10);
        Duration::from_nanos(tenth).min(HEURISTIC_MAX)
    })
}

/// Whether an answer that has been kept for `kept` may be given, when `limit` is how stale any may be.
#[must_use]
pub fn may_give(terms: &KeepTerms, kept: Duration, request: &CachingRequest, limit: Duration) -> Option<Usable> {
    let age = Duration::from_nanos(terms.age.as_nanos().saturating_add(kept.as_nanos()));
    let less = |a: Duration, b: Duration| Duration::from_nanos(a.as_nanos().saturating_sub(b.as_nanos()));
    let (fresh_for, stale_for) = (less(terms.lifetime, age), less(age, terms.lifetime));
    let fresh = !fresh_for.is_zero();
    let in_time = fresh || (!terms.stale_max.is_zero() && stale_for <= terms.stale_max.min(limit));
    let wanted = !request.no_cache
        && request.max_age.is_none_or(|max| fresh && age <= max)
        && request.min_fresh.is_none_or(|min| fresh_for >= min);
    (in_time && wanted).then_some(Usable { age, fresh_for, stale_for })
}

/// Under what the answers of one target are known: the hash of what was asked, but for what they vary on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TargetId(pub u128);

/// The kept answers of one service, or one part of them. `A` is what an answer is kept as.
#[derive(Debug)]
pub struct StaleAnswers<A> {
    memory: u64,
    targets: BTreeMap<TargetId, Vec<Variant<A>>>,
    /// Which answer was kept when, oldest first.
    order: BTreeMap<u64, TargetId>,
    next: u64,
    used: u64,
    evicted: u64,
}

#[derive(Debug)]
struct Variant<A> {
    answer: A,
    terms: KeepTerms,
    bytes: u64,
    /// When it was asked for.
    at: Instant,
    number: u64,
}

impl<A: Clone> StaleAnswers<A> {
    /// None, in at most `memory`.
    #[must_use]
    pub fn new(memory: Bytes) -> Self {
        Self { memory: memory.0, targets: BTreeMap::new(), order: BTreeMap::new(), next: 0, used: 0, evicted: 0 }
    }

    /// Takes on another memory.
    pub fn configure(&mut self, memory: Bytes) {
        self.memory = memory.0;
        self.make_room(0);
    }

    /// Keeps an answer that was asked for `at` and takes `bytes`, in the place of the one that `matches` the same request;
    /// unless that was asked for later.
    pub fn keep(
        &mut self,
        at: Instant,
        target: TargetId,
        (answer, bytes): (A, u64),
        terms: KeepTerms,
        matches: impl Fn(&A) -> bool,
    ) {
        let mut known = self.targets.get(&target).into_iter().flatten();
        if known.any(|variant| variant.at > at && matches(&variant.answer)) {
            return;
        }
        self.remove(target, |variant| matches(&variant.answer));
        if bytes > self.memory {
            return;
        }
        self.make_room(bytes);
        if self.targets.get(&target).is_some_and(|variants| variants.len() >= VARIANTS_MAX) {
            let oldest = self.targets[&target].iter().map(|variant| variant.number).min();
            self.remove(target, |variant| Some(variant.number) == oldest);
            self.evicted += 1;
        }
        let number = self.next;
        self.next += 1;
        self.used += bytes;
        self.order.insert(number, target);
        self.targets.entry(target).or_default().push(Variant { answer, terms, bytes, at, number });
    }

    /// The newest answer of `target` that `matches` the request and may be given.
    pub fn find(
        &self,
        now: Instant,
        target: TargetId,
        request: &CachingRequest,
        limit: Duration,
        matches: impl Fn(&A) -> bool,
    ) -> Option<(A, Usable)> {
        let variants = self.targets.get(&target)?;
        let variant = variants.iter().rev().find(|variant| matches(&variant.answer))?;
        let usable = may_give(&variant.terms, now.since(variant.at), request, limit)?;
        Some((variant.answer.clone(), usable))
    }

    /// Forgets all answers of `target`.
    pub fn forget(&mut self, target: TargetId) {
        self.remove(target, |_| true);
    }

    fn remove(&mut self, target: TargetId, goes: impl Fn(&Variant<A>) -> bool) {
        let Some(variants) = self.targets.get_mut(&target) else { return };
        let (order, used) = (&mut self.order, &mut self.used);
        variants.retain(|variant| {
            let goes = goes(variant);
            if goes {
                order.remove(&variant.number);
                *used -= variant.bytes;
            }
            !goes
        });
        if variants.is_empty() {
            self.targets.remove(&target);
        }
    }

    fn make_room(&mut self, bytes: u64) {
        while self.used + bytes > self.memory
            && let Some((&number, &target)) = self.order.first_key_value()
        {
            self.remove(target, |variant| variant.number == number);
            self.evicted += 1;
        }
    }

    /// What they take.
    #[must_use]
    pub fn figures(&self) -> StaleFigures {
        StaleFigures { answers: self.order.len() as u64, bytes: self.used, evicted: self.evicted }
    }
}

/// What the kept answers of a service take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StaleFigures {
    /// How many there are.
    pub answers: u64,
    /// Bytes that they count for.
    pub bytes: u64,
    /// How many had to make room for others.
    pub evicted: u64,
}

impl StaleFigures {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            answers: self.answers + other.answers,
            bytes: self.bytes + other.bytes,
            evicted: self.evicted + other.evicted,
        }
    }
}

#[cfg(test)]
mod tests;
