//! The admin API's answers as tables.

use serde_json::Value;

use crate::print::Table;

/// One line per service.
pub(super) fn services(found: &Value) -> Table {
    let head = ["SERVICE", "BREAKER", "READY", "IN USE", "WAITING", "LIMIT", "RETRY BUDGET", "WHY"];
    let mut table = Table::new(&head);
    for service in list(&found["services"]) {
        let breaker = &service["breaker"];
        table.row([
            word(&service["name"]),
            word(&breaker["state"]),
            format!("{} of {}", word(&service["ready"]), list(&service["endpoints"]).len()),
            word(&service["in_use"]),
            word(&service["waiting"]),
            limit(service),
            number(&service["retry_budget_tokens"], 0),
            why(service),
        ]);
    }
    table
}

/// What is not as it should be about a service, or is meant so.
pub(crate) fn why(service: &Value) -> String {
    let breaker = &service["breaker"];
    let is_quiet = breaker["state"] == "closed" && breaker["forced"] != true;
    let of_breaker = (!is_quiet).then(|| word(&breaker["why"]));
    of_breaker.into_iter().chain(drill(&service["fault"])).collect::<Vec<_>>().join("; ")
}

fn drill(fault: &Value) -> Option<String> {
    let share = format!("{:.0}% of the attempts", fault["share"].as_f64()? * 100.0);
    let place = fault["endpoint"].as_str().map_or(String::new(), |endpoint| format!(" at {endpoint}"));
    let what = match fault["kind"].as_str()? {
        "delay" => format!("delays {share}{place} by {} ms", word(&fault["delay_ms"])),
        "abort" => format!("answers {share}{place} with {}", word(&fault["status"])),
        _ => format!("breaks {share}{place} off"),
    };
    Some(format!("a drill {what} for {} s more", fault["until_ms"].as_u64()?.div_ceil(1000)))
}

/// One line per endpoint.
pub(super) fn endpoints(found: &Value) -> Table {
    let head =
        ["SERVICE", "ENDPOINT", "STATE", "IN FLIGHT", "LATENCY MS", "GOOD", "FAILED", "EJECTIONS", "CHECK", "WHY"];
    let mut table = Table::new(&head);
    for service in list(&found["services"]) {
        for endpoint in list(&service["endpoints"]) {
            table.row([
                word(&service["name"]),
                word(&endpoint["address"]),
                word(&endpoint["state"]),
                word(&endpoint["in_flight"]),
                number(&endpoint["latency_ms"], 1),
                word(&endpoint["successes"]),
                word(&endpoint["failures"]),
                word(&endpoint["ejections"]),
                check(&endpoint["last_check"]),
                endpoint["why"].as_str().unwrap_or("").to_owned(),
            ]);
        }
    }
    table
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A value as a cell; what is not known is a dash.
fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The limit, and of what, where it is lower than it may be.
fn limit(service: &Value) -> String {
    let (limit, ceiling) = (&service["concurrency_limit"], &service["concurrency_ceiling"]);
    if ceiling.is_null() || limit == ceiling { word(limit) } else { format!("{} of {}", word(limit), word(ceiling)) }
}

fn number(value: &Value, digits: usize) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |number| format!("{number:.digits$}"))
}

fn check(check: &Value) -> String {
    match (check["passed"].as_bool(), check["failure"].as_str()) {
        (Some(true), _) => "passed".to_owned(),
        (Some(false), Some(failure)) => format!("failed: {failure}"),
        (Some(false), None) => "failed".to_owned(),
        (None, _) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_endpoint_that_is_out_says_why_and_one_that_is_in_says_nothing() {
        let endpoint = |address: &str, state: &str, why: Value| {
            json!({
                "address": address, "state": state, "why": why, "in_flight": 0, "latency_ms": 10.25, "successes": 5,
                "failures": 1, "ejections": 1, "last_check": { "passed": false, "failure": "refused", "ago_ms": 3 },
            })
        };
        let endpoints =
            json!([endpoint("a:1", "ejected", json!("4 of 5 calls failed")), endpoint("b:1", "ready", Value::Null)]);
        let text = super::endpoints(&json!({ "services": [{ "name": "shop", "endpoints": endpoints }] })).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("a:1") && lines[1].ends_with("failed: refused  4 of 5 calls failed"), "{text}");
        assert!(lines[2].contains("ready") && lines[2].ends_with("failed: refused"), "{text}");
    }

    #[test]
    fn a_limit_under_its_ceiling_is_shown_with_it() {
        let shop = |limit: u32| json!({ "concurrency_limit": limit, "concurrency_ceiling": 1024 });
        assert_eq!(limit(&shop(139)), "139 of 1024");
        assert_eq!(limit(&shop(1024)), "1024");
    }

    #[test]
    fn a_drill_is_told_beside_what_it_does_to_the_breaker() {
        let fault = json!({ "kind": "delay", "delay_ms": 200, "share": 0.1, "endpoint": null, "until_ms": 11_200 });
        let closed = json!({ "state": "closed", "forced": false, "why": "calls go well enough" });
        let told = |breaker: &Value| why(&json!({ "breaker": breaker, "fault": fault }));
        assert_eq!(told(&closed), "a drill delays 10% of the attempts by 200 ms for 12 s more");
        let open = json!({ "state": "open", "forced": false, "why": "too many calls failed or were slow" });
        assert!(told(&open).starts_with("too many calls failed or were slow; a drill"), "{}", told(&open));
    }

    #[test]
    fn a_node_of_another_version_that_leaves_something_out_is_still_shown() {
        let text = services(&json!({ "services": [{ "name": "shop" }] })).to_string();
        assert!(text.lines().nth(1).unwrap().starts_with("shop"), "{text}");
    }
}
