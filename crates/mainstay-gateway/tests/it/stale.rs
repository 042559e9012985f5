//! Answers that stand in for a service that fails: what a caller gets when nobody else answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mainstay_policy::BreakerOrder;

use crate::world::{Answer, Instance, Origin, PATIENCE, Request, World, config, parse};

const TABLE: &str = "[service.shop.breaker]\nminimum_calls = 1000\n[service.shop.fallback]\nstale_if_error = \"10m\"\n";

/// A shop that can be told to fail.
struct Shop {
    text: String,
    world: World,
    fails: Arc<AtomicBool>,
}

impl Shop {
    /// A shop that answers as `well` says, and as `ill` while it fails.
    fn new(more: &str, well: fn(&Request, &mut Instance), ill: fn(&mut Instance)) -> Self {
        Self::split("[[route]]\n", more, well, ill)
    }

    /// As [`Shop::new`], with other routes before its own, which begins where `routes` end.
    fn split(routes: &str, more: &str, well: fn(&Request, &mut Instance), ill: fn(&mut Instance)) -> Self {
        let fails = Arc::new(AtomicBool::new(false));
        let origin = Origin::new({
            let fails = Arc::clone(&fails);
            move |_, mut instance| {
                while let Some(request) = instance.request() {
                    if fails.load(Ordering::SeqCst) {
                        ill(&mut instance);
                        return;
                    }
                    well(&request, &mut instance);
                }
            }
        });
        let text = config(&[origin.address], &format!("{TABLE}{more}"));
        let text = text.replace("[[route]]\n", &format!("{routes}timeout = \"3s\"\n"));
        Self { world: World::new(&text), text, fails }
    }

    fn fail(&self) {
        self.fails.store(true, Ordering::SeqCst);
    }

    fn ask(&self, method: &str, path: &str, lines: &str) -> Answer {
        let mut caller = self.world.connect();
        caller.send(format!("{method} {path} HTTP/1.1\r\nHost: shop\r\n{lines}\r\n"));
        caller.answer_to(method)
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }
}

/// Names itself in what it answers.
fn plain(request: &Request, instance: &mut Instance) {
    let path = request.line.split(' ').nth(1).unwrap_or_default();
    instance.send(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nCache-Control: max-age=0\r\nEtag: \"{path}\"\r\n\r\n{}",
        path.len(),
        if request.line.starts_with("HEAD") { "" } else { path }
    ));
}

fn internal_error(instance: &mut Instance) {
    instance.send("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\nConnection: close\r\n\r\noops");
}

fn hang_up(_: &mut Instance) {}

#[track_caller]
fn is_kept(answer: &Answer, body: &str) {
    assert_eq!((answer.status, answer.text()), (200, body), "{answer:?}");
    assert!(answer.field("age").is_some() && answer.field("cache-status").is_some(), "{answer:?}");
}

#[test]
fn what_was_answered_before_is_answered_although_the_service_fails() {
    for (ill, says) in [
        (internal_error as fn(&mut Instance), "mainstay; fwd=stale; fwd-status=500; ttl=0; detail=\"500\""),
        (hang_up, "mainstay; fwd=stale; ttl=0; detail=\"reset\""),
    ] {
        let shop = Shop::new("", plain, ill);
        let first = shop.get("/a?x=1");
        assert_eq!((first.status, first.field("age"), first.field("cache-status")), (200, None, None));
        shop.fail();
        let again = shop.get("/a?x=1");
        is_kept(&again, "/a?x=1");
        // The first second of an outage is over when the machine is slow.
        let told = again.field("cache-status").unwrap().replace("ttl=-1", "ttl=0").replace("ttl=-2", "ttl=0");
        assert_eq!((told.as_str(), again.field("etag")), (says, Some("\"/a?x=1\"")));
        assert_ne!(again.field("x-request-id"), first.field("x-request-id"), "each request has its own");
        for other in ["/a", "/a?x=2", "/b?x=1"] {
            assert!(shop.get(other).status >= 500, "{other} was never asked for");
        }
        shop.fails.store(false, Ordering::SeqCst);
        assert_eq!(shop.get("/a?x=1").field("cache-status"), None, "a service that lives is asked");
    }
}

#[test]
fn what_was_answered_to_somebody_who_says_who_he_is_is_given_to_nobody() {
    let shop = Shop::new("", plain, hang_up);
    for says in ["Authorization: Bearer x\r\n", "Cookie: s=1\r\n", "X-Api-Key: mine\r\n", "X-User: 7\r\n"] {
        assert_eq!(shop.ask("GET", "/me", says).status, 200);
    }
    assert_eq!(shop.ask("GET", "/body", "Content-Length: 2\r\n\r\nhi").status, 200);
    shop.fail();
    for path in ["/me", "/body"] {
        assert!(shop.get(path).status >= 500, "{path}");
    }
}

