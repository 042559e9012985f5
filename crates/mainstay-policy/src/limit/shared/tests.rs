use std::sync::atomic::{AtomicU32, AtomicU64};

use mainstay_core::Seed;
use proptest::prelude::*;

use super::*;
use crate::{KeyedLimiter, LimitQuery, OnExceeded, RateLimitAlgorithm};

/// The `number`-th key, hashed as a driver does.
fn key(number: u64) -> u64 {
    Seed::new(number).derive("key").get()
}

fn at(nanos: u64) -> Instant {
    Instant::ORIGIN + Duration::from_nanos(1_000_000_000 + nanos)
}

fn slow(max_keys: u32) -> SharedBuckets {
    SharedBuckets::new(&RateLimitSettings { burst: 1, max_keys, ..RateLimitSettings::per_second(1) }).unwrap()
}

#[test]
fn windows_are_not_for_it() {
    for algorithm in [RateLimitAlgorithm::FixedWindow, RateLimitAlgorithm::SlidingWindow] {
        assert!(SharedBuckets::new(&RateLimitSettings { algorithm, ..RateLimitSettings::per_second(1) }).is_none());
    }
}

#[test]
fn each_key_is_remembered_while_the_tables_grow_and_their_memory_has_a_bound() {
    let keys = 100_000;
    let buckets = slow(keys * 3 / 2);
    assert!((0..u64::from(keys)).all(|number| buckets.take(at(0), key(number)).is_ok()));
    assert!((0..u64::from(keys)).all(|number| buckets.take(at(1), key(number)).is_err()), "each has had its one");
    assert_eq!(buckets.evicted(), 0);
    assert!(buckets.capacity() <= 150_000 * 4 / 3 + 4_096, "{}", buckets.capacity());
    for number in 0..u64::from(keys) * 5 {
        _ = buckets.take(at(2), key(number));
    }
    assert!(buckets.evicted() > 0);
    assert!(buckets.capacity() <= 150_000 * 4 / 3 + 4_096, "{}", buckets.capacity());
}

#[test]
fn a_place_whose_time_has_passed_is_used_again() {
    let buckets = slow(10_000);
    for second in 0..100 {
        let now = at(second * 2_000_000_000);
        assert!((0..1_000).all(|number| buckets.take(now, key(second * 1_000 + number)).is_ok()));
    }
    assert_eq!(buckets.evicted(), 0);
    assert!(buckets.capacity() < 8_000, "{}", buckets.capacity());
}

proptest! {
    /// It says what the limiter of one owner says, whatever is asked and given back.
    #[test]
    fn it_says_what_one_owner_would(
        steps in prop::collection::vec((0_u64..300_000_000, 0_u64..40, 0_u64..500, any::<bool>()), 1..400),
        leaky in any::<bool>(),
    ) {
        let algorithm = if leaky { RateLimitAlgorithm::LeakyBucket } else { RateLimitAlgorithm::TokenBucket };
        let on_exceeded = OnExceeded::Queue { timeout: Duration::from_secs(1), calls: 10 };
        let settings = RateLimitSettings { algorithm, burst: 3, on_exceeded, ..RateLimitSettings::per_second(10) };
        let (shared, mut owned) = (SharedBuckets::new(&settings).unwrap(), KeyedLimiter::new(&settings));
        let mut now = 0;
        for (step, number, millis, gives_back) in steps {
            now += step;
            let (key, patience) = (key(number), Duration::from_millis(millis));
            let (told, ticket) = shared.admit(at(now), key, patience);
            let (expected, owned_ticket) = owned.admit(at(now), &LimitQuery { patience, ..LimitQuery::of(key) });
            prop_assert_eq!(told, expected);
            if told.admitted && gives_back {
                prop_assert_eq!(shared.give_back(&ticket), owned.give_back(&owned_ticket));
            }
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Law: over any threads a key is admitted no more than its burst and its rate, while tables grow and places whose
    /// time has passed change hands.
    #[test]
    fn threads_together_are_admitted_no_more_than_the_burst_and_the_rate(
        burst in 1_u64..6,
        rate in 1_u64..2_000,
        keys in 1_u64..3_000,
        tick in 1_u64..200_000,
    ) {
        check_law(burst, rate, keys, tick);
    }
}

#[test]
fn the_law_holds_for_one_key_for_some_and_for_many() {
    for (burst, rate, keys, tick) in [(1, 1, 1, 1), (5, 1_000, 1, 900), (2, 500, 40, 5_000), (1, 2_000, 2_500, 100_000)]
    {
        check_law(burst, rate, keys, tick);
    }
}

fn check_law(burst: u64, rate: u64, keys: u64, tick: u64) {
    const THREADS: u64 = 4;
    const ASKS: u64 = 4_000;
    let settings = RateLimitSettings { burst, max_keys: 100_000, ..RateLimitSettings::per_second(rate) };
    let buckets = SharedBuckets::new(&settings).unwrap();
    let clock = AtomicU64::new(0);
    let admitted: Vec<AtomicU32> = (0..keys).map(|_| AtomicU32::new(0)).collect();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (buckets, clock, admitted) = (&buckets, &clock, &admitted);
            scope.spawn(move || {
                for ask in 0..ASKS {
                    let number = (ask * (2 * thread + 1) * 7_919) % keys;
                    let now = at(clock.fetch_add(tick, Relaxed));
                    if buckets.take(now, key(number)).is_ok() {
                        admitted[number as usize].fetch_add(1, Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(buckets.evicted(), 0);
    let interval = 1_000_000_000_u64.div_ceil(rate);
    let most = burst + clock.load(Relaxed) / interval;
    for (number, admitted) in admitted.iter().enumerate() {
        let admitted = u64::from(admitted.load(Relaxed));
        assert!(admitted <= most, "key {number}: {admitted} of {most}, burst {burst}, rate {rate}, tick {tick}");
    }
}
