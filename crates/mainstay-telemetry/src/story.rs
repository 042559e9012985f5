//! A request's record told in plain words: what `mainstay explain` prints.
//!
//! One line per decision: the time since the request's arrival, what was decided, and the configuration key that made
//! it so, with what it is set to. The words come from [`mainstay_policy::Decision`] alone, so the story cannot say more
//! than was recorded; the settings are those in force when it is told. The same lines are the JSON of the admin API.

use std::fmt::{self, Write as _};

use mainstay_core::{Certainty, Duration, Failure, Origin};
use mainstay_policy::{
    AttemptReason, Crossing, Decision, End, Entry, FallbackKind, FaultKind, KeyEnd, KeyRefusal, LimitId, NoRetry,
    Refusal,
};

use crate::FoundRecord;
use crate::access_log::Millis;
use crate::json::{push_display, push_string};

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
        let mut out = format!("request {}, {} ago\n", printable(&self.request_id), Short(self.age));
        line(&mut out, Duration::ZERO, &self.arrival(), &setting);
        for entry in &self.entries {
            line(&mut out, entry.after, &self.tell(entry), &setting);
        }
        if self.dropped > 0 {
            // Writing into memory does not fail.
            let _ = writeln!(out, "{:>12}  {} more decisions found no room in the record", "", self.dropped);
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
                "\"path_cut\":{},\"age_ms\":{},\"duration_ms\":{},\"deadline_ms\":{},\"endpoints\":[",
                self.path_cut,
                Millis(self.age),
                Millis(self.lasted),
                Millis(self.allowed)
            ),
        );
        separated(&mut out, &self.endpoints, |out, endpoint| push_string(out, endpoint.as_bytes()));
        out.extend_from_slice(b"],\"decisions\":[");
        separated(&mut out, &self.entries, |out, entry| decision_json(out, entry.after, &self.tell(entry), &setting));
        push_display(&mut out, format_args!("],\"decisions_dropped\":{}}}", self.dropped));
        // Everything that was pushed is UTF-8.
        String::from_utf8_lossy(&out).into_owned()
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
            Decision::GoesOn => told(
                "goes_on",
                "the caller left after something was sent: the call goes on, for the answer that repeats of its key get",
                self.key("idempotency"),
            ),
            Decision::Key(end) => self.key_end(end),
            Decision::BreakerRefused { forced } => self.breaker_refused(forced),
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
            Decision::Attempt { attempt, why, .. } => self.attempt(entry, attempt, why),
            Decision::Fault { attempt, kind, left_millis } => self.fault(attempt, kind, left_millis),
            Decision::Head { attempt, status } => {
                told("head", format!("attempt {}: an answer with status {status}", ordinal(attempt)), None)
            }
            Decision::Failed { attempt, failure, certainty } => {
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

    fn within_limit(&self, limit: LimitId, remaining: u64) -> Told {
        let text = match self.limit(limit) {
            Some(name) => {
                format!("within its rate limits; of {name}, which is the nearest, {remaining} more may come now")
            }
            None => "within its rate limits".to_owned(),
        };
        told("within_limit", text, None)
    }

    /// What a caller over a limit comes to, with the limit's rate and what it is counted by.
    fn over_limit(&self, event: &'static str, limit: LimitId, comes_to: &str, percent: u8) -> Told {
        let Some(name) = self.limit(limit) else {
            return told(event, format!("over a rate limit; {comes_to}"), Some("route.rate_limit".to_owned()));
        };
        let key = |rest: &str| Some(format!("rate_limit.{name}.{rest}"));
        if percent < 100 {
            let lowered = format!("which is lowered to {percent} % of its rate because calls that it let through fail");
            let text = format!("over the rate limit {name}, {lowered}; {comes_to}");
            return Told { beside: key("adaptive"), ..told(event, text, key("rate")) };
        }
        Told { beside: key("key"), ..told(event, format!("over the rate limit {name}; {comes_to}"), key("rate")) }
    }

    fn limit(&self, limit: LimitId) -> Option<&str> {
        self.limits.iter().find(|(known, _)| *known == limit).map(|(_, name)| name.as_str())
    }

    fn breaker_refused(&self, forced: bool) -> Told {
        if forced {
            let text = format!(
                "refused: an operator forced the breaker open; `mainstay breaker {} auto` lets it judge by itself again",
                self.service
            );
            return told("breaker_refused", text, None);
        }
        told("breaker_refused", "refused: the breaker of the service is open", self.key("breaker"))
    }

    fn key_end(&self, end: KeyEnd) -> Told {
        let (text, key) = match end {
            KeyEnd::Kept => ("the answer is kept for repeats of the key", "idempotency.ttl"),
            KeyEnd::NotKept => (
                "the answer is too large to keep, or finds no room: repeats of the key are refused",
                "idempotency.memory",
            ),
            KeyEnd::Unknown => (
                "something may have been done, and there is no answer: repeats of the key are refused",
                "idempotency.ttl",
            ),
            KeyEnd::Free => ("nothing was done: a repeat of the key is carried out", "idempotency"),
        };
        told("key", text, self.key(key))
    }

    fn queued(&self, ahead: u32) -> Told {
        let behind = match ahead {
            0 => "first in the queue".to_owned(),
            1 => "behind 1 other call".to_owned(),
            many => format!("behind {many} other calls"),
        };
        let text = format!("as many attempts run as may: it waits, {behind}");
        told("queued", text, self.key("bulkhead.concurrency"))
    }

    fn overload(&self, limit: u32, in_flight: u32, waiting: u32) -> Told {
        let calls = if waiting == 1 { "call waits" } else { "calls wait" };
        let text = match limit {
            u32::MAX => format!("it is shed: {in_flight} attempts run, {waiting} {calls}"),
            limit => format!("it is shed: {in_flight} attempts run where {limit} may now, {waiting} {calls}"),
        };
        told("overload", text, self.key("bulkhead.concurrency"))
    }

    fn attempt(&self, entry: &Entry, attempt: u8, why: AttemptReason) -> Told {
        let (probe, panic, trial, crossing) = match entry.what {
            Decision::Attempt { probe, panic, trial, crossing, .. } => (probe, panic, trial, crossing),
            _ => (false, false, false, None),
        };
        let mut text = format!("attempt {} to {}", ordinal(attempt), self.endpoint(entry, attempt));
        text.push_str(match why {
            AttemptReason::First => "",
            AttemptReason::Retry => ": a retry, paid for by the budget",
            AttemptReason::Resend => ": tried elsewhere at once; nothing was sent, so it is outside the budget",
            AttemptReason::Hedge => ": a hedge beside what runs, paid for by the budget; ",
        });
        if why == AttemptReason::Hedge {
            text.push_str(&self.patience(entry));
        }
        let mut key = match why {
            AttemptReason::First => self.key("balance"),
            AttemptReason::Retry => self.key("retry.budget"),
            AttemptReason::Resend => self.key("retry.attempts"),
            AttemptReason::Hedge => self.key("retry.hedge"),
        };
        if probe {
            text.push_str("; the endpoint was ejected, and this decides whether it comes back");
            key = self.key("outlier");
        }
        if trial {
            text.push_str("; the endpoint limps, and this shows whether it keeps pace with the others again");
        }
        if let Some(crossing) = crossing {
            text.push_str(match crossing {
                Crossing::Share => "; in another zone: the own one carries only a part of its calls",
                Crossing::Room => "; in another zone: nobody in the own one could take it",
            });
            key = self.key("zone_aware");
        }
        if panic {
            text.push_str("; so few endpoints are usable that health and ejection are ignored");
            key = self.key("panic");
        }
        told("attempt", text, key)
    }

    /// What a hedge that is due at `entry` follows upon: the silence of the attempt before it, or its failure.
    fn patience(&self, entry: &Entry) -> String {
        let before = self.entries.iter().take_while(|other| !std::ptr::eq(*other, entry));
        let cause = before.filter(|other| {
            matches!(other.what, Decision::Attempt { .. } | Decision::Failed { .. } | Decision::Head { .. })
        });
        match cause.last() {
            Some(Entry { what: Decision::Failed { attempt, .. } | Decision::Head { attempt, .. }, after })
                if *after == entry.after =>
            {
                format!("attempt {} had failed", ordinal(*attempt))
            }
            Some(last) => {
                let waited = Duration::from_nanos(entry.after.as_nanos().saturating_sub(last.after.as_nanos()));
                format!("there was no answer for {}", Short(waited))
            }
            None => "there was no answer".to_owned(),
        }
    }

    fn endpoint(&self, entry: &Entry, attempt: u8) -> String {
        match (self.endpoints.get(usize::from(attempt)), entry.what) {
            (Some(address), _) => address.clone(),
            (None, Decision::Attempt { endpoint, .. }) => format!("endpoint {endpoint:?}"),
            (None, _) => "an endpoint".to_owned(),
        }
    }

    fn failed(&self, attempt: u8, failure: Failure, certainty: Certainty, too_late: bool) -> Told {
        if failure == Failure::Timeout && too_late {
            // What ran out was the call's time and not the attempt's.
            let text = format!("attempt {}: no head of an answer before the call's deadline", ordinal(attempt));
            return told("failed", format!("{text}; {}", left_behind(certainty)), Some("route.timeout".to_owned()));
        }
        let effect =
            if self.is_drilled(attempt) { "the drill's doing, nothing was sent" } else { left_behind(certainty) };
        let text = format!("attempt {} failed: {}; {effect}", ordinal(attempt), Cause(failure));
        told("failed", text, self.failure_key(failure))
    }

    fn fault(&self, attempt: u8, kind: FaultKind, left_millis: u32) -> Told {
        let number = ordinal(attempt);
        let what = match kind {
            FaultKind::Delay { millis } => {
                format!("a drill delays attempt {number} by {}", Short(Duration::from_millis(millis.into())))
            }
            FaultKind::Abort { status } => {
                format!("a drill answers attempt {number} with {status} in the instance's place")
            }
            FaultKind::Reset => format!("a drill breaks attempt {number} off in the instance's place"),
        };
        let left = Short(Duration::from_millis(left_millis.into()));
        let text = format!("{what}; its lease ends in {left}, and `mainstay fault {} off` ends it now", self.service);
        told("fault", text, None)
    }

    /// Whether a drill had an attempt fail, so that nothing of it was sent.
    fn is_drilled(&self, attempt: u8) -> bool {
        self.entries.iter().any(|entry| {
            matches!(entry.what, Decision::Fault { attempt: of, kind: FaultKind::Abort { .. } | FaultKind::Reset, .. } if of == attempt)
        })
    }

    fn unable(&self, attempt: u8, pool: bool) -> Told {
        let (lack, key) = match pool {
            true => ("all connections to the instance that are allowed were busy", self.key("pool.size")),
            false => ("Mainstay itself lacked a descriptor, a port or memory for it", None),
        };
        told("unable", format!("attempt {} was not made: {lack}; nothing was sent", ordinal(attempt)), key)
    }

    fn failure_key(&self, failure: Failure) -> Option<String> {
        match failure {
            Failure::ConnectTimeout => self.key("timeout.connect"),
            Failure::Timeout => self.key("timeout.attempt"),
            Failure::Status(_) => self.key("retry.on"),
            Failure::Refused | Failure::Unreachable | Failure::Reset | Failure::Malformed => None,
        }
    }

    fn no_retry_key(&self, why: NoRetry) -> Option<String> {
        match why {
            NoRetry::Off => self.key("retry"),
            NoRetry::AttemptsUsed => self.key("retry.attempts"),
            NoRetry::Condition => self.key("retry.on"),
            NoRetry::NotIdempotent => self.key("retry.idempotent_only"),
            NoRetry::BodyNotKept => self.key("retry.buffer"),
            NoRetry::Budget => self.key("retry.budget"),
            NoRetry::Deadline => Some("route.timeout".to_owned()),
            NoRetry::NoPermit => self.key("bulkhead.concurrency"),
            NoRetry::NoEndpoint => self.key("endpoints"),
            NoRetry::BreakerOpen => self.key("breaker"),
            NoRetry::Forbidden => None,
        }
    }

    fn fallback(&self, kind: FallbackKind) -> Told {
        match kind {
            FallbackKind::Stale => told("fallback", "a kept answer is given", self.key("fallback.stale_if_error")),
            FallbackKind::Service => told("fallback", "another service is asked instead", self.key("fallback.service")),
            FallbackKind::Respond => told("fallback", "the fixed answer is given", self.key("fallback.respond")),
        }
    }

    fn stale(&self, why: Refusal, age: u32, stale: u32) -> Told {
        let length = |seconds| Short(Duration::from_secs(u64::from(seconds)));
        let state = match stale {
            0 => "still fresh".to_owned(),
            stale => format!("stale for {}", length(stale)),
        };
        let (why, _) = self.reason(why);
        let text = format!("no answer came ({why}): a kept one stands in, {} old, {state}", length(age));
        told("stale", text, self.key("fallback.stale_if_error"))
    }

    fn ended(&self, end: End) -> Told {
        match end {
            End::Answered { status } => told("ended", format!("ended: answered whole with status {status}"), None),
            End::Interrupted { status, origin } => told(
                "ended",
                format!("ended: the answer with status {status} went down in part; {} broke it off", Who(origin)),
                None,
            ),
            End::Fallback(FallbackKind::Stale) => told("ended", "ended: a kept answer was given", None),
            End::Fallback(FallbackKind::Service) => told("ended", "ended: handed to the fallback service", None),
            End::Fallback(FallbackKind::Respond) => told("ended", "ended: answered by the fallback", None),
            End::Replayed { status } => {
                told("ended", format!("ended: the first answer was given again, status {status}"), None)
            }
            End::CallerLeft => told("ended", "ended: the caller left before there was an answer", None),
            End::Refused(refusal) => self.refused(refusal),
        }
    }

    fn refused(&self, refusal: Refusal) -> Told {
        let (text, key) = self.reason(refusal);
        told("ended", format!("ended without an answer: {text}"), key)
    }

    fn reason(&self, refusal: Refusal) -> (String, Option<String>) {
        let (text, key) = match refusal {
            Refusal::DeadlinePassed => ("its deadline had passed when it came", None),
            Refusal::RateLimited => ("over a rate limit", Some("route.rate_limit".to_owned())),
            Refusal::SlowRequest => ("the rest of its body did not come", Some("route.timeout".to_owned())),
            Refusal::Key(why) => (key_refused(why), self.key("idempotency")),
            Refusal::BreakerOpen => ("the breaker is open", self.key("breaker")),
            Refusal::QueueFull => {
                ("no permit is free, and as many calls wait for one as may", self.key("bulkhead.queue"))
            }
            Refusal::QueueTimeout => ("it waited as long as it may", self.key("bulkhead.queue_timeout")),
            Refusal::LongWait => {
                ("refused at once, because it would wait too long", self.key("bulkhead.queue_timeout"))
            }
            Refusal::Displaced => ("a more important call took its place", Some("route.priority".to_owned())),
            Refusal::Hopeless => ("its deadline comes before an answer usually does", Some("route.timeout".to_owned())),
            Refusal::Exhausted => ("Mainstay lacked what an attempt needs", None),
            Refusal::NoEndpoint => ("no endpoint can be used", self.key("endpoints")),
            Refusal::Deadline => ("its deadline passed", Some("route.timeout".to_owned())),
            Refusal::Failed(failure) => return (Cause(failure).to_string(), None),
        };
        (text.to_owned(), key)
    }

    fn key(&self, rest: &str) -> Option<String> {
        (!self.service.is_empty()).then(|| format!("service.{}.{rest}", self.service))
    }
}

