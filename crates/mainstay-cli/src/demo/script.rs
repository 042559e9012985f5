//! The round of faults: which instance breaks when, how, and what the gateway makes of it.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::stage::Stage;
use super::{Now, Shared, change};
use crate::outcome::Outcome;

/// What is done to the stage when a phase begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Nothing,
    Kill(usize),
    Restart(usize),
    Hang(usize),
    GoOn(usize),
    Fail(usize),
    Slow(usize),
    Mend(usize),
}

/// A stretch of the round.
#[derive(Debug, Clone)]
pub(super) struct Phase {
    act: Act,
    /// What happens.
    pub(super) title: &'static str,
    /// What the gateway makes of it.
    pub(super) why: &'static str,
    /// How long it lasts.
    pub(super) lasts: Duration,
}

/// The phases of a round.
#[derive(Debug, Clone)]
pub(super) struct Script {
    /// In their order.
    pub(super) phases: Vec<Phase>,
}

const ROUND: &[(Act, &str, &str)] = &[
    (Act::Nothing, "all four are well", "calls go where they are answered soonest, power of two choices"),
    (
        Act::Kill(2),
        "instance 2 is killed",
        "connections are refused: nothing was sent, so each call is tried elsewhere; checks or failures in a row eject it",
    ),
    (Act::Restart(2), "instance 2 is back", "the first check that passes ends an ejection for refused connections"),
    (
        Act::Hang(3),
        "instance 3 hangs",
        "it takes calls and answers none: after 600 ms each is tried elsewhere, until failures or checks eject it",
    ),
    (Act::GoOn(3), "instance 3 runs on", "a good probe, one call at a time, brings it back"),
    (
        Act::Fail(1),
        "instance 1 answers 503 at once",
        "its quick failures attract nothing; its calls are tried elsewhere, from the retry budget",
    ),
    (Act::Mend(1), "instance 1 is well again", "a good probe, one call at a time, brings it back"),
    (
        Act::Slow(4),
        "instance 4 takes 200 ms longer",
        "nothing fails: its share of the calls shrinks as its latency grows",
    ),
    (Act::Mend(4), "instance 4 is quick again", "its latency falls with each call, and its share grows again"),
];

impl Script {
    /// A round whose faults last `phase`; half of that is given to recover.
    pub(super) fn new(phase: mainstay_core::Duration) -> Self {
        let fault = Duration::from_nanos(phase.as_nanos());
        let lasts = |act| match act {
            Act::Kill(_) | Act::Hang(_) | Act::Fail(_) | Act::Slow(_) => fault,
            Act::Nothing | Act::Restart(_) | Act::GoOn(_) | Act::Mend(_) => fault / 2,
        };
        let phases = ROUND.iter().map(|&(act, title, why)| Phase { act, title, why, lasts: lasts(act) });
        Self { phases: phases.collect() }
    }

    /// How long a round lasts.
    pub(super) fn lasts(&self) -> Duration {
        self.phases.iter().map(|phase| phase.lasts).sum()
    }

    /// Plays round after round.
    pub(super) async fn play_for_ever(&self, stage: &mut Stage, now: &Shared<Now>) -> Outcome {
        let count = self.phases.len();
        for (number, phase) in self.phases.iter().enumerate().cycle() {
            phase.begin(stage).await?;
            let next = self.phases[(number + 1) % count].title.to_owned();
            let moment = Now {
                title: phase.title.to_owned(),
                why: phase.why.to_owned(),
                place: (number + 1, count),
                next: Some((Instant::now() + phase.lasts, next)),
                pids: stage.pids(),
            };
            change(now, |now| *now = moment);
            sleep(phase.lasts).await;
        }
        Ok(())
    }
}

impl Phase {
    /// Does to the stage what the phase begins with. What ended by a hand of somebody else's since is started again.
    pub(super) async fn begin(&self, stage: &mut Stage) -> Outcome {
        stage.revive().await?;
        match self.act {
            // Every phase begins with all instances there.
            Act::Nothing | Act::Restart(_) => Ok(()),
            Act::Kill(number) => {
                stage.kill(number);
                Ok(())
            }
            Act::Hang(number) => stage.signal(number, Signal::STOP),
            Act::GoOn(number) => stage.signal(number, Signal::CONT),
            Act::Fail(number) => stage.fault(number, &json!({ "kind": "errors", "status": 503 })).await,
            Act::Slow(number) => stage.fault(number, &json!({ "kind": "slow", "delay": "200ms" })).await,
            Act::Mend(number) => stage.mend(number).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_fault_of_a_round_is_undone_in_it() {
        let mut broken = BTreeSet::new();
        for (act, _, _) in ROUND {
            match act {
                Act::Kill(number) | Act::Hang(number) | Act::Fail(number) | Act::Slow(number) => {
                    assert!(broken.is_empty(), "one fault at a time");
                    broken.insert(*number);
                }
                Act::Restart(number) | Act::GoOn(number) | Act::Mend(number) => assert!(broken.remove(number)),
                Act::Nothing => {}
            }
        }
        assert!(broken.is_empty());
    }

    #[test]
    fn a_round_lasts_about_half_a_minute() {
        let round = Script::new(mainstay_core::Duration::from_secs(4)).lasts();
        assert_eq!(round, Duration::from_secs(26));
    }
}
