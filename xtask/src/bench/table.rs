//! The figures for people and for programs.

use serde_json::{Map, Value, json};

use super::cost::Measured;
use super::idle::{CONNECTIONS, Idle};
use super::latency::Latency;

/// Costs with ratios to the contender called `reference`: under 1 is cheaper.
pub(crate) fn costs(as_json: bool, title: &str, all: &[Measured], reference: &str, into: &mut Map<String, Value>) {
    let base = micros_of(all, reference);
    if as_json {
        let rows = all.iter().map(|measured| row(measured, reference, base));
        into.insert(title.to_owned(), Value::Array(rows.collect()));
        return;
    }
    let ratio = format!("× {reference}");
    println!(
        "{title:26} {:>14} {:>10} {ratio:>12} {:>12} {:>14}",
        "CPU µs/request", "± half", "requests/s", "allocations"
    );
    for measured in all {
        let micros = measured.median(|run| run.micros);
        println!(
            "{:26} {micros:>14.2} {:>10.2} {:>12} {:>12.0} {:>14}",
            measured.contender.name,
            spread(measured),
            base.map_or("-".to_owned(), |base| format!("{:.2}", micros / base)),
            measured.median(|run| run.per_second),
            measured.allocations.map_or("-".to_owned(), |count| format!("{count:.2}")),
        );
    }
    if let Some(ours) = micros_of(all, "mainstay") {
        let peers = all.iter().filter(|measured| !matches!(measured.contender.name.as_str(), "mainstay" | "direct"));
        for peer in peers {
            println!("ours is {:.2} × {}", ours / peer.median(|run| run.micros), peer.contender.name);
        }
    }
    println!();
}

fn row(measured: &Measured, reference: &str, base: Option<f64>) -> Value {
    let micros = measured.median(|run| run.micros);
    json!({
        "name": measured.contender.name,
        "cpu_us_per_request": micros,
        "reference": reference,
        "ratio": base.map(|base| micros / base),
        "requests_per_second": measured.median(|run| run.per_second),
        "allocations_per_request": measured.allocations,
        "rounds_cpu_us": measured.runs.iter().map(|run| run.micros).collect::<Vec<_>>(),
    })
}

fn micros_of(all: &[Measured], name: &str) -> Option<f64> {
    all.iter().find(|measured| measured.contender.name == name).map(|found| found.median(|run| run.micros))
}

/// Half the distance between the dearest and the cheapest round.
fn spread(measured: &Measured) -> f64 {
    let micros = measured.runs.iter().map(|run| run.micros);
    (micros.clone().fold(f64::MIN, f64::max) - micros.fold(f64::MAX, f64::min)) / 2.0
}

/// Latencies at a fixed rate.
pub(crate) fn latencies(as_json: bool, all: &[Latency], into: &mut Map<String, Value>) {
    if as_json {
        let rows = all.iter().map(|latency| {
            json!({
                "name": latency.name,
                "good_ratio": latency.good_ratio,
                "p50_ms": latency.p50,
                "p99_ms": latency.p99,
                "p999_ms": latency.p999,
            })
        });
        into.insert("latency".to_owned(), Value::Array(rows.collect()));
        return;
    }
    println!("{:26} {:>10} {:>10} {:>10} {:>10}", "latency", "good", "p50 ms", "p99 ms", "p99.9 ms");
    for Latency { name, good_ratio, p50, p99, p999 } in all {
        println!("{name:26} {:>8.2} % {p50:>10.2} {p99:>10.2} {p999:>10.2}", good_ratio * 100.0);
    }
    println!();
}

/// Memory of idle connections.
pub(crate) fn idle(as_json: bool, all: &[Idle], into: &mut Map<String, Value>) {
    if as_json {
        let rows =
            all.iter().map(|idle| json!({ "name": idle.name, "before_kib": idle.before, "grown_kib": idle.grown }));
        into.insert("idle".to_owned(), Value::Array(rows.collect()));
        return;
    }
    println!("{:26} {:>14} {:>26}", "memory", "resident KiB", format!("KiB more with {CONNECTIONS}"));
    for Idle { name, before, grown } in all {
        println!("{name:26} {before:>14} {grown:>26}");
    }
    println!();
}
