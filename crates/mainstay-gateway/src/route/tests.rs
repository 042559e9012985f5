//! Which route a request takes, on whole configurations.

use std::fmt::Write as _;

use mainstay_config::{Source, ValueMatch};
use mainstay_core::{Purpose, Seed};

use super::*;
use crate::forward::tests::request;
use crate::forward::{Asked, NoHost};

/// A configuration of these routes, with two listeners and the services `a`, `b` and `c`.
fn config(routes: &str) -> Config {
    let mut text = String::new();
    for (name, port) in [("web", 1), ("inner", 2)] {
        writeln!(text, "[[listener]]\nname = \"{name}\"\naddress = \"127.0.0.1:{port}\"").unwrap();
    }
    text += routes;
    for name in ["a", "b", "c"] {
        writeln!(text, "\n[service.{name}]\nendpoints = [\"127.0.0.1:9101\"]").unwrap();
    }
    match mainstay_config::load(&Source::new("test.toml", text)) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{problems}"),
    }
}

fn head(method: &str, url: &str, lines: &str) -> String {
    let (host, path) = url.split_at(url.find('/').unwrap_or(url.len()));
    format!("{method} {path} HTTP/1.1\nHost: {host}\n{lines}")
}

/// The place of the route that a request takes.
fn taken(table: &RouteTable, text: &str, listener: usize) -> Option<usize> {
    request(text, |request| {
        let mut scratch = Vec::new();
        let path = normalise(request.path(), &mut scratch).expect("the path is canonical");
        table.find(request, path, ListenerId(listener)).map(|route| route.index)
    })
}

/// Each request as method, host with path, further lines; and the route that it takes.
fn check(routes: &str, requests: &[(&str, &str, &str, Option<usize>)]) {
    let table = RouteTable::compile(&config(routes));
    for (method, url, lines, want) in requests {
        assert_eq!(taken(&table, &head(method, url, lines), 0), *want, "{method} {url} {lines}");
    }
}

#[test]
fn the_first_in_the_file_that_matches_counts_and_not_the_longest() {
    check(
        r#"
        [[route]]
        path = "=/api/v1/exact"
        service = "a"
        [[route]]
        path = "/api"
        service = "b"
        [[route]]
        path = "/api/v1"
        service = "c"
        [[route]]
        path = '~^/img/.*\.png$'
        service = "a"
        "#,
        &[
            ("GET", "h/api/v1/exact", "", Some(0)),
            ("GET", "h/api/v1/exact/", "", Some(1)),
            ("GET", "h/api/v1/x", "", Some(1)),
            ("GET", "h/api", "", Some(1)),
            ("GET", "h/api/", "", Some(1)),
            ("GET", "h/api?x=1", "", Some(1)),
            ("GET", "h/apiary", "", None),
            ("GET", "h/API", "", None),
            ("GET", "h/img/x/y.png", "", Some(3)),
            ("GET", "h/img/x/y.png/z", "", None),
            ("GET", "h/", "", None),
        ],
    );
}

#[test]
fn a_path_matches_however_it_is_written() {
    check(
        r#"
        [[route]]
        path = "/admin"
        service = "a"
        [[route]]
        path = "/~user/caf%C3%A9"
        service = "b"
        [[route]]
        service = "c"
        "#,
        &[
            ("GET", "h/public/../admin/x", "", Some(0)),
            ("GET", "h/%61dmin", "", Some(0)),
            ("GET", "h//admin", "", Some(0)),
            ("GET", "h/./x/%2e%2e/admin", "", Some(0)),
            ("GET", "h/admin/../public", "", Some(2)),
            ("GET", "h/%7Euser/caf%c3%a9/menu", "", Some(1)),
        ],
    );
}

#[test]
fn a_target_may_name_the_host_or_nothing_at_all() {
    let routes = "[[route]]\npath = \"/a\"\nservice = \"a\"\n[[route]]\nhost = \"h.test\"\nservice = \"b\"";
    let table = RouteTable::compile(&config(routes));
    for (text, want) in [
        ("GET http://h.test HTTP/1.1\nHost: h.test", Some(1)),
        ("GET http://H.test:80/?q HTTP/1.1\nHost: h.test", Some(1)),
        ("GET http://h.test/a HTTP/1.1\nHost: h.test", Some(0)),
        ("OPTIONS * HTTP/1.1\nHost: h.test", Some(1)),
        ("OPTIONS * HTTP/1.1\nHost: other", None),
        ("GET /a HTTP/1.0", Some(0)),
        ("GET /b HTTP/1.0", None),
    ] {
        assert_eq!(taken(&table, text, 0), want, "{text}");
    }
}

