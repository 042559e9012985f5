use mainstay_core::{Rate, Seed};
use proptest::prelude::*;

use super::*;
use crate::{OnExceeded, RateLimitAlgorithm, TierSettings};

fn settings(count: u64, burst: u64, max_keys: u32) -> RateLimitSettings {
    RateLimitSettings {
        algorithm: RateLimitAlgorithm::TokenBucket,
        rate: Rate::new(count, Duration::from_secs(1)).unwrap(),
        burst,
        tiers: Vec::new(),
        on_exceeded: OnExceeded::Reject,
        adaptive: false,
        max_keys,
    }
}

fn by(algorithm: RateLimitAlgorithm, count: u64) -> RateLimitSettings {
    RateLimitSettings { algorithm, ..settings(count, 1, 100) }
}

fn queueing(settings: RateLimitSettings, millis: u64) -> RateLimitSettings {
    let timeout = Duration::from_millis(millis);
    RateLimitSettings { on_exceeded: OnExceeded::Queue { timeout, calls: 1_000 }, ..settings }
}

fn at(millis: u64) -> Instant {
    Instant::ORIGIN + Duration::from_millis(1_000_000 + millis)
}

/// The `number`-th key, hashed as a driver does.
fn key(number: u64) -> u64 {
    Seed::new(number).derive("key").get()
}

fn ask(limiter: &mut KeyedLimiter, now: Instant, number: u64) -> LimitVerdict {
    limiter.admit(now, &LimitQuery::of(key(number))).0
}

/// How many of `calls` at once are admitted.
fn admitted(limiter: &mut KeyedLimiter, now: Instant, calls: usize) -> usize {
    (0..calls).filter(|_| ask(limiter, now, 1).admitted).count()
}

#[test]
fn a_burst_may_come_at_once_and_then_the_rate() {
    let mut limiter = KeyedLimiter::new(&settings(10, 3, 100));
    let remaining: Vec<u64> = (0..3).map(|_| ask(&mut limiter, at(0), 1).remaining).collect();
    assert_eq!(remaining, [2, 1, 0]);
    let want = LimitVerdict {
        admitted: false,
        wait: Duration::ZERO,
        quota: 10,
        window: Duration::from_secs(1),
        remaining: 0,
        reset: Duration::from_millis(300),
        retry_after: Duration::from_millis(100),
        percent: 100,
    };
    assert_eq!(ask(&mut limiter, at(0), 1), want);
    assert_eq!(ask(&mut limiter, at(60), 1).retry_after, Duration::from_millis(40));
    assert!(ask(&mut limiter, at(100), 1).admitted, "asking again cost nothing");
    assert!(!ask(&mut limiter, at(199), 1).admitted);
    assert_eq!(ask(&mut limiter, at(1_000), 1).remaining, 2, "after a rest the whole burst is back");
}

#[test]
fn the_wait_that_is_told_is_exactly_long_enough() {
    for (_, algorithm) in RateLimitAlgorithm::ALL {
        let mut limiter = KeyedLimiter::new(&by(algorithm, 3));
        let mut now = at(0);
        while now < at(10_000) {
            let verdict = ask(&mut limiter, now, 1);
            if !verdict.admitted {
                let almost = now + (verdict.retry_after - Duration::from_nanos(1));
                assert!(!ask(&mut limiter, almost, 1).admitted, "{algorithm:?}");
                now += verdict.retry_after;
                assert!(ask(&mut limiter, now, 1).admitted, "{algorithm:?}");
            }
        }
    }
}

#[test]
fn a_leaky_bucket_lets_one_through_after_another() {
    let mut limiter = KeyedLimiter::new(&by(RateLimitAlgorithm::LeakyBucket, 10));
    let admitted: Vec<u64> = (0..500).filter(|millis| ask(&mut limiter, at(*millis), 1).admitted).collect();
    assert_eq!(admitted, [0, 100, 200, 300, 400]);
}

#[test]
fn a_leaky_bucket_that_queues_turns_a_burst_into_an_even_stream() {
    let settings = RateLimitSettings { burst: 4, ..by(RateLimitAlgorithm::LeakyBucket, 10) };
    let mut limiter = KeyedLimiter::new(&queueing(settings, 10_000));
    let verdicts: Vec<_> = (0..7).map(|_| ask(&mut limiter, at(0), 1)).collect();
    let waits: Vec<u64> = verdicts.iter().filter(|verdict| verdict.admitted).map(|v| v.wait.as_millis()).collect();
    assert_eq!(waits, [0, 100, 200, 300, 400], "four wait behind the first, as many as the bucket holds");
    assert_eq!(verdicts[6].retry_after, Duration::from_millis(500));
}

