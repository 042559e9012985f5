//! Copies of calls for another service.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::mpsc;

use crate::world::{Origin, PATIENCE, World, config};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const POST: &str = "POST /cart?q=1 HTTP/1.1\r\nHost: a\r\nX-Mainstay-Mirror: sly\r\nContent-Length: 4\r\n\r\nbody";

fn mirroring(real: SocketAddr, shadow: SocketAddr) -> World {
    let mirror = "[[route]]\nmirror = { service = \"shadow\", share = \"100%\" }\n";
    let more = format!("[service.shadow]\nendpoints = [\"{shadow}\"]\n");
    World::new(&config(&[real], &more).replace("[[route]]\n", mirror))
}

#[test]
fn a_copy_has_all_of_the_call_and_a_mark() {
    let (send, copies) = mpsc::channel();
    let shadow = Origin::new(move |_, mut instance| {
        while let Some(request) = instance.request() {
            send.send(request).unwrap();
            instance.send("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let real = Origin::new(|_, mut instance| {
        while let Some(request) = instance.request() {
            assert_eq!(request.field("x-mainstay-mirror"), None, "a caller cannot say so");
            instance.send(OK);
        }
    });
    let world = mirroring(real.address, shadow.address);
    let mut caller = world.connect();
    for _ in 0..3 {
        caller.send(POST);
        let answer = caller.answer();
        assert_eq!((answer.status, answer.text()), (200, "ok"));
        let copy = copies.recv_timeout(PATIENCE).unwrap();
        assert_eq!((copy.line.as_str(), &copy.body[..]), ("POST /cart?q=1 HTTP/1.1", &b"body"[..]));
        assert_eq!((copy.field("host"), copy.field("x-mainstay-mirror")), (Some("a"), Some("1")));
    }
}

#[test]
fn a_copy_has_no_trailer_that_the_original_has_not() {
    const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                           0\r\nX-User: admin\r\nX-Mainstay-Mirror: 1\r\nX_Mainstay_Mirror: 1\r\nX-Sum: 1\r\n\r\n";
    let (send, trailers) = mpsc::channel();
    let origin = || {
        let send = send.clone();
        Origin::new(move |_, mut instance| {
            while let Some(request) = instance.request() {
                send.send(request.trailers).unwrap();
                instance.send(OK);
            }
        })
    };
    let (real, shadow) = (origin(), origin());
    let mirror = "[[route]]\nrequest_headers = { remove = [\"x-user\"] }\n\
                  mirror = { service = \"shadow\", share = \"100%\" }\n";
    let more = format!("[service.shadow]\nendpoints = [\"{}\"]\n", shadow.address);
    let world = World::new(&config(&[real.address], &more).replace("[[route]]\n", mirror));
    assert_eq!(world.ask(CHUNKED).text(), "ok");
    for _ in [&real, &shadow] {
        assert_eq!(trailers.recv_timeout(PATIENCE).unwrap(), [("x-sum".to_owned(), "1".to_owned())]);
    }
}

#[test]
fn nobody_notices_a_shadow_that_is_dead_or_hangs() {
    let real = Origin::answering(OK);
    let hangs = Origin::new(|_, mut instance| {
        instance.request();
        instance.wait_for_close();
    });
    for shadow in [Origin::nowhere(), hangs.address] {
        let world = mirroring(real.address, shadow);
        let mut caller = world.connect();
        for _ in 0..100 {
            caller.send(POST);
            assert_eq!(caller.answer().text(), "ok");
        }
    }
    assert_eq!(real.requests.load(Ordering::SeqCst), 200);
    assert!(hangs.requests.load(Ordering::SeqCst) <= 32, "no more are under way than may");
}
