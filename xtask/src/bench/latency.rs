//! Latency at a fixed rate, as a caller feels it: counted from the moment at which a request was due.
//!
//! The proxy has one core to itself; the load and the instance share another one, so that the proxy is measured and not
//! how a scheduler shares one core out among three.

use serde_json::Value;

use super::peers::{Bench, Conditions, Peer};
use super::setting::Setting;
use super::{GatewayArgs, process};

/// Seconds of one run.
const SECONDS: u64 = 10;

/// One proxy's latencies in milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct Latency {
    pub(crate) name: &'static str,
    pub(crate) good_ratio: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

/// Each proxy in turn, round after round; the median run by its p99 counts.
pub(crate) fn measure(args: &GatewayArgs, bench: &Bench<'_>) -> Result<Vec<Latency>, String> {
    let setting = Setting::default();
    let other = (args.core + 1).to_string();
    let of = |cores| Conditions { cores, counter: None, setting: &setting };
    let _instance = bench.start(Peer::Direct, of(&other))?;
    let own = args.core.to_string();
    let mut runs: Vec<(Peer, Vec<Latency>)> = Peer::installed().into_iter().map(|peer| (peer, Vec::new())).collect();
    for round in 1..=args.rounds {
        for (peer, latencies) in &mut runs {
            let _proxy = if *peer == Peer::Direct { None } else { Some(bench.start(*peer, of(&own))?) };
            latencies.push(one_run(args, bench, *peer, &other)?);
        }
        eprint!("\rround {round} of {}", args.rounds);
    }
    eprintln!();
    Ok(runs.into_iter().filter_map(|(_, latencies)| median(latencies)).collect())
}

fn median(mut latencies: Vec<Latency>) -> Option<Latency> {
    latencies.sort_by(|a, b| a.p99.total_cmp(&b.p99));
    let middle = latencies.len() / 2;
    latencies.into_iter().nth(middle)
}

fn one_run(args: &GatewayArgs, bench: &Bench<'_>, peer: Peer, cores: &str) -> Result<Latency, String> {
    let mut command = std::process::Command::new("taskset");
    command.args(["-c", cores]).arg(bench.binary()).args(["load", "--json", "--arrivals", "uniform"]);
    command.args(["--rate", &format!("{}/s", args.rate), "--duration", &format!("{SECONDS}s")]);
    command.args(["--connections", &args.connections.to_string()]);
    command.args(["--target", &format!("http://127.0.0.1:{}/", bench.port(peer))]);
    let text = process::output(&mut command)?;
    let report: Value = serde_json::from_str(&text).map_err(|error| format!("the load said {text:?}: {error}"))?;
    let figure = |name: &str| report[name].as_f64().ok_or_else(|| format!("the load's report has no {name}"));
    Ok(Latency {
        name: peer.name(),
        good_ratio: figure("good_ratio")?,
        p50: figure("p50_ms")?,
        p99: figure("p99_ms")?,
        p999: figure("p999_ms")?,
    })
}
