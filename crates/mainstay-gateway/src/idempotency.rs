//! The first answers of `Idempotency-Key`s, kept for the whole node.
//!
//! In: a request that carries a key. Out: whether it is carried out, and the answer that was kept. The decisions are
//! [`IdempotencyKeys`]'s; here a key is read and hashed, and the keys of a service are spread over shards, each under a
//! lock that is held for one look-up. Only calls that carry a key, to a service that has the table, ever touch it.
//!
//! - A key belongs to its route, its host, its caller (`Authorization` and the client's address, of IPv6 the /64) and its
//!   text. What it is asked with is method, target, whatever else says who asks, and body: all of it that may be kept, and
//!   its length where it is announced.
//! - Both are hashed to 128 bits with secrets of this process, so that nobody can make two of them meet.
//! - A key is a string (draft-ietf-httpapi-idempotency-key-header, section 2.1) or, as most clients send it, the bare
//!   text: `"a-1"` and `a-1` are one key.
//! - Whose part of the memory a key counts against is the client's address alone: `Authorization` says what its sender
//!   likes, so one caller could be many.
//! - Whoever holds a key lets go of it whatever happens, and of the memory that it was lent: a call that vanishes may have
//!   been applied.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use mainstay_core::{Bytes, CallId, Instant};
use mainstay_http1::{FieldsView, Known, RequestView};
use mainstay_policy::{
    Fingerprint, IdempotencyKeys, IdempotencySettings, KeyAsking, KeyEnd, KeyFigures, KeyId, KeyLookup, KeyOutcome,
    KeyOwner,
};

use crate::clock::Clock;
use crate::forward::credentials;
use crate::kept::Kept;
use crate::limits::network;

/// How much of a body a fingerprint covers at the least, where a configuration keeps less for retries.
pub(crate) const BODY_MIN: usize = 64 * 1024;
/// Longest text of a key, as payment services have it.
const KEY_MAX: usize = 255;
/// Shards at the most: enough that two workers seldom meet.
const SHARDS_MAX: u64 = 16;
/// Memory of a shard at the least: a caller's share of it is a share of the whole only if it holds many of the largest
/// answers.
const SHARD_MIN: u64 = 16 * 1024 * 1024;

type Shard = IdempotencyKeys<Arc<Kept>, Waker>;

/// The keys of one service.
#[derive(Debug)]
pub(crate) struct KeyStore {
    secrets: Secrets,
    shards: Vec<Mutex<Shard>>,
    answer_max: AtomicU64,
}

/// What a key is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyParts<'a> {
    pub(crate) call: CallId,
    pub(crate) route: &'a str,
    pub(crate) client: IpAddr,
    pub(crate) request: RequestView<'a>,
}

impl KeyStore {
    /// No keys.
    pub(crate) fn new(settings: &IdempotencySettings) -> Self {
        let shards = (settings.memory.0 / SHARD_MIN).clamp(1, SHARDS_MAX);
        let part = Bytes(settings.memory.0 / shards);
        Self {
            secrets: Secrets::default(),
            shards: (0..shards).map(|_| Mutex::new(Shard::new(settings.ttl, part))).collect(),
            answer_max: AtomicU64::new(settings.answer_max()),
        }
    }

    /// Takes on other settings; the keys stay.
    pub(crate) fn configure(&self, now: Instant, settings: &IdempotencySettings) {
        let part = Bytes(settings.memory.0 / self.shards.len() as u64);
        for shard in &self.shards {
            lock(shard).configure(now, settings.ttl, part);
        }
        self.answer_max.store(settings.answer_max(), Ordering::Relaxed);
    }

    /// The largest answer that is kept.
    pub(crate) fn answer_max(&self) -> u64 {
        self.answer_max.load(Ordering::Relaxed)
    }

    /// What they take.
    pub(crate) fn figures(&self) -> KeyFigures {
        self.shards.iter().map(|shard| lock(shard).figures()).fold(KeyFigures::default(), KeyFigures::plus)
    }

