//! How a call ended, and with which status where the answer is our own.

use mainstay_core::{Duration, Failure};
use mainstay_policy::{End, FallbackKind, KeyRefusal, Refusal};

use super::words::{Cause, Short, Who};
use super::{Told, told};
use crate::FoundRecord;

impl FoundRecord {
    pub(super) fn fallback(&self, kind: FallbackKind) -> Told {
        match kind {
            FallbackKind::Stale => told("fallback", "a kept answer is given", self.key("fallback.stale_if_error")),
            FallbackKind::Service => told("fallback", "another service is asked instead", self.key("fallback.service")),
            FallbackKind::Respond => told("fallback", "the fixed answer is given", self.key("fallback.respond.status")),
        }
    }

    pub(super) fn ended(&self, end: End) -> Told {
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

    pub(super) fn stale(&self, why: Refusal, age: u32, stale: u32) -> Told {
        let length = |seconds| Short(Duration::from_secs(u64::from(seconds)));
        let state = match stale {
            0 => "still fresh".to_owned(),
            stale => format!("stale for {}", length(stale)),
        };
        let (why, _) = self.reason(why);
        let text = format!("no answer came ({why}): a kept one stands in, {} old, {state}", length(age));
        told("stale", text, self.key("fallback.stale_if_error"))
    }

    pub(super) fn refused(&self, refusal: Refusal) -> Told {
        let (text, key) = self.reason(refusal);
        let text = match refusal {
            Refusal::Failed(Failure::Status(_)) => format!("ended without an answer to pass on: {text}"),
            _ => format!("ended without an answer: {text}; status {}", refusal.status()),
        };
        told("ended", text, key)
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
        KeyRefusal::Full => "calls under way from its address hold all that one address may of the memory for keys",
    }
}