#[test]
fn a_host_is_exact_or_a_suffix_or_any() {
    check(
        r#"
        [[route]]
        host = "shop.example"
        service = "a"
        [[route]]
        host = "*.example"
        service = "b"
        [[route]]
        host = "[::1]"
        service = "c"
        [[route]]
        path = "/any"
        service = "c"
        [[route]]
        host = "*.shop.example"
        service = "a"
        "#,
        &[
            ("GET", "shop.example/", "", Some(0)),
            ("GET", "SHOP.Example:8080/", "", Some(0)),
            ("GET", "shop.example./", "", Some(0)),
            ("GET", "www.example/", "", Some(1)),
            ("GET", "a.shop.example/", "", Some(1)),
            ("GET", "example/", "", None),
            ("GET", "notexample/", "", None),
            ("GET", "[::1]:8080/", "", Some(2)),
            ("GET", "other.test/any", "", Some(3)),
        ],
    );
}

#[test]
fn every_condition_must_hold() {
    check(
        r#"
        [[route]]
        method = ["POST", "PUT"]
        service = "a"
        [[route]]
        header = { x-beta = "1", accept = "~json" }
        service = "b"
        [[route]]
        query = { v = "a b", w = "~^[0-9]+$" }
        service = "c"
        [[route]]
        cookie = { session = "~." , lang = "de" }
        service = "a"
        "#,
        &[
            ("POST", "h/", "", Some(0)),
            ("post", "h/", "", None),
            ("GET", "h/", "X-Beta: 1\nAccept: text/html\nAccept: application/json", Some(1)),
            ("GET", "h/", "X-Beta: 0\nX-BETA: 1\nAccept: application/json", Some(1)),
            ("GET", "h/", "X-Beta: 1", None),
            ("GET", "h/", "X-Beta: 11\nAccept: application/json", None),
            ("GET", "h/?v=a+b&w=12", "", Some(2)),
            ("GET", "h/?w=x&w=1&%76=a%20b", "", Some(2)),
            ("GET", "h/?v=a+b&w=12x", "", None),
            ("GET", "h/?v=a+b", "", None),
            ("GET", "h/", "Cookie: lang=de; session=x", Some(3)),
            ("GET", "h/", "Cookie: session=\"x\"\nCookie: lang=de", Some(3)),
            ("GET", "h/", "Cookie: xlang=de; session=x", None),
        ],
    );
}

#[test]
fn a_route_is_for_its_listeners() {
    let routes = "[[route]]\nlistener = \"inner\"\nservice = \"a\"\n[[route]]\nservice = \"b\"";
    let table = RouteTable::compile(&config(routes));
    let request = head("GET", "h/", "");
    assert_eq!([taken(&table, &request, 0), taken(&table, &request, 1)], [Some(1), Some(0)]);
}

#[test]
fn a_split_sends_each_its_share() {
    let routes = "[[route]]\nsplit = [{ service = \"a\", weight = 95 }, { service = \"b\", weight = 0 }, \
                  { service = \"c\", weight = 5 }]";
    let config = config(routes);
    let table = RouteTable::compile(&config);
    let seed = Seed::new(3);
    let mut counts = [0u32; 3];
    for call in 0..100_000 {
        let service = table.routes()[0].target.service(seed.draw(call, 0, Purpose::Split)).unwrap();
        counts[service.0] += 1;
    }
    // Six standard deviations of a share of 5 % are 414.
    assert!(counts[2].abs_diff(5_000) < 414 && counts[1] == 0, "{counts:?}");
    assert_eq!(counts.iter().sum::<u32>(), 100_000);
}

