//! What one proxy did in one scenario, in figures that can be added up over runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::books::{Arrival, Books};
use super::samples::{Count, Latencies, Sample};

/// From this long after a fault's beginning no false answer may reach a caller, in milliseconds.
const FALSE_UNTIL: f64 = 2000.0;
/// What is looked at when the time to normal is measured, in milliseconds.
const WINDOW: f64 = 100.0;
/// So many windows in a row must be well.
const WELL_WINDOWS: usize = 5;

/// When what happened, in milliseconds of civil time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// The fault, or the surge, began.
    pub(super) begin: f64,
    /// It was over.
    pub(super) end: f64,
}

/// Everything that is kept of a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) gets: Count,
    pub(super) posts: Count,
    /// Of the good ones.
    pub(super) latency: Latencies,
    /// How the requests ended, by method.
    pub(super) ends: BTreeMap<String, u64>,
    /// Requests that instances read.
    pub(super) arrived: u64,
    /// POSTs that instances read more than once, by their ids.
    pub(super) posts_twice: Vec<String>,
    /// False answers later than may be.
    pub(super) false_late: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) back: Option<Back>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) surge: Option<Surge>,
    pub(super) memory: Memory,
    pub(super) cores: Cores,
    /// Why requests were not good.
    pub(super) bad: Vec<Reason>,
    /// Why good ones were slow.
    pub(super) slow: Vec<Reason>,
    /// What else Mainstay counted: retries, ejections, refusals.
    #[serde(default)]
    pub(super) counted: BTreeMap<String, u64>,
    /// Of Mainstay: every attempt, by three who know of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) books: Option<Account>,
}

/// The books of attempts, in sums.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Account {
    /// Attempts in the access log, and in the metrics.
    pub(super) logged: u64,
    pub(super) counted: u64,
    /// Attempts whose request was written, and what instances read of them.
    pub(super) written: u64,
    pub(super) arrived: u64,
    /// Written and never read by an instance that was down.
    pub(super) never_read: u64,
    /// Attempts that were open on an instance while it was down.
    pub(super) open: u64,
    /// Those that were never read, one by one, as far as they are few.
    pub(super) lost: Vec<String>,
    /// Whatever does not add up.
    pub(super) problems: Vec<String>,
}

/// Problems and lost attempts that are kept one by one.
const LISTED: usize = 20;

impl From<Books> for Account {
    fn from(books: Books) -> Self {
        let lost = books.open.iter().filter(|open| !open.arrived).map(|open| open.attempt.to_string());
        Self {
            logged: books.logged,
            counted: books.counted,
            written: books.written,
            arrived: books.arrived,
            never_read: books.without_line() as u64,
            open: books.open.len() as u64,
            lost: lost.take(LISTED).collect(),
            problems: books.problems.iter().take(LISTED).cloned().collect(),
        }
    }
}

impl Account {
    fn add(&mut self, other: &Self) {
        self.logged += other.logged;
        self.counted += other.counted;
        self.written += other.written;
        self.arrived += other.arrived;
        self.never_read += other.never_read;
        self.open += other.open;
        self.lost.extend_from_slice(&other.lost);
        self.problems.extend_from_slice(&other.problems);
    }
}

/// After everything was down.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Back {
    /// Due within a second after all were back.
    pub(super) first_second: Count,
    /// Due from then on.
    pub(super) then: Count,
}

/// More than can be done.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Surge {
    /// Good answers while it lasted, but for its first second.
    pub(super) good: u64,
    /// How long that was.
    pub(super) seconds: f64,
    /// Latencies of what was answered well.
    pub(super) admitted: Latencies,
    /// And of what was refused.
    pub(super) refused: Latencies,
    /// What got no answer.
    pub(super) unanswered: u64,
    /// Seconds from its end until callers felt nothing of it; none when that never came.
    pub(super) normal_after: Option<f64>,
}

impl Surge {
    pub(super) fn good_per_second(&self) -> f64 {
        self.good as f64 / self.seconds
    }
}

/// Of the proxy, resident, in KiB.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Memory {
    pub(super) before: u64,
    pub(super) peak: u64,
    pub(super) after: u64,
    /// Of what came in between: what Mainstay had set aside for records, and has used.
    #[serde(default)]
    pub(super) records: u64,
}

impl Memory {
    /// From readings at seconds since the load began.
    pub(super) fn of(readings: &[(f64, u64)], fault_at: f64) -> Self {
        let before = readings.iter().rev().find(|(at, _)| *at < fault_at).map_or(0, |(_, kib)| *kib);
        let peak = readings.iter().map(|(_, kib)| *kib).max().unwrap_or(0);
        Self { before, peak, after: readings.last().map_or(0, |(_, kib)| *kib), records: 0 }
    }

