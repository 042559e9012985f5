//! An overload, and what must not be mistaken for one.

use mainstay_core::{Duration, Instant};
use mainstay_policy::{Adaptive, Priority, Refusal};

use crate::world::{Ended, Health, Report, Scenario, play, quantile};

/// What the instances can do in a second.
const CAPACITY: f64 = 3_200.0;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// 1,000 a second; for ten seconds, 6,000 a second.
fn surge(adaptive: Adaptive, exponential: bool) -> Scenario {
    let mut scenario = Scenario {
        exponential,
        lasts: seconds(20),
        rates: vec![(Duration::ZERO, 1_000), (FROM, 6_000), (TO, 1_000)],
        ..Scenario::default()
    };
    scenario.settings.bulkhead.adaptive = adaptive;
    scenario
}

const FROM: Duration = seconds(5);
const TO: Duration = seconds(15);

/// What came of a surge, in figures.
#[derive(Debug)]
struct Figures {
    /// Good answers in a second of the surge.
    good: f64,
    p50: Duration,
    p99: Duration,
    refused: usize,
    /// How long the slowest but one in a hundred refusals took.
    refused_p99: Duration,
    /// From a second after the surge on: not good, or slower than in calm.
    bad_after: usize,
    /// Three seconds into the surge.
    limit: u32,
}

impl Figures {
    fn of(report: &Report) -> Self {
        let during = |at: Instant| at >= Instant::ORIGIN + FROM && at < Instant::ORIGIN + TO;
        let good = || report.calls.iter().filter(|call| call.is_good() && during(call.at()));
        let refused = || report.between(FROM, TO).filter(|call| !call.is_good());
        let is_bad = |call: &&Ended| !call.is_good() || call.lasted > Duration::from_millis(150);
        Self {
            good: good().count() as f64 / (TO - FROM).as_secs_f64(),
            p50: quantile(good(), 0.5),
            p99: quantile(good(), 0.99),
            refused: refused().count(),
            refused_p99: quantile(refused(), 0.99),
            bad_after: report.between(TO + seconds(1), seconds(60)).filter(is_bad).count(),
            limit: report.limit_at(FROM + seconds(3)),
        }
    }
}

/// The table of the decision record.
#[test]
#[ignore = "prints"]
fn print_the_figures_of_all_rules() {
    for (name, rule) in Adaptive::ALL {
        for exponential in [true, false] {
            println!("{name}, exponential {exponential}: {:?}", Figures::of(&play(&surge(rule, exponential))));
        }
    }
}

#[test]
fn a_surge_of_twice_the_capacity_costs_refusals_and_nobodys_time() {
    for exponential in [true, false] {
        let figures = Figures::of(&play(&surge(Adaptive::Gradient, exponential)));
        assert!(figures.good >= 0.95 * CAPACITY, "{figures:?}");
        assert!(figures.p99 < Duration::from_millis(300), "{figures:?}");
        assert!(figures.refused > 20_000, "{figures:?}");
        assert!(figures.refused_p99 < Duration::from_millis(60), "{figures:?}");
        assert_eq!(figures.bad_after, 0, "{figures:?}");
        assert!((64..300).contains(&figures.limit), "{figures:?}");
    }
}

#[test]
fn without_it_everybody_waits() {
    for exponential in [true, false] {
        let figures = Figures::of(&play(&surge(Adaptive::Off, exponential)));
        assert!(figures.p50 > Duration::from_millis(300), "{figures:?}");
    }
}

/// One instance of four, in calm, also when a surge before has left a low limit behind.
#[test]
fn a_bad_instance_is_no_overload() {
    let late = |millis| Health::Late(Duration::from_millis(millis));
    for health in [Health::Killed, Health::Hung, late(1_500), late(200), Health::Sick] {
        for rates in [vec![(Duration::ZERO, 1_000)], surge(Adaptive::Gradient, true).rates] {
            let faults = vec![(seconds(17), 0, health), (seconds(27), 0, Health::Well)];
            let report = play(&Scenario { rates, faults, lasts: seconds(32), ..Scenario::default() });
            let shed = report.between(seconds(16), seconds(40)).filter(|call| !call.is_good()).count();
            assert_eq!(shed, 0, "{health:?}, limit {}", report.limit_at(seconds(30)));
        }
    }
}

