//! How far long work has come: one line on standard error where that is a terminal, and nothing in a pipe.
//!
//! Nothing is shown of what takes a moment, the line is written anew a few times a second, and it is gone when the work is
//! done: what stays on the screen are results.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use ratatui::crossterm::terminal;

/// What takes less needs no progress.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often the line is written at most.
const AGAIN: Duration = Duration::from_millis(100);
/// Back to the beginning of the line, and clear it.
const CLEAR: &str = "\r\x1b[K";

/// A line that is written over and over, and wiped away at the end.
pub(crate) struct Line {
    /// None where nobody would see it.
    out: Option<Box<dyn Write>>,
    width: usize,
    /// When it may be written next.
    next: Instant,
    is_written: bool,
}

impl Line {
    /// On standard error, where that is a terminal that understands it.
    pub(crate) fn on_standard_error() -> Self {
        let understands = std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        let shows = std::io::stderr().is_terminal() && understands;
        // A terminal may not know how wide it is, and says 0 then.
        let width = terminal::size().ok().filter(|(columns, _)| *columns > 0).map_or(80, |(columns, _)| columns.into());
        let out = shows.then(|| Box::new(std::io::stderr()) as Box<dyn Write>);
        Self::new(out, width, Instant::now())
    }

    fn new(out: Option<Box<dyn Write>>, width: usize, now: Instant) -> Self {
        Self { out, width, next: now + PATIENCE, is_written: false }
    }

    /// Says how far it is, if it is time to.
    pub(crate) fn say(&mut self, text: impl fmt::Display) {
        if self.out.is_some() {
            self.say_at(Instant::now(), text);
        }
    }

    fn say_at(&mut self, now: Instant, text: impl fmt::Display) {
        let Some(out) = self.out.as_mut().filter(|_| now >= self.next) else { return };
        let letters = text.to_string();
        let printable = letters.chars().filter(|letter| !letter.is_control());
        let line: String = printable.take(self.width.saturating_sub(1)).collect();
        // Nobody can be told that standard error is gone.
        let _ = write!(out, "{CLEAR}{line}").and_then(|()| out.flush());
        (self.next, self.is_written) = (now + AGAIN, true);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(out) = self.out.as_mut().filter(|_| self.is_written) {
            let _ = write!(out, "{CLEAR}").and_then(|()| out.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is seen when something is said at these moments, in milliseconds.
    fn seen(moments: &[u64]) -> String {
        let screen = Screen::default();
        let began = Instant::now();
        let mut line = Line::new(Some(Box::new(screen.clone())), 12, began);
        for at in moments {
            line.say_at(began + Duration::from_millis(*at), format_args!("{at} ms of\n a long way"));
        }
        drop(line);
        let bytes = screen.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().replace(CLEAR, "|")
    }

    #[test]
    fn what_takes_a_moment_shows_nothing_and_what_takes_longer_wipes_its_line_away() {
        assert_eq!(seen(&[0, 100, 499]), "");
        assert_eq!(seen(&[0, 500, 550, 599, 600, 1_000]), "|500 ms of a|600 ms of a|1000 ms of |");
    }
}
