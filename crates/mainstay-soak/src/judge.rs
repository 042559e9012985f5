//! What is right and wrong in all that was asked, answered and brought.
//!
//! The revisions that the store tells are an order of everything, and it is held to it: each change that was acknowledged is
//! in what the watches brought, at its revision and as it was asked, and nowhere else; each read is what the changes up to its
//! revision come to; and whoever asks after another was answered gets no earlier revision. That is strict
//! serializability with the order given, so that it is found in one pass, however long the history is. What nobody knows the
//! end of is found by its value, or did not happen.
//!
//! The same history without its revisions goes to `mainstay-checker`, which knows nothing of this store and looks for any
//! order at all.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use mainstay_checker::{Call, Compare, History, Limits, Operation, Outcome, check};

use crate::history::{Ask, Asked, Done, Log, Moment, Said, Seen, Value, Watched};
use crate::leases::Life;

/// How many things of one kind are told.
const TOLD_MAX: usize = 5;

/// How long the search for an order may take.
const SEARCH: Duration = Duration::from_secs(60);

/// What is to be said of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All is as promised.
    Good,
    /// The search for an order without revisions used up its time; all else is as promised.
    Undecided(String),
    /// This is not.
    Bad(Vec<String>),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("good"),
            Self::Undecided(why) => write!(f, "undecided: {why}"),
            Self::Bad(why) => write!(f, "VIOLATION: {}", why.join("; ")),
        }
    }
}

/// All that was seen of a run.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) asked: Vec<Asked>,
    pub(crate) watched: Vec<Watched>,
    pub(crate) leases: Vec<Life>,
    /// What each member has at the end.
    pub(crate) ends: Vec<Vec<Seen>>,
    /// What was found wrong on the way.
    pub(crate) wrong: Vec<String>,
}

/// Judges.
pub(crate) fn judge(evidence: &Evidence) -> Verdict {
    let mut wrong = evidence.wrong.clone();
    let log = merged(&evidence.watched, &mut wrong);
    let judge = Judge::new(&evidence.asked, &log);
    few(&mut wrong, judge.changes());
    few(&mut wrong, judge.reads());
    few(&mut wrong, judge.real_time());
    few(&mut wrong, judge.serializable());
    few(&mut wrong, ends(&evidence.ends, &judge));
    few(&mut wrong, evidence.leases.iter().flat_map(lease).collect());
    match check(&judge.history(), Limits { time: SEARCH, ..Limits::default() }) {
        mainstay_checker::Verdict::Linearizable => {}
        mainstay_checker::Verdict::Not(violation) => wrong.push(format!("not linearizable: {violation}")),
        mainstay_checker::Verdict::Undecided(keys) if wrong.is_empty() => {
            return Verdict::Undecided(format!("no order was found in time for {} keys", keys.len()));
        }
        mainstay_checker::Verdict::Undecided(_) => {}
    }
    if wrong.is_empty() { Verdict::Good } else { Verdict::Bad(wrong) }
}

fn few(wrong: &mut Vec<String>, found: Vec<String>) {
    let more = found.len().saturating_sub(TOLD_MAX);
    wrong.extend(found.into_iter().take(TOLD_MAX));
    if more > 0 {
        wrong.push(format!("and {more} more of the kind"));
    }
}

/// What the watches of all members brought. Each must have brought the same.
fn merged(watched: &[Watched], wrong: &mut Vec<String>) -> Log {
    let mut all = Log::new();
    for watched in watched {
        few(wrong, watched.wrong.clone());
        for (revision, changes) in &watched.log {
            let known = all.entry(*revision).or_insert_with(|| changes.clone());
            if known != changes {
                wrong.push(format!("watches brought two different things for {revision}: {known:?} and {changes:?}"));
            }
        }
    }
    for (member, watched) in watched.iter().enumerate() {
        let missed = all.keys().filter(|revision| !watched.log.contains_key(revision));
        let missed = missed.map(|revision| format!("the watch at n{} never brought {revision}", member + 1));
        few(wrong, missed.collect());
    }
    all
}

struct Judge<'a> {
    asked: &'a [Asked],
    log: &'a Log,
    /// Of each key its changes.
    keys: HashMap<&'a str, Vec<(i64, &'a Value)>>,
    /// Where each value came about.
    values: HashMap<&'a str, Vec<i64>>,
}

