//! The figures for people and for programs.

use serde_json::json;

use super::Measured;

/// A table with ratios to nginx: under 1 is cheaper.
pub(crate) fn print(all: &[Measured]) {
    let nginx = reference(all);
    println!(
        "{:10} {:>14} {:>10} {:>8} {:>12} {:>14}",
        "", "CPU µs/request", "± half", "× nginx", "requests/s", "allocations"
    );
    for measured in all {
        let micros = measured.median(|run| run.micros);
        println!(
            "{:10} {micros:>14.2} {:>10.2} {:>8} {:>12.0} {:>14}",
            measured.name,
            spread(measured),
            nginx.map_or("-".to_owned(), |nginx| format!("{:.2}", micros / nginx)),
            measured.median(|run| run.per_second),
            measured.allocations.map_or("-".to_owned(), |count| format!("{count:.2}")),
        );
    }
}

/// The same as JSON, with every round.
pub(crate) fn json(all: &[Measured]) {
    let nginx = reference(all);
    let rows = all.iter().map(|measured| {
        let micros = measured.median(|run| run.micros);
        json!({
            "name": measured.name,
            "cpu_us_per_request": micros,
            "ratio_to_nginx": nginx.map(|nginx| micros / nginx),
            "requests_per_second": measured.median(|run| run.per_second),
            "allocations_per_request": measured.allocations,
            "rounds_cpu_us": measured.runs.iter().map(|run| run.micros).collect::<Vec<_>>(),
        })
    });
    println!("{:#}", json!({ "gateway": rows.collect::<Vec<_>>() }));
}

fn reference(all: &[Measured]) -> Option<f64> {
    all.iter().find(|measured| measured.name == "nginx").map(|nginx| nginx.median(|run| run.micros))
}

/// Half the distance between the dearest and the cheapest round.
fn spread(measured: &Measured) -> f64 {
    let micros = measured.runs.iter().map(|run| run.micros);
    (micros.clone().fold(f64::MIN, f64::max) - micros.fold(f64::MAX, f64::min)) / 2.0
}