fn key_refused(why: KeyRefusal) -> &'static str {
    match why {
        KeyRefusal::Malformed => "its Idempotency-Key is not one text of 1 to 255 characters",
        KeyRefusal::Reused => "its Idempotency-Key was used for another request",
        KeyRefusal::InProgress => "the first with its Idempotency-Key is still under way",
        KeyRefusal::NotKept => "the first with its Idempotency-Key was carried out, and its answer is not kept",
        KeyRefusal::Unknown => {
            "the first with its Idempotency-Key may have been carried out, and nobody knows its answer"
        }
        KeyRefusal::Full => "no memory is left for another Idempotency-Key",
    }
}

fn told(event: &'static str, text: impl Into<String>, key: Option<String>) -> Told {
    Told { event, text: text.into(), key, beside: None }
}

fn left_behind(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::NotSent => "nothing was sent",
        Certainty::Unknown => "it may have been applied",
        Certainty::Applied => "the instance acted on it",
    }
}

fn ordinal(attempt: u8) -> u32 {
    u32::from(attempt) + 1
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

/// A text of the caller's without what would move a terminal's cursor.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// How an attempt failed, for a person.
struct Cause(Failure);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Failure::Refused => "the connection was refused",
            Failure::Unreachable => "the instance cannot be reached",
            Failure::ConnectTimeout => "no connection within the connect timeout",
            Failure::Reset => "the connection broke before the head of an answer",
            Failure::Timeout => "no head of an answer within the attempt's time",
            Failure::Malformed => "the answer was not HTTP",
            Failure::Status(status) => return write!(f, "status {status}"),
        })
    }
}

