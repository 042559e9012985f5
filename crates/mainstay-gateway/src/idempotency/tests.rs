use mainstay_http1::{Limits, RequestHead, RequestParser};

use super::*;
use crate::forward::tests::fields;

#[track_caller]
fn text(values: &[&str]) -> Option<String> {
    let lines: Vec<_> = values.iter().map(|value| ("Idempotency-Key", *value)).collect();
    fields(&lines, |view| key_text(view).map(|text| String::from_utf8(text).unwrap()))
}

#[test]
fn a_key_is_a_string_or_the_bare_text_of_one() {
    for (value, want) in [
        ("\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        (r#""a \"b\" \\""#, r#"a "b" \"#),
        ("\"a\";x=1", "a"),
        ("order:7/try=1", "order:7/try=1"),
    ] {
        assert_eq!(text(&[value]).as_deref(), Some(want), "{value}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_no_key() {
    let long = "k".repeat(256);
    for value in ["", "\"\"", "\"open", "\"a\"b", "a\"b", "a,b", "a b", r#""\x""#, "\u{fc}ber", &long] {
        assert_eq!(text(&[value]), None, "{value}");
    }
    assert_eq!(text(&["a", "a"]), None, "two fields");
    assert_eq!(text(&[&long[1..]]).map(|text| text.len()), Some(255));
}

struct Asked {
    route: &'static str,
    client: &'static str,
    head: &'static str,
    body: &'static [u8],
}

const ASKED: Asked = Asked {
    route: "/pay",
    client: "192.0.2.1",
    head: "POST /pay?a=1 HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer x\r\nIdempotency-Key: k\r\n\r\n",
    body: b"1 EUR",
};

fn asking(store: &KeyStore, asked: &Asked) -> KeyAsking {
    let mut head = RequestHead::default();
    RequestParser::new(Limits::default()).parse(asked.head.as_bytes(), &mut head).unwrap().unwrap();
    let request = head.view(asked.head.as_bytes());
    let (route, client): (_, IpAddr) = (asked.route, asked.client.parse().unwrap());
    let key = store.key(&KeyParts { call: CallId(1), route, client, request }).unwrap();
    let fingerprint = store.fingerprint(request, asked.body, Some(asked.body.len() as u64));
    KeyAsking { key, owner: KeyOwner(network(client)), fingerprint, call: CallId(1) }
}

#[test]
fn a_key_belongs_to_its_route_host_and_caller_and_stands_for_method_target_and_body() {
    let store = KeyStore::new(&IdempotencySettings::default());
    let first = asking(&store, &ASKED);
    assert_eq!(first, asking(&store, &ASKED));
    let quoted = ASKED.head.replace(": k", ": \"k\"").leak();
    assert_eq!(first, asking(&store, &Asked { head: quoted, ..ASKED }));
    let head = |from: &str, to: &str| ASKED.head.replace(from, to).leak();
    for other in [
        Asked { route: "/", ..ASKED },
        Asked { client: "192.0.2.2", ..ASKED },
        Asked { head: head("Bearer x", "Bearer y"), ..ASKED },
        Asked { head: head("Host: shop", "Host: other"), ..ASKED },
        Asked { head: head("Key: k", "Key: l"), ..ASKED },
    ] {
        assert_ne!(asking(&store, &other).key, first.key, "{}", other.head);
    }
    for other in [
        Asked { head: head("POST", "PATCH"), ..ASKED },
        Asked { head: head("a=1", "a=2"), ..ASKED },
        Asked { body: b"2 EUR", ..ASKED },
    ] {
        let other = asking(&store, &other);
        assert_eq!(other.key, first.key);
        assert_ne!(other.fingerprint, first.fingerprint);
    }
}

#[test]
fn a_call_that_vanishes_lets_go_of_its_key() {
    let store = Arc::new(KeyStore::new(&IdempotencySettings::default()));
    let clock = Clock::new();
    let held = |call| {
        let asking = KeyAsking { call: CallId(call), ..asking(&store, &ASKED) };
        HeldKey { store: Arc::clone(&store), asking, clock, place: Place::None, body: 0, answer: 0 }
    };
    let look = |held: &mut HeldKey| held.look_up(clock.now(), Waker::noop());
    let (mut first, mut second, mut third) = (held(1), held(2), held(3));
    assert!(matches!(look(&mut first), KeyLookup::First));
    assert!(matches!(look(&mut second), KeyLookup::Waits));
    assert!(first.hold_body(100_000) && first.hold_answer(100_000) && second.hold_body(100_000));
    drop(second);
    drop(first);
    assert_eq!(store.figures().lent, 0, "and of what it was lent");
    assert!(matches!(look(&mut third), KeyLookup::Refused(mainstay_policy::KeyRefusal::Unknown)));
}
