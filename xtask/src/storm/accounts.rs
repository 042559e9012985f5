//! What a proxy itself says of each request, and why those were bad or slow that were.
//!
//! Requests with the same account are one reason; of each reason a few stories are kept, with the times of every attempt
//! and, of Mainstay, what `mainstay explain` tells.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::books;
use super::figures::{Reason, STORIES, Times};
use super::peers::{self, Peer};
use super::results::Key;
use super::samples::Sample;
use super::scenario::{INSTANCES, Kind, Scenario};
use super::stage::{IDS, Stage};

/// A good answer that took longer is asked after, in milliseconds: what must hold for 99 of 100.
pub(super) const SLOW: f64 = 60.0;
/// Reasons whose stories are asked for.
const EXPLAINED: usize = 6;

/// What a proxy says of one request.
#[derive(Debug, Clone, PartialEq)]
struct Account {
    /// The same for all that fared alike.
    what: String,
    /// With all its times.
    story: String,
    /// How long it lasted for the proxy, in milliseconds.
    took: Option<f64>,
}

/// Those of all requests, by id.
#[derive(Debug, Default)]
pub(super) struct Accounts(BTreeMap<String, Account>);

impl Accounts {
    /// Reads what `peer` wrote down.
    pub(super) fn read(stage: &Stage<'_>, peer: Peer, scenario: Scenario) -> Result<Self, String> {
        let names = Names::new(stage, scenario);
        let all = match peer {
            Peer::Mainstay => {
                let lines = books::access_lines(&stage.read(peers::OUTPUT)?, IDS);
                lines.iter().filter_map(|line| of_mainstay(line, &names)).collect()
            }
            Peer::Haproxy => of_lines(&names.put_in(&stage.read(peers::OUTPUT)?)),
            Peer::Nginx | Peer::Envoy => of_lines(&names.put_in(&stage.read(peers::ACCESS_LOG)?)),
            Peer::Direct => BTreeMap::new(),
        };
        Ok(Self(all))
    }

    /// Why requests were not good. Of an outage of all, those that came after it: the others had nobody to go to.
    pub(super) fn bad(&self, samples: &[Sample], times: Times, stage: &Stage<'_>, key: &Key) -> Vec<Reason> {
        let from = if key.scenario.kind() == Kind::Outage { times.end } else { 0.0 };
        let bad = samples.iter().filter(|sample| !sample.is_good() && sample.due >= from);
        let reasons = self.reasons(bad, |sample, what| format!("{}, {}; {what}", sample.method, sample.end), times);
        reasons.into_iter().enumerate().map(|(rank, group)| group.told(rank, stage, key.peer)).collect()
    }

    /// Why good answers were slow.
    pub(super) fn slow(&self, samples: &[Sample], times: Times) -> Vec<Reason> {
        let slow = samples.iter().filter(|sample| sample.is_good() && sample.took > SLOW);
        let word = |sample: &Sample, what: &str| {
            let quick = self.0.get(&sample.id).and_then(|account| account.took).is_some_and(|took| took <= SLOW);
            let where_ = if quick { "quick in the proxy's own eyes" } else { "slow in it" };
            format!("{}, {where_}; {what}", sample.method)
        };
        self.reasons(slow, word, times).into_iter().map(Group::plain).collect()
    }

    fn reasons<'a>(
        &self,
        samples: impl Iterator<Item = &'a Sample>,
        word: impl Fn(&Sample, &str) -> String,
        times: Times,
    ) -> Vec<Group> {
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        for sample in samples {
            let account = self.0.get(&sample.id);
            let what = word(sample, account.map_or("not in its log", |account| &account.what));
            let due = (sample.due - times.begin) / 1000.0;
            let new = || Group { what: what.clone(), count: 0, from: due, to: due, told: Vec::new() };
            let group = groups.entry(what.clone()).or_insert_with(new);
            group.count += 1;
            (group.from, group.to) = (group.from.min(due), group.to.max(due));
            if group.told.len() < STORIES {
                group.told.push((sample.id.clone(), story(sample, account, times)));
            }
        }
        let mut groups: Vec<Group> = groups.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        groups
    }
}

/// Requests with the same account, and the stories of some.
struct Group {
    what: String,
    count: u64,
    from: f64,
    to: f64,
    told: Vec<(String, String)>,
}

impl Group {
    fn plain(self) -> Reason {
        let stories = self.told.into_iter().map(|(_, story)| story).collect();
        Reason { what: self.what, count: self.count, from: self.from, to: self.to, stories }
    }

    /// With what Mainstay remembers of the first, where the reason is one of the greatest.
    fn told(self, rank: usize, stage: &Stage<'_>, peer: Peer) -> Reason {
        let first = self.told.first().map(|(id, _)| id.clone());
        let mut reason = self.plain();
        if let Some(id) = first.filter(|_| peer == Peer::Mainstay && rank < EXPLAINED)
            && let (Some(told), Some(story)) = (stage.explained(&id), reason.stories.first_mut())
        {
            let _ = write!(story, "\n{}", told.trim_end());
        }
        reason
    }
}

