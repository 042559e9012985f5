//! What happened between two looks at a node.

use serde_json::{Value, json};
use tokio::time::Instant;

/// What a node said of itself at one moment.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) at: Instant,
    /// `GET /v1/services`.
    pub(super) services: Value,
    /// `GET /metrics`.
    pub(super) metrics: String,
}

/// All services between two looks.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    pub(super) services: Vec<Service>,
}

/// One service between two looks.
#[derive(Debug, Clone, Default)]
pub(super) struct Service {
    pub(super) name: String,
    /// Attempts a second.
    pub(super) rate: f64,
    /// Share of the attempts that went well; `None` without any.
    pub(super) good: Option<f64>,
    /// Half of the attempts were over within this many milliseconds.
    pub(super) p50_ms: Option<f64>,
    /// 99 of 100 were.
    pub(super) p99_ms: Option<f64>,
    /// Calls a second that got no answer of an instance, by reason.
    pub(super) refused: Vec<(String, f64)>,
    /// As the admin API has it.
    pub(super) view: Value,
}

impl Figures {
    /// What happened from `before` to `now`.
    pub(super) fn between(before: &Sample, now: &Sample) -> Self {
        let seconds = now.at.duration_since(before.at).as_secs_f64();
        let views = now.services["services"].as_array().map(Vec::as_slice).unwrap_or_default();
        Self { services: views.iter().map(|view| Service::between(view, before, now, seconds)).collect() }
    }
}

impl Service {
    fn between(view: &Value, before: &Sample, now: &Sample, seconds: f64) -> Self {
        let name = view["name"].as_str().unwrap_or_default().to_owned();
        let grown = |metric: &str, label: &str| grown(&before.metrics, &now.metrics, metric, &name, label);
        let attempts = grown("mainstay_attempts_total", "result");
        let of =
            |wanted: &str| attempts.iter().filter(|(result, _)| result == wanted).map(|(_, count)| count).sum::<f64>();
        let judged = attempts.iter().map(|(_, count)| count).sum::<f64>() - of("cancelled");
        let buckets = grown("http_client_request_duration_seconds_bucket", "le");
        let per_second = |count: f64| if seconds > 0.0 { count / seconds } else { 0.0 };
        let refused = grown("mainstay_refused_total", "reason").into_iter().filter(|(_, count)| *count > 0.0);
        Self {
            // The sum of nothing is -0.
            rate: per_second(attempts.iter().fold(0.0, |sum, (_, count)| sum + count)),
            good: (judged > 0.0).then(|| of("success") / judged),
            p50_ms: quantile(&buckets, 0.5),
            p99_ms: quantile(&buckets, 0.99),
            refused: refused.map(|(reason, count)| (reason, per_second(count))).collect(),
            view: view.clone(),
            name,
        }
    }

    /// For programs: the admin API's service, and beside it what happened.
    pub(super) fn to_json(&self) -> Value {
        let refused: serde_json::Map<_, _> =
            self.refused.iter().map(|(reason, rate)| (reason.clone(), json!(rate))).collect();
        let mut all = self.view.clone();
        for (key, value) in [
            ("attempts_per_second", json!(self.rate)),
            ("good_ratio", json!(self.good)),
            ("p50_ms", json!(self.p50_ms)),
            ("p99_ms", json!(self.p99_ms)),
            ("refused_per_second", Value::Object(refused)),
        ] {
            all[key] = value;
        }
        all
    }
}

/// How much a metric of a service grew, by the value of a label, in the order of the text.
fn grown(before: &str, now: &str, metric: &str, service: &str, label: &str) -> Vec<(String, f64)> {
    let mut sums = series(now, metric, service, label);
    for (value, count) in series(before, metric, service, label) {
        if let Some((_, sum)) = sums.iter_mut().find(|(known, _)| *known == value) {
            *sum = (*sum - count).max(0.0);
        }
    }
    sums
}

/// The series of a metric of a service, summed by the value of a label.
fn series(text: &str, metric: &str, service: &str, label: &str) -> Vec<(String, f64)> {
    let mut sums: Vec<(String, f64)> = Vec::new();
    for line in text.lines() {
        let Some(labels) = line.strip_prefix(metric).and_then(|rest| rest.strip_prefix('{')) else { continue };
        let (Some(value), Some(count)) = (value_of(labels, label), line.rsplit(' ').next()) else { continue };
        let Some(count) = count.parse::<f64>().ok().filter(|_| value_of(labels, "service") == Some(service)) else {
            continue;
        };
        match sums.iter_mut().find(|(known, _)| known == value) {
            Some((_, sum)) => *sum += count,
            None => sums.push((value.to_owned(), count)),
        }
    }
    sums
}

