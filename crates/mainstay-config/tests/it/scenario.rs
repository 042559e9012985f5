//! Scenarios: what the loader refuses, and that the reference (`docs/reference/scenario.md`) says what it reads.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_config::scenario::{
    Arrivals, Distribution, FaultKind, Hits, HitsOf, HoldWhat, Load, Slower, Victims, load_scenario_and_settings,
};
use mainstay_config::{Origin, Setting, load_scenario};
use mainstay_core::{Duration, Ratio};
use mainstay_policy::{AutoscaleSettings, Measure};

use super::reference::{Row, row_of, tables_of};

const PAGE: &str = include_str!("../../../../docs/reference/scenario.md");

const LEAST: &str = "name = \"least\"\n[workload]\nservice = \"shop\"\nrate = \"10/s\"\n";

/// Every table stands, with as little in it as it can have.
const EVERY_TABLE: &str = r#"
name = "every table"

[[workload]]
service = "shop"
rate = "10/s"

[[workload]]
service = "shop"
arrivals = "closed"
clients = 3

[[workload]]
service = "shop"
steps = [{ rate = "10/s" }]

[instance]
warm_up = {}
cache = {}
autoscale = { max = 10 }

[[fault]]
kind = "crash"
for = "1s"
"#;

fn problems(text: &str) -> String {
    match load_scenario("scenario.toml", text) {
        Ok(scenario) => panic!("{scenario:?}"),
        Err(problems) => problems.list().iter().map(|problem| format!("{}\n", problem.message)).collect(),
    }
}

/// The least scenario with one fault more.
fn fault(text: &str) -> mainstay_config::scenario::Fault {
    let scenario = load_scenario("scenario.toml", &format!("{LEAST}[[fault]]\nfor = \"1s\"\n{text}"));
    scenario.unwrap_or_else(|problems| panic!("{problems}")).faults.remove(0)
}

#[test]
fn the_least_scenario_has_the_defaults_of_the_reference() {
    let scenario = load_scenario("scenario.toml", LEAST).unwrap();
    assert_eq!((scenario.duration, scenario.seed), (Duration::from_secs(60), 1));
    assert_eq!(scenario.instances, []);
    assert_eq!(scenario.workloads[0].methods, [("GET".to_owned(), 1)]);
    let Load::Open { steps, arrivals: Arrivals::Poisson } = &scenario.workloads[0].load else { panic!("{scenario:?}") };
    assert_eq!(steps.len(), 1);
    assert_eq!(scenario.network, mainstay_config::scenario::Network::default());
    assert_eq!(scenario.gateways, mainstay_config::scenario::Gateways::default());
    assert_eq!(scenario.guard, mainstay_config::scenario::Guard::default());
    let named = load_scenario("scenario.toml", &format!("{LEAST}[instance]\n")).unwrap();
    let line = named.instances[0].line;
    let default = mainstay_config::scenario::Instances { line, ..Default::default() };
    assert_eq!(named.instances, [default]);
}

#[test]
fn a_fault_has_the_keys_of_its_kind() {
    let all = Hits { share: Ratio::ONE, of: HitsOf::Requests };
    for (text, kind) in [
        ("kind = \"slow\"\nfactor = 3", FaultKind::Slow(Slower::Times(3.0), all)),
        ("kind = \"slow\"\ndelay = \"1s\"", FaultKind::Slow(Slower::By(Duration::from_secs(1)), all)),
        ("kind = \"errors\"\nstatus = 500", FaultKind::Errors(500, all)),
        (
            "kind = \"reset\"\ncalls = \"50%\"\nof = \"connections\"",
            FaultKind::Reset(Hits { share: Ratio::percent(50), of: HitsOf::Connections }),
        ),
        ("kind = \"surge\"", FaultKind::Surge(3.0)),
        ("kind = \"disk_full\"", FaultKind::DiskFull),
    ] {
        assert_eq!(fault(text).kind, kind, "{text}");
    }
    assert!(problems(&format!("{LEAST}[[fault]]\nkind = \"crash\"\nfor = \"1s\"\nfactor = 3")).contains("unknown key"));
    assert!(problems(&format!("{LEAST}[[fault]]\nkind = \"crush\"\nfor = \"1s\"")).contains("expected one of crash"));
}

#[test]
fn every_kind_of_the_contract_is_read() {
    for word in FaultKind::WORDS {
        let target = if word == "zone" { "target = \"zone:a\"" } else { "" };
        assert_eq!(fault(&format!("kind = \"{word}\"\n{target}")).kind.word(), word);
    }
}

