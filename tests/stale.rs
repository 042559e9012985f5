//! A service dies, and what it had answered is answered all the same until it is back.

use crate::support::{Instance, Node, alone, eventually, http};

#[test]
fn all_instances_die_and_what_was_seen_before_is_answered_until_they_are_back() {
    let _stage = alone();
    let mut instances = [Instance::with(&[]), Instance::with(&[])];
    let more = "[service.shop.fallback]\nstale_if_error = \"10m\"\n";
    let node = Node::start(&[instances[0].address, instances[1].address], more);
    let seen = ["/", "/products?page=2"];
    let bodies = seen.map(|path| {
        let answer = http::get(node.web, path);
        assert_eq!((answer.status, answer.header("cache-status")), (200, None));
        answer.body
    });
    instances.iter_mut().for_each(Instance::kill);
    let kept = |path: &str| {
        let answer = http::get(node.web, path);
        let age: u64 = answer.header("age").unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap();
        assert!(age < 600 && answer.header("cache-status").unwrap().starts_with("mainstay; "), "{answer:?}");
        (answer.status, answer.body)
    };
    for _ in 0..50 {
        for (path, body) in seen.iter().zip(&bodies) {
            assert_eq!(kept(path), (200, body.clone()));
        }
        let other = http::get(node.web, "/never-seen");
        assert!(matches!(other.status, 502 | 503), "{other:?}");
    }
    let head = http::ask(node.web, "HEAD", "/", "").unwrap();
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let post = http::ask(node.web, "POST", "/", "{}").unwrap();
    assert!(matches!(post.status, 502 | 503), "{post:?}");
    let metrics = node.metrics();
    assert_eq!(metrics.sum("mainstay_fallback_total", &[("service", "shop"), ("kind", "stale")]), 101.0);
    assert_eq!(metrics.sum("mainstay_stale_answers", &[("service", "shop")]), 2.0);
    is_explained(&node);
    instances.iter_mut().for_each(Instance::restart);
    eventually("answers that are fresh again", || {
        let answer = http::get(node.web, "/");
        (answer.status == 200 && answer.header("cache-status").is_none()).then_some(())
    });
}

fn is_explained(node: &Node) {
    let id = http::get(node.web, "/").header("x-request-id").unwrap().to_owned();
    let story = http::get(node.admin, &format!("/v1/requests/{id}")).body;
    assert!(
        story.contains("a kept one stands in") && story.contains("service.shop.fallback.stale_if_error"),
        "{story}"
    );
}
