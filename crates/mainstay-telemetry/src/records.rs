//! The records of the last requests, for `mainstay explain`.
//!
//! One ring per worker, in two parts: fixed heads, and the entries that they point to. Both have a fixed capacity that
//! follows from the memory they may take, so a record costs two copies and no allocation, and the oldest go when there
//! is no room. Age is looked at when somebody asks: what is too old is not shown, though it may not be overwritten yet.
//! The hashes of the ids stand apart, so that a search walks through four bytes per record, and so do the numbers of the
//! last records whose callers have something to complain of, so that nobody walks through the others to find them.
//!
//! An id is what a caller says, so anybody can use somebody's again. Of the records that share one the first are shown
//! always, then those of callers who have something to complain of, the newest before the older, then the others
//! likewise; and each says how many there are.

use std::collections::VecDeque;

use mainstay_core::{Duration, Instant};
use mainstay_policy::{Decision, ENTRIES_MAX, End, Entry, LimitId};

use crate::{EndpointKey, LimitKey, Method, Names, RouteNameKey, ServiceKey};

/// Bytes kept of an id, and of a path.
const TEXT_MAX: usize = 64;
/// Attempts whose endpoint is kept by name.
const ATTEMPTS_MAX: usize = 8;
/// Entries of a usual call: the ring is divided up by this.
const ENTRIES_USUAL: usize = 6;
/// Records with one id that are shown at most: a caller may use an id again, and a fallback service has its own.
pub(crate) const FOUND_MAX: usize = 16;
/// Of these, the oldest are so many: who comes later with somebody's id pushes nobody aside.
const FIRST: usize = 4;
/// Records of unhappy callers that are listed.
const UNHAPPY_MAX: usize = 128;

/// What is kept of a request beside its decisions.
#[derive(Debug, Clone, Copy)]
pub struct RequestFacts<'a> {
    /// The request's id; of a longer one than 64 bytes the beginning and a hash are kept.
    pub id: &'a [u8],
    /// The route that matched.
    pub route: RouteNameKey,
    /// The service that it led to.
    pub service: ServiceKey,
    /// Its method.
    pub method: Method,
    /// Its path, of which 64 bytes are kept; a query is cut off.
    pub path: &'a [u8],
    /// When it arrived.
    pub began: Instant,
    /// When it was over.
    pub ended: Instant,
    /// From the arrival to the deadline.
    pub allowed: Duration,
    /// The endpoint of each attempt, in order; eight are kept.
    pub attempts: &'a [EndpointKey],
}

#[derive(Clone, Copy)]
struct Head {
    id: Text,
    id_length: u32,
    id_hash: u64,
    path: Text,
    path_cut: bool,
    method: Method,
    route: RouteNameKey,
    service: ServiceKey,
    began: Instant,
    ended: Instant,
    allowed: Duration,
    attempts: [EndpointKey; ATTEMPTS_MAX],
    first_entry: u64,
    entries: u32,
    dropped: u32,
    unhappy: bool,
}

/// A text of at most 64 bytes, in place.
#[derive(Clone, Copy)]
struct Text {
    bytes: [u8; TEXT_MAX],
    length: u8,
}

impl Text {
    fn of(text: &[u8]) -> Self {
        let length = text.len().min(TEXT_MAX);
        let mut bytes = [0; TEXT_MAX];
        bytes[..length].copy_from_slice(&text[..length]);
        Self { bytes, length: length as u8 }
    }