impl<'a> Judge<'a> {
    fn new(asked: &'a [Asked], log: &'a Log) -> Self {
        let mut keys: HashMap<&str, Vec<(i64, &Value)>> = HashMap::new();
        let mut values: HashMap<&str, Vec<i64>> = HashMap::new();
        for (revision, changes) in log {
            for (key, value) in changes {
                keys.entry(key).or_default().push((*revision, value));
                if let Some(value) = value {
                    values.entry(value).or_default().push(*revision);
                }
            }
        }
        Self { asked, log, keys, values }
    }

    /// What a key was at a revision.
    fn at(&self, key: &str, revision: i64) -> Seen {
        let changes = self.keys.get(key).map(Vec::as_slice).unwrap_or_default();
        let upto = changes.partition_point(|(at, _)| *at <= revision);
        let (modified, value) = upto.checked_sub(1).map_or((0, None), |at| (changes[at].0, changes[at].1.clone()));
        Seen { key: key.to_owned(), modified: if value.is_some() { modified } else { 0 }, value }
    }

    /// At which revision a change happened that nobody knows the end of, if it did. Deletions are all alike, and are found
    /// otherwise.
    fn happened(&self, asked: &Asked) -> Option<i64> {
        let Ask::Change { changes, .. } = &asked.ask else { return None };
        let value = changes.iter().find_map(|(_, value)| value.as_deref())?;
        self.values.get(value)?.first().copied()
    }

    /// Every change that was acknowledged is there, once, and nothing else is.
    fn changes(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut owners: BTreeMap<i64, &Asked> = BTreeMap::new();
        let mut may_delete: HashMap<&str, u64> = HashMap::new();
        for asked in self.asked {
            let Ask::Change { changes, .. } = &asked.ask else { continue };
            let wanted: BTreeMap<_, _> = changes.iter().cloned().collect();
            match &asked.said {
                Said::Done(Done { revision, changed: true, .. }) => {
                    match self.log.get(revision) {
                        None => wrong.push(format!("acknowledged at {revision} and nowhere: {}", told(asked))),
                        Some(is) if *is != wanted => {
                            wrong
                                .push(format!("{revision} is {is:?} and was acknowledged as another: {}", told(asked)));
                        }
                        Some(_) => {}
                    }
                    if let Some(other) = owners.insert(*revision, asked) {
                        let (one, other) = (told(asked), told(other));
                        wrong.push(format!("{revision} was told of two changes: {one}, and {other}"));
                    }
                }
                Said::Unknown(_) => match self.happened(asked) {
                    Some(at) if self.log.get(&at) == Some(&wanted) => _ = owners.insert(at, asked),
                    Some(at) => wrong.push(format!("a part of it happened at {at}: {}", told(asked))),
                    None if changes[0].1.is_none() => *may_delete.entry(&changes[0].0).or_default() += 1,
                    None => {}
                },
                Said::Refused(_) | Said::Done(_) => {
                    if let Some(at) = self.happened(asked) {
                        wrong.push(format!("it happened at {at} and was answered that it did not: {}", told(asked)));
                    }
                }
            }
        }
        for (value, revisions) in self.values.iter().filter(|(_, revisions)| revisions.len() > 1) {
            wrong.push(format!("{value} came about {} times, at {revisions:?}", revisions.len()));
        }
        for (revision, changes) in self.log.iter().filter(|(revision, _)| !owners.contains_key(revision)) {
            let deleted = changes.iter().next().filter(|(_, value)| changes.len() == 1 && value.is_none());
            match deleted.and_then(|(key, _)| may_delete.get_mut(key.as_str())) {
                Some(left @ 1..) => *left -= 1,
                _ => wrong.push(format!("nobody asked for what happened at {revision}: {changes:?}")),
            }
        }
        wrong
    }

    /// Every read is what the changes up to its revision come to, and every comparison was decided by it.
    fn reads(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for asked in self.asked {
            let Some(done) = asked.done() else { continue };
            for seen in &done.seen {
                let is = self.at(&seen.key, done.revision);
                if *seen != is {
                    wrong.push(format!("at {} {} was {is:?}: {}", done.revision, seen.key, told(asked)));
                }
            }
            if let Ask::Change { expected: Some((key, expected)), .. } = &asked.ask {
                let found = self.at(key, done.revision - i64::from(done.changed)).value;
                if (found == *expected) != done.changed {
                    wrong.push(format!("{key} was {found:?} before {}: {}", done.revision, told(asked)));
                }
            }
        }
        wrong
    }