#[test]
fn a_fixed_window_begins_with_the_first_call_and_ends_for_all_of_it() {
    let mut limiter = KeyedLimiter::new(&by(RateLimitAlgorithm::FixedWindow, 5));
    assert_eq!(admitted(&mut limiter, at(300), 1), 1);
    assert_eq!(admitted(&mut limiter, at(1_299), 9), 4);
    assert_eq!(ask(&mut limiter, at(1_299), 1).retry_after, Duration::from_millis(1));
    assert_eq!(admitted(&mut limiter, at(1_300), 9), 5, "so nearly twice as many may come across the border");
}

#[test]
fn a_sliding_window_forgets_the_last_one_little_by_little() {
    let mut limiter = KeyedLimiter::new(&by(RateLimitAlgorithm::SlidingWindow, 10));
    assert_eq!(admitted(&mut limiter, at(0), 1), 1);
    assert_eq!(admitted(&mut limiter, at(999), 20), 9);
    assert_eq!(admitted(&mut limiter, at(1_000), 20), 0, "the last window overlaps wholly");
    assert_eq!(admitted(&mut limiter, at(1_500), 20), 5, "half of it is past");
    assert_eq!(admitted(&mut limiter, at(1_999), 20), 5);
}

#[test]
fn a_call_that_may_wait_has_a_place_behind_those_before_it() {
    let mut limiter = KeyedLimiter::new(&queueing(settings(10, 2, 100), 250));
    let waits: Vec<_> = (0..6).map(|_| ask(&mut limiter, at(0), 1)).map(|v| (v.admitted, v.wait.as_millis())).collect();
    assert_eq!(waits, [(true, 0), (true, 0), (true, 100), (true, 200), (false, 0), (false, 0)]);
    let (verdict, _) =
        limiter.admit(at(0), &LimitQuery { patience: Duration::from_millis(50), ..LimitQuery::of(key(1)) });
    assert!(!verdict.admitted, "nor does a call wait past its own deadline");
    assert_eq!(verdict.retry_after, Duration::from_millis(300));
}

#[test]
fn windows_that_queue_let_the_next_ones_be_filled() {
    for (algorithm, want) in [
        (RateLimitAlgorithm::FixedWindow, [0, 0, 1_000, 1_000, 2_000, 2_000]),
        (RateLimitAlgorithm::SlidingWindow, [0, 0, 1_000, 1_500, 2_000, 2_500]),
    ] {
        let mut limiter = KeyedLimiter::new(&queueing(by(algorithm, 2), 10_000));
        let waits = [(); 6].map(|()| ask(&mut limiter, at(0), 1).wait.as_millis());
        assert_eq!(waits, want, "{algorithm:?}");
    }
}

#[test]
fn a_place_that_is_given_back_is_free_again_unless_somebody_stands_behind_it() {
    for (_, algorithm) in RateLimitAlgorithm::ALL {
        let settings = RateLimitSettings { burst: 2, ..by(algorithm, 2) };
        let mut limiter = KeyedLimiter::new(&queueing(settings, 10_000));
        while ask(&mut limiter, at(0), 1).wait.is_zero() {}
        let mut take = || limiter.admit(at(0), &LimitQuery::of(key(1)));
        let ((first, ticket), (second, behind)) = (take(), take());
        assert!(first.admitted == second.admitted || algorithm == RateLimitAlgorithm::LeakyBucket);
        if second.admitted {
            assert!(!limiter.give_back(&ticket), "{algorithm:?}");
            assert!(limiter.give_back(&behind), "{algorithm:?}");
        }
        assert!(limiter.give_back(&ticket), "{algorithm:?}");
        assert_eq!(ask(&mut limiter, at(0), 1), first, "{algorithm:?}");
    }
}

