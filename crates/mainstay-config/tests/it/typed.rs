//! What a configuration comes to when it is right.

use mainstay_config::{
    Endpoints, HashOn, HostMatch, KeyPart, ListenerId, PathMatch, RateLimitId, RouteRetry, ServiceId, Target,
    ValueMatch, parse_endpoints,
};
use mainstay_core::{Limit, Rate};

use super::{LEAST, load};

const SHOP: &str = r#"
[[listener]]
name = "web"
address = "127.0.0.1:8080"
trusted_proxies = ["10.0.0.0/8", "::1"]

[[listener]]
name = "inside"
address = "127.0.0.1:8081"

[[route]]
listener = "inside"
host = "*.Example"
path = "/api/"
method = ["GET", "HEAD"]
header = { X-Beta = "~^[0-9]+$" }
split = [{ service = "next", weight = 5 }, { service = "shop", weight = 95 }]
rate_limit = ["per-team"]
rewrite = { path = "/v2{rest}" }
retry = { attempts = 2, on = ["5xx", "connect", "429", "503"] }

[[route]]
path = "=/old"
redirect = { to = "https://{host}/new" }

[[route]]
path = '~^/\d+$'
service = "shop"
retry = "off"

[service.shop]
endpoints = ["127.0.0.1:9101", { address = "[::1]:9102", weight = 2, zone = "a", backup = true }]
hash_on = "header:X-User"
health = { tcp = true, interval = "300ms" }
bulkhead = { queue = "off", concurrency = "unlimited" }
fallback = { service = "lite", respond = { body = "[]", content_type = "application/json" } }

[service.next]
discover = { dns = "next.internal:80" }

[service.lite]
discover = { file = "lite.toml" }

[rate_limit.per-team]
key = ["header:X-Team", "client_ip"]
rate = "90/m"
"#;

#[test]
fn references_become_positions_in_the_files_order() {
    let config = load(SHOP).unwrap().config;
    let names: Vec<&str> = config.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["shop", "next", "lite"]);
    let route = &config.routes[0];
    assert_eq!(route.listeners, [ListenerId(1)]);
    assert_eq!(route.target, Target::Split(vec![(ServiceId(1), 5), (ServiceId(0), 95)]));
    assert_eq!(route.rate_limits, [RateLimitId(0)]);
    assert_eq!(config.routes[2].listeners, [ListenerId(0), ListenerId(1)]);
    assert_eq!(config.services[0].fallback.service, Some(ServiceId(2)));
    assert_eq!(route.line, Some(11));
    assert_eq!(config.services[1].line, SHOP.lines().position(|line| line == "[service.next]").map(|at| at as u32 + 1));
}

#[test]
fn what_a_route_matches_is_ready_to_be_compared() {
    let config = load(SHOP).unwrap().config;
    let route = &config.routes[0];
    assert_eq!(route.host, HostMatch::Suffix("example".to_owned()));
    assert_eq!(route.path, PathMatch::Prefix("/api".to_owned()));
    let [(name, value)] = route.headers.as_slice() else { panic!("one header") };
    assert_eq!(name, "x-beta");
    assert!(matches!(value, ValueMatch::Pattern(_)) && value.matches(b"17") && !value.matches(b"x"));
    assert_eq!(config.routes[1].path, PathMatch::Exact("/old".to_owned()));
    assert!(matches!(&config.routes[2].path, PathMatch::Pattern(pattern) if pattern.is_match(b"/12")));
    let Target::Redirect(redirect) = &config.routes[1].target else { panic!("a redirect") };
    assert_eq!((redirect.status, redirect.keep_query), (308, true));
}

#[test]
fn a_routes_own_retries_replace_the_services() {
    let config = load(SHOP).unwrap().config;
    let RouteRetry::Own(Some(retry)) = &config.routes[0].retry else { panic!("its own") };
    assert_eq!(retry.attempts, 2);
    assert!(retry.on.connect && !retry.on.reset && !retry.on.timeout);
    assert_eq!(retry.on.statuses.first(), Some(&429));
    assert_eq!(retry.on.statuses.len(), 101, "429 and the hundred from 500, 503 once");
    assert_eq!(config.routes[1].retry, RouteRetry::Service);
    assert_eq!(config.routes[2].retry, RouteRetry::Own(None));
}

#[test]
fn the_nodes_zone_comes_first_unless_a_service_does_not_care() {
    let zones = |text: &str| -> Vec<String> {
        load(text).unwrap().config.services.iter().map(|service| service.policy.zone.to_string()).collect()
    };
    let at_home = SHOP.replacen(
        "[service.shop]",
        "[node]\nregion = \"eu\"\nzone = \"a\"\n\n[service.shop]\nzone_aware = false",
        1,
    );
    assert_eq!(zones(&at_home), ["", "a", "a"]);
    assert_eq!(zones(SHOP), [""; 3]);
}

