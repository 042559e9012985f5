//! What a worker hears from the permits that it shares with others.
//!
//! The shared cell is the one thing that a worker's decisions depend on beside what it is told: other workers change it
//! at any moment. So whatever is read from it comes by one way, where a recording can note the answer and a replay can
//! give it again. Without either it costs one branch.

use std::cell::RefCell;
use std::collections::VecDeque;

/// What the shared permits are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// How many there are.
    Limit,
    /// How many there can be at the most.
    Ceiling,
    /// How many are held.
    Taken,
    /// How many this worker gets.
    Got,
    /// How many workers starve.
    Starving,
    /// How many turns there were.
    Turns,
    /// Whether more are held than there are.
    Over,
}

impl Question {
    /// All of them, by their number in a recording.
    pub const ALL: [Self; 7] =
        [Self::Limit, Self::Ceiling, Self::Taken, Self::Got, Self::Starving, Self::Turns, Self::Over];
}

/// One answer of the shared permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// To what.
    pub question: Question,
    /// The answer.
    pub answer: u64,
}

/// How a worker hears the shared permits.
#[derive(Debug, Default)]
pub(crate) enum Hearing {
    /// As they are.
    #[default]
    Plain,
    /// As they are, and every answer is noted.
    Noting(RefCell<Vec<Heard>>),
    /// As they were.
    Again(RefCell<Again>),
}

/// Answers that are given again.
#[derive(Debug, Default)]
pub(crate) struct Again {
    answers: VecDeque<Heard>,
    /// Something was asked that was not asked then.
    strayed: bool,
}

impl Hearing {
    #[inline]
    pub(crate) fn hear(&self, question: Question, ask: impl FnOnce() -> u64) -> u64 {
        if let Self::Plain = self { ask() } else { self.heed(question, ask) }
    }

    #[cold]
    fn heed(&self, question: Question, ask: impl FnOnce() -> u64) -> u64 {
        match self {
            Self::Plain => ask(),
            Self::Noting(noted) => {
                let answer = ask();
                noted.borrow_mut().push(Heard { question, answer });
                answer
            }
            Self::Again(again) => again.borrow_mut().answer(question),
        }
    }

    /// Whether what this worker does touches nobody else.
    pub(crate) fn is_again(&self) -> bool {
        matches!(self, Self::Again(_))
    }

    /// Moves what was noted since the last time to `into`.
    pub(crate) fn take_noted(&self, into: &mut Vec<Heard>) {
        if let Self::Noting(noted) = self {
            into.append(&mut noted.borrow_mut());
        }
    }

    /// Has these answers given to what is asked next.
    pub(crate) fn give_again(&self, answers: &[Heard]) {
        if let Self::Again(again) = self {
            let mut again = again.borrow_mut();
            *again = Again { answers: std::mem::take(&mut again.answers), strayed: false };
            again.answers.clear();
            again.answers.extend(answers);
        }
    }

    /// Whether exactly that was asked what was answered.
    pub(crate) fn was_asked_the_same(&self) -> bool {
        match self {
            Self::Again(again) => !again.borrow().strayed && again.borrow().answers.is_empty(),
            Self::Plain | Self::Noting(_) => true,
        }
    }
}

impl Again {
    fn answer(&mut self, question: Question) -> u64 {
        match self.answers.pop_front() {
            Some(heard) if heard.question == question => heard.answer,
            _ => {
                self.strayed = true;
                0
            }
        }
    }
}
