use super::*;

const TENTH: Duration = Duration::from_millis(100);

/// A window of a hundred attempts.
fn reading(millis: f64, in_flight: f64, peak: u32) -> Reading {
    Reading { latency: millis * 1e6, in_flight, peak, samples: 100, given_up: 0 }
}

fn new(rule: Adaptive) -> Concurrency {
    Concurrency::new(rule, Limit::At(1024))
}

/// The limit after each reading.
fn limits(concurrency: &mut Concurrency, readings: &[Reading]) -> Vec<u32> {
    let limit = |reading| {
        concurrency.learn(TENTH, reading);
        concurrency.limit()
    };
    readings.iter().map(limit).collect()
}

/// It knows that answers take 10 ms, and its limit is `limit`.
fn used_to_10_ms(limit: f64) -> Concurrency {
    let mut concurrency = new(Adaptive::Gradient);
    concurrency.learn(TENTH, &reading(10.0, 5.0, 5));
    concurrency.limit = limit;
    concurrency
}

#[test]
fn the_gradient_goes_half_way_to_what_is_carried_in_the_tolerated_time() {
    // 10 ms are usual, so 30 ms are tolerated; 600 in flight at 300 ms are 60 in 30 ms, and the slack is 4 × √limit.
    let mut surge = used_to_10_ms(1024.0);
    let full = reading(300.0, 600.0, 1024);
    assert_eq!(limits(&mut surge, &[full]), [606], "1024 + (60 + 128 - 1024) / 2");
    assert_eq!(limits(&mut surge, &[full]), [382], "606 + (60 + 98.5 - 606) / 2");
    // 100 ms are usual, so 200 ms are tolerated.
    let mut slow = new(Adaptive::Gradient);
    assert_eq!(limits(&mut slow, &[reading(100.0, 5.0, 5), reading(400.0, 1024.0, 1024)]), [1024, 832]);
}

#[test]
fn a_limit_that_is_used_grows_while_answers_are_quick_enough() {
    let mut quick = used_to_10_ms(100.0);
    let busy = reading(29.9, 120.0, 120);
    assert_eq!(limits(&mut quick, &[busy, busy, busy]), [140, 187, 242], "by 4 × √limit each");
    let mut ten = used_to_10_ms(1000.0);
    assert_eq!(limits(&mut ten, &[reading(10.0, 900.0, 900)]), [1024], "never past the ceiling");
}

#[test]
fn a_limit_that_is_not_half_used_does_not_change() {
    let mut calm = used_to_10_ms(400.0);
    let idle = [reading(10.0, 1.0, 199), reading(900.0, 10.0, 199), reading(2.0, 1.0, 1)];
    assert_eq!(limits(&mut calm, &idle), [400, 400, 400]);
    assert_eq!(limits(&mut calm, &[reading(900.0, 200.0, 200)]), [243]);
}

#[test]
fn it_does_not_fall_below_64_unless_the_ceiling_is_lower() {
    let mut worst = used_to_10_ms(70.0);
    assert_eq!(limits(&mut worst, &[reading(5_000.0, 64.0, 64); 9]), [64; 9]);
    let mut small = Concurrency::new(Adaptive::Gradient, Limit::At(20));
    assert_eq!(limits(&mut small, &[reading(10.0, 5.0, 5), reading(900.0, 20.0, 20)]), [20, 20]);
}

#[test]
fn twenty_milliseconds_are_no_overload_for_a_fast_service() {
    let mut fast = new(Adaptive::Gradient);
    let busy = reading(20.0, 900.0, 900);
    assert_eq!(limits(&mut fast, &[reading(0.2, 5.0, 5), busy, busy]), [1024; 3]);
    assert_eq!(limits(&mut fast, &[reading(30.3, 900.0, 900)]), [876], "but 30 ms are");
}

/// A new version takes ten times as long, however few are in flight.
#[test]
fn a_service_that_became_slow_by_itself_is_not_starved() {
    let mut changed = used_to_10_ms(1024.0);
    let at = |concurrency: &Concurrency| f64::from(concurrency.limit());
    let mut lowest = u32::MAX;
    for _ in 0..20 {
        let in_flight = at(&changed).min(900.0);
        changed.learn(TENTH, &reading(100.0, in_flight, in_flight as u32));
        lowest = lowest.min(changed.limit());
    }
    assert!(lowest > 300, "it was tried with fewer for a moment: {lowest}");
    assert!(changed.limit() > 700, "and was let grow again: {}", changed.limit());
}