/// Who did something, as the subject of a sentence.
struct Who(Origin);

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Origin::Client => "the caller",
            Origin::Us => "Mainstay",
            Origin::Upstream => "the instance",
        })
    }
}

/// A length to about three digits.
struct Short(Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (micros, millis) = (self.0.as_nanos() / 1000, self.0.as_millis());
        match millis {
            0 => write!(f, "{micros} us"),
            1..1000 => write!(f, "{millis} ms"),
            _ if millis % 1000 < 100 => write!(f, "{} s", millis / 1000),
            _ => write!(f, "{}.{} s", millis / 1000, millis % 1000 / 100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use mainstay_core::EndpointId;

    fn record(entries: &[(u64, Decision)]) -> FoundRecord {
        FoundRecord {
            request_id: "r-1".to_owned(),
            route: "/cart".to_owned(),
            service: "shop".to_owned(),
            method: "GET",
            path: "/cart/7".to_owned(),
            path_cut: false,
            age: Duration::from_secs(3),
            lasted: Duration::from_micros(262_500),
            allowed: Duration::from_secs(15),
            endpoints: vec!["127.0.0.1:9101".to_owned(), "127.0.0.1:9102".to_owned()],
            limits: vec![(LimitId(3), "per-caller".to_owned())],
            entries: entries
                .iter()
                .map(|(micros, what)| Entry { after: Duration::from_micros(*micros), what: *what })
                .collect(),
            dropped: 0,
        }
    }

    fn attempt(attempt: u8, why: AttemptReason) -> Decision {
        let endpoint = EndpointId { slot: u32::from(attempt), generation: 0 };
        Decision::Attempt { attempt, endpoint, why, probe: false, panic: false, trial: false, crossing: None }
    }

    fn moved_on() -> FoundRecord {
        record(&[
            (40, attempt(0, AttemptReason::First)),
            (250_100, Decision::Failed { attempt: 0, failure: Failure::ConnectTimeout, certainty: Certainty::NotSent }),
            (250_120, attempt(1, AttemptReason::Resend)),
            (262_400, Decision::Head { attempt: 1, status: 200 }),
            (262_500, Decision::Ended(End::Answered { status: 200 })),
        ])
    }

    #[test]
    fn a_hanging_instance_and_the_way_around_it_read_as_a_story() {
        expect![[r#"
            request r-1, 3 s ago
                  0.0 ms  arrived: GET /cart/7 on route /cart, service shop, deadline in 15 s  [route.timeout]
                  0.0 ms  attempt 1 to 127.0.0.1:9101  [service.shop.balance]
                250.1 ms  attempt 1 failed: no connection within the connect timeout; nothing was sent  [service.shop.timeout.connect]
                250.1 ms  attempt 2 to 127.0.0.1:9102: tried elsewhere at once; nothing was sent, so it is outside the budget  [service.shop.retry.attempts]
                262.4 ms  attempt 2: an answer with status 200
                262.5 ms  ended: answered whole with status 200
        "#]]
        .assert_eq(&moved_on().story(|_| None));
    }

    fn in_force(key: &str) -> Option<String> {
        key.ends_with(".connect").then(|| format!("{key} = \"250ms\", m.toml:7"))
    }

    #[test]
    fn a_key_is_told_with_what_it_is_set_to_and_where() {
        let story = moved_on().story(in_force);
        assert!(story.contains("[service.shop.timeout.connect = \"250ms\", m.toml:7]"), "{story}");
        assert!(story.contains("[service.shop.balance]"), "{story}");
    }

    #[test]
    fn an_attempt_that_had_all_the_time_of_its_call_is_not_blamed_on_the_attempts_own() {
        let mut late = record(&[
            (40, attempt(0, AttemptReason::First)),
            (300_900, Decision::Failed { attempt: 0, failure: Failure::Timeout, certainty: Certainty::Unknown }),
        ]);
        assert!(late.story(|_| None).contains("[service.shop.timeout.attempt]"));
        late.allowed = Duration::from_millis(300);
        let story = late.story(|_| None);
        assert!(story.contains("before the call's deadline; it may have been applied  [route.timeout]"), "{story}");
    }

    #[test]
    fn a_call_that_leaves_its_zone_says_why() {
        let leaves = |crossing| match attempt(0, AttemptReason::First) {
            Decision::Attempt { attempt, endpoint, why, probe, panic, trial, .. } => {
                let what = Decision::Attempt { attempt, endpoint, why, probe, panic, trial, crossing };
                record(&[(40, what)]).story(|_| None)
            }
            _ => unreachable!(),
        };
        let share = leaves(Some(Crossing::Share));
        assert!(share.contains("the own one carries only a part of its calls  [service.shop.zone_aware]"), "{share}");
        let room = leaves(Some(Crossing::Room));
        assert!(room.contains("nobody in the own one could take it  [service.shop.zone_aware]"), "{room}");
        assert!(leaves(None).contains("[service.shop.balance]"));
    }

    #[test]
    fn the_same_story_as_json() {
        let mut short = moved_on();
        short.entries.truncate(2);
        expect![[r#"{"request_id":"r-1","route":"/cart","service":"shop","method":"GET","path":"/cart/7","path_cut":false,"age_ms":3000.000,"duration_ms":262.500,"deadline_ms":15000.000,"endpoints":["127.0.0.1:9101","127.0.0.1:9102"],"decisions":[{"after_ms":0.040,"event":"attempt","text":"attempt 1 to 127.0.0.1:9101","because":"service.shop.balance"},{"after_ms":250.100,"event":"failed","text":"attempt 1 failed: no connection within the connect timeout; nothing was sent","because":"service.shop.timeout.connect","setting":"service.shop.timeout.connect = \"250ms\", m.toml:7"}],"decisions_dropped":0}"#]]
        .assert_eq(&short.to_json(in_force));
    }

    #[test]
    fn an_order_that_may_have_been_applied_is_not_repeated_and_the_story_says_why() {
        let story = record(&[
            (40, attempt(0, AttemptReason::First)),
            (5_000, Decision::Failed { attempt: 0, failure: Failure::Reset, certainty: Certainty::Unknown }),
            (5_000, Decision::NoRetry { why: NoRetry::NotIdempotent }),
            (5_000, Decision::Ended(End::Refused(Refusal::Failed(Failure::Reset)))),
        ])
        .story(|_| None);
        assert!(story.contains("it may have been applied"), "{story}");
        assert!(story.contains("[service.shop.retry.idempotent_only]"), "{story}");
        assert!(story.contains("ended without an answer: the connection broke"), "{story}");
    }

    #[test]
    fn a_kept_answer_is_told_with_its_age_and_why_no_other_came() {
        let told = |why, age_secs, stale_secs| {
            record(&[
                (40, Decision::Stale { why, age_secs, stale_secs }),
                (40, Decision::Ended(End::Fallback(FallbackKind::Stale))),
            ])
            .story(|_| None)
        };
        let stale = told(Refusal::BreakerOpen, 72, 12);
        let text = "no answer came (the breaker is open): a kept one stands in, 72 s old, stale for 12 s";
        assert!(stale.contains(&format!("{text}  [service.shop.fallback.stale_if_error]")), "{stale}");
        let fresh = told(Refusal::Failed(Failure::Refused), 5, 0);
        assert!(fresh.contains("(the connection was refused): a kept one stands in, 5 s old, still fresh"), "{fresh}");
    }

    #[test]
    fn a_rate_limit_is_told_by_its_name_its_rate_and_what_it_counts_by() {
        let limit = LimitId(3);
        let retry_after = Duration::from_millis(1_500);
        let story = record(&[
            (10, Decision::Delayed { limit, wait: Duration::from_millis(120), percent: 100 }),
            (120_010, Decision::WithinLimit { limit, remaining: 0 }),
            (120_020, Decision::OverLimit { limit, retry_after, percent: 100 }),
            (120_030, Decision::OverLimit { limit, retry_after, percent: 40 }),
            (120_040, Decision::WithinLimit { limit: LimitId::NONE, remaining: 0 }),
        ])
        .story(|key| key.ends_with(".rate").then(|| format!("{key} = \"10/s\", m.toml:9")));
        expect![[r#"
            request r-1, 3 s ago
                  0.0 ms  arrived: GET /cart/7 on route /cart, service shop, deadline in 15 s  [route.timeout]
                  0.0 ms  over the rate limit per-caller; it waits 120 ms for its turn  [rate_limit.per-caller.rate = "10/s", m.toml:9]  [rate_limit.per-caller.key]
                120.0 ms  within its rate limits; of per-caller, which is the nearest, 0 more may come now
                120.0 ms  over the rate limit per-caller; one will be let through in 1.5 s  [rate_limit.per-caller.rate = "10/s", m.toml:9]  [rate_limit.per-caller.key]
                120.0 ms  over the rate limit per-caller, which is lowered to 40 % of its rate because calls that it let through fail; one will be let through in 1.5 s  [rate_limit.per-caller.rate = "10/s", m.toml:9]  [rate_limit.per-caller.adaptive]
                120.0 ms  within its rate limits
        "#]].assert_eq(&story);
    }

    #[test]
    fn what_mainstay_lacks_itself_is_not_told_of_the_instance() {
        let story = |pool| {
            record(&[
                (40, attempt(0, AttemptReason::First)),
                (50, Decision::Unable { attempt: 0, pool }),
                (50, Decision::Ended(End::Refused(Refusal::Exhausted))),
            ])
            .story(|_| None)
        };
        let (pool, system) = (story(true), story(false));
        assert!(pool.contains("were busy; nothing was sent  [service.shop.pool.size]"), "{pool}");
        assert!(system.contains("attempt 1 was not made: Mainstay itself lacked a descriptor"), "{system}");
        assert!(system.contains("ended without an answer: Mainstay lacked what an attempt needs"), "{system}");
    }

    #[test]
    fn a_hedge_says_why_it_was_made_and_who_was_given_up() {
        expect![[r#"
            request r-1, 3 s ago
                  0.0 ms  arrived: GET /cart/7 on route /cart, service shop, deadline in 15 s  [route.timeout]
                  0.0 ms  attempt 1 to 127.0.0.1:9101  [service.shop.balance]
                 38.0 ms  attempt 2 to 127.0.0.1:9102: a hedge beside what runs, paid for by the budget; there was no answer for 38 ms  [service.shop.retry.hedge]
                 45.0 ms  attempt 2: an answer with status 200
                 45.0 ms  attempt 1 was given up: attempt 2 had answered; it may have been applied
                 46.0 ms  ended: answered whole with status 200
        "#]]
        .assert_eq(
            &record(&[
                (0, attempt(0, AttemptReason::First)),
                (38_000, attempt(1, AttemptReason::Hedge)),
                (45_000, Decision::Head { attempt: 1, status: 200 }),
                (45_000, Decision::Outpaced { attempt: 0, by: 1, certainty: Certainty::Unknown }),
                (46_000, Decision::Ended(End::Answered { status: 200 })),
            ])
            .story(|_| None),
        );
    }

    #[test]
    fn a_hedge_that_was_not_made_says_why() {
        let story =
            record(&[(0, attempt(0, AttemptReason::First)), (20_000, Decision::NoHedge { why: NoRetry::Budget })])
                .story(|_| None);
        let line = "there was no answer for 20 ms, but no other attempt is made beside it: the retry budget is empty";
        assert!(story.contains(line), "{story}");
    }

    #[test]
    fn who_is_refused_at_once_is_told_what_it_would_have_waited_for() {
        let story = record(&[
            (40, Decision::LongWait { expected_ms: 90, accepted_ms: 40 }),
            (40, Decision::Overload { limit: 212, in_flight: 212, waiting: 37 }),
            (40, Decision::Ended(End::Refused(Refusal::LongWait))),
        ])
        .story(|_| None);
        expect![[r#"
            request r-1, 3 s ago
                  0.0 ms  arrived: GET /cart/7 on route /cart, service shop, deadline in 15 s  [route.timeout]
                  0.0 ms  it would wait about 90 ms for a permit, and 40 ms are accepted  [service.shop.bulkhead.queue_timeout]
                  0.0 ms  it is shed: 212 attempts run where 212 may now, 37 calls wait  [service.shop.bulkhead.concurrency]
                  0.0 ms  ended without an answer: refused at once, because it would wait too long  [service.shop.bulkhead.queue_timeout]
        "#]]
        .assert_eq(&story);
    }

    #[test]
    fn a_drill_is_told_as_what_it_is() {
        let fault = |attempt, kind| Decision::Fault { attempt, kind, left_millis: 12_000 };
        let failure = Failure::Status(503);
        let story = record(&[
            (40, attempt(0, AttemptReason::First)),
            (40, fault(0, FaultKind::Abort { status: 503 })),
            (40, Decision::Failed { attempt: 0, failure, certainty: Certainty::Applied }),
            (25_040, attempt(1, AttemptReason::Retry)),
            (25_040, fault(1, FaultKind::Delay { millis: 200 })),
            (237_400, Decision::Head { attempt: 1, status: 200 }),
        ]);
        expect![[r#"
            request r-1, 3 s ago
                  0.0 ms  arrived: GET /cart/7 on route /cart, service shop, deadline in 15 s  [route.timeout]
                  0.0 ms  attempt 1 to 127.0.0.1:9101  [service.shop.balance]
                  0.0 ms  a drill answers attempt 1 with 503 in the instance's place; its lease ends in 12 s, and `mainstay fault shop off` ends it now
                  0.0 ms  attempt 1 failed: status 503; the drill's doing, nothing was sent  [service.shop.retry.on]
                 25.0 ms  attempt 2 to 127.0.0.1:9102: a retry, paid for by the budget  [service.shop.retry.budget]
                 25.0 ms  a drill delays attempt 2 by 200 ms; its lease ends in 12 s, and `mainstay fault shop off` ends it now
                237.4 ms  attempt 2: an answer with status 200
        "#]].assert_eq(&story.story(|_| None));
    }

    #[test]
    fn a_request_id_cannot_play_with_the_terminal() {
        let mut sly = record(&[]);
        sly.request_id = "\u{1b}[2Jx\nfake".to_owned();
        let story = sly.story(|_| None);
        assert!(!story.contains('\u{1b}'));
        assert_eq!(story.lines().count(), 2);
    }

    #[test]
    fn lengths_are_written_short() {
        for (millis, text) in [(15_000, "15 s"), (1_500, "1.5 s"), (250, "250 ms"), (1_050, "1 s")] {
            assert_eq!(Short(Duration::from_millis(millis)).to_string(), text);
        }
        assert_eq!(Short(Duration::from_micros(40)).to_string(), "40 us");
    }
}
