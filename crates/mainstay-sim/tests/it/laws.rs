//! What holds in every play.

use mainstay_sim::{Left, scenarios};

use super::{LEAST, fault, play, shop};

/// Every fault that can be played, with keys that differ from the defaults.
const FAULTS: [(&str, &str); 20] = [
    ("crash", ""),
    ("hang", ""),
    ("slow", "delay = \"300ms\"\ncalls = \"50%\""),
    ("slow", "factor = 5"),
    ("limp", "delay = \"100ms\""),
    ("errors", "calls = \"50%\""),
    ("gray", ""),
    ("sick", ""),
    ("reset", "calls = \"30%\"\nof = \"connections\""),
    ("stall", ""),
    ("garbage", ""),
    ("wrong", "calls = \"20%\""),
    ("flap", "period = \"700ms\""),
    ("partition", "way = \"back\"\ndelivered = true"),
    ("loss", "rate = \"5%\""),
    ("delay", "delay = \"20ms\""),
    ("memory", "period = \"2s\""),
    ("cpu", "left = \"20%\""),
    ("descriptors", ""),
    ("expired_certificate", ""),
];

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    for (kind, more) in FAULTS {
        let scenario = shop(300, 20, &fault(kind, more));
        let bytes = |seed| serde_json::to_vec(&play(LEAST, &scenario, seed).report).unwrap();
        assert!(bytes(1) == bytes(1), "{kind}");
        assert!(bytes(1) != bytes(2), "{kind}");
    }
}

#[test]
fn whatever_was_lent_comes_back() {
    for (kind, more) in FAULTS {
        for workers in [1, 3] {
            let more = format!("[gateways]\nworkers = {workers}\n{}", fault(kind, more));
            let outcome = play(LEAST, &shop(300, 20, &more), 7);
            let Left { calls, permits, queued, attempts, .. } = outcome.left;
            assert_eq!((calls, permits, queued, attempts), (0, 0, 0, 0), "{kind}, {workers} workers");
        }
    }
}

#[test]
fn every_call_that_is_due_is_told_of_once() {
    for (kind, more) in FAULTS {
        let report = play(LEAST, &shop(300, 20, &fault(kind, more)), 3).report;
        let failed: u64 = report.failures.iter().map(|failed| failed.count).sum();
        assert_eq!(report.good + failed, report.requests, "{kind}");
        assert_eq!(report.timeline.iter().map(|second| second.requests).sum::<u64>(), report.requests, "{kind}");
        assert_eq!(report.timeline.iter().map(|second| second.good).sum::<u64>(), report.good, "{kind}");
    }
}

/// J. Little: "A proof for the queuing formula L = λW", Operations Research 9(3), 1961.
#[test]
fn at_every_instance_as_many_are_there_as_come_while_one_is_there() {
    for more in ["", "concurrency = 1", "discipline = \"lifo\"", "slowdown = \"5%\"", "service_time = \"3ms\""] {
        let outcome = play(LEAST, &shop(300, 20, &format!("[instance]\n{more}")), 5);
        for node in outcome.nodes {
            let (there, came) = (node.mean_there * node.time, node.done as f64 * node.mean_stay);
            assert!((there - came).abs() <= 0.01 * came + 0.1, "{more}: {there} {came}");
        }
    }
}

#[test]
fn one_fault_in_four_instances_is_held_with_every_default() {
    for name in scenarios::faults() {
        let report = play(LEAST, &scenarios::text(name, "shop").unwrap(), 1).report;
        assert!(report.held, "{name}: {:#?}", report.holds);
    }
}
