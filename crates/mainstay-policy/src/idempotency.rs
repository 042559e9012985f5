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
//! - Memory is bounded, by what each entry and each answer is counted as. For want of room the oldest answers go first
//!   and their keys stay (a repeat is refused, not carried out); keys go, the oldest first, when they alone fill half of
//!   the memory. A call whose key finds no room because all of it belongs to calls under way is refused.
//! - A key is forgotten `ttl` after its call ended. Nothing is swept: each access drops what has come to its end.

use std::collections::{BTreeMap, VecDeque};

use mainstay_core::{Bytes, CallId, Duration, Instant};

use crate::IdempotencySettings;

/// Calls that may wait for the first of their key.
pub const KEY_WAITERS_MAX: usize = 64;

/// What a key counts for without its answer: its places in the map and in the order, its waiters.
const ENTRY_BYTES: u64 = 256;

/// Under what a key is known: the hash of its route, its caller and its text. Evenly hashed with a secret seed, since two
/// callers whose hashes met would see each other's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub u128);

/// The hash of what was asked: method, target and body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub u128);

/// A call that asks about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyAsking {
    /// The key.
    pub key: KeyId,
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
    /// No memory is left for another key.
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
    /// This answer, which takes so many bytes.
    Answer(A, u64),
    /// An answer that cannot be kept.
    NotKept,
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
    memory: u64,
    entries: BTreeMap<KeyId, Entry<A, W>>,
    /// The keys whose call is over, in the order of their ends.
    over: VecDeque<(KeyId, Instant)>,
    /// So many at the front of `over` have no answer any more.
    bare: usize,
    used: u64,
    dropped: u64,
    forgotten: u64,
}

#[derive(Debug)]
struct Entry<A, W> {
    fingerprint: Fingerprint,
    state: State<A, W>,
}

#[derive(Debug)]
enum State<A, W> {
    Running { call: CallId, waiting: Vec<(CallId, W)> },
    Answered { answer: A, bytes: u64, at: Instant },
    NotKept,
    Unknown,
}

/// What the keys of a service take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyFigures {
    /// Keys that are remembered.
    pub keys: u64,
    /// Bytes that they and their answers count for.
    pub bytes: u64,
    /// Answers that had to make room before their time.
    pub dropped: u64,
    /// Keys that had to make room before their time.
    pub forgotten: u64,
}

impl<A: Clone, W> IdempotencyKeys<A, W> {
    /// No keys, in at most `memory`.
    #[must_use]
    pub fn new(ttl: Duration, memory: Bytes) -> Self {
        Self {
            ttl,
            memory: memory.0,
            entries: BTreeMap::new(),
            over: VecDeque::new(),
            bare: 0,
            used: 0,
            dropped: 0,
            forgotten: 0,
        }
    }

    /// Takes on another length and another memory. What is under way stays.
    pub fn configure(&mut self, now: Instant, ttl: Duration, memory: Bytes) {
        (self.ttl, self.memory) = (ttl, memory.0);
        self.expire(now);
        self.make_room(0);
    }

    /// Looks a call's key up. A call that waits is woken through `waker`; asking again replaces it.
    pub fn look_up(&mut self, now: Instant, asking: KeyAsking, waker: impl FnOnce() -> W) -> KeyLookup<A> {
        self.expire(now);
        let Some(entry) = self.entries.get_mut(&asking.key) else { return self.begin(asking) };
        if entry.fingerprint != asking.fingerprint {
            return KeyLookup::Refused(KeyRefusal::Reused);
        }
        match &mut entry.state {
            State::Running { waiting, .. } => wait(waiting, asking.call, waker),
            State::Answered { answer, at, .. } => KeyLookup::Replay { answer: answer.clone(), age: now.since(*at) },
            State::NotKept => KeyLookup::Refused(KeyRefusal::NotKept),
            State::Unknown => KeyLookup::Refused(KeyRefusal::Unknown),
        }
    }

