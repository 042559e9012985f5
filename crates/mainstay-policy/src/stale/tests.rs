//! The bounds of what is kept; the rules themselves are told with real fields where those are read.

use proptest::prelude::*;

use super::*;

const FRESH: KeepTerms = KeepTerms { age: Duration::ZERO, lifetime: Duration::from_secs(60), stale_max: Duration::MAX };
const LIMIT: Duration = Duration::from_secs(600);

fn at(secs: u64) -> Instant {
    Instant::ORIGIN + Duration::from_secs(secs)
}

#[test]
fn the_newest_that_matches_is_given() {
    let mut kept = StaleAnswers::new(Bytes(1000));
    let target = TargetId(1);
    for (secs, answer) in [(1, "de 1"), (1, "en 1"), (2, "de 2"), (0, "de 0")] {
        let language = &answer[..2];
        kept.keep(at(secs), target, (answer, 10), FRESH, |known| known.starts_with(language));
    }
    let find = |language: &str| {
        let request = CachingRequest::default();
        kept.find(at(12), target, &request, LIMIT, |known| known.starts_with(language)).map(|(answer, _)| answer)
    };
    assert_eq!((find("de"), find("en"), find("fr")), (Some("de 2"), Some("en 1"), None));
    let figures = StaleFigures { answers: 2, bytes: 20, evicted: 0 };
    assert_eq!(kept.figures(), figures, "an answer takes the place of the one before");
}

#[test]
fn an_answer_that_was_not_refreshed_makes_room_first() {
    let mut kept = StaleAnswers::new(Bytes(30));
    for target in [1, 2, 3, 1, 4] {
        kept.keep(at(0), TargetId(target), (target, 10), FRESH, |_| true);
    }
    let has = |target| kept.find(at(0), TargetId(target), &CachingRequest::default(), LIMIT, |_| true).is_some();
    assert_eq!([1, 2, 3, 4].map(has), [true, false, true, true]);
    assert_eq!(kept.figures().evicted, 1);
}

#[test]
fn a_target_that_changes_is_forgotten_in_all_its_variants() {
    let mut kept = StaleAnswers::new(Bytes(1000));
    for variant in 0..3 {
        kept.keep(at(0), TargetId(1), (variant, 10), FRESH, |known| *known == variant);
    }
    kept.forget(TargetId(1));
    assert_eq!(kept.figures(), StaleFigures::default());
}

proptest! {
    /// Whatever is kept, the memory holds, no target has more variants than it may, and what is found was kept last.
    #[test]
    fn the_memory_holds(
        events in prop::collection::vec((0..8u128, 0..12u64, 0..300u64, 0..10u8), 1..300),
        memory in 0..1000u64,
    ) {
        let mut kept = StaleAnswers::new(Bytes(memory));
        for (number, (target, variant, bytes, what)) in events.into_iter().enumerate() {
            let target = TargetId(target);
            if what == 0 {
                kept.forget(target);
                continue;
            }
            let answer = (variant, number);
            kept.keep(at(0), target, (answer, bytes), FRESH, |known| known.0 == variant);
            prop_assert!(kept.figures().bytes <= memory);
            prop_assert!(kept.targets.values().all(|variants| variants.len() <= VARIANTS_MAX));
            let sum: u64 = kept.targets.values().flatten().map(|variant| variant.bytes).sum();
            let count: usize = kept.targets.values().map(Vec::len).sum();
            prop_assert_eq!((kept.figures().answers, kept.figures().bytes), (count as u64, sum));
            let found = kept.find(at(0), target, &CachingRequest::default(), LIMIT, |known| known.0 == variant);
            prop_assert_eq!(found.map(|(answer, _)| answer), (bytes <= memory).then_some(answer));
        }
    }
}
