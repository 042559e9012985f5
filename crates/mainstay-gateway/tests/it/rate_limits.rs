//! Rate limits from a caller's side: what it is told, how long it waits, who is believed.

use std::time::{Duration, Instant};

use crate::world::{Caller, Origin, PATIENCE, World, config};

const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// A gateway whose only route has the limit `l` with these keys.
fn limited(origin: &Origin, limit: &str) -> World {
    let text = config(&[origin.address], &format!("[rate_limit.l]\n{limit}\n"));
    World::new(&text.replace("[[route]]", "[[route]]\nrate_limit = [\"l\"]"))
}

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nhost: x\r\n{fields}\r\n")
}

/// How many of `times` requests with these fields are let through.
fn admitted(world: &World, fields: &str, times: usize) -> usize {
    (0..times).filter(|_| world.ask(&get(fields)).status == 200).count()
}

#[test]
fn a_refused_caller_is_told_when_to_ask_again_and_by_which_limit() {
    let origin = Origin::answering(HELLO);
    let world = limited(&origin, "rate = \"1/m\"\nburst = 2");
    let first = world.ask(&get(""));
    assert_eq!(first.status, 200);
    assert_eq!(first.field("ratelimit-policy"), Some("\"l\";q=2;w=120"));
    assert_eq!(first.field("ratelimit"), Some("\"l\";r=1;t=60"), "one is left, and in a minute both are");
    assert_eq!(first.field("retry-after"), None);
    assert_eq!(admitted(&world, "", 1), 1);
    let refused = world.ask(&get(""));
    assert_eq!(refused.status, 429);
    assert_eq!(refused.field("ratelimit-policy"), Some("\"l\";q=2;w=120"));
    let wait = refused.field("retry-after").unwrap();
    assert!((1..=60).contains(&wait.parse::<u64>().unwrap()), "{wait}");
    assert_eq!(refused.field("ratelimit"), Some(&*format!("\"l\";r=0;t={wait}")), "both tell the same instant");
}

#[test]
fn a_wait_of_less_than_a_second_is_told_as_one_and_never_as_none() {
    let world = limited(&Origin::answering(HELLO), "rate = \"20/s\"\nburst = 1");
    let refused = (0..50).map(|_| world.ask(&get(""))).find(|answer| answer.status == 429).unwrap();
    assert_eq!(refused.field("retry-after"), Some("1"));
    assert_eq!(refused.field("ratelimit"), Some("\"l\";r=0;t=1"));
}