#[test]
fn a_service_says_who_answers_and_what_if_nobody_does() {
    let config = load(SHOP).unwrap().config;
    let shop = &config.services[0];
    let Endpoints::Fixed(endpoints) = &shop.endpoints else { panic!("fixed") };
    assert_eq!((endpoints[0].weight, endpoints[0].backup), (1, false));
    assert_eq!((endpoints[1].weight, endpoints[1].backup, &*endpoints[1].zone), (2, true, "a"));
    assert_eq!(shop.hash_on, HashOn::Header("x-user".to_owned()));
    let health = shop.policy.health.as_ref().unwrap();
    assert_eq!(health.timeout, health.interval, "an interval under a second is the timeout too");
    assert_eq!((shop.policy.bulkhead.queue, shop.policy.bulkhead.concurrency), (0, Limit::Unlimited));
    assert!(shop.policy.fallback.service && shop.policy.fallback.respond);
    assert_eq!(shop.fallback.respond.as_ref().unwrap().status, 200);
    assert_eq!(config.services[1].endpoints, Endpoints::Dns { host: "next.internal".to_owned(), port: 80 });
    assert_eq!(config.services[2].endpoints, Endpoints::File("lite.toml".into()));
}

#[test]
fn a_rate_limit_lets_through_at_once_what_a_second_brings() {
    let limit = &load(SHOP).unwrap().config.rate_limits[0];
    assert_eq!(limit.key, [KeyPart::Header("x-team".to_owned()), KeyPart::ClientIp]);
    assert_eq!(limit.policy.rate, "90/m".parse::<Rate>().unwrap());
    assert_eq!(limit.policy.burst, 1, "a second brings one and a half");
}

#[test]
fn the_burst_of_a_tier_lasts_as_long_as_that_of_the_limit_unless_it_has_its_own() {
    let limit = "rate = \"10/s\"\nburst = 30\ntier_from = \"header:X-Tier\"\n\
                 tiers = { gold = \"100/s\", small = \"1/m\", own = { rate = \"100/s\", burst = 7 } }\n";
    let config = load(&format!("{LEAST}[rate_limit.l]\n{limit}")).unwrap().config;
    let tiers = config.rate_limits[0].tiers.as_ref().unwrap();
    assert_eq!((tiers.header.as_str(), tiers.names.join(" ").as_str()), ("x-tier", "gold small own"));
    let bursts: Vec<u64> = config.rate_limits[0].policy.tiers.iter().map(|tier| tier.burst).collect();
    assert_eq!(bursts, [300, 1, 7]);
}

#[test]
fn what_a_rate_limit_would_ignore_is_refused() {
    for (limit, said) in [
        ("algorithm = \"fixed_window\"\nburst = 5", "a window has no burst"),
        ("algorithm = \"leaky_bucket\"\nburst = 5", "how many wait in it, and nobody waits"),
        ("queue_timeout = \"2s\"", "queue_timeout has no meaning where calls over the limit are refused"),
        ("queue = 5", "queue has no meaning where calls over the limit are refused"),
        ("tiers = { gold = \"1/s\" }", "nothing says which of them a caller has"),
        ("tier_from = \"header:x-tier\"", "there are no tiers"),
        ("tier_from = \"x-tier\"\ntiers = { gold = \"1/s\" }", "expected where a caller's tier stands"),
        ("tiers = { gold = { burst = 3 } }\ntier_from = \"header:x-tier\"", "rate is missing"),
        ("key = [\"global\", \"path\"]", "\"global\" stands alone"),
    ] {
        let problems = load(&format!("{LEAST}[rate_limit.l]\n{limit}\n")).unwrap_err().to_string();
        assert!(problems.contains(said), "{limit}: {problems}");
    }
    let queue = "algorithm = \"leaky_bucket\"\nburst = 5\non_exceeded = \"queue\"\nqueue_timeout = \"2s\"\nqueue = 5";
    assert!(load(&format!("{LEAST}[rate_limit.l]\n{queue}\n")).is_ok());
}

#[test]
fn trusted_proxies_are_ranges_of_addresses() {
    let config = load(SHOP).unwrap().config;
    let trusted = |address: &str| {
        config.listeners[0].trusted_proxies.iter().any(|range| range.contains(address.parse().unwrap()))
    };
    assert!(trusted("10.1.2.3") && trusted("::1") && !trusted("127.0.0.1"));
}

#[test]
fn a_file_of_endpoints_is_read_by_the_same_rules() {
    let found =
        parse_endpoints("lite.toml", "endpoints = [\"127.0.0.1:1\", { address = \"127.0.0.1:2\", weight = 3 }]");
    assert_eq!(found.unwrap().iter().map(|endpoint| endpoint.weight).collect::<Vec<_>>(), [1, 3]);
    for (text, said) in [
        ("", "there are no endpoints"),
        ("endpoints = []", "the list of endpoints is empty"),
        ("endpoints = [\"shop:80\"]", "shop is a name, and endpoints are addresses"),
        ("endpoint = [\"127.0.0.1:1\"]", "unknown key \"endpoint\""),
        ("endpoints = [\"127.0.0.1:1\", \"127.0.0.1:1\"]", "is there already, in line 1"),
    ] {
        let problems = parse_endpoints("lite.toml", text).unwrap_err().to_string();
        assert!(problems.contains(said), "{text}: {problems}");
    }
}