fn story(sample: &Sample, account: Option<&Account>, times: Times) -> String {
    let at = (sample.due - times.begin) / 1000.0;
    let account = account.map_or("not in its log", |account| &account.story);
    format!("{} due {at:+.3} s from the fault: {} after {:.1} ms; {account}", sample.id, sample.end, sample.took)
}

/// What instances are called in a story.
pub(super) struct Names(BTreeMap<String, String>);

impl Names {
    pub(super) fn new(stage: &Stage<'_>, scenario: Scenario) -> Self {
        let name = |number: usize| {
            let word = if scenario.broken().contains(&number) { "broken" } else { "well" };
            (stage.endpoint(number), format!("{word} {number}"))
        };
        Self((0..INSTANCES).map(name).collect())
    }

    /// A text with names instead of addresses, so that what is alike in several runs reads alike.
    pub(super) fn put_in(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (address, name)| text.replace(address, name))
    }

    /// With its number, or only what it is.
    fn of(&self, endpoint: &Value, with_number: bool) -> &str {
        let name = endpoint.as_str().and_then(|endpoint| self.0.get(endpoint)).map_or("nobody", String::as_str);
        if with_number { name } else { name.split(' ').next().unwrap_or(name) }
    }
}

fn of_mainstay(line: &Value, names: &Names) -> Option<(String, Account)> {
    let id = line["request_id"].as_str()?.to_owned();
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let took = line["duration_ms"].as_f64()?;
    let end = word(&line["end"]);
    let tries = line["tries"].as_array().map(Vec::as_slice).unwrap_or_default();
    let (mut what, mut story) = (format!("log: {end}"), format!("log: {end} {} after {took:.1} ms", line["status"]));
    if tries.is_empty() {
        let attempts = line["attempts"].as_u64().unwrap_or(0);
        let _ = write!(what, ", {attempts} attempt at {}", names.of(&line["endpoint"], false));
        let _ = write!(story, ", {attempts} attempt at {}", names.of(&line["endpoint"], true));
    }
    for tried in tries {
        let came = format!("{} ({})", word(&tried["result"]), word(&tried["certainty"]));
        let _ = write!(what, ", {came} at {}", names.of(&tried["endpoint"], false));
        let ms = |name: &str| tried[name].as_f64().unwrap_or(f64::NAN);
        let (from, to) = (ms("began_ms"), ms("ended_ms"));
        let _ = write!(story, "; {from:.1} to {to:.1} ms at {}: {came}", names.of(&tried["endpoint"], true));
    }
    Some((id, Account { what, story, took: Some(took) }))
}

/// Lines as `id^what^details`, among others.
fn of_lines(text: &str) -> BTreeMap<String, Account> {
    let account = |line: &str| {
        let mut parts = line.splitn(3, '^');
        let (id, what, details) = (parts.next()?, parts.next()?, parts.next()?);
        let account = Account { what: format!("log: {what}"), story: format!("log: {what}, {details}"), took: None };
        Some((id.to_owned(), account))
    };
    text.lines().filter(|line| line.starts_with(IDS)).filter_map(account).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names() -> Names {
        Names([("a".to_owned(), "broken 1".to_owned()), ("b".to_owned(), "well 2".to_owned())].into())
    }

    #[test]
    fn those_who_fared_alike_have_the_same_account_and_stories_of_their_own() {
        let line = |id: &str, ended: f64| {
            json!({
                "request_id": id, "end": "answered", "status": 200, "duration_ms": 620.0, "attempts": 2, "tries": [
                    { "endpoint": "a", "result": "timeout", "certainty": "unknown", "began_ms": 0.1, "ended_ms": ended },
                    { "endpoint": "b", "result": "success", "certainty": "applied", "began_ms": ended, "ended_ms": 620.0 },
                ]
            })
        };
        let (_, one) = of_mainstay(&line("storm-1", 600.2), &names()).unwrap();
        let (_, other) = of_mainstay(&line("storm-2", 600.4), &names()).unwrap();
        assert_eq!(one.what, "log: answered, timeout (unknown) at broken, success (applied) at well");
        assert_eq!(one.what, other.what);
        assert!(one.story.contains("0.1 to 600.2 ms at broken 1: timeout (unknown)"), "{}", one.story);
    }

    #[test]
    fn lines_of_a_peer_are_told_from_what_else_it_says() {
        let accounts = of_lines("[notice] hello^there^you\nstorm-7^502 after [502]^0.1 s at [b]\n");
        assert_eq!(accounts.keys().collect::<Vec<_>>(), ["storm-7"]);
        assert_eq!(accounts["storm-7"].what, "log: 502 after [502]");
    }
}
