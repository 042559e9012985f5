//! What a person reads when something is wrong.

use expect_test::{Expect, expect};

use super::{LEAST, said};

/// What is said of `text`.
fn check(text: &str, want: &Expect) {
    want.assert_eq(&said(text));
}

/// What is said of the least configuration with `more` behind it.
fn check_with(more: &str, want: &Expect) {
    check(&format!("{LEAST}{more}"), want);
}

#[test]
fn every_mistake_is_told_at_once_with_its_line_and_how_to_mend_it() {
    let text = r#"[[listener]]
name = "web"
adress = "127.0.0.1:8080"

[[route]]
service = "shp"
timeout = 15

[service.shop]
endpoints = ["shop.internal:80", "127.0.0.1"]
balance = "leest_request"
tls = "on"
"#;
    check(
        text,
        &expect![[r#"
        error: unknown key "adress" in [listener]
         --> mainstay.toml:3:1 (listener[0].adress)
          |
        3 | adress = "127.0.0.1:8080"
          | ^^^^^^
          = help: did you mean "address"?

        error: there is no service "shp"
         --> mainstay.toml:6:12 (route[0].service)
          |
        6 | service = "shp"
          |            ^^^
          = help: did you mean "shop"?

        error: expected a number and a unit of ns, us, ms, s, m, h or d, as in "250ms" or "2s", found the number 15
         --> mainstay.toml:7:11 (route[0].timeout)
          |
        7 | timeout = 15
          |           ^^
          = help: write "15s" for seconds

        error: shop.internal is a name, and endpoints are addresses
          --> mainstay.toml:10:15 (service.shop.endpoints[0])
           |
        10 | endpoints = ["shop.internal:80", "127.0.0.1"]
           |               ^^^^^^^^^^^^^^^^
           = help: instead of endpoints, write discover = { dns = "shop.internal:80" }

        error: expected an address and a port, as in "127.0.0.1:8080" or "[::1]:8080", found "127.0.0.1"
          --> mainstay.toml:10:35 (service.shop.endpoints[1])
           |
        10 | endpoints = ["shop.internal:80", "127.0.0.1"]
           |                                   ^^^^^^^^^
           = help: the port is missing

        error: expected one of round_robin, random, least_request, peak_ewma, ring_hash, maglev, adaptive, found "leest_request"
          --> mainstay.toml:11:12 (service.shop.balance)
           |
        11 | balance = "leest_request"
           |            ^^^^^^^^^^^^^
           = help: did you mean "least_request"?

        error: tls is known, but not in this version
          --> mainstay.toml:12:1 (service.shop.tls)
           |
        12 | tls = "on"
           | ^^^
           = help: leave it away, or write tls = "off"
    "#]],
    );
}

#[test]
fn a_fault_of_syntax_is_told_alone() {
    check(
        "[node]\nname = \n",
        &expect![[r#"
        error: expected a value, found a newline
         --> mainstay.toml:2:8
          |
        2 | name =
          |        ^
    "#]],
    );
}

#[test]
fn an_empty_file_has_nothing_to_listen_on() {
    check(
        "",
        &expect![[r#"
        error: there is no listener
         --> mainstay.toml (listener)
          = help: add [[listener]] with name = "web" and address = "127.0.0.1:8080"
    "#]],
    );
}

#[test]
fn an_open_admin_api_is_refused() {
    check_with(
        "[admin]\naddress = \"0.0.0.0:9900\"\n",
        &expect![[r#"
        error: the admin API would be open to everybody who reaches 0.0.0.0:9900
          --> mainstay.toml:11:12 (admin.address)
           |
        11 | address = "0.0.0.0:9900"
           |            ^^^^^^^^^^^^
           = help: add token = { env = "NAME" }, or listen on 127.0.0.1
    "#]],
    );
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_shown() {
    check_with(
        "[admin]\ntoken = \"s3cret\"\n",
        &expect![[r#"
        error: expected where the secret is, not the secret itself
          --> mainstay.toml:11:10 (admin.token)
           |
        11 | token = "******"
           |          ^^^^^^
           = help: write { env = "NAME" } or { file = "PATH" }
    "#]],
    );
    check_with(
        "[admin]\ntoken = { env = \"NOWHERE\" }\n",
        &expect![[r#"
        error: the environment has no NOWHERE
          --> mainstay.toml:11:9 (admin.token)
           |
        11 | token = { env = "NOWHERE" }
           |         ^^^^^^^^^^^^^^^^^^^
    "#]],
    );
}

#[test]
fn two_listeners_cannot_share_a_name_or_an_address() {
    check_with(
        "[[listener]]\nname = \"web\"\naddress = \"0.0.0.0:8080\"\n[[listener]]\nname = \"x\"\naddress = \"127.0.0.1:9900\"\n",
        &expect![[r#"
            error: there is a listener "web" already, in line 1
              --> mainstay.toml:11:9 (listener[1].name)
               |
            11 | name = "web"
               |         ^^^
               = help: names are unique

            error: 0.0.0.0:8080 is taken by listener "web"
              --> mainstay.toml:12:12 (listener[1].address)
               |
            12 | address = "0.0.0.0:8080"
               |            ^^^^^^^^^^^^
               = help: listener "web" listens on 127.0.0.1:8080

            error: 127.0.0.1:9900 is taken by the admin API
              --> mainstay.toml:15:12 (listener[2].address)
               |
            15 | address = "127.0.0.1:9900"
               |            ^^^^^^^^^^^^^^
               = help: the admin API listens on 127.0.0.1:9900
        "#]],
    );
}

#[test]
fn a_route_leads_to_exactly_one_place() {
    check_with(
        "[[route]]\npath = \"/a\"\n",
        &expect![[r#"
        error: the route leads nowhere
          --> mainstay.toml:10:1 (route[1])
           |
        10 | [[route]]
           | ^^^^^^^^^
           = help: add service = "…", or split, or redirect
    "#]],
    );
    check_with(
        "[[route]]\nservice = \"shop\"\nredirect = { to = \"https://{host}{path}\" }\n",
        &expect![[r#"
        error: the route leads to several: service and redirect
          --> mainstay.toml:12:12 (route[1].redirect)
           |
        12 | redirect = { to = "https://{host}{path}" }
           |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
           = help: leave all but one away
    "#]],
    );
    check_with(
        "[[route]]\nsplit = [{ service = \"shop\", weight = 0 }]\n",
        &expect![[r#"
        error: the weights of the split sum to 0, so no call has a place to go
          --> mainstay.toml:11:9 (route[1].split)
           |
        11 | split = [{ service = "shop", weight = 0 }]
           |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
           = help: give one of them a weight of 1 or more
    "#]],
    );
}

#[test]
fn what_a_route_writes_must_be_writable() {
    check_with(
        "[[route]]\npath = \"~x\"\nservice = \"shop\"\nstrip_prefix = \"/a\"\nrewrite = { path = \"/v2{rest}\" }\n\
         request_headers = { set = { host = \"x\", content-length = \"1\" }, add = { x-a = \"a\\nb\" } }\n",
        &expect![[r#"
            error: {rest} is what follows the route's path prefix, and this route has a pattern
              --> mainstay.toml:14:21 (route[1].rewrite.path)
               |
            14 | rewrite = { path = "/v2{rest}" }
               |                     ^^^^^^^^^
               = help: use {path}, or give the route a prefix

            error: host is written by Mainstay itself
              --> mainstay.toml:15:37 (route[1].request_headers.set.host)
               |
            15 | request_headers = { set = { host = "x", content-length = "1" }, add = { x-a = "a\nb" } }
               |                                     ^
               = help: use host_header

            error: content-length is written by Mainstay itself
              --> mainstay.toml:15:59 (route[1].request_headers.set.content-length)
               |
            15 | request_headers = { set = { host = "x", content-length = "1" }, add = { x-a = "a\nb" } }
               |                                                           ^

            error: a header's value has no control characters, and no space at its ends
              --> mainstay.toml:15:80 (route[1].request_headers.add.x-a)
               |
            15 | request_headers = { set = { host = "x", content-length = "1" }, add = { x-a = "a\nb" } }
               |                                                                                ^^^^
        "#]],
    );
}

#[test]
fn one_key_writes_the_path() {
    check_with(
        "[[route]]\nservice = \"shop\"\nhost = \"a\"\nstrip_prefix = \"/a\"\nrewrite = { path = \"/v2{rest}\" }\n",
        &expect![[r#"
            error: strip_prefix and rewrite both write the path
              --> mainstay.toml:13:17 (route[1].strip_prefix)
               |
            13 | strip_prefix = "/a"
               |                 ^^
               = help: leave one away
        "#]],
    );
}

#[test]
fn fallbacks_do_not_go_in_a_circle() {
    check_with(
        "fallback = { service = \"lite\" }\n[service.lite]\nendpoints = [\"127.0.0.1:1\"]\nfallback = { service = \"shop\" }\n\
         [service.own]\nendpoints = [\"127.0.0.1:1\"]\nfallback = { service = \"own\" }\n",
        &expect![[r#"
            error: fallbacks go in a circle: shop → lite → shop
              --> mainstay.toml:10:25 (service.shop.fallback.service)
               |
            10 | fallback = { service = "lite" }
               |                         ^^^^

            error: own falls back to itself
              --> mainstay.toml:16:25 (service.own.fallback.service)
               |
            16 | fallback = { service = "own" }
               |                         ^^^
        "#]],
    );
}

#[test]
fn a_check_asks_one_thing() {
    check_with(
        "[service.shop.health]\ninterval = \"1s\"\n",
        &expect![[r#"
        error: nothing says what a check asks
          --> mainstay.toml:10:1 (service.shop.health)
           |
        10 | [service.shop.health]
           | ^^^^^^^^^^^^^^^^^^^^^
           = help: add http = "/health", or tcp = true
    "#]],
    );
    check_with(
        "health = { http = \"/health\", tcp = true, expect = [\"6xx\"] }\n",
        &expect![[r#"
        error: a check asks by http or by tcp, not by both
          --> mainstay.toml:10:36 (service.shop.health.tcp)
           |
        10 | health = { http = "/health", tcp = true, expect = ["6xx"] }
           |                                    ^^^^
           = help: leave one of them away

        error: expected a status, a class or a range of them, as in "200", "2xx" or "200-299", found "6xx"
          --> mainstay.toml:10:53 (service.shop.health.expect)
           |
        10 | health = { http = "/health", tcp = true, expect = ["6xx"] }
           |                                                     ^^^
    "#]],
    );
}

#[test]
fn a_ceiling_is_not_below_its_floor() {
    check_with(
        "breaker = { open_max = \"500ms\" }\noutlier = { max_ejection_time = \"1s\", failure_rate = \"0%\" }\n\
         retry = { backoff = { base = \"2s\" } }\n",
        &expect![[r#"
            error: open_max (500ms) is less than open_for (1s)
              --> mainstay.toml:10:25 (service.shop.breaker.open_max)
               |
            10 | breaker = { open_max = "500ms" }
               |                         ^^^^^

            error: max_ejection_time (1s) is less than base_ejection_time (2s)
              --> mainstay.toml:11:34 (service.shop.outlier.max_ejection_time)
               |
            11 | outlier = { max_ejection_time = "1s", failure_rate = "0%" }
               |                                  ^^

            error: expected a share above 0%, found "0%"
              --> mainstay.toml:11:55 (service.shop.outlier.failure_rate)
               |
            11 | outlier = { max_ejection_time = "1s", failure_rate = "0%" }
               |                                                       ^^
               = help: for not at all, write "off"

            error: max (1s) is less than base (2s)
              --> mainstay.toml:12:21 (service.shop.retry.backoff.max)
               |
            12 | retry = { backoff = { base = "2s" } }
               |                     ^^^^^^^^^^^^^^^
        "#]],
    );
}

#[test]
fn what_can_never_match_or_be_reached_is_a_warning() {
    check_with(
        "[[route]]\nhost = \"a.example\"\npath = \"/api\"\nservice = \"shop\"\n\
         [service.lost]\nendpoints = [\"127.0.0.1:1\"]\n",
        &expect![[r#"
            warning: the route can never match: route[0] in line 5 takes all its calls
              --> mainstay.toml:10:1 (route[1])
               |
            10 | [[route]]
               | ^^^^^^^^^
               = help: put it before that one, or leave it away

            warning: nothing leads to service "lost"
              --> mainstay.toml:14:10 (service.lost)
               |
            14 | [service.lost]
               |          ^^^^
               = help: name it in a route, a split or a fallback, or leave it away
        "#]],
    );
    check(
        "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:8080\"\n",
        &expect![[r#"
        warning: no route takes calls of listener "web": it answers 404 to all
         --> mainstay.toml:1:1 (listener[0])
          |
        1 | [[listener]]
          | ^^^^^^^^^^^^
          = help: add a [[route]], or leave the listener away
    "#]],
    );
}

#[test]
fn a_route_with_conditions_shadows_nothing() {
    let text = LEAST.replace(
        "service = \"shop\"\n",
        "service = \"shop\"\nheader = { x-beta = \"1\" }\n[[route]]\nservice = \"shop\"\n",
    );
    check(&text, &expect![[r#""#]]);
}

#[test]
fn a_wider_path_does_not_hide_behind_a_narrower_one() {
    let text = LEAST.replace(
        "service = \"shop\"\n",
        "path = \"/api\"\nservice = \"shop\"\n[[route]]\npath = \"/apis\"\nservice = \"shop\"\n[[route]]\npath = \"=/api/x\"\nservice = \"shop\"\n",
    );
    check(
        &text,
        &expect![[r#"
        warning: the route can never match: route[0] in line 5 takes all its calls
          --> mainstay.toml:11:1 (route[2])
           |
        11 | [[route]]
           | ^^^^^^^^^
           = help: put it before that one, or leave it away
    "#]],
    );
}
