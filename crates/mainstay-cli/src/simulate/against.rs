//! `mainstay simulate --against`: the same calls under another configuration, side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mainstay_config::scenario::Scenario;
use mainstay_config::{Effective, Setting};
use mainstay_node::ConfigFile;
use mainstay_sim::report::Report;
use mainstay_sim::shown::{Difference, Shown, Side};
use serde_json::{Value, json};

use super::played;
use crate::args::SimulateArgs;
use crate::outcome::Outcome;
use crate::{node, print, show};

/// Plays the other configuration too, and shows both.
pub(super) fn command(
    args: &SimulateArgs,
    against: &Path,
    scenario: &Scenario,
    own: &Effective,
    report: &Report,
) -> Outcome {
    let other = ConfigFile::new(against, Vec::new()).load().map_err(|error| node::explained(&error))?;
    let beside = played(args, (against, &[]), &other.config, scenario, report.seed)?;
    let differences = differences(own, &other.effective);
    let (here, there) = (own_name(args, against), against.to_string_lossy().into_owned());
    let sides = [(&here, report), (&there, &beside)].map(|(name, report)| Side { name, report });
    let shown = Shown::two(sides[0], sides[1], &differences);
    if args.json {
        let differences: Vec<_> = differences.iter().map(to_json).collect();
        print::json(&json!({ "report": report, "against": beside, "differences": differences }))?;
    } else {
        show::summary(&shown)?;
    }
    show::pictures(&shown, &args.pictures)
}

/// What the first play is called: by its file, or by the keys that were set where both have the same file.
fn own_name(args: &SimulateArgs, against: &Path) -> String {
    if args.config() != against || args.set.is_empty() {
        return args.config().to_string_lossy().into_owned();
    }
    args.set.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}

fn to_json(difference: &Difference) -> Value {
    json!({ "key": difference.key, "here": difference.here, "against": difference.beside })
}

/// Every key that is not the same in both, in the order of the configuration.
fn differences(here: &Effective, beside: &Effective) -> Vec<Difference> {
    const NOT_THERE: &str = "not there";
    let value = |setting: &Setting| setting.value.clone().unwrap_or_else(|| "none".to_owned());
    let there: BTreeMap<&str, String> = beside.settings().map(|one| (one.path.as_str(), value(one))).collect();
    let known: BTreeSet<&str> = here.settings().map(|one| one.path.as_str()).collect();
    let own = here.settings().map(|one| {
        let beside = there.get(one.path.as_str()).cloned();
        Difference { key: one.path.clone(), here: value(one), beside: beside.unwrap_or_else(|| NOT_THERE.to_owned()) }
    });
    let others = beside.settings().filter(|one| !known.contains(one.path.as_str()));
    let others = others.map(|one| Difference { key: one.path.clone(), here: NOT_THERE.to_owned(), beside: value(one) });
    own.filter(|one| one.here != one.beside).chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_config::{Source, load};

    fn effective(more: &str) -> Effective {
        let text = format!(
            "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:8080\"\n[[route]]\nservice = \"shop\"\n[service.shop]\n\
             endpoints = [\"127.0.0.1:9101\"]\n{more}"
        );
        load(&Source::new("mainstay.toml", &text)).unwrap().effective
    }

    #[test]
    fn only_what_is_not_the_same_is_told() {
        assert_eq!(differences(&effective(""), &effective("")), []);
        let told = differences(&effective("slow_start = \"off\""), &effective("retry = \"off\""));
        let of = |key: &str| told.iter().find(|one| one.key == key).map(|one| (one.here.as_str(), one.beside.as_str()));
        assert_eq!(of("service.shop.slow_start"), Some(("\"off\"", "\"10s\"")));
        assert_eq!(of("service.shop.retry.attempts"), Some(("3", "not there")));
        assert_eq!(of("service.shop.balance"), None);
    }
}
