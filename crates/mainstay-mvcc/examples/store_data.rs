//! What the data of the store costs, in time of the processor: puts, reads, bytes for each key, and watchers that are not concerned.
//!
//! `cargo xtask bench store-data`. A million keys of 20 bytes with values of 100; arguments change how many.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a measurement looks at the clock")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that fails has nothing to say")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mainstay_mvcc::{
    Budget, Command, End, Hub, Put, Range, Restore, Saving, Span, Standing, Step, Store, Watch, WatchId,
};

const VALUE: usize = 100;
const WATCHERS: u64 = 10_000;

fn main() {
    let keys = std::env::args().nth(1).and_then(|keys| keys.parse().ok()).unwrap_or(1_000_000);
    let mut store = Store::new();
    let before = resident();
    row("put, a new key, in a drawn order", keys, time(|| (0..keys).for_each(|n| put(&mut store, spread(n, keys)))));
    let with_history = resident() - before;
    compact(&mut store);
    println!(
        "{:<58}{:>10.0} bytes",
        "memory of a key, its write still in the history",
        with_history as f64 / keys as f64
    );
    let counted = store.bytes() as f64 / keys as f64;
    println!("{:<58}{:>10.0} bytes", "  what the quota counts for it", counted);

    row("put, a key that is there", keys, time(|| (0..keys).for_each(|n| put(&mut store, spread(n + 7, keys)))));
    let forget = time(|| compact(&mut store));
    row("forget a write that a compaction made old", keys, forget);
    let mut longest = Duration::ZERO;
    (0..keys).for_each(|n| put(&mut store, spread(n, keys)));
    store.apply(&Command::Compact(store.revision())).done.unwrap();
    loop {
        let begun = Instant::now();
        let more = store.tidy(1_000);
        longest = longest.max(begun.elapsed());
        if !more {
            break;
        }
    }
    println!("{:<58}{:>10.0} µs", "  the longest step of 1,000 writes", longest.as_secs_f64() * 1e6);

    reads(&store, keys);
    watchers(&mut store, keys);
    compact(&mut store);
    snapshots(&mut store);
}

fn reads(store: &Store, keys: u64) {
    let one = |n| Range::all(Span::key(key(spread(n, keys))));
    row("range, one key", keys, time(|| (0..keys).for_each(|n| drop(black_box(store.range(&one(n)))))));
    let some = |n| Range { limit: 100, ..Range::all(Span { from: key(n), end: End::Before(key(n + 100)) }) };
    let pages = keys / 100;
    row(
        "range, a page of 100 keys",
        pages,
        time(|| {
            (0..pages).for_each(|n| drop(black_box(store.range(&some(n * 100)))));
        }),
    );
    let all = Range { count_only: true, ..Range::all(Span { from: key(0), end: End::Open }) };
    row("range, the number of all keys", 1, time(|| drop(black_box(store.range(&all)))));
    row("hash of everything", 1, time(|| _ = black_box(store.hash(0))));
}

fn watchers(store: &mut Store, keys: u64) {
    let puts = keys.min(200_000);
    let mut bare = Room::new(store);
    row("put, heard by nobody", puts, time(|| bare.put_all(store, puts, keys)));
    let single = |n| Span::key(Bytes::from(format!("watched/{n:012}")));
    let of = |n: u64| Bytes::from(format!("watched/{n:012}"));
    let range = |n| Span { from: of(n), end: End::Before(of(n + 5)) };
    // As wide as the keys that are put, and beside each of them.
    let around = |n: u64| Span { from: key(n * 50), end: End::Before(Bytes::from(format!("{:020}!", n * 50))) };
    for (what, span) in [
        ("put, beside 10,000 who watch other keys", &single as &dyn Fn(u64) -> Span),
        ("put, beside 10,000 who watch other spans, each its own", &range),
        ("put, among 10,000 who watch spans between the keys", &around),
    ] {
        let mut room = Room::new(store);
        (0..WATCHERS).for_each(|n| room.join(store, span(n)));
        row(what, puts, time(|| room.put_all(store, puts, keys)));
    }
    let mut room = Room::new(store);
    (0..WATCHERS).for_each(|_| room.join(store, Span { from: key(0), end: End::Open }));
    let took = time(|| room.put_all(store, 20, keys));
    row("event, to one of 10,000 who watch everything", 20 * WATCHERS, took);
}