#[test]
fn each_tier_has_its_own_rate() {
    let gold = TierSettings { rate: Rate::new(100, Duration::from_secs(1)).unwrap(), burst: 20 };
    let mut limiter = KeyedLimiter::new(&RateLimitSettings { tiers: vec![gold], ..settings(10, 2, 100) });
    let mut count = |tier, number| {
        let query = LimitQuery { tier, ..LimitQuery::of(key(number)) };
        (0..50).filter(|_| limiter.admit(at(0), &query).0.admitted).count()
    };
    assert_eq!((count(0, 1), count(1, 2), count(7, 3)), (2, 20, 2), "an unknown tier has the limit's own rate");
}

#[test]
fn a_limit_that_is_lowered_lets_so_much_less_through() {
    for (algorithm, at_once) in [
        (RateLimitAlgorithm::TokenBucket, 5),
        (RateLimitAlgorithm::LeakyBucket, 1),
        (RateLimitAlgorithm::FixedWindow, 50),
        (RateLimitAlgorithm::SlidingWindow, 50),
    ] {
        let mut limiter = KeyedLimiter::new(&RateLimitSettings { burst: 10, ..by(algorithm, 100) });
        let query = LimitQuery { percent: 50, ..LimitQuery::of(key(1)) };
        let mut count = |now| (0..500).filter(|_| limiter.admit(now, &query).0.admitted).count();
        assert_eq!(count(at(0)), at_once, "{algorithm:?}");
        let all = at_once + (1..4_000).map(|millis| count(at(millis))).sum::<usize>();
        assert!((195..=205).contains(&all), "{algorithm:?}: {all} in four seconds of 50 each");
        let (verdict, _) = limiter.admit(at(4_000), &query);
        assert_eq!((verdict.quota, verdict.percent), (50, 50), "{algorithm:?}");
    }
}

#[test]
fn what_a_caller_is_told_has_whole_seconds_and_never_less_left_than_allowed() {
    let told = |rate: &str, burst| {
        let settings = RateLimitSettings { rate: rate.parse().unwrap(), ..settings(1, burst, 100) };
        let verdict = ask(&mut KeyedLimiter::new(&settings), at(0), 1);
        (verdict.quota, verdict.window.as_secs_ceil())
    };
    assert_eq!(told("100/s", 100), (100, 1));
    assert_eq!(told("100/s", 200), (200, 2));
    assert_eq!(told("100/s", 150), (200, 2));
    assert_eq!(told("100/s", 1), (100, 1));
    assert_eq!(told("3/s", 3), (3, 1));
    assert_eq!(told("10/m", 5), (5, 30));
    assert_eq!(told("6000/m", 100), (100, 1));
    let mut windows = KeyedLimiter::new(&RateLimitSettings {
        rate: "6000/m".parse().unwrap(),
        ..by(RateLimitAlgorithm::FixedWindow, 1)
    });
    let verdict = ask(&mut windows, at(0), 1);
    assert_eq!((verdict.quota, verdict.window.as_secs_ceil(), verdict.remaining), (6_000, 60, 5_999));
}

#[test]
fn another_rate_keeps_what_was_used() {
    let mut limiter = KeyedLimiter::new(&settings(1, 10, 100));
    while ask(&mut limiter, at(0), 1).admitted {}
    limiter.configure(&settings(10, 5, 100));
    let refused = ask(&mut limiter, at(0), 1);
    assert!(!refused.admitted, "its burst is used up");
    assert_eq!(refused.retry_after, Duration::from_millis(100), "and the new rate counts from now on");
}

#[test]
fn a_shorter_window_by_a_reload_does_not_keep_anybody_waiting_for_the_end_of_the_longer() {
    for algorithm in [RateLimitAlgorithm::FixedWindow, RateLimitAlgorithm::SlidingWindow] {
        let hour = RateLimitSettings { rate: "5/h".parse().unwrap(), ..by(algorithm, 1) };
        let mut limiter = KeyedLimiter::new(&hour);
        assert_eq!(admitted(&mut limiter, at(0), 9), 5);
        limiter.configure(&by(algorithm, 5));
        assert_eq!(admitted(&mut limiter, at(10), 9), 0, "{algorithm:?}: what was used stays used");
        assert_eq!(admitted(&mut limiter, at(2_010), 9), 5, "{algorithm:?}");
    }
}

#[test]
fn a_clock_that_was_read_a_little_earlier_gains_nothing() {
    for (_, algorithm) in RateLimitAlgorithm::ALL {
        let mut limiter = KeyedLimiter::new(&by(algorithm, 1));
        assert!(ask(&mut limiter, at(5_000), 1).admitted);
        assert!(!ask(&mut limiter, at(4_000), 1).admitted, "{algorithm:?}");
        assert!(ask(&mut limiter, at(4_000), 2).admitted, "{algorithm:?}");
    }
}

