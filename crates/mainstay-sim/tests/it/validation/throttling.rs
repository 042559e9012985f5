//! A limit that is lowered while what stands behind it fails.
//!
//! Google: "Site Reliability Engineering", 2016, chapter 21: a client that lets K times as many through as are accepted
//! brings a service that accepts C a second min(D, K C) of the D that are wanted. Ours judges once a second and moves by
//! additive increase and multiplicative decrease instead, so that it needs no estimate of what is accepted; with a tenth of
//! bad ends tolerated it is to be the client with K near 1.1, which lets one in eleven be refused. Each step up is 5 % of
//! the limit's own rate, so it swings around that; a tenth is allowed.

use super::table::{Row, hold};
use super::world::{mean, play};

/// What reaches the service a second, in the mean, where it accepts 100 a second and this many are wanted.
fn reaching(wanted: u32) -> f64 {
    let config = format!(
        r#"
        [[listener]]
        name = "web"
        address = "127.0.0.1:8080"
        [[route]]
        service = "shop"
        rate_limit = ["all"]
        [rate_limit.all]
        key = "global"
        rate = "{wanted}/s"
        burst = {wanted}
        adaptive = true
        [service.shop]
        endpoints = ["198.18.0.1:80"]
        outlier = "off"
        breaker = "off"
        retry = "off"
        bulkhead = {{ concurrency = "unlimited", adaptive = "off", queue = "off" }}
        "#
    );
    let scenario = format!(
        r#"
        name = "more than is accepted"
        duration = "120s"
        [workload]
        service = "shop"
        rate = "{wanted}/s"
        arrivals = "uniform"
        [instance]
        count = 1
        concurrency = 1
        service_time = "10ms"
        queue = 5
        "#
    );
    mean(&play(&config, &scenario).report.timeline[20..120], |second| second.attempts)
}

#[test]
fn an_adaptive_limit_lets_little_more_through_than_is_accepted() {
    let row = |wanted: u32| {
        let theirs = f64::from(wanted).min(110.0);
        Row::new(format!("{wanted}")).within(0.1, theirs, reaching(wanted))
    };
    hold("throttling", &[80, 200, 400].map(row));
}
