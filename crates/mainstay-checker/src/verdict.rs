//! The verdict on a history, and where it is not linearizable the least that shows it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::history::{History, Operation, Outcome, Value};
use crate::model::{Model, State};
use crate::search::{Budget, Found, Limits, Step, Stuck, ends, search};
use crate::text;

/// What is to be said of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// An order explains all answers.
    Linearizable,
    /// None does.
    Not(Box<Violation>),
    /// Memory or time did not suffice for the keys named, and for all others there is an order.
    Undecided(Vec<Bytes>),
}

impl Verdict {
    /// Whether an order explains all answers.
    #[must_use]
    pub const fn is_linearizable(&self) -> bool {
        matches!(self, Self::Linearizable)
    }
}

/// Operations that no order explains. It is shown as text for an engineer to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The keys that they are about.
    pub keys: Vec<Bytes>,
    /// What the keys can have been before the first of them, one value for each key.
    pub before: Vec<Vec<Value>>,
    /// The operations, by when they were called. What ended only after the answer that cannot be explained may have taken
    /// effect or not.
    pub window: Vec<Operation>,
    /// Which of them got the answer that cannot be explained, if all before it can.
    pub unexplained: usize,
    /// What the keys can have been when it took effect at the latest, as far as orders lead there.
    pub possible: Vec<Vec<Value>>,
}

/// Configurations after which the next keys are looked at first: where one order is hard to find, another is often missing.
const ROUNDS: [usize; 2] = [10_000, 300_000];

/// States that a window may begin with; with more it begins where the history does.
const BEFORE_MAX: usize = 16;

/// Configurations that making the window smaller may cost, for each look.
const NARROWING_MAX: usize = 200_000;

/// How long making the window smaller may take; what it is by then is shown.
const NARROWING_TIME: Duration = Duration::from_secs(2);

/// Operations that are shown of a window.
const SHOWN_MAX: usize = 40;

/// Judges a history.
///
/// ```
/// # use mainstay_checker::{History, Limits, Verdict, check};
/// let history = r#"
/// 1  0 10  put x "a"   = done
/// 2  5 20  put x "b"   = done
/// 1 30 40  get x       = "a"
/// 2 50 60  get x       = "b"
/// "#;
/// let verdict = check(&history.parse::<History>()?, Limits::default());
/// let Verdict::Not(violation) = verdict else { panic!("the second get went back") };
/// assert_eq!(violation.before, [[Some("a".into())]]);
/// assert_eq!(violation.window.len(), 1);
/// # Ok::<(), mainstay_checker::NotAHistory>(())
/// ```
#[must_use]
pub fn check(history: &History, limits: Limits) -> Verdict {
    let until = Instant::now() + limits.time;
    let mut open = parts(history);
    for configurations in ROUNDS.into_iter().chain([limits.configurations]) {
        let budget = Budget { configurations: configurations.min(limits.configurations), until };
        let mut left = Vec::new();
        for part in open {
            let mut model = Model::default();
            let steps = steps(history, &part, &mut model);
            let empty = model.empty();
            match search(&mut model, &steps, empty, &budget) {
                Found::Order => {}
                Found::None(stuck) => return Verdict::Not(Box::new(explain(history, model, &steps, &stuck, until))),
                Found::Undecided => left.push(part),
            }
        }
        open = left;
    }
    if open.is_empty() { Verdict::Linearizable } else { Verdict::Undecided(keys_of(history, &open)) }
}

fn keys_of(history: &History, parts: &[Vec<usize>]) -> Vec<Bytes> {
    let mut keys = Vec::new();
    for operation in parts.iter().flatten() {
        history.operations[*operation].call.keys(&mut keys);
    }
    keys.sort();
    keys.dedup();
    keys.into_iter().cloned().collect()
}

/// The operations by the keys that belong together, because some operation is about both.
fn parts(history: &History) -> Vec<Vec<usize>> {
    let mut numbers: HashMap<&Bytes, usize> = HashMap::new();
    let mut joined: Vec<usize> = Vec::new();
    let mut first_keys = Vec::with_capacity(history.operations.len());
    let mut keys = Vec::new();
    for operation in &history.operations {
        keys.clear();
        operation.call.keys(&mut keys);
        let numbers: Vec<usize> = keys
            .iter()
            .map(|key| {
                *numbers.entry(key).or_insert_with(|| {
                    joined.push(joined.len());
                    joined.len() - 1
                })
            })
            .collect();
        for pair in numbers.windows(2) {
            let (a, b) = (root(&mut joined, pair[0]), root(&mut joined, pair[1]));
            joined[a] = b;
        }
        first_keys.push(numbers.first().copied());
    }
    let mut parts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (operation, key) in first_keys.into_iter().enumerate() {
        if let Some(key) = key {
            parts.entry(root(&mut joined, key)).or_default().push(operation);
        }
    }
    parts.into_values().collect()
}

/// Whom a key was joined to in the end; ways are shortened as they are gone.
fn root(joined: &mut [usize], mut key: usize) -> usize {
    while joined[key] != key {
        joined[key] = joined[joined[key]];
        key = joined[key];
    }
    key
}