    /// Without the records, which have a bound of their own.
    pub(super) fn growth(self) -> i64 {
        self.after as i64 - self.before as i64 - self.records as i64
    }
}

/// Cores kept busy by each part, on average.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Cores {
    pub(super) proxy: f64,
    pub(super) load: f64,
    pub(super) instances: f64,
}

/// Requests that have the same story.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Reason {
    pub(super) what: String,
    pub(super) count: u64,
    /// When the first and the last of them were due, in seconds from the fault's beginning.
    pub(super) from: f64,
    pub(super) to: f64,
    /// Of a few of them.
    pub(super) stories: Vec<String>,
}

impl Figures {
    /// What callers and instances saw.
    pub(super) fn of(samples: &[Sample], arrivals: &[Arrival], times: Times) -> Self {
        let answered_false_late =
            |sample: &&Sample| sample.end == "wrong answer" && sample.due + sample.took > times.begin + FALSE_UNTIL;
        let mut ends = BTreeMap::new();
        for sample in samples {
            *ends.entry(format!("{} {}", sample.method, sample.end)).or_default() += 1;
        }
        Self {
            gets: Count::of(samples, |sample| sample.method == "GET"),
            posts: Count::of(samples, |sample| sample.method == "POST"),
            latency: Latencies::of(samples, Sample::is_good),
            ends,
            arrived: arrivals.len() as u64,
            posts_twice: read_twice(arrivals),
            false_late: samples.iter().filter(answered_false_late).count() as u64,
            ..Self::default()
        }
    }

    pub(super) fn all(&self) -> Count {
        let mut all = self.gets;
        all.add(self.posts);
        all
    }

    pub(super) fn attempts_per_call(&self) -> f64 {
        self.arrived as f64 / self.all().requests as f64
    }

    /// Takes another run's figures in.
    pub(super) fn add(&mut self, other: &Self) {
        self.gets.add(other.gets);
        self.posts.add(other.posts);
        self.latency.add(&other.latency);
        sum(&mut self.ends, &other.ends);
        self.arrived += other.arrived;
        self.posts_twice.extend_from_slice(&other.posts_twice);
        self.false_late += other.false_late;
        if let (Some(back), Some(more)) = (&mut self.back, &other.back) {
            back.first_second.add(more.first_second);
            back.then.add(more.then);
        }
        if let (Some(surge), Some(more)) = (&mut self.surge, &other.surge) {
            surge.add(more);
        }
        // Of memory and time to normal the worst run counts; of CPU time the last one is as good as any.
        if other.memory.growth() > self.memory.growth() {
            self.memory = other.memory;
        }
        self.cores = other.cores;
        add_reasons(&mut self.bad, &other.bad);
        add_reasons(&mut self.slow, &other.slow);
        sum(&mut self.counted, &other.counted);
        if let (Some(books), Some(more)) = (&mut self.books, &other.books) {
            books.add(more);
        }
    }
}

impl Surge {
    /// What came of the requests while it lasted and after.
    pub(super) fn of(samples: &[Sample], times: Times) -> Self {
        let from = times.begin + 1000.0;
        let within = |sample: &Sample| (from..times.end).contains(&sample.due);
        let seconds = (times.end - from) / 1000.0;
        let admitted = |sample: &Sample| sample.is_good() || sample.end == "late";
        let unanswered = |sample: &&Sample| within(sample) && !admitted(sample) && !sample.is_refused();
        Self {
            good: Count::of(samples, within).good,
            seconds,
            admitted: Latencies::of(samples, |sample| within(sample) && admitted(sample)),
            refused: Latencies::of(samples, |sample| within(sample) && sample.is_refused()),
            unanswered: samples.iter().filter(unanswered).count() as u64,
            normal_after: normal_after(samples, times),
        }
    }

    fn add(&mut self, other: &Self) {
        self.good += other.good;
        self.seconds += other.seconds;
        self.admitted.add(&other.admitted);
        self.refused.add(&other.refused);
        self.unanswered += other.unanswered;
        self.normal_after = self.normal_after.zip(other.normal_after).map(|(one, another)| one.max(another));
    }
}

impl Back {
    /// From when all were back.
    pub(super) fn of(samples: &[Sample], times: Times) -> Self {
        let second = times.end..times.end + 1000.0;
        Self {
            first_second: Count::of(samples, |sample| second.contains(&sample.due)),
            then: Count::of(samples, |sample| sample.due >= second.end),
        }
    }
}

