//! The scenarios that teach: what falls falls, what holds holds, and a page says what comes out.
//!
//! Each page has one table. Its first column names a configuration beside the scenario, and may add instances with another
//! line; the others say what their heads ask for. `UPDATE_EXPECT=1` writes what comes out into the pages.

use std::path::{Path, PathBuf};

use mainstay_config::load_scenario;
use mainstay_sim::report::Report;
use mainstay_sim::scenarios;

use super::config;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Plays the scenario `name` under the configuration `which` beside it, as it is or with another line in `[instance]`.
fn lesson(name: &str, which: &str, other: Option<&str>) -> Report {
    let text = read(&format!("scenarios/{name}/scenario.toml"));
    let text = other.map_or_else(|| text.clone(), |line| with_line(&text, line));
    let scenario = load_scenario(name, &text).unwrap_or_else(|problems| panic!("{problems}"));
    let config = config(&read(&format!("scenarios/{name}/{which}.toml")));
    let outcome = mainstay_sim::play(&config, &scenario, scenario.seed, "");
    outcome.unwrap_or_else(|unplayable| panic!("{name}: {unplayable:?}")).report
}

fn with_line(scenario: &str, line: &str) -> String {
    let key = &line[..=line.find('=').expect("a key and its value")];
    if !scenario.lines().any(|old| old.starts_with(key)) {
        return scenario.replacen("[instance]", &format!("[instance]\n{line}"), 1);
    }
    scenario.lines().map(|old| if old.starts_with(key) { line } else { old }).collect::<Vec<_>>().join("\n")
}

/// What a column with this head says.
fn figure(head: &str, report: &Report) -> String {
    let per_call = |count: f64| format!("{:.2}", count / report.requests as f64);
    let length = |millis: Option<f64>| millis.map_or_else(|| "none".to_owned(), |millis| format!("{millis:.0} ms"));
    match head {
        "good" => format!("{:.2} %", report.good_ratio * 100.0),
        "attempts a call" => format!("{:.2}", report.attempts_per_request),
        "p50" => length(report.p50_ms),
        "p99" => length(report.p99_ms),
        "recovers after" => {
            report.recovery_seconds.map_or_else(|| "never".to_owned(), |seconds| format!("{seconds:.1} s"))
        }
        "metastable" => if report.metastable { "yes" } else { "no" }.to_owned(),
        "work for nobody" => format!("{:.0} %", report.wasted_ratio * 100.0),
        _ => {
            let service = head.strip_prefix("at `").and_then(|rest| rest.strip_suffix("` a call"));
            let service = service.unwrap_or_else(|| panic!("nobody knows what {head:?} is"));
            let of = report.instances.iter().filter(|instance| instance.name.split('/').next() == Some(service));
            per_call(of.map(|instance| instance.attempts as f64).sum())
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "whoever asks for the pages to be written says so")]
fn writes_pages() -> bool {
    std::env::var_os("UPDATE_EXPECT").is_some()
}

fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split('|').map(str::trim).collect()
}

/// The row with its figures as they come out.
fn played(name: &str, heads: &[&str], row: &str) -> String {
    let first = cells(row)[0];
    let which = first.trim_start_matches('[').split(".toml").next().unwrap_or_default();
    let other = first.split_once("instances with `").and_then(|(_, rest)| rest.strip_suffix('`'));
    let report = lesson(name, which, other);
    let figures = heads[1..].iter().map(|head| figure(head, &report));
    std::iter::once(first.to_owned()).chain(figures).fold("|".to_owned(), |row, cell| format!("{row} {cell} |"))
}

#[test]
fn what_falls_falls_and_what_holds_holds() {
    for name in scenarios::lessons() {
        let (falls, holds) = (lesson(name, "falls", None), lesson(name, "holds", None));
        assert!(!falls.holds.is_empty() && !falls.held, "{name}: {:?}", falls.holds);
        assert!(holds.held, "{name}: {:?}", holds.holds);
    }
}

#[test]
fn each_page_says_what_comes_out() {
    for name in scenarios::lessons() {
        let path = format!("docs/guide/scenarios/{name}.md");
        let page = read(&path);
        let heads: Vec<&str> = page.lines().find(|line| line.starts_with('|')).map(cells).unwrap_or_default();
        assert!(heads.contains(&"good"), "{path} has a table");
        let table = page.lines().filter(|line| line.starts_with("| ["));
        let rows: Vec<(&str, String)> = table.map(|row| (row, played(name, &heads, row))).collect();
        for which in ["falls", "holds"] {
            assert!(rows.iter().any(|(row, _)| row.starts_with(&format!("| [{which}.toml]"))), "{path}: {which}");
            let line = format!("mainstay simulate -c scenarios/{name}/{which}.toml -s {name}");
            assert!(page.contains(&line), "{path} says how to play {which}");
        }
        let told = rows.iter().fold(page.clone(), |page, (row, played)| page.replace(row, played));
        if writes_pages() {
            std::fs::write(root().join(&path), told).unwrap();
        } else {
            assert_eq!(page, told, "{path}: UPDATE_EXPECT=1 mends it");
        }
    }
}

#[test]
fn each_scenario_with_a_page_stands_in_the_index_and_each_lesson_has_one() {
    let index = read("docs/guide/scenarios/README.md");
    for name in scenarios::lessons() {
        assert!(index.contains(&format!("({name}.md)")), "{name}");
        assert_eq!(scenarios::text(name, "shop").unwrap(), read(&format!("scenarios/{name}/scenario.toml")));
    }
    for entry in std::fs::read_dir(root().join("scenarios")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let lesson = entry.path().join("scenario.toml").exists();
        assert!(!lesson || scenarios::lessons().any(|lesson| lesson == name), "{name} comes along");
    }
}
