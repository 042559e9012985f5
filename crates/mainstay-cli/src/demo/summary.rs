//! One round without a terminal: a line per phase as it ends where somebody watches, then a table, what was decided, and
//! whether what had to hold held.

use std::fmt;
use std::io::IsTerminal;

use mainstay_core::Rate;
use mainstay_drill::load::{Count, Since, Tally};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::script::Script;
use super::stage::Stage;
use super::watch::{Seen, Watch};
use super::{Shared, read};
use crate::outcome::Outcome;
use crate::print::{self, Table};

/// Of 1,000 requests so many must be good over the whole round.
const GOOD_OF_THOUSAND: u64 = 999;
/// Decisions that are told one by one: what a round comes to, and some.
const CHANGES_MAX: usize = 12;

/// What a phase came to.
#[derive(Debug, Clone)]
pub(super) struct Played {
    title: &'static str,
    count: Count,
    p99_ms: f64,
    worst_ms: f64,
    retries: f64,
    ejections: f64,
}

/// Says something to a person who waits; a pipe waits for the result.
fn progress(text: impl fmt::Display) {
    if std::io::stderr().is_terminal() {
        print::note(text);
    }
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
        progress(format_args!("{}: {}", phase.title, phase.why));
        phase.begin(stage).await?;
        sleep(phase.lasts).await;
        let (after, seen) = (read(tally), read(&watch.seen));
        let Since { count, p99_ms, worst_ms } = after.since(&before);
        progress(format_args!("  {} requests, {} good, p99 {p99_ms:.0} ms", count.requests, count.good));
        seen.changes.iter().skip(seen_before.changes.len()).for_each(|change| progress(format_args!("  {change}")));
        let (retries, ejections) = (seen.retries - seen_before.retries, seen.ejections - seen_before.ejections);
        all.push(Played { title: phase.title, count, p99_ms, worst_ms, retries, ejections });
        (before, seen_before) = (after, seen);
    }
    Ok(all)
}

/// The whole round.
#[derive(Debug)]
pub(super) struct Summary {
    rate: Rate,
    phases: Vec<Played>,
    changes: Vec<String>,
    count: Count,
    p50_ms: f64,
    p99_ms: f64,
    worst_ms: f64,
    retries: f64,
    ejections: f64,
    cleaned: String,
}

impl Summary {
    /// From what was played and seen.
    pub(super) fn new(phases: Vec<Played>, tally: &Tally, seen: &Seen, stage: &Stage, rate: Rate) -> Self {
        Self {
            rate,
            phases,
            changes: seen.changes.iter().cloned().collect(),
            count: tally.count(),
            p50_ms: tally.quantile_ms(0.5),
            p99_ms: tally.quantile_ms(0.99),
            worst_ms: tally.quantile_ms(1.0),
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
                "max_ms": phase.worst_ms,
                "retries": phase.retries,
                "ejections": phase.ejections,
            })
        });
        json!({
            "requests": self.count.requests,
            "good": self.count.good,
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "max_ms": self.worst_ms,
            "changes": self.changes.iter().map(|change| change.trim_start()).collect::<Vec<_>>(),
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
        let mut table = Table::new(&["PHASE", "REQUESTS", "GOOD", "BAD", "P99 MS", "WORST MS", "RETRIES", "EJECTIONS"]);
        let whole = Played {
            title: "the whole round",
            count: self.count,
            p99_ms: self.p99_ms,
            worst_ms: self.worst_ms,
            retries: self.retries,
            ejections: self.ejections,
        };
        for phase in self.phases.iter().chain([&whole]) {
            table.row([
                phase.title.to_owned(),
                phase.count.requests.to_string(),
                phase.count.good.to_string(),
                phase.count.bad().to_string(),
                format!("{:.0}", phase.p99_ms),
                format!("{:.0}", phase.worst_ms),
                format!("{:.0}", phase.retries),
                format!("{:.0}", phase.ejections),
            ]);
        }
        writeln!(
            f,
            "four instances behind a gateway and a load of {}; one instance after the other broke:\n",
            self.rate
        )?;
        writeln!(f, "{table}\n\nwhat the gateway decided:")?;
        for change in self.changes.iter().take(CHANGES_MAX) {
            writeln!(f, "{change}")?;
        }
        match self.changes.len() {
            0 => writeln!(f, "  no instance was left alone")?,
            all if all > CHANGES_MAX => writeln!(f, "  and {} more", all - CHANGES_MAX)?,
            _ => {}
        }
        let held = if self.held() { "held" } else { "did not hold" };
        let Count { requests, good } = self.count;
        write!(f, "\n{good} of {requests} requests good within 2 s; {GOOD_OF_THOUSAND} of 1,000 had to be: {held}")
    }
}
