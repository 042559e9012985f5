//! Faults that an operator lets a service have on purpose.

use crate::support::{Instance, Load, Node, alone, books, eventually, http, mainstay};

fn told(node: &Node, arguments: &[&str]) -> String {
    let output = mainstay().args(arguments).args(["--admin", &node.admin.to_string()]).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_drill_fails_one_endpoint_the_service_goes_around_it_and_the_lease_ends_it() {
    let _stage = alone();
    let instances = [Instance::with(&[]), Instance::with(&[])];
    let addresses = instances.each_ref().map(|instance| instance.address);
    // In turn, since the default looks elsewhere after the first failures and would eject nobody.
    let node = Node::start(&addresses, "balance = \"round_robin\"\n");
    let drilled = addresses[0].to_string();
    let order = ["fault", "shop", "abort", "502", "--endpoint", &drilled, "--lease", "4s"];
    assert!(told(&node, &order).contains(&format!("a drill answers 100% of the attempts at {drilled} with 502")));
    assert_eq!(http::ask(node.admin, "POST", "/v1/reload", "").unwrap().status, 200);
    assert!(told(&node, &["services"]).contains("a drill answers"), "it survives a reload");

    Load::start(node.web, &["--rate", "100/s", "--duration", "2s"]).end().every_get_is_good();
    assert_eq!(instances[0].reached().len(), 0, "nothing was sent to the instance");
    let failed = [("endpoint", drilled.as_str()), ("result", "502")];
    let hits = node.metrics().sum("mainstay_faults_injected_total", &[("service", "shop"), ("kind", "abort")]);
    assert!(hits >= 5.0, "five failures in a row eject, and {hits} attempts were hit");
    assert_eq!(node.metrics().sum("mainstay_attempts_total", &failed), hits);
    assert_eq!(node.metrics().sum("mainstay_retries_total", &[("reason", "502")]), hits, "each was tried elsewhere");
    assert!(node.metrics().sum("mainstay_ejections_total", &[("endpoint", drilled.as_str())]) >= 1.0);

    let lines = eventually("a line with two attempts", || {
        let lines = books::access_lines(&node.output(), "load-");
        lines.iter().any(|line| line["attempts"] == 2).then_some(lines)
    });
    let id = lines.iter().find(|line| line["attempts"] == 2).and_then(|line| line["request_id"].as_str()).unwrap();
    let story = told(&node, &["explain", id]);
    assert!(story.contains("a drill answers attempt 1 with 502 in the instance's place"), "{story}");
    assert!(story.contains("the drill's doing, nothing was sent"), "{story}");

    eventually("the lease to end", || (!told(&node, &["services"]).contains("a drill")).then_some(()));
    eventually("the endpoint to be asked again", || {
        http::get(node.web, "/work");
        (!instances[0].reached().is_empty()).then_some(())
    });
}

#[test]
fn a_drill_that_delays_is_waited_for_and_ends_when_it_is_told_to() {
    let _stage = alone();
    let instance = Instance::with(&["--service-time", "0ms"]);
    let node = Node::start(&[instance.address], "");
    told(&node, &["fault", "shop", "delay", "300ms", "--lease", "1h"]);
    let began = std::time::Instant::now();
    assert_eq!(http::get(node.web, "/work").status, 200);
    assert!(began.elapsed().as_millis() >= 300, "it came after {:?}", began.elapsed());
    told(&node, &["fault", "shop", "off"]);
    let hits = node.metrics().sum("mainstay_faults_injected_total", &[("kind", "delay")]);
    assert_eq!(http::get(node.web, "/work").status, 200);
    assert_eq!(hits, node.metrics().sum("mainstay_faults_injected_total", &[("kind", "delay")]));
    assert_eq!(node.metrics().sum("mainstay_attempts_total", &[("result", "success")]), 2.0, "each counts once");
}
