//! The node's own log: structured events on standard error.
//!
//! Text for a person at a terminal, one JSON object per line for everything else. What other libraries say is heard from
//! `warn` on, because their `info` is not ours. Events are counted by level, so that a rise of errors can be seen where
//! nobody reads the log. No event carries a secret: configuration values that are secret never reach a format string,
//! their type prints `***`.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What is the least that is written. Default info.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogLevel {
    /// Something is broken.
    Error,
    /// Something will break, or was mended.
    Warn,
    /// What an operator wants to know.
    #[default]
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

/// How it is written. Default auto.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text on a terminal, otherwise JSON.
    #[default]
    Auto,
    /// Text.
    Text,
    /// One JSON object per line.
    Json,
}

impl LogFormat {
    /// Whether lines on standard error are JSON.
    #[must_use]
    pub fn is_json(self) -> bool {
        match self {
            Self::Json => true,
            Self::Text => false,
            Self::Auto => !io::stderr().is_terminal(),
        }
    }
}

/// The word is none that names a level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelError;

impl fmt::Display for LevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected error, warn, info, debug or trace")
    }
}

impl std::error::Error for LevelError {}

impl FromStr for LogLevel {
    type Err = LevelError;

    fn from_str(word: &str) -> Result<Self, LevelError> {
        match word {
            "error" => Ok(Self::Error),
            "warn" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            "trace" => Ok(Self::Trace),
            _ => Err(LevelError),
        }
    }
}

impl LogLevel {
    const fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
    }
}

/// The log was started before in this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStartError;

impl fmt::Display for LogStartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the log was started before in this process")
    }
}

impl std::error::Error for LogStartError {}

/// Starts the log of this process on standard error.
///
/// # Errors
/// [`LogStartError`] when it was started before.
pub fn start_logs(level: LogLevel, format: LogFormat) -> Result<(), LogStartError> {
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = if format.is_json() {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    } else {
        lines.with_ansi(io::stderr().is_terminal()).with_target(false).boxed()
    };
    let wanted = level.filter();
    let filter = Targets::new().with_default(wanted.min(LevelFilter::WARN)).with_target("mainstay", wanted);
    tracing_subscriber::registry().with(lines.with_filter(filter)).with(counter()).try_init().map_err(|_| LogStartError)
}

/// Levels whose events are counted, with their words.
pub(crate) const LEVELS: [&str; 2] = ["error", "warn"];

static EVENTS: [AtomicU64; LEVELS.len()] = [const { AtomicU64::new(0) }; LEVELS.len()];

/// Events so far, in the order of [`LEVELS`].
pub(crate) fn events() -> [u64; LEVELS.len()] {
    std::array::from_fn(|level| EVENTS[level].load(Ordering::Relaxed))
}

/// Counts errors and warnings, which are rare enough for a shared counter.
struct Counter;

/// The counter, and that it wants nothing else: of a layer without a filter everything is made, down to each span of a
/// library.
fn counter<S>() -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    Counter.with_filter(LevelFilter::WARN)
}

impl<S: Subscriber> Layer<S> for Counter {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let place = match *event.metadata().level() {
            Level::ERROR => 0,
            Level::WARN => 1,
            _ => return,
        };
        EVENTS[place].fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_read_by_its_word() {
        assert_eq!("warn".parse(), Ok(LogLevel::Warn));
        assert_eq!("loud".parse::<LogLevel>(), Err(LevelError));
    }

    #[test]
    fn warnings_are_counted() {
        let before = events();
        let registry = tracing_subscriber::registry().with(counter());
        assert_eq!(registry.max_level_hint(), Some(LevelFilter::WARN), "nothing else is even made");
        tracing::subscriber::with_default(registry, || {
            tracing::warn!("counted");
            tracing::info!("not counted");
        });
        let after = events();
        assert_eq!(after[1], before[1] + 1);
        assert_eq!(after[0], before[0]);
    }
}
