use mainstay_core::{Rate, Seed};
use proptest::prelude::*;

use super::*;

fn settings(count: u64, burst: u64, max_keys: u32) -> RateLimitSettings {
    RateLimitSettings { rate: Rate::new(count, Duration::from_secs(1)).unwrap(), burst, max_keys }
}

fn at(millis: u64) -> Instant {
    Instant::ORIGIN + Duration::from_millis(1_000_000 + millis)
}

/// The `number`-th key, hashed as a driver does.
fn key(number: u64) -> u64 {
    Seed::new(number).derive("key").get()
}

#[test]
fn a_burst_may_come_at_once_and_then_the_rate() {
    let mut limiter = KeyedLimiter::new(&settings(10, 3, 100));
    let remaining: Vec<u64> = (0..3).map(|_| limiter.admit(at(0), key(1)).remaining).collect();
    assert_eq!(remaining, [2, 1, 0]);
    let refused = limiter.admit(at(0), key(1));
    let want = LimitVerdict {
        admitted: false,
        limit: 3,
        remaining: 0,
        reset: Duration::from_millis(300),
        retry_after: Duration::from_millis(100),
    };
    assert_eq!(refused, want);
    assert_eq!(limiter.admit(at(60), key(1)).retry_after, Duration::from_millis(40));
    assert!(limiter.admit(at(100), key(1)).admitted, "asking again cost nothing");
    assert!(!limiter.admit(at(199), key(1)).admitted);
    assert_eq!(limiter.admit(at(1_000), key(1)).remaining, 2, "after a rest the whole burst is back");
}

#[test]
fn the_wait_that_is_told_is_exactly_long_enough() {
    let mut limiter = KeyedLimiter::new(&settings(3, 1, 100));
    assert!(limiter.admit(at(0), key(1)).admitted);
    let wait = limiter.admit(at(0), key(1)).retry_after;
    let almost = at(0) + (wait - Duration::from_nanos(1));
    assert!(!limiter.admit(almost, key(1)).admitted);
    assert!(limiter.admit(at(0) + wait, key(1)).admitted);

    let mut now = at(0) + wait;
    for _ in 0..300 {
        now += limiter.admit(now, key(1)).retry_after;
        assert!(limiter.admit(now, key(1)).admitted);
    }
    assert!(now.since(at(0) + wait) >= Duration::from_secs(100), "a third of a second is rounded up");
}

#[test]
fn another_rate_keeps_what_was_used() {
    let mut limiter = KeyedLimiter::new(&settings(1, 10, 100));
    while limiter.admit(at(0), key(1)).admitted {}
    limiter.configure(at(0), &settings(10, 5, 100));
    let refused = limiter.admit(at(0), key(1));
    assert!(!refused.admitted, "its burst is used up");
    assert_eq!(refused.retry_after, Duration::from_millis(100), "and the new rate counts from now on");
}

#[test]
fn it_grows_with_its_keys_and_no_further_than_allowed() {
    let mut limiter = KeyedLimiter::new(&settings(1, 1, 5_000));
    assert_eq!(limiter.capacity(), 64);
    for number in 0..3_500 {
        assert!(limiter.admit(at(0), key(number)).admitted);
    }
    assert_eq!(limiter.evicted(), 0, "seven tenths full, and everybody has a place");
    assert!((0..3_500).all(|number| !limiter.admit(at(0), key(number)).admitted), "each is remembered");
    for number in 3_500..20_000 {
        limiter.admit(at(0), key(number));
    }
    assert_eq!(limiter.capacity(), 5_000);
    let forgotten = limiter.evicted();
    assert!((15_000..15_500).contains(&forgotten), "{forgotten}: nearly every place is used");
}

#[test]
fn keys_that_rested_make_room_for_others() {
    let mut limiter = KeyedLimiter::new(&settings(1, 1, 5_000));
    for second in 0..20 {
        for number in 0..1_000 {
            assert!(limiter.admit(at(second * 1_000), key(second * 1_000 + number)).admitted);
        }
    }
    assert_eq!(limiter.evicted(), 0, "20,000 keys, but never more than 1,000 at a time");
    assert!(limiter.capacity() <= 5_000);
}

