//! What is shown: one play, or two of the same scenario side by side.
//!
//! Two stand beside each other when one scenario was played on two configurations, or simulated and real. The first is
//! always drawn in the same colour and as a whole line, the other one in another colour and dashed.

use crate::report::Report;

/// A play under the name that a reader knows it by.
#[derive(Debug, Clone, Copy)]
pub struct Side<'r> {
    /// The file of its configuration, or how it was played: `mainstay.toml`, `simulated`.
    pub name: &'r str,
    /// What it came to.
    pub report: &'r Report,
}

/// A key whose value is not the same for both plays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key: `service.shop.retry.attempts`.
    pub key: String,
    /// What it is for the first play.
    pub here: String,
    /// What it is for the other one.
    pub beside: String,
}

/// What is shown.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'r> {
    /// The play.
    pub play: Side<'r>,
    /// The one that it is compared with.
    pub beside: Option<Side<'r>>,
    /// Where the configurations of the two part.
    pub differences: &'r [Difference],
}

impl<'r> Shown<'r> {
    /// One play.
    #[must_use]
    pub const fn one(name: &'r str, report: &'r Report) -> Self {
        Self { play: Side { name, report }, beside: None, differences: &[] }
    }

    /// Two plays of one scenario.
    #[must_use]
    pub const fn two(play: Side<'r>, beside: Side<'r>, differences: &'r [Difference]) -> Self {
        Self { play, beside: Some(beside), differences }
    }

    /// The plays, the first one first.
    pub(crate) fn sides(&self) -> impl DoubleEndedIterator<Item = Side<'r>> + use<'r> {
        [Some(self.play), self.beside].into_iter().flatten()
    }

    /// How long the longest play is.
    pub(crate) fn seconds(&self) -> u64 {
        let last = |side: Side<'_>| side.report.timeline.last().map_or(0, |last| last.second.saturating_add(1));
        self.sides().map(last).max().unwrap_or(0)
    }
}
