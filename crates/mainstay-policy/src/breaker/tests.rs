use mainstay_core::{Duration, Instant, Ratio};
use proptest::prelude::*;

use super::*;

/// A breaker with a clock that moves by hand.
struct Story {
    breaker: Breaker,
    now: Instant,
}

impl Story {
    /// At least ten calls in 10 s, half of them failed; open for 1 s, then 2 s, 4 s at most; three probes.
    fn settings() -> BreakerSettings {
        BreakerSettings {
            minimum_calls: 10,
            open_max: Duration::from_secs(4),
            half_open_calls: 3,
            ..BreakerSettings::default()
        }
    }

    fn new(settings: &BreakerSettings) -> Self {
        Self { breaker: Breaker::new(Some(settings)), now: Instant::ORIGIN + Duration::from_secs(100) }
    }

    fn usual() -> Self {
        Self::new(&Self::settings())
    }

    fn wait(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    fn state(&mut self) -> BreakerState {
        self.breaker.state(self.now)
    }

    fn admit(&mut self) -> BreakerPermit {
        self.breaker.admit(self.now).unwrap()
    }

    fn refusal(&mut self) -> BreakerRefusal {
        self.breaker.admit(self.now).unwrap_err()
    }

    fn record(&mut self, permit: BreakerPermit, outcome: CallOutcome) {
        self.breaker.record(self.now, permit, outcome, Duration::from_millis(5));
    }

    fn calls(&mut self, number: u32, outcome: CallOutcome) {
        for _ in 0..number {
            let permit = self.admit();
            self.record(permit, outcome);
        }
    }

    fn trip(&mut self) {
        self.calls(10, CallOutcome::Failed);
        assert!(matches!(self.state(), BreakerState::Open { .. }));
    }

    fn causes(&mut self) -> Vec<BreakerCause> {
        std::iter::from_fn(|| self.breaker.poll_event()).map(|event| event.why).collect()
    }

    fn open_for(&mut self) -> Duration {
        match self.state() {
            BreakerState::Open { until } => until.since(self.now),
            state => panic!("not open: {state:?}"),
        }
    }
}

#[test]
fn it_opens_when_half_of_enough_calls_failed() {
    let mut story = Story::usual();
    story.calls(5, CallOutcome::Good);
    story.calls(4, CallOutcome::Failed);
    assert_eq!(story.state(), BreakerState::Closed, "nine calls are too few to judge");
    story.calls(1, CallOutcome::Failed);
    assert_eq!(story.refusal(), BreakerRefusal { retry_after: Duration::from_secs(1), forced: false });
    let figures = BreakerFigures { calls: 10, failed: 5, slow: 0 };
    assert_eq!(story.causes(), [BreakerCause::FailureRate(figures)]);
}

#[test]
fn a_rate_of_nothing_is_reached_by_one_failure_and_not_by_none() {
    let mut story = Story::new(&BreakerSettings { failure_rate: Some(Ratio::ZERO), ..Story::settings() });
    story.calls(100, CallOutcome::Good);
    assert_eq!(story.state(), BreakerState::Closed);
    story.calls(1, CallOutcome::Failed);
    story.wait(1_000);
    story.calls(3, CallOutcome::Good);
    assert_eq!(story.state(), BreakerState::Closed);
}

#[test]
fn it_stays_closed_under_the_rate() {
    let mut story = Story::usual();
    for _ in 0..1_000 {
        story.calls(3, CallOutcome::Good);
        story.calls(2, CallOutcome::Failed);
        story.wait(20);
    }
    assert_eq!(story.state(), BreakerState::Closed);
}

#[test]
fn it_does_not_open_after_an_outage_that_is_over() {
    let mut story = Story::new(&BreakerSettings { failure_rate: Some(Ratio::percent(60)), ..Story::settings() });
    for outcome in [CallOutcome::Good, CallOutcome::Failed] {
        for _ in 0..50 {
            story.calls(10, outcome);
            story.wait(100);
        }
    }
    // The good calls from before the outage leave the window as fast as new ones come.
    story.calls(16, CallOutcome::Good);
    story.wait(2_000);
    story.calls(3, CallOutcome::Good);
    story.calls(1, CallOutcome::Failed);
    assert_eq!(story.breaker.outcomes.totals(story.now), (219, 501), "seven in ten of the window failed");
    assert_eq!(story.state(), BreakerState::Closed, "and yet all is well");
    story.calls(9, CallOutcome::Failed);
    assert!(matches!(story.state(), BreakerState::Open { .. }), "a second outage is believed");
}

#[test]
fn failures_of_long_ago_do_not_count() {
    let mut story = Story::usual();
    story.calls(9, CallOutcome::Failed);
    story.wait(11_000);
    story.calls(9, CallOutcome::Failed);
    assert_eq!(story.state(), BreakerState::Closed);
}

#[test]
fn our_own_refusals_and_callers_who_leave_do_not_count() {
    let mut story = Story::usual();
    story.calls(1_000, CallOutcome::Nothing);
    story.calls(9, CallOutcome::Failed);
    assert_eq!(story.state(), BreakerState::Closed);
}

#[test]
fn slow_calls_open_it_though_they_are_good() {
    let slow_call = Some(Duration::from_secs(1));
    let mut story = Story::new(&BreakerSettings { slow_call, slow_rate: Ratio::percent(80), ..Story::settings() });
    for (number, millis) in [(2, 999), (7, 3_000)] {
        for _ in 0..number {
            let permit = story.admit();
            story.breaker.record(story.now, permit, CallOutcome::Good, Duration::from_millis(millis));
        }
    }
    assert_eq!(story.state(), BreakerState::Closed);
    let permit = story.admit();
    story.breaker.record(story.now, permit, CallOutcome::Good, Duration::from_secs(1));
    assert_eq!(story.causes(), [BreakerCause::SlowRate(BreakerFigures { calls: 10, failed: 0, slow: 8 })]);
}

#[test]
fn good_probes_close_it_and_what_was_before_is_forgotten() {
    let mut story = Story::usual();
    story.trip();
    story.wait(1_000);
    assert_eq!(story.state(), BreakerState::HalfOpen);
    let permits = [story.admit(), story.admit(), story.admit()];
    assert!(permits.iter().all(|permit| permit.probe()));
    assert_eq!(story.refusal().retry_after, Duration::from_millis(100), "all probes are out");
    for permit in permits {
        story.record(permit, CallOutcome::Good);
    }
    assert_eq!(story.state(), BreakerState::Closed);
    story.calls(9, CallOutcome::Failed);
    assert_eq!(story.state(), BreakerState::Closed, "nine calls are too few again");
}

#[test]
fn a_long_outage_keeps_nobody_outside_for_longer_than_a_short_one() {
    let mut story = Story::usual();
    story.trip();
    for _ in 0..30 {
        assert_eq!(story.open_for(), Duration::from_secs(1));
        story.wait(1_000);
        story.calls(2, CallOutcome::Failed);
    }
    story.wait(1_000);
    story.calls(2, CallOutcome::Good);
    assert_eq!(story.state(), BreakerState::Closed);
}

#[test]
fn a_service_that_the_load_brings_down_again_and_again_rests_twice_as_long_up_to_the_longest() {
    let mut story = Story::usual();
    story.trip();
    for seconds in [1, 2, 4, 4] {
        assert_eq!(story.open_for(), Duration::from_secs(seconds));
        story.wait(seconds * 1_000);
        story.calls(2, CallOutcome::Failed);
        assert_eq!(story.open_for(), Duration::from_secs(seconds), "what the probes find is no relapse");
        story.wait(seconds * 1_000);
        story.calls(2, CallOutcome::Good);
        story.trip();
    }
}

#[test]
fn a_relapse_soon_after_closing_doubles_and_one_after_a_quiet_window_does_not() {
    let mut story = Story::usual();
    story.trip();
    story.wait(1_000);
    story.calls(2, CallOutcome::Good);
    story.wait(3_000);
    story.trip();
    assert_eq!(story.open_for(), Duration::from_secs(2));
    story.wait(2_000);
    story.calls(2, CallOutcome::Good);
    story.wait(10_000);
    story.trip();
    assert_eq!(story.open_for(), Duration::from_secs(1));
}

#[test]
fn a_probe_that_hangs_keeps_nobody_outside() {
    let mut story = Story::usual();
    story.trip();
    story.wait(1_000);
    let hanging = story.admit();
    story.calls(1, CallOutcome::Good);
    assert_eq!(story.state(), BreakerState::HalfOpen, "one good and two unknown: undecided");
    story.calls(1, CallOutcome::Good);
    assert_eq!(story.state(), BreakerState::Closed, "whatever the third brings, two of three are good");
    story.record(hanging, CallOutcome::Failed);
    story.calls(9, CallOutcome::Good);
    assert_eq!(story.state(), BreakerState::Closed);
}

#[test]
fn a_probe_whose_caller_left_makes_room_for_another() {
    let mut story = Story::usual();
    story.trip();
    story.wait(1_000);
    for _ in 0..100 {
        let permits = [story.admit(), story.admit(), story.admit()];
        story.refusal();
        for permit in permits {
            story.record(permit, CallOutcome::Nothing);
        }
    }
    assert_eq!(story.state(), BreakerState::HalfOpen);
    story.calls(2, CallOutcome::Good);
    assert_eq!(story.state(), BreakerState::Closed);
}

#[test]
fn calls_that_began_in_an_earlier_state_count_no_more() {
    let mut story = Story::usual();
    let early: Vec<_> = (0..50).map(|_| story.admit()).collect();
    story.trip();
    story.wait(1_000);
    assert_eq!(story.state(), BreakerState::HalfOpen);
    for permit in &early[..25] {
        story.record(*permit, CallOutcome::Failed);
    }
    assert_eq!(story.state(), BreakerState::HalfOpen);
    story.calls(2, CallOutcome::Good);
    for permit in &early[25..] {
        story.record(*permit, CallOutcome::Failed);
    }
    assert_eq!(story.state(), BreakerState::Closed);
}

#[test]
fn a_passing_check_lets_probes_through_at_once() {
    let mut story = Story::usual();
    story.breaker.check_passed(story.now);
    assert_eq!(story.state(), BreakerState::Closed, "nothing to do for a closed one");
    story.trip();
    story.causes();
    story.breaker.check_passed(story.now);
    story.calls(2, CallOutcome::Good);
    assert_eq!(story.state(), BreakerState::Closed);
    let figures = BreakerFigures { calls: 2, failed: 0, slow: 0 };
    assert_eq!(story.causes(), [BreakerCause::CheckPassed, BreakerCause::ProbesPassed(figures)]);
}

#[test]
fn an_operator_stands_above_everything() {
    let mut story = Story::usual();
    story.breaker.order(story.now, BreakerOrder::Open);
    story.breaker.check_passed(story.now);
    story.wait(3_600_000);
    assert!(story.refusal().forced);
    assert_eq!(story.state(), BreakerState::ForcedOpen);

    story.breaker.order(story.now, BreakerOrder::Closed);
    story.calls(1_000, CallOutcome::Failed);
    assert_eq!(story.state(), BreakerState::ForcedClosed);

    let under_order = story.admit();
    story.breaker.order(story.now, BreakerOrder::Auto);
    story.record(under_order, CallOutcome::Failed);
    story.calls(9, CallOutcome::Failed);
    assert_eq!(story.state(), BreakerState::Closed, "it begins with nothing counted");
    assert_eq!(story.causes(), [BreakerCause::Ordered; 3]);
}

#[test]
fn an_order_that_stands_already_changes_nothing() {
    let mut story = Story::usual();
    story.trip();
    story.breaker.order(story.now, BreakerOrder::Auto);
    assert_eq!(story.open_for(), Duration::from_secs(1));
}

#[test]
fn one_that_is_off_admits_and_still_obeys() {
    let now = Instant::ORIGIN;
    let mut breaker = Breaker::new(None);
    for _ in 0..1_000 {
        let permit = breaker.admit(now).unwrap();
        breaker.record(now, permit, CallOutcome::Failed, Duration::ZERO);
    }
    breaker.order(now, BreakerOrder::Open);
    assert!(breaker.admit(now).is_err());
}

#[test]
fn other_settings_keep_what_was_learned() {
    let mut story = Story::usual();
    story.calls(9, CallOutcome::Failed);
    story.breaker.configure(story.now, Some(&BreakerSettings { window: Duration::from_secs(20), ..Story::settings() }));
    story.calls(1, CallOutcome::Failed);
    assert_eq!(story.open_for(), Duration::from_secs(1), "the nine still counted");

    let half = Duration::from_millis(500);
    story.breaker.configure(story.now, Some(&BreakerSettings { open_max: half, ..Story::settings() }));
    assert_eq!(story.open_for(), half);

    story.breaker.configure(story.now, None);
    assert_eq!(story.state(), BreakerState::Closed);
}

#[test]
fn fewer_probes_by_a_reload_do_not_leave_it_half_open() {
    let mut story = Story::new(&BreakerSettings { half_open_calls: 5, ..Story::settings() });
    story.trip();
    story.wait(1_000);
    story.calls(2, CallOutcome::Good);
    story.calls(1, CallOutcome::Failed);
    assert_eq!(story.state(), BreakerState::HalfOpen);
    story.breaker.configure(story.now, Some(&BreakerSettings { half_open_calls: 1, ..Story::settings() }));
    assert_eq!(story.state(), BreakerState::Closed);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Admit,
    Record(usize, CallOutcome),
    Wait(u64),
    Check,
    Order(BreakerOrder),
    Reload(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![Just(CallOutcome::Good), Just(CallOutcome::Failed), Just(CallOutcome::Nothing)];
    let order = prop_oneof![Just(BreakerOrder::Open), Just(BreakerOrder::Closed), Just(BreakerOrder::Auto)];
    prop_oneof![
        20 => Just(Step::Admit),
        20 => (any::<usize>(), outcome).prop_map(|(which, outcome)| Step::Record(which, outcome)),
        4 => (0u64..3_000).prop_map(Step::Wait),
        1 => Just(Step::Check),
        1 => order.prop_map(Step::Order),
        1 => (1u32..6).prop_map(Step::Reload),
    ]
}

proptest! {
    /// Law: whatever happened, once all permits are back and the order is lifted, good calls close it within the
    /// longest time of opening.
    #[test]
    fn it_always_recovers(steps in prop::collection::vec(step(), 0..300)) {
        let mut story = Story::usual();
        let mut out = Vec::new();
        for step in steps {
            match step {
                Step::Admit => out.extend(story.breaker.admit(story.now)),
                Step::Record(which, outcome) if !out.is_empty() => {
                    let permit = out.swap_remove(which % out.len());
                    story.record(permit, outcome);
                }
                Step::Record(..) => {}
                Step::Wait(millis) => story.wait(millis),
                Step::Check => story.breaker.check_passed(story.now),
                Step::Order(order) => story.breaker.order(story.now, order),
                Step::Reload(half_open_calls) => {
                    let settings = BreakerSettings { half_open_calls, ..Story::settings() };
                    story.breaker.configure(story.now, Some(&settings));
                }
            }
            let probes = out.iter().filter(|permit| permit.probe && permit.generation == story.breaker.generation);
            prop_assert!(probes.count() <= 5, "never more probes than wanted");
        }
        for permit in out {
            story.record(permit, CallOutcome::Nothing);
        }
        story.breaker.order(story.now, BreakerOrder::Auto);
        story.wait(4_000);
        // Enough to outweigh failed probes of before: at worst they open it once more.
        for _ in 0..2 {
            for _ in 0..5 {
                if let Ok(permit) = story.breaker.admit(story.now) {
                    story.record(permit, CallOutcome::Good);
                }
            }
            if story.state() != BreakerState::Closed {
                story.wait(4_000);
            }
        }
        prop_assert_eq!(story.state(), BreakerState::Closed);
    }
}