    /// Whoever asks after another was answered is later by revision too.
    fn real_time(&self) -> Vec<String> {
        let mut all = Vec::new();
        for asked in self.asked {
            match &asked.said {
                _ if matches!(asked.ask, Ask::Get { serializable: true, .. }) => {}
                Said::Done(done) => all.push((asked, done.revision, done.changed, Some(asked.returned))),
                Said::Unknown(_) => all.extend(self.happened(asked).map(|at| (asked, at, true, None))),
                Said::Refused(_) => {}
            }
        }
        backwards(all)
    }

    /// A member never goes back in one life, also where a read is not linearizable.
    fn serializable(&self) -> Vec<String> {
        let mut lives: BTreeMap<(usize, u64), Vec<_>> = BTreeMap::new();
        for asked in self.asked {
            if let (Ask::Get { serializable: true, .. }, Some(life), Some(done)) =
                (&asked.ask, asked.life, asked.done())
            {
                let read = (asked, done.revision, false, Some(asked.returned));
                lives.entry((asked.member, life)).or_default().push(read);
            }
        }
        lives.into_values().flat_map(backwards).collect()
    }

    /// The history without revisions. What nobody knows the end of and no watch brought did not happen, or a read shows it.
    fn history(&self) -> History {
        let operations = self.asked.iter().filter_map(|asked| {
            let outcome = outcome(asked)?;
            let gone = outcome == Outcome::Unknown && deletes(asked).is_none() && self.happened(asked).is_none();
            let operation = Operation {
                client: asked.client as u64,
                called: asked.called,
                returned: asked.returned,
                call: call(&asked.ask),
                outcome,
            };
            (!gone).then_some(operation)
        });
        History { operations: operations.collect() }
    }
}

/// The key that it deletes, if it deletes one.
fn deletes(asked: &Asked) -> Option<&str> {
    match &asked.ask {
        Ask::Change { expected: None, changes } if changes[0].1.is_none() => Some(&changes[0].0),
        _ => None,
    }
}

/// Those that are earlier by revision than what had been answered before they were asked.
fn backwards(mut all: Vec<(&Asked, i64, bool, Option<Moment>)>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut ends: Vec<_> =
        all.iter().filter_map(|(asked, revision, _, end)| Some(((*end)?, *revision, *asked))).collect();
    ends.sort_by_key(|(end, ..)| *end);
    all.sort_by_key(|(asked, ..)| asked.called);
    let mut ended = ends.into_iter().peekable();
    let mut newest: Option<(i64, &Asked)> = None;
    for (asked, revision, changed, _) in all {
        while let Some((_, at, by)) = ended.next_if(|(end, ..)| *end < asked.called) {
            newest = newest.filter(|(newest, _)| *newest >= at).or(Some((at, by)));
        }
        if let Some((at, by)) = newest.filter(|(at, _)| revision < *at + i64::from(changed)) {
            wrong.push(format!("{revision} after {at} had been answered: {}, after {}", told(asked), told(by)));
        }
    }
    wrong
}

