//! Calls that stay in their zone, and those that leave it.

use super::*;

const CALLS: u32 = 12_000;

fn in_zone(port: u16, zone: &str, weight: u32) -> EndpointSpec {
    EndpointSpec { zone: zone.into(), weight, ..spec(port) }
}

fn at_home(balance: Balance) -> ServiceSettings {
    ServiceSettings { balance, zone: "a".into(), panic: Ratio::percent(20), ..plain() }
}

/// One endpoint for each letter, in that zone; a dot is one whose zone is not told.
fn world(zones: &str, settings: &ServiceSettings) -> World {
    let name = |letter: char| if letter == '.' { String::new() } else { letter.to_string() };
    let specs: Vec<_> = zones.chars().enumerate().map(|(n, zone)| in_zone(n as u16, &name(zone), 1)).collect();
    World::of(&specs, settings)
}

/// The share in hundredths of each endpoint.
fn shares(world: &mut World) -> Vec<u32> {
    world.shares(CALLS).into_iter().map(|calls| (calls * 100 + CALLS / 2) / CALLS).collect()
}

/// Six standard deviations of such a share are under three hundredths.
fn assert_near(shares: &[u32], want: &[u32]) {
    let is_near = |(share, want): (&u32, &u32)| share.abs_diff(*want) <= if *want == 0 { 0 } else { 3 };
    assert!(shares.len() == want.len() && shares.iter().zip(want).all(is_near), "{shares:?}, wanted {want:?}");
}

const SPREADING: [Balance; 3] = [Balance::RoundRobin, Balance::Random, Balance::LeastRequest];

#[test]
fn while_the_own_zone_carries_its_part_all_stays_there() {
    for balance in SPREADING {
        assert_near(&shares(&mut world("aabbcc", &at_home(balance))), &[50, 50, 0, 0, 0, 0]);
        // It has more than its part: others may send to it, and nothing leaves.
        assert_near(&shares(&mut world("aaabcc", &at_home(balance))), &[33, 33, 33, 0, 0, 0]);
    }
}

#[test]
fn what_a_zone_does_not_carry_goes_where_there_is_a_surplus() {
    for balance in SPREADING {
        // One of five in three zones carries 3/5 of what comes; b and c have a fifth of theirs to spare each.
        assert_near(&shares(&mut world("abbcc", &at_home(balance))), &[60, 10, 10, 10, 10]);
        // c carries no more than its own; all of the rest goes to b.
        assert_near(&shares(&mut world("abbbcc", &at_home(balance))), &[50, 17, 17, 17, 0, 0]);
        // Who tells no zone brings nothing, and takes by weight.
        assert_near(&shares(&mut world("abb.", &at_home(balance))), &[50, 0, 0, 50]);
    }
}

#[test]
fn if_every_zone_does_the_same_each_endpoint_gets_what_its_weight_says() {
    let specs: Vec<_> = [("a", 1), ("b", 3), ("b", 1), ("c", 2), ("", 2), ("c", 1)]
        .iter()
        .enumerate()
        .map(|(n, (zone, weight))| in_zone(n as u16, zone, *weight))
        .collect();
    let mut sum = [0; 6];
    for zone in ["a", "b", "c"] {
        let settings = ServiceSettings { zone: zone.into(), ..at_home(Balance::RoundRobin) };
        let shares = World::of(&specs, &settings).shares(CALLS);
        sum.iter_mut().zip(shares).for_each(|(sum, share)| *sum += share);
    }
    let hundredths: Vec<_> = sum.iter().map(|calls| (calls * 100 + 3 * CALLS / 2) / (3 * CALLS)).collect();
    assert_near(&hundredths, &[10, 30, 10, 20, 20, 10]);
}

#[test]
fn a_zone_that_is_half_ejected_keeps_half_and_one_that_is_lost_sends_everywhere() {
    let mut world = world("aabbcc", &at_home(Balance::Random));
    world.order(0, Order::Ejected);
    assert_near(&shares(&mut world), &[0, 60, 10, 10, 10, 10]);
    world.order(1, Order::Ejected);
    assert_near(&shares(&mut world), &[0, 0, 25, 25, 25, 25]);
    world.order(1, Order::Ready);
    world.order(0, Order::Ready);
    assert_near(&shares(&mut world), &[50, 50, 0, 0, 0, 0]);
}

