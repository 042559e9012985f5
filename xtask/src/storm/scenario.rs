//! What happens in each scenario, and when. Names are stable: results are kept under them.
//!
//! One fault from a quarter to three quarters of the time, unless the scenario says otherwise. What an instance is told
//! to have is described in `docs/reference/command-line.md`.

use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Instances.
pub(super) const INSTANCES: usize = 4;
/// The instance that breaks where only one does.
const VICTIM: usize = 1;
/// How long an instance is down in a rolling restart, and between two deaths of one that flaps.
const DOWN: f64 = 0.5;
/// How many times the steady load comes in a surge, in all: about twice what the instances can do.
const SURGE: u32 = 6;

/// An outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Scenario {
    /// One is killed (SIGKILL) and started again at the end
    Killed,
    /// One stands still (SIGSTOP) and goes on: its sockets stay open and nothing in it runs
    Hung,
    /// Every answer of one comes 1.5 s late, health's too, with no slot held
    Late,
    /// Every answer of one comes 200 ms late, health's too, with no slot held: it does as much as before
    Limp,
    /// Half of the answers of one are 503 and quick, health's too
    #[value(name = "half-503")]
    #[serde(rename = "half-503")]
    Half503,
    /// One says that it is well and answers all work with 500
    Gray,
    /// Half of the connections to one are reset when a request has been read
    HalfReset,
    /// One accepts and reads, and never says anything
    Stall,
    /// One answers with something that is not HTTP
    Garbage,
    /// One answers 200 and something false, health's too; judged by the false answers that reach callers
    Wrong,
    /// One is killed and started again every second
    Flap,
    /// One is killed and another hangs at once
    Two,
    /// All are restarted one after the other: SIGTERM, the instance finishes what runs and ends, half a second, a start
    Rolling,
    /// All four are killed; a quarter of the time later all are back
    Outage,
    /// Six times the load
    Surge,
}

/// How a scenario is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// At least two instances are well: nobody should feel it.
    Part,
    /// False answers.
    Wrong,
    /// Nothing is left, then everything is back.
    Outage,
    /// More than can be done.
    Surge,
}

/// What is done to an instance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Act {
    Kill(usize),
    Restart(usize),
    Hang(usize),
    GoOn(usize),
    /// It is asked to end and is waited for.
    End(usize),
    Tell(usize, &'static str),
    /// The other load begins.
    Surge,
}