#[test]
fn a_head_is_answered_from_what_a_get_got_and_the_connection_goes_on() {
    let shop = Shop::new("", plain, hang_up);
    assert_eq!(shop.get("/a").status, 200);
    assert_eq!(shop.ask("HEAD", "/b", "").status, 200);
    shop.fail();
    let mut caller = shop.world.connect();
    caller.send("HEAD /a HTTP/1.1\r\nHost: shop\r\n\r\n");
    let head = caller.answer_to("HEAD");
    assert_eq!((head.status, head.field("content-length")), (200, Some("2")), "{head:?}");
    assert!(head.field("cache-status").is_some());
    caller.send("GET /a HTTP/1.1\r\nHost: shop\r\n\r\n");
    is_kept(&caller.answer(), "/a");
    assert!(shop.get("/b").status >= 500, "a HEAD leaves nothing to answer a GET with");
    assert!(shop.ask("HEAD", "/b", "").status >= 500);
}

#[test]
fn what_a_shared_cache_may_not_keep_or_give_is_not_given() {
    fn answer(request: &Request, instance: &mut Instance) {
        let line = match request.line.split(' ').nth(1) {
            Some("/no-store") => "Cache-Control: no-store",
            Some("/private") => "Cache-Control: private",
            Some("/strict") => "Cache-Control: max-age=0, must-revalidate",
            Some("/cookie") => "Set-Cookie: a=b",
            Some("/own-word") => "Cache-Control: max-age=0, stale-if-error=0",
            _ => "Cache-Control: max-age=60",
        };
        instance.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{line}\r\n\r\nok"));
    }
    let shop = Shop::new("", answer, internal_error);
    let paths = ["/no-store", "/private", "/strict", "/cookie", "/own-word", "/plain"];
    paths.iter().for_each(|path| assert_eq!(shop.get(path).status, 200));
    let authorized = "Authorization: Bearer x\r\n";
    assert_eq!(shop.ask("GET", "/mine", authorized).status, 200);
    shop.fail();
    for path in &paths[..5] {
        let answer = shop.get(path);
        assert_eq!((answer.status, answer.text()), (500, "oops"), "the instance's own: {answer:?}");
    }
    is_kept(&shop.get("/plain"), "ok");
    assert_eq!(shop.ask("GET", "/mine", authorized).status, 500);
    assert_eq!(shop.ask("GET", "/plain", "Cache-Control: no-cache\r\n").status, 500, "a caller that wants no other");
    let fresh = shop.get("/plain");
    assert!(fresh.field("cache-status").unwrap().starts_with("mainstay; fwd=bypass; fwd-status=500; ttl="));
}

