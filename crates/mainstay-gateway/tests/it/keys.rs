//! Calls with an `Idempotency-Key`: what is carried out, and what their repeats get.

use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::world::{Answer, Caller, Origin, World, config};

const TABLE: &str = "[service.shop.idempotency]\n";
const CREATED: &str = "HTTP/1.1 201 Created\r\nContent-Length: 2\r\nLocation: /orders/7\r\n\
                       Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nX-Request-Id: of-the-instance\r\n\r\nok";

fn post(key: &str, body: &str) -> String {
    let length = body.len();
    format!("POST /orders HTTP/1.1\r\nHost: shop\r\nIdempotency-Key: {key}\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn reached(origin: &Origin) -> usize {
    origin.requests.load(Ordering::SeqCst)
}

fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("waited in vain for {what}");
}

#[track_caller]
fn is_refused(answer: &Answer, status: u16, reason: &str) {
    assert_eq!((answer.status, answer.field("content-type")), (status, Some("application/problem+json")));
    assert!(answer.text().contains(&format!("\"reason\":\"{reason}\"")), "{answer:?}");
}

#[test]
fn an_order_that_is_repeated_is_carried_out_once() {
    let origin = Origin::answering(CREATED);
    let world = World::new(&config(&[origin.address], TABLE));
    let first = world.ask(&post("\"order-7\"", "1 EUR"));
    assert_eq!((first.status, first.field("idempotent-replayed")), (201, None));
    for key in ["\"order-7\"", "order-7"] {
        let again = world.ask(&post(key, "1 EUR"));
        assert_eq!((again.status, again.text(), again.field("location")), (201, "ok", Some("/orders/7")));
        assert_eq!((again.field("idempotent-replayed"), again.field("age")), (Some("true"), Some("0")));
        assert_eq!(again.field("date"), Some("Sun, 06 Nov 1994 08:49:37 GMT"), "of the first answer");
        assert_ne!(again.field("x-request-id"), first.field("x-request-id"), "each request has its own");
    }
    assert_eq!(reached(&origin), 1);
    assert_eq!(world.ask(&post("order-8", "1 EUR")).field("idempotent-replayed"), None);
    assert_eq!(reached(&origin), 2);
}

#[test]
fn two_at_once_are_carried_out_once_and_both_get_the_answer() {
    let gate = Arc::new(Barrier::new(2));
    let origin = Origin::new({
        let gate = Arc::clone(&gate);
        move |_, mut instance| {
            while instance.request().is_some() {
                gate.wait();
                instance.send(CREATED);
            }
        }
    });
    let world = World::new(&config(&[origin.address], TABLE));
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..5).map(|_| scope.spawn(|| world.ask(&post("order-7", "1 EUR")))).collect();
        until("all of them", || world.open_connections() == 5);
        until("the first at the instance", || reached(&origin) == 1);
        std::thread::sleep(Duration::from_millis(50));
        gate.wait();
        let answers: Vec<_> = asked.into_iter().map(|asked| asked.join().unwrap()).collect();
        assert!(answers.iter().all(|answer| (answer.status, answer.text()) == (201, "ok")), "{answers:?}");
        let replayed = answers.iter().filter(|answer| answer.field("idempotent-replayed").is_some());
        assert_eq!((replayed.count(), reached(&origin)), (4, 1));
    });
}

#[test]
fn who_cannot_wait_for_the_first_is_told_to_come_again() {
    let origin = Origin::new(|_, mut instance| {
        instance.request();
        instance.wait_for_close();
    });
    let text =
        config(&[origin.address], TABLE).replace("service = \"shop\"\n", "service = \"shop\"\ntimeout = \"2s\"\n");
    let world = World::new(&text);
    let mut first = world.connect();
    first.send(post("order-7", "1 EUR"));
    until("the first at the instance", || reached(&origin) == 1);
    std::thread::sleep(Duration::from_millis(1500));
    // The first has half a second left and ends without an answer; what waits learns that in its own time.
    is_refused(&world.ask(&post("order-7", "1 EUR")), 409, "key_unknown");
    assert_eq!((first.answer().status, reached(&origin)), (504, 1));
}