/// One question in a line.
fn told(asked: &Asked) -> String {
    let Asked { client, member, called, returned, ask, said, .. } = asked;
    format!("client {client} at n{} from {called} to {returned} µs {ask:?}: {said}", member + 1)
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn value(value: &Value) -> Option<Bytes> {
    value.as_deref().map(bytes)
}

/// A question as the checker knows it.
fn call(ask: &Ask) -> Call {
    let get = |key: &String| Call::Get { key: bytes(key) };
    let change = |(key, value): &(String, Value)| match value {
        Some(value) => Call::Put { key: bytes(key), value: bytes(value) },
        None => Call::Delete { key: bytes(key) },
    };
    match ask {
        Ask::Get { keys, .. } if keys.len() == 1 => get(&keys[0]),
        Ask::Get { keys, .. } => {
            Call::Transaction { compares: vec![], then: keys.iter().map(get).collect(), otherwise: vec![] }
        }
        Ask::Change { expected: None, changes } if changes.len() == 1 => change(&changes[0]),
        Ask::Change { expected, changes } => {
            let compare =
                |(key, expected): &(String, Value)| Compare { key: bytes(key), equal: true, value: value(expected) };
            Call::Transaction {
                compares: expected.iter().map(compare).collect(),
                then: changes.iter().map(change).collect(),
                otherwise: changes.iter().map(|(key, _)| get(key)).collect(),
            }
        }
    }
}

/// An answer as the checker knows it; none where it says nothing of what is linearizable.
fn outcome(asked: &Asked) -> Option<Outcome> {
    let done = match &asked.said {
        Said::Unknown(_) => return Some(Outcome::Unknown),
        Said::Refused(_) => return Some(Outcome::Refused),
        Said::Done(done) => done,
    };
    let seen = || done.seen.iter().map(|seen| Outcome::Value(value(&seen.value)));
    match &asked.ask {
        Ask::Get { serializable: true, .. } => None,
        Ask::Get { keys, .. } if keys.len() == 1 => seen().next(),
        Ask::Get { .. } => Some(Outcome::Transaction { held: true, answers: seen().collect() }),
        Ask::Change { expected: None, changes } if changes.len() == 1 => {
            Some(if changes[0].1.is_some() { Outcome::Done } else { Outcome::Was(done.changed) })
        }
        Ask::Change { changes, .. } => {
            let answers = if done.changed { vec![Outcome::Done; changes.len()] } else { seen().collect() };
            Some(Outcome::Transaction { held: done.changed, answers })
        }
    }
}

/// At the end every member has what the changes came to.
fn ends(ends: &[Vec<Seen>], judge: &Judge<'_>) -> Vec<String> {
    let last: Vec<_> =
        judge.keys.keys().map(|key| judge.at(key, i64::MAX)).filter(|seen| seen.value.is_some()).collect();
    let mut wrong = Vec::new();
    for (member, end) in ends.iter().enumerate() {
        let is: HashMap<_, _> = end.iter().map(|seen| (seen.key.as_str(), seen)).collect();
        for seen in &last {
            if is.get(seen.key.as_str()) != Some(&seen) {
                let (key, is) = (&seen.key, is.get(seen.key.as_str()));
                wrong.push(format!("at the end n{} has {is:?} for {key}, and it should be {seen:?}", member + 1));
            }
        }
        if end.len() > last.len() {
            wrong.push(format!(
                "at the end n{} has {} keys, and there should be {}",
                member + 1,
                end.len(),
                last.len()
            ));
        }
    }
    wrong
}

/// A lease that is kept alive lives, and one that has ended stays so.
fn lease(life: &Life) -> Vec<String> {
    let mut wrong = Vec::new();
    let Life { key, ttl, .. } = life;
    // When its key was seen gone first, and when a sign of life came too late.
    let gone = life.looked.iter().filter(|(.., there)| !there).map(|(_, returned, _)| *returned).min();
    let refused = life.kept.iter().filter(|(.., left)| *left == Some(0)).map(|(_, returned, _)| *returned).min();
    let ended = gone.into_iter().chain(refused).min().unwrap_or(Moment::MAX);
    for (called, _, there) in &life.looked {
        // One whose end is being agreed on takes no sign of life, and may still be there for a moment.
        if let Some(gone) = gone.filter(|gone| *there && called > gone) {
            wrong.push(format!("{key} is there again at {called} µs, and was gone at {gone} µs"));
        }
    }
    for (called, _, left) in &life.kept {
        if left.is_some_and(|left| left > 0) && *called > ended {
            wrong.push(format!("the lease of {key} lives at {called} µs by the answer, and had ended at {ended} µs"));
        }
    }
    let signs = life.kept.iter().filter(|(.., left)| left.is_some_and(|left| left > 0)).map(|(called, ..)| *called);
    let signs: Vec<_> = std::iter::once(life.there).chain(signs).collect();
    for (called, returned, there) in &life.looked {
        // The first sign is the grant itself, of which only the end of putting the key is known: it says nothing here.
        let alive = signs.iter().skip(1).any(|sign| sign <= called && *returned < sign + ttl);
        if !there && alive {
            wrong.push(format!("{key} is gone at {returned} µs, within its length of a sign of life: {:?}", life.kept));
        }
    }
    if life.never_ended {
        wrong.push(format!("{key} is still there long after its last sign of life"));
    }
    wrong
}

#[cfg(test)]
mod tests;
