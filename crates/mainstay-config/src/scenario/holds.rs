//! `[hold]`: what must hold.

use super::model::{HoldSpec, HoldWhat};
use super::values::Number;
use crate::section::Section;
use crate::value::Value;

/// What holds without a line.
const NOTHING: &str = "nothing is asked";

pub(super) fn holds(s: &mut Section<'_>) -> Vec<HoldSpec> {
    let holds = [
        hold(s, "good", HoldWhat::Good),
        hold(s, "good_every_second", HoldWhat::GoodEverySecond),
        hold(s, "p50", HoldWhat::P50),
        hold(s, "p99", HoldWhat::P99),
        hold(s, "p999", HoldWhat::P999),
        hold(s, "recovery", HoldWhat::Recovery),
        hold(s, "amplification", |most: Number<0, 1_000_000>| HoldWhat::Amplification(most.0)),
        hold(s, "duplicated_posts", |most: u32| HoldWhat::DuplicatedPosts(u64::from(most))),
        hold(s, "wasted", HoldWhat::Wasted),
        hold(s, "fairness", HoldWhat::Fairness),
        hold(s, "workload_fairness", HoldWhat::WorkloadFairness),
        hold(s, "metastable", HoldWhat::Metastable),
    ];
    holds.into_iter().flatten().collect()
}

fn hold<T: Value>(s: &mut Section<'_>, key: &'static str, what: impl FnOnce(T) -> HoldWhat) -> Option<HoldSpec> {
    let value: T = s.find(key, NOTHING)?;
    let written = s.given(key).map(|entry| entry.node.to_toml().trim_matches('"').to_owned()).unwrap_or_default();
    Some(HoldSpec { key, written, what: what(value) })
}
