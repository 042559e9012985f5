//! Ejection for how an endpoint answers, and the way back.

use super::*;

#[test]
fn five_failures_in_a_row_eject_and_a_good_answer_between_them_does_not() {
    let mut world = World::new(4, &plain());
    for _ in 0..4 {
        world.at(1, BAD);
    }
    world.at(1, GOOD);
    for _ in 0..4 {
        world.at(1, BAD);
        assert_eq!(world.state(1), EndpointState::Ready);
    }
    world.at(1, BAD);
    assert_eq!(world.state(1), EndpointState::Ejected);
    assert_eq!(world.cause(1), Some(Cause::ConsecutiveFailures(Failure::Status(503))));
    assert_eq!(world.shares(30)[1], 0);
    let ejected = world.events();
    assert!(
        matches!(ejected[..], [FleetEvent::Ejected { until: Some(until), .. }]
        if until == world.now + Duration::from_secs(2)),
        "{ejected:?}"
    );
}

#[test]
fn half_of_the_calls_failing_ejects_although_never_five_in_a_row() {
    let mut world = World::new(4, &plain());
    for _ in 0..9 {
        world.at(2, BAD);
        world.at(2, GOOD);
    }
    world.at(2, GOOD);
    assert_eq!(world.state(2), EndpointState::Ready, "not twenty calls yet");
    world.at(2, BAD);
    assert_eq!(world.cause(2), Some(Cause::FailureRate { failed: 10, calls: 20 }));
}

#[test]
fn answers_that_break_off_after_their_head_are_failures_too() {
    let mut world = World::new(2, &plain());
    for _ in 0..5 {
        let (a, b) = (world.get(), world.get());
        for choice in [a, b] {
            world.fleet.report(world.now, choice, GOOD);
            world.fleet.finish(world.now, choice, choice.endpoint.slot != 1);
        }
    }
    assert_eq!(world.cause(1), Some(Cause::ConsecutiveFailures(Failure::Reset)));
    let seen = &world.fleet.view(world.now)[1];
    assert_eq!((seen.successes, seen.failures), (0, 5), "each attempt counts once");
}

#[test]
fn a_good_probe_brings_it_back_and_a_bad_one_doubles_the_time() {
    let mut world = World::new(3, &plain());
    (0..5).for_each(|_| world.at(0, BAD));
    for seconds in [2, 4, 8, 16, 32, 60, 60] {
        let until = world.fleet.view(world.now)[0].until.unwrap();
        assert_eq!(until, world.now + Duration::from_secs(seconds));
        world.now = until;
        assert_eq!(world.state(0), EndpointState::Probing);
        let probe = world.get();
        assert!(probe.probe && probe.endpoint.slot == 0);
        world.end(probe, BAD);
        assert_eq!(world.cause(0), Some(Cause::Probe(Failure::Status(503))));
    }
    world.wait(Duration::from_secs(60));
    world.events();
    let probe = world.get();
    world.end(probe, GOOD);
    assert_eq!(world.state(0), EndpointState::Ready);
    assert_eq!(world.shares(30), [10, 10, 10]);
    assert!(matches!(
        world.events()[..],
        [FleetEvent::Probing { .. }, FleetEvent::Restored { by: Recovery::Probe, .. }]
    ));
}

#[test]
fn a_quiet_time_takes_the_doublings_back() {
    let mut world = World::new(3, &plain());
    let mut lengths = Vec::new();
    for quiet in [0, 0, 60, 180] {
        world.wait(Duration::from_secs(quiet));
        (0..5).for_each(|_| world.at(0, BAD));
        let until = world.fleet.view(world.now)[0].until.unwrap();
        lengths.push(until.since(world.now).as_millis() / 1_000);
        world.now = until;
        let probe = world.get();
        world.end(probe, GOOD);
    }
    assert_eq!(lengths, [2, 4, 4, 2], "each quiet minute takes one back");
}

#[test]
fn one_call_at_a_time_is_risked_and_only_one_that_can_be_repeated() {
    let mut world = World::new(3, &plain());
    (0..5).for_each(|_| world.at(0, BAD));
    world.wait(Duration::from_secs(2));
    assert!(!world.post().probe, "a POST is not risked while others are usable");
    let retried = world.ask(1, true, &[]).unwrap();
    assert!(!retried.probe, "nor a call that has failed once already");
    assert!(world.get().probe);
    assert!((0..20).all(|_| world.get().endpoint.slot != 0), "the probe is under way");
}

#[test]
fn a_service_that_only_knows_post_gets_its_endpoint_back() {
    let mut world = World::new(2, &plain());
    (0..5).for_each(|_| world.at(0, BAD));
    world.wait(Duration::from_secs(3));
    assert!(!world.post().probe);
    world.wait(Duration::from_secs(1));
    let probe = world.post();
    assert!(probe.probe, "as long again as the ejection lasted");
    world.end(probe, GOOD);
    assert_eq!(world.state(0), EndpointState::Ready);
}

