//! The fields of an instance's answer on its way to the caller.
//!
//! In: the answer's head, the route's rules, what the call learned. Out: lines appended to a buffer, between the
//! machine's [`mainstay_http1::ServerConnection::start_response`] (which writes the status line, the framing and
//! `Connection`) and its `end_head`. What belongs to the connection to the instance is taken away first, ours come last.

use mainstay_core::{Duration, Failure};
use mainstay_http1::{Known, ResponseView, field, field_u64};
use mainstay_policy::{Refusal, StaleOrder, Usable};

use super::fields::{EndToEnd, FieldRules};
use super::rate_limit::RateLimitTold;
use super::request::{push_display, via};

/// What the fields of an answer depend on beside the instance's head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResponseContext<'a> {
    /// The route's changes.
    pub(crate) rules: &'a FieldRules,
    /// The request's id, kept or made.
    pub(crate) request_id: &'a [u8],
    /// The time as [`super::HttpDate`], for an answer that has none.
    pub(crate) date: &'a [u8],
    /// The limit that is nearest to refusing the caller, where the route has any.
    pub(crate) limit: Option<RateLimitTold<'a>>,
    /// More attempts would have followed, had any been left.
    pub(crate) retries_used: bool,
    /// The body goes on in chunks, so that trailers can follow.
    pub(crate) chunked: bool,
    /// It was kept, and is given again.
    pub(crate) again: Option<Again>,
}

/// Why an answer is given that is not the instance's answer to this request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Again {
    /// It is the first answer to the `Idempotency-Key`.
    Replayed {
        /// How old it is.
        age: Duration,
    },
    /// It stands in for one that did not come.
    Stale(StaleOrder),
}

/// Appends the answer's fields to `out`.
pub(crate) fn write_response_fields(answer: ResponseView<'_>, context: &ResponseContext<'_>, out: &mut Vec<u8>) {
    let rules = context.rules;
    let end_to_end = EndToEnd::of(answer.fields(), context.chunked);
    let mut dated = rules.replaces_known(Known::Date);
    answer.fields().write_those(out, |line| {
        let goes_on = end_to_end.has(line);
        dated |= goes_on && line.known == Known::Date;
        let ours = line.known == Known::XRequestId || (line.known == Known::Age && context.again.is_some());
        goes_on && !ours && !rules.replaces(line)
    });
    if !dated {
        field(out, b"date", context.date);
    }
    if !rules.replaces_known(Known::Via) {
        out.extend_from_slice(via(answer.version()));
    }
    if !rules.replaces_known(Known::XRequestId) {
        field(out, b"x-request-id", context.request_id);
    }
    if let Some(limit) = &context.limit {
        limit.write(Some(rules), out);
    }
    if context.retries_used {
        retries_used(answer, rules, out);
    }
    if let Some(again) = context.again {
        given_again(again, rules, out);
    }
    out.extend_from_slice(rules.lines());
}

/// The fields of an interim answer (1xx) go on as they are, but for those of the connection.
pub(crate) fn write_interim_fields(answer: ResponseView<'_>, out: &mut Vec<u8>) {
    let end_to_end = EndToEnd::of(answer.fields(), false);
    answer.fields().write_those(out, |line| end_to_end.has(line));
}

/// Tells a Mainstay in front of this one not to multiply our attempts by its own, and everybody why.
fn retries_used(answer: ResponseView<'_>, rules: &FieldRules, out: &mut Vec<u8>) {
    if !rules.replaces_known(Known::XMainstayRetries) && answer.get(Known::XMainstayRetries).is_none() {
        out.extend_from_slice(b"x-mainstay-retries: used\r\n");
    }
    if !rules.replaces_known(Known::ProxyStatus) {
        out.extend_from_slice(b"proxy-status: mainstay; received-status=");
        push_display(out, answer.status());
        out.extend_from_slice(b"; details=\"retries are used up\"\r\n");
    }
}

/// What tells an answer that is given again from one that was made for this request: its age (RFC 9111, section 5.1), and
/// the mark that clients of payment services look for, or what a cache says of itself.
fn given_again(again: Again, rules: &FieldRules, out: &mut Vec<u8>) {
    let age = match again {
        Again::Replayed { age } => age,
        Again::Stale(order) => order.usable.age,
    };
    if !rules.replaces_known(Known::Age) {
        field_u64(out, b"age", age.as_millis() / 1000);
    }
    match again {
        Again::Replayed { .. } => out.extend_from_slice(b"idempotent-replayed: true\r\n"),
        Again::Stale(order) => cache_status(&order, out),
    }
}

/// RFC 9211, section 2: a hit when no instance was asked, and otherwise why one was and what it said. `ttl` is how long
/// the answer is still fresh, below zero for how long it has been stale.
fn cache_status(order: &StaleOrder, out: &mut Vec<u8>) {
    let seconds = |length: Duration| length.as_millis() as i64 / 1000;
    let Usable { fresh_for, stale_for, .. } = order.usable;
    out.extend_from_slice(b"cache-status: mainstay; ");
    out.extend_from_slice(match order.attempts {
        0 => b"hit",
        _ if fresh_for.is_zero() => b"fwd=stale",
        // What is fresh does not answer for a service that lives.
        _ => b"fwd=bypass",
    });
    if let Refusal::Failed(Failure::Status(status)) = order.refusal {
        push_display(out, format_args!("; fwd-status={status}"));
    }
    let ttl = seconds(fresh_for) - seconds(stale_for);
    push_display(out, format_args!("; ttl={ttl}; detail=\"{}\"\r\n", order.refusal.as_str()));
}
