//! A table of the configuration while it is read.
//!
//! A section of the contract asks for each of its keys once, with its default in the contract's own spelling. From that
//! alone follow the type, the list of effective values with their origin, and what is unknown: whatever stands in the
//! table and was not asked for. So a section asks for the same keys whatever the values are.
//!
//! A value that is wrong leaves a problem behind and its default in its place, so that reading goes on and finds the
//! rest.

use crate::effective::Setting;
use crate::item::{Item, noted, word_fault};
use crate::model::Secret;
use crate::raw::{At, Entry, Raw, Tree, key_text};
use crate::sink::{GroupId, Sink};
use crate::source::SecretSource;
use crate::suggest::nearest;
use crate::value::{Fault, Read, Value, name_fault, no_list};

/// What is said of a key of the contract that this version does not have.
const LATER: &str = "inactive, not in this version";

/// A table while it is read.
pub(crate) struct Section<'a> {
    pub(crate) sink: &'a Sink<'a>,
    node: Option<&'a Tree>,
    /// Where it stands, as `service.shop.retry` or `route[0]`.
    path: String,
    /// The same as the header of a table in a file.
    header: String,
    /// Where its values are listed; a table within a list is listed with the list.
    group: Option<GroupId>,
    asked: Vec<&'static str>,
    /// Keys that must stand and do not, with what somebody might write.
    missing: Vec<(&'static str, String)>,
}

