//! One of four instances breaks under load, and the service keeps answering.

use std::ops::RangeInclusive;

use crate::support::books::{self, Books, Counted, Outage};
use crate::support::{Instance, Load, Node, Report, alone, eventually, http, pass};

/// What the stories set; everything else is a default.
const SETTINGS: &str = "[service.shop.timeout]\nconnect = \"250ms\"\nattempt = \"600ms\"\n\n\
                        [service.shop.health]\nhttp = \"/health\"\ninterval = \"500ms\"\n";

/// Attempts that may be lost with one instance: four times its slots, so that a busy machine is forgiven and an instance
/// that goes on being asked after its death is not.
const LOST_MAX: usize = 32;

/// Four instances behind a node.
pub(crate) struct Fleet {
    pub(crate) instances: Vec<Instance>,
    pub(crate) node: Node,
    before: Counted,
    outages: Vec<Outage>,
}

impl Fleet {
    pub(crate) fn start() -> Self {
        Self::with(SETTINGS)
    }

    pub(crate) fn with(settings: &str) -> Self {
        let instances: Vec<Instance> = (0..4).map(|_| Instance::with(&[])).collect();
        let addresses: Vec<_> = instances.iter().map(|instance| instance.address).collect();
        let node = Node::start(&addresses, settings);
        let before = counted(&node);
        Self { instances, node, before, outages: Vec::new() }
    }

    fn begin_outage(&mut self, number: usize) {
        let endpoint = self.instances[number].address.to_string();
        self.outages.push(Outage { endpoint, from: books::civil_now(), to: f64::INFINITY });
    }

    fn end_outage(&mut self, number: usize) {
        let endpoint = self.instances[number].address.to_string();
        let outage = self.outages.iter_mut().rev().find(|outage| outage.endpoint == endpoint);
        outage.unwrap().to = books::civil_now();
    }

    pub(crate) fn kill(&mut self, number: usize) {
        self.begin_outage(number);
        self.instances[number].kill();
    }

    pub(crate) fn restart(&mut self, number: usize) {
        self.instances[number].restart();
        self.end_outage(number);
    }

    pub(crate) fn hang(&mut self, number: usize) {
        self.begin_outage(number);
        self.instances[number].hang();
    }

    pub(crate) fn go_on(&mut self, number: usize) {
        self.instances[number].go_on();
        self.end_outage(number);
    }

    fn compare(&self, requests: RangeInclusive<u64>) -> Books {
        let log = books::access_lines(&self.node.output(), "load-");
        let logs: Vec<_> = self.instances.iter().map(|one| (one.address.to_string(), one.log())).collect();
        let arrivals: Vec<_> = logs.iter().flat_map(|(endpoint, text)| books::arrivals(endpoint, text)).collect();
        let counted = books::grown(&self.before, &counted(&self.node));
        let mut books = books::balance(&log, &counted, &arrivals, &self.outages);
        if !requests.contains(&(log.len() as u64)) {
            books.problems.push(format!("{} lines in the access log of {requests:?} requests", log.len()));
        }
        books
    }

    /// Checks that every attempt of a load (the only one that this fleet has had) is accounted for, and gives the sums.
    #[track_caller]
    pub(crate) fn every_attempt_is_accounted_for(&self, report: &Report) -> Books {
        self.attempts_are_accounted_for(report.requests()..=report.requests())
    }

    /// The same for a load whose callers may leave before their request is out, so that nobody knows of it.
    #[track_caller]
    pub(crate) fn every_attempt_that_began_is_accounted_for(&self, report: &Report) -> Books {
        self.attempts_are_accounted_for(1..=report.requests())
    }

    #[track_caller]
    fn attempts_are_accounted_for(&self, requests: RangeInclusive<u64>) -> Books {
        let mut books = self.compare(requests.clone());
        // Figures and lines are handed over a few times a second, and an instance that stood still reads on.
        for _ in 0..50 {
            if books.problems.is_empty() {
                break;
            }
            pass(0.1);
            books = self.compare(requests.clone());
        }
        let lost: Vec<_> =
            books.open.iter().filter(|open| !open.arrived).map(|open| open.attempt.to_string()).collect();
        assert!(books.problems.is_empty(), "{:#?}\nopen while their instance was down: {lost:#?}", books.problems);
        assert!(lost.len() <= LOST_MAX, "more than may be under way were lost with an instance: {lost:#?}");
        books
    }

    /// Waits until the node says that the endpoint `number` is in `state`.
    #[track_caller]
    pub(crate) fn wait_for_state(&self, number: usize, state: &str) {
        let endpoint = self.instances[number].address.to_string();
        eventually(&format!("{endpoint} to be {state}"), || {
            let labels = [("service", "shop"), ("endpoint", endpoint.as_str()), ("state", state)];
            (self.node.metrics().sum("mainstay_endpoint_state", &labels) > 0.0).then_some(())
        });
    }
}

fn counted(node: &Node) -> Counted {
    books::counted(&http::get(node.admin, "/metrics").body)
}

/// Load for 11 s, a fault from the 3rd to the 7th; every attempt is accounted for.
fn play(fleet: &mut Fleet, begin: impl FnOnce(&mut Fleet), end: impl FnOnce(&mut Fleet)) -> (Report, Books) {
    let load = Load::start(fleet.node.web, &["--rate", "500/s", "--duration", "11s", "--post", "5%"]);
    pass(3.0);
    begin(fleet);
    pass(4.0);
    end(fleet);
    let report = load.end();
    let books = fleet.every_attempt_is_accounted_for(&report);
    (report, books)
}

