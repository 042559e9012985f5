//! Stories of a fleet, told as its users see them.

use super::*;
use crate::{Cause, HealthSettings, Probe};
use mainstay_core::{CallId, Failure, Limit, Ratio};
use proptest::prelude::*;

const BAD: Report =
    Report::Failed { failure: Failure::Status(503), certainty: Certainty::Applied, latency: Duration::ZERO };
const REFUSED: Report =
    Report::Failed { failure: Failure::Refused, certainty: Certainty::NotSent, latency: Duration::ZERO };
const GOOD: Report = Report::Good { latency: Duration::from_millis(10) };

/// A fleet, its clock and a source of calls.
struct World {
    fleet: Fleet,
    now: Instant,
    calls: u64,
}

impl World {
    fn new(count: u16, settings: &ServiceSettings) -> Self {
        Self::of(&(0..count).map(spec).collect::<Vec<_>>(), settings)
    }

    fn of(specs: &[EndpointSpec], settings: &ServiceSettings) -> Self {
        let mut fleet = Fleet::new(settings, Seed::new(7));
        fleet.update(Instant::ORIGIN, specs);
        Self { fleet, now: Instant::ORIGIN, calls: 0 }
    }

    fn ask(&mut self, attempt: u32, idempotent: bool, tried: &[EndpointId]) -> Result<Choice, NoEndpoint> {
        self.calls += 1;
        let hash = self.calls;
        self.fleet.choose(self.now, &Ask { call: CallId(self.calls), attempt, hash, idempotent, tried })
    }

    fn get(&mut self) -> Choice {
        self.ask(0, true, &[]).unwrap()
    }

    fn post(&mut self) -> Choice {
        self.ask(0, false, &[]).unwrap()
    }

    fn end(&mut self, choice: Choice, report: Report) {
        self.fleet.report(self.now, choice, report);
        self.fleet.finish(self.now, choice, true);
    }

    fn wait(&mut self, length: Duration) {
        self.now += length;
    }

    /// Calls until one lands on `slot`, and ends it with `report`; the others go well.
    fn at(&mut self, slot: u32, report: Report) {
        for _ in 0..10_000 {
            let choice = self.get();
            let ours = choice.endpoint.slot == slot;
            self.end(choice, if ours { report } else { GOOD });
            if ours {
                return;
            }
        }
        panic!("no call came to {slot}");
    }

    /// How many of `count` calls each endpoint gets.
    fn shares(&mut self, count: u32) -> Vec<u32> {
        let mut shares = vec![0; self.fleet.endpoints.slots()];
        for _ in 0..count {
            let choice = self.get();
            shares[choice.endpoint.slot as usize] += 1;
            self.end(choice, GOOD);
        }
        shares
    }

    fn check(&mut self, slot: u32, result: CheckResult) {
        let id = self.fleet.endpoints.at(slot).unwrap().id;
        self.fleet.check(self.now, id, result);
    }

    fn order(&mut self, slot: u32, order: Order) {
        let id = self.fleet.endpoints.at(slot).unwrap().id;
        self.fleet.order(self.now, id, order);
    }

    fn state(&self, slot: u32) -> EndpointState {
        self.fleet.view(self.now)[slot as usize].state
    }

    fn cause(&self, slot: u32) -> Option<Cause> {
        self.fleet.view(self.now)[slot as usize].cause
    }

    fn events(&mut self) -> Vec<FleetEvent> {
        std::iter::from_fn(|| self.fleet.poll_event()).collect()
    }
}

fn spec(port: u16) -> EndpointSpec {
    EndpointSpec { address: SocketAddr::from(([10, 0, 0, 1], port)), weight: 1, zone: "".into(), backup: false }
}

fn backup(port: u16) -> EndpointSpec {
    EndpointSpec { backup: true, ..spec(port) }
}

/// Round robin, so that every endpoint is sure to be asked.
fn plain() -> ServiceSettings {
    ServiceSettings { balance: Balance::RoundRobin, ..ServiceSettings::default() }
}

fn checked() -> ServiceSettings {
    ServiceSettings { health: Some(HealthSettings::new(Probe::Tcp)), ..plain() }
}

const PASS: CheckResult = CheckResult::Pass;

fn fail(failure: Failure) -> CheckResult {
    CheckResult::Fail(failure)
}

mod passive {
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
        assert!(!world.fleet.is_usable_other(world.now, &[first.endpoint]));
    }

    #[test]
    fn attempts_that_hung_with_the_old_process_do_not_eject_the_new_one() {
        let mut world = World::new(3, &plain());
        let hung: Vec<_> = (0..45).map(|_| world.get()).filter(|choice| choice.endpoint.slot == 0).collect();
        let late =
            |length| Report::Failed { failure: Failure::Timeout, certainty: Certainty::Unknown, latency: length };
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
}

mod checks {
    use super::*;