#[test]
fn a_neighbour_at_the_same_address_does_not_get_the_answer_of_somebody_who_says_who_he_is() {
    let origin = Origin::answering(CREATED);
    let world = World::new(&config(&[origin.address], TABLE));
    for says in ["Cookie: s=me", "X-Api-Key: mine"] {
        let key = says.replace(": ", "-");
        let order = |says: &str| world.ask(&post(&key, "1 EUR").replace("Host", &format!("{says}\r\nHost")));
        assert_eq!((order(says).status, order(says).field("idempotent-replayed")), (201, Some("true")));
        for another in ["Cookie: s=another", "X-Api-Key: another", "X-Trace: of-nobody"] {
            is_refused(&order(another), 422, "key_reused");
        }
    }
    assert_eq!(reached(&origin), 2);
}

#[test]
fn a_key_stands_for_one_request_and_is_one_text() {
    let origin = Origin::answering(CREATED);
    let world = World::new(&config(&[origin.address], TABLE));
    assert_eq!(world.ask(&post("order-7", "1 EUR")).status, 201);
    is_refused(&world.ask(&post("order-7", "2 EUR")), 422, "key_reused");
    is_refused(&world.ask(&post("a, b", "1 EUR")), 400, "key_malformed");
    is_refused(&world.ask(&post("\"open", "1 EUR")), 400, "key_malformed");
    assert_eq!(reached(&origin), 1);
    for _ in 0..2 {
        let get = "GET /orders HTTP/1.1\r\nHost: shop\r\nIdempotency-Key: order-7\r\n\r\n";
        assert_eq!(world.ask(get).field("idempotent-replayed"), None, "what is idempotent needs no key");
    }
    let other = post("order-7", "1 EUR").replace("Host: shop\r\n", "Host: shop\r\nAuthorization: Bearer x\r\n");
    assert_eq!(world.ask(&other).field("idempotent-replayed"), None, "the key of another caller");
    assert_eq!(reached(&origin), 4);
}

#[test]
fn an_order_whose_caller_leaves_goes_on_and_its_answer_is_there_for_the_repeat() {
    let gate = Arc::new(Barrier::new(2));
    let origin = Origin::new({
        let gate = Arc::clone(&gate);
        move |_, mut instance| {
            while instance.request().is_some() {
                gate.wait();
                instance.send(CREATED);
            }
        }
    });
    let world = World::new(&config(&[origin.address], TABLE));
    let mut caller = world.connect();
    caller.send(post("order-7", "1 EUR"));
    until("the order at the instance", || reached(&origin) == 1);
    // A reset, which leaves no doubt that nobody is there.
    socket2::SockRef::from(caller.stream()).set_linger(Some(Duration::ZERO)).unwrap();
    drop(caller);
    std::thread::sleep(Duration::from_millis(100));
    gate.wait();
    let again = world.ask(&post("order-7", "1 EUR"));
    assert_eq!((again.status, again.field("idempotent-replayed"), reached(&origin)), (201, Some("true"), 1));
}

#[test]
fn what_may_have_been_applied_is_not_carried_out_again() {
    let origin = Origin::new(|_, mut instance| {
        instance.request();
    });
    let world = World::new(&config(&[origin.address], TABLE));
    assert_eq!(world.ask(&post("order-7", "1 EUR")).status, 502);
    is_refused(&world.ask(&post("order-7", "1 EUR")), 409, "key_unknown");
    assert_eq!(reached(&origin), 1);
    let honours = "[service.shop.retry]\nattempts = 1\nidempotency_key = \"upstream\"\n";
    let world = World::new(&config(&[origin.address], &format!("{TABLE}{honours}")));
    for _ in 0..2 {
        assert_eq!(world.ask(&post("order-7", "1 EUR")).status, 502, "a service that honours keys may be asked again");
    }
    assert_eq!(reached(&origin), 3);
}

#[test]
fn an_instance_that_did_nothing_leaves_the_key_free_and_any_other_answer_is_kept() {
    for (status, more, kept) in [
        ("429 Too Many Requests", "", false),
        ("503 Service Unavailable", "Retry-After: 1\r\n", false),
        ("503 Service Unavailable", "", true),
        ("500 Internal Server Error", "", true),
        ("404 Not Found", "", true),
    ] {
        let origin = Origin::new(move |_, mut instance| {
            while instance.request().is_some() {
                instance.send(format!("HTTP/1.1 {status}\r\n{more}Content-Length: 0\r\n\r\n"));
            }
        });
        let world = World::new(&config(&[origin.address], TABLE));
        let first = world.ask(&post("order-7", "1 EUR"));
        let again = world.ask(&post("order-7", "1 EUR"));
        assert_eq!((again.status, again.field("idempotent-replayed").is_some()), (first.status, kept), "{status}");
        assert_eq!(reached(&origin), if kept { 1 } else { 2 }, "{status}");
    }
    let world = World::new(&config(&[Origin::nowhere()], TABLE));
    for _ in 0..2 {
        assert_eq!(world.ask(&post("order-7", "1 EUR")).status, 502, "nothing was sent");
    }
}