/// What a request for `url` is sent on as, or redirected to.
fn rewritten(route: &str, url: &str) -> Result<String, NoHost> {
    let table = RouteTable::compile(&config(&format!("[[route]]\n{route}")));
    request(&head("GET", url, ""), |request| {
        let mut scratch = Vec::new();
        let path = normalise(request.path(), &mut scratch).expect("the path is canonical");
        let found = table.find(request, path, ListenerId(0)).expect("the route matches");
        let asked = Asked { host: request.authority(), path, query: request.query() };
        let mut out = b"before ".to_vec();
        match &found.target {
            RouteTarget::Redirect(redirect) => redirect.location(&asked, &mut out)?,
            _ => found.path_change.write(&asked, &mut out)?,
        }
        Ok(String::from_utf8(out).unwrap().split_off(7))
    })
}

#[test]
fn what_is_matched_is_what_goes_upstream() {
    for (route, url, want) in [
        ("service = \"a\"", "h/x/../y//z?a=%2F..", "/y/z?a=%2F.."),
        ("service = \"a\"", "h/a?", "/a?"),
        ("path = \"/api\"\nstrip_prefix = \"/api\"\nservice = \"a\"", "h/api/v1?q=1", "/v1?q=1"),
        ("path = \"/api\"\nstrip_prefix = \"/api\"\nservice = \"a\"", "h/api?q", "/?q"),
        ("path = \"/api\"\nstrip_prefix = \"/api\"\nservice = \"a\"", "h/api/", "/"),
        ("path = \"/\"\nstrip_prefix = \"/api\"\nservice = \"a\"", "h/apiary", "/apiary"),
        ("path = \"/api\"\nrewrite = { path = \"/v2{rest}\" }\nservice = \"a\"", "h/api/x?q=1", "/v2/x?q=1"),
        ("path = \"/api\"\nrewrite = { path = \"/v2{rest}\" }\nservice = \"a\"", "h/api", "/v2"),
        ("rewrite = { path = \"/v2{rest}\" }\nservice = \"a\"", "h/x", "/v2/x"),
        ("path = \"=/old\"\nrewrite = { path = \"/new\" }\nservice = \"a\"", "h/old?q", "/new?q"),
    ] {
        assert_eq!(rewritten(route, url).as_deref(), Ok(want), "{route} {url}");
    }
}

#[test]
fn a_redirect_leads_nowhere_but_where_the_file_says() {
    let to = |to: &str| format!("path = \"/a\"\nredirect = {{ to = \"{to}\", status = 308 }}");
    for (template, url, want) in [
        ("https://{host}{path}", "shop.example/a/b?q=1", "https://shop.example/a/b?q=1"),
        ("https://new.example{rest}", "h/a/b", "https://new.example/b"),
        ("https://new.example{rest}", "h/a", "https://new.example"),
        ("https://new.example{rest}", "h/a//evil.example/x", "https://new.example/evil.example/x"),
        ("{path}", "h//a//evil.example", "/a/evil.example"),
        ("https://new.example/{query}", "h/a?x", "https://new.example/?x"),
        ("https://new.example/?fixed", "h/a?x", "https://new.example/?fixed"),
    ] {
        assert_eq!(rewritten(&to(template), url).as_deref(), Ok(want), "{template} {url}");
    }
    let without_host = "GET /a HTTP/1.0";
    let table = RouteTable::compile(&config(&format!("[[route]]\n{}", to("https://{host}{path}"))));
    request(without_host, |request| {
        let found = table.find(request, b"/a", ListenerId(0)).expect("the route matches");
        let RouteTarget::Redirect(redirect) = &found.target else { panic!("it is a redirect") };
        let asked = Asked { host: request.authority(), path: b"/a", query: None };
        assert_eq!(redirect.location(&asked, &mut Vec::new()), Err(NoHost));
    });
}

