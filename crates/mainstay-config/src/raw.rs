//! The configuration as a tree of values, each of which knows where it came from.
//!
//! The tree is the file's; what the environment and flags say is laid over it, so that a reader sees one tree and no
//! precedence. Order is the file's.

use std::sync::Arc;

use toml_span::{Span, Value, value::ValueInner};

/// Brackets may nest this deep, and a key may have so many dots; the parser calls itself for each.
const DEPTH_MAX: usize = 64;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum At {
    /// Nobody gave it.
    Default,
    /// Bytes of the file.
    File(usize, usize),
    /// A variable of the environment, by its name.
    Environment(Arc<str>),
    /// A flag, by the key it sets.
    Flag(Arc<str>),
}

impl From<Span> for At {
    fn from(span: Span) -> Self {
        Self::File(span.start, span.end)
    }
}

/// A value and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub(crate) raw: Raw,
    pub(crate) at: At,
}

/// A value without a type of ours.
#[derive(Debug, Clone)]
pub(crate) enum Raw {
    /// What has no quotes to tell text from number: from a flag, the environment or a default. Its reader decides.
    Word(String),
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    List(Vec<Tree>),
    Table(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: At,
    pub(crate) node: Tree,
}

/// Why a text is no tree.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) message: String,
    pub(crate) span: (usize, usize),
}

/// Reads TOML.
pub(crate) fn parse(text: &str) -> Result<Tree, SyntaxError> {
    if let Some(at) = too_deep(text.as_bytes()) {
        let message = "brackets or dotted keys are nested too deep".to_owned();
        return Err(SyntaxError { message, span: (at, at + 1) });
    }
    let mut root = toml_span::parse(text)
        .map_err(|error| SyntaxError { message: error.to_string(), span: (error.span.start, error.span.end) })?;
    Ok(convert(&mut root))
}

