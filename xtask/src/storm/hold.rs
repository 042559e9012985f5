//! What must hold, for Mainstay, and whether it did.

use std::collections::BTreeMap;

use super::figures::Figures;
use super::peers::Peer;
use super::samples::Count;
use super::scenario::{Kind, Scenario};

/// With the careful set, where at least two instances are well: in percent of all calls and of the GETs.
const ALL_GOOD: f64 = 99.95;
const GETS_GOOD: f64 = 99.99;
/// With endpoints only, of the GETs.
const LEAST_GETS_GOOD: f64 = 99.0;
/// Points that a peer may be better by.
const BEHIND: f64 = 0.01;
/// Of the good answers of a whole run, in milliseconds.
const P99: f64 = 60.0;
/// Requests that instances read, per call.
const ATTEMPTS: f64 = 1.10;
/// After an outage, in percent, from a second after all are back.
const BACK_GOOD: f64 = 99.0;
/// In a surge: of what the instances answer when they are asked directly, in percent.
const GOODPUT: f64 = 95.0;
/// In a surge, in milliseconds.
const P99_ADMITTED: f64 = 300.0;
const P99_REFUSED: f64 = 60.0;
/// In seconds.
const NORMAL_AFTER: f64 = 1.0;
/// What a proxy may keep after a surge, in KiB: less than a connection of each caller costs.
const GROWTH: i64 = 16 * 1024;

/// One thing that must hold.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    /// What was measured, and what must be.
    pub(super) what: String,
    pub(super) held: bool,
}

fn verdict(what: String, held: bool) -> Verdict {
    Verdict { what, held }
}

/// The figures of all who played a scenario.
pub(super) type Played = BTreeMap<Peer, Figures>;

/// Judges `peer` among those who played.
pub(super) fn judge(scenario: Scenario, least: bool, played: &Played, peer: Peer) -> Vec<Verdict> {
    let Some(figures) = played.get(&peer) else { return Vec::new() };
    let mut all = match scenario.kind() {
        _ if least => judge_least(scenario, figures),
        Kind::Part => judge_part(figures, &best_of_others(played, peer)),
        Kind::Wrong => {
            vec![verdict(
                format!("{} false answers later than 2 s (none)", figures.false_late),
                figures.false_late == 0,
            )]
        }
        Kind::Outage => judge_outage(figures),
        Kind::Surge => judge_surge(figures, played.get(&Peer::Direct)),
    };
    let twice = figures.posts_twice.len();
    all.push(verdict(format!("{twice} POSTs read twice (none)"), twice == 0));
    if let Some(books) = &figures.books {
        let problems = books.problems.len();
        all.push(verdict(format!("{problems} entries of the books do not balance (none)"), problems == 0));
    }
    all
}

fn judge_least(scenario: Scenario, figures: &Figures) -> Vec<Verdict> {
    match scenario.kind() {
        Kind::Part => vec![at_least("GETs good", figures.gets, LEAST_GETS_GOOD)],
        _ => Vec::new(),
    }
}

fn judge_part(figures: &Figures, best: &Best) -> Vec<Verdict> {
    let p99 = figures.latency.quantile(0.99).unwrap_or(f64::INFINITY);
    let attempts = figures.attempts_per_call();
    let mut all = vec![
        at_least("all calls good", figures.all(), ALL_GOOD),
        at_least("GETs good", figures.gets, GETS_GOOD),
        verdict(format!("p99 {p99:.1} ms (under {P99:.0} ms)"), p99 < P99),
        verdict(format!("{attempts:.3} attempts per call (at most {ATTEMPTS:.2})"), attempts <= ATTEMPTS),
    ];
    for (what, mine, best) in [("all calls", figures.all(), &best.all), ("GETs", figures.gets, &best.gets)] {
        if let Some((peer, percent)) = best {
            let behind = percent - mine.percent();
            let what = format!(
                "{what}: {:.3} % against {percent:.3} % of {} (at most {BEHIND} points behind)",
                mine.percent(),
                peer.name()
            );
            all.push(verdict(what, behind <= BEHIND + 1e-9));
        }
    }
    all
}

fn judge_outage(figures: &Figures) -> Vec<Verdict> {
    let Some(back) = figures.back else { return Vec::new() };
    let first = verdict(format!("first second after all are back: {:.2} % good", back.first_second.percent()), true);
    vec![first, at_least("good from a second after that", back.then, BACK_GOOD)]
}