    #[test]
    fn three_failed_checks_eject_and_two_passes_restore() {
        let mut world = World::new(3, &checked());
        world.check(0, PASS);
        world.check(0, fail(Failure::Status(500)));
        world.check(0, fail(Failure::Timeout));
        assert_eq!(world.state(0), EndpointState::Ready);
        world.check(0, fail(Failure::Timeout));
        assert_eq!(world.cause(0), Some(Cause::Check(Failure::Timeout)));
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
}

mod groups {
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
}

mod choosing {
    use super::*;

    #[test]
    fn a_retry_goes_elsewhere_while_there_is_an_elsewhere() {
        for (_, balance) in Balance::ALL {
            let mut world = World::new(3, &ServiceSettings { balance, ..plain() });
            for _ in 0..200 {
                let first = world.get();
                let second = world.ask(1, true, &[first.endpoint]).unwrap();
                let tried = [first.endpoint, second.endpoint];
                assert!(world.fleet.is_usable_other(world.now, &tried));
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
        let specs: Vec<_> =
            [1, 2, 4].iter().zip(0..).map(|(w, port)| EndpointSpec { weight: *w, ..spec(port) }).collect();
        for balance in
            [Balance::RoundRobin, Balance::Random, Balance::LeastRequest, Balance::PeakEwma, Balance::Adaptive]
        {
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
}

mod adaptive {
    use super::*;

    fn world(count: u16) -> World {
        // Nobody is ejected here: the balancer must do without.
        World::new(count, &ServiceSettings { outlier: None, ..ServiceSettings::default() })
    }

    /// A second of `rate` calls, each 10 ms long except at slot 0, where `bad` says how it ends; the calls there.
    fn a_second(world: &mut World, rate: u64, bad: Option<(u64, Report)>) -> u32 {
        let mut running: VecDeque<(Instant, Choice, Report)> = VecDeque::new();
        let mut there = 0;
        for _ in 0..rate {
            world.wait(Duration::from_nanos(1_000_000_000 / rate));
            let due: Vec<_> = running.iter().filter(|(end, ..)| *end <= world.now).copied().collect();
            running.retain(|(end, ..)| *end > world.now);
            due.into_iter().for_each(|(_, choice, report)| world.end(choice, report));
            let choice = world.get();
            let (length, report) = match bad.filter(|_| choice.endpoint.slot == 0) {
                Some((millis, report)) => (Duration::from_millis(millis), report),
                None => (Duration::from_millis(10), GOOD),
            };
            there += u32::from(choice.endpoint.slot == 0);
            running.push_back((world.now + length, choice, report));
        }
        running.into_iter().for_each(|(_, choice, report)| world.end(choice, report));
        there
    }

    #[test]
    fn equals_share_equally() {
        let mut world = world(4);
        let there = a_second(&mut world, 1_000, None);
        assert!((200..300).contains(&there), "{there}");
    }

    #[test]
    fn an_instance_that_fails_at_once_attracts_nothing() {
        let mut world = world(4);
        a_second(&mut world, 1_000, None);
        let there = a_second(&mut world, 1_000, Some((1, BAD)));
        assert!(there < 10, "{there} of 1,000");
    }

    #[test]
    fn a_hung_instance_is_left_alone_within_a_few_calls() {
        let mut world = world(4);
        a_second(&mut world, 1_000, None);
        let there = a_second(&mut world, 1_000, Some((5_000, BAD)));
        assert!(there < 20, "{there} of 1,000");
    }

    #[test]
    fn a_limping_instance_gets_what_it_can_do() {
        let mut world = world(4);
        a_second(&mut world, 1_000, None);
        let slow = Report::Good { latency: Duration::from_millis(200) };
        let there = a_second(&mut world, 1_000, Some((200, slow)));
        assert!(there < 30, "{there} of 1,000");
    }

    #[test]
    fn one_stray_failure_exiles_nobody() {
        let mut world = world(4);
        a_second(&mut world, 1_000, None);
        world.at(0, BAD);
        (0..4).for_each(|_| {
            a_second(&mut world, 1_000, None);
        });
        let there = a_second(&mut world, 1_000, None);
        assert!(there > 150, "{there} of 1,000");
    }

    #[test]
    fn a_new_endpoint_begins_as_the_median_one() {
        let mut world = world(3);
        a_second(&mut world, 1_000, None);
        world.fleet.update(world.now, &[spec(0), spec(1), spec(2), spec(3)]);
        let mut there = 0;
        for _ in 0..400 {
            let choice = world.get();
            there += u32::from(choice.endpoint.slot == 3);
            world.wait(Duration::from_millis(1));
            world.end(choice, GOOD);
        }
        assert!(there > 50, "{there} of 400");
        let median = world.fleet.median_latency().unwrap();
        assert!((9..=11).contains(&median.as_millis()), "{median}");
    }
}

mod workers {
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
}

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
                census.add(&endpoint.learned.availability);
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
