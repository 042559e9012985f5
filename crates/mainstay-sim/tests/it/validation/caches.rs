//! What the store behind a cache has to answer when the cache has lost everything.
//!
//! N things are asked for, all equally often, λ times a second in all, and each is kept once it was fetched. After the loss
//! a share e^(-t λ / N) of the calls finds nothing at time t: the coupon collector's problem. So in second k the store is
//! asked N (e^(-k λ / N) - e^(-(k + 1) λ / N)) times, from all of the load down to none. The first second may be off by 2 %,
//! later ones by 30 calls besides, since the arrivals are drawn.

use mainstay_core::math::exp;

use super::table::{Row, hold};
use super::world::{bare, play};

const KEYS: f64 = 10_000.0;

#[test]
fn a_cold_cache_asks_for_everything_once() {
    let stock = r#"
        [[route]]
        path = "/stock"
        service = "stock"
        [service.stock]
        endpoints = ["198.18.0.2:80"]
        outlier = "off"
        breaker = "off"
        retry = "off"
        bulkhead = { concurrency = "unlimited", adaptive = "off", queue = "off" }
    "#;
    let scenario = format!(
        r#"
        name = "a cold cache"
        duration = "15s"
        [workload]
        service = "shop"
        rate = "10000/s"
        keys = {KEYS}
        skew = 0
        [[instance]]
        service = "shop"
        count = 1
        concurrency = "unlimited"
        service_time = "100us"
        cache = {{ ttl = "10h", hit_time = "100us" }}
        calls = ["stock"]
        [[instance]]
        service = "stock"
        count = 1
        concurrency = "unlimited"
        service_time = "100us"
        [network]
        latency = "0s"
        [[fault]]
        at = "10s"
        kind = "cold"
        target = "shop"
        "#
    );
    let report = play(&(bare("retry = \"off\"") + stock), &scenario).report;
    let row = |after: u32| {
        let second = &report.timeline[10 + after as usize];
        let left = |seconds: u32| KEYS * exp(-f64::from(seconds));
        let theirs = left(after) - left(after + 1);
        let asked = (second.attempts - second.requests) as f64;
        Row::new(format!("{}", after + 1)).near(theirs * 0.02 + 30.0, theirs, asked)
    };
    hold("caches", &[0, 1, 2, 3, 4].map(row));
}
