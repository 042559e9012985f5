//! What the node says of itself while the demo runs: each endpoint's state and why, and how often it tried again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::stage::Stage;
use super::{Shared, change};
use crate::admin::Client;
use crate::outcome::Outcome;

/// How often the node is asked.
const EVERY: Duration = Duration::from_millis(200);
/// Changes that are kept to be shown.
const CHANGES_MAX: usize = 200;

/// One endpoint as it was last seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Endpoint {
    pub(super) address: String,
    pub(super) state: String,
    pub(super) why: String,
    pub(super) in_flight: u64,
    pub(super) latency_ms: Option<f64>,
}

/// Everything that was seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) endpoints: Vec<Endpoint>,
    /// Changes of state, the last one at the end.
    pub(super) changes: VecDeque<String>,
    pub(super) retries: f64,
    pub(super) ejections: f64,
}

/// Asks until it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) seen: Shared<Seen>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Begins to ask the node of `stage`.
    pub(super) fn start(stage: &Stage) -> Outcome<Self> {
        let client = Client::new(stage.admin().to_string(), None)?;
        let names = stage.addresses();
        let seen = Shared::<Seen>::default();
        let shared = Arc::clone(&seen);
        let task = tokio::spawn(async move { watch(&client, &names, &shared).await });
        Ok(Self { seen, task })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(client: &Client, names: &[String], seen: &Shared<Seen>) {
    let start = Instant::now();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // A node that does not answer for a moment is seen as it was.
        if let Ok(text) = client.text("/v1/services").await {
            let endpoints = endpoints(&serde_json::from_str(&text).unwrap_or_default());
            change(seen, |seen| seen.note(start.elapsed(), endpoints, names));
        }
        if let Ok(text) = client.text("/metrics").await {
            change(seen, |seen| {
                seen.retries = sum(&text, "mainstay_retries_total");
                seen.ejections = sum(&text, "mainstay_ejections_total");
            });
        }
    }
}

fn endpoints(services: &Value) -> Vec<Endpoint> {
    let list = services["services"][0]["endpoints"].as_array();
    list.into_iter().flatten().map(endpoint).collect()
}

fn endpoint(value: &Value) -> Endpoint {
    let text = |name: &str| value[name].as_str().unwrap_or("").to_owned();
    Endpoint {
        address: text("address"),
        state: text("state"),
        why: text("why"),
        in_flight: value["in_flight"].as_u64().unwrap_or(0),
        latency_ms: value["latency_ms"].as_f64(),
    }
}

impl Seen {
    /// Takes a new look, and notes what has changed since the last.
    fn note(&mut self, at: Duration, endpoints: Vec<Endpoint>, names: &[String]) {
        for endpoint in &endpoints {
            let before = self.endpoints.iter().find(|before| before.address == endpoint.address);
            let Some(before) = before.filter(|before| before.state != endpoint.state) else { continue };
            let number = names.iter().position(|name| *name == endpoint.address).map_or(0, |place| place + 1);
            let why = if endpoint.why.is_empty() { String::new() } else { format!(": {}", endpoint.why) };
            let line =
                format!("{:6.1} s  instance {number}: {} → {}{why}", at.as_secs_f64(), before.state, endpoint.state);
            self.changes.push_back(line);
        }
        while self.changes.len() > CHANGES_MAX {
            self.changes.pop_front();
        }
        self.endpoints = endpoints;
    }
}

/// The sum of all series of a metric in Prometheus text.
fn sum(text: &str, name: &str) -> f64 {
    let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    text.lines()
        .filter(of_name)
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .fold(0.0, |sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_state_is_noted_once_with_its_reason() {
        let names = ["a:1".to_owned()];
        let look = |state: &str, why: &str| {
            vec![Endpoint {
                address: "a:1".to_owned(),
                state: state.to_owned(),
                why: why.to_owned(),
                ..Endpoint::default()
            }]
        };
        let mut seen = Seen::default();
        seen.note(Duration::ZERO, look("ready", ""), &names);
        seen.note(Duration::from_secs(1), look("ejected", "refused"), &names);
        seen.note(Duration::from_secs(2), look("ejected", "refused"), &names);
        assert_eq!(seen.changes, ["   1.0 s  instance 1: ready → ejected: refused"]);
    }

    #[test]
    fn the_series_of_one_metric_are_summed_and_those_of_a_longer_name_are_not() {
        let text = "# HELP a x\na{b=\"c\"} 1\na{b=\"d\"} 2.5\na_total 7\n";
        assert_eq!(sum(text, "a"), 3.5);
    }
}
