use mainstay_core::Duration;

use super::*;
use crate::forward::tests::request;

fn limit(name: &str, key: &[KeyPart], rate: &str, burst: u64) -> RateLimit {
    let policy = RateLimitSettings { rate: rate.parse().unwrap(), burst, max_keys: 1000 };
    RateLimit { name: name.to_owned(), key: key.to_vec(), policy, line: None }
}

const NOW: Instant = Instant::from_nanos(1_000_000_000);
const FIRST: [RateLimitId; 1] = [RateLimitId(0)];

/// How many of `times` calls are admitted.
fn admitted(limits: &Limits, ids: &[RateLimitId], times: usize, client: &str, text: &str) -> usize {
    let client = client.parse().unwrap();
    request(text, |request| {
        let asking = Asking { request, path: request.path(), client };
        (0..times).filter(|_| limits.ask(NOW, ids, &asking).is_some_and(|(_, verdict)| verdict.admitted)).count()
    })
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
fn the_strictest_of_several_speaks() {
    let limits = [limit("wide", &[KeyPart::Global], "10/s", 10), limit("narrow", &[KeyPart::Global], "1/s", 2)];
    let limits = Limits::of(&limits, &Limits::default(), NOW);
    let both = [RateLimitId(0), RateLimitId(1)];
    let client = "203.0.113.7".parse().unwrap();
    let verdicts: Vec<_> = request(PLAIN, |request| {
        let asking = Asking { request, path: b"/a", client };
        (0..3).filter_map(|_| limits.ask(NOW, &both, &asking)).collect()
    });
    let told: Vec<_> = verdicts
        .iter()
        .map(|(id, verdict)| (limits.get(*id).unwrap().name.as_str(), verdict.admitted, verdict.remaining))
        .collect();
    assert_eq!(told, [("narrow", true, 1), ("narrow", true, 0), ("narrow", false, 0)]);
    assert_eq!(verdicts[2].1.retry_after, Duration::from_secs(1));
    assert!(request(PLAIN, |request| limits.ask(NOW, &[], &Asking { request, path: b"/a", client })).is_none());
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
