//! Double-entry bookkeeping of attempts: the access log on one side, the metrics and the instances on the other.
//!
//! In: the lines of the access log, the lines that instances appended on reading a request, how much a counter grew,
//! and when which instance was down. Out: sums, the attempts that were open on an instance while it was down, and every
//! disagreement as a sentence. What holds when there is none:
//!
//! - By endpoint and result, the log has as many attempts as the metrics.
//! - A request has as many lines at an instance as attempts there whose request was written. Only those that were open
//!   while the instance was down may be missing; each of them is named.
//! - Nothing arrived that the log does not know of, so an attempt that "was not sent" never left a line.
//! - No POST was written a second time, nor came to any two instances.
//!
//! No side is computed from another. This file does nothing but compare, so that a story and a measurement can use it.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// The log's civil time has milliseconds, so that a request's beginning is known to about one.
const SLACK_MS: f64 = 2.0;

/// How much `mainstay_attempts_total` has, by endpoint and result.
pub(crate) type Counted = BTreeMap<(String, String), u64>;

/// A time in which an instance was dead or stood still, in milliseconds of civil time.
#[derive(Debug, Clone)]
pub(crate) struct Outage {
    pub(crate) endpoint: String,
    pub(crate) from: f64,
    pub(crate) to: f64,
}

/// A line that an instance appended.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) endpoint: String,
    pub(crate) id: String,
    pub(crate) method: String,
}

/// An attempt, as the access log has it.
#[derive(Debug, Clone)]
pub(crate) struct Tried {
    pub(crate) id: String,
    pub(crate) method: String,
    pub(crate) endpoint: String,
    pub(crate) result: String,
    pub(crate) certainty: String,
    began: f64,
    ended: f64,
}

impl Tried {
    fn was_written(&self) -> bool {
        self.certainty != "not_sent"
    }

    fn was_open_in(&self, outage: &Outage) -> bool {
        self.endpoint == outage.endpoint && self.began <= outage.to + SLACK_MS && self.ended >= outage.from - SLACK_MS
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, method, endpoint, result, certainty, .. } = self;
        write!(f, "{method} {id} at {endpoint} for {:.1} ms: {result}, {certainty}", self.ended - self.began)
    }
}

/// An attempt whose request was written and that was open on an instance while it was down.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    pub(crate) attempt: Tried,
    /// The instance has a line of it: it read the request before or after.
    pub(crate) arrived: bool,
}

/// What came of the comparison.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// Attempts in the log.
    pub(crate) logged: u64,
    /// Attempts that the metrics counted.
    pub(crate) counted: u64,
    /// Attempts in the log whose request was written.
    pub(crate) written: u64,
    /// Lines of the instances.
    pub(crate) arrived: u64,
    /// Those that were open on an instance while it was down.
    pub(crate) open: Vec<Open>,
    /// POSTs that came to instances more than once, by their ids.
    pub(crate) posts_twice: Vec<String>,
    /// Whatever does not add up.
    pub(crate) problems: Vec<String>,
}

impl Books {
    /// Open attempts that left no line.
    pub(crate) fn without_line(&self) -> usize {
        self.open.iter().filter(|open| !open.arrived).count()
    }
}

/// Compares all sides.
pub(crate) fn balance(log: &[Value], counted: &Counted, arrivals: &[Arrival], outages: &[Outage]) -> Books {
    let mut books = Books { counted: counted.values().sum(), arrived: arrivals.len() as u64, ..Books::default() };
    let mut tries = Vec::new();
    for line in log {
        match attempts_of(line) {
            Ok(attempts) => tries.extend(attempts),
            Err(why) => books.problems.push(format!("{why}: {line}")),
        }
    }
    books.logged = tries.len() as u64;
    books.written = tries.iter().filter(|tried| tried.was_written()).count() as u64;
    books.compare_with_metrics(&tries, counted);
    books.compare_with_instances(&tries, arrivals, outages);
    books.look_for_posts_sent_twice(&tries, arrivals);
    books
}

impl Books {
    fn compare_with_metrics(&mut self, tries: &[Tried], counted: &Counted) {
        let mut logged = Counted::new();
        for tried in tries {
            *logged.entry((tried.endpoint.clone(), tried.result.clone())).or_default() += 1;
        }
        for key in logged.keys().chain(counted.keys().filter(|key| !logged.contains_key(*key))) {
            let of = |side: &Counted| side.get(key).copied().unwrap_or(0);
            if of(&logged) != of(counted) {
                let (endpoint, result) = key;
                let (log, metrics) = (of(&logged), of(counted));
                self.problems.push(format!("{endpoint} {result}: {log} in the log, {metrics} in the metrics"));
            }
        }
    }

