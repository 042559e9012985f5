use mainstay_core::Duration;
use mainstay_policy::{RateLimitAlgorithm, TierSettings};

use super::*;
use crate::forward::tests::request;

fn limit(name: &str, key: &[KeyPart], rate: &str, burst: u64) -> RateLimit {
    let policy = RateLimitSettings {
        algorithm: RateLimitAlgorithm::TokenBucket,
        rate: rate.parse().unwrap(),
        burst,
        tiers: Vec::new(),
        on_exceeded: OnExceeded::Reject,
        adaptive: false,
        max_keys: 1000,
    };
    RateLimit { name: name.to_owned(), key: key.to_vec(), tiers: None, policy, line: None }
}

/// A limit of one a second under which a minute may be waited, by as many as `calls`.
fn queueing(calls: u32) -> RateLimit {
    let mut limit = limit("q", &[KeyPart::Global], "1/s", 1);
    limit.policy.on_exceeded = OnExceeded::Queue { timeout: Duration::from_secs(60), calls };
    limit
}

const NOW: Instant = Instant::from_nanos(1_000_000_000);
const FIRST: [RateLimitId; 1] = [RateLimitId(0)];

/// What the limits say to a request.
fn hear(limits: &Limits, ids: &[RateLimitId], client: &str, text: &str) -> (Option<Said>, Hearing) {
    hear_at(limits, NOW, ids, client, text)
}

fn hear_at(limits: &Limits, now: Instant, ids: &[RateLimitId], client: &str, text: &str) -> (Option<Said>, Hearing) {
    let mut hearing = Hearing::default();
    let trusted = text.contains("Trusted");
    let (client, deadline) = (client.parse().unwrap(), now + Duration::from_secs(15));
    let said = request(text, |request| {
        let asking = Asking { request, path: request.path(), client, trusted, deadline };
        limits.ask(now, ids, &asking, &mut hearing)
    });
    (said, hearing)
}

/// How many of `times` calls are admitted.
fn admitted(limits: &Limits, ids: &[RateLimitId], times: usize, client: &str, text: &str) -> usize {
    (0..times).filter(|_| hear(limits, ids, client, text).0.is_some_and(|said| said.verdict.admitted)).count()
}

const PLAIN: &str = "GET /a HTTP/1.1\nHost: h\nX-Key: k1";

#[test]
fn each_client_has_its_own_burst() {
    let limits = Limits::of(&[limit("l", &[KeyPart::ClientIp], "1/s", 5)], &Limits::default(), NOW);
    assert_eq!(admitted(&limits, &FIRST, 9, "203.0.113.7", PLAIN), 5);
    assert_eq!(admitted(&limits, &FIRST, 9, "203.0.113.8", PLAIN), 5);
    assert_eq!(admitted(&limits, &FIRST, 9, "::ffff:203.0.113.8", PLAIN), 0, "the same client by another socket");
}

#[test]
fn an_ipv6_customer_is_one_client_with_all_its_addresses() {
    let limits = Limits::of(&[limit("l", &[KeyPart::ClientIp], "1/s", 5)], &Limits::default(), NOW);
    assert_eq!(admitted(&limits, &FIRST, 4, "2001:db8:1:1::1", PLAIN), 4);
    assert_eq!(admitted(&limits, &FIRST, 4, "2001:db8:1:1:ffff::2", PLAIN), 1);
    assert_eq!(admitted(&limits, &FIRST, 4, "2001:db8:1:2::1", PLAIN), 4);
}

#[test]
fn a_key_is_what_the_configuration_says() {
    let other_key = "GET /a HTTP/1.1\nHost: h\nX-Key: k2";
    let other_path = "GET /b HTTP/1.1\nHost: h\nX-Key: k1";
    for (key, by_client, by_key, by_path) in [
        (&[KeyPart::ClientIp][..], 1, 0, 0),
        (&[KeyPart::Header("x-key".to_owned())], 0, 1, 0),
        (&[KeyPart::Path], 0, 0, 1),
        (&[KeyPart::Global], 0, 0, 0),
        (&[KeyPart::Path, KeyPart::Header("x-key".to_owned())], 0, 1, 1),
    ] {
        let fresh = || {
            let limits = Limits::of(&[limit("l", key, "1/s", 1)], &Limits::default(), NOW);
            assert_eq!(admitted(&limits, &FIRST, 1, "203.0.113.7", PLAIN), 1);
            limits
        };
        assert_eq!(admitted(&fresh(), &FIRST, 1, "203.0.113.9", PLAIN), by_client, "{key:?}: another client");
        assert_eq!(admitted(&fresh(), &FIRST, 1, "203.0.113.7", other_key), by_key, "{key:?}: another field");
        assert_eq!(admitted(&fresh(), &FIRST, 1, "203.0.113.7", other_path), by_path, "{key:?}: another path");
    }
}