#[test]
fn another_zone_that_is_lost_changes_nothing_at_home() {
    let mut world = world("aabbcc", &at_home(Balance::Random));
    (4..6).for_each(|slot| world.order(slot, Order::Ejected));
    assert_near(&shares(&mut world), &[50, 50, 0, 0, 0, 0]);
}

#[test]
fn zones_are_not_looked_at_where_they_say_nothing() {
    let sixth = [17; 6];
    let nowhere = ServiceSettings { zone: "".into(), ..at_home(Balance::Random) };
    assert_near(&shares(&mut world("aabbcc", &nowhere)), &sixth);
    let elsewhere = ServiceSettings { zone: "d".into(), ..at_home(Balance::Random) };
    assert_near(&shares(&mut world("aabbcc", &elsewhere)), &sixth);
    assert_near(&shares(&mut world("......", &at_home(Balance::Random))), &sixth);
    assert_near(&shares(&mut world("aaa...", &at_home(Balance::Random))), &sixth);
    for balance in [Balance::RingHash, Balance::Maglev] {
        let shares = shares(&mut world("aabbcc", &at_home(balance)));
        assert!(shares.iter().all(|share| *share > 5), "keys keep their endpoints: {shares:?}");
    }
}

#[test]
fn in_a_panic_zones_are_forgotten() {
    let mut world = world("aabbcc", &ServiceSettings { panic: Ratio::percent(50), health: None, ..checked() });
    world.fleet.configure(world.now, &ServiceSettings { panic: Ratio::percent(50), zone: "a".into(), ..checked() });
    for slot in 2..6 {
        (0..3).for_each(|_| world.check(slot, fail(Failure::Refused)));
    }
    assert_near(&shares(&mut world), &[17; 6]);
}

#[test]
fn a_call_that_nobody_at_home_can_take_leaves_and_says_so() {
    let settings = ServiceSettings {
        bulkhead: crate::BulkheadSettings { per_endpoint: Limit::At(1), ..crate::BulkheadSettings::default() },
        ..at_home(Balance::LeastRequest)
    };
    let mut world = world("ab", &settings);
    let home = world.get();
    assert_eq!((home.endpoint.slot, home.crossing), (0, None));
    let away = world.get();
    assert_eq!((away.endpoint.slot, away.crossing), (1, Some(Crossing::Room)));
    assert_eq!(world.ask(0, true, &[]), Err(NoEndpoint::AllBusy));
}

#[test]
fn another_attempt_looks_in_every_zone() {
    let mut world = world("aaab", &ServiceSettings { panic: Ratio::ZERO, ..at_home(Balance::Random) });
    let mut away = 0;
    for _ in 0..300 {
        let first = world.get();
        let second = world.ask(1, true, &[first.endpoint]).unwrap();
        assert_eq!((first.crossing, second.crossing), (None, None));
        away += u32::from(second.endpoint.slot == 3);
        world.end(first, GOOD);
        world.end(second, GOOD);
    }
    assert!((60..140).contains(&away), "{away} of 300");
}

#[test]
fn what_leaves_says_so_and_the_others_say_what_the_own_zone_keeps() {
    let mut world = world("abbcc", &at_home(Balance::Random));
    for _ in 0..100 {
        let choice = world.get();
        let away = choice.endpoint.slot != 0;
        assert_eq!(choice.crossing, away.then_some(Crossing::Share));
        world.end(choice, GOOD);
    }
    let keeps: Vec<_> = world.fleet.view(world.now).iter().map(|view| view.zone_keeps).collect();
    assert_eq!(keeps, [None, Some(60), Some(60), Some(60), Some(60)]);
}

#[test]
fn a_cold_endpoint_at_home_is_spared_and_others_take_its_calls() {
    let settings = ServiceSettings { slow_start: Some(Duration::from_secs(10)), ..at_home(Balance::Random) };
    let mut world = world("aabb", &settings);
    assert_near(&shares(&mut world), &[50, 50, 0, 0]);
    world.order(0, Order::Ejected);
    world.order(0, Order::Ready);
    let shares = shares(&mut world);
    assert!(shares[0] < 10 && shares[1] > 80, "{shares:?}");
}