    fn compare_with_instances(&mut self, tries: &[Tried], arrivals: &[Arrival], outages: &[Outage]) {
        let mut written: BTreeMap<(&str, &str), Vec<&Tried>> = BTreeMap::new();
        for tried in tries.iter().filter(|tried| tried.was_written()) {
            written.entry((&tried.id, &tried.endpoint)).or_default().push(tried);
        }
        let mut lines: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for arrival in arrivals {
            *lines.entry((&arrival.id, &arrival.endpoint)).or_default() += 1;
        }
        for (&(id, endpoint), &count) in &lines {
            let known = written.get(&(id, endpoint)).map_or(0, Vec::len);
            if count > known {
                self.problems.push(format!("{id} came to {endpoint} {count} times, the log knows of {known}"));
            }
        }
        for (key, tries) in &written {
            self.find_missing(tries, lines.get(key).copied().unwrap_or(0), outages);
        }
    }

    /// Looks at the attempts of one request at one instance, which has so many lines of it.
    fn find_missing(&mut self, tries: &[&Tried], lines: usize, outages: &[Outage]) {
        let mut missing = tries.len().saturating_sub(lines);
        for &tried in tries {
            if outages.iter().any(|outage| tried.was_open_in(outage)) {
                let arrived = missing == 0;
                missing = missing.saturating_sub(1);
                self.open.push(Open { attempt: tried.clone(), arrived });
            }
        }
        if missing > 0 {
            self.problems.push(format!("written and not read by an instance that was well: {}", tries[0]));
        }
    }

    fn look_for_posts_sent_twice(&mut self, tries: &[Tried], arrivals: &[Arrival]) {
        let mut times: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
        for arrival in arrivals.iter().filter(|arrival| arrival.method == "POST") {
            times.entry(&arrival.id).or_default().0 += 1;
        }
        for tried in tries.iter().filter(|tried| tried.method == "POST" && tried.was_written()) {
            times.entry(&tried.id).or_default().1 += 1;
        }
        for (id, (arrived, written)) in times {
            if arrived > 1 {
                self.posts_twice.push(id.to_owned());
                self.problems.push(format!("POST {id} came to instances {arrived} times"));
            }
            if written > 1 {
                self.problems.push(format!("POST {id} was written {written} times"));
            }
        }
    }
}

/// The attempts of a line of the access log, or what is wrong with it.
fn attempts_of(line: &Value) -> Result<Vec<Tried>, &'static str> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let id = text(&line["request_id"]).ok_or("a line without an id")?;
    let method = text(&line["method"]).ok_or("a line without a method")?;
    let lasted = line["duration_ms"].as_f64().ok_or("a line without a duration")?;
    let began = line["time"].as_str().and_then(civil_ms).ok_or("a line without a time")? - lasted;
    let attempts = line["attempts"].as_u64().ok_or("a line without its number of attempts")?;
    let Some(tries) = line["tries"].as_array() else {
        let answered = line["end"] == "answered" && line["status"].as_u64().is_some_and(|status| status < 500);
        return match attempts {
            0 => Ok(Vec::new()),
            1 if answered => {
                let endpoint = text(&line["endpoint"]).ok_or("an attempt without an endpoint")?;
                let (result, certainty) = ("success".to_owned(), "applied".to_owned());
                Ok(vec![Tried { id, method, endpoint, result, certainty, began, ended: began + lasted }])
            }
            _ => Err("the attempts are not listed"),
        };
    };
    let tried = |value: &Value| {
        Some(Tried {
            id: id.clone(),
            method: method.clone(),
            endpoint: text(&value["endpoint"])?,
            result: text(&value["result"])?,
            certainty: text(&value["certainty"])?,
            began: began + value["began_ms"].as_f64()?,
            ended: began + value["ended_ms"].as_f64()?,
        })
    };
    let listed: Option<Vec<Tried>> = tries.iter().map(tried).collect();
    listed.filter(|listed| listed.len() as u64 == attempts).ok_or("not every attempt is listed whole")
}

/// Milliseconds since 1970 of a time like `2001-09-09T01:46:40.042Z`.
fn civil_ms(text: &str) -> Option<f64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let mut time = time.split(':').map(str::parse::<f64>);
    let (hour, minute, second) = (time.next()?.ok()?, time.next()?.ok()?, time.next()?.ok()?);
    // Years that begin in March have their leap day at their end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = 365 * year + leaps + (153 * month + 2) / 5 + day - 719_469;
    Some(((days * 24) as f64 + hour) * 3_600_000.0 + minute * 60_000.0 + second * 1000.0)
}

/// The attempts in a text of metrics.
pub(crate) fn counted(metrics: &str) -> Counted {
    let mut counted = Counted::new();
    for line in metrics.lines().filter(|line| line.starts_with("mainstay_attempts_total{")) {
        let label = |name: &str| {
            let (_, rest) = line.split_once(&format!("{name}=\""))?;
            rest.split('"').next().map(str::to_owned)
        };
        let value = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
        if let (Some(endpoint), Some(result), Some(value)) = (label("endpoint"), label("result"), value) {
            *counted.entry((endpoint, result)).or_default() += value as u64;
        }
    }
    counted
}

