//! A shadow gets its share of the calls, and no caller notices.

use crate::support::{Instance, Load, Node, alone, eventually};

#[test]
fn a_shadow_gets_its_share_and_nobody_notices_its_death() {
    let _stage = alone();
    let (real, mut shadow) = (Instance::with(&[]), Instance::with(&[]));
    let route = "[[route]]\nservice = \"shop\"\nmirror = { service = \"shadow\", share = \"20%\" }\n\n";
    let more = format!("[service.shadow]\nendpoints = [\"{}\"]\n", shadow.address);
    let node = Node::with_routes(&[real.address], route, &more);
    let load = || Load::start(node.web, &["--rate", "300/s", "--duration", "4s", "--post", "20%"]).end();
    let report = load();
    report.all_good();
    let least = report.requests() as usize * 15 / 100;
    let copies = eventually("all copies to be answered", || {
        let answered = node.metrics().sum("mainstay_mirrored_total", &[("result", "answered")]);
        (answered >= least as f64).then_some(shadow.reached().len())
    });
    assert!(copies * 100 <= report.requests() as usize * 25, "a fifth of them: {copies}");
    assert_eq!(real.reached().len() as u64, report.requests(), "the original goes to its own service alone");
    shadow.kill();
    load().all_good();
    assert!(node.metrics().sum("mainstay_mirrored_total", &[("result", "failed")]) > 0.0);
}
