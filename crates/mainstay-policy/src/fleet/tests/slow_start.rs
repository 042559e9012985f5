//! A growing share for whoever is new or back, and a bound on the load of a key's endpoint.

use super::*;

fn warming(balance: Balance) -> ServiceSettings {
    ServiceSettings { balance, slow_start: Some(Duration::from_secs(10)), ..plain() }
}

/// The calls of 3,000, spread over a second, that come to `slot`.
fn share(world: &mut World, slot: u32) -> u32 {
    let mut there = 0;
    for _ in 0..3_000 {
        let choice = world.get();
        there += u32::from(choice.endpoint.slot == slot);
        world.wait(Duration::from_nanos(1_000_000_000 / 3_000));
        world.end(choice, GOOD);
    }
    there
}

#[test]
fn the_share_of_a_new_endpoint_grows_from_a_tenth() {
    let rules = [Balance::RoundRobin, Balance::Random, Balance::LeastRequest, Balance::PeakEwma, Balance::Adaptive];
    for balance in rules {
        let mut world = World::new(3, &warming(balance));
        share(&mut world, 0);
        world.fleet.update(world.now, &[spec(0), spec(1), spec(2), spec(3)]);
        assert_eq!(world.fleet.view(world.now)[3].warming, None, "nothing was chosen yet");
        let first = share(&mut world, 3);
        assert_eq!(world.fleet.view(world.now)[3].warming, Some(10));
        world.wait(Duration::from_secs(4));
        let middle = share(&mut world, 3);
        world.wait(Duration::from_secs(6));
        let last = share(&mut world, 3);
        assert!((30..150).contains(&first), "{balance:?}: {first} of 750");
        assert!((250..600).contains(&middle), "{balance:?}: {middle} of 750");
        assert!((600..900).contains(&last), "{balance:?}: {last} of 750");
        assert_eq!(world.fleet.view(world.now)[3].warming, None);
    }
}

#[test]
fn all_that_are_new_together_share_at_once() {
    let mut world = World::new(4, &warming(Balance::RoundRobin));
    assert_eq!(world.shares(40), [10, 10, 10, 10]);
}

#[test]
fn who_comes_back_after_an_ejection_begins_with_little() {
    let mut world = World::new(4, &warming(Balance::Random));
    (0..5).for_each(|_| world.at(1, BAD));
    world.wait(Duration::from_secs(2));
    world.at(1, GOOD);
    assert_eq!(world.state(1), EndpointState::Ready);
    let there = share(&mut world, 1);
    assert!((30..150).contains(&there), "{there} of 750");
}

#[test]
fn after_a_total_outage_nobody_is_held_back() {
    let settings = ServiceSettings { health: Some(HealthSettings::new(Probe::Tcp)), ..warming(Balance::RoundRobin) };
    let mut world = World::new(4, &settings);
    for slot in 0..4 {
        (0..3).for_each(|_| world.check(slot, fail(Failure::Refused)));
    }
    (0..4).for_each(|slot| world.check(slot, PASS));
    assert_eq!(world.shares(40), [10, 10, 10, 10]);
}

#[test]
fn a_key_comes_back_at_once() {
    for balance in [Balance::RingHash, Balance::Maglev] {
        let mut world = World::new(4, &warming(balance));
        let before = world.shares(400);
        world.order(2, Order::Ejected);
        world.shares(10);
        world.order(2, Order::Ready);
        let after = world.shares(400);
        assert!(after[2] * 2 > before[2], "{before:?} {after:?}");
    }
}

#[test]
fn a_key_that_everybody_asks_for_spills_over() {
    for balance in [Balance::RingHash, Balance::Maglev] {
        for (hash_load, most) in [(Limit::At(125), 32), (Limit::At(200), 50), (Limit::Unlimited, 100)] {
            let mut world = World::new(4, &ServiceSettings { balance, hash_load, ..plain() });
            let ask = |call| Ask { call: CallId(call), attempt: 0, hash: 7, idempotent: true, tried: &[] };
            let mut there = [0u32; 4];
            for call in 0..100 {
                there[world.fleet.choose(world.now, &ask(call)).unwrap().endpoint.slot as usize] += 1;
            }
            assert_eq!(there.iter().max(), Some(&most), "{balance:?} {hash_load:?}: {there:?}");
        }
    }
}
