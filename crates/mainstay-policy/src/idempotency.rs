//! Which call with an `Idempotency-Key` is carried out, and what its repeats get.
//!
//! In: a call's key and the fingerprint of its request, both hashed by the driver with a secret of its own, and what
//! became of the call that was let through. Out: carry it out, give the first answer again, wait for it, or refuse.
//! The field and its rules are those of draft-ietf-httpapi-idempotency-key-header; what the draft leaves open is
//! decided here by one sentence: **what may have been applied is never carried out a second time without anybody
//! knowing.**
//!
//! - Of one key one call at the most is under way; the others wait for it, or are refused while as many wait as may.
//! - An answer is kept when an instance gave it, whatever its status, but for those by which it says that it did nothing
//!   and wants to be asked again ([`invites_repeat`]): these free the key. So does what never reached an instance.
//! - What may have been applied and has no answer to keep is remembered as that, and its repeats are refused.
//! - Nothing is carried out whose answer could not be kept, as far as answers are short: room for [`ANSWER_BYTES`] is set
//!   aside with the key, and a call for which there is none is refused while it is still true that nothing was done.
//! - Memory is bounded, by what each entry and each answer is counted as, and shared among the callers (`shares.rs`). For
//!   want of room the caller who keeps most loses its oldest answers first and their keys stay (a repeat is refused, not
//!   carried out, and learns the status); keys go, the oldest first, when those without an answer fill half of what that
//!   caller keeps. What calls under way hold is never taken from them.
//! - A key is forgotten `ttl` after its call ended. Nothing is swept: each access drops what has come to its end.

mod shares;

use std::collections::BTreeMap;

use mainstay_core::{Bytes, CallId, Duration, Instant};

use crate::IdempotencySettings;
use shares::{Place, Shares};

/// Calls that may wait for the first of their key.
pub const KEY_WAITERS_MAX: usize = 64;

/// What is set aside for the answer of a call before it is carried out: enough for what an order is mostly answered with.
pub const ANSWER_BYTES: u64 = 2048;

/// What a key counts for without its answer: its places in the map and in the orders, its caller's, its waiters.
const ENTRY_BYTES: u64 = 384;

/// What a call under way holds at the least.
const CALL_BYTES: u64 = ENTRY_BYTES + ANSWER_BYTES;

/// Under what a key is known: the hash of its route, its caller and its text. Evenly hashed with a secret seed, since two
/// callers whose hashes met would see each other's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub u128);

/// The hash of what was asked: method, target and body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub u128);

/// Whose part of the memory a key counts against: what a caller cannot choose as it likes, such as the network that it
/// calls from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyOwner(pub u64);

/// A call that asks about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyAsking {
    /// The key.
    pub key: KeyId,
    /// Whose it is.
    pub owner: KeyOwner,
    /// What it is asked with.
    pub fingerprint: Fingerprint,
    /// Which call.
    pub call: CallId,
}

/// What a call gets for its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyLookup<A> {
    /// It is the first: it is to be carried out, and [`IdempotencyKeys::settle`] is to learn what became of it.
    First,
    /// The first is under way: ask again when woken.
    Waits,
    /// The first answer.
    Replay {
        /// It.
        answer: A,
        /// Since it was complete.
        age: Duration,
    },
    /// The first was answered, and its answer is not kept: this one is refused with [`KeyRefusal::NotKept`].
    NotKept {
        /// The status of the answer.
        status: u16,
        /// Since it was complete.
        age: Duration,
    },
    /// It is not carried out and there is no answer for it.
    Refused(KeyRefusal),
}

/// Why a call is refused for its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyRefusal {
    /// The field is not a key.
    Malformed,
    /// The key was used for another request.
    Reused,
    /// The first is still under way, and this one cannot wait for it, or not longer.
    InProgress,
    /// The first was answered, and its answer was too large to keep or had to make room.
    NotKept,
    /// The first may have been applied, and nobody knows its answer.
    Unknown,
    /// Calls under way of its owner hold all that one may of the memory.
    Full,
}

