//! Attempts side by side.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::world::{Instance, Origin, World, config};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn hang(mut instance: Instance) {
    instance.request();
    instance.wait_for_close();
}

/// A gateway that asks `first` first, then the others in their order, each 20 ms after the one before.
fn hedging(endpoints: &[&Origin], more: &str) -> World {
    let addresses: Vec<_> = endpoints.iter().map(|origin| origin.address).collect();
    let hedge = format!("balance = \"round_robin\"\nretry = {{ hedge = {{ after = \"20ms\" }}{more} }}\n");
    World::new(&config(&addresses, &hedge))
}

#[test]
fn an_instance_that_hangs_is_outrun_by_another() {
    let (hangs, quick) = (Origin::new(|_, instance| hang(instance)), Origin::answering(OK));
    let world = hedging(&[&hangs, &quick], "");
    let mut caller = world.connect();
    for _ in 0..6 {
        caller.send(GET);
        assert_eq!(caller.answer().text(), "ok");
    }
    let hung = hangs.requests.load(Ordering::SeqCst);
    assert!(hung > 0);
    assert_eq!(quick.requests.load(Ordering::SeqCst), 6);
    assert_eq!(world.attempts(), 6 + hung as u64, "each is counted once");
}

#[test]
fn both_attempts_have_the_whole_body() {
    let first = Origin::new(|_, mut instance| {
        assert_eq!(instance.request().unwrap().body, b"body");
        instance.wait_for_close();
    });
    let second = Origin::new(|_, mut instance| {
        assert_eq!(instance.request().unwrap().body, b"body");
        instance.send(OK);
    });
    let world = hedging(&[&first, &second], "");
    let answer = world.ask("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!((answer.status, answer.text()), (200, "ok"));
    assert_eq!(first.requests.load(Ordering::SeqCst) + second.requests.load(Ordering::SeqCst), 2);
}

#[test]
fn a_post_and_a_body_that_is_not_kept_are_not_hedged() {
    let slow = |_, mut instance: Instance| {
        while instance.request().is_some() {
            std::thread::sleep(Duration::from_millis(60));
            instance.send(OK);
        }
    };
    let (one, two) = (Origin::new(slow), Origin::new(slow));
    let world = hedging(&[&one, &two], ", buffer = \"1KiB\"");
    assert_eq!(world.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody").text(), "ok");
    let body = "x".repeat(2000);
    assert_eq!(world.ask(&format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n{body}")).text(), "ok");
    assert_eq!(world.attempts(), 2);
}

/// Waits until `count` has come to `n`.
fn wait_for(count: &AtomicUsize, n: usize) {
    while count.load(Ordering::SeqCst) < n {
        std::thread::yield_now();
    }
}

#[test]
fn an_answer_that_fails_waits_for_the_other_attempt() {
    let (asked, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let instance = |answer: &'static str, before: usize| {
        let (asked, answered) = (Arc::clone(&asked), Arc::clone(&answered));
        Origin::new(move |_, mut instance| {
            instance.request();
            asked.fetch_add(1, Ordering::SeqCst);
            wait_for(&asked, 2);
            wait_for(&answered, before);
            instance.send(answer);
            answered.fetch_add(1, Ordering::SeqCst);
            instance.wait_for_close();
        })
    };
    let fails = instance("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", 0);
    let slow = instance(OK, 1);
    let world = hedging(&[&fails, &slow], ", attempts = 2");
    assert_eq!(world.ask(GET).text(), "ok");
    assert_eq!(world.attempts(), 2);
}

#[test]
fn an_interim_answer_goes_down_only_where_the_answer_must_come_from_the_same() {
    let asked = Arc::new(AtomicUsize::new(0));
    let instance = || {
        let asked = Arc::clone(&asked);
        Origin::new(move |_, mut instance| {
            instance.request();
            asked.fetch_add(1, Ordering::SeqCst);
            wait_for(&asked, 2);
            instance.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
            instance.send(OK);
            instance.wait_for_close();
        })
    };
    let (one, two) = (instance(), instance());
    let world = hedging(&[&one, &two], "");
    assert_eq!(world.ask(GET).text(), "ok");
}

#[test]
fn a_caller_who_leaves_ends_all_attempts() {
    let (one, two) = (Origin::new(|_, instance| hang(instance)), Origin::new(|_, instance| hang(instance)));
    let world = hedging(&[&one, &two], "");
    let mut caller = world.connect();
    caller.send(GET);
    while one.requests.load(Ordering::SeqCst) + two.requests.load(Ordering::SeqCst) < 2 {
        std::thread::yield_now();
    }
    drop(caller);
    while world.attempts() < 2 {
        std::thread::yield_now();
    }
}
