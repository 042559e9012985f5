//! Attempts: where each went and why, how it failed, and why no other one followed.

use mainstay_core::{Certainty, Duration, Failure};
use mainstay_policy::{AttemptReason, Crossing, Decision, Entry, FallbackKind, FaultKind, NoRetry};

use super::words::{Cause, Short, left_behind, ordinal, passed_over};
use super::{Told, told};
use crate::FoundRecord;

impl FoundRecord {
    pub(super) fn attempt(&self, entry: &Entry, attempt: u8, why: AttemptReason) -> Told {
        let Decision::Attempt { probe, panic, trial, crossing, passed_over: mut others, .. } = entry.what else {
            return told("attempt", String::new(), None);
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
        // Who was chosen was not passed over, and in a panic nobody is for being unwell.
        others.ejected = if panic { 0 } else { others.ejected.saturating_sub(u8::from(probe)) };
        others.limping = others.limping.saturating_sub(u8::from(trial));
        if !others.is_none() {
            text.push_str("; of the others: ");
            text.push_str(&passed_over(others));
        }
        told("attempt", text, key)
    }

    /// What a hedge that is due at `entry` follows upon: the silence of the attempt before it, or its failure.
    pub(super) fn patience(&self, entry: &Entry) -> String {
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

    pub(super) fn endpoint(&self, entry: &Entry, attempt: u8) -> String {
        match (self.endpoints.get(usize::from(attempt)), entry.what) {
            (Some(address), _) => address.clone(),
            (None, Decision::Attempt { endpoint, .. }) => format!("endpoint {endpoint:?}"),
            (None, _) => "an endpoint".to_owned(),
        }
    }

    pub(super) fn failed(&self, attempt: u8, failure: Failure, certainty: Certainty, too_late: bool) -> Told {
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

    /// What ran out was half of the call's time, and not the attempt's own.
    pub(super) fn made_way(&self, attempt: u8, certainty: Certainty, kind: FallbackKind) -> Told {
        let (rest, key) = match kind {
            FallbackKind::Service => ("the rest is left for the fallback service", "fallback.service"),
            FallbackKind::Stale => ("an answer that was kept stands ready", "fallback.stale_if_error"),
            FallbackKind::Respond => ("the rest is left for the fixed answer", "fallback.respond"),
        };
        let text = format!(
            "attempt {}: no head of an answer in half of the time that was left, and {rest}; {}",
            ordinal(attempt),
            left_behind(certainty)
        );
        Told { beside: Some("route.timeout".to_owned()), ..told("failed", text, self.key(key)) }
    }

    pub(super) fn fault(&self, attempt: u8, kind: FaultKind, left_millis: u32) -> Told {
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
    pub(super) fn is_drilled(&self, attempt: u8) -> bool {
        self.entries.iter().any(|entry| {
            matches!(entry.what, Decision::Fault { attempt: of, kind: FaultKind::Abort { .. } | FaultKind::Reset, .. } if of == attempt)
        })
    }

    pub(super) fn unable(&self, attempt: u8, pool: bool) -> Told {
        let (lack, key) = match pool {
            true => ("all connections to the instance that are allowed were busy", self.key("pool.size")),
            false => ("Mainstay itself lacked a descriptor, a port or memory for it", None),
        };
        told("unable", format!("attempt {} was not made: {lack}; nothing was sent", ordinal(attempt)), key)
    }

    pub(super) fn failure_key(&self, failure: Failure) -> Option<String> {
        match failure {
            Failure::ConnectTimeout => self.key("timeout.connect"),
            Failure::Timeout => self.key("timeout.attempt"),
            Failure::Status(_) => self.key("retry.on"),
            Failure::Refused | Failure::Unreachable | Failure::Reset | Failure::Malformed => None,
        }
    }

    pub(super) fn no_retry_key(&self, why: NoRetry) -> Option<String> {
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
}