impl KeyRefusal {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Malformed, Self::Reused, Self::InProgress, Self::NotKept, Self::Unknown, Self::Full];

    /// The word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "key_malformed",
            Self::Reused => "key_reused",
            Self::InProgress => "key_in_progress",
            Self::NotKept => "key_not_kept",
            Self::Unknown => "key_unknown",
            Self::Full => "key_full",
        }
    }
}

/// What became of the call that was let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyOutcome<A> {
    /// It was answered.
    Answered {
        /// With this status.
        status: u16,
        /// The answer and the bytes that it takes, where it can be kept.
        kept: Option<(A, u64)>,
    },
    /// It may have been applied, and there is no answer.
    Unknown,
    /// Nothing was done: whoever comes next is the first.
    Free,
}

/// What is decided about a key when its call is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyEnd {
    /// The answer is kept for its repeats.
    Kept,
    /// There was an answer, and it is not kept: repeats are refused.
    NotKept,
    /// It may have been applied: repeats are refused.
    Unknown,
    /// Nothing was done: a repeat is carried out.
    Free,
}

/// An answer of an instance that the caller was given whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WholeAnswer {
    /// Its status.
    pub status: u16,
    /// It says when to ask again.
    pub retry_after: bool,
    /// It could be kept.
    pub kept: bool,
}

/// Whether an instance says by its answer that it did nothing and wants to be asked again: 408, 421, 425 and 429, and a
/// 503 that names a time. Any other 5xx may come from half-done work.
#[must_use]
pub const fn invites_repeat(status: u16, retry_after: bool) -> bool {
    matches!(status, 408 | 421 | 425 | 429) || (status == 503 && retry_after)
}

/// What becomes of a key. `applied` says that an attempt beside the one that gave `answer` may have had an effect, and
/// `honoured` that the service itself takes care of keys, so that asking it again does no harm.
#[must_use]
pub const fn key_end(answer: Option<WholeAnswer>, applied: bool, honoured: bool) -> KeyEnd {
    match answer {
        Some(answer) if !invites_repeat(answer.status, answer.retry_after) => {
            if answer.kept {
                KeyEnd::Kept
            } else if honoured {
                // The service has its own answer for the repeat.
                KeyEnd::Free
            } else {
                KeyEnd::NotKept
            }
        }
        _ if applied && !honoured => KeyEnd::Unknown,
        _ => KeyEnd::Free,
    }
}

/// The keys of one service, or one part of them. `A` is what an answer is kept as, `W` how a call that waits is woken.
#[derive(Debug)]
pub struct IdempotencyKeys<A, W> {
    ttl: Duration,
    entries: BTreeMap<KeyId, Entry<A, W>>,
    shares: Shares,
    dropped: u64,
    forgotten: u64,
}

#[derive(Debug)]
struct Entry<A, W> {
    owner: KeyOwner,
    fingerprint: Fingerprint,
    state: State<A, W>,
}

#[derive(Debug)]
enum State<A, W> {
    Running { call: CallId, waiting: Vec<(CallId, W)> },
    Over { at: Instant, left: Left<A> },
}

/// What is left of a call that is over.
#[derive(Debug)]
enum Left<A> {
    Answer { status: u16, kept: Option<(A, u64)> },
    Unknown,
}

impl<A> Left<A> {
    fn bytes(&self) -> Option<u64> {
        match self {
            Self::Answer { kept: Some((_, bytes)), .. } => Some(*bytes),
            _ => None,
        }
    }
}

/// What the keys of a service take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyFigures {
    /// Keys that are remembered.
    pub keys: u64,
    /// Bytes that they and their answers count for, and what calls under way hold.
    pub bytes: u64,
    /// Of these bytes what calls under way hold.
    pub lent: u64,
    /// Answers that had to make room before their time.
    pub dropped: u64,
    /// Keys that had to make room before their time.
    pub forgotten: u64,
}

impl<A: Clone, W> IdempotencyKeys<A, W> {
    /// No keys, in at most `memory`.
    #[must_use]
    pub fn new(ttl: Duration, memory: Bytes) -> Self {
        Self { ttl, entries: BTreeMap::new(), shares: Shares::new(memory.0), dropped: 0, forgotten: 0 }
    }

