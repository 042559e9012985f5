//! What workers tell each other.

use super::*;

fn two() -> (World, World) {
    (World::new(4, &plain()), World::new(4, &plain()))
}

fn tell(from: &mut World, to: &mut World) {
    let delta = from.fleet.take_delta();
    to.fleet.merge(to.now, &delta);
}

#[test]
fn what_one_worker_ejects_and_restores_the_other_does_too() {
    let (mut one, mut two) = two();
    (0..5).for_each(|_| one.at(2, BAD));
    tell(&mut one, &mut two);
    assert_eq!(two.cause(2), one.cause(2));
    assert_eq!(two.fleet.view(two.now)[2].until, one.fleet.view(one.now)[2].until);
    for world in [&mut one, &mut two] {
        world.wait(Duration::from_secs(2));
    }
    one.at(2, GOOD);
    tell(&mut one, &mut two);
    assert_eq!(two.state(2), EndpointState::Ready);
}

#[test]
fn news_does_not_go_round_in_circles() {
    let (mut one, mut two) = two();
    (0..5).for_each(|_| one.at(2, BAD));
    tell(&mut one, &mut two);
    assert!(
        two.fleet.take_delta().is_empty() || {
            let before = one.fleet.view(one.now);
            tell(&mut two, &mut one);
            before == one.fleet.view(one.now)
        }
    );
    assert!(one.fleet.take_delta().is_empty(), "what was told is told once");
}

#[test]
fn an_ejection_from_elsewhere_is_capped_too() {
    let (mut one, mut two) = two();
    for slot in [0, 1] {
        (0..5).for_each(|_| one.at(slot, BAD));
    }
    (0..5).for_each(|_| two.at(2, BAD));
    tell(&mut one, &mut two);
    let out = (0..4).filter(|slot| two.state(*slot) == EndpointState::Ejected).count();
    assert_eq!(out, 2);
}

#[test]
fn attempts_elsewhere_count_against_the_limit_and_end() {
    let mut settings = plain();
    settings.bulkhead.per_endpoint = Limit::At(1);
    let (mut one, mut two) = (World::new(1, &settings), World::new(1, &settings));
    let choice = one.get();
    tell(&mut one, &mut two);
    assert_eq!(two.ask(0, true, &[]), Err(NoEndpoint::AllBusy));
    one.end(choice, GOOD);
    tell(&mut one, &mut two);
    assert!(two.ask(0, true, &[]).is_ok());
}

#[test]
fn rates_are_rates_of_all_workers() {
    let (mut one, mut two) = two();
    for _ in 0..8 {
        one.at(1, BAD);
        one.at(1, GOOD);
    }
    tell(&mut one, &mut two);
    two.at(1, BAD);
    two.at(1, GOOD);
    assert_eq!(two.state(1), EndpointState::Ready, "eighteen calls are too few");
    two.at(1, BAD);
    two.at(1, GOOD);
    two.at(1, BAD);
    assert_eq!(two.cause(1), Some(Cause::FailureRate { failed: 11, calls: 21 }));
}
