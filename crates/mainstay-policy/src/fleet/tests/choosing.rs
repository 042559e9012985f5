//! Who is chosen.

use super::*;

#[test]
fn a_retry_goes_elsewhere_while_there_is_an_elsewhere() {
    for (_, balance) in Balance::ALL {
        let mut world = World::new(3, &ServiceSettings { balance, ..plain() });
        for _ in 0..200 {
            let first = world.get();
            let second = world.ask(1, true, &[first.endpoint]).unwrap();
            let tried = [first.endpoint, second.endpoint];
            assert!(world.fleet.has_other(world.now, &tried));
            let third = world.ask(2, true, &tried).unwrap();
            assert!(first.endpoint != second.endpoint && !tried.contains(&third.endpoint), "{balance:?}");
            let tried = [first.endpoint, second.endpoint, third.endpoint];
            let fourth = world.ask(3, true, &tried).unwrap();
            assert_ne!(fourth.endpoint, third.endpoint, "{balance:?}");
            [first, second, third, fourth].into_iter().for_each(|choice| world.end(choice, GOOD));
        }
    }
}

#[test]
fn who_is_at_its_limit_gets_nothing_more() {
    let mut settings = plain();
    settings.bulkhead.per_endpoint = Limit::At(2);
    for (_, balance) in Balance::ALL {
        let mut world = World::new(2, &ServiceSettings { balance, ..settings.clone() });
        let choices: Vec<_> = (0..4).map(|_| world.get()).collect();
        assert_eq!(world.ask(0, true, &[]), Err(NoEndpoint::AllBusy));
        world.end(choices[0], GOOD);
        let (free, full) = (choices[0].endpoint, EndpointId { slot: 1 - choices[0].endpoint.slot, generation: 0 });
        assert_eq!(world.ask(1, true, &[free]), Err(NoEndpoint::AllTried), "the other is only busy");
        assert_eq!(world.ask(1, true, &[full]).unwrap().endpoint, free);
    }
}

#[test]
fn without_endpoints_there_is_no_choice() {
    let mut world = World::new(0, &plain());
    assert_eq!(world.ask(0, true, &[]), Err(NoEndpoint::Empty));
    world.fleet.update(world.now, &[spec(1)]);
    assert!(world.ask(0, true, &[]).is_ok());
    world.fleet.update(world.now, &[]);
    assert_eq!(world.ask(0, true, &[]), Err(NoEndpoint::Empty));
}

#[test]
fn news_about_an_endpoint_that_left_changes_nothing() {
    let mut world = World::new(2, &plain());
    let old = world.get();
    world.fleet.update(world.now, &[spec(1)]);
    world.fleet.update(world.now, &[spec(1), spec(9)]);
    let before = world.fleet.view(world.now);
    world.end(old, BAD);
    world.fleet.check(world.now, old.endpoint, fail(Failure::Refused));
    world.fleet.order(world.now, old.endpoint, Order::Draining);
    assert_eq!(world.fleet.view(world.now), before);
    assert_eq!(world.fleet.address(old.endpoint), None);
}

#[test]
fn a_new_list_keeps_what_was_learned_of_those_that_stay() {
    let mut world = World::new(4, &plain());
    (0..5).for_each(|_| world.at(1, BAD));
    world.order(2, Order::Draining);
    world.fleet.update(world.now, &[spec(1), spec(2), spec(8), EndpointSpec { weight: 3, ..spec(3) }]);
    assert_eq!((world.state(1), world.state(2)), (EndpointState::Ejected, EndpointState::Draining));
    let shares = world.shares(40);
    assert_eq!((shares[0], shares[1], shares[2], shares[3]), (10, 0, 0, 30));
}

#[test]
fn every_rule_shares_by_weight() {
    let specs: Vec<_> = [1, 2, 4].iter().zip(0..).map(|(w, port)| EndpointSpec { weight: *w, ..spec(port) }).collect();
    for balance in [Balance::RoundRobin, Balance::Random, Balance::LeastRequest, Balance::PeakEwma, Balance::Adaptive] {
        let mut world = World::of(&specs, &ServiceSettings { balance, ..plain() });
        // Seventy calls run at any time; each ends after as many others have begun.
        let mut running = VecDeque::new();
        let mut shares = [0u32; 3];
        for _ in 0..14_000 {
            if running.len() == 70 {
                let oldest = running.pop_front().unwrap();
                world.end(oldest, GOOD);
            }
            let choice = world.get();
            shares[choice.endpoint.slot as usize] += 1;
            running.push_back(choice);
            world.wait(Duration::from_micros(100));
        }
        for (share, want) in shares.iter().zip([2_000, 4_000, 8_000]) {
            assert!(share.abs_diff(want) < 400, "{balance:?}: {shares:?}");
        }
    }
}

#[test]
fn the_same_luck_chooses_the_same() {
    for (_, balance) in Balance::ALL {
        let run = || {
            let mut world = World::new(7, &ServiceSettings { balance, ..plain() });
            (0..500)
                .map(|n| {
                    let choice = world.get();
                    world.end(choice, if n % 3 == 0 { BAD } else { GOOD });
                    world.wait(Duration::from_millis(1));
                    choice.endpoint.slot
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
    }
}

#[test]
fn with_a_ring_a_key_keeps_its_endpoint_and_returns_to_it() {
    let settings = ServiceSettings { balance: Balance::RingHash, ..checked() };
    let mut world = World::new(5, &settings);
    let at = |world: &mut World, hash| {
        let ask = Ask { call: CallId(1), attempt: 0, hash, idempotent: true, tried: &[] };
        let choice = world.fleet.choose(world.now, &ask).unwrap();
        world.end(choice, GOOD);
        choice.endpoint.slot
    };
    let before: Vec<_> = (0..200).map(|key| at(&mut world, key)).collect();
    (0..3).for_each(|_| world.check(3, fail(Failure::Refused)));
    for (key, before) in (0..200).zip(&before) {
        let now = at(&mut world, key);
        assert!(if *before == 3 { now != 3 } else { now == *before });
    }
    world.check(3, PASS);
    assert_eq!((0..200).map(|key| at(&mut world, key)).collect::<Vec<_>>(), before);
}
