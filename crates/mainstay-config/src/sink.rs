//! Where reading a configuration leaves its traces: problems with their places, and every value that was read.

use std::cell::RefCell;

use crate::effective::{Effective, Group, Origin, Setting};
use crate::problem::{Place, Problem, Severity};
use crate::raw::At;
use crate::source::Secrets;
use crate::value::Fault;

/// Collects while sections read. It is handed around shared, because a section and the sections in it write at once.
pub(crate) struct Sink<'s> {
    text: &'s str,
    /// Where each line begins.
    starts: Vec<usize>,
    pub(crate) secrets: &'s Secrets<'s>,
    problems: RefCell<Vec<Problem>>,
    groups: RefCell<Vec<Group>>,
    /// Bytes of the file that no message may show.
    hidden: RefCell<Vec<(usize, usize)>>,
}

/// What reading left behind.
pub(crate) struct Collected {
    pub(crate) problems: Vec<Problem>,
    pub(crate) effective: Effective,
    /// The file's text for messages, with stars for what must not be shown.
    pub(crate) text: String,
}

/// A table in the list of all values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupId(usize);

impl<'s> Sink<'s> {
    pub(crate) fn new(text: &'s str, secrets: &'s Secrets<'s>) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(breaks).collect();
        Self {
            text,
            starts,
            secrets,
            problems: RefCell::default(),
            groups: RefCell::default(),
            hidden: RefCell::default(),
        }
    }

    /// Notes an error.
    pub(crate) fn error(&self, at: Option<&At>, path: &str, fault: Fault) {
        self.note(Severity::Error, at, path, fault);
    }

    /// Notes a warning.
    pub(crate) fn warning(&self, at: Option<&At>, path: &str, fault: Fault) {
        self.note(Severity::Warning, at, path, fault);
    }

    fn note(&self, severity: Severity, at: Option<&At>, path: &str, fault: Fault) {
        let at = fault.at.as_ref().or(at);
        let given_by = match at {
            Some(At::Environment(name)) => Some(format!("environment {name}")),
            Some(At::Flag(key)) => Some(format!("flag {key}")),
            _ => None,
        };
        let place = at.and_then(|at| self.place(at));
        let (message, help) = (fault.message, fault.help);
        self.problems.borrow_mut().push(Problem { severity, message, place, given_by, path: path.to_owned(), help });
    }

    /// Begins a table in the list of all values.
    pub(crate) fn group(&self, header: String) -> GroupId {
        let mut groups = self.groups.borrow_mut();
        groups.push(Group { header, settings: Vec::new() });
        GroupId(groups.len() - 1)
    }

    /// Lists a value.
    pub(crate) fn list(&self, group: GroupId, setting: Setting) {
        if let Some(group) = self.groups.borrow_mut().get_mut(group.0) {
            group.settings.push(setting);
        }
    }

    /// The word for where a value came from.
    pub(crate) fn origin(&self, at: &At) -> Origin {
        match at {
            At::Default => Origin::Default,
            At::File(start, _) => Origin::File { line: self.line(*start) },
            At::Environment(name) => Origin::Environment(name.to_string()),
            At::Flag(key) => Origin::Flag(key.to_string()),
        }
    }

    /// The line in which something of the file begins.
    pub(crate) fn line_of(&self, at: &At) -> Option<u32> {
        match at {
            At::File(start, _) => Some(self.line(*start)),
            _ => None,
        }
    }

    /// The line of a byte of the file, from 1.
    fn line(&self, byte: usize) -> u32 {
        u32::try_from(self.starts.partition_point(|start| *start <= byte)).unwrap_or(u32::MAX)
    }

    /// A stretch of the file as a person counts; what spans several lines ends with its first.
    fn place(&self, at: &At) -> Option<Place> {
        let At::File(start, end) = at else { return None };
        let line = self.line(*start);
        let begin = *self.starts.get(line as usize - 1)?;
        let before = self.text.get(begin..*start)?;
        let stretch = self.text.get(*start..(*end).max(*start)).unwrap_or_default();
        let first = stretch.lines().next().unwrap_or_default().trim_end();
        let count = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        Some(Place { line, column: count(before) + 1, length: count(first).max(1) })
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.problems.borrow().iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Keeps a value out of every message: it may be a secret.
    pub(crate) fn hide(&self, at: &At) {
        if let At::File(start, end) = at {
            self.hidden.borrow_mut().push((*start, *end));
        }
    }

    /// What was collected.
    pub(crate) fn finish(self, file: &str) -> Collected {
        let effective = Effective { file: file.to_owned(), groups: self.groups.into_inner() };
        let hidden = self.hidden.into_inner();
        let is_hidden = |at: usize| hidden.iter().any(|(start, end)| (*start..*end).contains(&at));
        let star = |(at, c): (usize, char)| if c != '\n' && is_hidden(at) { '*' } else { c };
        Collected {
            problems: self.problems.into_inner(),
            effective,
            text: self.text.char_indices().map(star).collect(),
        }
    }
}