#[test]
fn a_caller_is_known_by_what_the_service_balances_on() {
    let hash = |on: &HashOn, text: &str, client: &str| {
        request(text, |request| balance_hash(on, request, request.path(), client.parse().unwrap()))
    };
    let text = "GET /a?user=x%20y HTTP/1.1\nHost: h\nX-User: x y\nCookie: user=x";
    let named = |name: &str| name.to_owned();
    assert_eq!(hash(&HashOn::ClientIp, text, "10.0.0.1"), hash(&HashOn::ClientIp, text, "::ffff:10.0.0.1"));
    assert_ne!(hash(&HashOn::ClientIp, text, "10.0.0.1"), hash(&HashOn::ClientIp, text, "10.0.0.2"));
    for (on, key) in [
        (HashOn::Path, "/a"),
        (HashOn::Header(named("x-user")), "x y"),
        (HashOn::Query(named("user")), "x y"),
        (HashOn::Cookie(named("user")), "x"),
        (HashOn::Header(named("x-none")), ""),
    ] {
        assert_eq!(hash(&on, text, "10.0.0.1"), stable_hash(key.as_bytes()), "{on:?}");
    }
}

/// The same question, asked of one route after the other.
fn naive(config: &Config, host: &str, path: &str, beta: bool, listener: usize) -> Option<usize> {
    config.routes.iter().position(|route| {
        let host_matches = match &route.host {
            HostMatch::Any => true,
            HostMatch::Exact(name) => host == name,
            HostMatch::Suffix(name) => host.ends_with(&format!(".{name}")),
        };
        let path_matches = match &route.path {
            PathMatch::Prefix(prefix) if prefix == "/" => true,
            PathMatch::Prefix(prefix) => path == prefix || path.starts_with(&format!("{prefix}/")),
            PathMatch::Exact(exact) => path == exact,
            PathMatch::Pattern(pattern) => pattern.is_match(path.as_bytes()),
        };
        let header_matches = route.headers.iter().all(|(_, value)| match value {
            ValueMatch::Exact(value) => value == "1" && beta,
            ValueMatch::Pattern(_) => false,
        });
        host_matches && path_matches && header_matches && route.listeners.contains(&ListenerId(listener))
    })
}

#[test]
fn the_index_finds_what_asking_every_route_in_turn_finds() {
    const HOSTS: [&str; 6] = ["a.test", "b.a.test", "test", "x.b.a.test", "c.test", "other"];
    const HOST_RULES: [&str; 6] = ["", "a.test", "*.test", "*.a.test", "b.a.test", "c.test"];
    const SEGMENTS: [&str; 3] = ["a", "b", "ab"];
    let seed = Seed::new(11);
    let (mut found, mut missed) = (0, 0);
    for table in 0..150 {
        let mut draws = (0..).map(|at| seed.draw(table, at, Purpose::ChoiceA));
        let mut draw = |bound: usize| below(draws.next().unwrap_or_default(), bound as u64) as usize;
        let mut routes = String::new();
        for _ in 0..=draw(12) {
            routes += "[[route]]\nservice = \"a\"\n";
            let segments: Vec<_> = (0..draw(4)).map(|_| SEGMENTS[draw(3)]).collect();
            let path = format!("/{}", segments.join("/"));
            match draw(8) {
                0 => writeln!(routes, "path = \"={path}\"").unwrap(),
                1 => writeln!(routes, "path = \"~{path}$\"").unwrap(),
                2 => {}
                _ => writeln!(routes, "path = \"{path}\"").unwrap(),
            }
            match HOST_RULES[draw(6)] {
                "" => {}
                host => writeln!(routes, "host = \"{host}\"").unwrap(),
            }
            match draw(4) {
                0 => routes += "header = { x-beta = \"1\" }\n",
                1 => routes += "listener = \"inner\"\n",
                _ => {}
            }
        }
        let config = config(&routes);
        let compiled = RouteTable::compile(&config);
        for _ in 0..60 {
            let segments: Vec<_> = (0..draw(5)).map(|_| SEGMENTS[draw(3)]).collect();
            let path =
                format!("/{}{}", segments.join("/"), if !segments.is_empty() && draw(4) == 0 { "/" } else { "" });
            let (host, beta, listener) = (HOSTS[draw(6)], draw(2) == 0, draw(2));
            let lines = if beta { "X-Beta: 1" } else { "" };
            let want = naive(&config, host, &path, beta, listener);
            let got = taken(&compiled, &head("GET", &format!("{host}{path}"), lines), listener);
            assert_eq!(got, want, "table {table}: {host}{path} {lines} {listener}\n{routes}");
            if want.is_some() { found += 1 } else { missed += 1 }
        }
    }
    assert!(found > 1000 && missed > 1000, "both happen: {found} {missed}");
}
