//! How a single value is read: from a number, a text or a list to a type that holds its range.
//!
//! A type here is a contract about one value, so a section of the configuration that reads a [`Positive`] cannot get
//! zero. Ranges over several keys are the sections' matter.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use mainstay_core::{Bytes, Duration, Limit, Rate, Ratio};

use crate::hint;
use crate::model::{BodyMatch, Cidr, Pattern, ValueMatch};
use crate::raw::{At, Raw, Tree};

/// What is wrong with a value.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    /// Where, when it is only a part of the value.
    pub(crate) at: Option<At>,
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, at: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The value is not of the kind that is wanted.
    pub(crate) fn wanted(wanted: impl fmt::Display, node: &Tree) -> Self {
        Self::new(format!("expected {wanted}, found {}", node.describe()))
    }
}

/// A value, or all that is wrong with it.
pub(crate) type Read<T> = Result<T, Vec<Fault>>;

/// What can be read from one value.
pub(crate) trait Value: Sized {
    fn read(node: &Tree) -> Read<Self>;
}

/// Reads a text by its type's own parser, whose error says what it expects.
fn parsed<T: FromStr<Err: fmt::Display>>(node: &Tree) -> Read<T> {
    let Some(text) = node.text() else { return Err(vec![missing_quotes::<T>(node)]) };
    text.parse().map_err(|error: T::Err| {
        let fault = Fault::new(format!("{error}, found {}", node.describe()));
        vec![Fault { help: hint::unit::<T>(text), ..fault }]
    })
}

/// A number where a text is wanted is most often a number without its unit; the parser's own words tell which.
fn missing_quotes<T: FromStr<Err: fmt::Display>>(node: &Tree) -> Fault {
    match "".parse::<T>() {
        Err(expectation) => {
            let help = if let Raw::Integer(number) = node.raw { hint::unit::<T>(&number.to_string()) } else { None };
            Fault { help, ..Fault::new(format!("{expectation}, found {}", node.describe())) }
        }
        Ok(_) => Fault::wanted("a text", node),
    }
}

fn one(fault: Fault) -> Vec<Fault> {
    vec![fault]
}

impl Value for String {
    fn read(node: &Tree) -> Read<Self> {
        node.text().map(str::to_owned).ok_or_else(|| one(Fault::wanted("a text in quotes", node)))
    }
}

impl Value for bool {
    fn read(node: &Tree) -> Read<Self> {
        match &node.raw {
            Raw::Bool(truth) => Ok(*truth),
            Raw::Word(word) => word.parse().map_err(|_| one(Fault::wanted("true or false", node))),
            _ => Err(one(Fault::wanted("true or false", node))),
        }
    }
}

impl Value for PathBuf {
    fn read(node: &Tree) -> Read<Self> {
        match node.text() {
            Some(text) if !text.is_empty() && !text.contains('\0') => Ok(text.into()),
            _ => Err(one(Fault::wanted("the path of a file or directory", node))),
        }
    }
}

impl Value for Duration {
    fn read(node: &Tree) -> Read<Self> {
        parsed(node).map_err(|mut faults| {
            if let Raw::Integer(number) = node.raw {
                faults.iter_mut().for_each(|fault| fault.help = Some(format!("write \"{number}s\" for seconds")));
            }
            faults
        })
    }
}

impl Value for Rate {
    fn read(node: &Tree) -> Read<Self> {
        parsed(node)
    }
}

impl Value for Bytes {
    fn read(node: &Tree) -> Read<Self> {
        parsed(node)
    }
}

impl Value for Cidr {
    fn read(node: &Tree) -> Read<Self> {
        parsed(node)
    }
}

impl Value for Ratio {
    fn read(node: &Tree) -> Read<Self> {
        let number = match node.raw {
            Raw::Integer(number) => number as f64,
            Raw::Float(number) => number,
            _ => return parsed(node),
        };
        Self::new(number).map_err(|_| {
            let fault = Fault::wanted("a share from 0% to 100%, as in \"20%\" or 0.2", node);
            one(if (1.0..=100.0).contains(&number) { fault.help(format!("write \"{number}%\"")) } else { fault })
        })
    }
}

impl Value for SocketAddr {
    fn read(node: &Tree) -> Read<Self> {
        let fault = || Fault::wanted("an address and a port, as in \"127.0.0.1:8080\" or \"[::1]:8080\"", node);
        let text = node.text().ok_or_else(|| one(fault()))?;
        text.parse().map_err(|_| one(Fault { help: hint::address(text), ..fault() }))
    }
}

/// A whole number from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) u32);

