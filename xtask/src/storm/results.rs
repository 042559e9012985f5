//! Results as JSON lines, one for each time that one proxy played one scenario, so that a long run can be taken up where
//! it ended and several runs be added up.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::figures::Figures;
use super::hold::Played;
use super::peers::Peer;
use super::scenario::Scenario;

/// What was played: a line with the same is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) scenario: Scenario,
    pub(super) peer: Peer,
    /// With endpoints only.
    pub(super) least: bool,
    /// From which arrivals and methods follow; each run has its own.
    pub(super) seed: u64,
    /// Requests per second.
    pub(super) rate: u32,
    /// How long.
    pub(super) seconds: u64,
}

/// A line.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    key: Key,
    figures: Figures,
}

/// Everything that was played.
#[derive(Debug, Default)]
pub(super) struct Results {
    all: BTreeMap<Key, Figures>,
    /// Why something could not be played. It is not kept: the next time it may be.
    not_played: BTreeMap<Key, String>,
    file: Option<File>,
}

impl Results {
    /// Takes up what lies in `file`, and goes on writing there.
    pub(super) fn resume(file: &Path) -> Result<Self, String> {
        let place = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = if file.exists() { std::fs::read_to_string(file).map_err(|e| place(&e))? } else { String::new() };
        let mut all = BTreeMap::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let line: Line = serde_json::from_str(line).map_err(|error| place(&error))?;
            all.insert(line.key, line.figures);
        }
        let opened = OpenOptions::new().create(true).append(true).open(file).map_err(|error| place(&error))?;
        Ok(Self { all, file: Some(opened), ..Self::default() })
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.all.contains_key(key)
    }

    /// Keeps what came of it.
    pub(super) fn keep(&mut self, key: Key, came: Result<Figures, String>) -> Result<(), String> {
        let figures = match came {
            Ok(figures) => figures,
            Err(why) => {
                self.not_played.insert(key, why);
                return Ok(());
            }
        };
        if let Some(file) = &mut self.file {
            let line = Line { key, figures: figures.clone() };
            let text = serde_json::to_string(&line).map_err(|error| format!("a result: {error}"))?;
            writeln!(file, "{text}").map_err(|error| format!("keeping a result: {error}"))?;
        }
        self.all.insert(key, figures);
        Ok(())
    }

    /// The sums over all runs that `which` picks, by scenario and proxy.
    pub(super) fn sums(&self, which: impl Fn(&Key) -> bool) -> BTreeMap<Scenario, Played> {
        let mut sums: BTreeMap<Scenario, Played> = BTreeMap::new();
        for (key, figures) in self.all.iter().filter(|(key, _)| which(key)) {
            let played = sums.entry(key.scenario).or_default();
            match played.get_mut(&key.peer) {
                Some(sum) => sum.add(figures),
                None => drop(played.insert(key.peer, figures.clone())),
            }
        }
        sums
    }

    /// What could not be played, and why.
    pub(super) fn not_played(&self) -> impl Iterator<Item = (&Key, &str)> {
        self.not_played.iter().map(|(key, why)| (key, why.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storm::samples::Count;

    fn key(seed: u64) -> Key {
        Key { scenario: Scenario::Half503, peer: Peer::Envoy, least: false, seed, rate: 1000, seconds: 20 }
    }

    fn figures(good: u64) -> Figures {
        Figures { gets: Count { requests: 10, good }, ..Figures::default() }
    }

    #[test]
    fn what_was_played_is_taken_up_and_what_failed_is_played_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("storm.jsonl");
        let mut results = Results::resume(&file).unwrap();
        results.keep(key(1), Ok(figures(9))).unwrap();
        results.keep(key(2), Err("it did not start".to_owned())).unwrap();
        let mut again = Results::resume(&file).unwrap();
        assert!(again.has(&key(1)) && !again.has(&key(2)));
        again.keep(key(2), Ok(figures(10))).unwrap();
        let sums = Results::resume(&file).unwrap().sums(|_| true);
        assert_eq!(sums[&Scenario::Half503][&Peer::Envoy].gets, Count { requests: 20, good: 19 });
    }
}