/// How much each counter grew.
pub(crate) fn grown(before: &Counted, after: &Counted) -> Counted {
    let grew = |(key, now): (&(String, String), &u64)| {
        let more = now.saturating_sub(before.get(key).copied().unwrap_or(0));
        (more > 0).then(|| (key.clone(), more))
    };
    after.iter().filter_map(grew).collect()
}

/// The lines of an instance's file.
pub(crate) fn arrivals<'a>(endpoint: &'a str, text: &'a str) -> impl Iterator<Item = Arrival> + 'a {
    text.lines().filter_map(move |line| {
        let mut words = line.split(' ').map(str::to_owned);
        Some(Arrival { endpoint: endpoint.to_owned(), id: words.next()?, method: words.next()? })
    })
}

/// The requests in what a node printed that have an id with `prefix`.
pub(crate) fn access_lines(output: &str, prefix: &str) -> Vec<Value> {
    let lines = output.lines().filter(|line| line.contains("\"kind\":\"access\""));
    let parsed = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    parsed.filter(|line| line["request_id"].as_str().is_some_and(|id| id.starts_with(prefix))).collect()
}

/// Civil time in milliseconds.
pub(crate) fn civil_now() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const A: &str = "127.0.0.1:1";
    const B: &str = "127.0.0.1:2";
    const NOW: f64 = 1_000_000_000_000.0;

    /// A request that was refused by A and answered by B.
    fn moved(method: &str, first: &str, certainty: &str) -> Value {
        json!({
            "time": "2001-09-09T01:46:40.000Z", "request_id": "r", "method": method, "attempts": 2, "status": 200,
            "duration_ms": 20.0, "end": "answered", "endpoint": B, "tries": [
                { "endpoint": A, "result": first, "certainty": certainty, "began_ms": 0.0, "ended_ms": 5.0 },
                { "endpoint": B, "result": "success", "certainty": "applied", "began_ms": 5.0, "ended_ms": 20.0 },
            ]
        })
    }

    fn count(result: &str) -> Counted {
        let key = |endpoint: &str, result: &str| (endpoint.to_owned(), result.to_owned());
        [(key(A, result), 1), (key(B, "success"), 1)].into()
    }

    fn came(method: &str, endpoints: &[&str]) -> Vec<Arrival> {
        let arrival = |endpoint: &&str| Arrival { endpoint: (*endpoint).into(), id: "r".into(), method: method.into() };
        endpoints.iter().map(arrival).collect()
    }

    fn down(from: f64, to: f64) -> [Outage; 1] {
        [Outage { endpoint: A.to_owned(), from: NOW + from, to: NOW + to }]
    }

    #[test]
    fn books_that_balance() {
        let books = balance(&[moved("GET", "refused", "not_sent")], &count("refused"), &came("GET", &[B]), &[]);
        assert_eq!(books.problems, Vec::<String>::new());
        assert_eq!((books.logged, books.written, books.arrived), (2, 1, 1));
    }

    #[test]
    fn an_attempt_may_be_missing_only_where_and_while_its_instance_was_down() {
        let log = [moved("GET", "reset", "unknown")];
        let at = |outages: &[Outage]| balance(&log, &count("reset"), &came("GET", &[B]), outages);
        assert_eq!(at(&[]).problems.len(), 1);
        assert_eq!(at(&down(100.0, 200.0)).problems.len(), 1, "later");
        let books = at(&down(-18.0, 200.0));
        assert_eq!((books.problems.len(), books.open.len(), books.without_line()), (0, 1, 1));
    }

    #[test]
    fn what_the_log_denies_is_found() {
        let books = balance(&[moved("GET", "refused", "not_sent")], &count("refused"), &came("GET", &[A, B]), &[]);
        assert_eq!(books.problems, ["r came to 127.0.0.1:1 1 times, the log knows of 0"]);
        let books = balance(&[moved("GET", "refused", "not_sent")], &Counted::new(), &came("GET", &[B]), &[]);
        assert_eq!(books.problems.len(), 2);
    }

    #[test]
    fn a_post_that_was_sent_twice_is_found_even_while_its_instance_was_down() {
        let log = [moved("POST", "reset", "unknown")];
        let books = balance(&log, &count("reset"), &came("POST", &[B]), &down(-18.0, 200.0));
        assert_eq!(books.problems, ["POST r was written 2 times"]);
        let books = balance(&log, &count("reset"), &came("POST", &[A, B]), &[]);
        assert_eq!(books.posts_twice, ["r"]);
    }

    #[test]
    fn a_line_that_hides_an_attempt_is_found() {
        let mut short = moved("GET", "refused", "not_sent");
        short["attempts"] = json!(3);
        assert!(attempts_of(&short).is_err());
        short["tries"] = Value::Null;
        assert!(attempts_of(&short).is_err());
    }

    #[test]
    fn civil_time_is_read() {
        assert_eq!(civil_ms("2001-09-09T01:46:40.042Z"), Some(NOW + 42.0));
        assert_eq!(civil_ms("2024-02-29T00:00:00.000Z"), Some(1_709_164_800_000.0));
        assert_eq!(civil_ms("soon"), None);
    }
}
