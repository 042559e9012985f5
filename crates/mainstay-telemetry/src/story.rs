//! A request's record told in plain words: what `mainstay explain` prints.
//!
//! One line per decision: the time since the request's arrival, what was decided, and the configuration key that made
//! it so, with what it is set to. The words come from [`mainstay_policy::Decision`] alone, so the story cannot say more
//! than was recorded; the settings are those in force when it is told. Where the caller has something to complain of and
//! something can be done about it, a last line says what. The same is the JSON of the admin API.

mod advice;
mod attempts;
mod ends;
mod entering;
mod words;

use std::fmt::Write as _;

use mainstay_core::Duration;
use mainstay_policy::{Decision, Entry};

use crate::FoundRecord;
use crate::access_log::Millis;
use crate::json::{push_display, push_string};
use crate::records::FOUND_MAX;
use words::{Short, left_behind, ordinal, printable};

/// A decision in words.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    event: &'static str,
    text: String,
    /// The key of the configuration behind it.
    key: Option<String>,
    /// One more that has a part in it.
    beside: Option<String>,
}

impl FoundRecord {
    /// The record as a story, one line per decision. `setting` tells of a key of the configuration what it is set to and
    /// where, as `admin.address = "127.0.0.1:9900", mainstay.toml:2`; a key that it does not know stands alone.
    #[must_use]
    pub fn story(&self, setting: impl Fn(&str) -> Option<String>) -> String {
        let mut out = format!("request {}, {} ago{}\n", printable(&self.request_id), Short(self.age), self.shares());
        line(&mut out, Duration::ZERO, &self.arrival(), &setting);
        for entry in &self.entries {
            line(&mut out, entry.after, &self.tell(entry), &setting);
        }
        if self.dropped > 0 {
            // Writing into memory does not fail.
            let _ = writeln!(out, "{:>12}  {} more decisions found no room in the record", "", self.dropped);
        }
        if let Some(advice) = self.advice() {
            let _ = writeln!(out, "{:>12}  what you can do: {advice}", "");
        }
        out
    }

