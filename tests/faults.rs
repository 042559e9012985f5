//! One of four instances breaks under load, and the service keeps answering.

use std::collections::BTreeMap;

use crate::support::{Instance, Load, Node, Report, alone, eventually, pass};

/// What the stories set; everything else is a default.
pub(crate) const SETTINGS: &str = "[service.shop.timeout]\nconnect = \"250ms\"\nattempt = \"600ms\"\n\n\
                                   [service.shop.health]\nhttp = \"/health\"\ninterval = \"500ms\"\n";

/// Four instances behind a node.
pub(crate) struct Fleet {
    pub(crate) instances: Vec<Instance>,
    pub(crate) node: Node,
}

impl Fleet {
    pub(crate) fn start() -> Self {
        let instances: Vec<Instance> = (0..4).map(|_| Instance::start()).collect();
        let addresses: Vec<_> = instances.iter().map(|instance| instance.address).collect();
        let node = Node::start(&addresses, SETTINGS);
        Self { instances, node }
    }

    /// How often each request reached an instance, by its id and method.
    pub(crate) fn reached(&self) -> BTreeMap<(String, String), u32> {
        let mut reached = BTreeMap::new();
        for (id, method, _) in self.instances.iter().flat_map(Instance::reached) {
            *reached.entry((id, method)).or_default() += 1;
        }
        reached
    }

    /// Checks that no POST came to any instance a second time.
    #[track_caller]
    fn no_post_came_twice(&self) {
        let reached = self.reached();
        let twice = reached.iter().filter(|((_, method), times)| method == "POST" && **times > 1);
        assert_eq!(twice.collect::<Vec<_>>(), Vec::<(&(String, String), &u32)>::new());
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

/// Load for 11 s, a fault from the 3rd to the 7th.
fn play(fleet: &mut Fleet, begin: impl FnOnce(&mut Instance), end: impl FnOnce(&mut Instance)) -> Report {
    let load = Load::start(fleet.node.web, &["--rate", "500/s", "--duration", "11s", "--post", "5%"]);
    pass(3.0);
    begin(&mut fleet.instances[1]);
    pass(4.0);
    end(&mut fleet.instances[1]);
    load.end()
}

#[test]
fn an_instance_is_killed_and_no_get_is_lost() {
    let _stage = alone();
    let mut fleet = Fleet::start();
    let report = play(&mut fleet, Instance::kill, Instance::restart);
    report.every_get_is_good();
    fleet.no_post_came_twice();
    let ejections = fleet.node.metrics().sum("mainstay_ejections_total", &[("service", "shop")]);
    assert!(ejections >= 1.0, "the killed instance was never ejected");
    fleet.wait_for_state(1, "ready");
}

#[test]
fn an_instance_hangs_and_the_gets_are_answered_elsewhere() {
    let _stage = alone();
    let mut fleet = Fleet::start();
    let report = play(&mut fleet, |instance| instance.hang(), |instance| instance.go_on());
    report.gets_are_good();
    fleet.no_post_came_twice();
}

#[test]
fn an_instance_answers_503_at_once_and_attracts_nothing() {
    let _stage = alone();
    let mut fleet = Fleet::start();
    let before = fleet.instances[1].reached().len();
    let report = play(
        &mut fleet,
        |instance| instance.fault(r#"{"kind":"errors","status":503}"#),
        |instance| instance.fault(r#"{"kind":"off"}"#),
    );
    report.gets_are_good();
    fleet.no_post_came_twice();
    // An even quarter of eleven seconds at 500/s would be 1,375; quick failures must not draw more than that.
    let drawn = fleet.instances[1].reached().len() - before;
    assert!(drawn < 2_000, "the failing instance got {drawn} requests");
}

#[test]
fn answers_that_are_no_http_are_never_passed_on() {
    let _stage = alone();
    let mut fleet = Fleet::start();
    let report = play(
        &mut fleet,
        |instance| instance.fault(r#"{"kind":"garbage"}"#),
        |instance| instance.fault(r#"{"kind":"off"}"#),
    );
    report.gets_are_good();
    fleet.no_post_came_twice();
}