/// Where brackets or the levels of a key nest too deep. Texts and comments do not count.
fn too_deep(text: &[u8]) -> Option<usize> {
    let (mut at, mut depth, mut dots) = (0, 0_usize, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'#' => at = line_end(text, at),
            b'"' | b'\'' => at = string_end(text, at, *byte),
            b'[' | b'{' => (depth, dots) = (depth + 1, 0),
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'.' => dots += 1,
            b'=' | b',' | b'\n' => dots = 0,
            _ => {}
        }
        if depth > DEPTH_MAX || dots > DEPTH_MAX {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// The last byte of the line that `at` stands in, before its break.
fn line_end(text: &[u8], at: usize) -> usize {
    text[at..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |length| at + length - 1)
}

/// The last byte of the string that begins at `at`; one that nobody closes ends with its line, or with the text.
fn string_end(text: &[u8], at: usize, quote: u8) -> usize {
    let triple = [quote; 3];
    let long = text[at..].starts_with(&triple);
    let close: &[u8] = if long { &triple } else { &triple[..1] };
    let mut next = at + close.len();
    while let Some(byte) = text.get(next) {
        match byte {
            b'\\' if quote == b'"' => next += 1,
            b'\n' if !long => return next - 1,
            _ if text[next..].starts_with(close) => return next + close.len() - 1,
            _ => {}
        }
        next += 1;
    }
    text.len()
}

fn convert(value: &mut Value<'_>) -> Tree {
    let at = At::from(value.span);
    let raw = match value.take() {
        ValueInner::String(text) => Raw::Text(text.into_owned()),
        ValueInner::Integer(number) => Raw::Integer(number),
        ValueInner::Float(number) => Raw::Float(number),
        ValueInner::Boolean(truth) => Raw::Bool(truth),
        ValueInner::Array(list) => Raw::List(list.into_iter().map(|mut item| convert(&mut item)).collect()),
        ValueInner::Table(table) => {
            let mut entries: Vec<Entry> = table
                .into_iter()
                .map(|(key, mut value)| Entry {
                    key: key.name.into_owned(),
                    key_at: key.span.into(),
                    node: convert(&mut value),
                })
                .collect();
            entries.sort_by_key(Entry::start);
            Raw::Table(entries)
        }
    };
    Tree { raw, at }
}

impl Entry {
    fn start(&self) -> usize {
        match self.key_at {
            At::File(start, _) => start,
            _ => usize::MAX,
        }
    }
}

impl Tree {
    /// A value written without the help of a file: a list or a table when it looks like one, else a word.
    pub(crate) fn word(text: &str, at: &At) -> Self {
        let looks_like_toml = text.trim_start().starts_with(['[', '{']);
        let parsed = looks_like_toml.then(|| parse(&format!("v = {text}")).ok()).flatten();
        let raw = match parsed.map(|node| node.raw) {
            Some(Raw::Table(mut entries)) if entries.len() == 1 => entries.remove(0).node.placed_at(at).raw,
            _ => Raw::Word(text.to_owned()),
        };
        Self { raw, at: at.clone() }
    }

    /// The same value, all of it from `at`.
    fn placed_at(mut self, at: &At) -> Self {
        self.at = at.clone();
        self.raw = match self.raw {
            Raw::List(items) => Raw::List(items.into_iter().map(|item| item.placed_at(at)).collect()),
            Raw::Table(entries) => {
                let place = |entry: Entry| Entry { key_at: at.clone(), node: entry.node.placed_at(at), ..entry };
                Raw::Table(entries.into_iter().map(place).collect())
            }
            other => other,
        };
        self
    }

    /// The value of `key`, when this is a table that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        match &self.raw {
            Raw::Table(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The text, when this is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.raw {
            Raw::Word(text) | Raw::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether this says what the word `text` says.
    pub(crate) fn says(&self, text: &str) -> bool {
        match (&self.raw, &Self::word(text, &At::Default).raw) {
            (Raw::List(items), Raw::List(others)) => items.is_empty() && others.is_empty(),
            (Raw::Table(entries), Raw::Table(others)) => entries.is_empty() && others.is_empty(),
            (Raw::Bool(truth), Raw::Word(word)) => truth.to_string() == *word,
            (Raw::Word(given) | Raw::Text(given), Raw::Word(word)) => given == word,
            _ => false,
        }
    }

    /// What it is, for a message.
    pub(crate) fn describe(&self) -> String {
        match &self.raw {
            Raw::Word(text) | Raw::Text(text) => format!("{text:?}"),
            Raw::Integer(number) => format!("the number {number}"),
            Raw::Float(number) => format!("the number {number}"),
            Raw::Bool(truth) => truth.to_string(),
            Raw::List(_) => "a list".to_owned(),
            Raw::Table(_) => "a table".to_owned(),
        }
    }

    /// It as TOML, on one line.
    pub(crate) fn to_toml(&self) -> String {
        match &self.raw {
            Raw::Word(word) if is_bare(word) => word.clone(),
            Raw::Word(text) | Raw::Text(text) => quoted(text),
            Raw::Integer(number) => number.to_string(),
            Raw::Float(number) => format!("{number:?}"),
            Raw::Bool(truth) => truth.to_string(),
            Raw::List(items) => format!("[{}]", items.iter().map(Self::to_toml).collect::<Vec<_>>().join(", ")),
            Raw::Table(entries) if entries.is_empty() => "{}".to_owned(),
            Raw::Table(entries) => {
                let pair = |entry: &Entry| format!("{} = {}", key_text(&entry.key), entry.node.to_toml());
                format!("{{ {} }}", entries.iter().map(pair).collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// It as JSON.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.raw {
            Raw::Word(word) if is_bare(word) => word.parse().unwrap_or_else(|_| word.clone().into()),
            Raw::Word(text) | Raw::Text(text) => text.clone().into(),
            Raw::Integer(number) => (*number).into(),
            Raw::Float(number) => (*number).into(),
            Raw::Bool(truth) => (*truth).into(),
            Raw::List(items) => items.iter().map(Self::to_json).collect(),
            Raw::Table(entries) => entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json())).collect(),
        }
    }
}

/// Whether a word is a number or a truth value, which TOML writes without quotes.
fn is_bare(word: &str) -> bool {
    matches!(word, "true" | "false") || word.parse::<i64>().is_ok_and(|number| number.to_string() == word)
}

/// A key as TOML writes it.
pub(crate) fn key_text(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { key.to_owned() } else { quoted(key) }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_reads_back_as_it_was_written() {
        let text = r#"{ a = [1, 2.5, true, "x\"\\\n\u0001"], "b c" = {}, d-e = "é" }"#;
        let node = Tree::word(text, &At::Default);
        assert_eq!(node.to_toml(), text);
        assert_eq!(Tree::word(&node.to_toml(), &At::Default).to_toml(), text);
    }

    #[test]
    fn a_word_is_whatever_its_reader_wants() {
        for (word, toml) in [("10", "10"), ("true", "true"), ("250ms", "\"250ms\""), ("[", "\"[\""), ("", "\"\"")] {
            assert_eq!(Tree::word(word, &At::Default).to_toml(), toml);
        }
    }

    #[test]
    fn a_tower_of_brackets_is_refused_before_it_falls() {
        for tower in [
            format!("a = {}", "[".repeat(1_000_000)),
            format!("a = {}", "{ a = ".repeat(100_000)),
            format!("a = {}", "[\ntrue, \"=\", ".repeat(100_000)),
            format!("{}a = 1", "a.".repeat(100_000)),
            format!("[{}a]", "\"=\" . ".repeat(100_000)),
        ] {
            let error = parse(&tower).unwrap_err();
            assert_eq!(error.message, "brackets or dotted keys are nested too deep");
        }
    }

    #[test]
    fn brackets_in_texts_and_comments_hold_nothing_up() {
        assert!(parse(&format!("a = {}1{}", "[".repeat(60), "]".repeat(60))).is_ok());
        let route = r#"[[route]] # [[[
path = "~[[(\"{" # "
host = '[[[\'
text = """ [ " [ \""" [ """
addresses = ["10.0.0.1:80", "10.0.0.2:80", 1.5]
"#;
        assert!(parse(&route.repeat(1_000)).is_ok());
    }
}
