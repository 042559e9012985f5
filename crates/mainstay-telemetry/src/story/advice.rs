//! What somebody on call can do about a request that ended badly: one line, or none where there is nothing to do.
//!
//! The reason for which no other attempt followed is more to the point than the failure of the last one, where it can be
//! mended; so it comes first.

use mainstay_core::{Failure, Origin};
use mainstay_policy::{Decision, End, FaultKind, KeyRefusal, NoEndpoint, NoRetry, Refusal};

use crate::FoundRecord;

impl FoundRecord {
    /// What can be done about how it ended.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        match self.end()? {
            End::Answered { status } | End::Replayed { status } if status < 500 => None,
            End::Interrupted { origin: Origin::Client, .. } => None,
            End::Replayed { .. } => Some("a new try needs a new Idempotency-Key".to_owned()),
            End::Answered { status } => Some(self.after_a_failure(Failure::Status(status))),
            End::Interrupted { origin: Origin::Us, .. } => Some("look at the node's log at that moment".to_owned()),
            End::Interrupted { .. } => Some(format!("look at the log of {} at that moment", self.last_endpoint())),
            End::Fallback(_) => Some(format!("{} why the service itself did not answer", self.look())),
            End::CallerLeft => Some(format!(
                "compare the caller's own time-out with P99 in `mainstay top`; {} who is slow",
                self.look()
            )),
            End::Refused(refusal) => Some(self.after_a_refusal(refusal)),
        }
    }

    fn end(&self) -> Option<End> {
        self.entries.iter().rev().find_map(|entry| match entry.what {
            Decision::Ended(end) => Some(end),
            _ => None,
        })
    }

    fn after_a_refusal(&self, refusal: Refusal) -> String {
        let service = &self.service;
        match refusal {
            Refusal::DeadlinePassed => {
                "callers have to leave more of their time, or what stands before Mainstay takes \
                                        too much of it"
                    .to_owned()
            }
            Refusal::RateLimited => self.after_a_limit(),
            Refusal::SlowRequest => "nothing here: the caller sends its body too slowly".to_owned(),
            Refusal::Key(why) => self.after_a_key(why),
            Refusal::BreakerOpen if self.is_forced_open() => {
                format!("`mainstay breaker {service} auto` takes the operator's order back")
            }
            Refusal::BreakerOpen => {
                format!("{} what fails; the breaker closes by itself once probes go well", self.look())
            }
            Refusal::QueueFull | Refusal::QueueTimeout | Refusal::LongWait | Refusal::Hopeless => {
                "look at LIMIT and P50 in `mainstay top`: add instances, or find out why answers are slower than usual"
                    .to_owned()
            }
            Refusal::Displaced => {
                "add instances, or give the route a higher priority if it matters as much as the others".to_owned()
            }
            Refusal::Exhausted if self.lacked_our_own_limit() => format!(
                "raise service.{service}.pool.size or bulkhead.per_endpoint if the instances can take more, else add some"
            ),
            Refusal::Exhausted => "look at the node's limits on descriptors and memory (ulimit -n)".to_owned(),
            Refusal::NoEndpoint if self.was_ordered_out() => {
                format!("`mainstay restore {service} ADDRESS` gives back what an operator took out")
            }
            Refusal::NoEndpoint => format!("{} why each is out and when it is tried again", self.look()),
            Refusal::Deadline => {
                format!("{} who is slow; raise route.timeout if answers may take so long", self.look())
            }
            Refusal::Failed(failure) => self.after_a_failure(failure),
        }
    }

    fn after_a_limit(&self) -> String {
        let refused = self.entries.iter().rev().find_map(|entry| match entry.what {
            Decision::OverLimit { limit, percent, .. } => Some((limit, percent)),
            _ => None,
        });
        let name = refused.and_then(|(limit, _)| self.limits.iter().find(|(known, _)| *known == limit));
        let rate = name.map_or_else(|| "its rate".to_owned(), |(_, name)| format!("rate_limit.{name}.rate"));
        match refused {
            Some((_, ..100)) => format!("find out why calls fail: {rate} counts in full again once they go well"),
            _ => format!("raise {rate} if this caller may come more often; else it has to heed Retry-After"),
        }
    }

    fn after_a_key(&self, why: KeyRefusal) -> String {
        let service = &self.service;
        match why {
            KeyRefusal::Malformed => "the caller has to send one text of 1 to 255 characters".to_owned(),
            KeyRefusal::Reused => "the caller has to take a new key for each new request".to_owned(),
            KeyRefusal::InProgress => "the caller has to ask again with the same key a little later".to_owned(),
            KeyRefusal::NotKept => {
                format!(
                    "take the status for the answer, and {service}'s own books for the rest; raise \
                     service.{service}.idempotency.memory"
                )
            }
            KeyRefusal::Unknown => {
                format!("look in {service}'s own books whether it was carried out, and only then take a new key")
            }
            KeyRefusal::Full => format!(
                "raise service.{service}.idempotency.memory; where many callers come by one proxy, name it in \
                 trusted_proxies"
            ),
        }
    }

    fn after_a_failure(&self, failure: Failure) -> String {
        if self.is_a_drills_doing() {
            return format!("nothing failed but on purpose: `mainstay fault {} off` ends the drill", self.service);
        }
        let about_it = self.about_the_failure(failure);
        match self.about_no_retry() {
            Some(about_retries) => format!("{about_it}; {about_retries}"),
            None => about_it,
        }
    }

    fn about_the_failure(&self, failure: Failure) -> String {
        let place = self.last_endpoint();
        match failure {
            Failure::Refused => format!("see whether a process listens at {place}"),
            Failure::Unreachable => format!("see whether there is a way from this node to {place}"),
            Failure::ConnectTimeout => format!("see whether {place} is up and its queue for connections is not full"),
            Failure::Reset => format!("look at the log of {place} at that moment"),
            Failure::Timeout => format!("{} whether {place} alone is slow", self.look()),
            Failure::Malformed => format!("see whether {place} speaks HTTP/1.1 and no TLS"),
            Failure::Status(_) => format!("look at the log of {place} for this x-request-id"),
        }
    }

    /// Where it can be mended.
    fn about_no_retry(&self) -> Option<String> {
        let service = &self.service;
        let why = self.entries.iter().rev().find_map(|entry| match entry.what {
            Decision::NoRetry { why } => Some(why),
            _ => None,
        })?;
        match why {
            NoRetry::Off => Some(format!("switch service.{service}.retry on if another instance could have answered")),
            NoRetry::NotIdempotent => {
                Some(format!("let callers send an Idempotency-Key and keep it here (service.{service}.idempotency)"))
            }
            NoRetry::BodyNotKept => Some(format!("raise service.{service}.retry.buffer if such bodies are usual")),
            NoRetry::Budget => Some("leave the budget as it is: too much fails for more retries to help".to_owned()),
            NoRetry::NoPermit => {
                Some("the service was full, so a retry would have taken another call's place".to_owned())
            }
            NoRetry::NoEndpoint => Some(format!("{} why no other one was left", self.look())),
            NoRetry::Deadline => Some("raise route.timeout if there should be time for another attempt".to_owned()),
            NoRetry::BreakerOpen | NoRetry::AttemptsUsed => Some(format!("{} what ails the others", self.look())),
            NoRetry::Condition | NoRetry::Forbidden => None,
        }
    }

    fn is_a_drills_doing(&self) -> bool {
        self.entries
            .iter()
            .any(|entry| matches!(entry.what, Decision::Fault { kind: FaultKind::Abort { .. } | FaultKind::Reset, .. }))
    }

    fn look(&self) -> String {
        format!("`mainstay endpoints {}` says", self.service)
    }

    fn last_endpoint(&self) -> &str {
        self.endpoints.last().map_or("the instance", String::as_str)
    }

    fn is_forced_open(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry.what, Decision::BreakerRefused { forced: true, .. }))
    }

    fn lacked_our_own_limit(&self) -> bool {
        self.entries.iter().any(|entry| {
            matches!(
                entry.what,
                Decision::Unable { pool: true, .. } | Decision::NoEndpoint { why: NoEndpoint::AllBusy, .. }
            )
        })
    }

    fn was_ordered_out(&self) -> bool {
        self.entries
            .iter()
            .any(|entry| matches!(entry.what, Decision::NoEndpoint { passed_over, .. } if passed_over.ordered_out > 0))
    }
}
