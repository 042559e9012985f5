//! Settings that fight each other: each is told with both lines and with the value that would be right, and whoever
//! takes that on has peace.

use expect_test::{Expect, expect};

use super::{LEAST, load_with, said};

/// What is said of the least configuration with `route` in its route and `more` behind it; `mend` is what the warning
/// advises, and nothing is said any more when it is followed.
fn check(route: &str, more: &str, mend: (&str, &str), want: &Expect) {
    let text = format!("{}{more}", LEAST.replace("service = \"shop\"\n", &format!("service = \"shop\"\n{route}")));
    let told = said(&text);
    want.assert_eq(&told);
    let (key, value) = mend;
    assert!(told.contains(&format!("write {key} = ")) && told.contains(value), "{key} = {value}\n{told}");
    let mended = load_with(&text, &[], &[mend]).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(mended.warnings.is_empty(), "{key} = {value} brings no peace:\n{}", mended.warnings);
}

#[test]
fn attempts_that_do_not_fit_into_their_call() {
    check(
        "",
        "timeout = { attempt = \"6s\" }\n",
        ("service.shop.timeout.attempt", "4900ms"),
        &expect![[r#"
        warning: 3 attempts of 6s do not fit into a call of 15s: service.shop.timeout.attempt = "6s" (line 10), service.shop.retry.attempts = 3 (default), route[0].timeout = "15s" (default)
          --> mainstay.toml:10:13 (service.shop.timeout.attempt)
           |
        10 | timeout = { attempt = "6s" }
           |             ^^^^^^^
           = help: write service.shop.timeout.attempt = "4900ms"
    "#]],
    );
    check(
        "timeout = \"2s\"\n",
        "",
        ("service.shop.timeout.attempt", "640ms"),
        &expect![[r#"
        warning: 3 attempts of 5s do not fit into a call of 2s: service.shop.timeout.attempt = "5s" (default), service.shop.retry.attempts = 3 (default), route[0].timeout = "2s" (line 7)
         --> mainstay.toml:7:1 (service.shop.timeout.attempt)
          |
        7 | timeout = "2s"
          | ^^^^^^^
          = help: write service.shop.timeout.attempt = "640ms"
    "#]],
    );
}

#[test]
fn retries_of_a_route_are_looked_at_as_those_of_a_service() {
    check(
        "retry = { attempts = 5 }\n",
        "",
        ("service.shop.timeout.attempt", "2900ms"),
        &expect![[r#"
        warning: 5 attempts of 5s do not fit into a call of 15s: service.shop.timeout.attempt = "5s" (default), route[0].retry.attempts = 5 (line 7), route[0].timeout = "15s" (default)
         --> mainstay.toml:7:11 (service.shop.timeout.attempt)
          |
        7 | retry = { attempts = 5 }
          |           ^^^^^^^^
          = help: write service.shop.timeout.attempt = "2900ms"
    "#]],
    );
}

#[test]
fn a_pause_that_is_as_long_as_the_call() {
    let more = "timeout = { attempt = \"150ms\", connect = \"50ms\" }\nretry = { backoff = { base = \"1s\" } }\n";
    check(
        "timeout = \"600ms\"\n",
        more,
        ("service.shop.retry.backoff.base", "30ms"),
        &expect![[r#"
        warning: the pause before a retry is as long as the whole call, so most retries are never made: service.shop.retry.backoff.base = "1s" (line 12), route[0].timeout = "600ms" (line 7)
          --> mainstay.toml:12:23 (service.shop.retry.backoff.base)
           |
        12 | retry = { backoff = { base = "1s" } }
           |                       ^^^^
           = help: write service.shop.retry.backoff.base = "30ms"
    "#]],
    );
}

#[test]
fn a_queue_that_outlasts_the_call() {
    let more = "timeout = { attempt = \"60ms\", connect = \"30ms\" }\n";
    check(
        "timeout = \"300ms\"\n",
        more,
        ("service.shop.bulkhead.queue_timeout", "75ms"),
        &expect![[r#"
        warning: a call may wait in the queue until its deadline, and is then not worth serving: service.shop.bulkhead.queue_timeout = "500ms" (default), route[0].timeout = "300ms" (line 7)
         --> mainstay.toml:7:1 (service.shop.bulkhead.queue_timeout)
          |
        7 | timeout = "300ms"
          | ^^^^^^^
          = help: write service.shop.bulkhead.queue_timeout = "75ms"
    "#]],
    );
}

#[test]
fn connecting_takes_as_long_as_the_attempt() {
    check(
        "",
        "timeout = { attempt = \"600ms\", connect = \"1s\" }\n",
        ("service.shop.timeout.connect", "300ms"),
        &expect![[r#"
            warning: an instance that takes no connection is given up only when the whole attempt is: service.shop.timeout.connect = "1s" (line 10), service.shop.timeout.attempt = "600ms" (line 10)
              --> mainstay.toml:10:32 (service.shop.timeout.connect)
               |
            10 | timeout = { attempt = "600ms", connect = "1s" }
               |                                ^^^^^^^
               = help: write service.shop.timeout.connect = "300ms"
        "#]],
    );
}

#[test]
fn a_slow_call_is_over_before_it_is_slow() {
    let more = "breaker = { slow_call = \"20s\" }\n";
    check(
        "",
        more,
        ("service.shop.breaker.slow_call", "7500ms"),
        &expect![[r#"
        warning: no call is slow: each has failed at its deadline before: service.shop.breaker.slow_call = "20s" (line 10), route[0].timeout = "15s" (default)
          --> mainstay.toml:10:13 (service.shop.breaker.slow_call)
           |
        10 | breaker = { slow_call = "20s" }
           |             ^^^^^^^^^
           = help: write service.shop.breaker.slow_call = "7500ms"
    "#]],
    );
}

#[test]
fn a_check_waits_longer_than_its_interval() {
    let more = "health = { http = \"/health\", interval = \"1s\", timeout = \"5s\" }\n";
    check(
        "",
        more,
        ("service.shop.health.timeout", "1s"),
        &expect![[r#"
        warning: a check waits longer than the interval, so a hanging instance is found after up to 30s: service.shop.health.timeout = "5s" (line 10), service.shop.health.interval = "1s" (line 10)
          --> mainstay.toml:10:47 (service.shop.health.timeout)
           |
        10 | health = { http = "/health", interval = "1s", timeout = "5s" }
           |                                               ^^^^^^^
           = help: write service.shop.health.timeout = "1s"
    "#]],
    );
}

#[test]
fn more_may_be_ejected_than_panic_allows() {
    check(
        "",
        "outlier = { max_ejected = \"80%\" }\n",
        ("service.shop.panic", "20%"),
        &expect![[r#"
        warning: more endpoints may be ejected than panic allows: below it ejection is ignored: service.shop.outlier.max_ejected = "80%" (line 10), service.shop.panic = "50%" (default)
          --> mainstay.toml:10:13 (service.shop.panic)
           |
        10 | outlier = { max_ejected = "80%" }
           |             ^^^^^^^^^^^
           = help: write service.shop.panic = "20%"
    "#]],
    );
}

#[test]
fn a_breaker_that_never_has_enough_calls() {
    let more = "[rate_limit.slow]\nkey = \"global\"\nrate = \"5/s\"\n";
    check(
        "rate_limit = [\"slow\"]\n",
        more,
        ("service.shop.breaker.minimum_calls", "27"),
        &expect![[r#"
        warning: the breaker never opens: its window of 10s sees 55 calls at the most: service.shop.breaker.minimum_calls = 100 (default), rate_limit.slow.rate = "5/s" (line 13)
          --> mainstay.toml:13:1 (service.shop.breaker.minimum_calls)
           |
        13 | rate = "5/s"
           | ^^^^
           = help: write service.shop.breaker.minimum_calls = 27
    "#]],
    );
}

#[test]
fn a_bulkhead_that_is_wider_than_its_endpoints() {
    check(
        "",
        "pool = { size = 10 }\n",
        ("service.shop.bulkhead.concurrency", "20"),
        &expect![[r#"
        warning: more attempts are let in than 2 endpoints take (20), so the queue never fills and callers are refused: service.shop.pool.size = 10 (line 10), service.shop.bulkhead.concurrency = 1024 (default)
          --> mainstay.toml:10:10 (service.shop.bulkhead.concurrency)
           |
        10 | pool = { size = 10 }
           |          ^^^^
           = help: write service.shop.bulkhead.concurrency = 20
    "#]],
    );
    let more = "bulkhead = { per_endpoint = 8, concurrency = 64 }\n";
    check(
        "",
        more,
        ("service.shop.bulkhead.concurrency", "16"),
        &expect![[r#"
        warning: more attempts are let in than 2 endpoints take (16), so the queue never fills and callers are refused: service.shop.bulkhead.per_endpoint = 8 (line 10), service.shop.bulkhead.concurrency = 64 (line 10)
          --> mainstay.toml:10:14 (service.shop.bulkhead.concurrency)
           |
        10 | bulkhead = { per_endpoint = 8, concurrency = 64 }
           |              ^^^^^^^^^^^^
           = help: write service.shop.bulkhead.concurrency = 16
    "#]],
    );
}

#[test]
fn nothing_catches_a_connection_that_closes() {
    check(
        "",
        "pool = { idle = \"30s\" }\nretry = \"off\"\n",
        ("service.shop.pool.idle", "4s"),
        &expect![[r#"
        warning: a request may cross with the close of its connection (common servers close after 5s), and nothing repeats it: service.shop.pool.idle = "30s" (line 10), service.shop.retry = "off" (line 11)
          --> mainstay.toml:10:10 (service.shop.pool.idle)
           |
        10 | pool = { idle = "30s" }
           |          ^^^^
           = help: write service.shop.pool.idle = "4s"
    "#]],
    );
}

#[test]
fn a_budget_that_never_fills() {
    let more = "retry = { budget = { share = \"0%\", per_second = 0 } }\n";
    check(
        "",
        more,
        ("service.shop.retry.budget.share", "20%"),
        &expect![[r#"
        warning: nothing fills the retry budget: after 100 retries there are no more: service.shop.retry.budget.share = "0%" (line 10), service.shop.retry.budget.per_second = 0 (line 10)
          --> mainstay.toml:10:22 (service.shop.retry.budget.share)
           |
        10 | retry = { budget = { share = "0%", per_second = 0 } }
           |                      ^^^^^
           = help: write service.shop.retry.budget.share = "20%"
    "#]],
    );
}

#[test]
fn a_hedge_that_is_never_made() {
    let mend = ("service.shop.retry.hedge", "off");
    check(
        "method = [\"POST\", \"PATCH\"]\n",
        "retry = { hedge = { after = \"p95\" } }\n",
        mend,
        &expect![[r#"
        warning: no hedge is ever made: none of the route's methods may be sent twice: service.shop.retry.hedge = { after = "p95" } (line 11), route[0].method = ["POST", "PATCH"] (line 7)
          --> mainstay.toml:11:11 (service.shop.retry.hedge)
           |
        11 | retry = { hedge = { after = "p95" } }
           |           ^^^^^
           = help: write service.shop.retry.hedge = "off"
    "#]],
    );
    let mend = ("route.0.retry.hedge", "off");
    let route = "method = [\"POST\"]\nretry = { hedge = { after = \"p95\" } }\n";
    let text = LEAST.replace("service = \"shop\"\n", &format!("service = \"shop\"\n{route}"));
    expect![[r#"
        warning: no hedge is ever made: none of the route's methods may be sent twice: route[0].retry.hedge = { after = "p95" } (line 8), route[0].method = ["POST"] (line 7)
         --> mainstay.toml:8:11 (route[0].retry.hedge)
          |
        8 | retry = { hedge = { after = "p95" } }
          |           ^^^^^
          = help: write route[0].retry.hedge = "off"
    "#]].assert_eq(&said(&text));
    assert!(load_with(&text, &[], &[mend]).unwrap().warnings.is_empty());
    for other in [
        "method = [\"POST\"]\nretry = { hedge = { after = \"p95\" }, idempotency_key = \"upstream\" }\n",
        "method = [\"POST\", \"PUT\"]\nretry = { hedge = { after = \"p95\" } }\n",
    ] {
        assert_eq!(said(&LEAST.replace("service = \"shop\"\n", &format!("service = \"shop\"\n{other}"))), "");
    }
    let one = LEAST.replace(", \"127.0.0.1:9102\"", "");
    expect![[r#"
        warning: no hedge is ever made: it goes to an endpoint that was not tried, and there is only one: service.shop.retry.hedge = { after = "p95" } (line 10), service.shop.endpoints = ["127.0.0.1:9101"] (line 9)
          --> mainstay.toml:10:11 (service.shop.retry.hedge)
           |
        10 | retry = { hedge = { after = "p95" } }
           |           ^^^^^
           = help: write service.shop.retry.hedge = "off"
    "#]].assert_eq(&said(&format!("{one}retry = {{ hedge = {{ after = \"p95\" }} }}\n")));
}

#[test]
fn hedges_that_do_not_fit_into_their_attempts() {
    check(
        "",
        "retry = { attempts = 2, hedge = { max = 2 } }\n",
        ("service.shop.retry.attempts", "3"),
        &expect![[r#"
        warning: not all hedges can be made: each counts as an attempt, and so does the first: service.shop.retry.hedge.max = 2 (line 10), service.shop.retry.attempts = 2 (line 10)
          --> mainstay.toml:10:35 (service.shop.retry.attempts)
           |
        10 | retry = { attempts = 2, hedge = { max = 2 } }
           |                                   ^^^
           = help: write service.shop.retry.attempts = 3
    "#]],
    );
    check(
        "",
        "retry = { hedge = { after = \"6s\" } }\n",
        ("service.shop.retry.hedge.after", "p95"),
        &expect![[r#"
        warning: no hedge is ever made for a slow attempt: its time is over before the hedge is due: service.shop.retry.hedge.after = "6s" (line 10), service.shop.timeout.attempt = "5s" (default)
          --> mainstay.toml:10:21 (service.shop.retry.hedge.after)
           |
        10 | retry = { hedge = { after = "6s" } }
           |                     ^^^^^
           = help: write service.shop.retry.hedge.after = "p95"
    "#]],
    );
}

#[test]
fn hedges_that_nothing_holds_back() {
    check(
        "",
        "retry = { budget = \"off\", hedge = { after = \"20ms\" } }\n",
        ("service.shop.retry.hedge.after", "p95"),
        &expect![[r#"
            warning: once the service is slower than that, every call is sent twice: nothing holds hedges back: service.shop.retry.hedge.after = "20ms" (line 10), service.shop.retry.budget = "off" (line 10)
              --> mainstay.toml:10:37 (service.shop.retry.hedge.after)
               |
            10 | retry = { budget = "off", hedge = { after = "20ms" } }
               |                                     ^^^^^
               = help: write service.shop.retry.hedge.after = "p95"
        "#]],
    );
    assert_eq!(said(&format!("{LEAST}retry = {{ budget = \"off\", hedge = {{ after = \"p95\" }} }}\n")), "");
}

#[test]
fn a_limit_that_holds_a_call_until_its_deadline() {
    check(
        "rate_limit = [\"even\"]\n",
        "[rate_limit.even]\non_exceeded = \"queue\"\nqueue_timeout = \"20s\"\n",
        ("rate_limit.even.queue_timeout", "3700ms"),
        &expect![[r#"
            warning: a call may wait for the limit until its deadline, and has then no time for its service: rate_limit.even.queue_timeout = "20s" (line 13), route[0].timeout = "15s" (default)
              --> mainstay.toml:13:1 (rate_limit.even.queue_timeout)
               |
            13 | queue_timeout = "20s"
               | ^^^^^^^^^^^^^
               = help: write rate_limit.even.queue_timeout = "3700ms"
        "#]],
    );
}

#[test]
fn what_has_no_effect_by_itself() {
    check(
        "",
        "balance = \"maglev\"\nslow_start = \"30s\"\n",
        ("service.shop.balance", "adaptive"),
        &expect![[r#"
        warning: what is set here has no effect: service.shop.slow_start = "30s" (line 11), service.shop.balance = "maglev" (line 10)
          --> mainstay.toml:11:1 (service.shop.balance)
           |
        11 | slow_start = "30s"
           | ^^^^^^^^^^
           = help: write service.shop.balance = "adaptive"
    "#]],
    );
    check(
        "",
        "fallback = { stale_memory = \"1MiB\" }\n",
        ("service.shop.fallback.stale_if_error", "1m"),
        &expect![[r#"
            warning: what is set here has no effect: service.shop.fallback.stale_memory = "1MiB" (line 10), service.shop.fallback.stale_if_error = "off" (default)
              --> mainstay.toml:10:14 (service.shop.fallback.stale_if_error)
               |
            10 | fallback = { stale_memory = "1MiB" }
               |              ^^^^^^^^^^^^
               = help: write service.shop.fallback.stale_if_error = "1m"
        "#]],
    );
    check(
        "",
        "hash_on = \"cookie:session\"\n",
        ("service.shop.balance", "ring_hash"),
        &expect![[r#"
        warning: what is set here has no effect: service.shop.hash_on = "cookie:session" (line 10), service.shop.balance = "adaptive" (default)
          --> mainstay.toml:10:1 (service.shop.balance)
           |
        10 | hash_on = "cookie:session"
           | ^^^^^^^
           = help: write service.shop.balance = "ring_hash"
    "#]],
    );
    let more = "bulkhead = { queue = \"off\", queue_timeout = \"1s\" }\n";
    check(
        "",
        more,
        ("service.shop.bulkhead.queue", "128"),
        &expect![[r#"
        warning: what is set here has no effect: service.shop.bulkhead.queue_timeout = "1s" (line 10), service.shop.bulkhead.queue = "off" (line 10)
          --> mainstay.toml:10:29 (service.shop.bulkhead.queue)
           |
        10 | bulkhead = { queue = "off", queue_timeout = "1s" }
           |                             ^^^^^^^^^^^^^
           = help: write service.shop.bulkhead.queue = 128
    "#]],
    );
    let more = "bulkhead = { concurrency = \"unlimited\", queue = 10 }\n";
    check(
        "",
        more,
        ("service.shop.bulkhead.concurrency", "1024"),
        &expect![[r#"
        warning: what is set here has no effect: service.shop.bulkhead.queue = 10 (line 10), service.shop.bulkhead.concurrency = "unlimited" (line 10)
          --> mainstay.toml:10:41 (service.shop.bulkhead.concurrency)
           |
        10 | bulkhead = { concurrency = "unlimited", queue = 10 }
           |                                         ^^^^^
           = help: write service.shop.bulkhead.concurrency = 1024
    "#]],
    );
    let more = "breaker = { slow_rate = \"50%\" }\n";
    check(
        "",
        more,
        ("service.shop.breaker.slow_call", "1s"),
        &expect![[r#"
        warning: what is set here has no effect: service.shop.breaker.slow_rate = "50%" (line 10), service.shop.breaker.slow_call = "off" (default)
          --> mainstay.toml:10:13 (service.shop.breaker.slow_call)
           |
        10 | breaker = { slow_rate = "50%" }
           |             ^^^^^^^^^
           = help: write service.shop.breaker.slow_call = "1s"
    "#]],
    );
}

#[test]
fn a_service_behind_our_own_listener() {
    let more = "[[listener]]\nname = \"inner\"\naddress = \"0.0.0.0:8081\"\n\n[[route]]\nlistener = \"inner\"\n\
                service = \"core\"\n\n[service.core]\nendpoints = [\"127.0.0.1:9201\"]\n\n\
                [service.edge]\nendpoints = [\"127.0.0.1:8081\"]\n\n";
    let first = "listener = \"web\"\npath = \"/core\"\n[[route]]\nlistener = \"web\"\nservice = \"edge\"\n";
    let text = LEAST.replace("service = \"shop\"\n", &format!("service = \"shop\"\n{first}"));
    let told = said(&format!("{text}{more}"));
    expect![[r#"
        warning: the endpoint is our listener "inner", so two layers retry: up to 3 × 3 attempts: service.edge.endpoints[0] = "127.0.0.1:8081" (line 27), listener[1].address = "0.0.0.0:8081" (line 17)
          --> mainstay.toml:27:15 (service.edge.retry)
           |
        27 | endpoints = ["127.0.0.1:8081"]
           |               ^^^^^^^^^^^^^^
           = help: write service.edge.retry = "off"
    "#]].assert_eq(&told);
    let mended = load_with(&format!("{text}{more}"), &[], &[("service.edge.retry", "off")]).unwrap();
    assert!(mended.warnings.is_empty(), "{}", mended.warnings);
}

#[test]
fn calls_that_go_round_in_a_circle() {
    let text = LEAST.replace("127.0.0.1:9101", "127.0.0.1:8080");
    expect![[r#"
        warning: calls go round in a circle until their deadline: the endpoint is our listener "web": service.shop.endpoints[0] = "127.0.0.1:8080" (line 9), listener[0].address = "127.0.0.1:8080" (line 3)
         --> mainstay.toml:9:15 (service.shop.endpoints[0])
          |
        9 | endpoints = ["127.0.0.1:8080", "127.0.0.1:9102"]
          |               ^^^^^^^^^^^^^^
          = help: name the address of an instance
    "#]].assert_eq(&said(&text));
}

#[test]
fn a_drain_that_cuts_calls_off() {
    check(
        "timeout = \"1m\"\n",
        "",
        ("node.drain", "1m"),
        &expect![[r#"
        warning: a stopping node cuts calls off that still have time: node.drain = "30s" (default), route[0].timeout = "1m" (line 7)
         --> mainstay.toml:7:1 (node.drain)
          |
        7 | timeout = "1m"
          | ^^^^^^^
          = help: write node.drain = "1m"
    "#]],
    );
}

#[test]
fn a_burst_that_is_used_up_by_the_first_few() {
    let more = "[rate_limit.tight]\nrate = \"100/s\"\nburst = 1\n";
    check(
        "rate_limit = [\"tight\"]\n",
        more,
        ("rate_limit.tight.burst", "100"),
        &expect![[r#"
        warning: callers never get their rate: calls come in bunches, and the burst is used up by the first few: rate_limit.tight.burst = 1 (line 13), rate_limit.tight.rate = "100/s" (line 12)
          --> mainstay.toml:13:1 (rate_limit.tight.burst)
           |
        13 | burst = 1
           | ^^^^^
           = help: write rate_limit.tight.burst = 100
    "#]],
    );
}

#[test]
fn a_bucket_in_which_calls_wait_may_be_shallow() {
    let more = "[rate_limit.even]\nrate = \"100/s\"\nburst = 1\non_exceeded = \"queue\"\n";
    let loaded = super::load(&format!("{}{more}", super::LEAST)).unwrap();
    assert!(!loaded.warnings.to_string().contains("burst"), "{}", loaded.warnings);
}

#[test]
fn where_a_setting_was_given_is_told_whoever_gave_it() {
    let environment = [("MAINSTAY_SERVICE__SHOP__TIMEOUT__ATTEMPT", "6s")];
    let loaded = load_with(LEAST, &environment, &[("route.0.timeout", "10s")]).unwrap();
    expect![[r#"
        warning: 3 attempts of 6s do not fit into a call of 10s: service.shop.timeout.attempt = "6s" (environment MAINSTAY_SERVICE__SHOP__TIMEOUT__ATTEMPT), service.shop.retry.attempts = 3 (default), route[0].timeout = "10s" (flag)
         --> environment MAINSTAY_SERVICE__SHOP__TIMEOUT__ATTEMPT (service.shop.timeout.attempt)
          = help: write service.shop.timeout.attempt = "3300ms"
    "#]].assert_eq(&loaded.warnings.to_string());
}
