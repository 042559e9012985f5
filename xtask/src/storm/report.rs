//! The figures as tables that can be pasted into a page, whether each thing held, and what the proxies say of the
//! requests that were not good.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::figures::{Figures, Reason};
use super::hold::{self, Played, Verdict};
use super::peers::Peer;
use super::results::Results;
use super::samples::Latencies;
use super::scenario::{Kind, Scenario};

/// Reasons that are listed of one proxy in one scenario.
const REASONS: usize = 12;

/// The sums of one set of configurations.
pub(super) struct Report<'a> {
    pub(super) results: &'a Results,
    pub(super) sums: BTreeMap<Scenario, Played>,
    pub(super) least: bool,
    pub(super) rate: u32,
    pub(super) seconds: u64,
    pub(super) runs: u64,
    /// Peers that are not installed.
    pub(super) skipped: Vec<Peer>,
}

impl Report<'_> {
    /// What did not hold for Mainstay, as `scenario: what`.
    pub(super) fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        for (scenario, verdicts) in self.verdicts(Peer::Mainstay) {
            let not_held = verdicts.into_iter().filter(|verdict| !verdict.held);
            missed.extend(not_held.map(|verdict| format!("{}: {}", scenario.name(), verdict.what)));
        }
        missed.extend(self.results.not_played().map(|(key, why)| {
            let why = why.lines().next().unwrap_or_default();
            format!("{}: {} could not be played: {why}", key.scenario.name(), key.peer.name())
        }));
        missed
    }

    fn verdicts(&self, peer: Peer) -> Vec<(Scenario, Vec<Verdict>)> {
        let of =
            |(&scenario, played): (&Scenario, &Played)| (scenario, hold::judge(scenario, self.least, played, peer));
        self.sums.iter().map(of).filter(|(_, verdicts)| !verdicts.is_empty()).collect()
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (Scenario, Peer, &Figures)> {
        let of_kind = self.sums.iter().filter(move |(scenario, _)| scenario.kind() == kind);
        of_kind.flat_map(|(&scenario, played)| played.iter().map(move |(&peer, figures)| (scenario, peer, figures)))
    }

    /// Everything, for people.
    pub(super) fn print(&self) {
        let set = if self.least { "endpoints only" } else { "configured with care" };
        println!(
            "{} requests/s for {} s, open loop, {} run(s), {set}; good: right within 2 s of when it was due.",
            self.rate, self.seconds, self.runs
        );
        for peer in &self.skipped {
            println!("{} is not installed: skipped.", peer.name());
        }
        self.print_parts();
        self.print_outage();
        self.print_surge();
        self.print_books();
        self.print_needs();
        self.print_verdicts();
        self.print_reasons();
        for (key, why) in self.results.not_played() {
            println!("\n{}, {}: could not be played: {why}", key.scenario.name(), key.peer.name());
        }
    }

    fn print_parts(&self) {
        let rows: Vec<String> = self.of_kind(Kind::Part).chain(self.of_kind(Kind::Wrong)).map(row).collect();
        table(
            "| Scenario | Proxy | All good | GETs good | POSTs good | POSTs read twice | Attempts per call | p50 | p99 | \
             False after 2 s |",
            &rows,
        );
    }

    fn print_outage(&self) {
        let row = |(_, peer, figures): (Scenario, Peer, &Figures)| {
            let back = figures.back?;
            Some(format!(
                "| {} | {} | {} | {} | {:.3} |",
                peer.name(),
                percent(back.first_second.percent()),
                percent(back.then.percent()),
                figures.posts_twice.len(),
                figures.attempts_per_call(),
            ))
        };
        let rows: Vec<String> = self.of_kind(Kind::Outage).filter_map(row).collect();
        table(
            "| Outage of all | Good in the first second after | Good from then on | POSTs read twice | Attempts per call |",
            &rows,
        );
    }

    fn print_surge(&self) {
        let row = |(_, peer, figures): (Scenario, Peer, &Figures)| {
            let surge = figures.surge.as_ref()?;
            let memory = figures.memory;
            Some(format!(
                "| {} | {:.0} | {} | {} | {} | {} | {} | {} | {} |",
                peer.name(),
                surge.good_per_second(),
                millis(&surge.admitted, 0.99),
                surge.refused.count(),
                millis(&surge.refused, 0.99),
                surge.unanswered,
                surge.normal_after.map_or("never".to_owned(), |seconds| format!("{seconds:.1} s")),
                if peer == Peer::Direct {
                    "-".to_owned()
                } else {
                    format!("{} / {} / {}", mib(memory.before), mib(memory.peak), mib(memory.after))
                },
                figures.posts_twice.len(),
            ))
        };
        let rows: Vec<String> = self.of_kind(Kind::Surge).filter_map(row).collect();
        table(
            "| Surge | Good/s | p99 admitted | Refused | p99 refused | No answer | Normal after | MiB before / peak / after \
             | POSTs read twice |",
            &rows,
        );
    }

    fn print_books(&self) {
        let mut rows = Vec::new();
        for (scenario, played) in &self.sums {
            let Some(books) = played.get(&Peer::Mainstay).and_then(|figures| figures.books.as_ref()) else { continue };
            let sign = |equal| if equal { "=" } else { "≠" };
            rows.push(format!(
                "| {} | {} {} {} | {} {} {} + {} | {} |",
                scenario.name(),
                books.logged,
                sign(books.logged == books.counted),
                books.counted,
                books.written,
                sign(books.written == books.arrived + books.never_read),
                books.arrived,
                books.never_read,
                books.open
            ));
        }
        table("| Mainstay in | Attempts: log = metrics | Written = read + never read | Open while down |", &rows);
    }

    /// What the parts took: whether the machine was the limit.
    fn print_needs(&self) {
        let mut rows = Vec::new();
        for (scenario, played) in &self.sums {
            for (peer, figures) in played {
                let cores = figures.cores;
                rows.push(format!(
                    "| {} | {} | {:.2} | {:.2} | {:.2} |",
                    scenario.name(),
                    peer.name(),
                    cores.proxy,
                    cores.load,
                    cores.instances
                ));
            }
        }
        table("| Cores kept busy in | by | the proxy | the load | the instances |", &rows);
    }

    fn print_verdicts(&self) {
        let mut rows = Vec::new();
        for (scenario, verdicts) in self.verdicts(Peer::Mainstay) {
            for verdict in verdicts {
                let held = if verdict.held { "held" } else { "**not held**" };
                rows.push(format!("| {} | {} | {held} |", scenario.name(), verdict.what));
            }
        }
        table("| Mainstay in | What must hold | |", &rows);
    }

    fn print_reasons(&self) {
        for (scenario, played) in &self.sums {
            for (peer, figures) in played.iter().filter(|(peer, _)| **peer != Peer::Direct) {
                let place = format!("{}, {}", scenario.name(), peer.name());
                list(&place, "requests that were not good", &figures.bad);
                if *peer == Peer::Mainstay {
                    list(&place, "good ones that took more than 60 ms", &figures.slow);
                    counted(&place, figures);
                }
            }
        }
    }

    /// The same for programs.
    pub(super) fn json(&self) -> Value {
        let mut played = Vec::new();
        for (scenario, peers) in &self.sums {
            for (&peer, figures) in peers {
                let verdicts = hold::judge(*scenario, self.least, peers, peer);
                let words = |held: bool| {
                    let of = verdicts.iter().filter(move |verdict| verdict.held == held);
                    of.map(|verdict| verdict.what.clone()).collect::<Vec<_>>()
                };
                played.push(json!({
                    "scenario": scenario,
                    "peer": peer,
                    "good_percent": figures.all().percent(),
                    "gets_good_percent": figures.gets.percent(),
                    "p50_ms": figures.latency.quantile(0.5),
                    "p99_ms": figures.latency.quantile(0.99),
                    "attempts_per_call": figures.attempts_per_call(),
                    "held": words(true),
                    "not_held": words(false),
                    "figures": figures,
                }));
            }
        }
        json!({
            "least": self.least,
            "rate_per_second": self.rate,
            "seconds": self.seconds,
            "runs": self.runs,
            "skipped": self.skipped,
            "missed": self.missed(),
            "played": played,
        })
    }
}