    /// Takes on another length and another memory. What is under way stays.
    pub fn configure(&mut self, now: Instant, ttl: Duration, memory: Bytes) {
        self.ttl = ttl;
        self.shares.configure(memory.0);
        self.expire(now);
        self.make_room(0, None);
    }

    /// Looks a call's key up. A call that waits is woken through `waker`; asking again replaces it.
    pub fn look_up(&mut self, now: Instant, asking: KeyAsking, waker: impl FnOnce() -> W) -> KeyLookup<A> {
        self.expire(now);
        let Some(entry) = self.entries.get_mut(&asking.key) else { return self.begin(now, asking) };
        if entry.fingerprint != asking.fingerprint {
            return KeyLookup::Refused(KeyRefusal::Reused);
        }
        match &mut entry.state {
            State::Running { waiting, .. } => wait(waiting, asking.call, waker),
            State::Over { at, left } => repeat(left, now.since(*at)),
        }
    }

    fn begin(&mut self, now: Instant, asking: KeyAsking) -> KeyLookup<A> {
        let KeyAsking { key, owner, fingerprint, call } = asking;
        if !self.lend(now, owner, CALL_BYTES) {
            return KeyLookup::Refused(KeyRefusal::Full);
        }
        let state = State::Running { call, waiting: Vec::new() };
        self.entries.insert(key, Entry { owner, fingerprint, state });
        KeyLookup::First
    }

    /// A call waits no longer.
    pub fn leave(&mut self, key: KeyId, call: CallId) {
        if let Some(Entry { state: State::Running { waiting, .. }, .. }) = self.entries.get_mut(&key) {
            waiting.retain(|(waits, _)| *waits != call);
        }
    }

    /// Lends `bytes` to a call of `owner`, beside the room for a short answer that it has from the beginning: for a longer
    /// one, or for its request's body. False when its caller has more under way than is left for all others.
    pub fn lend(&mut self, now: Instant, owner: KeyOwner, bytes: u64) -> bool {
        self.expire(now);
        let lends = self.shares.may_borrow(owner, bytes) && self.make_room(bytes, None);
        if lends {
            self.shares.lend(owner, bytes);
        }
        lends
    }

    /// Takes back what [`IdempotencyKeys::lend`] has lent.
    pub fn give_back(&mut self, owner: KeyOwner, bytes: u64) {
        self.shares.give_back(owner, bytes);
    }