/// The same when the limit cannot fall any more: a look upwards tells.
#[test]
fn a_limit_at_its_floor_comes_back_when_more_in_flight_make_nobody_slower() {
    let mut changed = used_to_10_ms(64.0);
    let after = (1..100).find(|_| {
        let in_flight = f64::from(changed.limit());
        changed.learn(TENTH, &reading(100.0, in_flight, in_flight as u32));
        changed.limit() > 200
    });
    assert!(after.is_some_and(|windows| windows <= 35), "within 3.5 s: {after:?}");
}

/// A service that does 3,200 a second: what is in flight beyond that only waits.
#[test]
fn an_overload_that_lasts_ten_minutes_does_not_lift_the_limit() {
    let mut saturated = used_to_10_ms(1024.0);
    for window in 0..6_000 {
        let in_flight = f64::from(saturated.limit());
        // A few per cent of noise, as the median of some hundred samples has.
        let noise = 1.0 + f64::from(window * 7 % 11 - 5) / 100.0;
        let latency = in_flight / 3.2 * noise;
        saturated.learn(TENTH, &reading(latency.max(10.0), in_flight, in_flight as u32));
        assert!(window < 20 || saturated.limit() < 300, "{window}: {}", saturated.limit());
    }
}

/// Everything hangs for a while: no time is known but that of the timeout.
#[test]
fn what_was_given_up_lowers_the_limit_and_teaches_no_latency() {
    let mut hung = used_to_10_ms(1024.0);
    let usual = hung.usual;
    let blind = Reading { given_up: 50, ..reading(5_000.0, 1_000.0, 1_024) };
    assert_eq!(limits(&mut hung, &[blind; 9]).last(), Some(&64));
    assert_eq!(hung.usual, usual);
    let after: Vec<u32> = limits(&mut hung, &[reading(12.0, 60.0, 64); 5]);
    assert_eq!(after, [96, 135, 135, 135, 135], "it grows as far as it is used");
}

#[test]
fn the_usual_latency_falls_in_seconds_and_rises_in_minutes() {
    let mut learning = used_to_10_ms(1024.0);
    let usual = |concurrency: &Concurrency| (concurrency.usual.unwrap() / 1e5).round() / 10.0;
    limits(&mut learning, &[reading(20.0, 1.0, 1); 20]);
    assert_eq!(usual(&learning), 10.3);
    limits(&mut learning, &[reading(20.0, 1.0, 1); 580]);
    assert_eq!(usual(&learning), 16.3, "a minute");
    limits(&mut learning, &[reading(10.0, 1.0, 1); 60]);
    assert_eq!(usual(&learning), 10.3, "six seconds");
}

#[test]
fn aimd_adds_one_and_takes_a_tenth() {
    let mut aimd = new(Adaptive::Aimd);
    let blind = Reading { given_up: 50, ..reading(5_000.0, 1_000.0, 1_024) };
    assert_eq!(limits(&mut aimd, &[blind, blind]), [921, 829]);
    let busy = reading(300.0, 500.0, 500);
    assert_eq!(limits(&mut aimd, &[busy, busy, reading(10.0, 9.0, 9)]), [830, 831, 831]);
    let some = Reading { given_up: 49, ..busy };
    assert_eq!(limits(&mut aimd, &[some]), [832], "less than half is one bad endpoint");
}