#[test]
fn extremes_are_no_trouble() {
    for (_, algorithm) in RateLimitAlgorithm::ALL {
        for rate in [
            Rate::new(u64::MAX, Duration::from_nanos(1)),
            Rate::new(1, Duration::MAX),
            Rate::new(u64::MAX, Duration::MAX),
        ] {
            let settings = RateLimitSettings { rate: rate.unwrap(), burst: u64::MAX, max_keys: 0, ..by(algorithm, 1) };
            for settings in [settings.clone(), queueing(settings, u64::MAX)] {
                let mut limiter = KeyedLimiter::new(&settings);
                for (now, key) in [(Instant::ORIGIN, 0), (Instant::FAR_FUTURE, u64::MAX), (Instant::ORIGIN, 7)] {
                    for percent in [0, 1, 50, 100, 255] {
                        let (_, ticket) = limiter.admit(now, &LimitQuery { percent, ..LimitQuery::of(key) });
                        limiter.give_back(&ticket);
                        limiter.admit(now, &LimitQuery { percent, ..LimitQuery::of(key) });
                    }
                }
            }
        }
    }
}

#[test]
fn the_stricter_of_two_is_told() {
    let verdict = |admitted, remaining, wait| LimitVerdict {
        admitted,
        remaining,
        retry_after: Duration::from_secs(wait),
        ..LimitVerdict::FREE
    };
    let (few, many) = (verdict(true, 1, 0), verdict(true, 9, 0));
    let (short, long) = (verdict(false, 0, 1), verdict(false, 0, 60));
    for (a, b, want) in [(few, many, few), (many, short, short), (short, long, long)] {
        assert_eq!((a.stricter(b), b.stricter(a)), (want, want));
    }
}

/// A tenth of a second, so that windows pass quickly.
const PER: Duration = Duration::from_millis(100);

fn drawn() -> impl Strategy<Value = RateLimitSettings> {
    let tier =
        || (1u64..30, 1u64..12).prop_map(|(count, burst)| TierSettings { rate: Rate::new(count, PER).unwrap(), burst });
    let exceeded = prop_oneof![
        Just(OnExceeded::Reject),
        (1u64..300).prop_map(|millis| OnExceeded::Queue { timeout: Duration::from_millis(millis), calls: 1_000 }),
    ];
    (tier(), tier(), exceeded).prop_map(|(own, tier, on_exceeded)| RateLimitSettings {
        rate: own.rate,
        tiers: vec![tier],
        on_exceeded,
        ..settings(1, own.burst, 1_000)
    })
}

/// Whether `number` calls in a closed stretch of `t` nanoseconds are within the law that the algorithm's page states.
fn lawful(algorithm: RateLimitAlgorithm, TierSettings { rate, burst }: TierSettings, number: u128, t: u128) -> bool {
    let (count, window) = (u128::from(rate.count()), u128::from(rate.per().as_nanos()));
    let interval = window.div_ceil(count);
    match algorithm {
        RateLimitAlgorithm::TokenBucket => number.saturating_sub(burst.into()) * interval <= t,
        RateLimitAlgorithm::LeakyBucket => (number - 1) * interval <= t,
        RateLimitAlgorithm::FixedWindow => number <= count * (t / window + 2),
        RateLimitAlgorithm::SlidingWindow => number <= count || (number - count - 1) * window < t * count,
    }
}

/// One call of a story: how long after the one before, whose it is, under which tier, at how much of the rate, and
/// whether it leaves when it is to wait.
type Step = (u64, u64, usize, u8, bool);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0u64..20_000_000, 0u64..2, 0usize..2, 10u8..=200, any::<bool>()), 1..150)
}

/// Plays the steps and tells when each key of each tier was let through.
fn play(limiter: &mut KeyedLimiter, now: &mut Instant, steps: &[Step]) -> [Vec<Instant>; 4] {
    let mut promised: [Vec<Instant>; 4] = Default::default();
    for (nanos, number, tier, percent, leaves) in steps {
        *now += Duration::from_nanos(*nanos);
        let whose = *number as usize * 2 + tier;
        let percent = (*percent).min(100);
        let query = LimitQuery { tier: *tier, percent, ..LimitQuery::of(key(whose as u64)) };
        let (verdict, ticket) = limiter.admit(*now, &query);
        let given_back = *leaves && !verdict.wait.is_zero() && limiter.give_back(&ticket);
        if verdict.admitted && !given_back {
            promised[whose].push(*now + verdict.wait);
        }
    }
    promised
}