    /// The first call of `key` is over. Gives back what became of the key and who is to be woken, and does nothing when
    /// `call` is not the one that was let through. What was lent for the answer is to be given back before.
    pub fn settle(
        &mut self,
        now: Instant,
        key: KeyId,
        call: CallId,
        outcome: KeyOutcome<A>,
    ) -> (KeyEnd, Vec<(CallId, W)>) {
        let Some(entry) = self.entries.get_mut(&key) else { return (KeyEnd::Free, Vec::new()) };
        let owner = entry.owner;
        let waiting = match &mut entry.state {
            State::Running { call: first, waiting } if *first == call => std::mem::take(waiting),
            _ => return (KeyEnd::Free, Vec::new()),
        };
        self.shares.give_back(owner, CALL_BYTES);
        let Some((left, end)) = self.remember(now, owner, outcome) else {
            self.entries.remove(&key);
            return (KeyEnd::Free, waiting);
        };
        self.shares.keep(Place { owner, at: now, key }, left.bytes());
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.state = State::Over { at: now, left };
        }
        (end, waiting)
    }

    /// What is left of a call; `None` when it did nothing.
    fn remember(&mut self, now: Instant, owner: KeyOwner, outcome: KeyOutcome<A>) -> Option<(Left<A>, KeyEnd)> {
        self.expire(now);
        match outcome {
            KeyOutcome::Answered { status, kept: Some((answer, bytes)) }
                if self.make_room(ENTRY_BYTES + bytes, Some(owner)) =>
            {
                Some((Left::Answer { status, kept: Some((answer, bytes)) }, KeyEnd::Kept))
            }
            KeyOutcome::Answered { status, .. } => Some((Left::Answer { status, kept: None }, KeyEnd::NotKept)),
            KeyOutcome::Unknown => Some((Left::Unknown, KeyEnd::Unknown)),
            KeyOutcome::Free => None,
        }
    }

    /// Drops what is past its time.
    fn expire(&mut self, now: Instant) {
        while let Some((at, key)) = self.shares.oldest().filter(|(at, _)| now.since(*at) >= self.ttl) {
            let Some(entry) = self.entries.remove(&key) else { return };
            self.shares.forget(Place { owner: entry.owner, at, key }, entry.answer_bytes());
        }
    }

    /// Makes room for `bytes`, which `keeper` is to keep or somebody to borrow; whether there is.
    fn make_room(&mut self, bytes: u64, keeper: Option<KeyOwner>) -> bool {
        // What could not fit beside nothing at all drops nothing.
        if !self.shares.could_have_room(bytes) {
            return false;
        }
        while !self.shares.have_room(bytes) {
            let gives = self.shares.who_gives(keeper.map(|owner| (owner, bytes)));
            if !gives.is_some_and(|owner| self.take_from(owner)) {
                return false;
            }
        }
        true
    }

    /// Takes what `owner` loses first; false when it has nothing.
    fn take_from(&mut self, owner: KeyOwner) -> bool {
        if let Some(place) = self.shares.answer_to_go(owner) {
            return self.drop_answer(place);
        }
        let Some(place) = self.shares.key_to_go(owner) else { return false };
        let Some(entry) = self.entries.remove(&place.key) else { return false };
        self.shares.forget(place, entry.answer_bytes());
        self.forgotten += 1;
        true
    }

    fn drop_answer(&mut self, place: Place) -> bool {
        let Some(entry) = self.entries.get_mut(&place.key) else { return false };
        let State::Over { left: Left::Answer { kept, .. }, .. } = &mut entry.state else { return false };
        let Some((_, bytes)) = kept.take() else { return false };
        self.shares.drop_answer(place, bytes);
        self.dropped += 1;
        true
    }

    /// What they take.
    #[must_use]
    pub fn figures(&self) -> KeyFigures {
        KeyFigures {
            keys: self.entries.len() as u64,
            bytes: self.shares.used(),
            lent: self.shares.lent(),
            dropped: self.dropped,
            forgotten: self.forgotten,
        }
    }
}

impl<A, W> Entry<A, W> {
    fn answer_bytes(&self) -> Option<u64> {
        match &self.state {
            State::Over { left, .. } => left.bytes(),
            State::Running { .. } => None,
        }
    }
}

fn repeat<A: Clone>(left: &Left<A>, age: Duration) -> KeyLookup<A> {
    match left {
        Left::Answer { kept: Some((answer, _)), .. } => KeyLookup::Replay { answer: answer.clone(), age },
        Left::Answer { status, kept: None } => KeyLookup::NotKept { status: *status, age },
        Left::Unknown => KeyLookup::Refused(KeyRefusal::Unknown),
    }
}

fn wait<A, W>(waiting: &mut Vec<(CallId, W)>, call: CallId, waker: impl FnOnce() -> W) -> KeyLookup<A> {
    match waiting.iter().position(|(waits, _)| *waits == call) {
        Some(place) => waiting[place].1 = waker(),
        None if waiting.len() < KEY_WAITERS_MAX => waiting.push((call, waker())),
        None => return KeyLookup::Refused(KeyRefusal::InProgress),
    }
    KeyLookup::Waits
}

impl KeyFigures {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            keys: self.keys + other.keys,
            bytes: self.bytes + other.bytes,
            lent: self.lent + other.lent,
            dropped: self.dropped + other.dropped,
            forgotten: self.forgotten + other.forgotten,
        }
    }
}

impl IdempotencySettings {
    /// The largest answer that is kept: a 64th of the memory, and 256 KiB at the most, so that no single one drives out
    /// many.
    #[must_use]
    pub const fn answer_max(&self) -> u64 {
        let part = self.memory.0 / 64;
        if part < 256 * 1024 { part } else { 256 * 1024 }
    }
}

#[cfg(test)]
mod tests;
