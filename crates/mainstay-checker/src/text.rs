//! A history as text, one operation a line, so that one that failed can be kept, read, cut down and judged again.
//!
//! ```text
//! # client  called  returned  call = outcome
//! 1   0   10  put x "a" = done
//! 2   5   20  get x = nil
//! 2  30   35  cas x "a" "b" = true
//! 3  31    ?  append x "c" = ?
//! 4  50   60  txn if x = "bc" y != nil then put y "1" ; get x else delete x = else [true]
//! ```
//!
//! A key is a word or stands in quotes; a value stands in quotes, with its bytes as Rust writes them, or is `nil`. An outcome
//! is `?` (unknown), `refused`, `done`, a value, `true` or `false`, or of a transaction `then` or `else` with the answers.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::history::{Call, Compare, History, Operation, Outcome, Value};

/// A line that is no operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAHistory {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for NotAHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for NotAHistory {}

impl FromStr for History {
    type Err = NotAHistory;

    fn from_str(text: &str) -> Result<Self, NotAHistory> {
        let mut operations = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                let operation = read(line).map_err(|what| NotAHistory { line: number, what })?;
                operations.push(operation);
            }
        }
        Ok(Self { operations })
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operations.iter().try_for_each(|operation| writeln!(f, "{}", line(operation)))
    }
}

/// A key.
pub(crate) fn word(key: &Bytes) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./:".contains(byte);
    let is_word = !key.is_empty() && key.iter().all(is_plain);
    if is_word { String::from_utf8_lossy(key).into_owned() } else { quoted(key) }
}

fn quoted(bytes: &Bytes) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

/// A value.
pub(crate) fn value(value: &Value) -> String {
    value.as_ref().map_or_else(|| "nil".to_owned(), quoted)
}

/// An operation.
pub(crate) fn line(operation: &Operation) -> String {
    let Operation { client, called, returned, call: what, outcome: how } = operation;
    let returned = if *how == Outcome::Unknown { "?".to_owned() } else { returned.to_string() };
    format!("{client} {called} {returned} {} = {}", call(what), outcome(how))
}

fn call(call: &Call) -> String {
    match call {
        Call::Get { key } => format!("get {}", word(key)),
        Call::Put { key, value } => format!("put {} {}", word(key), quoted(value)),
        Call::Append { key, suffix } => format!("append {} {}", word(key), quoted(suffix)),
        Call::CompareAndSwap { key, expected, value: to } => {
            format!("cas {} {} {}", word(key), value(expected), quoted(to))
        }
        Call::Delete { key } => format!("delete {}", word(key)),
        Call::Transaction { compares, then, otherwise } => {
            let compare = |compare: &Compare| {
                let sign = if compare.equal { "=" } else { "!=" };
                format!(" {} {sign} {}", word(&compare.key), value(&compare.value))
            };
            let compares: String = compares.iter().map(compare).collect();
            format!("txn if{compares} then{} else{}", calls(then), calls(otherwise))
        }
    }
}

fn calls(calls: &[Call]) -> String {
    let words: Vec<String> = calls.iter().map(|inner| format!(" {}", call(inner))).collect();
    words.join(" ;")
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Unknown => "?".to_owned(),
        Outcome::Refused => "refused".to_owned(),
        Outcome::Done => "done".to_owned(),
        Outcome::Value(found) => value(found),
        Outcome::Was(was) => was.to_string(),
        Outcome::Transaction { held, answers } => {
            let answers: Vec<String> = answers.iter().map(self::outcome).collect();
            format!("{} [{}]", if *held { "then" } else { "else" }, answers.join(" "))
        }
    }
}

fn read(line: &str) -> Result<Operation, String> {
    let tokens = tokens(line)?;
    let mut words = Words { tokens: &tokens };
    let client = words.number()?;
    let called = words.number()?;
    let returned = if words.takes("?") { u64::MAX } else { words.number()? };
    let call = words.call()?;
    words.expect("=")?;
    let outcome = words.outcome()?;
    match words.tokens.first() {
        Some(more) => Err(format!("{more:?} after the outcome")),
        None => Ok(Operation { client, called, returned, call, outcome }),
    }
}

/// A word, or what stood in quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(Bytes),
}

fn tokens(line: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        if let Some(text) = rest.strip_prefix('"') {
            let end = closing(text).ok_or("a quote that does not end")?;
            tokens.push(Token::Quoted(unescaped(&text[..end])?));
            rest = &text[end + 1..];
        } else if let Some(after) = rest.strip_prefix(['[', ']', ';']) {
            tokens.push(Token::Word(rest[..1].to_owned()));
            rest = after;
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || "[];\"".contains(c)).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

/// Where the quote is that ends a text.
fn closing(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })
}

