//! What is kept and what may be given, by the fields that callers and instances send.
//!
//! The cases are those of RFC 9111, RFC 5861 and, in idea, of the public test suite of HTTP caches (http-tests/cache-tests:
//! stale, vary, authorization, cache-control, age, expires, invalidation).

use std::sync::atomic::AtomicU64;

use mainstay_http1::{Limits, RequestHead, RequestParser, ResponseHead, ResponseParser};
use mainstay_policy::{forbids_keeping, may_give, may_keep};

use super::*;
use crate::buffers::Budget;
use crate::kept::Taking;
use crate::purse::Purse;
use crate::route::RouteTable;

/// Sun, 06 Nov 1994 08:49:37 GMT
const NOW: u64 = 784_111_777;
const LIMIT: Duration = Duration::from_secs(600);

fn request<T>(lines: &str, read: impl FnOnce(RequestView<'_>) -> T) -> T {
    let text = format!("GET /a HTTP/1.1\r\nHost: shop\r\n{}\r\n", crlf(lines));
    let mut head = RequestHead::default();
    RequestParser::new(Limits::default()).parse(text.as_bytes(), &mut head).unwrap().unwrap();
    read(head.view(text.as_bytes()))
}

fn response(status: u16, lines: &str) -> (ResponseHead, Box<[u8]>) {
    let text = format!("HTTP/1.1 {status} x\r\n{}\r\n", crlf(lines));
    let mut head = ResponseHead::default();
    ResponseParser::new(Limits::default()).parse(text.as_bytes(), false, &mut head).unwrap().unwrap();
    (head, text.into_bytes().into())
}

fn crlf(lines: &str) -> String {
    lines.split('|').filter(|line| !line.is_empty()).map(|line| format!("{}\r\n", line.trim())).collect()
}

fn answer(status: u16, lines: &str) -> CachingAnswer {
    let (head, bytes) = response(status, lines);
    caching_answer(head.view(&bytes), NOW)
}

/// For how many seconds an answer may be given after it came: nothing when it is not kept, and never more than 100,000.
fn usable_for(asked: &str, status: u16, lines: &str) -> Option<u64> {
    let asked = request(asked, caching_request);
    let terms = may_keep(&asked, &answer(status, lines))?;
    let plain = CachingRequest::default();
    let usable = |secs: &u64| may_give(&terms, Duration::from_secs(*secs), &plain, LIMIT).is_some();
    [0, 1, 5, 9, 10, 29, 30, 31, 59, 60, 61, 89, 90, 91, 599, 600, 601, 660, 661, 86_400, 100_000]
        .into_iter()
        .rev()
        .find(usable)
}

#[test]
fn an_answer_is_given_as_long_as_it_and_the_configuration_let_it() {
    for (lines, want) in [
        // Fresh, and then stale as long as the configuration says.
        ("Cache-Control: max-age=60", Some(660)),
        ("Cache-Control: max-age=0", Some(600)),
        // Its own word about errors makes it shorter and never longer.
        ("Cache-Control: max-age=60, stale-if-error=30", Some(90)),
        ("Cache-Control: max-age=60, stale-if-error=86400", Some(660)),
        ("Cache-Control: max-age=60, stale-if-error=0", Some(59)),
        ("Cache-Control: max-age=0, stale-if-error=0", None),
        ("Cache-Control: max-age=60, stale-if-error=abc", Some(59)),
        // What forbids anything stale.
        ("Cache-Control: max-age=60, must-revalidate", Some(59)),
        ("Cache-Control: max-age=60, proxy-revalidate", Some(59)),
        ("Cache-Control: max-age=5, s-maxage=60", Some(59)),
        ("Cache-Control: s-maxage=60, stale-if-error=600", Some(59)),
        ("Cache-Control: max-age=60, must-revalidate, stale-if-error=600", Some(59)),
        ("Cache-Control: max-age=0, must-revalidate", None),
        // A guess is a tenth of the time since the last change, without a change nothing.
        ("Date: Sun, 06 Nov 1994 08:49:37 GMT|Last-Modified: Sun, 06 Nov 1994 08:39:37 GMT", Some(660)),
        ("", Some(600)),
        // Expires counts from Date; one that is no date has passed.
        ("Date: Sun, 06 Nov 1994 08:49:37 GMT|Expires: Sun, 06 Nov 1994 08:50:37 GMT", Some(660)),
        ("Date: Sun, 06 Nov 1994 08:49:37 GMT|Expires: 0", Some(600)),
        ("Cache-Control: max-age=60|Expires: 0", Some(660)),
        // It may have grown old on the way.
        ("Cache-Control: max-age=60|Age: 30", Some(601)),
        ("Cache-Control: max-age=60, must-revalidate|Age: 30", Some(29)),
        ("Cache-Control: max-age=60, must-revalidate|Date: Sun, 06 Nov 1994 08:49:07 GMT", Some(29)),
        ("Cache-Control: max-age=60, must-revalidate|Age: nonsense", None),
        ("Cache-Control: max-age=60|Age: 7200", None),
    ] {
        // What came too old is kept and never given.
        assert_eq!(usable_for("", 200, lines), want, "{lines}");
    }
}

#[test]
fn what_a_shared_cache_may_not_store_is_not_kept() {
    for (asked, status, lines) in [
        ("", 200, "Cache-Control: no-store"),
        ("", 200, "Cache-Control: private, max-age=60"),
        ("", 200, "Cache-Control: private=\"x-user\", max-age=60"),
        ("", 200, "Cache-Control: no-cache"),
        ("", 200, "Cache-Control: no-cache=\"set-cookie\", max-age=60"),
        ("", 200, "Cache-Control: max-age=60|Cache-Control: no-store"),
        ("", 200, "Cache-Control: max-age=60|Vary: *"),
        ("", 200, "Cache-Control: max-age=60|Vary: accept, *"),
        // What these say is written anew by every gateway.
        ("", 200, "Cache-Control: max-age=60|Vary: X-Forwarded-For"),
        ("", 200, "Cache-Control: max-age=60|Vary: accept, x-request-id"),
        ("", 200, "Cache-Control: max-age=60|Set-Cookie: a=b"),
        ("Cache-Control: no-store", 200, "Cache-Control: max-age=60"),
        ("Authorization: Bearer x", 200, "Cache-Control: max-age=60"),
        ("Cookie: session=1", 200, "Cache-Control: max-age=60"),
        ("", 201, "Cache-Control: max-age=60"),
        ("", 206, "Cache-Control: max-age=60"),
        ("", 302, ""),
        ("", 307, "Cache-Control: stale-if-error=60"),
        ("", 401, "Cache-Control: max-age=60"),
        ("", 429, "Cache-Control: max-age=60"),
        ("", 500, "Cache-Control: max-age=60"),
        ("", 503, "Cache-Control: max-age=60"),
    ] {
        assert_eq!(usable_for(asked, status, lines), None, "{asked} {status} {lines}");
    }
}

#[test]
fn what_says_that_it_is_for_all_is_kept_whoever_asked() {
    for asked in ["Authorization: Bearer x", "Cookie: session=1"] {
        assert_eq!(usable_for(asked, 200, "Cache-Control: public, max-age=60"), Some(660));
        assert_eq!(usable_for(asked, 200, "Cache-Control: s-maxage=60"), Some(59));
        assert_eq!(usable_for(asked, 200, "Cache-Control: max-age=60, must-revalidate"), Some(59));
    }
    for status in [200, 203, 204, 300, 301, 308] {
        assert!(usable_for("", status, "").is_some(), "{status}");
    }
    for status in [302, 303, 307] {
        assert_eq!(usable_for("", status, "Cache-Control: max-age=60"), Some(660), "a redirect that says how long");
    }
}

#[test]
fn what_says_no_is_given_only_as_long_as_it_says_itself() {
    for status in [404, 405, 410, 414] {
        let changed = "Date: Sun, 06 Nov 1994 08:49:37 GMT|Last-Modified: Sun, 06 Nov 1994 08:39:37 GMT";
        for (lines, want) in [
            ("", None),
            (changed, None),
            ("Cache-Control: public", None),
            ("Cache-Control: max-age=60", Some(59)),
            ("Cache-Control: max-age=60, stale-if-error=30", Some(90)),
            ("Cache-Control: stale-if-error=30", Some(30)),
            ("Cache-Control: max-age=0", None),
        ] {
            assert_eq!(usable_for("", status, lines), want, "{status} {lines}");
        }
    }
}

#[test]
fn a_caller_that_asks_for_better_gets_no_worse() {
    let terms = may_keep(&CachingRequest::default(), &answer(200, "Cache-Control: max-age=60")).unwrap();
    for (asked, kept, given) in [
        ("", 30, true),
        ("Cache-Control: no-cache", 30, false),
        ("Cache-Control: max-age=0", 30, false),
        ("Cache-Control: max-age=30", 30, true),
        ("Cache-Control: max-age=29", 30, false),
        ("Cache-Control: max-age=600", 90, false),
        ("Cache-Control: min-fresh=30", 30, true),
        ("Cache-Control: min-fresh=31", 30, false),
        ("Cache-Control: min-fresh=1", 90, false),
        ("", 90, true),
    ] {
        let asked_facts = request(asked, caching_request);
        let got = may_give(&terms, Duration::from_secs(kept), &asked_facts, LIMIT);
        assert_eq!(got.is_some(), given, "{asked} after {kept} s");
    }
}

#[test]
fn an_answer_knows_how_old_and_how_stale_it_is() {
    let terms = may_keep(&CachingRequest::default(), &answer(200, "Cache-Control: max-age=60|Age: 10")).unwrap();
    let usable = |secs| may_give(&terms, Duration::from_secs(secs), &CachingRequest::default(), LIMIT).unwrap();
    let seconds =
        |usable: Usable| [usable.age, usable.fresh_for, usable.stale_for].map(|length| length.as_millis() / 1000);
    assert_eq!(seconds(usable(20)), [30, 30, 0]);
    assert_eq!(seconds(usable(62)), [72, 0, 12]);
}

#[test]
fn a_newer_answer_that_must_not_be_kept_outdates_the_older_one() {
    for lines in ["Cache-Control: no-store", "Cache-Control: private", "Cache-Control: no-cache", "Vary: *"] {
        assert!(forbids_keeping(&answer(200, lines)), "{lines}");
        assert!(!forbids_keeping(&answer(503, lines)), "{lines}");
    }
    assert!(!forbids_keeping(&answer(200, "Cache-Control: max-age=60")));
    assert!([404, 410].into_iter().all(|gone| forbids_keeping(&answer(gone, ""))), "what was there is there no more");
    assert!(
        [403, 405, 429].into_iter().all(|no| !forbids_keeping(&answer(no, ""))),
        "of the request, not of the target"
    );
}

/// Shows a request for `url` with these fields, from a peer that is believed, by the route that it takes.
fn presented<T>(url: &str, lines: &str, read: impl FnOnce(&Presented<'_>) -> T) -> T {
    let text = "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/de\"\nservice = \"shop\"\nhost_header = \"de.shop\"\n\
         [[route]]\nservice = \"shop\"\n[service.shop]\nendpoints = [\"127.0.0.1:9101\"]\n";
    let config = mainstay_config::load(&mainstay_config::Source::new("test.toml", text)).unwrap().config;
    let table = RouteTable::compile(&config);
    let proxies = ["127.0.0.0/8".parse().unwrap()];
    let peer = Peer::new(([127, 0, 0, 1], 4711).into(), false, &proxies);
    request(lines, |request| {
        let route = table.find(request, url.as_bytes(), mainstay_config::ListenerId(0)).unwrap();
        read(&Presented { request, peer: &peer, path: url.as_bytes(), route, target: url.as_bytes() })
    })
}

/// A store that has kept `answers`, each a request's fields, the answer's fields and its body.
fn kept(answers: &[(&str, &str, &'static str)]) -> StaleStore {
    let store = StaleStore::new(&FallbackSettings::default());
    let budget = Budget::new(Arc::new(AtomicU64::new(1 << 20)));
    let mut purse = Purse::Buffers { all: &budget, arriving: &budget };
    for (asked, lines, body) in answers {
        let mut taking = Taking::new(response(200, lines), None, 1 << 16);
        taking.push(body.as_bytes(), &mut purse);
        let kept = taking.finish(Instant::ORIGIN, &mut purse).unwrap();
        presented("/a", asked, |presented| {
            let terms = may_keep(&caching_request(presented.request), &caching_answer(kept.view(), NOW)).unwrap();
            store.keep(Instant::ORIGIN, presented, kept, terms);
        });
    }
    store
}

fn found(store: &StaleStore, asked: &str, target: &str) -> Option<String> {
    let given = presented(target, asked, |presented| store.find(Instant::ORIGIN, presented, LIMIT));
    given.map(|(kept, _)| String::from_utf8(kept.body.to_vec()).unwrap())
}

#[test]
fn an_answer_is_for_requests_that_agree_in_what_it_varies_on() {
    let store = kept(&[
        ("Accept-Language: de|X-Other: 1", "Vary: Accept-Language", "hallo"),
        ("Accept-Language: en", "Vary: accept-language", "hello"),
    ]);
    assert_eq!(found(&store, "accept-language: de", "/a").as_deref(), Some("hallo"));
    assert_eq!(found(&store, "Accept-Language: en|X-Other: 2", "/a").as_deref(), Some("hello"));
    assert_eq!(found(&store, "Accept-Language: fr", "/a"), None);
    assert_eq!(found(&store, "", "/a"), None, "a field that is not there is another value");
    assert_eq!(found(&store, "Accept-Language: de", "/b"), None);
    let store = kept(&[("", "Vary: Accept-Language", "any")]);
    assert_eq!(found(&store, "", "/a").as_deref(), Some("any"));
    let store = kept(&[("A: 1|B: 2", "Vary: A|Vary: B", "both")]);
    assert_eq!(found(&store, "A: 1|B: 2", "/a").as_deref(), Some("both"));
    assert_eq!(found(&store, "A: 1", "/a"), None);
}

#[test]
fn a_newer_answer_takes_the_place_of_the_older_and_a_change_takes_all() {
    let store = kept(&[("", "", "old"), ("", "", "new")]);
    assert_eq!(found(&store, "", "/a").as_deref(), Some("new"));
    assert_eq!(store.figures().answers, 1);
    presented("/a", "", |presented| store.forget(presented));
    assert_eq!(found(&store, "", "/a"), None);
    assert_eq!(store.figures(), StaleFigures::default());
}

#[test]
fn an_answer_is_for_one_uri_and_scheme_and_host_are_parts_of_it() {
    let store = kept(&[("", "", "plain")]);
    assert_eq!(found(&store, "X-Forwarded-Proto: http|X-Forwarded-Host: SHOP", "/a").as_deref(), Some("plain"));
    assert_eq!(found(&store, "X-Forwarded-Proto: https", "/a"), None);
    assert_eq!(found(&store, "X-Forwarded-Host: other", "/a"), None);
    assert_eq!(found(&store, "", "/b"), None);
}

#[test]
fn an_answer_is_for_what_the_route_makes_of_the_request() {
    let store = kept(&[("", "", "plain")]);
    presented("/de/a", "", |german| {
        let asked = Presented { path: b"/a", target: b"/a", ..*german };
        assert!(store.find(Instant::ORIGIN, &asked, LIMIT).is_none(), "an instance would hear another host");
    });
    presented("/a", "", |asked| {
        let rewritten = Presented { target: b"/v2/a", ..*asked };
        assert!(store.find(Instant::ORIGIN, &rewritten, LIMIT).is_none());
    });
}