    fn get(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// The records of one worker.
pub struct RecordRing {
    keep: Duration,
    heads: Vec<Head>,
    heads_max: usize,
    /// The low half of each head's hash, in the head's slot.
    hashes: Vec<u32>,
    /// The numbers of the last heads of unhappy callers, whole or not.
    unhappy: VecDeque<u64>,
    entries: Vec<Entry>,
    entries_max: usize,
    /// Heads pushed since the start; those from `oldest` on are whole.
    next: u64,
    oldest: u64,
    next_entry: u64,
}

impl RecordRing {
    /// A ring in at most `bytes` of memory (but room for one record) that shows records up to `keep` after their end.
    #[must_use]
    pub fn new(bytes: usize, keep: Duration) -> Self {
        let unit = size_of::<Head>() + size_of::<u32>() + ENTRIES_USUAL * size_of::<Entry>();
        let bytes = bytes.saturating_sub(UNHAPPY_MAX * size_of::<u64>());
        let usual = bytes / unit;
        let entries_max = (usual * ENTRIES_USUAL).max(ENTRIES_MAX);
        // The longest record always fits, and where that takes more than its share fewer heads do.
        let rest = bytes.saturating_sub(entries_max * size_of::<Entry>());
        let heads_max = usual.min(rest / (size_of::<Head>() + size_of::<u32>())).max(1);
        Self {
            keep,
            heads: Vec::with_capacity(heads_max),
            heads_max,
            hashes: Vec::with_capacity(heads_max),
            unhappy: VecDeque::with_capacity(UNHAPPY_MAX),
            entries: Vec::with_capacity(entries_max),
            entries_max,
            next: 0,
            oldest: 0,
            next_entry: 0,
        }
    }

    /// Keeps a record. `dropped` entries had found no room before.
    pub fn push(&mut self, facts: &RequestFacts<'_>, entries: &[Entry], dropped: u32) {
        let kept = &entries[..entries.len().min(ENTRIES_MAX)];
        let id_hash = hash(facts.id);
        let path = without_query(facts.path);
        let head = Head {
            id: Text::of(facts.id),
            id_length: facts.id.len() as u32,
            id_hash,
            path: Text::of(path),
            path_cut: path.len() > TEXT_MAX,
            method: facts.method,
            route: facts.route,
            service: facts.service,
            began: facts.began,
            ended: facts.ended,
            allowed: facts.allowed,
            attempts: std::array::from_fn(|at| facts.attempts.get(at).copied().unwrap_or_default()),
            first_entry: self.next_entry,
            entries: kept.len() as u32,
            dropped: dropped + (entries.len() - kept.len()) as u32,
            unhappy: is_unhappy(kept),
        };
        self.push_entries(kept);
        let slot = (self.next % self.heads_max as u64) as usize;
        put(&mut self.heads, slot, head);
        put(&mut self.hashes, slot, id_hash as u32);
        if head.unhappy {
            self.list_unhappy();
        }
        self.next += 1;
        self.forget_overwritten();
    }

    fn list_unhappy(&mut self) {
        if self.unhappy.len() == UNHAPPY_MAX {
            self.unhappy.pop_front();
        }
        self.unhappy.push_back(self.next);
    }

    fn push_entries(&mut self, entries: &[Entry]) {
        let mut slot = (self.next_entry % self.entries_max as u64) as usize;
        for entry in entries {
            put(&mut self.entries, slot, *entry);
            slot = if slot + 1 == self.entries_max { 0 } else { slot + 1 };
        }
        self.next_entry += entries.len() as u64;
    }

    /// Moves the beginning past the heads that are gone or have lost an entry.
    fn forget_overwritten(&mut self) {
        self.oldest = self.oldest.max(self.next.saturating_sub(self.heads_max as u64));
        let first_whole = self.next_entry.saturating_sub(self.entries_max as u64);
        while self.oldest < self.next && self.head(self.oldest).first_entry < first_whole {
            self.oldest += 1;
        }
    }

    fn head(&self, number: u64) -> &Head {
        &self.heads[(number % self.heads_max as u64) as usize]
    }

    /// The records with this id that are not too old, 16 of them at the most, in the order of their ends.
    #[must_use]
    pub fn find(&self, id: &[u8], now: Instant, names: &Names) -> Vec<FoundRecord> {
        let wanted = hash(id);
        let mut shared = Shared::default();
        (self.oldest..self.next)
            .filter(|number| self.hashes[(number % self.heads_max as u64) as usize] == wanted as u32)
            .map(|number| (number, self.head(number)))
            .filter(|(_, head)| head.id_hash == wanted && head.id_length as usize == id.len())
            .filter(|(_, head)| head.id.get() == &id[..id.len().min(TEXT_MAX)] && now.since(head.ended) <= self.keep)
            .for_each(|(number, head)| shared.add(number, head.unhappy));
        let tell = |number: u64| FoundRecord { same_id: Some(shared.all), ..self.owned(self.head(number), now, names) };
        shared.shown().map(tell).collect()
    }

    /// The newest records that are not too old, at most `max`, the newest first; of those whose callers have something to
    /// complain of at most 128.
    #[must_use]
    pub fn recent(&self, only_unhappy: bool, max: usize, now: Instant, names: &Names) -> Vec<FoundRecord> {
        let fresh = |number: &u64| *number >= self.oldest && now.since(self.head(*number).ended) <= self.keep;
        let tell = |number| self.owned(self.head(number), now, names);
        if only_unhappy {
            self.unhappy.iter().rev().copied().take_while(fresh).take(max).map(tell).collect()
        } else {
            (self.oldest..self.next).rev().take_while(fresh).take(max).map(tell).collect()
        }
    }

    fn owned(&self, head: &Head, now: Instant, names: &Names) -> FoundRecord {
        let entry = |number: u64| self.entries[(number % self.entries_max as u64) as usize];
        let first = head.first_entry;
        let entries: Vec<Entry> = (first..first + u64::from(head.entries)).map(entry).collect();
        FoundRecord {
            request_id: String::from_utf8_lossy(head.id.get()).into_owned(),
            route: names.route_name_text(head.route),
            service: names.service_text(head.service),
            method: head.method.as_str(),
            path: String::from_utf8_lossy(head.path.get()).into_owned(),
            path_cut: head.path_cut,
            age: now.since(head.began),
            lasted: head.ended.since(head.began),
            allowed: head.allowed,
            endpoints: head
                .attempts
                .iter()
                .take_while(|key| **key != EndpointKey::NONE)
                .map(|key| names.endpoint_text(*key))
                .collect(),
            limits: limits_of(&entries, names),
            entries,
            dropped: head.dropped,
            same_id: None,
        }
    }

    /// Records that can be found, apart from their age.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.next - self.oldest) as usize
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next == self.oldest
    }

    /// Bytes of memory that it takes at most.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.heads.capacity() * size_of::<Head>()
            + self.hashes.capacity() * size_of::<u32>()
            + self.entries.capacity() * size_of::<Entry>()
            + self.unhappy.capacity() * size_of::<u64>()
    }

