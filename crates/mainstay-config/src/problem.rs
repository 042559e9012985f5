//! What is wrong with a configuration, said so that it can be mended: every problem with its place, the line itself
//! under a caret, and what to write instead.
//!
//! A [`Problem`] is plain data; [`Problems`] knows the file and draws.

use std::fmt;

use serde_json::json;

/// Whether a configuration can be used in spite of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but something in it does not do what its writer seems to have wanted.
    Warning,
}

impl Severity {
    /// The word for people and programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }

    const fn colour(self) -> &'static str {
        match self {
            Self::Error => "\x1b[1;31m",
            Self::Warning => "\x1b[1;33m",
        }
    }
}

/// A stretch of one line of the file, counted in characters from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// Where it begins.
    pub column: u32,
    /// How many characters, at least 1.
    pub length: u32,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether the configuration can be used.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// Where in the file; `None` for what stands outside it or is missing altogether.
    pub place: Option<Place>,
    /// Who gave the value, when it was not the file: `environment MAINSTAY_…`, `flag admin.address`.
    pub given_by: Option<String>,
    /// Which key, as `service.shop.retry.attempts` or `route[1].host`.
    pub path: String,
    /// How to mend it.
    pub help: Option<String>,
}

/// All that is wrong with one configuration, in the file's order.
#[derive(Clone, PartialEq, Eq)]
pub struct Problems {
    file: String,
    text: String,
    list: Vec<Problem>,
}

impl Problems {
    /// The problems of the file `file`, which says `text`.
    pub(crate) fn new(file: &str, text: &str, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| (problem.place.is_none(), problem.place));
        Self { file: file.to_owned(), text: text.to_owned(), list }
    }

    /// The problems, in the file's order; those outside the file come last.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The same, all of them errors: what `--strict` makes of warnings.
    #[must_use]
    pub fn as_errors(mut self) -> Self {
        self.list.iter_mut().for_each(|problem| problem.severity = Severity::Error);
        self
    }

    /// For people: each problem with its line and a caret; `color` for a terminal.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let paint = Paint { on: color };
        let drawn: Vec<String> = self.list.iter().map(|problem| self.draw(problem, &paint)).collect();
        drawn.join("\n")
    }

    /// For programs: a list of objects with `severity`, `message`, `file`, `line`, `column`, `length`, `path`,
    /// `given_by` and `help`; what is not known is null.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let object = |problem: &Problem| {
            json!({
                "severity": problem.severity.as_str(),
                "message": problem.message,
                "file": self.file,
                "line": problem.place.map(|place| place.line),
                "column": problem.place.map(|place| place.column),
                "length": problem.place.map(|place| place.length),
                "path": problem.path,
                "given_by": problem.given_by,
                "help": problem.help,
            })
        };
        self.list.iter().map(object).collect()
    }

    fn draw(&self, problem: &Problem, paint: &Paint) -> String {
        let title = paint.with(problem.severity.colour(), problem.severity.as_str());
        let mut out = format!("{title}: {}\n", paint.bold(&problem.message));
        let key = if problem.path.is_empty() { String::new() } else { format!(" ({})", problem.path) };
        let (place, given_by) = (problem.place, problem.given_by.as_deref());
        let margin = " ".repeat(place.map_or(1, |place| place.line.to_string().len()));
        let arrow = paint.dim(&format!("{margin}-->"));
        match (place, given_by) {
            (Some(Place { line, column, .. }), _) => out += &format!("{arrow} {}:{line}:{column}{key}\n", self.file),
            (None, Some(given_by)) => out += &format!("{arrow} {given_by}{key}\n"),
            (None, None) => out += &format!("{arrow} {}{key}\n", self.file),
        }
        if let Some(place) = place {
            out += &self.excerpt(place, &margin, problem.severity, paint);
        }
        if let Some(help) = &problem.help {
            out += &format!("{} {help}\n", paint.dim(&format!("{margin} = help:")));
        }
        out
    }

    /// The line, and under it the caret.
    fn excerpt(&self, place: Place, margin: &str, severity: Severity, paint: &Paint) -> String {
        let line = self.text.lines().nth(place.line as usize - 1).unwrap_or_default().trim_end();
        // A tab stays a tab under itself, so that the caret stands where the reader's terminal puts the character.
        let under = |c| if c == '\t' { '\t' } else { ' ' };
        let indent: String =
            line.chars().map(under).chain(std::iter::repeat(' ')).take(place.column as usize - 1).collect();
        let carets = paint.with(severity.colour(), &"^".repeat(place.length as usize));
        let bar = paint.dim("|");
        let number = paint.dim(&place.line.to_string());
        format!("{margin} {bar}\n{number} {bar} {}\n{margin} {bar} {indent}{carets}\n", harmless(line))
    }
}

/// A control character in a file must not steer the reader's terminal.
fn harmless(line: &str) -> String {
    line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// `render` without colour.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl fmt::Debug for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Problems").field("file", &self.file).field("list", &self.list).finish_non_exhaustive()
    }
}

impl std::error::Error for Problems {}

/// Escape sequences, or none.
struct Paint {
    on: bool,
}

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.on { format!("{code}{text}\x1b[0m") } else { text.to_owned() }
    }

    fn bold(&self, text: &str) -> String {
        self.with("\x1b[1m", text)
    }

    fn dim(&self, text: &str) -> String {
        self.with("\x1b[34m", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(place: Option<Place>, given_by: Option<&str>) -> Problems {
        let problem = Problem {
            severity: Severity::Error,
            message: "too small".to_owned(),
            place,
            given_by: given_by.map(str::to_owned),
            path: "node.drain".to_owned(),
            help: Some("write more".to_owned()),
        };
        Problems::new("m.toml", "[node]\n\tdrain = 1 \u{1b}[2J\n", vec![problem])
    }

    #[test]
    fn the_caret_stands_under_what_is_wrong() {
        let place = Place { line: 2, column: 10, length: 1 };
        assert_eq!(
            problems(Some(place), None).render(false),
            "error: too small\n --> m.toml:2:10 (node.drain)\n  |\n2 | \tdrain = 1 \u{fffd}[2J\n  | \t        ^\n  = help: write more\n"
        );
    }

    #[test]
    fn what_came_from_elsewhere_says_from_where() {
        let text = problems(None, Some("environment MAINSTAY_NODE__DRAIN")).render(false);
        assert_eq!(
            text,
            "error: too small\n --> environment MAINSTAY_NODE__DRAIN (node.drain)\n  = help: write more\n"
        );
    }

    #[test]
    fn colour_is_only_paint() {
        let place = Place { line: 2, column: 10, length: 1 };
        let painted = problems(Some(place), None).render(true);
        assert!(painted.contains("\x1b[1;31merror\x1b[0m"));
        let mut plain = painted;
        for code in ["\x1b[1;31m", "\x1b[1m", "\x1b[34m", "\x1b[0m"] {
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, problems(Some(place), None).render(false));
    }

    #[test]
    fn programs_read_the_same() {
        let place = Place { line: 2, column: 10, length: 1 };
        let value = problems(Some(place), None).to_json();
        assert_eq!(value[0]["line"], 2);
        assert_eq!(value[0]["severity"], "error");
        assert_eq!(value[0]["path"], "node.drain");
        assert!(value[0]["given_by"].is_null());
    }
}