/// The scenarios, with what happens in each.
pub(super) fn print_list() {
    for scenario in Scenario::value_variants() {
        let help = scenario.to_possible_value().and_then(|value| value.get_help().map(ToString::to_string));
        println!("{:12} {}", scenario.name(), help.unwrap_or_default());
    }
}

fn row((scenario, peer, figures): (Scenario, Peer, &Figures)) -> String {
    let false_late = if scenario.kind() == Kind::Wrong { figures.false_late.to_string() } else { "-".to_owned() };
    format!(
        "| {} | {} | {} | {} | {} | {} | {:.3} | {} | {} | {false_late} |",
        scenario.name(),
        peer.name(),
        percent(figures.all().percent()),
        percent(figures.gets.percent()),
        percent(figures.posts.percent()),
        figures.posts_twice.len(),
        figures.attempts_per_call(),
        millis(&figures.latency, 0.5),
        millis(&figures.latency, 0.99),
    )
}

fn percent(percent: f64) -> String {
    format!("{percent:.3} %")
}

fn millis(latencies: &Latencies, quantile: f64) -> String {
    latencies.quantile(quantile).map_or("-".to_owned(), |millis| format!("{millis:.0} ms"))
}

fn mib(kib: u64) -> String {
    format!("{:.1}", kib as f64 / 1024.0)
}

fn table(head: &str, rows: &[String]) {
    if rows.is_empty() {
        return;
    }
    let columns = head.matches('|').count() - 1;
    println!("\n{head}\n|{}", " --- |".repeat(columns));
    for row in rows {
        println!("{row}");
    }
}

fn list(place: &str, what: &str, reasons: &[Reason]) {
    if reasons.is_empty() {
        return;
    }
    let all: u64 = reasons.iter().map(|reason| reason.count).sum();
    println!("\n{place}: {what} ({all}):\n");
    for reason in reasons.iter().take(REASONS) {
        let Reason { what, count, from, to, .. } = reason;
        println!("- {count} × {what} ({from:+.3} to {to:+.3} s from the fault)");
        for story in &reason.stories {
            println!("    - {}", story.replace('\n', "\n      "));
        }
    }
    let rest: u64 = reasons.iter().skip(REASONS).map(|reason| reason.count).sum();
    if rest > 0 {
        println!("- {rest} for {} other reasons", reasons.len() - REASONS);
    }
}

fn counted(place: &str, figures: &Figures) {
    if !figures.counted.is_empty() {
        println!("\n{place}: what it counted:\n");
    }
    for (name, count) in &figures.counted {
        println!("- {count} × {name}");
    }
    let Some(books) = &figures.books else { return };
    for (what, items) in [("attempts that were never read", &books.lost), ("what does not balance", &books.problems)] {
        if !items.is_empty() {
            println!("\n{place}: {what}:\n");
        }
        for item in items {
            println!("- {item}");
        }
    }
}
