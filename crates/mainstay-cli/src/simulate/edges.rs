//! `mainstay simulate --search`: where recovery by itself ends, and which settings move that.

use mainstay_config::Config;
use mainstay_config::scenario::Scenario;
use mainstay_node::ConfigFile;
use mainstay_sim::search::{Edge, Edges, Looking, search};
use serde_json::json;

use super::refused;
use crate::args::SimulateArgs;
use crate::outcome::Outcome;
use crate::print;
use crate::progress::Line;

/// What is tried in place of a service's own settings, one at a time.
const SETTINGS: [(&str, &str); 10] = [
    ("retry", "off"),
    ("retry.budget", "{ share = \"5%\", per_second = 1, cap = 10 }"),
    ("retry.attempts", "2"),
    ("breaker", "off"),
    ("outlier", "off"),
    ("bulkhead.adaptive", "off"),
    ("bulkhead.adaptive", "aimd"),
    ("bulkhead.queue", "off"),
    ("timeout.attempt", "1s"),
    ("slow_start", "off"),
];

pub(super) fn command(args: &SimulateArgs, config: &Config, scenario: &Scenario, seed: u64) -> Outcome {
    let others = others(args, config, scenario);
    let mut line = Line::on_standard_error();
    let mut tell = |Looking { at, place, of, plays }: Looking<'_>| {
        line.say(format_args!("looking for the edge, {place} of {of}: {at} ({plays} plays)"));
    };
    let found = search(config, &others, scenario, seed, &mut tell);
    drop(line);
    let edges = found.map_err(|unplayable| refused(args.scenario(), &unplayable))?;
    if args.json { print::json(&json!(edges)) } else { print::result(text(&edges)) }
}

/// Configurations with one setting of the called service different; what does not load is not tried.
fn others(args: &SimulateArgs, config: &Config, scenario: &Scenario) -> Vec<(String, Config)> {
    let Some(workload) = scenario.workloads.first() else { return Vec::new() };
    let other = |(key, value): &(&str, &str)| {
        let key = format!("service.{}.{key}", workload.service);
        let set = args.set.iter().cloned().chain([(key.clone(), (*value).to_owned())]).collect();
        let loaded = ConfigFile::new(args.config(), set).load().ok()?;
        (loaded.config != *config).then(|| (format!("{key}={value}"), loaded.config))
    };
    SETTINGS.iter().filter_map(other).collect()
}

fn text(edges: &Edges) -> String {
    let Edges { scenario, seed, capacity_per_second: capacity, load, .. } = edges;
    let share = |load: f64| format!("{:.0}% load ({:.0}/s)", load * 100.0, load * capacity);
    let mut lines = vec![
        format!("{scenario} (simulated, seed {seed}): all instances can do {capacity:.0}/s"),
        match edges.load_edge {
            Edge::Always(tried) => format!("  recovers by itself up to {}, the most that was tried", share(tried)),
            Edge::UpTo(edge) => {
                format!("  recovers by itself up to {}; beyond it needs shedding, or less load", share(edge))
            }
            Edge::Never => "  does not recover by itself at any load that was tried".to_owned(),
        },
    ];
    let now = share(*load);
    lines.extend(edges.outage_edge.map(|edge| match edge {
        Edge::Always(tried) => {
            format!("  at {now} it recovers from outages of {tried:.0} s, the longest that was tried")
        }
        Edge::UpTo(edge) => format!("  at {now} it recovers from outages of up to {edge:.1} s"),
        Edge::Never => format!("  at {now} it recovers from no outage that was tried"),
    }));
    if edges.moves.is_empty() {
        lines.push("  none of the settings that were tried moves that".to_owned());
    } else {
        lines.push("  what moves the load:".to_owned());
    }
    lines.extend(edges.moves.iter().map(|moved| match moved.load {
        Edge::Never => format!("    {}: never recovers", moved.setting),
        edge => format!("    {}: up to {}", moved.setting, share(edge.get())),
    }));
    lines.join("\n")
}