    /// Bytes of it that hold records, or have held some: what the system has given so far.
    #[must_use]
    pub fn memory_in_use(&self) -> usize {
        self.heads.len() * size_of::<Head>()
            + self.hashes.len() * size_of::<u32>()
            + self.entries.len() * size_of::<Entry>()
    }
}

impl std::fmt::Debug for RecordRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordRing").field("records", &self.len()).field("memory", &self.memory()).finish()
    }
}

/// Writes to a slot that exists or is the next to come.
fn put<T>(table: &mut Vec<T>, slot: usize, value: T) {
    match table.get_mut(slot) {
        Some(place) => *place = value,
        None => table.push(value),
    }
}

/// Which of the records that share an id are shown.
#[derive(Debug, Default)]
struct Shared {
    all: u64,
    first: Vec<u64>,
    unhappy: VecDeque<u64>,
    newest: VecDeque<u64>,
}

impl Shared {
    /// One more, in the order of their ends.
    fn add(&mut self, number: u64, unhappy: bool) {
        self.all += 1;
        if self.first.len() < FIRST {
            return self.first.push(number);
        }
        let class = if unhappy { &mut self.unhappy } else { &mut self.newest };
        if class.len() == FOUND_MAX - FIRST {
            class.pop_front();
        }
        class.push_back(number);
    }

    /// In their order.
    fn shown(&self) -> impl Iterator<Item = u64> + use<> {
        let newest_first = self.unhappy.iter().rev().chain(self.newest.iter().rev());
        let mut shown: Vec<u64> = self.first.iter().chain(newest_first).take(FOUND_MAX).copied().collect();
        shown.sort_unstable();
        shown.into_iter()
    }
}

/// What several workers have of one id, as if one had it all.
#[must_use]
pub fn merge_found(of_each: Vec<Vec<FoundRecord>>) -> Vec<FoundRecord> {
    let count = |found: &Vec<FoundRecord>| found.first().and_then(|record| record.same_id).unwrap_or_default();
    let all = of_each.iter().map(count).sum();
    let mut found: Vec<_> = of_each.into_iter().flatten().collect();
    found.sort_by_key(|record| std::cmp::Reverse(record.since_its_end()));
    let mut shared = Shared::default();
    found.iter().zip(0..).for_each(|(record, number)| shared.add(number, is_unhappy(&record.entries)));
    let mut shown = shared.shown().peekable();
    let numbered = found.into_iter().zip(0..).filter(|(_, number)| shown.next_if_eq(number).is_some());
    numbered.map(|(record, _)| FoundRecord { same_id: Some(all), ..record }).collect()
}

