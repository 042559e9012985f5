//! A value of a list or a table while it is read, and what is said of a value that is not what it should be.

use crate::raw::{At, Raw, Tree};
use crate::section::Section;
use crate::sink::Sink;
use crate::suggest::nearest;
use crate::value::{Fault, Read, Value};

/// A value in a list or table while it is read.
pub(crate) struct Item<'a> {
    pub(crate) sink: &'a Sink<'a>,
    pub(crate) node: &'a Tree,
    /// Where it stands, as `service.shop.endpoints[0]`.
    pub(crate) path: String,
}

impl<'a> Item<'a> {
    /// The value.
    pub(crate) fn read<T: Value>(&self) -> Option<T> {
        noted(self.sink, &self.node.at, &self.path, T::read(self.node))
    }

    /// Whether it is a table.
    pub(crate) fn is_table(&self) -> bool {
        matches!(self.node.raw, Raw::Table(_))
    }

    /// The table.
    pub(crate) fn table<R>(&self, read: impl FnOnce(&mut Section<'a>) -> R) -> R {
        Section::of_item(self.sink, self.node, self.path.clone(), read)
    }

    /// Notes that something is wrong with it.
    pub(crate) fn fault(&self, fault: Fault) {
        self.sink.error(Some(&self.node.at), &self.path, fault);
    }
}

/// The value, or its faults noted.
pub(crate) fn noted<T>(sink: &Sink<'_>, at: &At, path: &str, read: Read<T>) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(faults) => {
            faults.into_iter().for_each(|fault| sink.error(Some(at), path, fault));
            None
        }
    }
}

/// What is wrong with a word that is not one of `known`.
pub(crate) fn word_fault<'k>(node: &Tree, known: impl Iterator<Item = &'k str> + Clone, later: &[&'k str]) -> Fault {
    let word = node.text().unwrap_or_default();
    if later.contains(&word) {
        let help = format!("this version has {}", known.collect::<Vec<_>>().join(", "));
        return Fault::new(format!("{word:?} is known, but not in this version")).help(help);
    }
    let fault = Fault::wanted(format!("one of {}", known.clone().collect::<Vec<_>>().join(", ")), node);
    match nearest(word, known.chain(later.iter().copied())) {
        Some(meant) => fault.help(format!("did you mean {meant:?}?")),
        None => fault,
    }
}