/// What the search needs: nothing of what certainly did not happen, nor of reads that nobody got an answer to.
fn steps(history: &History, part: &[usize], model: &mut Model) -> Vec<Step> {
    let mut steps = Vec::new();
    for number in part {
        let Operation { called, returned, call, outcome, .. } = &history.operations[*number];
        let is_known = *outcome != Outcome::Unknown;
        if *outcome == Outcome::Refused || (!is_known && call.only_reads()) {
            continue;
        }
        let act = model.act(call, outcome);
        let returned = is_known.then_some(*returned.max(called));
        steps.push(Step { called: *called, returned, act, number: *number });
    }
    steps.sort_by_key(|step| step.called);
    steps
}

/// How everything can have stood when a window begins: the state, and which of those that may have happened had.
type Start = (State, Vec<usize>);

/// Looks for the least that cannot be explained: up to the return at which every order ends, from the last moment before
/// it at which nothing was under way, without the reads that do not matter.
fn explain(history: &History, mut model: Model, steps: &[Step], stuck: &Stuck, until: Instant) -> Violation {
    let until = until.min(Instant::now() + NARROWING_TIME);
    let end = steps[stuck.step].returned.unwrap_or(u64::MAX);
    let mut window: Vec<Step> = steps.iter().filter(|step| step.called <= end).cloned().collect();
    for step in &mut window {
        // What ended later may have taken effect or not.
        step.returned = step.returned.filter(|returned| *returned <= end);
    }
    let fails = |model: &mut Model, window: &[Step], before: &[Start]| {
        before.iter().all(|(state, gone)| {
            let budget = Budget { configurations: NARROWING_MAX, until };
            let steps: Vec<Step> = window.iter().filter(|step| !gone.contains(&step.number)).cloned().collect();
            matches!(search(model, &steps, state.clone(), &budget), Found::None(_))
        })
    };
    let mut before = vec![(model.empty(), Vec::new())];
    if let Some((from, states)) = cut(&mut model, &window, &steps[stuck.step], until) {
        let later: Vec<Step> =
            window.iter().filter(|step| step.returned.is_none_or(|returned| returned >= from)).cloned().collect();
        if fails(&mut model, &later, &states) {
            let happened_in_all = |step: &Step| states.iter().all(|(_, gone)| gone.contains(&step.number));
            window = later.into_iter().filter(|step| !happened_in_all(step)).collect();
            before = states;
        }
    }
    let number = steps[stuck.step].number;
    for place in (0..window.len()).rev() {
        let step = &window[place];
        if step.number != number && history.operations[step.number].call.only_reads() {
            let mut less = window.clone();
            less.remove(place);
            if fails(&mut model, &less, &before) {
                window = less;
            }
        }
    }
    let states = |states: Vec<&State>| {
        let values = |state: &State| state.iter().map(|id| model.value_of(*id)).collect::<Vec<_>>();
        let mut all: Vec<Vec<Value>> = states.into_iter().map(values).collect();
        all.sort();
        all.dedup();
        all
    };
    Violation {
        keys: model.names().to_vec(),
        before: states(before.iter().map(|(state, _)| state).collect()),
        possible: states(stuck.states.iter().collect()),
        unexplained: window.iter().position(|step| step.number == number).unwrap_or(0),
        window: window.iter().map(|step| history.operations[step.number].clone()).collect(),
    }
}

/// The last moment before a step at which nothing was under way whose end is known, and how everything can have stood
/// then.
fn cut(model: &mut Model, window: &[Step], before: &Step, until: Instant) -> Option<(u64, Vec<Start>)> {
    let is_quiet = |at: u64| !window.iter().any(|step| step.called < at && step.returned.is_some_and(|end| end >= at));
    let at = window.iter().map(|step| step.called).filter(|at| *at <= before.called && is_quiet(*at)).max()?;
    let earlier: Vec<Step> = window.iter().filter(|step| step.called < at).cloned().collect();
    let budget = Budget { configurations: NARROWING_MAX, until };
    let empty = model.empty();
    let ends = ends(model, &earlier, empty, &budget, BEFORE_MAX)?;
    let gone = |left: Vec<usize>| {
        let is_gone = |place: &usize| !left.contains(place);
        (0..earlier.len()).filter(is_gone).map(|place| earlier[place].number).collect()
    };
    Some((at, ends.into_iter().map(|(state, left)| (state, gone(left))).collect()))
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.keys.iter().map(text::word).collect();
        let count = match self.window.len() {
            1 => "this operation".to_owned(),
            more => format!("these {more} operations"),
        };
        writeln!(f, "no order explains {count} on {}:", keys.join(", "))?;
        writeln!(f, "  before: {}", self.states(&self.before))?;
        let skipped = self.window.len().saturating_sub(SHOWN_MAX);
        if skipped > 0 {
            writeln!(f, "  … {skipped} more")?;
        }
        for (place, operation) in self.window.iter().enumerate().skip(skipped) {
            let mark = if place == self.unexplained { '>' } else { ' ' };
            writeln!(f, "{mark} {}", text::line(operation))?;
        }
        write!(f, "  by the end of > it could only be: {}", self.states(&self.possible))
    }
}

impl Violation {
    /// Every state in words.
    fn states(&self, states: &[Vec<Value>]) -> String {
        let state = |values: &Vec<Value>| {
            let values = self.keys.iter().zip(values);
            let words: Vec<_> =
                values.map(|(key, value)| format!("{} = {}", text::word(key), text::value(value))).collect();
            words.join(", ")
        };
        let words: Vec<_> = states.iter().map(state).collect();
        words.join(", or ")
    }
}
