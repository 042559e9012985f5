//! What an autoscaler does in a world in which everything takes its time.

use mainstay_sim::Left;
use mainstay_sim::report::{Report, Second};

use super::play;

/// Whoever is there is looked up; nothing is repeated and nothing is shed.
const BARE: &str = r#"
[[listener]]
name = "web"
address = "127.0.0.1:8080"
[[route]]
service = "shop"
[service.shop]
discover = { dns = "shop.internal:8080" }
balance = "round_robin"
retry = "off"
outlier = "off"
breaker = "off"
slow_start = "off"
bulkhead = { concurrency = "unlimited", adaptive = "off", queue = "off" }
"#;

/// Instances that do a hundred calls a second each; `steps` of load, and an autoscaler with other keys.
fn scaled(seconds: u32, steps: &str, instances: u32, autoscale: &str, more: &str) -> String {
    format!(
        "name = \"a test\"\nduration = \"{seconds}s\"\n[workload]\nservice = \"shop\"\nsteps = [{steps}]\n\
         [instance]\ncount = {instances}\nconcurrency = 2\nservice_time = \"20ms\"\n\
         autoscale = {{ {autoscale} }}\n{more}\n"
    )
}

const STEP_AT_30: &str = "{ rate = \"100/s\" }, { at = \"30s\", rate = \"300/s\" }";
const FALL_AT_30: &str = "{ rate = \"300/s\" }, { at = \"30s\", rate = \"50/s\" }";

/// When something was told of first.
fn when(report: &Report, what: &str) -> Option<f64> {
    report.events.iter().find(|event| event.what.starts_with(what)).map(|event| event.second)
}

fn at(report: &Report, second: usize, of: impl Fn(&Second) -> u64) -> u64 {
    of(&report.timeline[second])
}

#[test]
fn more_come_when_the_load_was_seen_and_they_have_started_and_were_heard_of() {
    let report = play(BARE, &scaled(120, STEP_AT_30, 2, "min = 2, max = 10", ""), 1).report;
    // Full from 30 s on; that is measured up to 45 s, seen at 60 s, and 2 / 0.6 are 4; they start within 30 s.
    let told = report.events.iter().map(|event| event.what.as_str()).collect::<Vec<_>>();
    assert!(told[0].starts_with("shop: 2 → 4 instances (utilisation "), "{told:?}");
    assert_eq!((when(&report, "shop: 2"), when(&report, "shop/2 answers")), (Some(60.0), Some(90.0)), "{told:?}");
    let running = |second| at(&report, second, |second| second.running.unwrap());
    let usable = |second| at(&report, second, |second| second.usable);
    assert_eq!((running(88), running(90), usable(89), usable(91)), (2, 4, 2, 4));
    assert_eq!(report.instances.len(), 4, "who was never there is not told of: {:?}", report.instances);
}

#[test]
fn what_is_starting_is_not_started_once_more() {
    let slow = "min = 2, max = 100, start = \"10m\"";
    let report = play(BARE, &scaled(300, STEP_AT_30, 2, slow, ""), 1).report;
    assert_eq!(report.events.iter().filter(|event| event.what.starts_with("shop: ")).count(), 1, "{:?}", report.events);
}

#[test]
fn by_calls_that_wait_an_overload_is_seen_as_large_as_it_is() {
    let by_queue = "min = 2, max = 100, measure = \"queue\", target = 10";
    let report = play(BARE, &scaled(120, STEP_AT_30, 2, by_queue, "queue = \"unlimited\""), 1).report;
    // Half of the time in the mean, 200 a second too many for 15 s: about 1,500 wait. In one step 2 become 6.
    let told = &report.events[0].what;
    assert!(told.starts_with("shop: 2 → 6 instances (") && told.ends_with("no more in one step)"), "{told}");
}

#[test]
fn a_gateway_hears_of_it_late_and_each_by_itself() {
    let of = |discovery: &str| {
        let more = format!("[gateways]\ncount = 2\ndiscovery = {discovery}");
        play(BARE, &scaled(120, STEP_AT_30, 2, "min = 2, max = 10", &more), 1).report
    };
    let usable = |report: &Report, second| at(report, second, |second| second.usable);
    let late = of("\"20s\"");
    assert_eq!((usable(&late, 108), usable(&late, 111)), (2, 4));
    let attempts = |report: &Report| report.instances[2].attempts;
    assert!(attempts(&late) < attempts(&of("\"0s\"")) * 2 / 3, "{late:?}");
    let drawn = of("{ distribution = \"exponential\", mean = \"10s\" }");
    assert!(drawn != late && attempts(&drawn) > 0);
}

#[test]
fn who_goes_answers_until_nobody_can_still_ask() {
    let of = |drain: &str| {
        let keys = format!("min = 1, max = 6, drain = \"{drain}\", down = {{ window = \"15s\" }}");
        let report = play(BARE, &scaled(120, FALL_AT_30, 6, &keys, "[gateways]\ndiscovery = \"5s\""), 1).report;
        assert_eq!(report.timeline.last().unwrap().running, Some(1), "{:?}", report.events);
        report
    };
    let polite = of("10s");
    assert_eq!(polite.good, polite.requests, "{:?}", polite.failures);
    let rude = of("0s");
    assert!(rude.good < rude.requests, "somebody asked whoever was gone: {:?}", rude.events);
}

#[test]
fn nobody_is_taken_away_because_nothing_is_known_of_them() {
    let crash = "[[fault]]\nat = \"10s\"\nfor = \"100s\"\nkind = \"crash\"\nshare = \"100%\"";
    let keys = "min = 1, max = 6, down = { window = \"0s\" }";
    let report = play(BARE, &scaled(100, "{ rate = \"300/s\" }", 6, keys, crash), 1).report;
    assert_eq!(when(&report, "shop: "), None, "{:?}", report.events);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_whatever_was_lent_comes_back() {
    let more = "[gateways]\ncount = 2\nworkers = 2\ndiscovery = { distribution = \"exponential\", mean = \"2s\" }";
    let start = "start = { distribution = \"lognormal\", mean = \"20s\" }";
    let keys = format!("min = 2, max = 10, every = \"5s\", {start}, down = {{ window = \"20s\" }}, drain = \"1s\"");
    let steps = "{ rate = \"100/s\" }, { at = \"30s\", rate = \"500/s\" }, { at = \"90s\", rate = \"100/s\" }";
    let checked = BARE.replace("balance", "health = { http = \"/health\" }\nbalance");
    let scenario = scaled(180, steps, 2, &keys, more);
    let (once, again) = (play(&checked, &scenario, 3), play(&checked, &scenario, 3));
    assert_eq!(serde_json::to_string(&once.report).unwrap(), serde_json::to_string(&again.report).unwrap());
    let Left { calls, permits, queued, attempts, .. } = once.left;
    assert_eq!((calls, permits, queued, attempts), (0, 0, 0, 0));
    let most = once.report.timeline.iter().filter_map(|second| second.running).max();
    assert!(most > Some(3) && once.report.timeline.last().unwrap().running < most, "{:?}", once.report.events);
}
