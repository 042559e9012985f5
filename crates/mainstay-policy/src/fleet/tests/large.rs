//! A fleet of thousands: what a choice costs, and what changes of state may cost.

use super::*;

const MANY: u16 = 10_000;

fn large(count: u16) -> World {
    World::new(count, &ServiceSettings::default())
}

#[test]
fn who_is_ejected_gets_no_call_although_the_candidates_are_gathered_later() {
    let mut world = World::new(300, &plain());
    world.shares(300);
    let gathered = world.fleet.candidates.len();
    (0..5).for_each(|_| world.at(7, BAD));
    assert_eq!((world.state(7), world.fleet.candidates.len()), (EndpointState::Ejected, gathered));
    assert_eq!(world.shares(900)[7], 0);
    world.wait(Duration::from_millis(2));
    world.get();
    assert_eq!(world.fleet.candidates.len(), gathered - 1);
}

#[test]
fn a_drain_of_all_but_one_is_followed_at_once() {
    let mut world = World::new(300, &plain());
    world.shares(300);
    (0..299).for_each(|slot| world.order(slot, Order::Draining));
    assert_eq!(world.shares(10)[299], 10);
    world.order(299, Order::Draining);
    assert_eq!(world.ask(0, true, &[]), Err(NoEndpoint::Empty));
    world.order(3, Order::Ready);
    assert_eq!(world.get().endpoint.slot, 3, "nobody is left but who came back");
}

/// Calls, with one in `change` of them changing a state, a call each 50 microseconds.
fn play(world: &mut World, calls: u32, change: u32) {
    for n in 0..calls {
        let choice = world.get();
        world.end(choice, GOOD);
        world.wait(Duration::from_micros(50));
        if change > 0 && n % change == 0 {
            let turn = n / change;
            let slot = (turn / 2).wrapping_mul(7919) % world.fleet.endpoints.slots() as u32;
            world.order(slot, if turn.is_multiple_of(2) { Order::Ejected } else { Order::Ready });
        }
    }
}

#[test]
fn a_state_that_changes_with_every_call_is_not_gathered_with_every_call() {
    let mut world = large(MANY);
    play(&mut world, 10, 0);
    let mut gathered = 0;
    for n in 0..2_000 {
        let before = world.fleet.rests_until;
        play(&mut world, 1, 1);
        gathered += u32::from(world.fleet.rests_until != before);
        world.order(n, Order::Ejected);
    }
    assert!(gathered <= 3, "{gathered} times in 100 ms");
}

/// For callgrind: `CALLS`, `ENDPOINTS` and `CHANGE` (a change of state each so many calls, 0 for none) from outside.
#[test]
#[ignore = "a measurement; bench/README.md has the command"]
#[expect(clippy::disallowed_methods, reason = "the one who measures says what")]
fn calls_for_callgrind() {
    let from = |name: &str, usual: u32| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let mut world = large(u16::try_from(from("ENDPOINTS", 4)).unwrap());
    play(&mut world, from("CALLS", 20_000), from("CHANGE", 0));
}