fn unescaped(text: &str) -> Result<Bytes, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let plain = match byte {
            b'\\' => match rest.next() {
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(itself @ (b'\\' | b'\'' | b'"')) => itself,
                Some(b'x') => {
                    let mut digit = || char::from(rest.next().unwrap_or(b' ')).to_digit(16);
                    let value = digit().zip(digit()).map(|(high, low)| (high << 4 | low) as u8);
                    value.ok_or("a backslash that means nothing")?
                }
                _ => return Err("a backslash that means nothing".to_owned()),
            },
            plain => plain,
        };
        bytes.push(plain);
    }
    Ok(bytes.into())
}

/// The tokens that are left.
struct Words<'a> {
    tokens: &'a [Token],
}

impl Words<'_> {
    fn next(&mut self) -> Result<Token, String> {
        self.tokens.split_off_first().cloned().ok_or_else(|| "it ends too soon".to_owned())
    }

    fn is(&self, word: &str) -> bool {
        matches!(self.tokens.first(), Some(Token::Word(next)) if next == word)
    }

    /// Takes a word if it is the next.
    fn takes(&mut self, word: &str) -> bool {
        let is = self.is(word);
        if is {
            self.tokens = &self.tokens[1..];
        }
        is
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        if self.takes(word) { Ok(()) } else { Err(format!("{word:?} should come before {:?}", self.tokens.first())) }
    }

    fn number(&mut self) -> Result<u64, String> {
        match self.next()? {
            Token::Word(word) => word.parse().map_err(|_| format!("{word:?} is no number")),
            Token::Quoted(_) => Err("a value where a number should be".to_owned()),
        }
    }

    fn key(&mut self) -> Result<Bytes, String> {
        Ok(match self.next()? {
            Token::Word(word) => word.into(),
            Token::Quoted(key) => key,
        })
    }

    fn bytes(&mut self) -> Result<Bytes, String> {
        match self.next()? {
            Token::Quoted(value) => Ok(value),
            Token::Word(word) => Err(format!("{word:?} is no value: a value stands in quotes")),
        }
    }

    fn value(&mut self) -> Result<Value, String> {
        if self.takes("nil") { Ok(None) } else { self.bytes().map(Some) }
    }

    fn call(&mut self) -> Result<Call, String> {
        let Token::Word(name) = self.next()? else { return Err("a value where a call should be".to_owned()) };
        Ok(match name.as_str() {
            "get" => Call::Get { key: self.key()? },
            "put" => Call::Put { key: self.key()?, value: self.bytes()? },
            "append" => Call::Append { key: self.key()?, suffix: self.bytes()? },
            "cas" => Call::CompareAndSwap { key: self.key()?, expected: self.value()?, value: self.bytes()? },
            "delete" => Call::Delete { key: self.key()? },
            "txn" => {
                self.expect("if")?;
                let mut compares = Vec::new();
                while !self.takes("then") {
                    let key = self.key()?;
                    let equal = self.takes("=");
                    if !equal {
                        self.expect("!=")?;
                    }
                    compares.push(Compare { key, equal, value: self.value()? });
                }
                let then = self.calls("else")?;
                self.expect("else")?;
                Call::Transaction { compares, then, otherwise: self.calls("=")? }
            }
            other => return Err(format!("{other:?} is no call")),
        })
    }

    fn calls(&mut self, until: &str) -> Result<Vec<Call>, String> {
        let mut calls = Vec::new();
        while !self.is(until) {
            calls.push(self.call()?);
            if !self.takes(";") {
                break;
            }
        }
        Ok(calls)
    }

    fn outcome(&mut self) -> Result<Outcome, String> {
        for (word, outcome) in [
            ("?", Outcome::Unknown),
            ("refused", Outcome::Refused),
            ("done", Outcome::Done),
            ("true", Outcome::Was(true)),
            ("false", Outcome::Was(false)),
        ] {
            if self.takes(word) {
                return Ok(outcome);
            }
        }
        let held = self.takes("then");
        if !held && !self.takes("else") {
            return self.value().map(Outcome::Value);
        }
        self.expect("[")?;
        let mut answers = Vec::new();
        while !self.takes("]") {
            answers.push(self.outcome()?);
        }
        Ok(Outcome::Transaction { held, answers })
    }
}
