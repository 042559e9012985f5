use mainstay_core::Ratio;
use proptest::prelude::*;

use super::*;

const LOWEST: u64 = 0;
const MIDDLE: u64 = 1 << 63;
const HIGHEST: u64 = u64::MAX;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(after: u64) -> Instant {
    Instant::ORIGIN + millis(1_000_000 + after)
}

/// The pauses before the first retries, in milliseconds, each knowing the one before.
fn pauses(kind: BackoffKind, jitter: Jitter, draw: u64) -> Vec<u64> {
    let settings = BackoffSettings { kind, jitter, ..BackoffSettings::default() };
    let mut previous = Duration::ZERO;
    (1..=8)
        .map(|retry| {
            previous = pause(&settings, retry, previous, draw);
            previous.as_millis()
        })
        .collect()
}

#[test]
fn pauses_follow_the_published_formulas() {
    use BackoffKind::{Exponential, Fixed};
    // base 25 ms, longest 1 s
    assert_eq!(pauses(Exponential, Jitter::None, LOWEST), [25, 50, 100, 200, 400, 800, 1_000, 1_000]);
    assert_eq!(pauses(Fixed, Jitter::None, LOWEST), [25; 8]);
    // full: anything from 0 to min(longest, base × 2ⁿ)
    assert_eq!(pauses(Exponential, Jitter::Full, LOWEST), [0; 8]);
    assert_eq!(pauses(Exponential, Jitter::Full, MIDDLE), [12, 25, 50, 100, 200, 400, 500, 500]);
    assert_eq!(pauses(Exponential, Jitter::Full, HIGHEST), [25, 50, 100, 200, 400, 800, 1_000, 1_000]);
    // equal: half of it for certain, and anything up to the other half
    assert_eq!(pauses(Exponential, Jitter::Equal, LOWEST), [12, 25, 50, 100, 200, 400, 500, 500]);
    assert_eq!(pauses(Exponential, Jitter::Equal, HIGHEST), [25, 50, 100, 200, 400, 800, 1_000, 1_000]);
    // decorrelated: min(longest, anything from base to 3 × the one before), which begins at base
    assert_eq!(pauses(Exponential, Jitter::Decorrelated, LOWEST), [25; 8]);
    assert_eq!(pauses(Exponential, Jitter::Decorrelated, HIGHEST), [75, 225, 675, 1_000, 1_000, 1_000, 1_000, 1_000]);
    assert_eq!(pauses(Exponential, Jitter::Decorrelated, MIDDLE)[..3], [50, 87, 143]);
}

#[test]
fn a_backoff_without_end_stays_at_the_longest() {
    let settings = BackoffSettings { max: Duration::MAX, jitter: Jitter::None, ..BackoffSettings::default() };
    assert_eq!(pause(&settings, u32::MAX, Duration::MAX, HIGHEST), Duration::MAX);
    let settings = BackoffSettings { base: Duration::MAX, jitter: Jitter::Decorrelated, ..settings };
    assert_eq!(pause(&settings, 0, Duration::MAX, HIGHEST), Duration::MAX);
    assert_eq!(pause(&BackoffSettings::default(), 0, Duration::ZERO, HIGHEST), millis(25));
}

fn budget(share: u8, per_second: u32, cap: u32) -> BudgetSettings {
    BudgetSettings { share: Ratio::percent(share), per_second, cap }
}

#[test]
fn a_budget_starts_full_and_five_successes_pay_for_a_retry() {
    let mut budget = Budget::new(Some(&budget(20, 0, 3)), at(0));
    assert_eq!((0..10).filter(|_| budget.withdraw(at(0))).count(), 3);
    for _ in 0..4 {
        budget.success(at(0));
    }
    assert!(!budget.withdraw(at(0)));
    budget.success(at(0));
    assert!(budget.withdraw(at(0)));
    assert_eq!(budget.tokens(at(0)), 0.0);
}

#[test]
fn time_refills_it_up_to_the_cap() {
    let mut budget = Budget::new(Some(&budget(20, 10, 5)), at(0));
    while budget.withdraw(at(0)) {}
    assert!(!budget.withdraw(at(99)));
    assert!(budget.withdraw(at(100)), "ten a second are one in 100 ms");
    assert_eq!(budget.tokens(at(350)), 2.5);
    assert_eq!(budget.tokens(at(60_000)), 5.0);
    assert_eq!(budget.tokens(Instant::FAR_FUTURE), 5.0);
}

#[test]
fn a_clock_that_goes_back_and_forth_brings_no_tokens() {
    let mut budget = Budget::new(Some(&budget(20, 10, 5)), at(0));
    while budget.withdraw(at(1_000)) {}
    budget.success(at(0));
    assert_eq!(budget.tokens(at(1_000)), 0.2);
}

#[test]
fn one_that_is_off_always_pays() {
    let mut budget = Budget::new(None, at(0));
    assert!((0..1_000).all(|_| budget.withdraw(at(0))));
    assert_eq!(budget.tokens(at(0)), f64::INFINITY);
}

#[test]
fn other_settings_keep_the_tokens() {
    let mut kept = Budget::new(Some(&budget(20, 10, 100)), at(0));
    while kept.withdraw(at(0)) {}
    kept.configure(at(200), Some(&budget(50, 1, 1_000)));
    assert_eq!(kept.tokens(at(200)), 2.0, "what the old trickle brought, and not a full one");
    assert_eq!(kept.tokens(at(1_200)), 3.0);
    kept.configure(at(1_200), Some(&budget(50, 1, 1)));
    assert_eq!(kept.tokens(at(1_200)), 1.0);
    kept.configure(at(1_200), None);
    kept.configure(at(1_200), Some(&budget(50, 1, 7)));
    assert_eq!(kept.tokens(at(1_200)), 7.0);
}

proptest! {
    /// Law: retries are at most the cap, the share of the successes and the trickle of the time; and no token is lost
    /// to rounding, whatever the steps.
    #[test]
    fn retries_are_never_more_than_was_paid_in(
        share in 0u8..=100,
        per_second in 0u32..50,
        cap in 0u32..50,
        steps in prop::collection::vec((0u64..300, any::<bool>()), 1..400),
    ) {
        let mut budget = Budget::new(Some(&budget(share, per_second, cap)), at(0));
        let (mut now, mut successes, mut retries) = (0, 0u64, 0u64);
        for (step, success) in steps {
            now += step;
            if success {
                budget.success(at(now));
                successes += 1;
                continue;
            }
            let is_paid = budget.has_token(at(now));
            prop_assert_eq!(is_paid, budget.tokens(at(now)) >= 1.0);
            prop_assert_eq!(is_paid, budget.withdraw(at(now)));
            retries += u64::from(is_paid);
            // In hundredths of a thousandth: share in percent, time in milliseconds.
            let paid = u64::from(cap) * 100_000 + successes * u64::from(share) * 1_000 + now * u64::from(per_second) * 100;
            prop_assert!(retries * 100_000 <= paid);
            prop_assert!(budget.tokens(at(now)) <= f64::from(cap));
        }
    }

    /// Law: a pause lies between nothing and the longest.
    #[test]
    fn a_pause_is_never_longer_than_the_longest(retry: u32, previous: u64, draw: u64, base: u64, max: u64) {
        for kind in [BackoffKind::Fixed, BackoffKind::Exponential] {
            for jitter in [Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Decorrelated] {
                let settings =
                    BackoffSettings { kind, jitter, base: Duration::from_nanos(base), max: Duration::from_nanos(max) };
                prop_assert!(pause(&settings, retry, Duration::from_nanos(previous), draw) <= settings.max);
            }
        }
    }
}