fn limits_of(entries: &[Entry], names: &Names) -> Vec<(LimitId, String)> {
    let asked = entries.iter().filter_map(|entry| match entry.what {
        Decision::WithinLimit { limit, .. } | Decision::Delayed { limit, .. } | Decision::OverLimit { limit, .. } => {
            Some(limit)
        }
        _ => None,
    });
    let asked = asked.filter(|limit| *limit != LimitId::NONE);
    asked.map(|limit| (limit, names.limit_text(LimitKey::of(limit)))).collect()
}

fn is_unhappy(entries: &[Entry]) -> bool {
    let mut ends = entries.iter().rev().filter_map(|entry| match entry.what {
        Decision::Ended(end) => Some(end),
        _ => None,
    });
    ends.next().is_some_and(End::is_unhappy)
}

fn without_query(target: &[u8]) -> &[u8] {
    target.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default()
}

/// A hash for searching, eight bytes at a time. It guards nothing: whoever makes two ids collide finds both.
fn hash(text: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = (text.len() as u64).wrapping_mul(FACTOR);
    let mut mix = |word: [u8; 8]| {
        state = (state ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR);
        state ^= state >> 29;
    };
    let (words, rest) = text.as_chunks();
    words.iter().copied().for_each(&mut mix);
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        mix(word);
    }
    state
}

/// A request and what was decided about it, as a copy that stands for itself.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundRecord {
    /// Its id, or the first 64 bytes of it.
    pub request_id: String,
    /// The name of its route, which no other route has.
    pub route: String,
    /// The service.
    pub service: String,
    /// The method, `_OTHER` when it is none of the known.
    pub method: &'static str,
    /// The beginning of its path.
    pub path: String,
    /// There was more of the path.
    pub path_cut: bool,
    /// How long ago it arrived.
    pub age: Duration,
    /// From its arrival to its end.
    pub lasted: Duration,
    /// From its arrival to its deadline.
    pub allowed: Duration,
    /// The endpoint of each attempt.
    pub endpoints: Vec<String>,
    /// The names of the rate limits that decided something about it.
    pub limits: Vec<(LimitId, String)>,
    /// The decisions in their order.
    pub entries: Vec<Entry>,
    /// Decisions that found no room in the record.
    pub dropped: u32,
    /// How many records have its id, this one among them, where it was looked for by that.
    pub same_id: Option<u64>,
}

impl FoundRecord {
    /// How long ago it ended.
    #[must_use]
    pub fn since_its_end(&self) -> Duration {
        Duration::from_nanos(self.age.as_nanos().saturating_sub(self.lasted.as_nanos()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_policy::Decision;

    const KEEP: Duration = Duration::from_secs(600);

    fn entries(count: usize) -> Vec<Entry> {
        (0..count).map(|n| Entry { after: Duration::from_millis(n as u64), what: Decision::Admitted }).collect()
    }

    fn facts(id: &[u8], ended: Instant) -> RequestFacts<'_> {
        RequestFacts {
            id,
            route: RouteNameKey::NONE,
            service: ServiceKey::NONE,
            method: Method::Get,
            path: b"/cart?token=x",
            began: ended,
            ended,
            allowed: Duration::from_secs(15),
            attempts: &[],
        }
    }

    fn at(secs: u64) -> Instant {
        Instant::ORIGIN + Duration::from_secs(secs)
    }

    #[test]
    fn a_record_is_found_whole_until_it_is_too_old() {
        let names = Names::new();
        let endpoint = names.endpoint(names.service("shop"), "127.0.0.1:9101");
        let mut ring = RecordRing::new(1 << 20, KEEP);
        ring.push(&RequestFacts { attempts: &[endpoint], ..facts(b"abc", at(5)) }, &entries(3), 1);
        let found = ring.find(b"abc", at(605), &names);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].entries, entries(3));
        assert_eq!(found[0].endpoints, ["127.0.0.1:9101"]);
        assert_eq!((found[0].path.as_str(), found[0].dropped), ("/cart", 1));
        assert!(ring.find(b"abc", at(606), &names).is_empty());
        assert!(ring.find(b"abd", at(5), &names).is_empty());
    }

