//! What becomes of calls while instances limp, hang or fail, with nothing configured but the endpoints: two workers that
//! exchange what they learn every 5 ms, callers that leave after 2 s.

mod world;

use mainstay_core::Duration;
use world::{Fault, Outcome, Plan, ServiceTime, Trouble, World, exponential, normal};

/// Trouble at instance 0 from second 5 to 15.
fn trouble(fault: Fault) -> Vec<Trouble> {
    vec![at(0, fault)]
}

fn at(slot: u32, fault: Fault) -> Trouble {
    Trouble { slot, from: 5_000, to: 15_000, fault }
}

fn run(plan: Plan) -> Outcome {
    World::new(plan).run()
}

fn ten_millis(_: f64, _: f64) -> Duration {
    Duration::from_millis(10)
}

fn exponentially(a: f64, _: f64) -> Duration {
    exponential(a, ten_millis(0.0, 0.0))
}

fn lognormally(a: f64, b: f64) -> Duration {
    #[allow(clippy::disallowed_methods, reason = "luck of the world, which no decision sees")]
    Duration::from_millis(6).mul_f64(normal(a, b).exp())
}

/// With infinite variance, cut off at 2 s.
fn as_pareto(a: f64, _: f64) -> Duration {
    #[allow(clippy::disallowed_methods, reason = "luck of the world, which no decision sees")]
    Duration::from_micros(3_300).mul_f64((1.0 - a).powf(-1.0 / 1.5)).min(Duration::from_secs(2))
}

/// One in twenty takes twenty times as long.
fn in_two_ways(a: f64, _: f64) -> Duration {
    if a < 0.05 { Duration::from_millis(100) } else { Duration::from_millis(5) }
}

const TIMES: [(&str, ServiceTime); 5] = [
    ("constant", ten_millis),
    ("exponential", exponentially),
    ("lognormal", lognormally),
    ("pareto", as_pareto),
    ("bimodal", in_two_ways),
];

/// The faults that leave an instance unable for as long as they last.
const FAULTS: [Fault; 9] = [
    Fault::Late(200),
    Fault::Late(1_500),
    Fault::Hung,
    Fault::Stall,
    Fault::Errors(503, 2),
    Fault::Errors(500, 1),
    Fault::Reset(2),
    Fault::Garbage,
    Fault::Killed,
];

#[test]
fn an_instance_that_limps_is_felt_by_few_and_loses_its_calls_within_a_second() {
    for (instances, workers) in [(3, 1), (4, 1), (4, 2), (10, 2), (100, 2)] {
        let rate = 250 * u64::from(instances).min(40);
        let plan = Plan { instances, workers, rate, troubles: trouble(Fault::Late(200)), ..Plan::default() };
        let outcome = run(plan);
        let there = outcome.landed(0, 5..15);
        assert!(there <= 12, "{instances} by {workers}: {there} calls in ten seconds");
        assert!(outcome.landed(0, 6..15) <= 6, "{instances} by {workers}: {:?}", outcome.landed[0]);
        assert!(outcome.quantile(0.99) < Duration::from_millis(15), "{instances} by {workers}");
        assert_eq!(outcome.good, outcome.lengths.len());
    }
}

#[test]
fn it_comes_back_when_it_is_well_and_has_its_share_in_five_seconds() {
    for fault in [Fault::Late(200), Fault::Late(1_500), Fault::Hung] {
        let outcome = run(Plan { seconds: 24, troubles: trouble(fault), ..Plan::default() });
        let back = outcome.landed(0, 20..24);
        assert!(back > 600, "{fault:?}: {back} of about 1,000: {:?}", outcome.landed[0]);
    }
}

#[test]
fn few_calls_are_enough_to_tell_when_there_are_few() {
    let outcome = run(Plan { rate: 40, troubles: trouble(Fault::Late(200)), ..Plan::default() });
    assert!(outcome.landed(0, 5..15) <= 6, "{:?}", outcome.landed[0]);
}

#[test]
fn whatever_happens_to_one_of_four_ninety_nine_calls_of_a_hundred_are_good() {
    for fault in FAULTS {
        let outcome = run(Plan { troubles: trouble(fault), ..Plan::default() });
        assert!(outcome.share_good() > 0.999, "{fault:?}: {}", outcome.share_good());
        assert!(outcome.quantile(0.99) < Duration::from_millis(60), "{fault:?}: {}", outcome.quantile(0.99));
    }
}