/// As [`play`], with a fault that the second instance is told to have.
fn play_ill(fleet: &mut Fleet, fault: &str) -> Report {
    let (report, books) =
        play(fleet, |fleet| fleet.instances[1].fault(fault), |fleet| fleet.instances[1].fault(r#"{"kind":"off"}"#));
    assert!(books.open.is_empty(), "nobody was down");
    report
}

#[test]
fn an_instance_is_killed_and_no_get_is_lost() {
    let _stage = alone();
    let mut fleet = Fleet::start();
    let (report, _) = play(&mut fleet, |fleet| fleet.kill(1), |fleet| fleet.restart(1));
    report.every_get_is_good();
    let ejections = fleet.node.metrics().sum("mainstay_ejections_total", &[("service", "shop")]);
    assert!(ejections >= 1.0, "the killed instance was never ejected");
    fleet.wait_for_state(1, "ready");
}

#[test]
fn an_instance_hangs_and_the_gets_are_answered_elsewhere() {
    let _stage = alone();
    let mut fleet = Fleet::start();
    let (report, books) = play(&mut fleet, |fleet| fleet.hang(1), |fleet| fleet.go_on(1));
    report.gets_are_good();
    assert!(!books.open.is_empty(), "nothing was sent to the instance while it stood still");
    assert_eq!(books.without_line(), 0, "it reads what was sent to it when it runs again");
}

#[test]
fn an_instance_answers_503_at_once_and_attracts_nothing() {
    let _stage = alone();
    let mut fleet = Fleet::start();
    let report = play_ill(&mut fleet, r#"{"kind":"errors","status":503}"#);
    report.gets_are_good();
    // An even quarter of eleven seconds at 500/s would be 1,375; quick failures must not draw more than that.
    let drawn = fleet.instances[1].reached().len();
    assert!(drawn < 2_000, "the failing instance got {drawn} requests");
}

#[test]
fn answers_that_are_no_http_are_never_passed_on() {
    let _stage = alone();
    let mut fleet = Fleet::start();
    play_ill(&mut fleet, r#"{"kind":"garbage"}"#).gets_are_good();
}

#[test]
fn an_instance_gives_false_answers_and_two_seconds_later_nobody_gets_one() {
    let _stage = alone();
    let settings = format!("{SETTINGS}unhealthy_threshold = 2\nexpect_body = \"well\"\n");
    let fleet = Fleet::with(&settings);
    let expecting = |time| ["--rate", "500/s", "--duration", time, "--expect", "\"path\":\"/work\""];
    let load = Load::start(fleet.node.web, &expecting("1s"));
    load.end().all_good();
    fleet.instances[1].fault(r#"{"kind":"wrong"}"#);
    pass(2.0);
    Load::start(fleet.node.web, &expecting("3s")).end().all_good();
    let shop = http::get(fleet.node.admin, "/v1/services/shop").json();
    let why = &shop["endpoints"][1]["why"];
    assert_eq!(why, "its checks fail: the answer did not contain what expect_body asks for", "{shop}");
    fleet.instances[1].fault(r#"{"kind":"off"}"#);
    fleet.wait_for_state(1, "ready");
}

#[test]
fn an_instance_that_calls_itself_well_and_fails_all_work_is_found_out_by_its_work() {
    let _stage = alone();
    let mut fleet = Fleet::start();
    let report = play_ill(&mut fleet, r#"{"kind":"gray"}"#);
    report.gets_are_good();
    instances_read_no_more_than(&fleet, &report, 110);
}

#[test]
fn half_of_the_connections_to_an_instance_are_reset_and_the_gets_are_answered() {
    let _stage = alone();
    let mut fleet = Fleet::start();
    let report = play_ill(&mut fleet, r#"{"kind":"reset","share":"50%","of":"connections"}"#);
    report.gets_are_good();
    instances_read_no_more_than(&fleet, &report, 110);
}

#[test]
fn an_instance_takes_requests_and_never_answers_and_the_gets_are_answered_elsewhere() {
    let _stage = alone();
    let mut fleet = Fleet::start();
    let report = play_ill(&mut fleet, r#"{"kind":"stall"}"#);
    report.gets_are_good();
    instances_read_no_more_than(&fleet, &report, 110);
}

#[test]
fn an_instance_dies_every_second_and_no_get_is_lost() {
    let _stage = alone();
    let mut fleet = Fleet::start();
    let load = Load::start(fleet.node.web, &["--rate", "500/s", "--duration", "8s", "--post", "5%"]);
    pass(2.0);
    for _ in 0..4 {
        fleet.kill(1);
        pass(0.5);
        fleet.restart(1);
        pass(0.5);
    }
    let report = load.end();
    fleet.every_attempt_is_accounted_for(&report);
    report.gets_are_good();
}

#[test]
fn all_instances_die_and_when_they_are_back_so_is_the_service() {
    let _stage = alone();
    let mut fleet = Fleet::start();
    let load = Load::start(fleet.node.web, &["--rate", "500/s", "--duration", "10s", "--post", "5%"]);
    pass(2.0);
    (0..4).for_each(|number| fleet.kill(number));
    pass(3.0);
    (0..4).for_each(|number| fleet.restart(number));
    let back = fleet.outages.iter().fold(0.0, |last: f64, outage| last.max(outage.to));
    let report = load.end();
    fleet.every_attempt_is_accounted_for(&report);
    let (requests, good) = report.due_after(back + 1000.0);
    assert!(requests > 1000, "only {requests} requests after the outage");
    assert!(good * 100 >= requests * 99, "{good} of {requests} were good from a second after all were back");
}

/// Checks how many requests instances read of a load, in percent of its requests.
#[track_caller]
fn instances_read_no_more_than(fleet: &Fleet, report: &Report, percent: u64) {
    let read: usize = fleet.instances.iter().map(|instance| instance.reached().len()).sum();
    assert!(read as u64 * 100 <= report.requests() * percent, "{read} were read of {} requests", report.requests());
}