    /// The record as a JSON object; `setting` as for [`Self::story`].
    #[must_use]
    pub fn to_json(&self, setting: impl Fn(&str) -> Option<String>) -> String {
        let mut out = Vec::with_capacity(1024);
        out.push(b'{');
        for (name, text) in [
            ("request_id", self.request_id.as_str()),
            ("route", &self.route),
            ("service", &self.service),
            ("method", self.method),
            ("path", &self.path),
        ] {
            push_display(&mut out, format_args!("\"{name}\":"));
            push_string(&mut out, text.as_bytes());
            out.push(b',');
        }
        push_display(
            &mut out,
            format_args!(
                "\"path_cut\":{},\"same_id\":{},\"age_ms\":{},\"duration_ms\":{},\"deadline_ms\":{},\"endpoints\":[",
                self.path_cut,
                self.same_id.map_or_else(|| "null".to_owned(), |all| all.to_string()),
                Millis(self.age),
                Millis(self.lasted),
                Millis(self.allowed)
            ),
        );
        separated(&mut out, &self.endpoints, |out, endpoint| push_string(out, endpoint.as_bytes()));
        out.extend_from_slice(b"],\"decisions\":[");
        separated(&mut out, &self.entries, |out, entry| decision_json(out, entry.after, &self.tell(entry), &setting));
        push_display(&mut out, format_args!("],\"decisions_dropped\":{},\"advice\":", self.dropped));
        match self.advice() {
            Some(advice) => push_string(&mut out, advice.as_bytes()),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
        // Everything that was pushed is UTF-8.
        String::from_utf8_lossy(&out).into_owned()
    }

    /// How many have its id, where not all of them are shown.
    fn shares(&self) -> String {
        let many = self.same_id.filter(|all| *all > FOUND_MAX as u64);
        many.map(|all| format!("; one of {all} with this id, of which {FOUND_MAX} are shown")).unwrap_or_default()
    }

    fn arrival(&self) -> Told {
        let mut text = format!("arrived: {} {}", self.method, printable(&self.path));
        if self.path_cut {
            text.push_str("...");
        }
        if !self.route.is_empty() {
            // Writing into memory does not fail.
            let _ = write!(text, " on route {}", self.route);
        }
        if !self.service.is_empty() {
            let _ = write!(text, ", service {}", self.service);
        }
        if self.allowed != Duration::MAX {
            let _ = write!(text, ", deadline in {}", Short(self.allowed));
        }
        told("arrived", text, Some("route.timeout".to_owned()))
    }

    fn tell(&self, entry: &Entry) -> Told {
        match entry.what {
            Decision::WithinLimit { limit, remaining } => self.within_limit(limit, remaining),
            Decision::Delayed { limit, wait, percent } => {
                let text = format!("it waits {} for its turn", Short(wait));
                self.over_limit("delayed", limit, &text, percent)
            }
            Decision::OverLimit { limit, retry_after, percent } => {
                let text = format!("one will be let through in {}", Short(retry_after));
                self.over_limit("over_limit", limit, &text, percent)
            }
            Decision::KeyFirst => {
                told("key_first", "the first with its Idempotency-Key: it is carried out", self.key("idempotency"))
            }
            Decision::KeyWaits => told(
                "key_waits",
                "the first with its Idempotency-Key is still under way: it waits for that answer",
                self.key("idempotency"),
            ),
            Decision::Replayed { status, age } => told(
                "replayed",
                format!(
                    "the first with its Idempotency-Key was answered {} ago with status {status}: nothing is carried \
                     out, that answer is given again",
                    Short(age)
                ),
                self.key("idempotency.ttl"),
            ),
            Decision::AnswerNotKept { status, age } => told(
                "answer_not_kept",
                format!(
                    "the first with its Idempotency-Key was answered {} ago with status {status}, and that answer is not \
                     kept: nothing is carried out",
                    Short(age)
                ),
                self.key("idempotency.memory"),
            ),
            Decision::GoesOn => told(
                "goes_on",
                "the caller left after something was sent: the call goes on, for the answer that repeats of its key get",
                self.key("idempotency"),
            ),
            Decision::Key(end) => self.key_end(end),
            Decision::BreakerRefused { forced, retry_after } => self.breaker_refused(forced, retry_after),
            Decision::BreakerProbe => told(
                "breaker_probe",
                "the breaker is half-open: this call is one of those that decide whether it closes",
                self.key("breaker.half_open_calls"),
            ),
            Decision::Queued { ahead } => self.queued(ahead),
            Decision::Admitted => told("admitted", "a permit came free", None),
            Decision::LongWait { expected_ms, accepted_ms } => told(
                "long_wait",
                format!("it would wait about {expected_ms} ms for a permit, and {accepted_ms} ms are accepted"),
                self.key("bulkhead.queue_timeout"),
            ),
            Decision::Overload { limit, in_flight, waiting } => self.overload(limit, in_flight, waiting),
            Decision::NoEndpoint { why, passed_over } => self.no_endpoint(why, passed_over),
            Decision::Attempt { attempt, why, .. } => self.attempt(entry, attempt, why),
            Decision::Fault { attempt, kind, left_millis } => self.fault(attempt, kind, left_millis),
            Decision::Head { attempt, status } => {
                told("head", format!("attempt {}: an answer with status {status}", ordinal(attempt)), None)
            }
            Decision::Failed { attempt, certainty, makes_way_for: Some(kind), .. } => {
                self.made_way(attempt, certainty, kind)
            }
            Decision::Failed { attempt, failure, certainty, makes_way_for: None } => {
                self.failed(attempt, failure, certainty, entry.after >= self.allowed)
            }
            Decision::Cancelled { attempt, certainty } => told(
                "cancelled",
                format!("attempt {} was given up; {}", ordinal(attempt), left_behind(certainty)),
                None,
            ),
            Decision::Outpaced { attempt, by, certainty } => told(
                "outpaced",
                format!(
                    "attempt {} was given up: attempt {} had answered; {}",
                    ordinal(attempt),
                    ordinal(by),
                    left_behind(certainty)
                ),
                None,
            ),
            Decision::Unable { attempt, pool } => self.unable(attempt, pool),
            Decision::Backoff { pause } => told(
                "backoff",
                format!("another attempt follows after a pause of {}", Short(pause)),
                self.key("retry.backoff"),
            ),
            Decision::NoRetry { why } => {
                told("no_retry", format!("no other attempt follows: {}", why.as_str()), self.no_retry_key(why))
            }
            Decision::NoHedge { why } => told(
                "no_hedge",
                format!("{}, but no other attempt is made beside it: {}", self.patience(entry), why.as_str()),
                self.no_retry_key(why),
            ),
            Decision::Fallback { kind } => self.fallback(kind),
            Decision::Stale { why, age_secs, stale_secs } => self.stale(why, age_secs, stale_secs),
            Decision::Interrupted { attempt } => told(
                "interrupted",
                format!("attempt {}: the answer broke off after its head had gone down", ordinal(attempt)),
                None,
            ),
            Decision::Ended(end) => self.ended(end),
        }
    }

    fn key(&self, rest: &str) -> Option<String> {
        (!self.service.is_empty()).then(|| format!("service.{}.{rest}", self.service))
    }
}

fn told(event: &'static str, text: impl Into<String>, key: Option<String>) -> Told {
    Told { event, text: text.into(), key, beside: None }
}

fn line(out: &mut String, after: Duration, told: &Told, setting: &impl Fn(&str) -> Option<String>) {
    let tenths = after.as_nanos() / 100_000;
    let time = format!("{}.{} ms", tenths / 10, tenths % 10);
    let bracket = |key: &String| format!("  [{}]", setting(key).as_ref().unwrap_or(key));
    let key: String = told.key.iter().chain(&told.beside).map(bracket).collect();
    // Writing into memory does not fail.
    let _ = writeln!(out, "{time:>12}  {}{key}", told.text);
}

fn decision_json(out: &mut Vec<u8>, after: Duration, told: &Told, setting: &impl Fn(&str) -> Option<String>) {
    push_display(out, format_args!("{{\"after_ms\":{},\"event\":\"{}\",\"text\":", Millis(after), told.event));
    push_string(out, told.text.as_bytes());
    for (key, [because, is_set]) in
        [(&told.key, [",\"because\":", ",\"setting\":"]), (&told.beside, [",\"beside\":", ",\"beside_setting\":"])]
    {
        let Some(key) = key else { continue };
        out.extend_from_slice(because.as_bytes());
        push_string(out, key.as_bytes());
        if let Some(setting) = setting(key) {
            out.extend_from_slice(is_set.as_bytes());
            push_string(out, setting.as_bytes());
        }
    }
    out.push(b'}');
}

fn separated<T>(out: &mut Vec<u8>, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    for (number, item) in items.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write(out, item);
    }
}

#[cfg(test)]
mod tests;
