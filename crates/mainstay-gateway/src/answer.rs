//! The answers that Mainstay gives itself: problems, fixed answers and redirects.
//!
//! In: why there is no answer of an instance, or what a configuration says instead. Out: a whole message, written
//! through the caller's connection machine, which decides framing and `Connection` and leaves the body out for HEAD.
//!
//! One table ([`Problem::facts`]) maps every reason to a status, an error type of RFC 9209 and a sentence, so a problem,
//! its `Proxy-Status`, the log and the metrics cannot tell different stories. A problem is `application/problem+json`
//! (RFC 9457) of the type `about:blank`: its title is the status's phrase; `reason` has the word that logs and metrics
//! use. It is never stored by a cache, and what it repeats of the request is only the id.

mod problem;

use mainstay_config::FixedAnswer;
use mainstay_core::Duration;
use mainstay_http1::{BodyLength, Known, Misuse, ServerConnection, field, field_u64, reason};
use mainstay_policy::RefuseOrder;

pub(crate) use problem::{Problem, ProblemFacts};

use crate::forward::{FieldRules, RateLimitTold, retry_after};

/// What every answer of our own carries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnswerContext<'a> {
    /// The request's id, kept or made; empty when the request's head could not be read.
    pub(crate) request_id: &'a [u8],
    /// The time as [`crate::forward::HttpDate`].
    pub(crate) date: &'a [u8],
    /// The route's changes on the way down; `None` without a route.
    pub(crate) rules: Option<&'a FieldRules>,
}

/// A problem with what is known beside its reason.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProblemAnswer<'a> {
    /// Why.
    pub(crate) problem: Problem,
    /// When it is worth asking again.
    pub(crate) retry_after: Option<Duration>,
    /// Attempts that were made before.
    pub(crate) attempts: u8,
    /// The limit that refused.
    pub(crate) limit: Option<RateLimitTold<'a>>,
    /// The status of the first answer of the key, where that is known and not kept.
    pub(crate) first: Option<u16>,
}

impl<'a> ProblemAnswer<'a> {
    /// A problem of which nothing else is known.
    #[must_use]
    pub(crate) const fn new(problem: Problem) -> Self {
        Self { problem, retry_after: None, attempts: 0, limit: None, first: None }
    }

    /// What a call ended with; `limit` is the one that refused, where one did.
    #[must_use]
    pub(crate) const fn of(order: &RefuseOrder, limit: Option<RateLimitTold<'a>>) -> Self {
        Self {
            problem: Problem::Refused(order.refusal),
            retry_after: order.retry_after,
            attempts: order.attempts,
            limit,
            first: None,
        }
    }

    /// Writes the whole answer to `out`; `scratch` is for the body.
    ///
    /// # Errors
    /// [`Misuse`] when a response has begun on this connection.
    pub(crate) fn write(
        &self,
        machine: &mut ServerConnection,
        context: &AnswerContext<'_>,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        let facts = self.problem.facts();
        scratch.clear();
        self.body(&facts, context.request_id, scratch);
        machine.start_response(facts.status, BodyLength::Exactly(scratch.len() as u64), out)?;
        out.extend_from_slice(b"content-type: application/problem+json\r\ncache-control: no-store\r\n");
        self.proxy_status(&facts, out);
        if let Some(wait) = self.retry_after {
            field_u64(out, b"retry-after", retry_after(wait));
        }
        if let Some(limit) = &self.limit {
            limit.write(context.rules, out);
        }
        if self.attempts > 0 {
            out.extend_from_slice(b"x-mainstay-retries: used\r\n");
        }
        finish(machine, context, scratch, out)
    }