#[test]
fn an_answer_that_is_too_large_to_keep_passes_and_its_key_is_remembered() {
    for head in ["Content-Length: 300000", "Connection: close"] {
        let origin = Origin::new(move |_, mut instance| {
            instance.request();
            instance.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{}", "x".repeat(300_000)));
        });
        let world = World::new(&config(&[origin.address], TABLE));
        assert_eq!(world.ask(&post("order-7", "1 EUR")).body.len(), 300_000);
        let again = world.ask(&post("order-7", "1 EUR"));
        is_refused(&again, 409, "key_not_kept");
        assert!(again.text().contains("\"first_status\":200"), "what became of it is told: {again:?}");
        let told = again.field("proxy-status").unwrap();
        assert!(told.contains("received-status=200"), "{told}");
        assert_eq!(reached(&origin), 1);
        let honours = "[service.shop.retry]\nidempotency_key = \"upstream\"\n";
        let world = World::new(&config(&[origin.address], &format!("{TABLE}{honours}")));
        for _ in 0..2 {
            let answer = world.ask(&post("order-7", "1 EUR"));
            assert_eq!(answer.status, 200, "a service that honours keys gives its own answer again");
        }
        assert_eq!(reached(&origin), 3);
    }
}

/// Callers whose bodies of 64 KiB stop in their middle.
fn slow_callers(count: usize, connect: impl Fn() -> Caller, key: &str) -> Vec<Caller> {
    let begin = |number| {
        let mut caller = connect();
        let key = if key.is_empty() { String::new() } else { format!("Idempotency-Key: {key}-{number}\r\n") };
        let body = "x".repeat(60_000);
        caller.send(format!("POST /slow HTTP/1.1\r\nHost: shop\r\n{key}Content-Length: 65536\r\n\r\n{body}"));
        caller
    };
    (0..count).map(begin).collect()
}

#[test]
fn strangers_who_fill_the_buffers_neither_refuse_an_order_nor_lose_its_answer() {
    let origin = Origin::answering(CREATED);
    let world = World::new(&config(&[origin.address], &format!("{TABLE}[limits]\nbuffers = \"1MiB\"\n")));
    let strangers = slow_callers(40, || world.connect(), "");
    until("a body that finds no room any more", || origin.connections.load(Ordering::SeqCst) > 0);
    for (key, body) in [("order-7", "1 EUR".to_owned()), ("order-8", "x".repeat(40_000))] {
        assert_eq!(world.ask(&post(key, &body)).status, 201);
        let again = world.ask(&post(key, &body));
        assert_eq!((again.status, again.field("idempotent-replayed")), (201, Some("true")), "{key}");
    }
    drop(strangers);
}

#[test]
fn strangers_with_keys_of_their_own_leave_the_others_room() {
    let origin = Origin::answering(CREATED);
    let world = World::new(&config(&[origin.address], &format!("{TABLE}memory = \"1MiB\"\n")));
    let mut strangers = slow_callers(40, || world.connect_from([127, 0, 0, 2]), "theirs");
    is_refused(&strangers[39].answer(), 503, "key_full");
    for (key, body) in [("order-7", "1 EUR".to_owned()), ("order-8", "x".repeat(40_000))] {
        assert_eq!(world.ask(&post(key, &body)).status, 201);
        assert_eq!(world.ask(&post(key, &body)).field("idempotent-replayed"), Some("true"), "{key}");
    }
    let mut short = world.connect_from([127, 0, 0, 2]);
    short.send(post("order-9", "1 EUR"));
    assert_eq!(short.answer().status, 201, "and for an order of ordinary length themselves");
    assert_eq!(reached(&origin), 3);
    drop(strangers);
    let lent = || world.runtime.block_on(world.gateway.services())[0].keys.unwrap().lent;
    until("what they were lent", || lent() == 0);
}