/// Seconds until callers felt what they had felt before: 99 of 100 good, and the median no more than twice as long.
fn normal_after(samples: &[Sample], times: Times) -> Option<f64> {
    let before = Latencies::of(samples, |sample| sample.due < times.begin && sample.is_good());
    let usual = before.quantile(0.5)?;
    let last = samples.iter().fold(times.end, |last: f64, sample| last.max(sample.due));
    let windows = ((last - times.end) / WINDOW) as usize;
    let well = |window: usize| {
        let from = times.end + window as f64 * WINDOW;
        let within = |sample: &Sample| (from..from + WINDOW).contains(&sample.due);
        let count = Count::of(samples, within);
        let median = Latencies::of(samples, |sample| within(sample) && sample.is_good()).quantile(0.5);
        count.good * 100 >= count.requests * 99 && median.is_some_and(|median| median <= 2.0 * usual)
    };
    let all: Vec<bool> = (0..windows).map(well).collect();
    let first = all.windows(WELL_WINDOWS).position(|some| some.iter().all(|&well| well))?;
    Some(first as f64 * WINDOW / 1000.0)
}

fn read_twice(arrivals: &[Arrival]) -> Vec<String> {
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    for arrival in arrivals.iter().filter(|arrival| arrival.method == "POST") {
        *times.entry(&arrival.id).or_default() += 1;
    }
    times.into_iter().filter(|(_, times)| *times > 1).map(|(id, _)| id.to_owned()).collect()
}

fn sum(all: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (name, count) in more {
        *all.entry(name.clone()).or_default() += count;
    }
}

/// Stories kept for a reason.
pub(super) const STORIES: usize = 3;

fn add_reasons(all: &mut Vec<Reason>, more: &[Reason]) {
    for reason in more {
        match all.iter_mut().find(|known| known.what == reason.what) {
            Some(known) => {
                known.count += reason.count;
                known.from = known.from.min(reason.from);
                known.to = known.to.max(reason.to);
                let room = STORIES.saturating_sub(known.stories.len());
                known.stories.extend(reason.stories.iter().take(room).cloned());
            }
            None => all.push(reason.clone()),
        }
    }
    all.sort_by_key(|reason| std::cmp::Reverse(reason.count));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(number: u32, due: f64, took: f64, end: &str) -> Sample {
        let method = if number.is_multiple_of(20) { "POST" } else { "GET" };
        Sample { id: format!("storm-{number}"), method: method.to_owned(), due, took, end: end.to_owned() }
    }

    fn came(ids: &[(&str, &str)]) -> Vec<Arrival> {
        let arrival = |&(id, method): &(&str, &str)| Arrival {
            endpoint: "127.0.0.1:1".to_owned(),
            id: id.to_owned(),
            method: method.to_owned(),
        };
        ids.iter().map(arrival).collect()
    }

    const TIMES: Times = Times { begin: 5000.0, end: 15_000.0 };

    #[test]
    fn a_post_that_is_read_twice_is_found_and_a_get_may_be() {
        let arrivals = came(&[("a", "GET"), ("a", "GET"), ("b", "POST"), ("c", "POST"), ("c", "POST")]);
        let figures = Figures::of(&[sample(1, 0.0, 10.0, "good")], &arrivals, TIMES);
        assert_eq!(figures.posts_twice, ["c"]);
        assert_eq!(figures.attempts_per_call(), 5.0);
    }

    #[test]
    fn a_false_answer_counts_by_when_it_came() {
        let samples = [
            sample(1, 6000.0, 10.0, "wrong answer"),
            sample(2, 6900.0, 200.0, "wrong answer"),
            sample(3, 9000.0, 10.0, "wrong answer"),
        ];
        assert_eq!(Figures::of(&samples, &[], TIMES).false_late, 2);
    }

    #[test]
    fn what_was_good_before_a_surge_is_normal_after_it() {
        let calm = |from: u32, to: u32| (from..to).map(|n| sample(n, f64::from(n), 12.0, "good"));
        let mut samples: Vec<Sample> = calm(0, 5000).collect();
        samples.extend((15_000..15_400).map(|n| sample(n, f64::from(n), 500.0, "good")));
        samples.extend(calm(15_400, 20_000));
        assert_eq!(normal_after(&samples, TIMES), Some(0.4));
        samples.retain(|sample| sample.due < 15_400.0);
        assert_eq!(normal_after(&samples, TIMES), None);
    }

    #[test]
    fn runs_add_up() {
        let reason = |count| Reason {
            what: "GET: timeout".to_owned(),
            count,
            from: count as f64,
            to: count as f64 + 1.0,
            stories: vec!["x".to_owned(); 2],
        };
        let mut sum = Figures { bad: vec![reason(2)], ..Figures::of(&[sample(1, 0.0, 10.0, "good")], &[], TIMES) };
        sum.add(&Figures { bad: vec![reason(5)], ..Figures::of(&[sample(20, 0.0, 10.0, "late")], &[], TIMES) });
        assert_eq!(sum.all(), Count { requests: 2, good: 1 });
        assert_eq!((sum.bad[0].count, sum.bad[0].from, sum.bad[0].to), (7, 2.0, 6.0));
        assert_eq!(sum.bad[0].stories.len(), STORIES);
    }
}