fn snapshots(store: &mut Store) {
    let mut pieces = Vec::new();
    let mut longest = Duration::ZERO;
    let mut saving = Saving::new(store.pin());
    let took = time(|| {
        loop {
            let begun = Instant::now();
            let Some(piece) = store.piece(&mut saving, 1 << 18) else { break };
            longest = longest.max(begun.elapsed());
            pieces.push(piece);
        }
    });
    let bytes: usize = pieces.iter().map(Vec::len).sum();
    let rate = |took: Duration| bytes as f64 / 1e6 / took.as_secs_f64();
    println!(
        "{:<58}{:>10.0} MB/s, {} MB, longest piece {} µs",
        "snapshot, written",
        rate(took),
        bytes / 1_000_000,
        longest.as_micros()
    );
    let took = time(|| {
        let mut restore = Restore::new();
        pieces.iter().for_each(|piece| restore.take(piece).unwrap());
        black_box(restore.finish().unwrap());
    });
    println!("{:<58}{:>10.0} MB/s", "snapshot, restored", rate(took));
}

/// Watchers, and the hub that wakes them.
struct Room {
    hub: Hub<usize>,
    watchers: Vec<(WatchId, mainstay_mvcc::Cursor)>,
}

impl Room {
    fn new(store: &Store) -> Self {
        Self { hub: Hub::new(store.revision()), watchers: Vec::new() }
    }

    fn join(&mut self, store: &Store, span: Span) {
        let cursor = store.watch(Watch { span, from: 0, puts: true, deletes: true, previous: false });
        let id = self.hub.join(cursor.watch(), cursor.next(), self.watchers.len());
        self.watchers.push((id, cursor));
    }

    fn put_all(&mut self, store: &mut Store, puts: u64, keys: u64) {
        let (mut happened, mut woken) = (Vec::new(), Vec::new());
        for n in 0..puts {
            put(store, spread(n, keys));
            assert!(store.happened(&self.hub, 256, &mut happened));
            self.hub.hear(&happened, |watcher| woken.push(*watcher));
            for watcher in woken.drain(..) {
                let (id, cursor) = &mut self.watchers[watcher];
                let Standing::Behind(from, until) = self.hub.take(*id) else { continue };
                cursor.skip_to(from);
                let Step::Events { events, .. } = store.step(cursor, until, Budget::default()) else { panic!() };
                black_box(events);
            }
        }
    }
}

fn put(store: &mut Store, n: u64) {
    let value = Bytes::from_static(&[b'v'; VALUE]);
    let put = Put { key: key(n), value: Some(value), lease: Some(0), previous: false };
    store.apply(&Command::Put(put)).done.unwrap();
}

fn compact(store: &mut Store) {
    store.apply(&Command::Compact(store.revision())).done.unwrap();
    while store.tidy(1_000) {}
}

fn key(n: u64) -> Bytes {
    Bytes::from(format!("{n:020}"))
}

/// Every number below `keys` once, in an order that is no order: steps of a prime that does not divide them.
fn spread(n: u64, keys: u64) -> u64 {
    n.wrapping_mul(7_368_787) % keys
}

/// What it took of the processor, whoever else used the machine.
fn time(what: impl FnOnce()) -> Duration {
    let begun = processor();
    what();
    processor() - begun
}

/// How long this thread has run, as the kernel accounts it.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

fn row(what: &str, times: u64, took: Duration) {
    let each = took.as_secs_f64() / times as f64;
    println!("{what:<58}{:>10.0} ns{:>14.0} a second", each * 1e9, 1.0 / each);
}

/// What the process has in memory, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}
