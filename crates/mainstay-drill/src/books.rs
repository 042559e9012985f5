//! What a play came to, from what callers, instances and the gateway say of it: the load's samples, the lines that
//! instances append on reading a request, the gateway's counters.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use hdrhistogram::Histogram;
use mainstay_sim::report::{Counted, InstanceLine, Second};
use mainstay_sim::verdict::{STEP, Step};

use crate::load::{Taken, histogram};
use crate::look::{Counters, Seen};
use crate::trouble::{Outcome, while_doing};

/// Steps in which recovery is measured.
const STEPS_PER_SECOND: usize = (1_000_000_000 / STEP.as_nanos()) as usize;

/// Latencies of good answers.
#[derive(Debug, Clone)]
struct Latencies(Histogram<u32>);

impl Latencies {
    fn new(figures: u8) -> Self {
        Self(histogram(figures))
    }

    fn add(&mut self, millis: f64) {
        self.0.saturating_record(((millis * 1e3) as u64).max(1));
    }

    fn at(&self, quantile: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(quantile) as f64 / 1e3)
    }
}

/// What callers had.
#[derive(Debug)]
pub(crate) struct Callers {
    pub(crate) requests: u64,
    pub(crate) good: u64,
    /// Answers that an instance gave, good or not.
    pub(crate) answered: u64,
    latency: Latencies,
    failures: BTreeMap<String, u64>,
    seconds: Vec<Line>,
    /// All of the play, warm-up too.
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug)]
struct Line {
    requests: u64,
    good: u64,
    latency: Latencies,
    /// Calls that were due up to its end, and those of them that had ended.
    begun: i64,
    ended: i64,
}

impl Callers {
    /// Callers of a play of so many seconds, of which the first `warmup` are not counted in sums.
    pub(crate) fn new(seconds: usize) -> Self {
        let line = || Line { requests: 0, good: 0, latency: Latencies::new(2), begun: 0, ended: 0 };
        Self {
            requests: 0,
            good: 0,
            answered: 0,
            latency: Latencies::new(3),
            failures: BTreeMap::new(),
            seconds: std::iter::repeat_with(line).take(seconds).collect(),
            steps: vec![Step::default(); seconds * STEPS_PER_SECOND],
        }
    }

    /// Reads what came of each request of a load.
    pub(crate) fn read(&mut self, path: &Path, warmup: f64) -> Outcome {
        let doing = || while_doing(format!("reading {}", path.display()));
        for taken in Taken::all(path).map_err(doing())? {
            self.take(&taken.map_err(doing())?, warmup);
        }
        Ok(())
    }

    fn take(&mut self, taken: &Taken, warmup: f64) {
        let good = taken.is_good();
        if taken.due_ms >= warmup * 1e3 {
            self.requests += 1;
            self.good += u64::from(good);
            self.answered += u64::from(good || taken.end == "wrong answer" || taken.end == "late");
            if good {
                self.latency.add(taken.took_ms);
            } else {
                *self.failures.entry(taken.end.clone()).or_default() += 1;
            }
        }
        let last = self.seconds.len().saturating_sub(1);
        let second = |millis: f64| ((millis / 1e3) as usize).min(last);
        let (due, end) = (second(taken.due_ms), second(taken.due_ms + taken.took_ms));
        if let Some(step) = self.steps.get_mut((taken.due_ms / (STEP.as_secs_f64() * 1e3)) as usize) {
            step.due += 1;
            step.good += u32::from(good);
        }
        let Some(line) = self.seconds.get_mut(due) else { return };
        line.requests += 1;
        line.begun += 1;
        line.good += u64::from(good);
        if good {
            line.latency.add(taken.took_ms);
        }
        if taken.due_ms + taken.took_ms < (last + 1) as f64 * 1e3 {
            self.seconds[end].ended += 1;
        }
    }

    pub(crate) fn quantile(&self, quantile: f64) -> Option<f64> {
        self.latency.at(quantile)
    }

    pub(crate) fn failures(&self) -> Vec<Counted> {
        let counted = |(what, count): (&String, &u64)| Counted { what: what.clone(), count: *count };
        let mut failures: Vec<Counted> = self.failures.iter().map(counted).collect();
        failures.sort_by_key(|failure| std::cmp::Reverse(failure.count));
        failures
    }

    /// Second by second, with what the gateway says of each.
    pub(crate) fn timeline(&self, seen: &Seen) -> Vec<Second> {
        let mut under_way = 0;
        let mut before = &seen.first;
        let nothing = crate::look::Look::default();
        let second = |(number, line): (usize, &Line)| {
            let look = seen.seconds.get(number).unwrap_or(&nothing);
            let counters = seen.seconds.get(number).map_or(before, |look| &look.counters);
            let grown = |of: fn(&Counters) -> f64| (of(counters) - of(before)).max(0.0) as u64;
            under_way += line.begun - line.ended;
            let second = Second {
                second: number as u64,
                requests: line.requests,
                good: line.good,
                refused: grown(|counters| counters.refused),
                attempts: grown(all_attempts),
                retries: grown(|counters| counters.retries),
                p50_ms: line.latency.at(0.5),
                p99_ms: line.latency.at(0.99),
                in_flight: u64::try_from(under_way).unwrap_or(0),
                usable: look.usable,
                running: None,
                breakers: look.breakers.clone(),
            };
            before = counters;
            second
        };
        self.seconds.iter().enumerate().map(second).collect()
    }
}

pub(crate) fn all_attempts(counters: &Counters) -> f64 {
    counters.attempts.values().fold(0.0, |sum, attempts| sum + attempts)
}