fn value_of<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = labels.split_once(&format!("{name}=\""))?;
    rest.split('"').next()
}

/// A quantile of cumulative buckets in milliseconds, taken as even within a bucket (as Prometheus does).
fn quantile(buckets: &[(String, f64)], share: f64) -> Option<f64> {
    let total = buckets.iter().map(|(_, count)| *count).fold(0.0, f64::max);
    let wanted = share * total;
    let (mut below, mut counted) = (0.0, 0.0);
    for (bound, count) in buckets.iter().filter(|_| total > 0.0) {
        let Ok(bound) = bound.parse::<f64>() else { continue };
        if *count >= wanted {
            let part = if *count > counted { (wanted - counted) / (count - counted) } else { 1.0 };
            // Beyond the last boundary nothing is known.
            let bound = if bound.is_finite() { below + (bound - below) * part } else { below };
            return Some(bound * 1000.0);
        }
        (below, counted) = (bound, *count);
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;

    /// A second in which the shop had 100 attempts, of which four failed.
    pub(in super::super) fn second() -> (Sample, Sample) {
        let text = |good: u32, failed: u32, fast: u32, all: u32, refused: u32| {
            format!(
                "mainstay_attempts_total{{service=\"shop\",endpoint=\"a:1\",result=\"success\"}} {good}\n\
                 mainstay_attempts_total{{service=\"shop\",endpoint=\"a:1\",result=\"503\"}} {failed}\n\
                 mainstay_attempts_total{{service=\"other\",endpoint=\"a:1\",result=\"503\"}} 1000\n\
                 http_client_request_duration_seconds_bucket{{service=\"shop\",le=\"0.01\"}} {fast}\n\
                 http_client_request_duration_seconds_bucket{{service=\"shop\",le=\"0.1\"}} {all}\n\
                 http_client_request_duration_seconds_bucket{{service=\"shop\",le=\"+Inf\"}} {all}\n\
                 mainstay_refused_total{{service=\"shop\",reason=\"queue_full\",origin=\"us\"}} {refused}\n"
            )
        };
        let endpoint = |address: &str, state: &str, why: Value| {
            json!({ "address": address, "state": state, "why": why, "in_flight": 2, "latency_ms": 10.5,
                    "successes": 90, "failures": 4 })
        };
        let services = json!({ "services": [{
            "name": "shop", "breaker": { "state": "closed", "forced": false, "why": "calls go well enough" },
            "retry_budget_tokens": 97.0, "waiting": 1, "in_use": 4, "concurrency_limit": 64, "fault": null, "ready": 1,
            "endpoints": [endpoint("a:1", "ready", Value::Null), endpoint("b:1", "ejected", json!("its checks fail: refused"))],
        }] });
        let at = Instant::now();
        let before = Sample { at, services: services.clone(), metrics: text(1000, 10, 500, 1000, 0) };
        (before, Sample { at: at + Duration::from_secs(1), services, metrics: text(1096, 14, 550, 1100, 3) })
    }

    #[tokio::test]
    async fn only_what_lies_between_two_looks_counts() {
        let (before, now) = second();
        let figures = Figures::between(&before, &now);
        let shop = &figures.services[0];
        assert_eq!((shop.rate, shop.good), (100.0, Some(0.96)));
        assert_eq!(shop.p50_ms, Some(10.0));
        assert!(shop.p99_ms.is_some_and(|p99| (98.0..99.0).contains(&p99)), "{:?}", shop.p99_ms);
        assert_eq!(shop.refused, [("queue_full".to_owned(), 3.0)]);
        let still = Figures::between(&now, &now);
        let nothing = Sample { metrics: String::new(), ..now };
        let idle = Figures::between(&before, &nothing).services[0].rate;
        assert_eq!(format!("{idle:.0}"), "0", "the sum of nothing has no sign");
        assert_eq!((still.services[0].good, still.services[0].p99_ms), (None, None));
    }
}