#[test]
fn a_query_parameter_and_a_cookie_can_be_keys() {
    let asked = |user: &str, session: &str| format!("GET /a?user={user} HTTP/1.1\nHost: h\nCookie: s={session}");
    let key = [KeyPart::Query("user".to_owned()), KeyPart::Cookie("s".to_owned())];
    let limits = Limits::of(&[limit("l", &key, "1/s", 2)], &Limits::default(), NOW);
    for (user, session, want) in [("a", "1", 2), ("a", "2", 2), ("b", "1", 2), ("a", "1", 0), ("%61", "1", 0)] {
        assert_eq!(admitted(&limits, &FIRST, 3, "203.0.113.7", &asked(user, session)), want, "{user} {session}");
    }
}

#[test]
fn the_strictest_of_several_speaks() {
    let limits = [limit("wide", &[KeyPart::Global], "10/s", 10), limit("narrow", &[KeyPart::Global], "1/s", 2)];
    let limits = Limits::of(&limits, &Limits::default(), NOW);
    let both = [RateLimitId(0), RateLimitId(1)];
    let told: Vec<_> = (0..3).filter_map(|_| hear(&limits, &both, "203.0.113.7", PLAIN).1.strictest()).collect();
    let names = told.iter().map(|said| limits.get(said.id).unwrap().name.as_str());
    let names: Vec<_> = names.zip(told.iter().map(|said| (said.verdict.admitted, said.verdict.remaining))).collect();
    assert_eq!(names, [("narrow", (true, 1)), ("narrow", (true, 0)), ("narrow", (false, 0))]);
    assert_eq!(told[2].verdict.retry_after, Duration::from_secs(1));
    assert!(hear(&limits, &[], "203.0.113.7", PLAIN).0.is_none());
}

#[test]
fn a_tier_counts_where_a_trusted_proxy_names_it() {
    let mut limit = limit("l", &[KeyPart::Global], "1/s", 2);
    limit.tiers = Some(Tiers { header: "x-tier".to_owned(), names: vec!["lead".to_owned(), "gold".to_owned()] });
    limit.policy.tiers = [3, 9].map(|burst| TierSettings { rate: limit.policy.rate, burst }).to_vec();
    let limits = Limits::of(&[limit], &Limits::default(), NOW);
    let asked = |field: &str| format!("GET /a HTTP/1.1\nHost: h\n{field}");
    for (fields, want) in [
        ("X-Tier: gold", 2),
        ("Trusted: 1\nX-Tier: gold", 9),
        ("Trusted: 1\nX-Tier: lead", 3),
        ("Trusted: 1\nX-Tier: tin", 0),
        ("Trusted: 1", 0),
    ] {
        assert_eq!(admitted(&limits, &FIRST, 20, "203.0.113.7", &asked(fields)), want, "{fields}");
    }
}

#[test]
fn who_waits_has_a_place_until_it_leaves() {
    let limits = Limits::of(&[queueing(2)], &Limits::default(), NOW);
    let waits = |(said, hearing): (Option<Said>, Hearing)| {
        let said = said.unwrap();
        (said.verdict.admitted.then_some(said.verdict.wait.as_millis()), hearing)
    };
    let ask = || waits(hear(&limits, &FIRST, "203.0.113.7", PLAIN));
    assert_eq!(ask().0, Some(0));
    let (first, _held) = ask();
    let (second, leaving) = ask();
    assert_eq!((first, second), (Some(1_000), Some(2_000)));
    assert_eq!(ask().0, None, "as many wait as may");
    drop(leaving);
    let (next, _held_too) = ask();
    assert_eq!(next, Some(2_000), "its place is free again");
}