#[test]
fn a_queue_turns_a_burst_into_a_stream_and_refuses_who_would_wait_too_long() {
    let limit = "rate = \"20/s\"\nalgorithm = \"leaky_bucket\"\nburst = 4\non_exceeded = \"queue\"";
    let world = limited(&Origin::answering(HELLO), limit);
    let began = Instant::now();
    let answers: Vec<(u16, Duration)> = std::thread::scope(|scope| {
        let ask = || scope.spawn(|| (world.ask(&get("")).status, began.elapsed()));
        let callers: Vec<_> = (0..12).map(|_| ask()).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    let mut served: Vec<Duration> = answers.iter().filter(|(status, _)| *status == 200).map(|(_, at)| *at).collect();
    served.sort_unstable();
    assert!(served.len() >= 5, "one goes at once and four wait: {answers:?}");
    assert!(answers.iter().all(|(status, _)| [200, 429].contains(status)), "{answers:?}");
    // Never faster than the rate, however slow this machine is: the n-th place comes n intervals after the first.
    for (number, at) in (0u32..).zip(&served) {
        assert!(*at >= Duration::from_millis(50) * number, "the {number}th after {at:?}: {served:?}");
    }
}

#[test]
fn nobody_waits_past_its_deadline() {
    let limit = "rate = \"1/m\"\nburst = 1\non_exceeded = \"queue\"\nqueue_timeout = \"5m\"";
    let world = limited(&Origin::answering(HELLO), limit);
    assert_eq!(admitted(&world, "", 1), 1);
    let began = Instant::now();
    assert_eq!(world.ask(&get("")).status, 429, "its place comes in a minute, and the route has fifteen seconds");
    assert!(began.elapsed() < Duration::from_secs(10), "and it is told at once");
}

/// Whether nothing comes for a while.
fn is_silent(caller: &Caller, millis: u64) -> bool {
    caller.stream().set_read_timeout(Some(Duration::from_millis(millis))).unwrap();
    let silent = caller.stream().peek(&mut [0]).is_err();
    caller.stream().set_read_timeout(Some(PATIENCE)).unwrap();
    silent
}

#[test]
fn the_place_of_a_caller_that_leaves_is_free_again() {
    let limit = "rate = \"1/h\"\nburst = 1\non_exceeded = \"queue\"\nqueue_timeout = \"90m\"\nqueue = 1";
    let origin = Origin::answering(HELLO);
    let text = config(&[origin.address], &format!("[rate_limit.l]\n{limit}\n"));
    let world = World::new(&text.replace("[[route]]", "[[route]]\nrate_limit = [\"l\"]\ntimeout = \"3h\""));
    assert_eq!(admitted(&world, "", 1), 1);
    let mut callers = [world.connect(), world.connect()];
    callers.iter_mut().for_each(|caller| caller.send(get("")));
    // One of the two waits for an hour, and the other finds the queue full.
    let end = Instant::now() + PATIENCE;
    let refused = loop {
        assert!(Instant::now() < end, "nobody was refused");
        if let Some(refused) = callers.iter().position(|caller| !is_silent(caller, 20)) {
            break refused;
        }
    };
    assert_eq!(callers[refused].answer().status, 429);
    assert!(is_silent(&callers[1 - refused], 20));
    drop(callers);
    loop {
        let mut next = world.connect();
        next.send(get(""));
        if is_silent(&next, 300) {
            break;
        }
        assert!(Instant::now() < end, "the place stays taken");
    }
}

#[test]
fn a_tier_is_believed_from_a_trusted_proxy_only() {
    let limit =
        "rate = \"1/m\"\nburst = 2\ntier_from = \"header:x-tier\"\ntiers = { gold = { rate = \"1/m\", burst = 9 } }";
    let origin = Origin::answering(HELLO);
    let text = config(&[origin.address], &format!("[rate_limit.l]\n{limit}\n"));
    let text = text.replace("[[route]]", "[[route]]\nrate_limit = [\"l\"]");
    let stranger = World::new(&text);
    assert_eq!(admitted(&stranger, "x-tier: gold\r\n", 12), 2, "anybody can write a header");
    let trusted = World::new(&text.replace("[[listener]]", "[[listener]]\ntrusted_proxies = [\"127.0.0.1\"]"));
    assert_eq!(admitted(&trusted, "x-tier: gold\r\nx-forwarded-for: 203.0.113.7\r\n", 12), 9);
    assert_eq!(admitted(&trusted, "x-tier: lead\r\nx-forwarded-for: 203.0.113.8\r\n", 12), 2, "there is no such tier");
    assert_eq!(admitted(&trusted, "x-forwarded-for: 203.0.113.9\r\n", 12), 2);
}

#[test]
fn a_compound_key_counts_each_combination_and_all_that_lack_a_part_together() {
    let limit = "rate = \"1/m\"\nburst = 2\nkey = [\"client_ip\", \"header:x-tenant\"]";
    let origin = Origin::answering(HELLO);
    let text = config(&[origin.address], &format!("[rate_limit.l]\n{limit}\n"));
    let text = text.replace("[[route]]", "[[route]]\nrate_limit = [\"l\"]");
    let world = World::new(&text.replace("[[listener]]", "[[listener]]\ntrusted_proxies = [\"127.0.0.1\"]"));
    let count = |client: &str, tenant: &str| {
        let tenant = if tenant.is_empty() { String::new() } else { format!("x-tenant: {tenant}\r\n") };
        admitted(&world, &format!("x-forwarded-for: {client}\r\n{tenant}"), 4)
    };
    assert_eq!(count("203.0.113.7", "a"), 2);
    assert_eq!(count("203.0.113.7", "b"), 2);
    assert_eq!(count("203.0.113.8", "a"), 2);
    assert_eq!(count("203.0.113.7", "a"), 0);
    assert_eq!(count("203.0.113.7", ""), 2);
    assert_eq!(count("203.0.113.7", ""), 0);
}

#[test]
fn an_adaptive_limit_falls_while_its_calls_fail() {
    let failing = Origin::answering("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n");
    let limit = "rate = \"100/s\"\nburst = 1000\nkey = \"global\"\nadaptive = true";
    let more = format!("retry = \"off\"\nbreaker = \"off\"\noutlier = \"off\"\n[rate_limit.l]\n{limit}\n");
    let world = World::new(&config(&[failing.address], &more).replace("[[route]]", "[[route]]\nrate_limit = [\"l\"]"));
    let end = Instant::now() + PATIENCE;
    let policy = loop {
        let answer = world.ask(&get(""));
        let policy = answer.field("ratelimit-policy").map(str::to_owned);
        if policy.as_deref().is_some_and(|policy| policy != "\"l\";q=1000;w=10") {
            break policy.unwrap();
        }
        assert!(Instant::now() < end, "it was never lowered");
    };
    assert!(policy.starts_with("\"l\";q=") && policy.ends_with(";w=10"), "{policy}");
}