#[test]
fn victims_are_one_all_a_share_or_a_zone() {
    for (text, victims) in [
        ("", Victims::All("shop".to_owned())),
        ("target = \"lite\"", Victims::All("lite".to_owned())),
        ("target = \"lite/2\"", Victims::One("lite".to_owned(), 2)),
        ("target = \"zone:b\"", Victims::Zone("b".to_owned())),
        (
            "share = \"25%\"\nvictims = \"random\"",
            Victims::Share {
                service: "shop".to_owned(),
                share: Ratio::percent(25),
                pick: mainstay_config::scenario::Pick::Random,
            },
        ),
    ] {
        assert_eq!(fault(&format!("kind = \"crash\"\n{text}")).victims, victims, "{text}");
    }
    for (text, part) in [
        ("target = \"shop/x\"", "no number of an instance"),
        ("target = \"shop/0\"\nshare = \"10%\"", "a share is one of a service's instances"),
        ("victims = \"random\"", "drawn for a share only"),
    ] {
        assert!(
            problems(&format!("{LEAST}[[fault]]\nkind = \"crash\"\nfor = \"1s\"\n{text}")).contains(part),
            "{text}"
        );
    }
}

#[test]
fn lengths_are_fixed_or_drawn() {
    let ms = Duration::from_millis;
    for (text, length) in [
        ("\"5ms\"", Distribution::Fixed(ms(5))),
        ("{ distribution = \"fixed\", mean = \"5ms\" }", Distribution::Fixed(ms(5))),
        (
            "{ distribution = \"lognormal\", mean = \"5ms\", sigma = 0.5 }",
            Distribution::Lognormal { mean: ms(5), sigma: 0.5 },
        ),
        ("{ distribution = \"pareto\", mean = \"5ms\" }", Distribution::Pareto { mean: ms(5), alpha: 1.5 }),
        (
            "{ distribution = \"bimodal\", fast = \"1ms\", slow = \"1s\" }",
            Distribution::Bimodal { fast: ms(1), slow: ms(1000), share: Ratio::percent(10) },
        ),
    ] {
        let text = format!("{LEAST}[instance]\nservice_time = {text}");
        assert_eq!(load_scenario("scenario.toml", &text).unwrap().instances[0].service_time, length, "{text}");
    }
    for (text, part) in [
        ("{ distribution = \"exponental\", mean = \"5ms\" }", "expected one of fixed"),
        ("{ distribution = \"exponential\" }", "mean is missing"),
        ("{ distribution = \"exponential\", mean = \"5ms\", sigma = 2 }", "unknown key \"sigma\""),
        ("{ distribution = \"pareto\", mean = \"5ms\", alpha = 1 }", "expected a number from 1.01 to 100"),
    ] {
        assert!(problems(&format!("{LEAST}[instance]\nservice_time = {text}")).contains(part), "{text}");
    }
}

#[test]
fn an_autoscaler_has_what_kubernetes_has_unless_it_is_told_otherwise() {
    let read = |more: &str| {
        let text = format!("{LEAST}[instance]\n{more}");
        load_scenario("scenario.toml", &text).map(|scenario| scenario.instances[0].autoscale.unwrap().policy)
    };
    assert_eq!(read("autoscale = { max = 8 }").unwrap(), AutoscaleSettings::up_to(8));
    let by_calls = AutoscaleSettings { measure: Measure::Concurrency, target: 5.0, ..AutoscaleSettings::up_to(8) };
    let text = "autoscale = { max = 8, measure = \"concurrency\", target = 5 }\nconcurrency = \"unlimited\"";
    assert_eq!(read(text).unwrap(), by_calls);
    for (text, part) in [
        ("autoscale = {}", "max is missing"),
        ("autoscale = { min = 3, max = 2 }", "it is less than min, 3"),
        ("autoscale = { max = 8, measure = \"queue\" }", "target is missing"),
        ("autoscale = { max = 8, target = 5 }", "no more than all slots are busy"),
        ("autoscale = { max = 8, target = 0 }", "expected a share above 0"),
        ("autoscale = { max = 8 }\nconcurrency = \"unlimited\"", "has no utilisation"),
        ("autoscale = { max = 8, up = { share = \"10%\" } }", "unknown key \"share\""),
        ("autoscale = { max = 8 }\ncount = 9", "it begins with 9"),
    ] {
        let found = problems(&format!("{LEAST}[instance]\n{text}"));
        assert!(found.contains(part) && found.lines().count() == 1, "{text}: {found}");
    }
}

#[test]
fn every_problem_is_found_at_once() {
    let found = problems(
        "duration = \"10s\"\nwarmup = \"20s\"\n[workload]\nservice = \"shop\"\nclients = 3\nmethods = { get = 1 }\n\
         [[fault]]\nat = \"30s\"\nkind = \"crash\"\n[hold]\ngod = \"99%\"\n[[instance]]\n[[instance]]\n",
    );
    for part in [
        "name is missing",
        "the scenario is over (10s) before anything is counted",
        "nothing says how often",
        "only closed arrivals have it",
        "\"get\" is no method",
        "for is missing",
        "unknown key \"god\"",
    ] {
        assert!(found.contains(part), "{part} is missing in\n{found}");
    }
    assert!(problems(&format!("{LEAST}[[instance]]\n[[instance]]\n")).contains("described twice"));
    let late = "steps = [{ at = \"60s\", rate = \"1/s\" }]";
    assert_eq!(problems(&LEAST.replace("rate = \"10/s\"", late)), "the scenario is over (1m) before it begins\n");
}