    #[test]
    fn ids_that_differ_only_past_what_is_kept_are_told_apart() {
        let (long, other) = ([b'a'; 100], {
            let mut id = [b'a'; 100];
            id[99] = b'b';
            id
        });
        let mut ring = RecordRing::new(1 << 20, KEEP);
        ring.push(&facts(&long, at(0)), &entries(1), 0);
        assert_eq!(ring.find(&long, at(0), &Names::new()).len(), 1);
        assert!(ring.find(&other, at(0), &Names::new()).is_empty());
    }

    #[test]
    fn who_has_something_to_complain_of_is_found_among_all_the_others_newest_first() {
        let mut ring = RecordRing::new(1 << 20, KEEP);
        let end = |status| [Entry { after: Duration::ZERO, what: Decision::Ended(End::Answered { status }) }];
        for second in 0..1000 {
            let status = if second % 100 == 0 { 503 } else { 200 };
            ring.push(&facts(format!("r-{second}").as_bytes(), at(second)), &end(status), 0);
        }
        let ids = |only_unhappy, max, now| -> Vec<String> {
            ring.recent(only_unhappy, max, at(now), &Names::new()).into_iter().map(|found| found.request_id).collect()
        };
        assert_eq!(ids(true, 3, 999), ["r-900", "r-800", "r-700"]);
        assert_eq!(ids(true, 20, 1350), ["r-900", "r-800"], "what is too old is not shown");
        assert_eq!(ids(false, 2, 999), ["r-999", "r-998"]);
    }

    fn ended(status: u16) -> [Entry; 1] {
        [Entry { after: Duration::ZERO, what: Decision::Ended(End::Answered { status }) }]
    }

    /// How old those are that are shown, in seconds.
    fn ages(found: &[FoundRecord]) -> Vec<u64> {
        found.iter().map(|record| record.age.as_millis() / 1000).collect()
    }

    #[test]
    fn an_id_that_is_used_again_and_again_shows_the_first_and_what_went_badly_and_the_newest() {
        let mut ring = RecordRing::new(1 << 20, KEEP);
        for second in 0..50 {
            let status = if [20, 30].contains(&second) { 503 } else { 200 };
            ring.push(&facts(b"same", at(second)), &ended(status), 0);
        }
        let found = ring.find(b"same", at(50), &Names::new());
        assert_eq!(ages(&found), [50, 49, 48, 47, 30, 20, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
        assert!(found.iter().all(|record| record.same_id == Some(50)));
    }

    #[test]
    fn nobody_pushes_a_record_aside_by_its_id() {
        let mut ring = RecordRing::new(1 << 20, KEEP);
        ring.push(&facts(b"mine", at(0)), &ended(200), 0);
        (1..100).for_each(|second| ring.push(&facts(b"mine", at(second)), &ended(503), 0));
        assert_eq!(ages(&ring.find(b"mine", at(100), &Names::new()))[0], 100);
    }

    #[test]
    fn what_several_workers_have_of_an_id_is_told_as_one() {
        let names = Names::new();
        let worker = |seconds: &[u64]| {
            let mut ring = RecordRing::new(1 << 20, KEEP);
            seconds.iter().for_each(|second| ring.push(&facts(b"same", at(*second)), &ended(200), 0));
            ring.find(b"same", at(50), &names)
        };
        let few = merge_found(vec![worker(&[3, 5]), Vec::new(), worker(&[1, 4])]);
        assert_eq!((ages(&few), few[0].same_id), (vec![49, 47, 46, 45], Some(4)));
        let (even, odd): (Vec<_>, Vec<_>) = (0..40).partition(|second| second % 2 == 0);
        let many = merge_found(vec![worker(&even), worker(&odd)]);
        assert_eq!((ages(&many).len(), many[0].same_id), (FOUND_MAX, Some(40)));
        assert_eq!((ages(&many)[..4].to_vec(), ages(&many)[15]), (vec![50, 49, 48, 47], 11));
    }
}
