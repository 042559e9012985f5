//! What the gateway says of itself while a scenario is played: per second its attempts, retries and refusals, which
//! endpoints are usable and which breakers are not closed; and each change of state with its reason.
//!
//! It is asked through its admin API, as an operator would ask, so the same holds for a gateway that runs already.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::ask::Ask;

/// How often states are looked at; each fourth time the counters too.
const EVERY: Duration = Duration::from_millis(250);
const LOOKS_A_SECOND: u64 = 4;
/// How long an answer may take: the gateway looks at its own state and waits for nobody.
const PATIENCE: Duration = Duration::from_secs(2);
/// Changes that are kept.
const CHANGES_MAX: usize = 10_000;

/// Counters since the gateway began.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Counters {
    /// Attempts by endpoint.
    pub(crate) attempts: BTreeMap<String, f64>,
    /// Those that were not the first of their call.
    pub(crate) retries: f64,
    /// Calls that the gateway refused by itself.
    pub(crate) refused: f64,
}

/// The state at the end of a second.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Look {
    pub(crate) counters: Counters,
    pub(crate) usable: u64,
    pub(crate) breakers: Vec<String>,
}

/// Everything that was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// At the beginning.
    pub(crate) first: Counters,
    /// At the end of each second, from the first on.
    pub(crate) seconds: Vec<Look>,
    /// What changed, and when.
    pub(crate) changes: Vec<(f64, String)>,
    pub(crate) states: BTreeMap<String, String>,
    pub(crate) now: Look,
}

/// Looks until it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Asks a gateway.
#[derive(Debug, Clone)]
pub(crate) struct Gateway {
    pub(crate) admin: String,
    pub(crate) token: Option<String>,
    /// What its endpoints are called in a report, by address.
    pub(crate) names: BTreeMap<String, String>,
}

impl Gateway {
    async fn get(&self, path: &str) -> Option<String> {
        let ask = Ask::new("GET", self.admin.clone(), path).token(self.token.clone());
        ask.send(PATIENCE).await.ok()
    }

    /// Its services as it tells them.
    pub(crate) async fn services(&self) -> Option<Value> {
        serde_json::from_str(&self.get("/v1/services").await?).ok()
    }

    pub(crate) async fn counters(&self) -> Option<Counters> {
        Some(counters(&self.get("/metrics").await?))
    }

    fn name<'a>(&'a self, address: &'a str) -> &'a str {
        self.names.get(address).map_or(address, String::as_str)
    }
}

impl Watch {
    /// Begins to look; second 0 begins at `start`.
    pub(crate) fn start(gateway: Gateway, start: Instant) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let task = tokio::spawn(watch(gateway, start, Arc::clone(&seen)));
        Self { seen, task }
    }

    /// What was seen so far.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn watch(gateway: Gateway, start: Instant, seen: Arc<Mutex<Seen>>) {
    let mut ticks = interval_at(start, EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let change = |change: &dyn Fn(&mut Seen)| change(&mut seen.lock().unwrap_or_else(PoisonError::into_inner));
    loop {
        ticks.tick().await;
        // A gateway that does not answer for a moment is seen as it was.
        if let Some(services) = gateway.services().await {
            let at = start.elapsed().as_secs_f64();
            change(&|seen| seen.note(at, &services, &gateway));
        }
        let looks = (start.elapsed().as_millis() / EVERY.as_millis()) as u64;
        let second = looks / LOOKS_A_SECOND;
        let is_first = change_is_first(&seen);
        if (is_first || second > seconds(&seen))
            && let Some(counters) = gateway.counters().await
        {
            change(&|seen| seen.count(second, &counters));
        }
    }
}

fn seconds(seen: &Mutex<Seen>) -> u64 {
    seen.lock().unwrap_or_else(PoisonError::into_inner).seconds.len() as u64
}

fn change_is_first(seen: &Mutex<Seen>) -> bool {
    seen.lock().unwrap_or_else(PoisonError::into_inner).first == Counters::default()
}

impl Seen {
    /// Takes counters that are those of the end of second `ended - 1`; seconds that were missed get the same.
    fn count(&mut self, ended: u64, counters: &Counters) {
        if ended == 0 {
            self.first = counters.clone();
            return;
        }
        self.now.counters = counters.clone();
        while (self.seconds.len() as u64) < ended {
            self.seconds.push(self.now.clone());
        }
    }