    /// The key of a request; `None` when the field is not a key.
    fn key(&self, parts: &KeyParts<'_>) -> Option<KeyId> {
        let KeyParts { request, .. } = *parts;
        let text = key_text(request.fields())?;
        let host = request.authority().unwrap_or_default().to_ascii_lowercase();
        let mut key = self.secrets.hasher();
        for part in [parts.route.as_bytes(), &host, &text] {
            key.write_part(part);
        }
        for credentials in request.fields().get_all(Known::Authorization) {
            key.write_part(credentials);
        }
        key.write_u64(network(parts.client));
        Some(KeyId(key.finish()))
    }

    /// What a request asks, of whose body this is all or the beginning; `length` is that of all of it, where it is known.
    fn fingerprint(&self, request: RequestView<'_>, body: &[u8], length: Option<u64>) -> Fingerprint {
        let mut asked = self.secrets.hasher();
        for part in [request.method(), request.path_and_query(), body] {
            asked.write_part(part);
        }
        asked.write_u64(length.unwrap_or(u64::MAX));
        // Not a part of the key: a caller whose cookie has changed is told so, and its order is not carried out anew.
        for (name, value) in credentials(request.fields()) {
            asked.write_part(&name.to_ascii_lowercase());
            asked.write_part(value);
        }
        Fingerprint(asked.finish())
    }

    fn shard(&self, key: KeyId) -> MutexGuard<'_, Shard> {
        lock(&self.shards[key.0 as usize % self.shards.len()])
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call's hold on its key and on the memory that the keys lend it, let go when it is dropped.
#[derive(Debug)]
pub(crate) struct HeldKey {
    store: Arc<KeyStore>,
    asking: KeyAsking,
    clock: Clock,
    place: Place,
    /// What it was lent for the request's body.
    body: u64,
    /// And for the answer.
    answer: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It has no part in the key, yet or any more.
    None,
    /// Its call is the first.
    First,
    /// It waits for the first.
    Waits,
}

impl HeldKey {
    /// The key of a request; `None` when the field is not a key.
    pub(crate) fn new(store: &Arc<KeyStore>, parts: &KeyParts<'_>, clock: Clock) -> Option<Self> {
        let (key, owner) = (store.key(parts)?, KeyOwner(network(parts.client)));
        let asking = KeyAsking { key, owner, fingerprint: Fingerprint(0), call: parts.call };
        Some(Self { store: Arc::clone(store), asking, clock, place: Place::None, body: 0, answer: 0 })
    }

    /// Says what is asked: the request, the body or the beginning of it, and the length of all of it where that is known.
    pub(crate) fn ask_with(&mut self, request: RequestView<'_>, body: &[u8], length: Option<u64>) {
        self.asking.fingerprint = self.store.fingerprint(request, body, length);
    }

    /// Looks the key up; who waits is woken by `waker` to ask again.
    pub(crate) fn look_up(&mut self, now: Instant, waker: &Waker) -> KeyLookup<Arc<Kept>> {
        let found = self.store.shard(self.asking.key).look_up(now, self.asking, || waker.clone());
        self.place = match found {
            KeyLookup::First => Place::First,
            KeyLookup::Waits => Place::Waits,
            KeyLookup::Replay { .. } | KeyLookup::NotKept { .. } | KeyLookup::Refused(_) => Place::None,
        };
        found
    }

    /// Whether its call is the first.
    pub(crate) fn is_first(&self) -> bool {
        self.place == Place::First
    }

    /// Whether its call waits for the first.
    pub(crate) fn waits(&self) -> bool {
        self.place == Place::Waits
    }

    /// Waits for the first no longer.
    pub(crate) fn leave(&mut self) {
        self.place = Place::None;
        self.store.shard(self.asking.key).leave(self.asking.key, self.asking.call);
    }

    /// The largest answer that is kept.
    pub(crate) fn answer_max(&self) -> u64 {
        self.store.answer_max()
    }