/// All of them, at three quarters of what they can do: what is lost in the outage is lost, and then it is over.
#[test]
fn after_an_outage_the_limit_is_back_at_once() {
    for health in [Health::Killed, Health::Hung, Health::Sick] {
        let mut scenario = Scenario { rates: vec![(Duration::ZERO, 2_400)], ..Scenario::default() };
        (scenario.settings.breaker, scenario.settings.outlier) = (None, None);
        scenario.faults = (0..4).flat_map(|n| [(seconds(5), n, health), (seconds(12), n, Health::Well)]).collect();
        let report = play(&scenario);
        let bad = report.between(seconds(13), seconds(20)).filter(|call| !call.is_good()).count();
        assert_eq!(bad, 0, "{health:?}: limit {}", report.limit_at(seconds(13)));
    }
}

/// A release takes 30 ms for what took 10 before, under a load that needs most of the limit.
#[test]
fn a_service_that_becomes_slower_is_not_starved() {
    let fast = Scenario {
        slots: 200,
        exponential: false,
        rates: vec![(Duration::ZERO, 1_000), (seconds(2), 6_000), (seconds(4), 12_000)],
        faults: (0..4).map(|n| (seconds(6), n, Health::Late(Duration::from_millis(40)))).collect(),
        lasts: seconds(12),
        ..Scenario::default()
    };
    let report = play(&fast);
    let after = || report.between(seconds(7), seconds(12));
    let refused = after().filter(|call| !call.is_good()).count();
    assert!(refused * 100 < after().count(), "{refused} of {} refused", after().count());
}

/// Every fifth call is critical, half of them are normal, the others can be shed.
fn mixed(call: u64) -> Priority {
    match call % 10 {
        0 | 1 => Priority::Critical,
        2..=6 => Priority::Normal,
        _ => Priority::Sheddable,
    }
}

#[test]
fn what_matters_less_is_shed_first_and_who_matters_most_not_at_all() {
    let report = play(&Scenario { priority: mixed, ..surge(Adaptive::Gradient, true) });
    let share = |priority| {
        let calls = || report.between(FROM, TO).filter(move |call| call.priority == priority);
        calls().filter(|call| call.is_good()).count() * 1000 / calls().count()
    };
    let (critical, normal, sheddable) =
        (share(Priority::Critical), share(Priority::Normal), share(Priority::Sheddable));
    assert!(critical >= 995, "{critical} {normal} {sheddable}");
    assert!((500..700).contains(&normal), "{critical} {normal} {sheddable}");
    assert!(sheddable < 100, "{critical} {normal} {sheddable}");
    let critical = report.between(FROM, TO).filter(|call| call.priority == Priority::Critical && call.is_good());
    assert!(quantile(critical, 0.99) < Duration::from_millis(200));
}

/// Callers that wait for 60 ms: without a limit, nearly everything that the instances do is for somebody who has left.
#[test]
fn who_has_no_time_for_an_answer_takes_no_permit_from_those_who_have() {
    let in_time = |adaptive| {
        let report = play(&Scenario { deadline: Duration::from_millis(60), ..surge(adaptive, true) });
        let during = || report.between(FROM + seconds(1), TO);
        let hopeless = during().filter(|call| call.answer == Err(Refusal::Hopeless)).count();
        (during().filter(|call| call.is_good()).count() as f64 / 9.0, hopeless)
    };
    let (with, without) = (in_time(Adaptive::Gradient), in_time(Adaptive::Off));
    assert!(with.0 > 0.5 * CAPACITY && with.1 > 10_000, "{with:?}");
    assert!(without.0 < 0.1 * CAPACITY, "{without:?}");
}

#[test]
fn who_is_refused_is_told_to_come_back_and_not_all_at_once() {
    let report = play(&surge(Adaptive::Gradient, true));
    let told = |seconds| {
        let refused = report.between(FROM, TO).filter(|call| !call.is_good());
        refused.filter(|call| call.retry_after == Some(Duration::from_secs(seconds))).count()
    };
    let (one, two, three) = (told(1), told(2), told(3));
    assert!(one.abs_diff(two) < 1_000 && one > 10_000 && three == 0, "{one} {two} {three}");
}