#[test]
fn nobody_fills_the_queue_of_a_limit_alone() {
    let waiting = |key: &[KeyPart]| {
        let mut limit = queueing(16);
        limit.key = key.to_vec();
        let limits = Limits::of(&[limit], &Limits::default(), NOW);
        let mut places = Vec::new();
        let clients = ["203.0.113.7"; 20].into_iter().chain(["203.0.113.8"; 3]);
        let waits = clients.map(|client| {
            let (said, place) = hear(&limits, &FIRST, client, PLAIN);
            places.push(place);
            (client, said.unwrap().verdict)
        });
        let waits: Vec<_> = waits.filter(|(_, verdict)| verdict.admitted && !verdict.wait.is_zero()).collect();
        let of = |client: &str| waits.iter().filter(|(waits, _)| *waits == client).count();
        let counts = (of("203.0.113.7"), of("203.0.113.8"));
        places.clear();
        let waiting = limits.0[0].counts.waiting();
        assert_eq!((waiting.all, waiting.by_key.len()), (0, 0), "who has left is remembered no longer");
        counts
    };
    assert_eq!(waiting(&[KeyPart::ClientIp]), (2, 2), "an eighth of the places each");
    assert_eq!(
        waiting(&[KeyPart::Global]).0,
        14,
        "where all are one, they may all wait, as long as they have the time"
    );
}

#[test]
fn who_has_waited_for_one_limit_asks_the_next() {
    let limits = Limits::of(&[queueing(9), limit("l", &[KeyPart::Path], "1/h", 1)], &Limits::default(), NOW);
    let both = [RateLimitId(0), RateLimitId(1)];
    assert_eq!(admitted(&limits, &both, 1, "203.0.113.7", PLAIN), 1);
    let (said, mut hearing) = hear(&limits, &both, "203.0.113.7", "GET /b HTTP/1.1\nHost: h");
    assert_eq!((said.unwrap().id, said.unwrap().verdict.wait), (RateLimitId(0), Duration::from_secs(1)));
    let later = NOW + Duration::from_secs(1);
    let again = request("GET /b HTTP/1.1\nHost: h", |request| {
        let client = "203.0.113.7".parse().unwrap();
        let asking = Asking { request, path: b"/b", client, trusted: false, deadline: later + Duration::from_secs(9) };
        limits.ask(later, &both, &asking, &mut hearing).unwrap()
    });
    assert!(again.verdict.admitted && again.verdict.wait.is_zero());
    drop(hearing);
    let (third, _) = hear_at(&limits, later, &both, "203.0.113.7", PLAIN);
    assert_eq!(third.unwrap().verdict.wait, Duration::from_secs(1), "the place was used and not given back");
}

#[test]
fn an_adaptive_limit_hears_how_its_calls_end() {
    let mut adaptive = limit("l", &[KeyPart::Global], "100/s", 100);
    adaptive.policy.adaptive = true;
    let limits = Limits::of(&[adaptive], &Limits::default(), NOW);
    (0..20).for_each(|_| limits.tell(NOW, &FIRST, false));
    let later = NOW + Duration::from_secs(1);
    let quota = |limits: &Limits| {
        let (said, _) = hear_at(limits, later, &FIRST, "203.0.113.7", PLAIN);
        (said.unwrap().verdict.quota, said.unwrap().verdict.percent)
    };
    assert_eq!(quota(&limits), (50, 50));
    let steady = Limits::of(&[limit("l", &[KeyPart::Global], "100/s", 100)], &limits, later);
    assert_eq!(quota(&steady), (100, 100), "a reload can switch it off");
}

#[test]
fn what_was_used_stays_used_over_a_reload() {
    let key = [KeyPart::ClientIp];
    let old = Limits::of(&[limit("l", &key, "1/s", 5)], &Limits::default(), NOW);
    assert_eq!(admitted(&old, &FIRST, 5, "203.0.113.7", PLAIN), 5);
    let new = [limit("other", &key, "1/s", 5), limit("l", &key, "1/s", 5)];
    let new = Limits::of(&new, &old, NOW);
    assert_eq!(admitted(&new, &[RateLimitId(1)], 5, "203.0.113.7", PLAIN), 0, "by its name, wherever it stands");
    assert_eq!(admitted(&new, &FIRST, 5, "203.0.113.7", PLAIN), 5);
    let renewed = Limits::of(&[limit("l", &[KeyPart::Global], "1/s", 5)], &new, NOW);
    assert_eq!(admitted(&renewed, &FIRST, 5, "203.0.113.7", PLAIN), 5, "another key counts something else");
}

#[test]
fn a_limit_is_exact_over_all_workers() {
    let limits = Limits::of(&[limit("l", &[KeyPart::ClientIp], "1/s", 100)], &Limits::default(), NOW);
    let total: usize = std::thread::scope(|scope| {
        let worker = || scope.spawn(|| admitted(&limits, &FIRST, 200, "203.0.113.7", PLAIN));
        let workers: Vec<_> = (0..4).map(|_| worker()).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert_eq!(total, 100);
}
