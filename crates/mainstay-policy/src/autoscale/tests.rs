//! The decision beside cases worked out by hand: those of the Kubernetes documentation, and what is not known.

use super::*;

/// In seconds from the beginning.
fn at(second: u64) -> Instant {
    Instant::ORIGIN + Duration::from_secs(second)
}

/// All of them told, in tenths of the target each.
fn seen(instances: u32, tenths: u32) -> Seen {
    Seen { told: instances, sum: f64::from(instances * tenths) / 10.0, ..Seen::default() }
}

/// Every default, by calls that are there: one each.
fn settings() -> AutoscaleSettings {
    AutoscaleSettings { measure: Measure::Concurrency, target: 1.0, ..AutoscaleSettings::up_to(10_000) }
}

fn at_once(settings: AutoscaleSettings) -> AutoscaleSettings {
    let down = ScaleDown { window: Duration::ZERO, ..settings.down };
    AutoscaleSettings { down, ..settings }
}

/// The numbers that come about when nothing is known to be enough (or anything is too much), every 15 s.
fn course(settings: AutoscaleSettings, from: u32, tenths: u32, seconds: u64) -> Vec<u32> {
    let mut autoscaler = Autoscaler::new(settings);
    let mut current = from;
    let mut all = vec![from];
    for second in (0..seconds).step_by(15) {
        let wanted = autoscaler.decide(at(second), &seen(current, tenths)).wanted;
        if wanted != current {
            all.push(wanted);
        }
        current = wanted;
    }
    all
}

#[test]
fn as_many_as_bring_each_to_its_target() {
    for (instances, tenths, wanted) in [
        // 200m where 100m is the target doubles, 50m halves.
        (4, 20, 8),
        (4, 5, 2),
        (3, 15, 5),
        // Less than a tenth off is nothing, and a tenth neither.
        (10, 10, 10),
        (100, 11, 100),
        (100, 9, 100),
        (100, 12, 120),
        (100, 8, 80),
        // Seven tenths of ten is seven, not eight for what doubles lose.
        (10, 7, 7),
        (10, 0, 1),
    ] {
        let scaling = Autoscaler::new(at_once(settings())).decide(at(0), &seen(instances, tenths));
        assert_eq!(scaling.wanted, wanted, "{instances} at {tenths} tenths: {scaling:?}");
    }
}

#[test]
fn what_is_not_known_makes_a_change_smaller() {
    let told = |told, sum, silent, starting| Seen { told, sum, silent, starting };
    let on_target = ScaleReason::OnTarget;
    for (seen, wanted, why) in [
        // Two at 60 % where 30 % is sought, and one that starts: (0 + 2 + 2) / 3, so 4 and not 6.
        (told(2, 4.0, 0, 1), 4, ScaleReason::Measure),
        // One at a third too much and two that start: they will be too many.
        (told(1, 1.33, 0, 2), 3, on_target),
        // Two at 1.45 and two that say nothing: less than enough if they did nothing.
        (told(2, 2.9, 2, 0), 4, on_target),
        (told(2, 6.0, 2, 0), 6, ScaleReason::Measure),
        // Two at half and two that say nothing are taken for 0.5 + 0.5 + 1 + 1.
        (told(2, 1.0, 2, 0), 3, ScaleReason::Measure),
        (told(4, 3.8, 4, 0), 8, on_target),
        // What starts is not waited for when fewer suffice.
        (told(4, 2.0, 0, 2), 2, ScaleReason::Measure),
        // Of nobody is anything known: metrics that vanish take nobody away.
        (told(0, 0.0, 5, 0), 5, ScaleReason::Unseen),
        (told(0, 0.0, 0, 3), 3, ScaleReason::Unseen),
    ] {
        let scaling = Autoscaler::new(at_once(settings())).decide(at(0), &seen);
        assert_eq!(scaling, Scaling { wanted, why }, "{seen:?}");
    }
}

#[test]
fn by_default_it_doubles_or_adds_four_every_quarter_of_a_minute() {
    assert_eq!(course(AutoscaleSettings { max: 100, ..settings() }, 1, 1000, 90), [1, 5, 10, 20, 40, 80, 100]);
    let slower = Duration::from_secs(60);
    let up = ScaleUp { period: slower, ..ScaleUp::default() };
    assert_eq!(course(AutoscaleSettings { up, ..settings() }, 10, 1000, 120), [10, 20, 40]);
}