impl<'a> Section<'a> {
    /// Reads the whole file.
    pub(crate) fn root<R>(sink: &'a Sink<'a>, node: &'a Tree, read: impl FnOnce(&mut Section<'a>) -> R) -> R {
        let (path, header) = (String::new(), String::new());
        let root = Self { sink, node: Some(node), path, header, group: None, asked: Vec::new(), missing: Vec::new() };
        root.run(read)
    }

    /// Reads a table that stands in a list, and is listed with it.
    pub(crate) fn of_item<R>(
        sink: &'a Sink<'a>,
        node: &'a Tree,
        path: String,
        read: impl FnOnce(&mut Section<'a>) -> R,
    ) -> R {
        let header = path.clone();
        Self { sink, node: Some(node), path, header, group: None, asked: Vec::new(), missing: Vec::new() }.run(read)
    }

    fn run<R>(mut self, read: impl FnOnce(&mut Section<'a>) -> R) -> R {
        let result = read(&mut self);
        let meant = self.refuse_unknown();
        self.refuse_missing(&meant);
        result
    }

    /// The value of `key`, or its default.
    pub(crate) fn get<T: Value>(&mut self, key: &'static str, default: &str) -> T {
        if let Some(value) = self.find_listed(key, |section| section.list_default(key, default)) {
            return value;
        }
        match T::read(&Tree::word(default, &At::Default)) {
            Ok(value) => value,
            Err(_) => unreachable!("the default {default:?} of {key} is written here and read by every test"),
        }
    }

    /// The value of `key`, which has no default: without it, `absent` says what holds.
    pub(crate) fn find<T: Value>(&mut self, key: &'static str, absent: &'static str) -> Option<T> {
        self.find_listed(key, |section| section.list_absent(key, absent))
    }

    /// The value of `key`, which must stand; `example` is what somebody might write.
    pub(crate) fn need<T: Value>(&mut self, key: &'static str, example: &str) -> Option<T> {
        if self.given(key).is_none() {
            self.asked.push(key);
            self.missing.push((key, example.to_owned()));
            return None;
        }
        self.find(key, "")
    }

    /// One of several words. Those in `later` belong to the contract and not to this version.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        default: &str,
        words: &[(&'static str, T)],
        later: &[&'static str],
    ) -> Option<T> {
        let word: Placed = self.get(key, default);
        if let Some((_, value)) = words.iter().find(|(name, _)| word.is(name)) {
            return Some(*value);
        }
        self.fault(key, word_fault(&word.node, words.iter().map(|(name, _)| *name), later));
        None
    }

    /// A key of the contract that this version does not have: whatever is not `inactive` is refused.
    pub(crate) fn later(&mut self, key: &'static str, inactive: &str) {
        self.asked.push(key);
        let listed = Tree::word(inactive, &At::Default);
        self.list(key, Some(&listed), Some(LATER));
        let Some(entry) = self.given(key).filter(|entry| !entry.node.says(inactive)) else { return };
        let fault = Fault::new(format!("{key} is known, but not in this version"))
            .help(format!("leave it away, or write {key} = {}", listed.to_toml()));
        self.sink.error(Some(&entry.key_at), &self.path_of(key), fault);
    }

    /// A secret, or `"off"`. A variable of the environment that sets the key holds the secret itself, because there it
    /// is as safe as one that `{ env = … }` names.
    pub(crate) fn secret(&mut self, key: &'static str) -> Option<Secret> {
        if let Some(secret) = self.secret_of_environment(key) {
            return Some(secret);
        }
        let node: Option<NodeValue> = self.get(key, "off");
        let node = node?.0;
        let source = match secret_source(&node) {
            Ok(source) => source,
            Err(fault) => {
                self.sink.hide(&node.at);
                self.fault(key, fault);
                return None;
            }
        };
        match (self.sink.secrets)(&source) {
            Ok(text) if !text.is_empty() => return Some(Secret::new(text)),
            Ok(_) => self.fault(key, Fault::new(format!("the secret for {key} is empty"))),
            Err(message) => self.fault(key, Fault::new(message)),
        }
        None
    }

    fn secret_of_environment(&mut self, key: &'static str) -> Option<Secret> {
        let node = &self.given(key)?.node;
        let (At::Environment(name), Raw::Word(text)) = (&node.at, &node.raw) else { return None };
        if text.is_empty() || text == "off" {
            return None;
        }
        let listed = Tree::word(&format!("{{ env = \"{name}\" }}"), &node.at);
        self.list(key, Some(&listed), None);
        self.asked.push(key);
        Some(Secret::new(text.as_str()))
    }

    /// A table whose keys all have defaults: it is read whether it stands or not.
    pub(crate) fn table<R>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'a>) -> R) -> R {
        self.asked.push(key);
        let node = self.given(key).map(|entry| &entry.node);
        let node = node.filter(|node| self.is_table(&self.path_of(key), node));
        self.child(key, node).run(read)
    }

    /// A table that is on by default; `"off"` switches it off.
    pub(crate) fn on_unless_off<R>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'a>) -> R,
    ) -> Option<R> {
        if self.is_off(key) {
            return None;
        }
        Some(self.table(key, read))
    }

    /// A table that is off unless it stands.
    pub(crate) fn off_unless_given<R>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'a>) -> R,
    ) -> Option<R> {
        if self.given(key).is_none() {
            self.asked.push(key);
            self.list(key, Some(&Tree::word("off", &At::Default)), None);
            return None;
        }
        self.on_unless_off(key, read)
    }

    /// Every entry of a table of named tables, in the file's order; `None` where a name or what stands under it is wrong.
    pub(crate) fn named<R>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&str, &mut Section<'a>) -> Option<R>,
    ) -> Vec<Option<R>> {
        self.asked.push(key);
        let node = self.given(key).map(|entry| &entry.node).filter(|node| self.is_table(&self.path_of(key), node));
        let Some(Raw::Table(entries)) = node.map(|node| &node.raw) else { return Vec::new() };
        let outer = self.bare_child(key);
        entries.iter().map(|entry| outer.named_one(entry, &mut read)).collect()
    }

    fn named_one<R>(&self, entry: &'a Entry, read: &mut impl FnMut(&str, &mut Section<'a>) -> Option<R>) -> Option<R> {
        if let Some(fault) = name_fault(&entry.key) {
            self.sink.error(Some(&entry.key_at), &self.path_of(&entry.key), fault);
        }
        if !self.is_table(&self.path_of(&entry.key), &entry.node) {
            return None;
        }
        self.child(&entry.key, Some(&entry.node)).run(|section| read(&entry.key, section))
    }

    /// Every table of a list of tables (`[[key]]`).
    pub(crate) fn repeated<R>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Section<'a>) -> Option<R>,
    ) -> Vec<Option<R>> {
        self.asked.push(key);
        let Some(node) = self.given(key).map(|entry| &entry.node) else { return Vec::new() };
        let Raw::List(items) = &node.raw else {
            let fault = Fault::new(format!("there may be several of {key}, so it is a list of tables"));
            self.sink.error(
                Some(&node.at),
                key,
                fault.help(format!("write [[{key}]], with two brackets on each side")),
            );
            return Vec::new();
        };
        items.iter().enumerate().map(|(number, item)| self.repeated_one(key, number, item, &mut read)).collect()
    }

    /// As [`Section::repeated`] for what there is mostly one of: a single table (`[key]`) is a list of one.
    pub(crate) fn one_or_several<R>(
        &mut self,
        key: &'static str,
        read: impl FnMut(&mut Section<'a>) -> Option<R>,
    ) -> Vec<Option<R>> {
        if self.given(key).is_some_and(|entry| matches!(entry.node.raw, Raw::Table(_))) {
            return vec![self.table(key, read)];
        }
        self.repeated(key, read)
    }

    fn repeated_one<R>(
        &self,
        key: &str,
        number: usize,
        node: &'a Tree,
        read: &mut impl FnMut(&mut Section<'a>) -> Option<R>,
    ) -> Option<R> {
        let path = format!("{key}[{number}]");
        if !self.is_table(&path, node) {
            return None;
        }
        let group = Some(self.sink.group(format!("[[{key}]]")));
        Section {
            sink: self.sink,
            node: Some(node),
            path,
            header: key.to_owned(),
            group,
            asked: Vec::new(),
            missing: Vec::new(),
        }
        .run(read)
    }

    /// Every value of a list.
    pub(crate) fn items<R>(&mut self, key: &'static str, mut read: impl FnMut(&Item<'a>) -> Option<R>) -> Vec<R> {
        self.asked.push(key);
        let Some(entry) = self.given(key) else {
            self.list_default(key, "[]");
            return Vec::new();
        };
        self.list(key, Some(&entry.node), None);
        let Raw::List(items) = &entry.node.raw else {
            self.fault(key, no_list(&entry.node));
            return Vec::new();
        };
        let path = self.path_of(key);
        let item = |(number, node)| Item { sink: self.sink, node, path: format!("{path}[{number}]") };
        items.iter().enumerate().map(item).filter_map(|item| read(&item)).collect()
    }

    /// The value of `key` as it stands, for a reader of its own: without it, `absent` says what holds.
    pub(crate) fn item(&mut self, key: &'static str, absent: &'static str) -> Option<Item<'a>> {
        self.asked.push(key);
        let Some(entry) = self.given(key) else {
            self.list_absent(key, absent);
            return None;
        };
        self.list(key, Some(&entry.node), None);
        Some(Item { sink: self.sink, node: &entry.node, path: self.path_of(key) })
    }

    /// As [`Section::item`] for a key whose default is `"off"`.
    pub(crate) fn item_or_off(&mut self, key: &'static str) -> Option<Item<'a>> {
        if self.given(key).is_none() {
            self.asked.push(key);
            self.list_default(key, "off");
            return None;
        }
        self.item(key, "").filter(|item| item.node.text() != Some("off"))
    }

    /// Every pair of a table with free keys, in the file's order.
    pub(crate) fn pairs<R>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&'a str, &Item<'a>) -> Option<R>,
    ) -> Vec<R> {
        self.asked.push(key);
        let Some(entry) = self.given(key) else {
            self.list_default(key, "{}");
            return Vec::new();
        };
        self.list(key, Some(&entry.node), None);
        let Raw::Table(entries) = &entry.node.raw else {
            self.fault(key, Fault::wanted("a table, as in { name = \"value\" }", &entry.node));
            return Vec::new();
        };
        let path = self.path_of(key);
        let item = |entry: &'a Entry| {
            let path = format!("{path}.{}", key_text(&entry.key));
            (entry.key.as_str(), Item { sink: self.sink, node: &entry.node, path })
        };
        entries.iter().map(item).filter_map(|(key, item)| read(key, &item)).collect()
    }

    /// What stands under `key`.
    pub(crate) fn given(&self, key: &str) -> Option<&'a Entry> {
        self.node?.get(key)
    }

    /// Notes that something is wrong with the value of `key`, given or not.
    pub(crate) fn fault(&self, key: &str, fault: Fault) {
        let at = self.given(key).map(|entry| entry.node.at.clone()).or_else(|| self.at());
        self.sink.error(at.as_ref(), &self.path_of(key), fault);
    }

    /// The value of `key` may not be less than that of `floor`.
    pub(crate) fn not_below<T: PartialOrd + std::fmt::Display>(&self, key: &str, value: &T, floor: &str, least: &T) {
        if value < least {
            self.fault(key, Fault::new(format!("{key} ({value}) is less than {floor} ({least})")));
        }
    }

    /// The line in which the table begins.
    pub(crate) fn line(&self) -> Option<u32> {
        self.at().and_then(|at| self.sink.line_of(&at))
    }

    /// Where the table begins; what names it, not all that it holds.
    pub(crate) fn at(&self) -> Option<At> {
        self.node.map(|node| node.at.clone())
    }

    /// Where it stands, as `route[0]`.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    fn find_listed<T: Value>(&mut self, key: &'static str, absent: impl FnOnce(&Self)) -> Option<T> {
        self.asked.push(key);
        let Some(entry) = self.given(key) else {
            absent(self);
            return None;
        };
        self.list(key, Some(&entry.node), None);
        noted(self.sink, &entry.node.at, &self.path_of(key), T::read(&entry.node))
    }

    /// Whether the table `key` is switched off; lists that it is.
    fn is_off(&mut self, key: &'static str) -> bool {
        let Some(entry) = self.given(key).filter(|entry| entry.node.text() == Some("off")) else { return false };
        self.asked.push(key);
        self.list(key, Some(&entry.node), None);
        true
    }

    fn is_table(&self, path: &str, node: &Tree) -> bool {
        let table = matches!(node.raw, Raw::Table(_));
        if !table {
            self.sink.error(Some(&node.at), path, Fault::wanted("a table", node));
        }
        table
    }

    fn child(&self, key: &str, node: Option<&'a Tree>) -> Section<'a> {
        let mut child = Section { node, ..self.bare_child(key) };
        // A table within a list is listed with the list.
        if self.group.is_some() || !self.path.contains('[') {
            child.group = Some(self.sink.group(format!("[{}]", child.header)));
        }
        child
    }

    fn bare_child(&self, key: &str) -> Section<'a> {
        let (path, header) = (self.path_of(key), self.header_of(key));
        Section { sink: self.sink, node: None, path, header, group: None, asked: Vec::new(), missing: Vec::new() }
    }

    fn list(&self, key: &'static str, node: Option<&Tree>, note: Option<&'static str>) {
        let Some(group) = self.group else { return };
        let origin = self.sink.origin(node.map_or(&At::Default, |node| &node.at));
        let (value, json) = (node.map(Tree::to_toml), node.map_or(serde_json::Value::Null, Tree::to_json));
        self.sink.list(group, Setting { path: self.path_of(key), value, json, origin, note, key });
    }

    fn list_default(&self, key: &'static str, default: &str) {
        self.list(key, Some(&Tree::word(default, &At::Default)), None);
    }

    fn list_absent(&self, key: &'static str, absent: &'static str) {
        self.list(key, None, Some(absent));
    }

    pub(crate) fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    fn header_of(&self, key: &str) -> String {
        join(&self.header, key)
    }

    /// Refuses what was not asked for; the known keys that were probably meant.
    fn refuse_unknown(&self) -> Vec<&'static str> {
        let Some(Raw::Table(entries)) = self.node.map(|node| &node.raw) else { return Vec::new() };
        let unknown = entries.iter().filter(|entry| !self.asked.contains(&entry.key.as_str()));
        unknown.filter_map(|entry| self.refuse(entry)).collect()
    }

    fn refuse(&self, entry: &Entry) -> Option<&'static str> {
        let within = match self.header.as_str() {
            "" => String::new(),
            item if item.contains('[') => format!(" in {item}"),
            header => format!(" in [{header}]"),
        };
        let meant = nearest(&entry.key, self.asked.iter().copied());
        let help = match meant {
            Some(known) => format!("did you mean {known:?}?"),
            None => format!("known here: {}", self.asked.join(", ")),
        };
        let fault = Fault::new(format!("unknown key {:?}{within}", entry.key)).help(help);
        self.sink.error(Some(&entry.key_at), &self.path_of(&entry.key), fault);
        meant
    }

    /// A missing key that stands there with a slip of the hand is one mistake and not two.
    fn refuse_missing(&self, meant: &[&str]) {
        for (key, example) in self.missing.iter().filter(|(key, _)| !meant.contains(key)) {
            let fault = Fault::new(format!("{key} is missing")).help(format!("add {key} = {example}"));
            self.sink.error(self.at().as_ref(), &self.path_of(key), fault);
        }
    }
}

