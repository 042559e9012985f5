//! Histories that are drawn: those of a store that does one thing after the other are accepted, those with one false answer
//! are not, and of short ones every order is tried.

use std::collections::BTreeMap;

use bytes::Bytes;
use mainstay_checker::{Call, Compare, History, Limits, Operation, Outcome, Value, Verdict, check};

/// Luck that a seed repeats.
struct Luck(u64);

impl Luck {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A store that does one thing after the other, written without a thought for speed.
#[derive(Default, Clone)]
struct Store(BTreeMap<Bytes, Bytes>);

impl Store {
    fn does(&mut self, call: &Call) -> Outcome {
        match call {
            Call::Get { key } => Outcome::Value(self.0.get(key).cloned()),
            Call::Put { key, value } => {
                self.0.insert(key.clone(), value.clone());
                Outcome::Done
            }
            Call::Append { key, suffix } => {
                let before = self.0.get(key).cloned().unwrap_or_default();
                self.0.insert(key.clone(), [before, suffix.clone()].concat().into());
                Outcome::Done
            }
            Call::CompareAndSwap { key, expected, value } => {
                let makes = self.0.get(key) == expected.as_ref();
                if makes {
                    self.0.insert(key.clone(), value.clone());
                }
                Outcome::Was(makes)
            }
            Call::Delete { key } => Outcome::Was(self.0.remove(key).is_some()),
            Call::Transaction { compares, then, otherwise } => {
                let holds = |compare: &Compare| (self.0.get(&compare.key) == compare.value.as_ref()) == compare.equal;
                let held = compares.iter().all(holds);
                let taken = if held { then } else { otherwise };
                Outcome::Transaction { held, answers: taken.iter().map(|call| self.does(call)).collect() }
            }
        }
    }
}

fn key(luck: &mut Luck, keys: u64) -> Bytes {
    format!("k{}", luck.below(keys)).into()
}

/// One of few values, so that what is wrong may look right.
fn value(luck: &mut Luck) -> Bytes {
    luck.below(4).to_string().into()
}

fn maybe(luck: &mut Luck) -> Value {
    (!luck.one_in(4)).then(|| value(luck))
}

fn call(luck: &mut Luck, keys: u64, depth: u32) -> Call {
    match luck.below(if depth == 0 { 12 } else { 10 }) {
        0..=3 => Call::Get { key: key(luck, keys) },
        4..=5 => Call::Put { key: key(luck, keys), value: value(luck) },
        6 => Call::Append { key: key(luck, keys), suffix: value(luck) },
        7..=8 => Call::CompareAndSwap { key: key(luck, keys), expected: maybe(luck), value: value(luck) },
        9 => Call::Delete { key: key(luck, keys) },
        _ => {
            let compare =
                |luck: &mut Luck| Compare { key: key(luck, keys), equal: !luck.one_in(3), value: maybe(luck) };
            let compares = (0..luck.below(3)).map(|_| compare(luck)).collect();
            let then = (0..luck.below(3)).map(|_| call(luck, keys, depth + 1)).collect();
            let otherwise = (0..luck.below(2)).map(|_| call(luck, keys, depth + 1)).collect();
            Call::Transaction { compares, then, otherwise }
        }
    }
}

/// What clients see of a store that does one thing after the other, each at a moment between its call and its return; of
/// some nobody learns the end, and those happen late or never.
fn executed(luck: &mut Luck, operations: u64, clients: u64, keys: u64) -> History {
    let mut free_at = vec![0; clients as usize];
    let mut planned = Vec::new();
    for _ in 0..operations {
        let client = luck.below(clients);
        let called = free_at[client as usize] + luck.below(20);
        let effect = called + luck.below(30);
        let returned = effect + luck.below(30);
        free_at[client as usize] = returned + 1;
        let call = call(luck, keys, 0);
        let is_unknown = luck.one_in(12);
        let effect = match (is_unknown, luck.below(3)) {
            (true, 0) => None,
            (true, 1) => Some(effect + luck.below(300)),
            _ => Some(effect),
        };
        planned.push((effect, is_unknown, Operation { client, called, returned, call, outcome: Outcome::Unknown }));
    }
    planned.sort_by_key(|(effect, ..)| *effect);
    let mut store = Store::default();
    let operation = |(effect, is_unknown, mut operation): (Option<u64>, bool, Operation)| {
        let outcome = effect.map(|_| store.does(&operation.call));
        operation.outcome = outcome.filter(|_| !is_unknown).unwrap_or(Outcome::Unknown);
        operation
    };
    History { operations: planned.into_iter().map(operation).collect() }
}

/// How many histories are drawn: a few, or more where somebody wants to wait.
fn draws(few: u64) -> u64 {
    std::env::var("MAINSTAY_HISTORIES").ok().and_then(|draws| draws.parse().ok()).unwrap_or(few)
}

#[test]
fn what_a_store_did_one_after_the_other_is_accepted() {
    for seed in 0..draws(150) {
        let mut luck = Luck(seed);
        let (operations, clients, keys) = (1 + luck.below(120), 1 + luck.below(8), 1 + luck.below(12));
        let history = executed(&mut luck, operations, clients, keys);
        let verdict = check(&history, Limits::default());
        assert!(verdict.is_linearizable(), "seed {seed}: {verdict:?}\n{history}");
    }
}

#[test]
fn one_answer_that_nobody_can_have_got_is_found() {
    for seed in 0..draws(300) {
        let mut luck = Luck(seed);
        let mut history = executed(&mut luck, 60, 4, 8);
        let answered = |operation: &&mut Operation| matches!(operation.outcome, Outcome::Value(_));
        let mut reads: Vec<_> = history.operations.iter_mut().filter(answered).collect();
        if reads.is_empty() {
            continue;
        }
        let at = luck.below(reads.len() as u64) as usize;
        reads[at].outcome = Outcome::Value(Some("nobody wrote this".into()));
        let falsified = reads[at].clone();
        let Verdict::Not(violation) = check(&history, Limits::default()) else { panic!("seed {seed}: {history}") };
        assert_eq!(violation.window[violation.unexplained], falsified, "seed {seed}:\n{violation}");
    }
}

#[test]
fn a_read_of_what_was_overwritten_is_found() {
    for seed in 0..draws(100) {
        let mut luck = Luck(seed);
        let mut history = String::new();
        for at in 0..30 {
            history.push_str(&format!("0 {} {} put x \"{at}\" = done\n", 20 * at, 20 * at + 10));
        }
        // A read that begins after a write was over gets what stood before it.
        let at = 1 + luck.below(28);
        let begins = 20 * at + 11 + luck.below(5);
        let read = |value| format!("{history}1 {begins} {} get x = \"{value}\"\n", begins + seed % 5);
        assert!(check(&read(at).parse().unwrap(), Limits::default()).is_linearizable(), "seed {seed}");
        assert!(!check(&read(at - 1).parse().unwrap(), Limits::default()).is_linearizable(), "seed {seed}");
    }
}

/// Tries every order of what must have happened, with and without what may have.
fn by_every_order(left: &[Operation], store: &Store) -> bool {
    let is_known = |operation: &&Operation| operation.outcome != Outcome::Unknown;
    let Some(first_return) = left.iter().filter(is_known).map(|operation| operation.returned).min() else {
        return true;
    };
    left.iter().enumerate().filter(|(_, operation)| operation.called <= first_return).any(|(at, operation)| {
        let mut after = store.clone();
        let outcome = after.does(&operation.call);
        let mut rest = left.to_vec();
        rest.remove(at);
        (operation.outcome == Outcome::Unknown || operation.outcome == outcome) && by_every_order(&rest, &after)
    })
}

#[test]
fn short_histories_are_judged_as_by_trying_every_order() {
    let mut verdicts = [0; 2];
    for seed in 0..draws(6000) {
        let mut luck = Luck(seed ^ 0xfeed);
        let operations = 2 + luck.below(6);
        let mut history = executed(&mut luck, operations, 4, 2);
        // Answers of another run, some of them wrong.
        let other = executed(&mut Luck(seed ^ 0xfeed), operations, 4, 2);
        for operation in &mut history.operations {
            if luck.one_in(3) && operation.outcome != Outcome::Unknown {
                let mut store = Store(other.operations.iter().map(|_| (key(&mut luck, 2), value(&mut luck))).collect());
                operation.outcome = store.does(&operation.call);
            }
        }
        let expected = by_every_order(&history.operations, &Store::default());
        let verdict = check(&history, Limits::default());
        assert_eq!(verdict.is_linearizable(), expected, "seed {seed}: {verdict:?}\n{history}");
        verdicts[usize::from(expected)] += 1;
    }
    assert!(verdicts.iter().all(|count| *count > 500), "{verdicts:?}: both verdicts should be drawn");
}