#[test]
fn a_probe_that_nobody_hears_of_again_gives_its_place_back() {
    let mut world = World::new(2, &plain());
    (0..5).for_each(|_| world.at(0, BAD));
    world.wait(Duration::from_secs(2));
    let (given_up, vanished) = (world.get(), world.get());
    assert!(given_up.probe && !vanished.probe);
    world.fleet.report(world.now, given_up, Report::Nothing);
    let vanished = world.get();
    assert!(vanished.probe, "the place is free as soon as the outcome will not come");
    world.fleet.finish(world.now, given_up, true);
    assert!(!world.get().probe, "and is not given back twice");
    world.fleet.finish(world.now, vanished, true);
    assert!(world.get().probe, "an attempt that ends unreported frees it too");
}

#[test]
fn a_probe_whose_answer_still_streams_does_not_hold_up_the_next() {
    let mut world = World::new(2, &plain());
    (0..5).for_each(|_| world.at(0, BAD));
    world.wait(Duration::from_secs(2));
    let streaming = world.get();
    world.fleet.report(world.now, streaming, GOOD);
    (0..5).for_each(|_| world.at(0, BAD));
    world.wait(Duration::from_secs(4));
    assert!(world.get().probe);
    world.fleet.finish(world.now, streaming, true);
    assert!(!world.get().probe, "the end of the stream does not free the second probe's place");
}

#[test]
fn nothing_is_learned_from_what_we_gave_up_ourselves() {
    let mut world = World::new(2, &plain());
    (0..100).for_each(|_| world.at(0, Report::Nothing));
    assert_eq!(world.state(0), EndpointState::Ready);
    let seen = &world.fleet.view(world.now)[0];
    assert_eq!((seen.successes, seen.failures, seen.in_flight), (0, 0, 0));
}

#[test]
fn never_more_than_half_are_ejected_but_one_of_two_may_be() {
    let mut world = World::new(5, &plain());
    for slot in [0, 1, 2, 3] {
        for _ in 0..8 {
            if world.state(slot) == EndpointState::Ready {
                world.at(slot, BAD);
            }
        }
    }
    let out = (0..5).filter(|slot| world.state(*slot) == EndpointState::Ejected).count();
    assert_eq!(out, 2);

    let small = ServiceSettings {
        outlier: Some(OutlierSettings { max_ejected: Ratio::percent(10), ..OutlierSettings::default() }),
        ..plain()
    };
    let mut world = World::new(2, &small);
    (0..5).for_each(|_| world.at(0, BAD));
    (0..50).for_each(|_| world.at(1, BAD));
    assert_eq!((world.state(0), world.state(1)), (EndpointState::Ejected, EndpointState::Ready));
}

#[test]
fn a_single_endpoint_is_never_ejected_and_is_retried_on_itself() {
    let mut world = World::new(1, &plain());
    (0..50).for_each(|_| world.at(0, BAD));
    assert_eq!(world.state(0), EndpointState::Ready);
    let first = world.get();
    let again = world.ask(1, true, &[first.endpoint]).unwrap();
    assert_eq!(first.endpoint, again.endpoint);
    assert!(!world.fleet.has_other(world.now, &[first.endpoint]));
}

#[test]
fn attempts_that_hung_with_the_old_process_do_not_eject_the_new_one() {
    let mut world = World::new(3, &plain());
    let hung: Vec<_> = (0..45).map(|_| world.get()).filter(|choice| choice.endpoint.slot == 0).collect();
    let late = |length| Report::Failed { failure: Failure::Timeout, certainty: Certainty::Unknown, latency: length };
    world.wait(Duration::from_secs(1));
    hung[..5].iter().for_each(|choice| world.end(*choice, late(Duration::from_secs(1))));
    assert_eq!(world.state(0), EndpointState::Ejected);
    world.wait(Duration::from_secs(2));
    world.at(0, GOOD);
    world.wait(Duration::from_secs(1));
    hung[5..].iter().for_each(|choice| world.end(*choice, late(Duration::from_secs(4))));
    assert_eq!(world.state(0), EndpointState::Ready);
    (0..5).for_each(|_| world.at(0, BAD));
    assert_eq!(world.state(0), EndpointState::Ejected, "what it does now counts");
}

#[test]
fn with_ejection_off_nothing_is_ejected_and_switching_it_off_restores() {
    let mut world = World::new(3, &plain());
    (0..5).for_each(|_| world.at(0, BAD));
    let off = ServiceSettings { outlier: None, ..plain() };
    world.events();
    world.fleet.configure(world.now, &off);
    assert!(matches!(world.events()[..], [FleetEvent::Restored { by: Recovery::Configuration, .. }]));
    (0..50).for_each(|_| world.at(0, BAD));
    assert_eq!(world.state(0), EndpointState::Ready);
}