/// What instances wrote down of the load whose ids begin with `prefix`.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// Requests that came, by instance.
    pub(crate) by_instance: Vec<(String, u64)>,
    /// How often each POST came.
    posts: BTreeMap<String, u32>,
}

impl Arrivals {
    /// Reads an instance's file; one that wrote none had no requests.
    pub(crate) fn read(&mut self, name: &str, path: &Path, prefix: &str) -> Outcome {
        let mut count = 0;
        if let Ok(file) = std::fs::File::open(path) {
            for line in BufReader::new(file).lines() {
                let line = line.map_err(while_doing(format_args!("reading {}", path.display())))?;
                let mut words = line.split(' ');
                let (Some(id), Some(method)) = (words.next(), words.next()) else { continue };
                if !id.starts_with(prefix) {
                    continue;
                }
                count += 1;
                if method == "POST" {
                    *self.posts.entry(id.to_owned()).or_default() += 1;
                }
            }
        }
        self.by_instance.push((name.to_owned(), count));
        Ok(())
    }

    pub(crate) fn all(&self) -> u64 {
        self.by_instance.iter().map(|(_, count)| count).sum()
    }

    /// POSTs that came more than once.
    pub(crate) fn duplicated_posts(&self) -> u64 {
        self.posts.values().filter(|times| **times > 1).count() as u64
    }

    /// What each did; `busy` is how long one request keeps a share of an instance's slots busy, in seconds.
    pub(crate) fn lines(&self, busy: impl Fn(&str) -> f64, seconds: f64) -> Vec<InstanceLine> {
        let line = |(name, attempts): &(String, u64)| InstanceLine {
            name: name.clone(),
            attempts: *attempts,
            busy_ratio: (*attempts as f64 * busy(name) / seconds).min(1.0),
            // An instance does not tell.
            queued_ratio: 0.0,
            queue_ms: 0.0,
        };
        self.by_instance.iter().map(line).collect()
    }
}

/// The least loaded endpoint's attempts of the most loaded one's, in the seconds that `calm` names; 1 when there were
/// none. Endpoints of a group are meant to be loaded alike.
pub(crate) fn fairness(seen: &Seen, groups: &[Vec<String>], calm: impl Fn(u64) -> bool) -> f64 {
    let mut attempts: BTreeMap<&str, f64> = BTreeMap::new();
    let mut before = &seen.first;
    for (second, look) in seen.seconds.iter().enumerate() {
        if calm(second as u64) {
            for (endpoint, count) in &look.counters.attempts {
                let grown = count - before.attempts.get(endpoint).copied().unwrap_or(0.0);
                *attempts.entry(endpoint).or_default() += grown;
            }
        }
        before = &look.counters;
    }
    let of = |endpoint: &String| attempts.get(endpoint.as_str()).copied().unwrap_or(0.0);
    let even = |group: &Vec<String>| {
        let most = group.iter().map(of).fold(0.0, f64::max);
        let least = group.iter().map(of).fold(f64::INFINITY, f64::min);
        if most > 0.0 { least / most } else { 1.0 }
    };
    groups.iter().map(even).fold(1.0, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::Look;

    fn taken(due_ms: f64, took_ms: f64, end: &str) -> Taken {
        Taken { id: "d-1".to_owned(), method: "GET".to_owned(), due_ms, took_ms, end: end.to_owned() }
    }

    #[test]
    fn calls_count_in_the_second_in_which_they_were_due_and_are_under_way_until_they_end() {
        let mut callers = Callers::new(3);
        callers.take(&taken(100.0, 5.0, "good"), 0.0);
        callers.take(&taken(900.0, 1500.0, "good"), 0.0);
        callers.take(&taken(1100.0, 100.0, "status 503"), 0.0);
        let timeline = callers.timeline(&Seen::default());
        assert_eq!(
            timeline.iter().map(|s| (s.requests, s.good, s.in_flight)).collect::<Vec<_>>(),
            [(2, 2, 1), (1, 0, 1), (0, 0, 0)]
        );
        assert_eq!((callers.requests, callers.good), (3, 2));
        assert_eq!(callers.failures(), [Counted { what: "status 503".to_owned(), count: 1 }]);
    }

    #[test]
    fn what_is_due_in_the_warm_up_has_its_place_in_the_timeline_and_in_no_sum() {
        let mut callers = Callers::new(2);
        callers.take(&taken(100.0, 5.0, "status 503"), 1.0);
        callers.take(&taken(1100.0, 5.0, "good"), 1.0);
        assert_eq!((callers.requests, callers.good), (1, 1));
        assert_eq!(callers.timeline(&Seen::default())[0].requests, 1);
    }

    #[test]
    fn a_load_is_fair_when_its_least_loaded_endpoint_has_as_much_as_the_most_loaded() {
        let counters =
            |a, b| Counters { attempts: [("a".to_owned(), a), ("b".to_owned(), b)].into(), ..Counters::default() };
        let look = |a, b| Look { counters: counters(a, b), ..Look::default() };
        let seconds = vec![look(10.0, 8.0), look(20.0, 8.0)];
        let seen = Seen { first: counters(0.0, 0.0), seconds, ..Seen::default() };
        let groups = [vec!["a".to_owned(), "b".to_owned()]];
        assert_eq!(fairness(&seen, &groups, |second| second == 0), 0.8);
        assert_eq!(fairness(&seen, &groups, |_| true), 0.4);
        assert_eq!(fairness(&seen, &[], |_| true), 1.0);
    }
}