    fn begin(&mut self, asking: KeyAsking) -> KeyLookup<A> {
        if !self.make_room(ENTRY_BYTES) {
            return KeyLookup::Refused(KeyRefusal::Full);
        }
        self.used += ENTRY_BYTES;
        let state = State::Running { call: asking.call, waiting: Vec::new() };
        self.entries.insert(asking.key, Entry { fingerprint: asking.fingerprint, state });
        KeyLookup::First
    }

    /// A call waits no longer.
    pub fn leave(&mut self, key: KeyId, call: CallId) {
        if let Some(Entry { state: State::Running { waiting, .. }, .. }) = self.entries.get_mut(&key) {
            waiting.retain(|(waits, _)| *waits != call);
        }
    }

    /// The first call of `key` is over. Gives back what became of the key and who is to be woken, and does nothing when
    /// `call` is not the one that was let through.
    pub fn settle(
        &mut self,
        now: Instant,
        key: KeyId,
        call: CallId,
        outcome: KeyOutcome<A>,
    ) -> (KeyEnd, Vec<(CallId, W)>) {
        let Some(entry) = self.entries.get_mut(&key) else { return (KeyEnd::Free, Vec::new()) };
        let waiting = match &mut entry.state {
            State::Running { call: first, waiting } if *first == call => std::mem::take(waiting),
            _ => return (KeyEnd::Free, Vec::new()),
        };
        if matches!(outcome, KeyOutcome::Free) {
            self.entries.remove(&key);
            self.used -= ENTRY_BYTES;
            return (KeyEnd::Free, waiting);
        }
        let (state, end) = self.remember(now, outcome);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.state = state;
        }
        self.over.push_back((key, now));
        (end, waiting)
    }

    fn remember(&mut self, now: Instant, outcome: KeyOutcome<A>) -> (State<A, W>, KeyEnd) {
        self.expire(now);
        match outcome {
            KeyOutcome::Answer(answer, bytes) if self.make_room(bytes) => {
                self.used += bytes;
                (State::Answered { answer, bytes, at: now }, KeyEnd::Kept)
            }
            KeyOutcome::Answer(..) | KeyOutcome::NotKept => (State::NotKept, KeyEnd::NotKept),
            KeyOutcome::Unknown | KeyOutcome::Free => (State::Unknown, KeyEnd::Unknown),
        }
    }

    /// Drops what is past its time.
    fn expire(&mut self, now: Instant) {
        while self.over.front().is_some_and(|(_, at)| now.since(*at) >= self.ttl) {
            self.forget_oldest();
        }
    }

    /// Makes room for `bytes`; whether there is.
    fn make_room(&mut self, bytes: u64) -> bool {
        // What could not fit beside nothing at all drops nothing.
        if bytes > self.memory {
            return false;
        }
        while self.used + bytes > self.memory {
            let only_keys = self.bare as u64 * ENTRY_BYTES >= self.memory / 2;
            if !only_keys && self.drop_oldest_answer() {
                self.dropped += 1;
            } else if self.forget_oldest() {
                self.forgotten += 1;
            } else {
                return false;
            }
        }
        true
    }

    fn drop_oldest_answer(&mut self) -> bool {
        while let Some((key, _)) = self.over.get(self.bare) {
            self.bare += 1;
            if let Some(entry) = self.entries.get_mut(key)
                && let State::Answered { bytes, .. } = entry.state
            {
                entry.state = State::NotKept;
                self.used -= bytes;
                return true;
            }
        }
        false
    }

    fn forget_oldest(&mut self) -> bool {
        let Some((key, _)) = self.over.pop_front() else { return false };
        self.bare = self.bare.saturating_sub(1);
        let answer = match self.entries.remove(&key) {
            Some(Entry { state: State::Answered { bytes, .. }, .. }) => bytes,
            _ => 0,
        };
        self.used -= ENTRY_BYTES + answer;
        true
    }

    /// What they take.
    #[must_use]
    pub fn figures(&self) -> KeyFigures {
        let keys = self.entries.len() as u64;
        KeyFigures { keys, bytes: self.used, dropped: self.dropped, forgotten: self.forgotten }
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