fn judge_surge(figures: &Figures, direct: Option<&Figures>) -> Vec<Verdict> {
    let Some(surge) = &figures.surge else { return Vec::new() };
    let p99 = |latencies: &super::samples::Latencies| latencies.quantile(0.99).unwrap_or(0.0);
    let (admitted, refused) = (p99(&surge.admitted), p99(&surge.refused));
    let growth = figures.memory.growth();
    let normal = surge.normal_after.map_or("never".to_owned(), |seconds| format!("after {seconds:.1} s"));
    let mut all = vec![
        verdict(format!("p99 of the admitted {admitted:.0} ms (under {P99_ADMITTED:.0} ms)"), admitted < P99_ADMITTED),
        verdict(format!("p99 of refusals {refused:.1} ms (under {P99_REFUSED:.0} ms)"), refused < P99_REFUSED),
        verdict(
            format!("normal {normal} (within {NORMAL_AFTER:.0} s)"),
            surge.normal_after.is_some_and(|seconds| seconds <= NORMAL_AFTER),
        ),
        verdict(
            format!(
                "{growth} KiB more memory after than before, and {} KiB of records within their bound (at most {GROWTH})",
                figures.memory.records
            ),
            growth <= GROWTH,
        ),
    ];
    match direct.and_then(|direct| direct.surge.as_ref()) {
        Some(direct) => {
            let share = surge.good_per_second() * 100.0 / direct.good_per_second();
            let what = format!(
                "{:.0} good/s, {share:.1} % of the {:.0}/s that the instances answer directly (at least {GOODPUT:.0} %)",
                surge.good_per_second(),
                direct.good_per_second()
            );
            all.push(verdict(what, share >= GOODPUT));
        }
        None => all.push(verdict("what the instances answer directly was not measured".to_owned(), false)),
    }
    all
}

fn at_least(what: &str, count: Count, percent: f64) -> Verdict {
    let Count { requests, good } = count;
    let held = requests > 0 && count.percent() >= percent;
    verdict(format!("{what}: {:.3} %, {good} of {requests} (at least {percent} %)", count.percent()), held)
}

/// Who of the others did best, and how well.
#[derive(Debug, Default)]
struct Best {
    all: Option<(Peer, f64)>,
    gets: Option<(Peer, f64)>,
}

fn best_of_others(played: &Played, peer: Peer) -> Best {
    let others = || played.iter().filter(|(other, _)| **other != peer && **other != Peer::Direct);
    let best = |of: fn(&Figures) -> Count| {
        others().map(|(other, figures)| (*other, of(figures).percent())).max_by(|one, other| one.1.total_cmp(&other.1))
    };
    Best { all: best(Figures::all), gets: best(|figures| figures.gets) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storm::figures::Surge;

    fn counted(gets: (u64, u64), posts: (u64, u64)) -> Figures {
        let count = |(requests, good)| Count { requests, good };
        Figures { gets: count(gets), posts: count(posts), arrived: gets.0 + posts.0, ..Figures::default() }
    }

    fn missed(verdicts: &[Verdict]) -> Vec<&str> {
        verdicts.iter().filter(|verdict| !verdict.held).map(|verdict| verdict.what.as_str()).collect()
    }

    #[test]
    fn a_peer_that_loses_less_is_seen() {
        let mut played = Played::new();
        played.insert(Peer::Mainstay, counted((19_000, 19_000), (1000, 995)));
        let judged = |played: &Played| judge(Scenario::Gray, false, played, Peer::Mainstay);
        // The latencies are empty here.
        assert_eq!(missed(&judged(&played)), ["p99 inf ms (under 60 ms)"]);
        played.insert(Peer::Envoy, counted((19_000, 19_000), (1000, 1000)));
        let judged = judged(&played);
        assert!(missed(&judged).iter().any(|what| what.contains("against 100.000 % of envoy")), "{judged:?}");
    }

    #[test]
    fn a_surge_is_judged_by_what_the_instances_can_do() {
        let figures = |good| Figures {
            surge: Some(Surge { good, seconds: 9.0, normal_after: Some(0.2), ..Surge::default() }),
            ..Figures::default()
        };
        let mut played: Played = [(Peer::Mainstay, figures(27_000))].into();
        assert_eq!(missed(&judge(Scenario::Surge, false, &played, Peer::Mainstay)).len(), 1);
        played.insert(Peer::Direct, figures(28_000));
        assert_eq!(missed(&judge(Scenario::Surge, false, &played, Peer::Mainstay)), Vec::<&str>::new());
        played.insert(Peer::Direct, figures(29_000));
        assert_eq!(missed(&judge(Scenario::Surge, false, &played, Peer::Mainstay)).len(), 1);
    }

    #[test]
    fn a_post_that_was_read_twice_is_never_forgiven() {
        for least in [false, true] {
            let figures = Figures { posts_twice: vec!["storm-1".to_owned()], ..counted((100, 100), (10, 10)) };
            let played: Played = [(Peer::Mainstay, figures)].into();
            let judged = judge(Scenario::Outage, least, &played, Peer::Mainstay);
            assert!(missed(&judged).contains(&"1 POSTs read twice (none)"), "{judged:?}");
        }
    }
}
