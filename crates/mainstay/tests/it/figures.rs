//! What is counted, under the gateway's names.

use mainstay::{BreakerOrder, Facts, metrics};

use crate::world::{A, B, Script, in_words, plain_retry, read, world};

/// The samples of one service, without those that are zero.
fn samples(text: &str, service: &str) -> Vec<String> {
    let of_it = format!("service=\"{service}\"");
    let lines = text.lines().filter(|line| line.contains(&of_it) && !line.ends_with(" 0"));
    lines.map(|line| line.replace(&format!("{of_it},"), "").replace(&of_it, "")).collect()
}

#[test]
fn what_came_of_calls_and_attempts_is_counted() {
    let time = mainstay::time::VirtualTime::new();
    let database = mainstay::Service::builder("counted").retry(plain_retry()).time(time.clone()).build().unwrap();
    let twice = Script::new(&time, &[(1, Err("lost")), (1, Ok("rows"))]);
    time.run(async { database.call(read(), twice.attempt()).await }).unwrap();
    let well = Script::new(&time, &[(1, Ok("rows"))]);
    time.run(async { database.call(read(), well.attempt()).await }).unwrap();
    let lost = Script::new(&time, &[(1, Err("lost"))]);
    let call = database.call(Facts::once(), lost.attempt()).fallback(|_, _| Ok("kept"));
    time.run(async { call.await }).unwrap();
    database.order_breaker(BreakerOrder::Open);
    time.run(async { database.call(read(), well.attempt()).await }).unwrap_err();
    let text = metrics::text(&[&database]);
    let samples = samples(&text, "counted");
    for expected in [
        "http_client_request_duration_seconds_count{server_address=\"counted\",http_request_method=\"_OTHER\",http_response_status_code=\"200\"} 2",
        "http_client_request_duration_seconds_sum{server_address=\"counted\",http_request_method=\"_OTHER\",http_response_status_code=\"200\"} 0.002000000",
        "http_client_request_duration_seconds_bucket{server_address=\"counted\",http_request_method=\"_OTHER\",error_type=\"reset\",le=\"0.005\"} 2",
        "mainstay_attempts_total{endpoint=\"counted\",result=\"success\"} 2",
        "mainstay_attempts_total{endpoint=\"counted\",result=\"reset\"} 2",
        "mainstay_retries_total{reason=\"reset\"} 1",
        "mainstay_retries_denied_total{reason=\"not_idempotent\"} 1",
        "mainstay_fallback_total{kind=\"respond\"} 1",
        "mainstay_refused_total{reason=\"breaker_open\",origin=\"us\"} 1",
        "mainstay_breaker_state{state=\"open\"} 1",
        "mainstay_endpoint_state{endpoint=\"counted\",state=\"ready\"} 1",
        "mainstay_concurrency_limit{} 1024",
    ] {
        assert!(samples.iter().any(|line| line == expected), "{expected} in {samples:#?}");
    }
}

#[test]
fn an_ejection_is_counted_once() {
    let (time, shop) = world(&[A, B], |builder| builder.balance(mainstay::Balance::RoundRobin));
    for _ in 0..40 {
        let call = shop.call(read(), |attempt: mainstay::Attempt| async move {
            if attempt.endpoint.to_string() == B { Err("refused") } else { Ok("page") }
        });
        time.run(async { call.classify(in_words).await }).unwrap();
    }
    let text = metrics::text(&[&shop]);
    let expected =
        format!("mainstay_ejections_total{{service=\"shop\",endpoint=\"{B}\",reason=\"consecutive_failures\"}} 1");
    assert!(text.contains(&expected), "{text}");
    assert_eq!(text.matches("# TYPE mainstay_attempts_total counter").count(), 1);
}
