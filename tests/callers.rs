//! Callers that behave badly cost themselves something and nobody else.

use std::io::Write;

use crate::support::{Instance, Load, Node, alone, eventually, http};

fn in_use(node: &Node) -> u64 {
    http::get(node.admin, "/v1/services/shop").json()["in_use"].as_u64().unwrap()
}

#[test]
fn callers_that_leave_in_the_middle_take_nothing_with_them() {
    let _stage = alone();
    let instance = Instance::with(&["--service-time", "500ms", "--concurrency", "100"]);
    let node = Node::start(&[instance.address], "");
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let mut stream = http::connect(node.web).unwrap();
            write!(stream, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            stream
        })
        .collect();
    eventually("64 requests at the instance", || (instance.reached().len() == 64).then_some(()));
    drop(callers);
    eventually("every permit to be free again", || (in_use(&node) == 0).then_some(()));
    Load::start(node.web, &["--closed", "16", "--requests", "32", "--deadline", "10s"]).end().all_good();
}

#[test]
fn a_caller_that_sends_half_a_body_and_leaves_is_forgotten() {
    let _stage = alone();
    let instance = Instance::with(&["--service-time", "0ms"]);
    let node = Node::start(&[instance.address], "");
    for _ in 0..16 {
        let mut stream = http::connect(node.web).unwrap();
        write!(stream, "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nhalf").unwrap();
    }
    eventually("every permit to be free again", || (in_use(&node) == 0).then_some(()));
    assert_eq!(http::get(node.web, "/").status, 200);
}

#[test]
fn a_request_that_can_be_read_in_two_ways_is_refused_and_reaches_nobody() {
    let _stage = alone();
    let instance = Instance::with(&["--service-time", "0ms"]);
    let node = Node::start(&[instance.address], "");
    for head in [
        "host: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked",
        "host: x\r\ncontent-length: 1\r\ncontent-length: 2",
        "host: x\r\nhost: y",
        "x: no host",
        "host: x\r\nx : space",
    ] {
        let answer = http::raw(node.web, &format!("POST /smuggled HTTP/1.1\r\n{head}\r\n\r\n"));
        assert_eq!(answer.status, 400, "{head:?}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{head:?}: {answer:?}");
    }
    assert!(instance.reached().is_empty(), "{:?}", instance.reached());
}
