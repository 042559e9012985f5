//! `[[fault]]`: what goes wrong, where and when. A kind has keys of its own, and those of another are unknown to it.

use mainstay_core::{Duration, Ratio};

use super::instances::factor;
use super::model::{Fault, FaultKind, Hits, HitsOf, Pick, Slower, Victims, Way};
use super::workload::some;
use crate::section::Section;
use crate::value::{Fault as Wrong, Positive, Status, name_fault};

/// `first` is the service that is struck where none is named; the scenario ends at `end`.
pub(super) fn fault(s: &mut Section<'_>, first: &str, end: Duration) -> Option<Fault> {
    let at: Duration = s.get("at", "0s");
    let words = FaultKind::WORDS.map(|word| (word, word));
    let kind = match s.given("kind") {
        Some(_) => s.choice("kind", "crash", &words, &[]),
        None => s.need::<String>("kind", "\"crash\"").and(None),
    };
    let length = length(s, kind);
    if at >= end {
        s.fault("at", Wrong::new(format!("the scenario is over ({end}) before it begins")));
    }
    let victims = victims(s, first, kind);
    let kind = kind.and_then(|kind| of_kind(s, kind));
    Some(Fault { at, length: length?, kind: kind?, victims: victims?, line: s.line() })
}

/// Caches are emptied in a moment; everything else lasts.
fn length(s: &mut Section<'_>, kind: Option<&str>) -> Option<Duration> {
    if kind == Some("cold") {
        return Some(s.get("for", "0s"));
    }
    let length: Option<Positive<Duration>> = s.need("for", "\"10s\"");
    length.map(|length| length.0)
}

fn victims(s: &mut Section<'_>, first: &str, kind: Option<&str>) -> Option<Victims> {
    let target: Option<String> = s.find("target", "the first workload's service");
    let share: Option<Positive<Ratio>> = s.find("share", "all of the target");
    let pick = s.choice("victims", "first", &[("first", Pick::First), ("random", Pick::Random)], &[])?;
    let target = target.unwrap_or_else(|| first.to_owned());
    if s.given("victims").is_some() && share.is_none() {
        s.fault("victims", Wrong::new("who is struck is drawn for a share only").help("add share = \"25%\""));
    }
    let victims = aim(s, &target)?;
    let of_zone = matches!(victims, Victims::Zone(_));
    if kind == Some("zone") && !of_zone {
        s.fault("target", Wrong::new("a zone is named so: target = \"zone:b\""));
        return None;
    }
    if kind == Some("surge") && !matches!(victims, Victims::All(_)) {
        s.fault("target", Wrong::new("a surge strikes all calls to a service").help("name the service alone"));
        return None;
    }
    match (share, victims) {
        (None, victims) => Some(victims),
        (Some(share), Victims::All(service)) if kind != Some("surge") => {
            Some(Victims::Share { service, share: share.0, pick })
        }
        (Some(_), _) => {
            s.fault("share", Wrong::new("a share is one of a service's instances").help("name the service alone"));
            None
        }
    }
}

fn aim(s: &Section<'_>, target: &str) -> Option<Victims> {
    let (victims, name) = match (target.strip_prefix("zone:"), target.split_once('/')) {
        (Some(zone), _) => (Victims::Zone(zone.to_owned()), zone),
        (None, Some((service, number))) => {
            let Ok(number) = number.parse() else {
                let wrong = Wrong::new(format!("{number:?} is no number of an instance"));
                s.fault("target", wrong.help("instances are counted from 0, as in \"shop/0\""));
                return None;
            };
            (Victims::One(service.to_owned(), number), service)
        }
        (None, None) => (Victims::All(target.to_owned()), target),
    };
    if let Some(wrong) = name_fault(name) {
        s.fault("target", wrong.help("as in \"shop\", \"shop/0\" or \"zone:b\""));
        return None;
    }
    Some(victims)
}

fn of_kind(s: &mut Section<'_>, kind: &str) -> Option<FaultKind> {
    Some(match kind {
        "crash" => FaultKind::Crash,
        "hang" => FaultKind::Hang,
        "slow" => {
            let (slower, hits) = (slower(s), hits(s));
            FaultKind::Slow(slower?, hits?)
        }
        "limp" => FaultKind::Limp(delay(s, "200ms"), hits(s)?),
        "errors" => FaultKind::Errors(status(s, "503"), hits(s)?),
        "gray" => FaultKind::Gray(status(s, "500"), hits(s)?),
        "sick" => FaultKind::Sick,
        "reset" => FaultKind::Reset(hits(s)?),
        "stall" => FaultKind::Stall(hits(s)?),
        "garbage" => FaultKind::Garbage(hits(s)?),
        "wrong" => FaultKind::Wrong(hits(s)?),
        "flap" => FaultKind::Flap(period(s, "1s")),
        "partition" => {
            let way = s.choice("way", "both", &Way::ALL, &[])?;
            FaultKind::Partition { way, delivered: s.get("delivered", "false") }
        }
        "loss" => FaultKind::Loss(some(s, "rate", "1%")),
        "delay" => FaultKind::Delay(delay(s, "10ms")),
        "surge" => FaultKind::Surge(factor(s, "factor", "3")),
        "cold" => FaultKind::Cold,
        "zone" => FaultKind::Zone,
        "memory" => FaultKind::Memory(period(s, "5s")),
        "cpu" => FaultKind::Cpu(some(s, "left", "25%")),
        "descriptors" => FaultKind::Descriptors,
        "disk_full" => FaultKind::DiskFull,
        "disk_slow" => FaultKind::DiskSlow(delay(s, "100ms")),
        "bad_deploy" => FaultKind::BadDeploy(some(s, "calls", "100%")),
        "expired_certificate" => FaultKind::ExpiredCertificate,
        _ => return None,
    })
}

fn slower(s: &mut Section<'_>) -> Option<Slower> {
    if s.given("factor").is_none() {
        let by = Slower::By(delay(s, "200ms"));
        let _: Option<u32> = s.find("factor", "a delay");
        return Some(by);
    }
    let times = Slower::Times(factor(s, "factor", "1"));
    if s.given("delay").is_some() {
        s.fault("delay", Wrong::new("work is slower by a delay or by a factor, not by both"));
        return None;
    }
    Some(times)
}

fn hits(s: &mut Section<'_>) -> Option<Hits> {
    let share = some(s, "calls", "100%");
    let words = [("requests", HitsOf::Requests), ("connections", HitsOf::Connections)];
    Some(Hits { share, of: s.choice("of", "requests", &words, &[])? })
}

fn delay(s: &mut Section<'_>, default: &str) -> Duration {
    let delay: Positive<Duration> = s.get("delay", default);
    delay.0
}

fn period(s: &mut Section<'_>, default: &str) -> Duration {
    let period: Positive<Duration> = s.get("period", default);
    period.0
}

fn status(s: &mut Section<'_>, default: &str) -> u16 {
    let status: Status = s.get("status", default);
    if status.0 < 400 {
        s.fault("status", Wrong::new(format!("{} is no error", status.0)).help("400 to 599 are"));
    }
    status.0
}
