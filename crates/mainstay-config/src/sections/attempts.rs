//! `[service.NAME.retry]`, which a route may have too: whether and how a failed attempt is repeated.

use mainstay_core::{Bytes, Duration, Ratio};
use mainstay_policy::{
    BackoffKind, BackoffSettings, BudgetSettings, HEDGES_MAX, HedgeAfter, HedgeSettings, Jitter, Percentile, RetryOn,
    RetrySettings,
};

use crate::item::word_fault;
use crate::raw::Tree;
use crate::section::Section;
use crate::value::{Count, Fault, Read, Value, whole};

pub(super) fn retry(s: &mut Section<'_>) -> RetrySettings {
    let default = RetrySettings::default();
    let attempts: Count = s.get("attempts", "3");
    let on: Vec<Cause> = s.get("on", r#"["connect", "reset", "timeout", "malformed", "500", "502", "503", "504"]"#);
    let idempotent_only = s.get("idempotent_only", "true");
    let key = s.choice("idempotency_key", "ignore", &[("ignore", false), ("upstream", true)], &[]);
    let buffer: Bytes = s.get("buffer", "64KiB");
    let backoff = s.table("backoff", backoff);
    let budget = s.on_unless_off("budget", budget);
    let hedge = s.off_unless_given("hedge", hedge);
    if let Some(entry) = s.given("hedge").filter(|_| hedge.is_some() && attempts.0 == 1) {
        let fault =
            Fault::new("no hedge is ever made: it counts as an attempt, and attempts = 1 is used up by the first");
        s.sink.warning(Some(&entry.key_at), &s.path_of("hedge"), fault.help("write attempts = 2 or more"));
    }
    RetrySettings {
        attempts: attempts.0,
        on: gather(on),
        idempotent_only,
        idempotency_key: key.unwrap_or(default.idempotency_key),
        buffer,
        backoff,
        budget,
        hedge,
    }
}

fn backoff(s: &mut Section<'_>) -> BackoffSettings {
    let kinds = [("fixed", BackoffKind::Fixed), ("exponential", BackoffKind::Exponential)];
    let jitters = [
        ("none", Jitter::None),
        ("full", Jitter::Full),
        ("equal", Jitter::Equal),
        ("decorrelated", Jitter::Decorrelated),
    ];
    let default = BackoffSettings::default();
    let kind = s.choice("kind", "exponential", &kinds, &[]).unwrap_or(default.kind);
    let base: Duration = s.get("base", "25ms");
    let max: Duration = s.get("max", "1s");
    let jitter = s.choice("jitter", "full", &jitters, &[]).unwrap_or(default.jitter);
    s.not_below("max", &max, "base", &base);
    BackoffSettings { kind, base, max, jitter }
}

fn budget(s: &mut Section<'_>) -> BudgetSettings {
    let share: Ratio = s.get("share", "20%");
    let per_second: u32 = s.get("per_second", "10");
    let cap: Count = s.get("cap", "100");
    BudgetSettings { share, per_second, cap: cap.0 }
}

fn hedge(s: &mut Section<'_>) -> HedgeSettings {
    let after: After = s.get("after", "p95");
    let max: Hedges = s.get("max", "1");
    HedgeSettings { after: after.0, max: max.0 }
}

/// `retry.hedge.after`: a percentile or a length.
struct After(HedgeAfter);

impl Value for After {
    fn read(node: &Tree) -> Read<Self> {
        let text = node.text().unwrap_or_default();
        if let Some((_, percentile)) = Percentile::ALL.iter().find(|(word, _)| *word == text) {
            return Ok(Self(HedgeAfter::Percentile(*percentile)));
        }
        match text.parse::<Duration>() {
            Ok(length) if !length.is_zero() => Ok(Self(HedgeAfter::Fixed(length))),
            _ => {
                let wanted = "a percentile (\"p50\", \"p90\", \"p95\", \"p99\") or a duration above 0, as in \"20ms\"";
                Err(vec![Fault::wanted(wanted, node)])
            }
        }
    }
}

/// `retry.hedge.max`.
struct Hedges(u32);

impl Value for Hedges {
    fn read(node: &Tree) -> Read<Self> {
        whole(node, 1, HEDGES_MAX).map(Self)
    }
}

/// A word of `retry.on`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cause {
    Connect,
    Reset,
    Timeout,
    Malformed,
    Statuses(u16, u16),
}

impl Value for Cause {
    fn read(node: &Tree) -> Read<Self> {
        const WORDS: [&str; 6] = ["connect", "reset", "timeout", "malformed", "5xx", "a status such as 503"];
        let text = match node.raw {
            crate::raw::Raw::Integer(number) => number.to_string(),
            _ => node.text().unwrap_or_default().to_owned(),
        };
        match text.as_str() {
            "connect" => Ok(Self::Connect),
            "reset" => Ok(Self::Reset),
            "timeout" => Ok(Self::Timeout),
            "malformed" => Ok(Self::Malformed),
            text if text.starts_with("grpc:") => Err(vec![word_fault(node, WORDS.into_iter(), &[text])]),
            text => match statuses(text) {
                // What is not a failure is not worth a second attempt.
                Some((from, to)) if from >= 400 => Ok(Self::Statuses(from, to)),
                Some(_) => Err(vec![Fault::new(format!("an answer of {text} is no failure"))]),
                None => Err(vec![word_fault(node, WORDS.into_iter(), &[])]),
            },
        }
    }
}

fn gather(causes: Vec<Cause>) -> RetryOn {
    let mut on = RetryOn { connect: false, reset: false, timeout: false, malformed: false, statuses: Vec::new() };
    for cause in causes {
        match cause {
            Cause::Connect => on.connect = true,
            Cause::Reset => on.reset = true,
            Cause::Timeout => on.timeout = true,
            Cause::Malformed => on.malformed = true,
            Cause::Statuses(from, to) => on.statuses.extend(from..=to),
        }
    }
    on.statuses.sort_unstable();
    on.statuses.dedup();
    on
}

/// A status (`"200"`), a class (`"2xx"`) or a range (`"200-299"`), as its first and last status.
pub(super) fn statuses(text: &str) -> Option<(u16, u16)> {
    let status = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u16>().ok().filter(|status| digits && (100..=599).contains(status))
    };
    if let Some(class) = text.strip_suffix("xx") {
        let class = class.parse::<u16>().ok().filter(|n| (1..=5).contains(n) && class.len() == 1)?;
        return Some((class * 100, class * 100 + 99));
    }
    match text.split_once('-') {
        Some((from, to)) => status(from).zip(status(to)).filter(|(from, to)| from <= to),
        None => status(text).map(|status| (status, status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_one_a_class_or_a_range() {
        for (text, want) in [("503", (503, 503)), ("2xx", (200, 299)), ("200-204", (200, 204)), ("5xx", (500, 599))] {
            assert_eq!(statuses(text), Some(want), "{text}");
        }
        for text in ["", "xx", "6xx", "0xx", "99", "600", "204-200", "200-", "+20", "12xx", "2XX"] {
            assert_eq!(statuses(text), None, "{text}");
        }
    }
}
