//! Requests after requests on one connection: keep-alive, pipelining, versions, and how it ends.

use std::net::Shutdown;
use std::sync::atomic::Ordering;

use crate::world::{Origin, World, config};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const GET: &str = "GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n";

#[test]
fn many_requests_share_one_connection_on_both_sides() {
    let origin = Origin::answering(HELLO);
    let world = World::before(&origin);
    let mut caller = world.connect();
    for _ in 0..50 {
        caller.send(GET);
        let answer = caller.answer();
        assert_eq!((answer.status, answer.text()), (200, "hello"));
        assert_eq!(answer.field("connection"), None);
    }
    assert_eq!(origin.connections.load(Ordering::SeqCst), 1);
    assert_eq!(world.attempts(), 50);
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let origin = Origin::new(|_, mut instance| {
        while let Some(request) = instance.request() {
            let path = request.line.split(' ').nth(1).unwrap().to_owned();
            instance.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()));
        }
    });
    let world = World::before(&origin);
    let mut caller = world.connect();
    let requests: String = (0..20).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    caller.send(requests);
    for n in 0..20 {
        assert_eq!(caller.answer().text(), format!("/{n}"));
    }
}

#[test]
fn a_caller_that_says_close_is_closed() {
    let origin = Origin::answering(HELLO);
    let world = World::before(&origin);
    let mut caller = world.connect();
    caller.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answer = caller.answer();
    assert_eq!((answer.text(), answer.field("connection")), ("hello", Some("close")));
    assert!(caller.is_closed());
}

#[test]
fn a_caller_on_http_1_0_gets_bare_bytes_up_to_the_end() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    );
    let world = World::before(&origin);
    let answer = world.ask("GET / HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status, answer.text()), (200, "hello world"));
    assert_eq!((answer.field("transfer-encoding"), answer.field("connection")), (None, Some("close")));
}

#[test]
fn a_caller_that_ends_its_side_still_gets_its_answer() {
    let origin = Origin::new(|_, mut instance| {
        instance.request();
        std::thread::sleep(std::time::Duration::from_millis(100));
        instance.send(HELLO);
    });
    let world = World::before(&origin);
    let mut caller = world.connect();
    caller.send(GET);
    caller.stream().shutdown(Shutdown::Write).unwrap();
    let answer = caller.answer();
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert!(caller.is_closed());
}

#[test]
fn a_caller_that_leaves_cancels_its_attempt() {
    let (gone, told) = std::sync::mpsc::channel();
    let gone = std::sync::Mutex::new(gone);
    let (arrived, waits) = std::sync::mpsc::channel();
    let arrived = std::sync::Mutex::new(arrived);
    let origin = Origin::new(move |_, mut instance| {
        instance.request();
        arrived.lock().unwrap().send(()).unwrap();
        instance.wait_for_close();
        gone.lock().unwrap().send(()).unwrap();
    });
    let world = World::before(&origin);
    let mut caller = world.connect();
    caller.send(GET);
    waits.recv_timeout(crate::world::PATIENCE).unwrap();
    drop(caller);
    told.recv_timeout(std::time::Duration::from_secs(3)).expect("the instance sees its connection close");
}

#[test]
fn what_is_not_http_is_refused_and_the_connection_closes() {
    let origin = Origin::answering(HELLO);
    let world = World::before(&origin);
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501),
    ] {
        let mut caller = world.connect();
        caller.send(request);
        let answer = caller.answer();
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(answer.field("content-type"), Some("application/problem+json"));
        assert!(caller.is_closed(), "{request}");
    }
    assert_eq!(world.attempts(), 0);
}

#[test]
fn a_request_that_never_ends_its_head_is_given_up() {
    let origin = Origin::answering(HELLO);
    let world =
        World::new(&config(&[origin.address], "[limits]\nheader_timeout = \"200ms\"\nkeep_alive = \"200ms\"\n"));
    let mut caller = world.connect();
    caller.send("GET / HTTP/1.1\r\nHost: a\r\n");
    assert_eq!(caller.answer().status, 408);
    assert!(caller.is_closed());
    let mut silent = world.connect();
    assert!(silent.is_closed(), "who never asks is closed without an answer");
    let mut idle = world.connect();
    idle.send(GET);
    assert_eq!(idle.answer().status, 200);
    assert!(idle.is_closed(), "an idle connection is closed");
}

#[test]
fn callers_over_the_limit_wait_until_one_leaves() {
    let origin = Origin::answering(HELLO);
    let world = World::new(&config(&[origin.address], "[limits]\nconnections = 1\n"));
    let mut first = world.connect();
    first.send(GET);
    assert_eq!(first.answer().status, 200);
    let mut second = world.connect();
    second.send(GET);
    second.stream().set_read_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
    assert!(second.read(&mut [0; 1]).is_err(), "nobody serves it yet");
    second.stream().set_read_timeout(Some(crate::world::PATIENCE)).unwrap();
    drop(first);
    assert_eq!(second.answer().status, 200);
}
