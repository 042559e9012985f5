//! Why a drill did not come to its end.

use std::fmt;

/// Why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// What was asked for cannot be played: exit status 2.
    #[error("{0}")]
    Wrong(String),
    /// It failed, or what has to hold for a drill to begin does not: exit status 1.
    #[error("{0}")]
    Failed(String),
}

/// What a step of a drill gives back.
pub type Outcome<T = ()> = Result<T, Trouble>;

impl Trouble {
    pub(crate) fn wrong(what: impl Into<String>) -> Self {
        Self::Wrong(what.into())
    }

    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self::Failed(what.into())
    }
}

/// An error of the outside world, with what we were doing.
pub(crate) fn while_doing<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> Trouble {
    move |error| Trouble::Failed(format!("{what}: {error}"))
}
