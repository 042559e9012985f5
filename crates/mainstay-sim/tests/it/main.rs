//! Scenarios in, reports out.

mod laws;
mod lessons;
mod scaling;
mod stories;
mod validation;

use mainstay_config::{Config, Source, load_scenario};
use mainstay_sim::Outcome;

/// Four endpoints and nothing else: every default.
const LEAST: &str = r#"
[[listener]]
name = "web"
address = "127.0.0.1:8080"
[[route]]
service = "shop"
[service.shop]
endpoints = ["127.0.0.1:9101", "127.0.0.1:9102", "127.0.0.1:9103", "127.0.0.1:9104"]
"#;

fn config(text: &str) -> Config {
    let loaded = mainstay_config::load(&Source::new("mainstay.toml", text));
    loaded.unwrap_or_else(|problems| panic!("{problems}\n{text}")).config
}

/// Plays `scenario` under `config`.
fn play(config_text: &str, scenario: &str, seed: u64) -> Outcome {
    let scenario = load_scenario("scenario.toml", scenario).unwrap_or_else(|problems| panic!("{problems}\n{scenario}"));
    let outcome = mainstay_sim::play(&config(config_text), &scenario, seed, "");
    outcome.unwrap_or_else(|unplayable| panic!("{unplayable:?}"))
}

/// A load on the service `shop` for so many seconds, with `more` tables.
fn shop(rate: u32, seconds: u32, more: &str) -> String {
    format!(
        "name = \"a test\"\nduration = \"{seconds}s\"\n[workload]\nservice = \"shop\"\nrate = \"{rate}/s\"\n{more}\n"
    )
}

/// One fault on one instance from second 5 to second 15.
fn fault(kind: &str, more: &str) -> String {
    format!("[[fault]]\nat = \"5s\"\nfor = \"10s\"\nkind = \"{kind}\"\ntarget = \"shop/1\"\n{more}\n")
}
