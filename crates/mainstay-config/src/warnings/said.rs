//! A setting as a warning names it: what it is set to and where, whether somebody set it or not.

use std::fmt;

use crate::raw::{At, Raw, Tree};
use crate::sink::Sink;
use crate::value::Fault;

/// A setting.
pub(super) struct Said<'t> {
    path: String,
    value: String,
    place: String,
    /// Where it is given; `None` for a default.
    at: Option<&'t At>,
}

impl Said<'_> {
    /// Whether somebody set it.
    pub(super) fn is_given(&self) -> bool {
        self.at.is_some()
    }
}

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} ({})", self.path, self.value, self.place)
    }
}

/// Finds settings and notes what is wrong between them.
pub(super) struct Notes<'a> {
    pub(super) tree: &'a Tree,
    pub(super) sink: &'a Sink<'a>,
}

impl<'a> Notes<'a> {
    /// The setting at `path`, as `service.shop.retry.attempts` or `route.0.timeout` in single steps; `default` is what
    /// holds when nobody set it, as TOML.
    pub(super) fn said(&self, path: &[&str], default: impl fmt::Display) -> Said<'a> {
        let (mut node, mut at, mut name) = (Some(self.tree), None, String::new());
        for step in path {
            let (next, next_at) = match (node.map(|node| &node.raw), step.parse::<usize>()) {
                (Some(Raw::List(items)), Ok(number)) => (items.get(number), items.get(number).map(|item| &item.at)),
                _ => {
                    let entry = node.and_then(|node| node.get(step));
                    (entry.map(|entry| &entry.node), entry.map(|entry| &entry.key_at))
                }
            };
            (node, at) = (next, next_at);
            name = match step.parse::<usize>() {
                Ok(number) => format!("{name}[{number}]"),
                Err(_) if name.is_empty() => (*step).to_owned(),
                Err(_) => format!("{name}.{step}"),
            };
        }
        let value = node.map_or_else(|| default.to_string(), Tree::to_toml);
        Said { path: name, value, place: self.place(at), at }
    }

    fn place(&self, at: Option<&At>) -> String {
        match at {
            None | Some(At::Default) => "default".to_owned(),
            Some(At::Environment(name)) => format!("environment {name}"),
            Some(At::Flag(_)) => "flag".to_owned(),
            Some(at) => self.sink.line_of(at).map_or_else(String::new, |line| format!("line {line}")),
        }
    }

    /// Settings fight: `what` comes of it, and `mend` is the one to write anew and its value as TOML. The warning stands
    /// at the first of them that somebody set.
    pub(super) fn fight(&self, what: impl fmt::Display, settings: &[&Said<'_>], mend: (&Said<'_>, impl fmt::Display)) {
        let (setting, value) = mend;
        self.note(what, settings, setting, format!("write {} = {value}", setting.path));
    }

    /// As [`Notes::fight`], where no value of `setting` would be right.
    pub(super) fn note(
        &self,
        what: impl fmt::Display,
        settings: &[&Said<'_>],
        setting: &Said<'_>,
        help: impl Into<String>,
    ) {
        let named: Vec<String> = settings.iter().map(ToString::to_string).collect();
        let at = settings.iter().find_map(|setting| setting.at);
        self.sink.warning(at, &setting.path, Fault::new(format!("{what}: {}", named.join(", "))).help(help));
    }
}
