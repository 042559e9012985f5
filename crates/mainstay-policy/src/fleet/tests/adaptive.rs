//! The default rule, where nobody is ejected.

use super::*;

fn world(count: u16) -> World {
    // Nobody is ejected here: the balancer must do without.
    World::new(count, &ServiceSettings { outlier: None, slow_start: None, ..ServiceSettings::default() })
}

/// A second of `rate` calls, each 10 ms long except at slot 0, where `bad` says how it ends; the calls there.
fn a_second(world: &mut World, rate: u64, bad: Option<(u64, Report)>) -> u32 {
    let mut running: VecDeque<(Instant, Choice, Report)> = VecDeque::new();
    let mut there = 0;
    for _ in 0..rate {
        world.wait(Duration::from_nanos(1_000_000_000 / rate));
        let due: Vec<_> = running.iter().filter(|(end, ..)| *end <= world.now).copied().collect();
        running.retain(|(end, ..)| *end > world.now);
        due.into_iter().for_each(|(_, choice, report)| world.end(choice, report));
        let choice = world.get();
        let (length, report) = match bad.filter(|_| choice.endpoint.slot == 0) {
            Some((millis, report)) => (Duration::from_millis(millis), report),
            None => (Duration::from_millis(10), GOOD),
        };
        there += u32::from(choice.endpoint.slot == 0);
        running.push_back((world.now + length, choice, report));
    }
    running.into_iter().for_each(|(_, choice, report)| world.end(choice, report));
    there
}

#[test]
fn equals_share_equally() {
    let mut world = world(4);
    let there = a_second(&mut world, 1_000, None);
    assert!((200..300).contains(&there), "{there}");
}

#[test]
fn an_instance_that_fails_at_once_attracts_nothing() {
    let mut world = world(4);
    a_second(&mut world, 1_000, None);
    let there = a_second(&mut world, 1_000, Some((1, BAD)));
    assert!(there < 10, "{there} of 1,000");
}

#[test]
fn a_call_that_cannot_be_repeated_goes_where_none_was_lost_lately() {
    let mut world = World::new(4, &ServiceSettings { slow_start: None, ..ServiceSettings::default() });
    a_second(&mut world, 1_000, None);
    world.at(0, BAD);
    let mut posts = 0;
    // Long enough for an ejection, its end and a probe that goes well.
    for n in 0..9_000 {
        world.wait(Duration::from_millis(1));
        let choice = if n % 20 == 0 { world.post() } else { world.get() };
        posts += u32::from(n % 20 == 0 && choice.endpoint.slot == 0);
        world.end(choice, if choice.endpoint.slot == 0 && n % 2 == 0 { BAD } else { GOOD });
    }
    assert_eq!(posts, 0, "of 450");
    assert!(world.fleet.view(world.now)[0].successes > 3, "others were let back in between");
    world.wait(Duration::from_secs(60));
    a_second(&mut world, 1_000, None);
    let running: Vec<_> = (0..100).map(|_| world.post()).collect();
    let there = running.iter().filter(|choice| choice.endpoint.slot == 0).count();
    assert!((15..35).contains(&there), "what is long ago counts no more: {there} of 100");
}

#[test]
fn a_hung_instance_is_left_alone_within_a_few_calls() {
    let mut world = world(4);
    a_second(&mut world, 1_000, None);
    let there = a_second(&mut world, 1_000, Some((5_000, BAD)));
    assert!(there < 20, "{there} of 1,000");
}

#[test]
fn a_limping_instance_gets_what_it_can_do() {
    let mut world = world(4);
    a_second(&mut world, 1_000, None);
    let slow = Report::Good { latency: Duration::from_millis(200) };
    let there = a_second(&mut world, 1_000, Some((200, slow)));
    assert!(there < 30, "{there} of 1,000");
}

#[test]
fn one_stray_failure_exiles_nobody() {
    let mut world = world(4);
    a_second(&mut world, 1_000, None);
    world.at(0, BAD);
    (0..4).for_each(|_| {
        a_second(&mut world, 1_000, None);
    });
    let there = a_second(&mut world, 1_000, None);
    assert!(there > 150, "{there} of 1,000");
}

#[test]
fn a_new_endpoint_begins_as_the_median_one() {
    let mut world = world(3);
    a_second(&mut world, 1_000, None);
    world.fleet.update(world.now, &[spec(0), spec(1), spec(2), spec(3)]);
    let mut there = 0;
    for _ in 0..400 {
        let choice = world.get();
        there += u32::from(choice.endpoint.slot == 3);
        world.wait(Duration::from_millis(1));
        world.end(choice, GOOD);
    }
    assert!(there > 50, "{there} of 400");
    let median = world.fleet.median_latency().unwrap();
    assert!((9..=11).contains(&median.as_millis()), "{median}");
}
