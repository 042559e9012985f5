//! Every value that is in force, and where it came from.
//!
//! The list is a by-product of reading: a key that is read once, with its default, is listed once. A secret is listed as
//! it is written, by the name of its source.

use std::fmt::{self, Write};

use serde_json::{Map, Value, json};

/// Characters of a value that stand in a sentence about it; a longer one is found where it is set.
const TOLD_MAX: usize = 60;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody gave it.
    Default,
    /// The file, in this line.
    File {
        /// The line.
        line: u32,
    },
    /// This variable of the environment.
    Environment(String),
    /// A flag that sets this key.
    Flag(String),
}

/// One key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The whole key, as `service.shop.retry.attempts` or `route[0].host`.
    pub path: String,
    /// The value as TOML; `None` for a key without a value, where `note` says what holds then.
    pub value: Option<String>,
    /// The same for programs.
    pub json: Value,
    /// Where it came from.
    pub origin: Origin,
    /// What else is to be said, such as that the key is not in this version.
    pub note: Option<&'static str>,
    pub(crate) key: &'static str,
}

/// A table of the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    /// As it stands in a file, with its brackets.
    pub(crate) header: String,
    pub(crate) settings: Vec<Setting>,
}

/// Every value of a configuration, table by table.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    pub(crate) file: String,
    pub(crate) groups: Vec<Group>,
}

impl Effective {
    /// Every key in the contract's order.
    pub fn settings(&self) -> impl Iterator<Item = &Setting> {
        self.groups.iter().flat_map(|group| &group.settings)
    }

    /// As TOML that loads to the same configuration, with a comment behind each value that says where it came from.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for group in self.groups.iter().filter(|group| !group.settings.is_empty()) {
            let blank = if out.is_empty() { "" } else { "\n" };
            let lines: Vec<(String, String)> = group.settings.iter().map(|setting| self.line(setting)).collect();
            let width = lines.iter().map(|(left, _)| left.chars().count()).filter(|width| *width <= 60).max();
            let width = width.unwrap_or(0);
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{blank}{}", group.header);
            for (left, right) in lines {
                let _ = writeln!(out, "{left:width$}  # {right}");
            }
        }
        out
    }

    /// What `key` is set to and where, as `node.drain = "30s", default`; of a table, where something in it is set. `None`
    /// for what is not listed.
    #[must_use]
    pub fn tell(&self, key: &str) -> Option<String> {
        if let Some(setting) = self.settings().find(|setting| setting.path == key) {
            let origin = OriginIn { file: &self.file, origin: &setting.origin };
            return Some(match setting.value.as_deref().filter(|value| value.chars().count() <= TOLD_MAX) {
                Some(value) => format!("{key} = {value}, {origin}"),
                None => format!("{key}, {origin}"),
            });
        }
        let within = |setting: &&Setting| setting.path.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
        let mut origins = self.settings().filter(within).map(|setting| &setting.origin).peekable();
        origins.peek()?;
        Some(match origins.find(|origin| **origin != Origin::Default) {
            Some(origin) => format!("{key}, {}", OriginIn { file: &self.file, origin }),
            None => format!("{key}, default"),
        })
    }

    /// As a list of objects with `path`, `value`, `origin` and `note`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        self.settings()
            .map(|setting| {
                let mut object = Map::new();
                object.insert("path".to_owned(), json!(setting.path));
                object.insert("value".to_owned(), setting.json.clone());
                object.insert("origin".to_owned(), self.origin_json(&setting.origin));
                object.insert("note".to_owned(), json!(setting.note));
                Value::Object(object)
            })
            .collect()
    }

    fn line(&self, setting: &Setting) -> (String, String) {
        let left = match &setting.value {
            Some(value) => format!("{} = {value}", setting.key),
            None => format!("# {}", setting.key),
        };
        let origin = OriginIn { file: &self.file, origin: &setting.origin };
        let right = match setting.note {
            Some(note) => format!("{origin}: {note}"),
            None => origin.to_string(),
        };
        (left, right)
    }

    fn origin_json(&self, origin: &Origin) -> Value {
        match origin {
            Origin::Default => json!({ "kind": "default" }),
            Origin::File { line } => json!({ "kind": "file", "file": self.file, "line": line }),
            Origin::Environment(name) => json!({ "kind": "environment", "name": name }),
            Origin::Flag(key) => json!({ "kind": "flag", "name": key }),
        }
    }
}

/// An origin in the words of a comment.
struct OriginIn<'a> {
    file: &'a str,
    origin: &'a Origin,
}

impl fmt::Display for OriginIn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            Origin::Default => f.write_str("default"),
            Origin::File { line } => write!(f, "{}:{line}", self.file),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(key) => write!(f, "flag {key}"),
        }
    }
}
