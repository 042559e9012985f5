//! How many simulated calls a second one core plays: every default, four instances, a fault.
//!
//! `cargo run --release -p mainstay-sim --example speed`

use std::io::Write;

use mainstay_config::{Source, load, load_scenario};

const CONFIG: &str = r#"
[[listener]]
name = "web"
address = "127.0.0.1:8080"
[[route]]
service = "shop"
[service.shop]
endpoints = ["127.0.0.1:9101", "127.0.0.1:9102", "127.0.0.1:9103", "127.0.0.1:9104"]
"#;

const SCENARIO: &str = r#"
name = "speed"
duration = "1000s"
[workload]
service = "shop"
rate = "2000/s"
[[fault]]
at = "10s"
for = "980s"
kind = "errors"
calls = "10%"
target = "shop/1"
"#;

#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the one who measures looks at the clock")]
fn main() {
    let config = load(&Source::new("speed", CONFIG)).map(|loaded| loaded.config);
    let (Ok(config), Ok(scenario)) = (config, load_scenario("speed", SCENARIO)) else { return };
    let mut out = std::io::stdout();
    for _ in 0..3 {
        let began = std::time::Instant::now();
        let Ok(outcome) = mainstay_sim::play(&config, &scenario, 1, "") else { return };
        let (took, calls) = (began.elapsed().as_secs_f64(), outcome.report.requests);
        // Nobody can be told that standard output is gone.
        let _ = writeln!(out, "{calls} calls in {took:.2} s: {:.0} a second", calls as f64 / took);
    }
}