fn secret_source(node: &Tree) -> Result<SecretSource, Fault> {
    let fault = || {
        // The value is not shown: it may be the secret.
        Fault::new("expected where the secret is, not the secret itself")
            .help("write { env = \"NAME\" } or { file = \"PATH\" }")
    };
    let Raw::Table(entries) = &node.raw else { return Err(fault()) };
    let [entry] = entries.as_slice() else { return Err(fault()) };
    match (entry.key.as_str(), entry.node.text()) {
        ("env", Some(name)) if !name.is_empty() => Ok(SecretSource::Environment(name.to_owned())),
        ("file", Some(path)) if !path.is_empty() => Ok(SecretSource::File(path.into())),
        _ => Err(fault()),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key_text(key) } else { format!("{path}.{}", key_text(key)) }
}

/// A value that is looked at later.
struct NodeValue(Tree);

impl Value for NodeValue {
    fn read(node: &Tree) -> Read<Self> {
        Ok(Self(node.clone()))
    }
}

/// A word with its place.
struct Placed {
    node: Tree,
}

impl Placed {
    fn is(&self, word: &str) -> bool {
        match self.node.raw {
            Raw::Integer(number) => number.to_string() == word,
            _ => self.node.text() == Some(word),
        }
    }
}

impl Value for Placed {
    fn read(node: &Tree) -> Read<Self> {
        Ok(Self { node: node.clone() })
    }
}
