//! The names that a configuration may refer to, and how a reference becomes a position.

use crate::item::Item;
use crate::model::{ListenerId, RateLimitId, ServiceId};
use crate::raw::{Raw, Tree};
use crate::suggest::nearest;
use crate::value::Fault;

/// Every name, in the file's order; also of what is wrong otherwise, so that one mistake is one problem.
pub(super) struct Names {
    pub(super) listeners: Vec<String>,
    pub(super) services: Vec<String>,
    pub(super) rate_limits: Vec<String>,
}

impl Names {
    pub(super) fn of(tree: &Tree) -> Self {
        Self { listeners: listeners(tree), services: keys(tree, "service"), rate_limits: keys(tree, "rate_limit") }
    }

    pub(super) fn listener(&self, item: &Item<'_>) -> Option<ListenerId> {
        resolve("listener", &self.listeners, item).map(ListenerId)
    }

    pub(super) fn service(&self, item: &Item<'_>) -> Option<ServiceId> {
        resolve("service", &self.services, item).map(ServiceId)
    }

    pub(super) fn rate_limit(&self, item: &Item<'_>) -> Option<RateLimitId> {
        resolve("rate limit", &self.rate_limits, item).map(RateLimitId)
    }
}

fn keys(tree: &Tree, table: &str) -> Vec<String> {
    match tree.get(table).map(|entry| &entry.node.raw) {
        Some(Raw::Table(entries)) => entries.iter().map(|entry| entry.key.clone()).collect(),
        _ => Vec::new(),
    }
}

fn listeners(tree: &Tree) -> Vec<String> {
    let Some(Raw::List(items)) = tree.get("listener").map(|entry| &entry.node.raw) else { return Vec::new() };
    let name = |item: &Tree| item.get("name").and_then(|entry| entry.node.text()).unwrap_or_default().to_owned();
    items.iter().map(name).collect()
}

fn resolve(kind: &str, known: &[String], item: &Item<'_>) -> Option<usize> {
    let name: String = item.read()?;
    let position = known.iter().position(|candidate| *candidate == name);
    if position.is_none() {
        item.fault(unknown(kind, &name, known));
    }
    position
}

fn unknown(kind: &str, name: &str, known: &[String]) -> Fault {
    let known: Vec<&str> = known.iter().map(String::as_str).filter(|known| !known.is_empty()).collect();
    let fault = Fault::new(format!("there is no {kind} {name:?}"));
    match nearest(name, known.iter().copied()) {
        Some(meant) => fault.help(format!("did you mean {meant:?}?")),
        None if known.is_empty() => fault.help(format!("no {kind} stands in the configuration")),
        None => fault.help(format!("there are {}", known.join(", "))),
    }
}