#[test]
fn what_is_wrong_is_said_once() {
    let one_line = |found: String| assert_eq!(found.lines().count(), 1, "{found}");
    one_line(problems(&LEAST.replace("10/s", "often")));
    one_line(problems(&LEAST.replace("rate = \"10/s\"", "steps = [{ rate = \"often\" }]")));
    one_line(problems(&format!("{LEAST}[instance]\nservice_time = {{ distribution = \"gauss\", mean = \"1ms\" }}\n")));
}

#[test]
fn what_must_hold_is_kept_as_it_was_written() {
    let text = format!("{LEAST}[hold]\namplification = 1.2\ngood = \"99.9%\"\nmetastable = false\n");
    let holds = load_scenario("scenario.toml", &text).unwrap().holds;
    let written: Vec<_> = holds.iter().map(|hold| (hold.key, hold.written.as_str())).collect();
    assert_eq!(written, [("good", "99.9%"), ("amplification", "1.2"), ("metastable", "false")]);
    assert_eq!(holds[1].what, HoldWhat::Amplification(1.2));
}

#[test]
fn a_guard_says_when_a_drill_begins_and_when_it_is_broken_off() {
    let text =
        format!("{LEAST}[guard]\nsteady_good = \"95%\"\ngood = \"90%\"\np99 = \"1s\"\nseconds = 5\nmax_victims = 1\n");
    let guard = load_scenario("scenario.toml", &text).unwrap().guard;
    assert_eq!((guard.good, guard.p99, guard.seconds), (Some(Ratio::percent(90)), Some(Duration::from_secs(1)), 5));
    assert_eq!((guard.steady_good, guard.max_victims), (Some(Ratio::percent(95)), Ratio::ONE));
    for (line, part) in
        [("seconds = 0", "seconds"), ("steady = \"0s\"", "steady"), ("gud = \"90%\"", "unknown key \"gud\"")]
    {
        let text = format!("{LEAST}[guard]\n{line}\n");
        let problems = load_scenario("scenario.toml", &text).unwrap_err().render(false);
        assert!(problems.contains(part), "{line}: {problems}");
    }
}

#[test]
fn every_scenario_of_the_storm_loads() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios/storm");
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let (config, scenarios): (Vec<_>, Vec<_>) = files.partition(|file| file.ends_with("mainstay.toml"));
    assert_eq!((config.len(), scenarios.len()), (1, 16));
    for file in scenarios {
        let text = std::fs::read_to_string(&file).unwrap();
        load_scenario(&file.to_string_lossy(), &text).unwrap_or_else(|problems| panic!("{problems}"));
    }
}

/// Every value that was read, by its key as the page writes it.
fn settings() -> BTreeMap<String, Vec<Setting>> {
    let (_, effective) = load_scenario_and_settings("scenario.toml", EVERY_TABLE).unwrap_or_else(|p| panic!("{p}"));
    let mut by_path: BTreeMap<String, Vec<Setting>> = BTreeMap::new();
    for setting in effective.settings() {
        let levels: Vec<&str> = setting.path.split('.').map(|level| level.split('[').next().unwrap_or(level)).collect();
        by_path.entry(levels.join(".")).or_default().push(setting.clone());
    }
    by_path
}

fn rows() -> Vec<Row> {
    let (mut rows, mut tables) = (Vec::new(), Vec::new());
    for line in PAGE.lines() {
        if line.starts_with('#') {
            tables = tables_of(line);
        } else if let Some(row) = line.strip_prefix("| `")
            && let [table] = tables.as_slice()
            && let Some(row) = row_of(table, row)
        {
            rows.push(row);
        }
    }
    rows
}

#[test]
fn the_reference_has_every_key_with_its_default_and_no_other() {
    let settings = settings();
    let told: BTreeSet<String> = rows().into_iter().map(|row| row.path).collect();
    let later = |of: &[Setting]| of.iter().all(|setting| setting.note.is_some_and(|note| note.contains("not in this")));
    let read: BTreeSet<String> = settings.iter().filter(|(_, of)| !later(of)).map(|(path, _)| path.clone()).collect();
    let (missing, invented): (Vec<_>, Vec<_>) = (read.difference(&told).collect(), told.difference(&read).collect());
    assert!(missing.is_empty() && invented.is_empty(), "not told of: {missing:?}; not read: {invented:?}");
    for row in rows() {
        let of_key = &settings[&row.path];
        let defaults: Vec<&Setting> = of_key.iter().filter(|setting| setting.origin == Origin::Default).collect();
        assert_eq!(defaults.is_empty(), row.default == "required", "{}: {}", row.path, row.default);
        for setting in defaults {
            assert_eq!(row.value(), setting.value.as_deref(), "{}: {}", row.path, row.default);
            if setting.value.is_none() {
                assert_eq!(Some(row.default.as_str()), setting.note, "{}", row.path);
            }
        }
    }
}

#[test]
fn the_reference_names_every_kind_of_fault() {
    for word in FaultKind::WORDS {
        assert!(PAGE.contains(&format!("`{word}`")), "{word}");
    }
}

#[test]
fn every_example_of_the_reference_loads() {
    let examples = PAGE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    for example in examples {
        load_scenario("scenario.md", example).unwrap_or_else(|problems| panic!("{problems}"));
    }
}
