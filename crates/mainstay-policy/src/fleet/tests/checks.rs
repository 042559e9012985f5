//! Active checks.

use super::*;

#[test]
fn three_failed_checks_eject_and_two_passes_restore() {
    let mut world = World::new(3, &checked());
    world.check(0, PASS);
    world.check(0, fail(Failure::Status(500)));
    world.check(0, fail(Failure::Timeout));
    assert_eq!(world.state(0), EndpointState::Ready);
    world.check(0, fail(Failure::Timeout));
    assert_eq!(world.cause(0), Some(Cause::Check(Failure::Timeout.into())));
    assert_eq!(world.shares(20)[0], 0);
    world.wait(Duration::from_secs(600));
    assert_eq!(world.state(0), EndpointState::Ejected, "time alone does not heal it");
    world.check(0, PASS);
    assert_eq!(world.state(0), EndpointState::Ejected);
    world.check(0, PASS);
    assert_eq!(world.state(0), EndpointState::Ready);
    let told: Vec<_> = world.events().iter().map(word).collect();
    assert_eq!(told, ["passed", "failed", "ejected", "passed", "restored"]);
}

fn word(event: &FleetEvent) -> &'static str {
    match event {
        FleetEvent::Ejected { .. } => "ejected",
        FleetEvent::Probing { .. } => "probing",
        FleetEvent::Restored { .. } => "restored",
        FleetEvent::CheckFailed { .. } => "failed",
        FleetEvent::CheckPassed { .. } => "passed",
        FleetEvent::Limping { .. } => "limping",
        FleetEvent::Draining { .. } => "draining",
        FleetEvent::Panic { .. } => "panic",
    }
}

#[test]
fn a_process_that_came_back_needs_one_pass() {
    let mut world = World::new(3, &checked());
    world.check(0, PASS);
    (0..3).for_each(|_| world.check(0, fail(Failure::Refused)));
    world.check(0, PASS);
    assert_eq!(world.state(0), EndpointState::Ready);
}

#[test]
fn the_first_pass_of_all_is_enough() {
    let mut world = World::new(3, &checked());
    assert_eq!(world.state(0), EndpointState::Ready, "until its first check it counts as well");
    (0..3).for_each(|_| world.check(0, fail(Failure::Status(503))));
    assert_eq!(world.state(0), EndpointState::Ejected);
    world.check(0, PASS);
    assert_eq!(world.state(0), EndpointState::Ready);
}

#[test]
fn a_refused_endpoint_is_back_with_the_first_passing_check() {
    let mut world = World::new(4, &checked());
    (0..2).for_each(|_| world.check(0, PASS));
    (0..5).for_each(|_| world.at(0, REFUSED));
    assert_eq!(world.cause(0), Some(Cause::ConsecutiveFailures(Failure::Refused)));
    world.check(0, fail(Failure::Refused));
    world.check(0, PASS);
    assert_eq!(world.state(0), EndpointState::Ready, "two seconds have not passed");
}

#[test]
fn an_endpoint_that_answers_badly_is_not_back_for_passing_its_checks() {
    let mut world = World::new(4, &checked());
    (0..4).for_each(|_| world.at(0, REFUSED));
    world.at(0, BAD);
    (0..10).for_each(|_| world.check(0, PASS));
    assert_eq!(world.state(0), EndpointState::Ejected);
    world.wait(Duration::from_secs(2));
    assert_eq!(world.state(0), EndpointState::Probing);
    world.at(0, GOOD);
    assert_eq!(world.state(0), EndpointState::Ready);
}

#[test]
fn what_a_process_answered_badly_is_not_held_against_its_successor() {
    let mut world = World::new(4, &checked());
    world.check(0, PASS);
    (0..5).for_each(|_| world.at(0, BAD));
    (0..3).for_each(|_| world.check(0, fail(Failure::Refused)));
    world.check(0, PASS);
    assert_eq!(world.state(0), EndpointState::Ready);
}

#[test]
fn checks_are_not_capped() {
    let mut world = World::new(4, &ServiceSettings { panic: Ratio::ZERO, ..checked() });
    for slot in 0..4 {
        (0..3).for_each(|_| world.check(slot, fail(Failure::Refused)));
    }
    assert_eq!(world.ask(0, true, &[]), Err(NoEndpoint::AllEjected));
}

#[test]
fn checks_that_are_switched_off_hold_nobody_back() {
    let mut world = World::new(3, &checked());
    (0..3).for_each(|_| world.check(0, fail(Failure::Refused)));
    world.fleet.configure(world.now, &plain());
    assert_eq!(world.shares(3), [1, 1, 1]);
    (0..3).for_each(|_| world.check(0, fail(Failure::Refused)));
    assert_eq!(world.state(0), EndpointState::Ready, "a late result means nothing");
}
