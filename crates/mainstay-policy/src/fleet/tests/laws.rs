//! What holds whatever happens in whatever order.

use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Begin { idempotent: bool, hash: u64 },
    Report { which: prop::sample::Index, kind: u8 },
    Finish { which: prop::sample::Index, clean: bool },
    Check { slot: u32, pass: bool },
    Order { slot: u32, kind: u8 },
    Update { mask: u8 },
    Wait { millis: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (any::<bool>(), 0u64..8).prop_map(|(idempotent, hash)| Step::Begin { idempotent, hash }),
        6 => (any::<prop::sample::Index>(), 0u8..6).prop_map(|(which, kind)| Step::Report { which, kind }),
        6 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, clean)| Step::Finish { which, clean }),
        2 => (0u32..8, any::<bool>()).prop_map(|(slot, pass)| Step::Check { slot, pass }),
        1 => (0u32..8, 0u8..6).prop_map(|(slot, kind)| Step::Order { slot, kind }),
        1 => any::<u8>().prop_map(|mask| Step::Update { mask }),
        3 => (0u64..3_000).prop_map(|millis| Step::Wait { millis }),
    ];
    prop::collection::vec(step, 1..400)
}

/// What is known of a running attempt outside the fleet.
struct Open {
    choice: Choice,
    reported: Option<bool>,
}

fn report_of(kind: u8) -> Report {
    match kind {
        0 => GOOD,
        1 => REFUSED,
        2 => Report::Nothing,
        _ => BAD,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Laws, over whatever may happen in whatever order: places are neither lost nor invented; one probe at a time; never
    /// more passive ejections than allowed; the counted census is the real one.
    #[test]
    fn the_books_of_a_fleet_balance(steps in steps(), rule in 0usize..6, share in 0u8..=100) {
        let outlier = OutlierSettings {
            consecutive_failures: Some(2),
            max_ejected: Ratio::percent(share),
            ..OutlierSettings::default()
        };
        let settings = ServiceSettings { balance: Balance::ALL[rule].1, outlier: Some(outlier), ..checked() };
        let mut world = World::new(5, &settings);
        let mut open: Vec<Open> = Vec::new();
        for step in steps {
            let mut is_update = false;
            match step {
                Step::Begin { idempotent, hash } => {
                    world.calls += 1;
                    let ask = Ask { call: CallId(world.calls), attempt: 0, hash, idempotent, tried: &[] };
                    if let Ok(choice) = world.fleet.choose(world.now, &ask) {
                        open.push(Open { choice, reported: None });
                    }
                }
                Step::Report { which, kind } if !open.is_empty() => {
                    let at = which.index(open.len());
                    let attempt = &mut open[at];
                    if attempt.reported.is_none() {
                        world.fleet.report(world.now, attempt.choice, report_of(kind));
                        attempt.reported = Some(kind == 0);
                    }
                }
                Step::Finish { which, clean } if !open.is_empty() => {
                    let Open { choice, reported } = open.swap_remove(which.index(open.len()));
                    world.fleet.finish(world.now, choice, clean || reported != Some(true));
                }
                Step::Check { slot, pass } if world.fleet.endpoints.at(slot).is_some() => {
                    world.check(slot, if pass { PASS } else { fail(Failure::Timeout) });
                }
                Step::Order { slot, kind } if world.fleet.endpoints.at(slot).is_some() => {
                    world.order(slot, [Order::Ready, Order::Draining, Order::Ejected][usize::from(kind % 3)]);
                }
                Step::Update { mask } => {
                    let specs: Vec<_> = (0..8).filter(|port| mask >> port & 1 == 1).map(spec).collect();
                    world.fleet.update(world.now, &specs);
                    is_update = true;
                }
                Step::Wait { millis } => world.wait(Duration::from_millis(millis)),
                _ => {}
            }
            let fleet = &world.fleet;
            let mut census = Census::default();
            for endpoint in fleet.endpoints.iter() {
                let here = |open: &&Open| open.choice.endpoint == endpoint.id;
                prop_assert_eq!(endpoint.learned.load.in_flight() as usize, open.iter().filter(here).count());
                let probes = open.iter().filter(here).filter(|open| open.choice.probe && open.reported.is_none());
                prop_assert!(probes.count() <= 1, "two probes at once");
                census.add(endpoint.learned.availability.standing());
            }
            prop_assert_eq!(
                (census.ready, census.probing, census.passively_out, census.ordered_out),
                (fleet.census.ready, fleet.census.probing, fleet.census.passively_out, fleet.census.ordered_out)
            );
            // Endpoints that leave take the ground from under ejections that were allowed before.
            if is_update {
                let most = (f64::from(share) / 100.0 * fleet.endpoints.len() as f64) as u32;
                if census.passively_out > most.max(1) {
                    return Ok(());
                }
            }
            let most = (f64::from(share) * fleet.endpoints.len() as f64 / 100.0 + 1e-9) as u32;
            prop_assert!(census.passively_out <= most.max(1), "{} of {}", census.passively_out, fleet.endpoints.len());
        }
        open.drain(..).for_each(|Open { choice, .. }| world.fleet.finish(world.now, choice, true));
        for endpoint in world.fleet.endpoints.iter() {
            prop_assert_eq!(endpoint.learned.load.in_flight(), 0);
        }
    }

    /// Law: two owners who see the same lists have the same ids.
    #[test]
    fn the_same_lists_give_the_same_ids(masks in prop::collection::vec(any::<u8>(), 1..20)) {
        let mut worlds = [World::new(0, &plain()), World::new(0, &ServiceSettings::default())];
        for mask in masks {
            let specs: Vec<_> = (0..8).filter(|port| mask >> port & 1 == 1).map(spec).collect();
            let [one, two] = &mut worlds;
            prop_assert_eq!(one.fleet.update(one.now, &specs), two.fleet.update(two.now, &specs));
        }
    }
}