#[test]
fn vegas_keeps_a_short_queue() {
    let mut vegas = new(Adaptive::Vegas);
    assert_eq!(limits(&mut vegas, &[reading(10.0, 600.0, 600)]), [1024], "the shortest latency, so no queue");
    vegas.limit = 500.0;
    // The queue is ⌈limit × (1 - 10 / latency)⌉; the step is 2.
    assert_eq!(limits(&mut vegas, &[reading(10.01, 400.0, 400)]), [512], "1: six steps up");
    assert_eq!(limits(&mut vegas, &[reading(10.05, 400.0, 400)]), [514], "3: one step up");
    assert_eq!(limits(&mut vegas, &[reading(10.15, 400.0, 400)]), [514], "8: just right");
    assert_eq!(limits(&mut vegas, &[reading(10.30, 400.0, 400)]), [512], "15: one step down");
    assert_eq!(limits(&mut vegas, &[reading(100.0, 200.0, 200)]), [512], "not half used");
    let blind = Reading { given_up: 99, ..reading(5_000.0, 400.0, 400) };
    assert_eq!(limits(&mut vegas, &[blind]), [510]);
}

#[test]
fn the_median_of_a_window_is_within_a_few_per_cent() {
    for micros in [20, 137, 999, 10_000, 123_456, 4_000_000] {
        let mut samples = Samples::default();
        for n in 0..101 {
            samples.add(3, Sample::Answered(Duration::from_micros(micros * (50 + n) / 100)));
        }
        let got = samples.median() / 1e3;
        assert!((got / micros as f64 - 1.0).abs() < 0.05, "{micros}: {got}");
    }
    let mut samples = Samples::default();
    samples.add(1, Sample::GivenUp(Duration::MAX));
    samples.add(1, Sample::Answered(Duration::ZERO));
    assert!(samples.median() > 0.0);
}

/// One endpoint of four limps by 1.5 s and gets a fifth of the calls.
#[test]
fn a_limping_endpoint_does_not_move_the_median() {
    let mut samples = Samples::default();
    for n in 0..100 {
        let millis = if n % 5 == 0 { 1_500 } else { 10 };
        samples.add(20, Sample::Answered(Duration::from_millis(millis)));
    }
    let Reading { latency, in_flight, .. } = samples.reading();
    assert!((9e6..11e6).contains(&latency), "{latency}");
    assert_eq!(in_flight, 20.0);
}

fn at(millis: u64) -> Instant {
    Instant::ORIGIN + Duration::from_millis(millis)
}

fn some(count: u32, millis: u64, peak: u32) -> Samples {
    let mut samples = Samples::default();
    (0..count).for_each(|_| samples.add(peak, Sample::Answered(Duration::from_millis(millis))));
    samples.saw(peak);
    samples
}

#[test]
fn the_samples_of_all_workers_make_one_window() {
    let mut node = used_to_10_ms(1024.0);
    node.gather(at(0), &mut some(30, 300, 600));
    node.gather(at(60), &mut some(10, 300, 600));
    assert_eq!(node.limit(), 1024);
    node.gather(at(100), &mut some(9, 300, 600));
    assert_eq!(node.limit(), 1024, "one sample more would fill it");
    node.gather(at(120), &mut some(1, 300, 600));
    assert!(node.limit() < 700, "{}", node.limit());
}

#[test]
fn a_window_of_few_samples_lasts_longer_and_one_of_hardly_any_says_nothing() {
    let mut node = used_to_10_ms(128.0);
    node.gather(at(0), &mut some(9, 3_000, 100));
    node.gather(at(1_000), &mut some(0, 0, 100));
    assert_eq!(node.limit(), 128);
    node.gather(at(1_500), &mut some(9, 3_000, 100));
    node.gather(at(2_000), &mut some(1, 3_000, 100));
    assert!(node.limit() < 128);
}

#[test]
fn a_reload_keeps_what_was_learned_under_the_new_ceiling() {
    let mut node = used_to_10_ms(300.0);
    node.configure(Adaptive::Gradient, Limit::At(2_000));
    assert_eq!(node.limit(), 300);
    node.configure(Adaptive::Gradient, Limit::At(100));
    assert_eq!(node.limit(), 100);
    node.configure(Adaptive::Gradient, Limit::At(500));
    assert_eq!(node.limit(), 500, "a limit that was the ceiling goes with it");
    node.configure(Adaptive::Off, Limit::At(5_000));
    assert_eq!(node.limit(), 5_000);
    node.configure(Adaptive::Gradient, Limit::Unlimited);
    assert_eq!(node.limit(), 1_024);
    node.configure(Adaptive::Off, Limit::Unlimited);
    assert_eq!(node.limit(), u32::MAX);
}