#[test]
fn a_change_forgets_what_was_kept_and_a_change_that_failed_does_not() {
    fn answer(request: &Request, instance: &mut Instance) {
        let status = if request.field("x-wrong").is_some() { "409 Conflict" } else { "200 OK" };
        instance.send(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok"));
    }
    let shop = Shop::new("", answer, internal_error);
    for path in ["/a", "/b"] {
        assert_eq!(shop.get(path).status, 200);
    }
    assert_eq!(shop.ask("PUT", "/a", "Content-Length: 0\r\n").status, 200);
    assert_eq!(shop.ask("PUT", "/b", "X-Wrong: 1\r\nContent-Length: 0\r\n").status, 409);
    shop.fail();
    assert_eq!(shop.get("/a").status, 500);
    is_kept(&shop.get("/b"), "ok");
}

#[test]
fn a_change_that_another_service_makes_forgets_it_too() {
    let writer = Origin::answering("HTTP/1.1 204 No Content\r\n\r\n");
    let more = format!("[service.writer]\nendpoints = [\"{}\"]\n", writer.address);
    let writes = "[[route]]\nmethod = [\"PUT\"]\nservice = \"writer\"\n[[route]]\n";
    let shop = Shop::split(writes, &more, plain, internal_error);
    for path in ["/a", "/b"] {
        assert_eq!(shop.get(path).status, 200);
    }
    assert_eq!(shop.ask("PUT", "/a", "Content-Length: 0\r\n").status, 204);
    shop.fail();
    assert_eq!(shop.get("/a").status, 500);
    is_kept(&shop.get("/b"), "/b");
}

#[test]
fn what_is_gone_is_not_given_from_the_time_when_it_was_there() {
    fn answer(request: &Request, instance: &mut Instance) {
        let status = if request.field("x-later").is_some() { "404 Not Found" } else { "200 OK" };
        instance.send(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok"));
    }
    let shop = Shop::new("", answer, internal_error);
    assert_eq!((shop.get("/a").status, shop.ask("GET", "/a", "X-Later: 1\r\n").status), (200, 404));
    shop.fail();
    assert_eq!(shop.get("/a").status, 500, "neither the page nor that there was none");
}

#[test]
fn an_instance_that_hangs_makes_way_before_its_callers_time_is_over() {
    let shop = Shop::new("", plain, Instance::wait_for_close);
    assert_eq!(shop.get("/a").status, 200);
    shop.fail();
    let again = shop.ask("GET", "/a", "X-Mainstay-Deadline-Ms: 900\r\nX-Request-Id: hung-1\r\n");
    is_kept(&again, "/a");
    assert!(again.field("cache-status").unwrap().ends_with("detail=\"timeout\""), "{again:?}");
    let found = shop.world.runtime.block_on(shop.world.gateway.explain("hung-1"));
    let story = found[0].story(|_| None);
    assert!(story.contains("in half of the time that was left, and an answer that was kept stands ready"), "{story}");
    let never = shop.ask("GET", "/b", "X-Mainstay-Deadline-Ms: 300\r\nX-Request-Id: hung-2\r\n");
    assert_eq!(never.status, 504);
    let found = shop.world.runtime.block_on(shop.world.gateway.explain("hung-2"));
    assert!(found[0].story(|_| None).contains("before the call's deadline"), "nothing is cut short for nothing");
}

#[test]
fn what_was_kept_survives_a_reload_and_goes_when_the_key_does() {
    let shop = Shop::new("", plain, internal_error);
    assert_eq!(shop.get("/a").status, 200);
    shop.fail();
    let reload = |text: &str| {
        let config = Arc::new(parse(text));
        shop.world.runtime.block_on(shop.world.gateway.reload(config)).unwrap();
    };
    reload(&shop.text.replace("10m", "20m"));
    is_kept(&shop.get("/a"), "/a");
    reload(&shop.text.replace("\"10m\"", "\"off\""));
    assert_eq!(shop.get("/a").status, 500);
    reload(&shop.text);
    assert_eq!(shop.get("/a").status, 500, "what was forgotten does not come back");
}

#[test]
fn an_answer_whose_end_nobody_can_see_is_not_kept() {
    fn until_close(_: &Request, instance: &mut Instance) {
        instance.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of it?");
        let _ = instance.reader.get_ref().shutdown(std::net::Shutdown::Both);
    }
    let shop = Shop::new("", until_close, internal_error);
    assert_eq!(shop.get("/a").text(), "half of it?");
    shop.fail();
    assert_eq!(shop.get("/a").status, 500);
}

#[test]
fn an_answer_in_chunks_is_kept_whole_and_one_that_is_too_large_is_not() {
    fn answer(request: &Request, instance: &mut Instance) {
        instance.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunks = if request.line.contains("/large") { 10 } else { 2 };
        for _ in 0..chunks {
            instance.send(format!("800\r\n{}\r\n", "x".repeat(0x800)));
        }
        instance.send("0\r\n\r\n");
    }
    let shop = Shop::new("stale_memory = \"1MiB\"\n", answer, internal_error);
    let whole = shop.get("/small");
    assert_eq!((whole.body.len(), shop.get("/large").body.len()), (0x1000, 0x5000));
    shop.fail();
    let again = shop.get("/small");
    assert_eq!((again.status, again.field("content-length")), (200, Some("4096")));
    assert_eq!(again.body, whole.body);
    assert_eq!(shop.get("/large").status, 500, "a 64th of the memory is the most");
}

#[test]
fn it_stands_in_where_no_instance_is_asked_at_all_and_before_the_fixed_answer() {
    let shop = Shop::new("respond = { status = 200, body = \"[]\" }\n", plain, hang_up);
    assert_eq!(shop.get("/a").status, 200);
    shop.world.runtime.block_on(shop.world.gateway.order_breaker("shop", BreakerOrder::Open)).unwrap();
    let again = shop.get("/a");
    is_kept(&again, "/a");
    let told = again.field("cache-status").unwrap();
    assert!(told.starts_with("mainstay; hit; ttl=") && told.ends_with("detail=\"breaker_open\""), "{told}");
    assert_eq!(shop.get("/b").text(), "[]", "what was never asked for has the next fallback");
}

#[test]
fn it_stands_in_for_one_that_hangs_and_never_for_a_limit() {
    let shop = Shop::new("", plain, Instance::wait_for_close);
    assert_eq!(shop.get("/a").status, 200);
    shop.fail();
    is_kept(&shop.get("/a"), "/a");
    let limited =
        "[[route]]\nrate_limit = [\"one\"]\nservice = \"shop\"\n[rate_limit.one]\nrate = \"1/m\"\nburst = 1\n";
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let text = config(&[origin.address], TABLE).replace("[[route]]\nservice = \"shop\"\n", limited);
    let world = World::new(&text);
    let get = "GET /a HTTP/1.1\r\nHost: shop\r\n\r\n";
    assert_eq!([world.ask(get).status, world.ask(get).status], [200, 429]);
}

#[test]
fn a_copy_for_a_shadow_waits_for_nothing_that_was_kept() {
    let shadow = Origin::new(|_, mut instance| _ = instance.request());
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let mirror = "[[route]]\nmirror = { service = \"shadow\", share = \"100%\" }\n";
    let more = format!("{TABLE}[service.shadow]\nendpoints = [\"{}\"]\nbreaker = \"off\"\n", shadow.address);
    let world = World::new(&config(&[origin.address], &more).replace("[[route]]\n", mirror));
    let end = Instant::now() + PATIENCE;
    // More than may be under way at once.
    while shadow.requests.load(Ordering::SeqCst) <= 40 {
        assert!(Instant::now() < end, "copies that failed are still under way");
        assert_eq!(world.ask("GET /a HTTP/1.1\r\nHost: shop\r\n\r\n").text(), "ok");
        std::thread::sleep(Duration::from_millis(1));
    }
}