#[test]
fn whoever_floods_the_service_with_keys_loses_its_own_and_nobody_elses() {
    let origin = Origin::new(|_, mut instance| {
        while instance.request().is_some() {
            instance.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n{}", "x".repeat(2000)));
        }
    });
    let world = World::new(&config(&[origin.address], &format!("{TABLE}memory = \"1MiB\"\n")));
    let order = |number| world.ask(&post(&format!("order-{number}"), "1 EUR"));
    assert!((0..20).all(|number| order(number).status == 200));
    let mut flood = world.connect_from([127, 0, 0, 2]);
    for number in 0..4000 {
        flood.send(post(&format!("flood-{number}"), "1 EUR"));
        assert_eq!(flood.answer().status, 200);
    }
    let figures = world.runtime.block_on(world.gateway.services())[0].keys.unwrap();
    assert!(figures.forgotten > 1000, "the flood lost keys: {figures:?}");
    for number in 0..20 {
        assert_eq!(order(number).field("idempotent-replayed"), Some("true"), "order {number}");
    }
    assert_eq!(reached(&origin), 4020);
}

#[test]
fn a_kept_answer_comes_down_whole_however_slowly_it_is_read() {
    let origin = Origin::new(|_, mut instance| {
        instance.request();
        instance.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n{}", "x".repeat(200_000)));
        instance.wait_for_close();
    });
    let world = World::new(&config(&[origin.address], TABLE));
    for _ in 0..2 {
        let answer = world.ask(&post("order-7", "1 EUR"));
        assert_eq!((answer.status, answer.body.len()), (200, 200_000));
    }
    assert_eq!(reached(&origin), 1);
}

#[test]
fn of_a_long_body_the_beginning_and_the_length_stand_for_all_of_it() {
    let origin = Origin::answering(CREATED);
    let world = World::new(&config(&[origin.address], TABLE));
    let body = "x".repeat(200_000);
    assert_eq!(world.ask(&post("order-7", &body)).status, 201);
    assert_eq!(world.ask(&post("order-7", &body)).field("idempotent-replayed"), Some("true"));
    is_refused(&world.ask(&post("order-7", &body.replacen('x', "y", 1))), 422, "key_reused");
    is_refused(&world.ask(&post("order-7", &body[1..])), 422, "key_reused");
    assert_eq!(reached(&origin), 1);
}

#[test]
fn many_keys_stay_within_the_memory() {
    let origin = Origin::new(|_, mut instance| {
        while instance.request().is_some() {
            instance.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n{}", "x".repeat(2000)));
        }
    });
    let world = World::new(&config(&[origin.address], &format!("{TABLE}memory = \"1MiB\"\n")));
    let mut caller = world.connect();
    for number in 0..3000 {
        caller.send(post(&format!("order-{number}"), "1 EUR"));
        assert_eq!(caller.answer().status, 200);
    }
    let figures = world.runtime.block_on(world.gateway.services())[0].keys.unwrap();
    assert!(figures.bytes <= 1024 * 1024, "{figures:?}");
    assert!(figures.dropped > 1000, "answers made room: {figures:?}");
    assert_eq!(world.ask(&post("order-2999", "1 EUR")).field("idempotent-replayed"), Some("true"));
    is_refused(&world.ask(&post("order-2000", "1 EUR")), 409, "key_not_kept");
    assert_eq!(reached(&origin), 3000);
}

#[test]
fn what_another_service_answers_instead_is_kept_too_and_a_fixed_answer_is_not() {
    let lite = Origin::answering(CREATED);
    let tables = format!(
        "{TABLE}[service.shop.fallback]\nservice = \"lite\"\n[service.lite]\nendpoints = [\"{}\"]\n\
         [service.lite.idempotency]\n",
        lite.address
    );
    let world = World::new(&config(&[Origin::nowhere()], &tables));
    assert_eq!(world.ask(&post("order-7", "1 EUR")).field("idempotent-replayed"), None);
    assert_eq!(world.ask(&post("order-7", "1 EUR")).field("idempotent-replayed"), Some("true"));
    assert_eq!(reached(&lite), 1);
    let fixed = format!("{TABLE}[service.shop.fallback]\nrespond = {{ status = 202 }}\n");
    let world = World::new(&config(&[Origin::nowhere()], &fixed));
    for _ in 0..2 {
        let answer = world.ask(&post("order-7", "1 EUR"));
        assert_eq!((answer.status, answer.field("idempotent-replayed")), (202, None), "nothing was done");
    }
}