    /// Holds so much for the request's body in place of what it held for it; false when that is not to be had.
    pub(crate) fn hold_body(&mut self, bytes: usize) -> bool {
        let holds = self.hold(self.body, bytes as u64);
        self.body = if holds { bytes as u64 } else { self.body };
        holds
    }

    /// As [`HeldKey::hold_body`], for the answer.
    pub(crate) fn hold_answer(&mut self, bytes: usize) -> bool {
        let holds = self.hold(self.answer, bytes as u64);
        self.answer = if holds { bytes as u64 } else { self.answer };
        holds
    }

    fn hold(&self, held: u64, wanted: u64) -> bool {
        if held == wanted {
            return true;
        }
        let KeyAsking { key, owner, .. } = self.asking;
        let mut shard = self.store.shard(key);
        if wanted < held {
            shard.give_back(owner, held - wanted);
        }
        wanted < held || shard.lend(self.clock.now(), owner, wanted - held)
    }

    /// Says what became of the first call, and wakes those that wait for it. What was lent for the answer makes room for
    /// it.
    pub(crate) fn settle(&mut self, now: Instant, outcome: KeyOutcome<Arc<Kept>>) -> KeyEnd {
        self.place = Place::None;
        let KeyAsking { key, owner, call, .. } = self.asking;
        let (end, waiting) = {
            let mut shard = self.store.shard(key);
            shard.give_back(owner, std::mem::take(&mut self.answer));
            shard.settle(now, key, call, outcome)
        };
        for (_, waker) in waiting {
            waker.wake();
        }
        end
    }
}

impl Drop for HeldKey {
    fn drop(&mut self) {
        match self.place {
            Place::None => {}
            Place::First => _ = self.settle(self.clock.now(), KeyOutcome::Unknown),
            Place::Waits => self.leave(),
        }
        self.hold_answer(0);
        self.hold_body(0);
    }
}

/// The text of the one key that a request has; `None` when there are several or it is none.
fn key_text(fields: FieldsView<'_>) -> Option<Vec<u8>> {
    let mut values = fields.get_all(Known::IdempotencyKey);
    let value = values.next()?;
    let text = match value.strip_prefix(b"\"") {
        Some(rest) => quoted(rest)?,
        None => bare(value)?,
    };
    (values.next().is_none() && (1..=KEY_MAX).contains(&text.len())).then_some(text)
}

/// A string after its opening quote (RFC 9651, section 4.2.5); parameters behind it mean nothing.
fn quoted(rest: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(rest.len());
    let mut bytes = rest.iter().copied();
    loop {
        match bytes.next()? {
            b'"' => break,
            b'\\' => text.push(bytes.next().filter(|byte| matches!(byte, b'"' | b'\\'))?),
            byte @ b' '..0x7f => text.push(byte),
            _ => return None,
        }
    }
    matches!(bytes.next(), None | Some(b';')).then_some(text)
}

/// Text without quotes; a comma would make it a list.
fn bare(value: &[u8]) -> Option<Vec<u8>> {
    value.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',')).then(|| value.to_vec())
}

/// Two secrets, for hashes of 128 bits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Secrets(RandomState, RandomState);

impl Secrets {
    /// A hash of nothing yet.
    pub(crate) fn hasher(&self) -> Hash128<impl Hasher + use<>> {
        Hash128(self.0.build_hasher(), self.1.build_hasher())
    }
}

/// A hash of 128 bits, two of 64 that know nothing of each other.
#[derive(Debug)]
pub(crate) struct Hash128<H>(H, H);

impl<H: Hasher> Hash128<H> {
    /// The length goes first, so that two parts cannot run into each other.
    pub(crate) fn write_part(&mut self, part: &[u8]) {
        self.write_u64(part.len() as u64);
        self.0.write(part);
        self.1.write(part);
    }

    fn write_u64(&mut self, number: u64) {
        self.0.write_u64(number);
        self.1.write_u64(number);
    }

    /// The hash of all that was written.
    pub(crate) fn finish(&self) -> u128 {
        u128::from(self.0.finish()) << 64 | u128::from(self.1.finish())
    }
}

#[cfg(test)]
mod tests;
