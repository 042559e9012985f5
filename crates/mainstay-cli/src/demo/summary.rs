//! One round without a terminal: a line per phase as it ends, a table, and whether what had to hold held.

use std::fmt;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::script::Script;
use super::stage::Stage;
use super::watch::{Seen, Watch};
use super::{Shared, read};
use crate::load::{Count, Tally};
use crate::outcome::Outcome;
use crate::print::{self, Table};

/// Of 1,000 requests so many must be good over the whole round.
const GOOD_OF_THOUSAND: u64 = 999;

/// What a phase came to.
#[derive(Debug, Clone)]
pub(super) struct Played {
    title: &'static str,
    count: Count,
    p99_ms: f64,
    retries: f64,
    ejections: f64,
}

/// Plays one round and tells of each phase when it has ended.
pub(super) async fn play(
    script: &Script,
    stage: &mut Stage,
    tally: &Shared<Tally>,
    watch: &Watch,
) -> Outcome<Vec<Played>> {
    let mut all = Vec::new();
    let (mut before, mut seen_before) = (read(tally), read(&watch.seen));
    for phase in &script.phases {
        print::note(format_args!("{}: {}", phase.title, phase.why));
        phase.begin(stage).await?;
        sleep(phase.lasts).await;
        let (after, seen) = (read(tally), read(&watch.seen));
        let (count, p99_ms) = after.since(&before);
        print::note(format_args!("  {} requests, {} good, p99 {p99_ms:.0} ms", count.requests, count.good));
        seen.changes.iter().skip(seen_before.changes.len()).for_each(|change| print::note(format_args!("  {change}")));
        let (retries, ejections) = (seen.retries - seen_before.retries, seen.ejections - seen_before.ejections);
        all.push(Played { title: phase.title, count, p99_ms, retries, ejections });
        (before, seen_before) = (after, seen);
    }
    Ok(all)
}

/// The whole round.
#[derive(Debug)]
pub(super) struct Summary {
    phases: Vec<Played>,
    count: Count,
    p50_ms: f64,
    p99_ms: f64,
    retries: f64,
    ejections: f64,
    cleaned: String,
}

impl Summary {
    /// From what was played and seen.
    pub(super) fn new(phases: Vec<Played>, tally: &Tally, seen: &Seen, stage: &Stage) -> Self {
        Self {
            phases,
            count: tally.count(),
            p50_ms: tally.quantile_ms(0.5),
            p99_ms: tally.quantile_ms(0.99),
            retries: seen.retries,
            ejections: seen.ejections,
            cleaned: stage.file().display().to_string(),
        }
    }

    /// Whether enough requests were good, of enough that the share means something.
    pub(super) fn held(&self) -> bool {
        self.count.requests > 0 && self.count.good * 1000 >= self.count.requests * GOOD_OF_THOUSAND
    }

    /// For programs.
    pub(super) fn to_json(&self) -> Value {
        let phases = self.phases.iter().map(|phase| {
            json!({
                "phase": phase.title,
                "requests": phase.count.requests,
                "good": phase.count.good,
                "p99_ms": phase.p99_ms,
                "retries": phase.retries,
                "ejections": phase.ejections,
            })
        });
        json!({
            "requests": self.count.requests,
            "good": self.count.good,
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "retries": self.retries,
            "ejections": self.ejections,
            "held": self.held(),
            "phases": phases.collect::<Vec<_>>(),
            "cleaned": [self.cleaned],
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&["PHASE", "REQUESTS", "GOOD", "BAD", "P99 MS", "RETRIES", "EJECTIONS"]);
        let whole = (self.count, self.p99_ms, self.retries, self.ejections);
        let phases =
            self.phases.iter().map(|phase| (phase.title, (phase.count, phase.p99_ms, phase.retries, phase.ejections)));
        for (title, (count, p99_ms, retries, ejections)) in phases.chain([("the whole round", whole)]) {
            table.row([
                title.to_owned(),
                count.requests.to_string(),
                count.good.to_string(),
                count.bad().to_string(),
                format!("{p99_ms:.0}"),
                format!("{retries:.0}"),
                format!("{ejections:.0}"),
            ]);
        }
        let held = if self.held() { "held" } else { "did not hold" };
        write!(f, "{table}\n\n{GOOD_OF_THOUSAND} of 1,000 requests good within 2 s: {held}")
    }
}
