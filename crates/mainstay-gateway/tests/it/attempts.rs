//! What becomes of a call whose instances fail.

use std::sync::atomic::Ordering;

use crate::world::{Origin, World, config};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";

#[test]
fn a_refused_connection_costs_no_call() {
    let origin = Origin::answering(OK);
    let world = World::new(&config(&[Origin::nowhere(), origin.address], "balance = \"round_robin\"\n"));
    let mut caller = world.connect();
    for request in [GET, POST].repeat(5) {
        caller.send(request);
        assert_eq!(caller.answer().text(), "ok");
    }
    assert_eq!(origin.requests.load(Ordering::SeqCst), 10);
}

#[test]
fn a_get_whose_connection_breaks_is_repeated_and_a_post_is_not() {
    let broken = Origin::new(|_, mut instance| {
        instance.request();
    });
    let world = World::new(&config(&[broken.address], ""));
    let answer = world.ask(GET);
    assert_eq!((answer.status, broken.requests.load(Ordering::SeqCst)), (502, 3));
    let answer = world.ask(POST);
    assert_eq!((answer.status, broken.requests.load(Ordering::SeqCst)), (502, 4));
    assert!(answer.field("proxy-status").unwrap().contains("error=connection_terminated"), "{answer:?}");
    assert_eq!(world.attempts(), 4);
}

#[test]
fn a_body_that_is_kept_goes_whole_to_the_next_instance() {
    let origin = Origin::new(|number, mut instance| {
        let request = instance.request().unwrap();
        assert_eq!(request.body, b"body");
        if number > 0 {
            instance.send(OK);
        }
    });
    let world = World::before(&origin);
    let answer = world.ask("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!((answer.status, answer.text()), (200, "ok"));
}

#[test]
fn a_body_that_is_too_long_to_keep_commits_the_call() {
    let origin = Origin::new(|_, mut instance| {
        instance.request();
    });
    let world = World::new(&config(&[origin.address], "[service.shop.retry]\nbuffer = \"1KiB\"\n"));
    let body = "x".repeat(2000);
    let answer = world.ask(&format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n{body}"));
    assert_eq!((answer.status, origin.requests.load(Ordering::SeqCst)), (502, 1));
}

#[test]
fn what_an_instance_answers_must_be_http() {
    for nonsense in ["SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"] {
        let origin = Origin::new(move |_, mut instance| {
            instance.request();
            instance.send(nonsense);
            instance.wait_for_close();
        });
        let world = World::before(&origin);
        let answer = world.ask(POST);
        assert_eq!(answer.status, 502);
        assert!(answer.field("proxy-status").unwrap().contains("error=http_protocol_error"), "{answer:?}");
    }
}

#[test]
fn an_answer_that_breaks_off_never_looks_whole() {
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let origin = Origin::new(move |_, mut instance| {
            instance.request();
            instance.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n3\r\nabc\r\n"));
        });
        let world = World::before(&origin);
        for version in ["1.1", "1.0"] {
            let mut caller = world.connect();
            caller.send(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"));
            let (got, reset) = caller.rest();
            let text = String::from_utf8(got).unwrap();
            let framed = text.contains("content-length") || text.contains("Content-Length") || text.contains("hunked");
            assert!(framed || reset, "{version} {head}: {text}");
            assert!(!text.ends_with("0\r\n\r\n"), "{text}");
        }
    }
}

#[test]
fn an_instance_that_hangs_costs_the_attempts_time_and_no_more() {
    let hangs = Origin::new(|_, mut instance| {
        instance.request();
        instance.wait_for_close();
    });
    let origin = Origin::answering(OK);
    let world = World::new(&config(
        &[hangs.address, origin.address],
        "balance = \"round_robin\"\n[service.shop.timeout]\nattempt = \"100ms\"\n",
    ));
    for _ in 0..4 {
        assert_eq!(world.ask(GET).text(), "ok");
    }
}

#[test]
fn the_deadline_of_a_call_is_kept() {
    let hangs = Origin::new(|_, mut instance| {
        instance.request();
        instance.wait_for_close();
    });
    let text = config(&[hangs.address], "").replace("[[route]]\n", "[[route]]\ntimeout = \"200ms\"\n");
    let world = World::new(&text);
    let answer = world.ask(GET);
    assert_eq!(answer.status, 504);
    assert!(answer.field("proxy-status").unwrap().contains("error=http_response_timeout"), "{answer:?}");
}

#[test]
fn an_idle_connection_that_the_instance_closed_is_not_used() {
    let origin = Origin::new(|_, mut instance| {
        instance.request();
        instance.send(OK);
    });
    let world = World::before(&origin);
    let mut caller = world.connect();
    for _ in 0..5 {
        caller.send(POST);
        assert_eq!(caller.answer().text(), "ok");
        // The instance's FIN needs a moment to arrive.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(world.attempts(), 5);
}

#[test]
fn who_asks_while_all_permits_are_taken_waits_for_one() {
    let origin = Origin::new(|_, mut instance| {
        while instance.request().is_some() {
            std::thread::sleep(std::time::Duration::from_millis(20));
            instance.send(OK);
        }
    });
    let world = World::new(&config(&[origin.address], "[service.shop.bulkhead]\nconcurrency = 1\nqueue = 8\n"));
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..5).map(|_| scope.spawn(|| world.ask(GET).status)).collect();
        for answer in asked {
            assert_eq!(answer.join().unwrap(), 200);
        }
    });
}

#[test]
fn who_finds_the_queue_full_is_refused_at_once() {
    let origin = Origin::new(|_, mut instance| {
        instance.request();
        instance.wait_for_close();
    });
    let world = World::new(&config(&[origin.address], "[service.shop.bulkhead]\nconcurrency = 1\nqueue = \"off\"\n"));
    let mut first = world.connect();
    first.send(GET);
    while origin.requests.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    let answer = world.ask(GET);
    assert_eq!(answer.status, 503);
    assert!(matches!(answer.field("retry-after"), Some("1" | "2")), "drawn for each: {answer:?}");
}

#[test]
fn another_service_answers_and_then_a_fixed_answer() {
    let lite = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlite");
    let tables = |lite| {
        format!(
            "[service.shop.fallback]\nservice = \"lite\"\n[service.lite]\nendpoints = [\"{lite}\"]\n\
             [service.lite.fallback]\nrespond = {{ status = 200, body = \"fixed\" }}\n"
        )
    };
    let world = World::new(&config(&[Origin::nowhere()], &tables(lite.address)));
    let mut caller = world.connect();
    for _ in 0..3 {
        caller.send(POST);
        assert_eq!(caller.answer().text(), "lite");
    }
    let world = World::new(&config(&[Origin::nowhere()], &tables(Origin::nowhere())));
    assert_eq!(world.ask(GET).text(), "fixed");
}
