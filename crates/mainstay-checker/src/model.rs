//! The store as it should be: one thing after the other, over a few keys.

use std::collections::HashMap;

use bytes::Bytes;

use crate::history::{Call, Compare, Outcome, Value};

/// A value by its number; 0 where there is no such key.
type Id = u32;

/// The values of the keys, by their numbers.
pub(crate) type State = Vec<Id>;

/// Numbers for keys and values, so that a state is small and is compared at once.
#[derive(Debug, Default)]
pub(crate) struct Model {
    keys: HashMap<Bytes, usize>,
    names: Vec<Bytes>,
    ids: HashMap<Bytes, Id>,
    values: Vec<Bytes>,
    appended: HashMap<(Id, Id), Id>,
}

/// An operation in numbers, with what was answered.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Get { key: usize, saw: Option<Id> },
    Put { key: usize, value: Id },
    Append { key: usize, suffix: Id },
    Swap { key: usize, expected: Id, value: Id, made: Option<bool> },
    Delete { key: usize, was: Option<bool> },
    Transaction { compares: Vec<(usize, bool, Id)>, then: Vec<Act>, otherwise: Vec<Act>, held: Option<bool> },
}

impl Model {
    /// Every key has no value.
    pub(crate) fn empty(&self) -> State {
        vec![0; self.names.len()]
    }

    fn key(&mut self, key: &Bytes) -> usize {
        let next = self.names.len();
        let number = *self.keys.entry(key.clone()).or_insert(next);
        if number == next {
            self.names.push(key.clone());
        }
        number
    }

    fn value(&mut self, value: &Bytes) -> Id {
        let next = self.values.len() as Id + 1;
        let id = *self.ids.entry(value.clone()).or_insert(next);
        if id == next {
            self.values.push(value.clone());
        }
        id
    }

    fn maybe(&mut self, value: &Value) -> Id {
        value.as_ref().map_or(0, |value| self.value(value))
    }

    /// The value with this number.
    pub(crate) fn value_of(&self, id: Id) -> Value {
        id.checked_sub(1).map(|at| self.values[at as usize].clone())
    }

    pub(crate) fn names(&self) -> &[Bytes] {
        &self.names
    }

    /// An operation in numbers; an answer that does not belong to it counts as none.
    pub(crate) fn act(&mut self, call: &Call, outcome: &Outcome) -> Act {
        let was = if let Outcome::Was(was) = outcome { Some(*was) } else { None };
        match call {
            Call::Get { key } => {
                let saw = if let Outcome::Value(saw) = outcome { Some(self.maybe(saw)) } else { None };
                Act::Get { key: self.key(key), saw }
            }
            Call::Put { key, value } => Act::Put { key: self.key(key), value: self.value(value) },
            Call::Append { key, suffix } => Act::Append { key: self.key(key), suffix: self.value(suffix) },
            Call::CompareAndSwap { key, expected, value } => {
                let (expected, value) = (self.maybe(expected), self.value(value));
                Act::Swap { key: self.key(key), expected, value, made: was }
            }
            Call::Delete { key } => Act::Delete { key: self.key(key), was },
            Call::Transaction { compares, then, otherwise } => {
                let compare = |Compare { key, equal, value }: &Compare| (self.key(key), *equal, self.maybe(value));
                let compares = compares.iter().map(compare).collect();
                let (held, answers) = match outcome {
                    Outcome::Transaction { held, answers } => (Some(*held), answers.as_slice()),
                    _ => (None, &[][..]),
                };
                let answers_of = |branch| if held == Some(branch) { answers } else { &[] };
                let then = self.acts(then, answers_of(true));
                let otherwise = self.acts(otherwise, answers_of(false));
                Act::Transaction { compares, then, otherwise, held }
            }
        }
    }

    fn acts(&mut self, calls: &[Call], answers: &[Outcome]) -> Vec<Act> {
        let answers = answers.iter().chain(std::iter::repeat(&Outcome::Unknown));
        calls.iter().zip(answers).map(|(call, answer)| self.act(call, answer)).collect()
    }

    /// What an operation makes of a state, if it can have been answered as it was there.
    pub(crate) fn step(&mut self, act: &Act, state: &State) -> Option<State> {
        let mut after = state.clone();
        self.apply(act, &mut after).then_some(after)
    }

    fn apply(&mut self, act: &Act, state: &mut State) -> bool {
        match act {
            Act::Get { key, saw } => saw.is_none_or(|saw| state[*key] == saw),
            Act::Put { key, value } => {
                state[*key] = *value;
                true
            }
            Act::Append { key, suffix } => {
                state[*key] = self.append(state[*key], *suffix);
                true
            }
            Act::Swap { key, expected, value, made } => {
                let makes = state[*key] == *expected;
                if makes {
                    state[*key] = *value;
                }
                made.is_none_or(|made| made == makes)
            }
            Act::Delete { key, was } => {
                let is = std::mem::replace(&mut state[*key], 0) != 0;
                was.is_none_or(|was| was == is)
            }
            Act::Transaction { compares, then, otherwise, held } => {
                let holds = compares.iter().all(|(key, equal, value)| (state[*key] == *value) == *equal);
                let acts = if holds { then } else { otherwise };
                held.is_none_or(|held| held == holds) && acts.iter().all(|act| self.apply(act, state))
            }
        }
    }

    fn append(&mut self, value: Id, suffix: Id) -> Id {
        if value == 0 {
            return suffix;
        }
        if let Some(known) = self.appended.get(&(value, suffix)) {
            return *known;
        }
        let text = |id: Id| &self.values[id as usize - 1];
        let longer = Bytes::from([&text(value)[..], &text(suffix)[..]].concat());
        let id = self.value(&longer);
        self.appended.insert((value, suffix), id);
        id
    }
}
