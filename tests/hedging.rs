//! A second attempt beside a slow one: who answers, what it costs, and what is never sent twice.

use crate::faults::Fleet;
use crate::support::{Load, alone, books, http};

/// Each instance in turn, so that the slow one gets its share.
const HEDGE: &str = "balance = \"round_robin\"\n[service.shop.retry]\nhedge = { after = \"20ms\" }\n";

fn slow(fleet: &Fleet, number: usize) {
    fleet.instances[number].fault(r#"{"kind":"slow","delay":"200ms"}"#);
}

#[test]
fn an_instance_limps_and_the_others_answer_in_its_place() {
    let _stage = alone();
    let fleet = Fleet::with(&format!("{HEDGE}budget = \"off\"\n"));
    slow(&fleet, 1);
    let report = Load::start(fleet.node.web, &["--rate", "100/s", "--duration", "6s", "--post", "10%"]).end();
    report.all_good();
    let books = fleet.every_attempt_is_accounted_for(&report);
    assert_eq!(books.posts_twice, [""; 0]);

    let limping = fleet.instances[1].address.to_string();
    let log = books::access_lines(&fleet.node.output(), "load-");
    let answered_by_it = |method: &str| {
        log.iter().filter(|line| line["method"] == method && line["endpoint"] == limping.as_str()).count()
    };
    let asked = fleet.instances[1].reached().iter().filter(|(_, method, _)| method == "GET").count();
    assert!(asked > 100, "each fourth attempt goes there first: {asked}");
    assert!(answered_by_it("GET") * 4 < asked, "{} of {asked} waited for it", answered_by_it("GET"));
    assert!(answered_by_it("POST") > 0, "a POST has nobody else to answer it");

    let hedges = |result| fleet.node.metrics().sum("mainstay_hedges_total", &[("result", result)]);
    assert!(hedges("won") > 100.0, "{}", hedges("won"));
    let told = log.iter().find(|line| line["attempts"] == 2 && line["tries"][0]["result"] == "cancelled").unwrap();
    let id = told["request_id"].as_str().unwrap();
    let story = http::get(fleet.node.admin, &format!("/v1/requests/{id}")).body;
    assert!(story.contains("a hedge beside what runs, paid for by the budget; there was no answer for"), "{story}");
    assert!(story.contains("attempt 1 was given up: attempt 2 had answered"), "{story}");
}

#[test]
fn when_everything_is_slow_the_budget_is_all_that_is_sent_twice() {
    let _stage = alone();
    let budget = "budget = { share = \"0%\", per_second = 0, cap = 5 }\n[node]\nworkers = 1\n";
    let fleet = Fleet::with(&format!("{HEDGE}{budget}"));
    (0..4).for_each(|number| slow(&fleet, number));
    let report = Load::start(fleet.node.web, &["--rate", "50/s", "--duration", "3s"]).end();
    report.all_good();
    let metrics = fleet.node.metrics();
    assert_eq!(metrics.sum("mainstay_hedges_total", &[]), 5.0);
    assert!(metrics.sum("mainstay_hedges_denied_total", &[("reason", "budget")]) > 50.0);
    let reached: usize = fleet.instances.iter().map(|instance| instance.reached().len()).sum();
    assert_eq!(reached as u64, report.requests() + 5);
}
