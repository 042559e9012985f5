//! What the environment and flags say, laid over the file's tree.
//!
//! `MAINSTAY_ADMIN__ADDRESS` sets `admin.address`: two underscores per level. A variable's name is capitals and
//! underscores only, so a level finds the key of the file that differs in nothing but case and `-`, `.` for `_`. An
//! entry of a list of tables is found by its number or its `name`.
//!
//! A variable without two underscores is not ours unless it names a table: an orchestrator that runs a service called
//! "mainstay" sets `MAINSTAY_PORT` and `MAINSTAY_SERVICE_HOST` in every process.

use crate::raw::{At, Entry, Raw, Tree};
use crate::sink::Sink;
use crate::value::Fault;

/// What the names of our variables begin with.
pub(crate) const PREFIX: &str = "MAINSTAY_";

/// The tables of the contract.
const TABLES: [&str; 11] =
    ["node", "admin", "log", "explain", "trace", "limits", "listener", "route", "service", "rate_limit", "store"];

/// Lays the environment over `root`. What cannot be laid is a problem.
pub(crate) fn lay_environment(root: &mut Tree, pairs: &[(String, String)], sink: &Sink<'_>) {
    for (name, value) in pairs {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let levels: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
        if levels.len() == 1 && !TABLES.contains(&levels[0].as_str()) {
            continue;
        }
        let at = At::Environment(name.as_str().into());
        lay(root, &levels, &Tree::word(value, &at), sink, same_but_for_case);
    }
}

/// Lays what flags say over `root`. What cannot be laid is a problem.
pub(crate) fn lay_flags(root: &mut Tree, pairs: &[(String, String)], sink: &Sink<'_>) {
    for (path, value) in pairs {
        let at = At::Flag(path.as_str().into());
        match split(path) {
            Some(levels) => lay(root, &levels, &Tree::word(value, &at), sink, str::eq),
            None => {
                let fault = Fault::new(format!("{path:?} is not a key")).help("write it as admin.address");
                sink.error(Some(&at), path, fault);
            }
        }
    }
}

/// The levels of a dotted key; a level in quotes may have dots.
fn split(path: &str) -> Option<Vec<String>> {
    let mut levels = Vec::new();
    let mut rest = path;
    loop {
        let (level, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_at(rest.find('.').unwrap_or(rest.len())),
        };
        if level.is_empty() {
            return None;
        }
        levels.push(level.to_owned());
        if after.is_empty() {
            return Some(levels);
        }
        rest = after.strip_prefix('.')?;
    }
}

fn same_but_for_case(key: &str, level: &str) -> bool {
    let fold = |b: u8| if matches!(b, b'-' | b'.') { b'_' } else { b.to_ascii_lowercase() };
    key.bytes().map(fold).eq(level.bytes().map(fold))
}

/// Whether it is `{ env = … }` or `{ file = … }`, which is one value for all its brackets.
fn is_source_of_secret(node: &Tree) -> bool {
    let Raw::Table(entries) = &node.raw else { return false };
    matches!(entries.as_slice(), [entry] if matches!(entry.key.as_str(), "env" | "file"))
}

type Same = fn(&str, &str) -> bool;

fn lay(root: &mut Tree, levels: &[String], value: &Tree, sink: &Sink<'_>, same: Same) {
    let mut at = root;
    for (depth, level) in levels.iter().enumerate() {
        let last = depth + 1 == levels.len();
        let Some(next) = step(at, level, &value.at, same) else {
            let (found, whole) = (levels[..depth].join("."), levels.join("."));
            let fault = Fault::new(format!("{whole} cannot be set: {found} has no {level:?}"));
            sink.error(Some(&value.at), &whole, fault);
            return;
        };
        if last
            && matches!(next.raw, Raw::Table(_))
            && !matches!(value.raw, Raw::Table(_))
            && value.text() != Some("off")
            && !is_source_of_secret(next)
        {
            let whole = levels.join(".");
            let fault = Fault::new(format!("{whole} is a table, and its keys are set one by one"));
            sink.error(Some(&value.at), &whole, fault);
            return;
        }
        at = next;
    }
    *at = value.clone();
}

/// One level down, which is made where it is missing; `None` where there can be none.
fn step<'n>(node: &'n mut Tree, level: &str, origin: &At, same: Same) -> Option<&'n mut Tree> {
    match &mut node.raw {
        Raw::Table(entries) => {
            let found = entries.iter().position(|entry| same(&entry.key, level));
            let position = found.unwrap_or_else(|| {
                entries.push(empty_entry(level, origin));
                entries.len() - 1
            });
            entries.get_mut(position).map(|entry| &mut entry.node)
        }
        Raw::List(items) => {
            let named = |item: &Tree| {
                item.get("name").and_then(|entry| entry.node.text()).is_some_and(|name| same(name, level))
            };
            let position = items.iter().position(named).or_else(|| level.parse().ok())?;
            items.get_mut(position)
        }
        // What was just made, or a value such as "off", gives way to a table.
        other => {
            *other = Raw::Table(vec![empty_entry(level, origin)]);
            let Raw::Table(entries) = other else { return None };
            entries.first_mut().map(|entry| &mut entry.node)
        }
    }
}

fn empty_entry(key: &str, origin: &At) -> Entry {
    let node = Tree { raw: Raw::Word(String::new()), at: origin.clone() };
    Entry { key: key.to_owned(), key_at: origin.clone(), node }
}
