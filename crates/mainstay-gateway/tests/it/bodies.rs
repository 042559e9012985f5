//! Bodies in both directions: framing, trailers, streaming and back-pressure.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_policy::{Decision, End, Refusal};

use crate::world::{Origin, World, config};

#[test]
fn a_chunked_request_arrives_with_its_trailers() {
    let origin = Origin::new(|_, mut instance| {
        while let Some(request) = instance.request() {
            let sum = request.trailers.iter().find(|(name, _)| name == "x-sum").map_or("none", |(_, sum)| sum);
            let body = format!("{} {sum}", String::from_utf8_lossy(&request.body));
            instance.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        }
    });
    let world = World::before(&origin);
    let mut caller = world.connect();
    for _ in 0..3 {
        caller.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n");
        caller.send("5\r\nhello\r\n");
        caller.send("6;ext=1\r\n world\r\n0\r\nX-Sum: 42\r\n\r\n");
        assert_eq!(caller.answer().text(), "hello world 42");
    }
}

#[test]
fn a_chunked_answer_arrives_with_its_trailers() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\nx-sum: 6\r\n\r\n",
    );
    let world = World::before(&origin);
    let mut caller = world.connect();
    for _ in 0..3 {
        caller.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = caller.answer();
        assert_eq!(answer.text(), "abcdef");
        assert_eq!(answer.trailers, [("x-sum".to_owned(), "6".to_owned())]);
    }
    assert_eq!(origin.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn an_answer_up_to_the_end_of_the_connection_becomes_chunked() {
    let origin = Origin::new(|_, mut instance| {
        instance.request();
        instance.send("HTTP/1.1 200 OK\r\n\r\nall there is");
    });
    let world = World::before(&origin);
    let mut caller = world.connect();
    for _ in 0..2 {
        caller.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(caller.answer().text(), "all there is");
    }
    assert_eq!(origin.connections.load(Ordering::SeqCst), 2);
}

#[test]
fn answers_without_a_body_leave_the_connection_in_order() {
    let origin = Origin::new(|_, mut instance| {
        while let Some(request) = instance.request() {
            instance.send(match request.line.split(' ').nth(1).unwrap() {
                "/head" => "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
                "/none" => "HTTP/1.1 204 No Content\r\n\r\n",
                "/same" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            });
        }
    });
    let world = World::before(&origin);
    let mut caller = world.connect();
    for (method, path, status, length) in [
        ("HEAD", "/head", 200, Some("1000")),
        ("GET", "/none", 204, None),
        ("GET", "/same", 304, Some("1000")),
        ("GET", "/", 200, Some("2")),
    ] {
        caller.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let answer = caller.answer_to(method);
        assert_eq!((answer.status, answer.field("content-length")), (status, length), "{path}");
    }
    assert_eq!(origin.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn a_caller_that_expects_100_is_told_to_go_on() {
    let origin = Origin::new(|_, mut instance| {
        while let Some(request) = instance.request() {
            assert_eq!(request.field("expect"), None);
            assert_eq!(request.body, b"hello");
            instance.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let world = World::before(&origin);
    let mut caller = world.connect();
    caller.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(caller.head().status, 100);
    caller.send("hello");
    assert_eq!(caller.answer().text(), "ok");
}

#[test]
fn interim_answers_go_through_before_the_answer() {
    let origin = Origin::answering(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let world = World::before(&origin);
    let mut caller = world.connect();
    caller.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let hints = caller.head();
    assert_eq!((hints.status, hints.field("link")), (103, Some("</a>")));
    assert_eq!(caller.answer().text(), "ok");
}

#[test]
fn an_answer_before_the_end_of_the_request_goes_down_and_the_connection_closes() {
    let origin = Origin::new(|_, mut instance| {
        instance.head();
        instance.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        instance.wait_for_close();
    });
    let world = World::before(&origin);
    let mut caller = world.connect();
    // More than is kept, so that the call begins before the end of the body.
    let part = "x".repeat(80 << 10);
    caller.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n{part}"));
    let answer = caller.answer();
    assert_eq!((answer.status, answer.text(), answer.field("connection")), (403, "no", Some("close")));
    assert!(caller.is_closed());
}

/// As many bytes as no buffer on the way would hold.
const LARGE: usize = 64 << 20;

#[test]
fn a_large_answer_waits_for_a_slow_caller() {
    let written = Arc::new(AtomicUsize::new(0));
    let progress = Arc::clone(&written);
    let origin = Origin::new(move |_, mut instance| {
        instance.request();
        instance.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n"));
        let piece = [b'x'; 64 << 10];
        for _ in 0..LARGE / piece.len() {
            instance.reader.get_mut().write_all(&piece).unwrap();
            progress.fetch_add(piece.len(), Ordering::SeqCst);
        }
    });
    let world = World::before(&origin);
    let mut caller = world.connect();
    caller.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(caller.head().status, 200);
    // Nobody reads: the origin fills the buffers of two sockets and gets no further.
    let mut before = usize::MAX;
    while before != written.load(Ordering::SeqCst) {
        before = written.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(before < LARGE / 2, "{before} bytes were taken though nobody reads");
    let (mut piece, mut total) = (vec![0; 1 << 20], 0);
    while total < LARGE {
        let count = caller.read(&mut piece).unwrap();
        assert!(count > 0);
        assert!(piece[..count].iter().all(|byte| *byte == b'x'));
        total += count;
    }
    assert_eq!(total, LARGE);
}

#[test]
fn a_large_request_waits_for_a_slow_instance() {
    let (go, goes) = std::sync::mpsc::channel::<()>();
    let goes = std::sync::Mutex::new(goes);
    let origin = Origin::new(move |_, mut instance| {
        instance.head();
        goes.lock().unwrap().recv().unwrap();
        let (mut piece, mut total) = (vec![0; 1 << 20], 0);
        while total < LARGE {
            total += instance.reader.read(&mut piece).unwrap();
        }
        instance.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let world = World::before(&origin);
    let mut caller = world.connect();
    caller.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n"));
    let mut stream = caller.stream().try_clone().unwrap();
    let written = Arc::new(AtomicUsize::new(0));
    let progress = Arc::clone(&written);
    let writer = std::thread::spawn(move || {
        let piece = [b'x'; 64 << 10];
        for _ in 0..LARGE / piece.len() {
            stream.write_all(&piece).unwrap();
            progress.fetch_add(piece.len(), Ordering::SeqCst);
        }
    });
    let mut before = usize::MAX;
    while before != written.load(Ordering::SeqCst) {
        before = written.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(before < LARGE / 2, "{before} bytes were taken though nobody reads");
    go.send(()).unwrap();
    writer.join().unwrap();
    assert_eq!(caller.answer().text(), "ok");
}

#[test]
fn a_body_over_the_limit_is_refused_however_it_is_framed() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let world = World::new(&config(&[origin.address], "[limits]\nbody = \"8B\"\n"));
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n123456789",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n0\r\n\r\n",
    ] {
        assert_eq!(world.ask(request).status, 413, "{request}");
    }
    assert_eq!(world.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n12345678").status, 200);
}

#[test]
fn a_caller_whose_body_stops_coming_is_told_so() {
    let origin = Origin::new(|_, mut instance| {
        instance.head();
        instance.wait_for_close();
    });
    let nothing_kept = ["retry = \"off\"\n", "[service.shop.retry]\nbuffer = \"0B\"\n"];
    for (more, asked) in [("", 0), (nothing_kept[0], 1), (nothing_kept[1], 2)] {
        let text = config(&[origin.address], more).replace("[[route]]\n", "[[route]]\ntimeout = \"200ms\"\n");
        let world = World::new(&text);
        let mut caller = world.connect();
        caller.send("POST / HTTP/1.1\r\nHost: a\r\nX-Request-Id: slow-1\r\nContent-Length: 10\r\n\r\npart");
        assert_eq!(caller.answer().status, 408);
        assert!(caller.is_closed());
        assert_eq!(origin.requests.load(Ordering::SeqCst), asked, "{more}");
        let found = world.runtime.block_on(world.gateway.explain("slow-1"));
        let end = found.iter().flat_map(|record| &record.entries).map(|entry| entry.what).next_back();
        assert_eq!(end, Some(Decision::Ended(End::Refused(Refusal::SlowRequest))), "{more}");
    }
}

#[test]
fn a_body_that_trickles_in_for_ever_has_an_end() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let world = World::new(&config(&[origin.address], "[limits]\nheader_timeout = \"200ms\"\n"));
    let mut caller = world.connect();
    caller.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    let mut stream = caller.stream().try_clone().unwrap();
    let trickle = std::thread::spawn(move || {
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    assert_eq!(caller.answer().status, 408);
    drop(caller);
    trickle.join().unwrap();
    assert_eq!(origin.requests.load(Ordering::SeqCst), 0);
}

#[test]
fn a_slow_body_holds_no_permit() {
    let origin = Origin::new(|_, mut instance| {
        while let Some(request) = instance.request() {
            let length = request.body.len();
            instance.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{length:02}"));
        }
    });
    let more = "[service.shop.bulkhead]\nconcurrency = 1\nqueue = \"off\"\n";
    let world = World::new(&config(&[origin.address], more));
    let mut slow: Vec<_> = (0..3).map(|_| world.connect()).collect();
    for caller in &mut slow {
        caller.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n");
        assert_eq!(caller.head().status, 100, "nobody waits for a permit to be told to go on");
        caller.send("begin");
    }
    assert_eq!(world.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    for caller in &mut slow {
        caller.send("ended");
        assert_eq!(caller.answer().text(), "10");
    }
}

#[test]
fn the_time_for_the_answer_counts_from_the_last_of_the_body() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let text = config(&[origin.address], "").replace("[[route]]\n", "[[route]]\ntimeout = \"2s\"\n");
    let world = World::new(&text);
    let mut caller = world.connect();
    caller.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(600));
        caller.send("x");
    }
    assert_eq!(caller.answer().text(), "ok");
}
