//! The record ring against a model that keeps everything: whatever is pushed, the ring stays in its memory, shows the
//! newest, shows nothing that was not pushed, and shows nothing that is too old.

use mainstay_core::{Duration, Instant};
use mainstay_policy::{Decision, ENTRIES_MAX, Entry};
use mainstay_telemetry::{Method, Names, RecordRing, RequestFacts, RouteNameKey, ServiceKey};
use proptest::collection::vec;
use proptest::prelude::*;

const KEEP: Duration = Duration::from_millis(500);

/// One request: which of a few ids it has, how many decisions, and how long after the one before it ended.
fn requests() -> impl Strategy<Value = Vec<(u8, usize, u64)>> {
    vec((0..20_u8, 0..80_usize, 0..20_u64), 1..200)
}

/// Entries that carry the number of their request, so that a mixture would be seen.
fn entries(number: usize, count: usize) -> Vec<Entry> {
    let what = Decision::Queued { ahead: number as u32 };
    (0..count).map(|at| Entry { after: Duration::from_nanos(at as u64), what }).collect()
}

proptest! {
    #[test]
    fn the_ring_never_outgrows_its_memory_nor_mixes_two_records(
        bytes in 0..40_000_usize,
        requests in requests(),
    ) {
        let names = Names::new();
        let mut ring = RecordRing::new(bytes, KEEP);
        let memory = ring.memory();
        let mut now = Instant::ORIGIN;
        let mut model = Vec::new();
        for (number, (id, count, pause)) in requests.into_iter().enumerate() {
            now += Duration::from_millis(pause);
            let facts = RequestFacts {
                id: &[b'a' + id; 70],
                route: RouteNameKey::NONE,
                service: ServiceKey::NONE,
                method: Method::Get,
                path: b"/",
                began: now,
                ended: now,
                allowed: Duration::MAX,
                attempts: &[],
            };
            ring.push(&facts, &entries(number, count), 0);
            model.push((id, now, entries(number, count.min(ENTRIES_MAX)), count.saturating_sub(ENTRIES_MAX) as u32));
            prop_assert_eq!(ring.memory(), memory);

            // What was pushed last can always be found, whole.
            let found = ring.find(&[b'a' + id; 70], now, &names);
            let (_, _, last, dropped) = &model[number];
            prop_assert_eq!(&found.last().unwrap().entries, last);
            prop_assert_eq!(found.last().unwrap().dropped, *dropped);
        }
        // There is room for one record, however little it may take.
        prop_assert!(memory <= bytes.max(ENTRIES_MAX * size_of::<Entry>() + 2048));

        // What is found is a part of what was pushed, newest last, and none of it is too old.
        for id in 0..20_u8 {
            let pushed: Vec<_> = model.iter().filter(|(of, ..)| *of == id).collect();
            let found = ring.find(&[b'a' + id; 70], now, &names);
            prop_assert!(found.len() <= pushed.len());
            for (record, (_, ended, entries, _)) in found.iter().rev().zip(pushed.iter().rev()) {
                prop_assert_eq!(&record.entries, entries);
                prop_assert!(now.since(*ended) <= KEEP);
            }
        }
    }
}