    /// Ends after so many seconds: those that are missing end as it is now, with these counters.
    pub(crate) fn end(&mut self, seconds: usize, counters: &Counters) {
        self.now.counters = counters.clone();
        let now = self.now.clone();
        if self.seconds.len() < seconds {
            self.seconds.resize(seconds, now);
        }
    }

    /// Takes a look at the services, and notes what has changed since the last.
    fn note(&mut self, at: f64, services: &Value, gateway: &Gateway) {
        (self.now.usable, self.now.breakers) = (0, Vec::new());
        for service in services["services"].as_array().into_iter().flatten() {
            let name = service["name"].as_str().unwrap_or("-");
            let breaker = service["breaker"]["state"].as_str().unwrap_or("-");
            if breaker != "closed" {
                self.now.breakers.push(format!("{name}: {breaker}"));
            }
            self.turn(at, &format!("the breaker of {name}"), breaker, service["breaker"]["why"].as_str());
            for endpoint in service["endpoints"].as_array().into_iter().flatten() {
                let state = endpoint["state"].as_str().unwrap_or("-");
                self.now.usable += u64::from(state == "ready");
                let who = gateway.name(endpoint["address"].as_str().unwrap_or("-"));
                self.turn(at, who, state, endpoint["why"].as_str());
            }
        }
    }

    fn turn(&mut self, at: f64, who: &str, state: &str, why: Option<&str>) {
        let Some(before) = self.states.insert(who.to_owned(), state.to_owned()) else { return };
        if before != state && self.changes.len() < CHANGES_MAX {
            let why = why.map_or(String::new(), |why| format!(": {why}"));
            self.changes.push((at, format!("{who}: {before} → {state}{why}")));
        }
    }
}

/// The counters in a text of metrics.
fn counters(text: &str) -> Counters {
    let mut counters = Counters::default();
    for line in text.lines().filter(|line| line.starts_with("mainstay_")) {
        let value = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).unwrap_or(0.0);
        let name = line.split(['{', ' ']).next().unwrap_or("");
        match name {
            "mainstay_attempts_total" => {
                *counters.attempts.entry(label(line, "endpoint").to_owned()).or_default() += value;
            }
            "mainstay_retries_total" | "mainstay_hedges_total" => counters.retries += value,
            // What is answered in the name of an instance that failed is no refusal of our own.
            "mainstay_refused_total" if label(line, "reason") != "failed" => counters.refused += value,
            _ => {}
        }
    }
    counters
}

fn label<'a>(line: &'a str, name: &str) -> &'a str {
    let found = line.split_once(&format!("{name}=\"")).and_then(|(_, rest)| rest.split('"').next());
    found.unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn attempts_retries_and_refusals_are_read_from_the_metrics() {
        let text = "mainstay_attempts_total{service=\"shop\",endpoint=\"a:1\",result=\"success\"} 7\n\
                    mainstay_attempts_total{service=\"shop\",endpoint=\"a:1\",result=\"reset\"} 2\n\
                    mainstay_retries_total{service=\"shop\",reason=\"reset\"} 2\n\
                    mainstay_refused_total{service=\"shop\",reason=\"queue_full\",origin=\"us\"} 3\n\
                    mainstay_refused_total{service=\"shop\",reason=\"failed\",origin=\"upstream\"} 1\n";
        let attempts = [("a:1".to_owned(), 9.0)].into();
        assert_eq!(counters(text), Counters { attempts, retries: 2.0, refused: 3.0 });
    }

    #[test]
    fn a_change_of_state_is_noted_once_with_its_reason_and_the_name_of_the_instance() {
        let names = [("a:1".to_owned(), "shop/0".to_owned())].into();
        let gateway = Gateway { admin: String::new(), token: None, names };
        let look = |state: &str, why: Value| {
            let breaker = json!({ "state": "closed", "why": "calls go well enough" });
            let endpoint = json!({ "address": "a:1", "state": state, "why": why });
            json!({ "services": [{ "name": "shop", "breaker": breaker, "endpoints": [endpoint] }] })
        };
        let mut seen = Seen::default();
        seen.note(0.0, &look("ready", Value::Null), &gateway);
        seen.note(1.0, &look("ejected", json!("refused")), &gateway);
        seen.note(1.2, &look("ejected", json!("refused")), &gateway);
        assert_eq!(seen.changes, [(1.0, "shop/0: ready → ejected: refused".to_owned())]);
        assert_eq!(seen.now.usable, 0);
    }
}