/// The examples of the documentation's section on scaling behavior.
#[test]
fn steps_are_those_of_the_documentation() {
    let minute = Duration::from_secs(60);
    let down = |share: Option<u8>, count| {
        let down = ScaleDown { share: share.map(Ratio::percent), count, period: minute, window: Duration::ZERO };
        AutoscaleSettings { down, ..settings() }
    };
    let up = |factor, count| AutoscaleSettings {
        up: ScaleUp { factor, count, period: minute, window: Duration::ZERO },
        max: 1_000,
        ..settings()
    };
    // A tenth a minute of 80: 72, then 7.2, which is 8: 64.
    assert_eq!(course(down(Some(10), None), 80, 0, 180), [80, 72, 64, 57]);
    // Whichever is more; under 40 that is 4.
    assert_eq!(course(down(Some(10), Some(4)), 50, 0, 300), [50, 45, 40, 36, 32, 28]);
    assert_eq!(course(down(None, Some(1)), 4, 0, 240), [4, 3, 2, 1]);
    assert_eq!(course(down(None, None), 80, 0, 600), [80]);
    assert_eq!(course(up(Some(10.0), None), 1, 1000, 240), [1, 10, 100, 1_000]);
    assert_eq!(course(up(None, Some(1)), 1, 1000, 180), [1, 2, 3, 4]);
    assert_eq!(course(up(None, None), 1, 1000, 180), [1]);
}

#[test]
fn nothing_is_taken_away_for_five_minutes_after_it_was_wanted() {
    let mut autoscaler = Autoscaler::new(settings());
    let mut wants = |second, instances, tenths| autoscaler.decide(at(second), &seen(instances, tenths));
    assert_eq!(wants(0, 4, 20).wanted, 8);
    for second in (15..300).step_by(15) {
        assert_eq!(wants(second, 8, 2), Scaling { wanted: 8, why: ScaleReason::Window }, "{second}");
    }
    assert_eq!(wants(300, 8, 2).wanted, 2);
}

#[test]
fn a_new_one_takes_nothing_away_before_it_has_watched_for_a_window() {
    let mut autoscaler = Autoscaler::new(settings());
    assert_eq!(autoscaler.decide(at(0), &seen(8, 1)).wanted, 8);
    assert_eq!(autoscaler.decide(at(299), &seen(8, 1)).wanted, 8);
    assert_eq!(autoscaler.decide(at(300), &seen(8, 1)).wanted, 1);
}

#[test]
fn a_window_for_more_lets_a_short_peak_pass() {
    let up = ScaleUp { window: Duration::from_secs(60), ..ScaleUp::default() };
    let mut autoscaler = Autoscaler::new(AutoscaleSettings { up, ..settings() });
    let mut wants = |second, tenths| autoscaler.decide(at(second), &seen(4, tenths)).wanted;
    assert_eq!([wants(0, 10), wants(15, 20), wants(30, 10), wants(45, 20), wants(60, 20), wants(75, 20)], [4; 6]);
    assert_eq!(wants(90, 20), 8);
}

#[test]
fn after_a_change_it_waits_for_as_long_as_it_is_told() {
    let cooldown = Some(Duration::from_secs(40));
    let mut autoscaler = Autoscaler::new(AutoscaleSettings { cooldown, ..settings() });
    assert_eq!(autoscaler.decide(at(0), &seen(4, 20)).wanted, 8);
    assert_eq!(autoscaler.decide(at(15), &seen(8, 20)), Scaling { wanted: 8, why: ScaleReason::Cooldown });
    assert_eq!(autoscaler.decide(at(40), &seen(8, 20)).wanted, 16);
}

#[test]
fn bounds_hold_whatever_is_seen() {
    let bounded = AutoscaleSettings { min: 3, max: 6, ..settings() };
    let decided = |seen| Autoscaler::new(at_once(bounded)).decide(at(0), &seen);
    assert_eq!(decided(seen(4, 1000)), Scaling { wanted: 6, why: ScaleReason::Bounds });
    assert_eq!(decided(seen(4, 0)), Scaling { wanted: 3, why: ScaleReason::Bounds });
    assert_eq!(decided(Seen::default()).wanted, 3, "from nothing, with nothing known");
    assert_eq!(decided(seen(9, 10)), Scaling { wanted: 6, why: ScaleReason::Bounds });
}

#[test]
fn what_it_remembers_is_bounded() {
    let restless = AutoscaleSettings {
        min: 1,
        max: 50,
        up: ScaleUp { period: Duration::from_secs(3_600), window: Duration::from_secs(3_600), ..ScaleUp::default() },
        ..settings()
    };
    let mut autoscaler = Autoscaler::new(restless);
    let mut current = 10;
    for second in 0..20_000 {
        let tenths = (second * 7_919 % 41) as u32;
        current = autoscaler.decide(at(second), &seen(current, tenths)).wanted;
        assert!((1..=50).contains(&current));
        assert!(autoscaler.changes.len() <= CHANGES_MAX);
        assert!(autoscaler.least.best.len() <= 50 && autoscaler.most.best.len() <= 50);
    }
}
