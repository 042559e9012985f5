//! `[service.NAME.fallback]`: what answers when a service does not.

use mainstay_core::Duration;
use mainstay_policy::FallbackSettings;

use super::names::Names;
use super::policy::memory;
use super::rewrite::respond;
use crate::model::Fallback;
use crate::raw::{Entry, Raw, Tree};
use crate::section::Section;
use crate::sink::Sink;
use crate::value::{Fault, Positive};

pub(super) fn fallback(s: &mut Section<'_>, names: &Names) -> Fallback {
    let stale: Option<Positive<Duration>> = s.get("stale_if_error", "off");
    let stale_memory = memory(s, "stale_memory", "64MiB", "leave stale_if_error away");
    let service = s.item_or_off("service").and_then(|item| names.service(&item));
    s.later("queue", "off");
    let stale_if_error = stale.map(|length| length.0);
    Fallback { stale_if_error, stale_memory, service, respond: s.off_unless_given("respond", respond).flatten() }
}

impl Fallback {
    /// What of it the decisions know.
    pub(super) fn settings(&self) -> FallbackSettings {
        FallbackSettings {
            stale_if_error: self.stale_if_error,
            stale_memory: self.stale_memory,
            service: self.service.is_some(),
            respond: self.respond.is_some(),
        }
    }
}

/// Fallbacks that come back to where they began: a call would go round until its deadline.
pub(super) fn refuse_circles(sink: &Sink<'_>, tree: &Tree) {
    let Some(Raw::Table(services)) = tree.get("service").map(|entry| &entry.node.raw) else { return };
    for (position, start) in services.iter().enumerate() {
        let Some(circle) = circle(services, start) else { continue };
        // Each service of a circle would find it; the first in the file tells of it.
        let first = services.iter().position(|entry| circle.contains(&entry.key.as_str()));
        let Some(own) = next(start).filter(|_| first == Some(position)) else { continue };
        let message = if circle.len() == 1 {
            format!("{} falls back to itself", start.key)
        } else {
            format!("fallbacks go in a circle: {} → {}", circle.join(" → "), start.key)
        };
        sink.error(Some(&own.node.at), &format!("service.{}.fallback.service", start.key), Fault::new(message));
    }
}

/// The services on the way from `start` back to it; `None` when the way ends elsewhere.
fn circle<'a>(services: &'a [Entry], start: &'a Entry) -> Option<Vec<&'a str>> {
    let mut way = vec![start.key.as_str()];
    let mut at = start;
    // No way is longer than there are services without passing one of them twice.
    for _ in 0..services.len() {
        let name = next(at)?.node.text()?;
        if name == start.key {
            return Some(way);
        }
        at = services.iter().find(|entry| entry.key == name)?;
        way.push(&at.key);
    }
    None
}

fn next(service: &Entry) -> Option<&Entry> {
    service.node.get("fallback")?.node.get("service")
}