impl Scenario {
    /// The word that results are kept under.
    pub(super) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Wrong => Kind::Wrong,
            Self::Outage => Kind::Outage,
            Self::Surge => Kind::Surge,
            _ => Kind::Part,
        }
    }

    /// Whether it can be played with endpoints alone: nobody finds a false answer without being told what a right one is.
    pub(super) fn is_for(self, least: bool) -> bool {
        !(least && self == Self::Wrong)
    }

    /// The instances that break.
    pub(super) fn broken(self) -> &'static [usize] {
        match self {
            Self::Two => &[VICTIM, VICTIM + 1],
            Self::Rolling | Self::Outage => &[0, 1, 2, 3],
            Self::Surge => &[],
            _ => &[VICTIM],
        }
    }

    /// Requests per second that come on top of the steady load while it lasts.
    pub(super) fn surge(self, rate: u32) -> u32 {
        if self == Self::Surge { rate * (SURGE - 1) } else { 0 }
    }

    /// When the fault is over, as a share of the whole time.
    pub(super) fn ends_at(self) -> f64 {
        if self == Self::Outage { 0.5 } else { 0.75 }
    }

    /// What is done when, in a run of so many seconds.
    pub(super) fn acts(self, seconds: u64) -> Vec<(Duration, Act)> {
        let (begin, end) = (seconds as f64 * 0.25, seconds as f64 * self.ends_at());
        let told = |fault| vec![(begin, Act::Tell(VICTIM, fault)), (end, Act::Tell(VICTIM, r#"{"kind":"off"}"#))];
        let acts = match self {
            Self::Killed => vec![(begin, Act::Kill(VICTIM)), (end, Act::Restart(VICTIM))],
            Self::Hung => vec![(begin, Act::Hang(VICTIM)), (end, Act::GoOn(VICTIM))],
            Self::Late => told(r#"{"kind":"limp","delay":"1500ms"}"#),
            Self::Limp => told(r#"{"kind":"limp","delay":"200ms"}"#),
            Self::Half503 => told(r#"{"kind":"errors","status":503,"share":"50%"}"#),
            Self::Gray => told(r#"{"kind":"gray"}"#),
            Self::HalfReset => told(r#"{"kind":"reset","share":"50%","of":"connections"}"#),
            Self::Stall => told(r#"{"kind":"stall"}"#),
            Self::Garbage => told(r#"{"kind":"garbage"}"#),
            Self::Wrong => told(r#"{"kind":"wrong"}"#),
            Self::Flap => flap(begin, end),
            Self::Two => vec![
                (begin, Act::Kill(VICTIM)),
                (begin, Act::Hang(VICTIM + 1)),
                (end, Act::Restart(VICTIM)),
                (end, Act::GoOn(VICTIM + 1)),
            ],
            Self::Rolling => roll(begin, end),
            Self::Outage => {
                let all = |at, act: fn(usize) -> Act| (0..INSTANCES).map(move |number| (at, act(number)));
                all(begin, Act::Kill).chain(all(end, Act::Restart)).collect()
            }
            Self::Surge => vec![(begin, Act::Surge)],
        };
        acts.into_iter().map(|(at, act)| (Duration::from_secs_f64(at), act)).collect()
    }
}

fn flap(begin: f64, end: f64) -> Vec<(f64, Act)> {
    let deaths = (0..(end - begin) as u32).map(|second| begin + f64::from(second));
    deaths.flat_map(|at| [(at, Act::Kill(VICTIM)), (at + DOWN, Act::Restart(VICTIM))]).collect()
}

fn roll(begin: f64, end: f64) -> Vec<(f64, Act)> {
    let step = (end - begin) / INSTANCES as f64;
    let turns = (0..INSTANCES).map(|number| (number, begin + step * number as f64));
    turns.flat_map(|(number, at)| [(at, Act::End(number)), (at + DOWN, Act::Restart(number))]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_breaks_is_mended_before_the_end() {
        for &scenario in Scenario::value_variants() {
            let mut broken = Vec::new();
            for (at, act) in scenario.acts(20) {
                assert!(at < Duration::from_secs(20), "{scenario:?}: {act:?} at {at:?}");
                match act {
                    Act::Kill(number) | Act::Hang(number) | Act::End(number) => broken.push(number),
                    Act::Tell(number, fault) if !fault.contains("off") => broken.push(number),
                    Act::Restart(number) | Act::GoOn(number) | Act::Tell(number, _) => {
                        assert!(broken.contains(&number), "{scenario:?}: {number} was well");
                        broken.retain(|&other| other != number);
                    }
                    Act::Surge => {}
                }
            }
            assert!(broken.is_empty(), "{scenario:?} leaves {broken:?} broken");
        }
    }

    #[test]
    fn acts_come_in_the_order_of_their_times() {
        for &scenario in Scenario::value_variants() {
            assert!(scenario.acts(20).is_sorted_by_key(|&(at, _)| at), "{scenario:?}");
        }
    }

    #[test]
    fn the_names_are_those_that_results_are_kept_under() {
        let names: Vec<String> = Scenario::value_variants().iter().map(|scenario| scenario.name()).collect();
        let words = "killed hung late limp half-503 gray half-reset stall garbage wrong flap two rolling outage surge";
        assert_eq!(names.join(" "), words);
        for &scenario in Scenario::value_variants() {
            assert_eq!(serde_json::to_value(scenario).unwrap(), scenario.name());
        }
    }
}