#[test]
fn two_of_four_at_once_leave_the_other_two_to_answer() {
    for fault in FAULTS {
        let troubles = vec![at(0, Fault::Killed), at(1, fault)];
        let outcome = run(Plan { rate: 600, troubles, ..Plan::default() });
        assert!(outcome.share_good() > 0.995, "{fault:?}: {}", outcome.share_good());
    }
}

#[test]
fn an_instance_that_comes_and_goes_each_second_is_survived() {
    let seconds = (5..15).step_by(2).map(|second| second * 1_000);
    for fault in [Fault::Killed, Fault::Late(200), Fault::Hung] {
        let troubles = seconds.clone().map(|from| Trouble { slot: 0, from, to: from + 1_000, fault });
        let outcome = run(Plan { troubles: troubles.collect(), ..Plan::default() });
        assert!(outcome.share_good() > 0.999, "{fault:?}: {}", outcome.share_good());
        assert!(outcome.quantile(0.99) < Duration::from_millis(60), "{fault:?}");
    }
}

#[test]
fn when_all_become_slower_nobody_limps() {
    let all = (0..4).map(|slot| Trouble { slot, from: 5_000, to: 15_000, fault: Fault::Late(20) });
    let outcome = run(Plan { troubles: all.collect(), ..Plan::default() });
    assert_eq!(outcome.limped, 0);
    for slot in 0..4 {
        let share = outcome.landed(slot, 5..15);
        assert!((2_200..2_800).contains(&share), "{slot}: {share} of 10,000");
    }
}

#[test]
fn twice_as_slow_is_a_smaller_share_and_no_limp() {
    let smaller = Trouble { slot: 0, from: 0, to: 60_000, fault: Fault::Late(10) };
    let outcome = run(Plan { troubles: vec![smaller], ..Plan::default() });
    assert_eq!(outcome.limped, 0);
    let share = outcome.landed(0, 1..20);
    assert!((1_500..4_000).contains(&share), "{share} of 19,000");
}

#[test]
fn answers_that_vary_much_make_nobody_limp_for_long() {
    for (name, time) in TIMES {
        let outcome = run(Plan { time, ..Plan::default() });
        assert!(outcome.limped <= 4, "{name}: {} times", outcome.limped);
        let worst = (0..4).map(|slot| outcome.landed(slot, 2..20)).min().unwrap_or(0);
        assert!(worst > 3_000, "{name}: one of four had {worst} of 18,000");
    }
}

#[test]
fn an_instance_that_limps_is_found_among_answers_that_vary_much() {
    for (name, time) in TIMES {
        for fault in [Fault::Late(200), Fault::Late(1_500), Fault::Hung, Fault::Stall] {
            let outcome = run(Plan { time, troubles: trouble(fault), ..Plan::default() });
            let there = outcome.landed(0, 5..15);
            assert!(there <= 40, "{name}, {fault:?}: {there} calls in ten seconds");
            assert!(outcome.share_good() > 0.998, "{name}, {fault:?}: {}", outcome.share_good());
        }
    }
}

/// Without checks nobody says that a service is back but its breaker's probes, once it has been open for its second. Half
/// of the instances could not carry this load, so those that were ejected in the outage must be back too.
#[test]
fn however_long_all_were_out_calls_are_good_again_within_the_time_of_one_opening() {
    for outage in [5, 10, 30] {
        for fault in [Fault::Killed, Fault::Errors(503, 1)] {
            let to = 5 + outage;
            let all = (0..4).map(|slot| Trouble { slot, from: 5_000, to: to * 1_000, fault });
            let outcome = run(Plan { seconds: to + 8, rate: 2_000, troubles: all.collect(), ..Plan::default() });
            let after = &outcome.bad[to as usize..];
            assert_eq!(after[2..].iter().sum::<u32>(), 0, "{fault:?} for {outage} s: {after:?}");
        }
    }
}

/// The table of the guide.
#[test]
#[ignore = "prints figures for people"]
fn figures() {
    for (name, time) in TIMES {
        for rate in [20, 200, 1_000] {
            for fault in FAULTS {
                let outcome = run(Plan { rate, time, troubles: trouble(fault), ..Plan::default() });
                println!(
                    "{name:12} {rate:5}/s {:14} there {:4}  p99 {:5} ms  good {:.4}  limped {}  {:?}",
                    format!("{fault:?}"),
                    outcome.landed(0, 5..15),
                    outcome.quantile(0.99).as_millis(),
                    outcome.share_good(),
                    outcome.limped,
                    &outcome.landed[0][4..20],
                );
            }
        }
    }
}