proptest! {
    /// Law: in any stretch of time a key is let through no more often than its algorithm's law says: of each tier, while
    /// the limit is lowered and raised, when those who wait leave, and from a change of the rate on.
    #[test]
    fn never_more_than_the_burst_and_the_rate(
        which in 0usize..4,
        terms in prop::collection::vec((drawn(), steps()), 1..4),
    ) {
        let (name, algorithm) = RateLimitAlgorithm::ALL[which];
        let mut now = at(0);
        let mut limiter: Option<KeyedLimiter> = None;
        for (settings, steps) in terms {
            let settings = RateLimitSettings { algorithm, ..settings };
            match &mut limiter {
                Some(limiter) => limiter.configure(&settings),
                None => limiter = Some(KeyedLimiter::new(&settings)),
            }
            let own = TierSettings { rate: settings.rate, burst: settings.burst };
            let mut promised = play(limiter.as_mut().unwrap(), &mut now, &steps);
            promised.iter_mut().for_each(|times| times.sort_unstable());
            for (whose, times) in promised.iter().enumerate() {
                let tier = if whose % 2 == 0 { own } else { settings.tiers[0] };
                for (first, from) in times.iter().enumerate() {
                    for (last, to) in times.iter().enumerate().skip(first) {
                        let t = u128::from(to.since(*from).as_nanos());
                        let number = (last - first + 1) as u128;
                        prop_assert!(lawful(algorithm, tier, number, t), "{name}: {number} calls in {t} ns of {tier:?}");
                    }
                }
            }
        }
    }

    /// Law: who came first goes first, whoever leaves in between.
    #[test]
    fn those_who_wait_keep_their_order(which in 0usize..4, settings in drawn(), steps in steps()) {
        let (name, algorithm) = RateLimitAlgorithm::ALL[which];
        let mut limiter = KeyedLimiter::new(&RateLimitSettings { algorithm, ..settings });
        let steps: Vec<Step> = steps.into_iter().map(|(nanos, number, tier, _, leaves)| (nanos, number, tier, 100, leaves)).collect();
        let promised = play(&mut limiter, &mut at(0), &steps);
        prop_assert!(promised.iter().all(|times| times.is_sorted()), "{name}");
    }

    /// Law: a key that asks often enough gets what it may, and not a little: at least nine tenths of the rate.
    #[test]
    fn who_asks_all_the_time_gets_the_rate(which in 0usize..4, count in 1u64..20) {
        let (name, algorithm) = RateLimitAlgorithm::ALL[which];
        let mut limiter = KeyedLimiter::new(&by(algorithm, count));
        let admitted = (0..20_000).filter(|half| ask(&mut limiter, at(half / 2), 1).admitted).count() as u64;
        prop_assert!(admitted * 10 >= count * 10 * 9, "{name}: {admitted} of {}", count * 10);
    }

    /// Law: a key is judged as if it were alone, also while the table grows.
    #[test]
    fn keys_do_not_see_each_other(steps in prop::collection::vec((0u64..20, 0u64..400), 1..1_500)) {
        let terms = settings(10, 4, 1_000);
        let mut shared = KeyedLimiter::new(&terms);
        let mut alone: Vec<_> = (0..400).map(|_| KeyedLimiter::new(&terms)).collect();
        let mut now = 0;
        for (step, number) in steps {
            now += step;
            prop_assert_eq!(ask(&mut shared, at(now), number), ask(&mut alone[number as usize], at(now), number));
        }
        prop_assert_eq!(shared.evicted(), 0);
    }

    /// Law: memory never passes the number of keys, however they come; while the table grows, half as much again.
    #[test]
    fn memory_is_bounded(max_keys in 1u32..300, keys in prop::collection::vec(any::<u64>(), 1..1_000)) {
        let mut limiter = KeyedLimiter::new(&settings(1, 1, max_keys));
        for key in keys {
            limiter.admit(at(0), &LimitQuery::of(key));
            prop_assert!(limiter.capacity() < (max_keys as usize + 8) * 2);
        }
    }
}