    fn body(&self, facts: &ProblemFacts, request_id: &[u8], body: &mut Vec<u8>) {
        body.extend_from_slice(br#"{"type":"about:blank","title":"#);
        json_string(reason(facts.status).as_bytes(), body);
        body.extend_from_slice(br#","status":"#);
        mainstay_http1::decimal(body, u64::from(facts.status));
        body.extend_from_slice(br#","detail":"#);
        match self.attempts {
            0 => json_string(facts.detail.as_bytes(), body),
            1 => json_string_of([facts.detail, " One attempt was made."], body),
            _ => {
                json_string_of([facts.detail, " "], body);
                body.pop();
                mainstay_http1::decimal(body, u64::from(self.attempts));
                body.extend_from_slice(b" attempts were made.\"");
            }
        }
        body.extend_from_slice(br#","reason":"#);
        json_string(facts.reason.as_bytes(), body);
        if let Some(status) = self.first {
            body.extend_from_slice(br#","first_status":"#);
            mainstay_http1::decimal(body, u64::from(status));
        }
        if !request_id.is_empty() {
            body.extend_from_slice(br#","request_id":"#);
            json_string(request_id, body);
        }
        body.extend_from_slice(b"}\n");
    }

    /// RFC 9209, section 2: who says so, the type of the error, and our own word for it.
    fn proxy_status(&self, facts: &ProblemFacts, out: &mut Vec<u8>) {
        out.extend_from_slice(b"proxy-status: mainstay");
        if let Some(error) = facts.error {
            out.extend_from_slice(b"; error=");
            out.extend_from_slice(error.as_bytes());
        }
        if let Some(status) = facts.received.or(self.first) {
            out.extend_from_slice(b"; received-status=");
            mainstay_http1::decimal(out, u64::from(status));
        }
        out.extend_from_slice(b"; details=\"");
        out.extend_from_slice(facts.reason.as_bytes());
        out.extend_from_slice(b"\"\r\n");
    }
}

/// Writes the fixed answer that stands in a configuration.
///
/// # Errors
/// [`Misuse`] when a response has begun on this connection.
pub(crate) fn write_fixed(
    answer: &FixedAnswer,
    machine: &mut ServerConnection,
    context: &AnswerContext<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Misuse> {
    let has_body = !matches!(answer.status, 204 | 304);
    let body = if has_body { answer.body.as_bytes() } else { b"" };
    machine.start_response(answer.status, BodyLength::Exactly(body.len() as u64), out)?;
    if has_body {
        field(out, b"content-type", answer.content_type.as_bytes());
    }
    finish(machine, context, body, out)
}

/// Writes a redirect to `location`.
///
/// # Errors
/// [`Misuse`] when a response has begun on this connection.
pub(crate) fn write_redirect(
    status: u16,
    location: &[u8],
    machine: &mut ServerConnection,
    context: &AnswerContext<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Misuse> {
    machine.start_response(status, BodyLength::Empty, out)?;
    field(out, b"location", location);
    finish(machine, context, b"", out)
}

/// What all of them have in common, and the end.
fn finish(
    machine: &mut ServerConnection,
    context: &AnswerContext<'_>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Misuse> {
    let replaced = |known| context.rules.is_some_and(|rules| rules.replaces_known(known));
    if !replaced(Known::Date) {
        field(out, b"date", context.date);
    }
    if !context.request_id.is_empty() && !replaced(Known::XRequestId) {
        field(out, b"x-request-id", context.request_id);
    }
    out.extend_from_slice(context.rules.map_or(&[][..], FieldRules::lines));
    machine.end_head(out)?;
    machine.data(body, out)?;
    machine.finish([], out)
}

fn json_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    escape_json(text, out);
    out.push(b'"');
}

fn json_string_of(texts: [&str; 2], out: &mut Vec<u8>) {
    out.push(b'"');
    texts.iter().for_each(|text| escape_json(text.as_bytes(), out));
    out.push(b'"');
}

/// Everything that is written here is printable ASCII; anything else would be left out.
fn escape_json(text: &[u8], out: &mut Vec<u8>) {
    for byte in text.iter().filter(|byte| (b' '..0x7f).contains(*byte)) {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
}

#[cfg(test)]
mod tests;