#[test]
fn when_there_is_no_room_the_one_that_is_nearly_done_is_forgotten() {
    let mut limiter = KeyedLimiter::new(&settings(1, 2, 8));
    for number in 1..=9 {
        // The fourth asks once, the others use their burst up.
        for _ in 0..if number == 4 { 1 } else { 2 } {
            assert!(limiter.admit(at(0), key(number)).admitted);
        }
    }
    assert_eq!(limiter.evicted(), 1);
    assert!((1..=9).filter(|number| *number != 4).all(|number| !limiter.admit(at(0), key(number)).admitted));
}

#[test]
fn fewer_keys_by_a_reload_take_less_memory() {
    let mut limiter = KeyedLimiter::new(&settings(1, 1, 5_000));
    for number in 0..3_000 {
        limiter.admit(at(0), key(number));
    }
    for number in 3_000..3_040 {
        limiter.admit(at(1_000), key(number));
    }
    limiter.configure(at(1_000), &settings(1, 1, 100));
    assert!((3_000..3_040).all(|number| !limiter.admit(at(1_000), key(number)).admitted), "who is live has a place");
    assert_eq!((limiter.capacity(), limiter.evicted()), (104, 0));
}

#[test]
fn extremes_are_no_trouble() {
    let mut limiter = KeyedLimiter::new(&settings(u64::MAX, u64::MAX, 0));
    assert!(limiter.admit(Instant::ORIGIN, 0).admitted);
    assert!(limiter.admit(Instant::FAR_FUTURE, u64::MAX).admitted);
    let slow = Rate::new(1, Duration::MAX).unwrap();
    let mut limiter = KeyedLimiter::new(&RateLimitSettings { rate: slow, burst: u64::MAX, max_keys: 1 });
    limiter.admit(Instant::FAR_FUTURE, 0);
    limiter.admit(Instant::ORIGIN, 0);
}

#[test]
fn the_stricter_of_two_is_told() {
    let verdict = |admitted, remaining, wait| LimitVerdict {
        admitted,
        limit: 10,
        remaining,
        reset: Duration::ZERO,
        retry_after: Duration::from_secs(wait),
    };
    let (few, many) = (verdict(true, 1, 0), verdict(true, 9, 0));
    let (short, long) = (verdict(false, 0, 1), verdict(false, 0, 60));
    for (a, b, want) in [(few, many, few), (many, short, short), (short, long, long)] {
        assert_eq!((a.stricter(b), b.stricter(a)), (want, want));
    }
}

proptest! {
    /// Law: in any stretch of time a key is admitted at most `burst + rate × t` times, whatever the others do.
    #[test]
    fn never_more_than_the_burst_and_the_rate(
        count in 1u64..2_000,
        burst in 1u64..20,
        steps in prop::collection::vec((0u64..20_000_000, 0u64..3), 1..300),
    ) {
        let mut limiter = KeyedLimiter::new(&settings(count, burst, 1_000));
        let mut now = at(0);
        let mut admitted: [Vec<Instant>; 3] = Default::default();
        for (nanos, number) in steps {
            now += Duration::from_nanos(nanos);
            if limiter.admit(now, key(number)).admitted {
                admitted[number as usize].push(now);
            }
        }
        for times in admitted {
            for (first, from) in times.iter().enumerate() {
                for (last, to) in times.iter().enumerate().skip(first) {
                    let number = (last - first + 1) as u128;
                    let most = u128::from(burst) * 1_000_000_000 + u128::from(to.since(*from).as_nanos()) * u128::from(count);
                    prop_assert!(number * 1_000_000_000 <= most);
                }
            }
        }
    }

    /// Law: a key is judged as if it were alone.
    #[test]
    fn keys_do_not_see_each_other(steps in prop::collection::vec((0u64..50, 0u64..200), 1..500)) {
        let terms = settings(10, 4, 1_000);
        let mut shared = KeyedLimiter::new(&terms);
        let mut alone: Vec<_> = (0..200).map(|_| KeyedLimiter::new(&terms)).collect();
        let mut now = 0;
        for (step, number) in steps {
            now += step;
            prop_assert_eq!(shared.admit(at(now), key(number)), alone[number as usize].admit(at(now), key(number)));
        }
        prop_assert_eq!(shared.evicted(), 0);
    }

    /// Law: memory never passes the number of keys, however they come.
    #[test]
    fn memory_is_bounded(max_keys in 1u32..300, keys in prop::collection::vec(any::<u64>(), 1..1_000)) {
        let mut limiter = KeyedLimiter::new(&settings(1, 1, max_keys));
        for key in keys {
            limiter.admit(at(0), key);
            prop_assert!(limiter.capacity() < max_keys as usize + 8);
        }
    }
}
