//! Panic, backups, and what an operator takes out.

use super::*;

#[test]
fn below_the_panic_share_health_is_ignored_and_above_it_not() {
    let mut world = World::new(4, &checked());
    for slot in 0..2 {
        (0..3).for_each(|_| world.check(slot, fail(Failure::Timeout)));
    }
    assert_eq!(world.shares(4), [0, 0, 2, 2], "half is enough");
    (0..3).for_each(|_| world.check(2, fail(Failure::Timeout)));
    let choice = world.get();
    assert!(choice.panic);
    assert_eq!(world.shares(8), [2, 2, 2, 2]);
    world.check(2, PASS);
    assert!(!world.get().panic);
    let panics = world.events().into_iter().filter(|event| matches!(event, FleetEvent::Panic { .. }));
    assert_eq!(panics.collect::<Vec<_>>(), [FleetEvent::Panic { on: true }, FleetEvent::Panic { on: false }]);
}

#[test]
fn what_an_operator_takes_out_gets_nothing_even_in_panic_and_does_not_cause_it() {
    let mut world = World::new(4, &checked());
    (0..3).for_each(|slot| world.order(slot, Order::Draining));
    assert_eq!(world.shares(4), [0, 0, 0, 4]);
    assert!(!world.get().panic, "one of one that is left");
    (0..3).for_each(|_| world.check(3, fail(Failure::Refused)));
    assert!(world.get().panic);
    assert_eq!(world.shares(4), [0, 0, 0, 4]);
    world.order(3, Order::Ejected);
    assert_eq!(world.ask(0, true, &[]), Err(NoEndpoint::Empty));
    assert_eq!((world.state(0), world.state(3)), (EndpointState::Draining, EndpointState::Ejected));
    world.order(0, Order::Ready);
    assert_eq!(world.shares(2), [2, 0, 0, 0]);
}

#[test]
fn an_operator_who_restores_is_believed_until_the_next_failed_check() {
    let mut world = World::new(3, &checked());
    (0..3).for_each(|_| world.check(0, fail(Failure::Status(500))));
    world.order(0, Order::Ready);
    assert_eq!(world.state(0), EndpointState::Ready);
    world.check(0, fail(Failure::Status(500)));
    assert_eq!(world.state(0), EndpointState::Ejected);
}

#[test]
fn backups_wait_until_too_few_primaries_are_left() {
    let mut world = World::of(&[spec(0), spec(1), spec(2), backup(3)], &checked());
    (0..3).for_each(|_| world.check(0, fail(Failure::Refused)));
    assert_eq!(world.shares(6), [0, 3, 3, 0]);
    (0..3).for_each(|_| world.check(1, fail(Failure::Refused)));
    assert_eq!(world.shares(6), [0, 0, 3, 3], "a third is less than half");
    (0..3).for_each(|_| world.check(2, fail(Failure::Refused)));
    let choice = world.get();
    assert!(!choice.panic, "the backups are a whole group of their own");
    assert_eq!(choice.endpoint.slot, 3);
    (0..3).for_each(|_| world.check(3, fail(Failure::Refused)));
    assert!(world.get().panic);
}

#[test]
fn in_panic_the_endpoints_whose_time_is_over_are_probed_by_any_call() {
    let settings = ServiceSettings {
        outlier: Some(OutlierSettings { max_ejected: Ratio::ONE, ..OutlierSettings::default() }),
        ..plain()
    };
    let mut world = World::new(2, &settings);
    for _ in 0..10 {
        let choice = world.post();
        world.end(choice, BAD);
    }
    assert_eq!((world.state(0), world.state(1)), (EndpointState::Ejected, EndpointState::Ejected));
    let early = world.post();
    assert!(early.panic && !early.probe);
    world.end(early, GOOD);
    world.wait(Duration::from_secs(2));
    let any = world.post();
    assert!(any.probe && any.panic);
    world.end(any, GOOD);
    assert!(!world.post().probe, "half are usable now, so only calls that can be repeated are risked");
    let repeatable = world.get();
    assert!(repeatable.probe);
    world.end(repeatable, GOOD);
    assert_eq!((world.state(0), world.state(1)), (EndpointState::Ready, EndpointState::Ready));
}