impl Value for Count {
    fn read(node: &Tree) -> Read<Self> {
        whole(node, 1, u32::MAX).map(Self)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A weight: up to a million, so that sums of them stay small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weight(pub(crate) u32);

impl Value for Weight {
    fn read(node: &Tree) -> Read<Self> {
        whole(node, 0, 1_000_000).map(Self)
    }
}

/// A whole number from 0.
impl Value for u32 {
    fn read(node: &Tree) -> Read<Self> {
        whole(node, 0, Self::MAX)
    }
}

/// A status that a response may end with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u16);

impl Value for Status {
    fn read(node: &Tree) -> Read<Self> {
        whole(node, 200, 599).map(|status| Self(status as u16))
    }
}

/// A whole number within a range.
pub(crate) fn whole(node: &Tree, min: u32, max: u32) -> Read<u32> {
    let number = match &node.raw {
        Raw::Integer(number) => Some(*number),
        Raw::Word(word) => word.parse().ok(),
        _ => None,
    };
    let in_range = number.and_then(|number| u32::try_from(number).ok()).filter(|number| (min..=max).contains(number));
    in_range.ok_or_else(|| {
        let range = if max == u32::MAX { format!("from {min}") } else { format!("from {min} to {max}") };
        one(Fault::wanted(format!("a whole number {range}"), node))
    })
}

/// More than nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Positive<T>(pub(crate) T);

/// What may be nothing, and what to say when it must not.
pub(crate) trait Amount: Value {
    const EMPTY: &'static str;
    fn is_nothing(&self) -> bool;
}

impl Amount for Duration {
    const EMPTY: &'static str = "expected a length of time above zero";
    fn is_nothing(&self) -> bool {
        self.is_zero()
    }
}

impl Amount for Bytes {
    const EMPTY: &'static str = "expected a size above zero";
    fn is_nothing(&self) -> bool {
        self.0 == 0
    }
}

impl Amount for Ratio {
    const EMPTY: &'static str = "expected a share above 0%";
    fn is_nothing(&self) -> bool {
        self.get() <= 0.0
    }
}

impl<T: Amount> Value for Positive<T> {
    fn read(node: &Tree) -> Read<Self> {
        let amount = T::read(node)?;
        if amount.is_nothing() {
            return Err(one(Fault::new(format!("{}, found {}", T::EMPTY, node.describe()))));
        }
        Ok(Self(amount))
    }
}

/// `"off"`, or a value.
impl<T: Value> Value for Option<T> {
    fn read(node: &Tree) -> Read<Self> {
        if node.text() == Some("off") {
            return Ok(None);
        }
        T::read(node).map(Some).map_err(|mut faults| {
            faults.iter_mut().filter(|_| is_zero(node) || says_none(node)).for_each(|fault| {
                fault.help = Some("for not at all, write \"off\"".to_owned());
            });
            faults
        })
    }
}

/// `"unlimited"`, or a value.
impl<T: Value> Value for Limit<T> {
    fn read(node: &Tree) -> Read<Self> {
        if node.text() == Some("unlimited") {
            return Ok(Self::Unlimited);
        }
        T::read(node).map(Self::At).map_err(|mut faults| {
            faults.iter_mut().filter(|_| is_zero(node) || says_none(node) || node.text() == Some("off")).for_each(
                |fault| {
                    fault.help = Some("for no ceiling, write \"unlimited\"".to_owned());
                },
            );
            faults
        })
    }
}

/// Whether it is another program's word for none.
fn says_none(node: &Tree) -> bool {
    matches!(node.raw, Raw::Bool(false)) || node.text().is_some_and(hint::means_none)
}

/// Whether it is a zero, with or without a unit.
fn is_zero(node: &Tree) -> bool {
    match &node.raw {
        Raw::Integer(0) => true,
        Raw::Text(text) | Raw::Word(text) => {
            text.starts_with('0') && !text.contains(|c: char| ('1'..='9').contains(&c))
        }
        _ => false,
    }
}

/// `"auto"`, or a number from 1 to 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Workers(pub(crate) Option<NonZeroUsize>);

impl Value for Workers {
    fn read(node: &Tree) -> Read<Self> {
        if node.text() == Some("auto") {
            return Ok(Self(None));
        }
        match whole(node, 1, 1024) {
            Ok(number) => Ok(Self(NonZeroUsize::new(number as usize))),
            Err(_) => Err(one(Fault::wanted("\"auto\" or a whole number from 1 to 1024", node))),
        }
    }
}

/// The name of something in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) String);

impl Value for Name {
    fn read(node: &Tree) -> Read<Self> {
        let fault = || one(Fault::wanted("a name", node));
        let text = node.text().ok_or_else(fault)?;
        name_fault(text).map_or_else(|| Ok(Self(text.to_owned())), |fault| Err(one(fault)))
    }
}

/// What is wrong with `name`. Names stand in metrics, URLs and messages, where anything else would need quoting.
pub(crate) fn name_fault(name: &str) -> Option<Fault> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if !name.is_empty() && name.len() <= 64 && name.bytes().all(fine) {
        return None;
    }
    Some(Fault::new(format!("expected a name of up to 64 letters, digits, -, _ and ., found {name:?}")))
}

/// `"~pattern"`, or the value itself.
impl Value for ValueMatch {
    fn read(node: &Tree) -> Read<Self> {
        let text = String::read(node)?;
        match text.strip_prefix('~') {
            Some(pattern) => Pattern::parse(pattern).map(Self::Pattern).map_err(|message| one(Fault::new(message))),
            None => Ok(Self::Exact(text)),
        }
    }
}

/// `"~pattern"`, or a text that is to be found.
impl Value for BodyMatch {
    fn read(node: &Tree) -> Read<Self> {
        match ValueMatch::read(node)? {
            ValueMatch::Exact(text) if text.is_empty() => {
                let fault = Fault::new("an empty text is found in every answer");
                Err(one(fault.help("leave it away, or name what the answer of a well instance contains")))
            }
            ValueMatch::Exact(text) => Ok(Self::Contains(text)),
            ValueMatch::Pattern(pattern) => Ok(Self::Pattern(pattern)),
        }
    }
}

/// What is wrong with a value that stands alone where a list is wanted.
pub(crate) fn no_list(node: &Tree) -> Fault {
    let fault = Fault::wanted("a list, as in [\"…\"]", node);
    if matches!(node.raw, Raw::Table(_)) { fault } else { fault.help(format!("write [{}]", node.to_toml())) }
}

/// A list; what is wrong with one item does not hide what is wrong with the next.
impl<T: Value> Value for Vec<T> {
    fn read(node: &Tree) -> Read<Self> {
        let Raw::List(items) = &node.raw else {
            return Err(one(no_list(node)));
        };
        let (mut values, mut faults) = (Vec::new(), Vec::new());
        for item in items {
            match T::read(item) {
                Ok(value) => values.push(value),
                Err(found) => faults.extend(
                    found.into_iter().map(|fault| Fault { at: fault.at.or_else(|| Some(item.at.clone())), ..fault }),
                ),
            }
        }
        if faults.is_empty() { Ok(values) } else { Err(faults) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Value>(text: &str) -> Result<T, String> {
        let tree = crate::raw::parse(&format!("v = {text}")).unwrap();
        T::read(&tree.get("v").unwrap().node).map_err(|faults| {
            let line = |fault: &Fault| format!("{} | {}", fault.message, fault.help.as_deref().unwrap_or(""));
            faults.iter().map(line).collect::<Vec<_>>().join("\n")
        })
    }

    #[test]
    fn zero_never_stands_for_none() {
        let message = read::<Limit<Count>>("0").unwrap_err();
        assert_eq!(message, "expected a whole number from 1, found the number 0 | for no ceiling, write \"unlimited\"");
        let message = read::<Option<Positive<Duration>>>("\"0s\"").unwrap_err();
        assert_eq!(message, "expected a length of time above zero, found \"0s\" | for not at all, write \"off\"");
        assert_eq!(read::<Limit<Count>>("\"unlimited\""), Ok(Limit::Unlimited));
        assert_eq!(read::<Option<Count>>("\"off\""), Ok(None));
    }

    #[test]
    fn a_number_without_its_unit_is_told_of_it() {
        assert!(read::<Duration>("5").unwrap_err().ends_with("found the number 5 | write \"5s\" for seconds"));
        assert!(read::<Bytes>("5").unwrap_err().contains("\"64KiB\", found the number 5"));
        assert!(read::<Ratio>("20").unwrap_err().ends_with("write \"20%\""));
        assert_eq!(read::<Ratio>("0.2"), Ok(Ratio::percent(20)));
        assert_eq!(read::<Ratio>("1"), Ok(Ratio::ONE));
    }

    #[test]
    fn every_fault_of_a_list_is_found() {
        let message = read::<Vec<Cidr>>("[\"10.0.0.0/8\", \"x\", 3]").unwrap_err();
        assert_eq!(message.lines().count(), 2);
    }

    #[test]
    fn what_a_range_excludes_is_refused() {
        for text in ["-1", "4294967296", "1.0", "\"1\"", "true"] {
            assert!(read::<Count>(text).is_err(), "{text}");
        }
        assert!(read::<Weight>("1000001").is_err());
        assert!(read::<Status>("199").is_err());
        assert!(read::<Workers>("0").is_err());
        assert!(read::<Name>("\"two words\"").is_err());
    }
}
