//! Callers and instances that mean no good, or are broken as if they did.

use std::net::Shutdown;
use std::sync::mpsc;
use std::time::Duration;

use mainstay_policy::{Decision, End};

use crate::world::{Origin, PATIENCE, World, config};

const GET: &str = "GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n";

#[test]
fn what_was_sent_ahead_is_not_sent_twice_when_the_answer_breaks_off() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let origin = Origin::new(move |_, mut instance| {
        instance.request();
        wait.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        instance.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n");
        instance.wait_for_close();
    });
    let world = World::before(&origin);
    let mut caller = world.connect();
    caller.send(GET);
    caller.stream().shutdown(Shutdown::Write).unwrap();
    let mut ahead = [0; 9];
    let mut got = 0;
    while got < ahead.len() {
        got += caller.read(&mut ahead[got..]).unwrap();
    }
    assert_eq!(&ahead, b"HTTP/1.1 ");
    go.send(()).unwrap();
    let (rest, _) = caller.rest();
    assert!(rest.starts_with(b"200 OK\r\n"), "{:?}", String::from_utf8_lossy(&rest));
    assert!(!rest.ends_with(b"0\r\n\r\n"), "the answer must not look whole");
}

#[test]
fn an_answer_that_its_caller_did_not_read_in_time_does_not_look_whole() {
    let origin = Origin::new(|_, mut instance| {
        instance.request();
        instance.send("HTTP/1.1 200 OK\r\n\r\n");
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..64 {
            instance.send(&piece);
        }
    });
    let more = "[[route]]\nservice = \"shop\"\nstream_idle = \"300ms\"\n";
    let text = config(&[origin.address], "").replace("[[route]]\nservice = \"shop\"\n", more);
    let world = World::new(&text);
    let mut caller = world.connect();
    caller.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(caller.head().status, 200);
    // What ends on HTTP/1.0 is the connection, so only a reset can say that something is missing.
    while world.open_connections() > 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let (got, reset) = caller.rest();
    assert!(reset, "{} bytes and a clean end", got.len());
}

#[test]
fn a_request_that_breaks_off_before_its_call_begins_is_not_told_with_another_ones_decisions() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let world = World::before(&origin);
    let mut caller = world.connect();
    caller.send(GET);
    assert_eq!(caller.answer().status, 200);
    caller.send("POST / HTTP/1.1\r\nHost: a\r\nX-Request-Id: broken-1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    assert_eq!(caller.answer().status, 400);
    assert!(caller.is_closed());
    let found = world.runtime.block_on(world.gateway.explain("broken-1"));
    let told: Vec<_> = found.iter().flat_map(|record| &record.entries).map(|entry| entry.what).collect();
    assert_eq!(told, [Decision::Ended(End::CallerLeft)]);
}

#[test]
fn a_trailer_is_no_way_around_what_a_route_says_of_a_header() {
    let origin = Origin::new(|_, mut instance| {
        let request = instance.request().unwrap();
        let names: Vec<_> = request.trailers.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(" ");
        let chunk = format!("{:x}\r\n{names}\r\n0\r\nServer-Timing: db\r\nX-Sum: 1\r\n\r\n", names.len());
        instance.send(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"));
    });
    let rules = "service = \"shop\"\nrequest_headers = { set = { x-user = \"nobody\" } }\n\
                 response_headers = { remove = [\"server-timing\"] }\n[service.shop]";
    let world = World::new(&config(&[origin.address], "").replace("service = \"shop\"\n[service.shop]", rules));
    let answer = world.ask(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         0\r\nX-User: admin\r\nX_User: admin\r\nX_Forwarded_For: 127.0.0.1\r\nX-Sum: 1\r\n\r\n",
    );
    assert_eq!(answer.text(), "x-sum");
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "1".to_owned())]);
}
