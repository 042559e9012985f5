//! The command: what it prints where, and how it ends.

use std::process::{Output, Stdio};

use tempfile::TempDir;

use crate::support::{Refusing, alone, mainstay};

fn run(words: &[&str]) -> Output {
    mainstay().args(words).stdin(Stdio::null()).output().unwrap()
}

fn check(text: &str, more: &[&str]) -> Output {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("mainstay.toml");
    std::fs::write(&file, text).unwrap();
    mainstay().arg("check").arg(file).args(more).output().unwrap()
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const LEAST: &str = "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:8080\"\n\n[[route]]\nservice = \"shop\"\n\n\
                     [service.shop]\nendpoints = [\"127.0.0.1:9101\", \"127.0.0.1:9102\"]\n";

#[test]
fn a_verb_of_a_later_version_is_known_and_says_so() {
    for verb in ["registry", "backup"] {
        let output = run(&[verb, "-c", "x"]);
        assert_eq!(output.status.code(), Some(2), "{verb}");
        assert!(said(&output.stderr).contains("known, not in this version"), "{}", said(&output.stderr));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn wrong_arguments_end_with_2_and_help_with_0() {
    assert_eq!(run(&["ran"]).status.code(), Some(2));
    assert_eq!(run(&["load", "--target", "http://127.0.0.1:1/"]).status.code(), Some(2));
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for verb in ["run", "check", "demo", "instance", "explain", "drain", "breaker"] {
        assert!(said(&help.stdout).contains(verb), "{verb} is missing in the help");
    }
}

#[test]
fn a_good_configuration_passes_and_a_bad_one_names_every_problem_with_its_line() {
    assert_eq!(check(LEAST, &[]).status.code(), Some(0));
    let output = check(&format!("{LEAST}balanse = \"random\"\npanic = \"high\"\n"), &[]);
    assert_eq!(output.status.code(), Some(2));
    let text = said(&output.stderr) + &said(&output.stdout);
    for part in ["balanse", "balance", "panic", "mainstay.toml"] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
    let json = check(&format!("{LEAST}balanse = \"random\"\n"), &["--json"]);
    assert_eq!(json.status.code(), Some(2));
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(value.to_string().contains("balanse"), "{value:#}");
}

#[test]
fn the_effective_configuration_says_where_a_value_came_from() {
    let output = check(LEAST, &["--effective", "--set", "node.drain=7s"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output.stderr));
    let text = said(&output.stdout);
    assert!(text.lines().any(|line| line.contains("drain") && line.contains("7s")), "{text}");
    assert!(text.contains("default"), "{text}");
}

#[test]
fn a_node_that_is_not_there_is_said_to_be_not_there() {
    let silent = Refusing::new();
    let address = silent.address.to_string();
    let output = run(&["services", "--admin", &address]);
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output.stderr);
    assert!(text.contains(&address) && text.contains("is mainstay running?"), "{text}");
}

#[test]
fn a_configuration_that_is_not_there_ends_with_2() {
    for verb in ["run", "check"] {
        let output = run(&[verb, "/no/such/file.toml"]);
        assert_eq!(output.status.code(), Some(2), "{verb}: {}", said(&output.stderr));
        assert!(said(&output.stderr).contains("/no/such/file.toml"), "{}", said(&output.stderr));
    }
}

#[test]
fn a_demo_without_a_terminal_plays_one_round_holds_and_cleans_up() {
    let _stage = alone();
    let output = run(&["demo", "--phase", "2s", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output.stderr));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["held"], true, "{summary:#}");
    assert!(summary["requests"].as_u64().unwrap() > 500, "{summary:#}");
    for path in summary["cleaned"].as_array().unwrap() {
        assert!(!std::path::Path::new(path.as_str().unwrap()).exists(), "{path} was left behind");
    }
}

#[test]
fn a_simulation_tells_what_holds_and_two_processes_say_the_same() {
    let dir = TempDir::new().unwrap();
    let (config, scenario) = (dir.path().join("mainstay.toml"), dir.path().join("outage.toml"));
    std::fs::write(&config, LEAST).unwrap();
    let play = |scenario: &str, more: &[&str]| {
        mainstay().arg("simulate").arg("-c").arg(&config).args(["-s", scenario]).args(more).output().unwrap()
    };
    let first = play("crash", &["--json"]);
    assert_eq!(first.status.code(), Some(0), "{}", said(&first.stderr));
    let report: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!((&report["held"], &report["played"]), (&true.into(), &"simulated".into()));
    assert!(first.stdout == play("crash", &["--json"]).stdout, "the same seed, the same bytes");
    assert!(said(&play("crash", &["--seed", "2"]).stdout).contains("seed 2"));

    let (picture, page) = (dir.path().join("crash.svg"), dir.path().join("crash.html"));
    let files = ["--plot", picture.to_str().unwrap(), "--html", page.to_str().unwrap()];
    assert_eq!(play("crash", &files).status.code(), Some(0));
    assert!(std::fs::read_to_string(picture).unwrap().starts_with("<svg "));
    assert!(std::fs::read_to_string(page).unwrap().starts_with("<!DOCTYPE html>"));
    let set = ["--set", "service.shop.retry=off", "--against", config.to_str().unwrap(), "--json"];
    let two: serde_json::Value = serde_json::from_slice(&play("crash", &set).stdout).unwrap();
    assert_eq!(two["report"]["requests"], two["against"]["requests"], "the same calls");
    let keys: Vec<_> = two["differences"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap()).collect();
    assert!(!keys.is_empty() && keys.iter().all(|key| key.starts_with("service.shop.retry")), "{keys:?}");
    let told = said(&play("crash", &set[..4]).stdout);
    assert!(told.contains("service.shop.retry=off: held"), "two plays of one file have two names: {told}");
    let nowhere = play("crash", &["--plot", "/no/such/folder/a.svg"]);
    assert!(said(&nowhere.stderr).contains("/no/such/folder/a.svg"), "{}", said(&nowhere.stderr));

    let text =
        "name = \"x\"\nduration = \"5s\"\n[workload]\nservice = \"shop\"\nrate = \"50/s\"\n[hold]\np99 = \"1ms\"\n";
    std::fs::write(&scenario, text).unwrap();
    let failed = play(scenario.to_str().unwrap(), &[]);
    assert_eq!(failed.status.code(), Some(1), "what had to hold did not");
    assert!(said(&failed.stdout).contains("did not hold"), "{}", said(&failed.stdout));

    std::fs::write(&scenario, text.replace("\"shop\"", "\"shpo\"")).unwrap();
    let wrong = play(scenario.to_str().unwrap(), &[]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(said(&wrong.stderr).contains("no service \"shpo\""), "{}", said(&wrong.stderr));
    std::fs::write(&scenario, b"\xff\xfe").unwrap();
    for unreadable in ["no-such", scenario.to_str().unwrap(), dir.path().to_str().unwrap()] {
        let refused = play(unreadable, &[]);
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused.stderr));
        assert!(said(&refused.stderr).contains(unreadable) && refused.stdout.is_empty());
    }
}

#[test]
fn a_search_tells_up_to_which_load_a_service_recovers() {
    let dir = TempDir::new().unwrap();
    let config = dir.path().join("mainstay.toml");
    std::fs::write(&config, LEAST).unwrap();
    let found = mainstay().args(["simulate", "-s", "outage", "--search", "-c"]).arg(&config).output().unwrap();
    assert!(said(&found.stdout).contains("recovers by itself up to"), "{}", said(&found.stdout));
}
