//! Success rates against each other: exact counts and what follows from them.

use super::*;

/// Nothing ejects but the comparison.
fn compared(hundredths: u32, max_ejected: Ratio) -> ServiceSettings {
    let outlier = OutlierSettings {
        consecutive_failures: None,
        failure_rate: None,
        success_rate_deviation: Some(hundredths),
        max_ejected,
        ..OutlierSettings::default()
    };
    ServiceSettings { outlier: Some(outlier), ..plain() }
}

/// Each endpoint has had so many attempts, of which so many failed, and the second is over.
fn after(attempts: u32, failed: &[u32], settings: &ServiceSettings) -> World {
    let mut world = World::new(failed.len() as u16, settings);
    world.fleet.compare(world.now);
    for round in 0..attempts {
        for _ in failed {
            let choice = world.get();
            let is_bad = round < failed[choice.endpoint.slot as usize];
            world.end(choice, if is_bad { BAD } else { GOOD });
        }
    }
    world.wait(Duration::from_secs(1));
    world.fleet.compare(world.now);
    world
}

fn out(world: &World) -> Vec<u32> {
    (0..world.fleet.endpoints.slots() as u32).filter(|slot| world.state(*slot) == EndpointState::Ejected).collect()
}

#[test]
fn the_rule_to_the_last_attempt() {
    // One of five that fails half of its attempts: the mean is 0.9, the deviation 0.2.
    let one_in_five = [0, 0, 50, 0, 0];
    let half = Ratio::percent(50);
    for (hundredths, want) in [(190, vec![2]), (199, vec![2]), (200, vec![]), (300, vec![])] {
        assert_eq!(out(&after(100, &one_in_five, &compared(hundredths, half))), want, "{hundredths}");
    }
    // Two of ten: the same mean and the same deviation.
    let two_in_ten = [50, 0, 0, 0, 0, 0, 0, 0, 0, 50];
    assert_eq!(out(&after(100, &two_in_ten, &compared(190, half))), [0, 9]);
    // Less is asked of everybody where everybody does worse: the mean is 0.71, the deviation 0.1091
    let spread = [20, 20, 20, 25, 25, 25, 25, 30, 50, 50];
    assert_eq!(out(&after(100, &spread, &compared(190, half))), [8, 9]);
    assert_eq!(out(&after(100, &spread, &compared(210, half))), [] as [u32; 0]);
}

#[test]
fn it_says_against_what_it_fell_short() {
    let world = after(100, &[0, 0, 50, 0, 0], &compared(190, Ratio::percent(50)));
    let cause = world.cause(2).unwrap();
    assert_eq!(cause, Cause::SuccessRate { failed: 50, calls: 100, least: 5_200 });
    assert_eq!(cause.to_string(), "50 of the last 100 attempts failed, and against the others 52.00 % must go well");
}

#[test]
fn too_few_endpoints_or_attempts_are_not_compared_and_equals_do_not_stand_out() {
    let half = Ratio::percent(50);
    let none: [u32; 0] = [];
    assert_eq!(out(&after(100, &[0, 0, 50, 0], &compared(100, half))), none, "four endpoints");
    assert_eq!(out(&after(99, &[0, 0, 50, 0, 0], &compared(100, half))), none, "99 attempts");
    for failed in [0, 7, 33, 100] {
        assert_eq!(out(&after(100, &[failed; 7], &compared(100, half))), none, "each fails {failed}");
    }
}

#[test]
fn max_ejected_holds_and_a_second_passes_between_two_comparisons() {
    let two_in_ten = [50, 0, 0, 0, 0, 0, 0, 0, 0, 50];
    let mut world = after(100, &two_in_ten, &compared(190, Ratio::percent(10)));
    assert_eq!(out(&world), [0], "one of ten may be out");
    world.order(0, Order::Ready);
    world.wait(Duration::from_millis(999));
    world.fleet.compare(world.now);
    assert_eq!(out(&world), [] as [u32; 0]);
    world.wait(Duration::from_millis(1));
    world.fleet.compare(world.now);
    assert_eq!(out(&world), [9], "what was restored has no attempts yet");
}

#[test]
fn what_workers_saw_together_is_compared() {
    let settings = compared(190, Ratio::percent(50));
    let mut one = World::new(5, &settings);
    let mut two = World::new(5, &settings);
    for world in [&mut one, &mut two] {
        for round in 0..50 {
            for _ in 0..5 {
                let choice = world.get();
                let is_bad = round < 25 && choice.endpoint.slot == 2;
                world.end(choice, if is_bad { BAD } else { GOOD });
            }
        }
    }
    let delta = two.fleet.take_delta();
    one.fleet.merge(one.now, &delta);
    one.fleet.compare(one.now);
    assert_eq!(out(&one), [2]);
    let delta = one.fleet.take_delta();
    two.fleet.merge(two.now, &delta);
    assert_eq!(out(&two), [2], "and who is out is out everywhere");
}
