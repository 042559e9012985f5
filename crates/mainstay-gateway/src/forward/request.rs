//! The fields of a request on its way to an instance.
//!
//! In: the request as it came, the route's rules, who calls, how long is left. Out: lines appended to a buffer, between
//! the machine's [`mainstay_http1::ClientConnection::start_request`] (which writes the request line, `Host` and the
//! framing) and its `end_head`. Nothing is allocated.
//!
//! - What goes on goes on in its order; ours come last, so that nothing that came can take them away.
//! - Forwarding fields of a trusted peer are appended to; those of anybody else are replaced.
//! - `Expect` does not go on: the gateway answers it itself.
//! - The caller's deadline does not go on; what remains of the call's does.
//! - A name with underscores does not go on where the same name with hyphens would not.

use std::net::SocketAddr;

use mainstay_config::HostHeader;
use mainstay_core::Duration;
use mainstay_http1::{FieldRef, FieldsView, Known, KnownSet, RequestView, Version, field, field_u64};

use super::caller::{Peer, is_grpc};
use super::fields::{ALIAS_MAX, EndToEnd, FieldRules, ONE_CONNECTION, hyphenated};
use super::trace::Trace;
use crate::mirror::MARK;

/// What `Host` tells the instance: a slice of one of the arguments.
///
/// A caller on HTTP/1.0 may have named no host; the endpoint's address stands in for it.
pub(crate) fn host_value<'a>(
    rule: &'a HostHeader,
    request: RequestView<'a>,
    endpoint: SocketAddr,
    scratch: &'a mut Vec<u8>,
) -> &'a [u8] {
    match (rule, request.authority()) {
        (HostHeader::Fixed(host), _) => host.as_bytes(),
        (HostHeader::Preserve, Some(authority)) => authority,
        _ => {
            scratch.clear();
            push_display(scratch, endpoint);
            scratch
        }
    }
}

/// What the fields of an outgoing request depend on beside the request itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestContext<'a> {
    /// The route's changes.
    pub(crate) rules: &'a FieldRules,
    /// Who calls.
    pub(crate) peer: &'a Peer,
    /// The request's id, kept or made.
    pub(crate) request_id: &'a [u8],
    /// The trace that goes on.
    pub(crate) trace: &'a Trace,
    /// What remains of the call's time for this attempt.
    pub(crate) left: Duration,
    /// The body goes on in chunks, so that trailers can follow.
    pub(crate) chunked: bool,
}

/// Say who calls, and by which way.
const FORWARDING: KnownSet =
    KnownSet::of(&[Known::Forwarded, Known::Via, Known::XForwardedFor, Known::XForwardedHost, Known::XForwardedProto]);

/// The lines of [`FORWARDING`] as they were last written for a connection. While nobody in front is believed they are
/// the same for every request that names the same host.
#[derive(Debug, Default)]
pub(crate) struct ForwardingLines {
    /// The version that they tell, and which of them the route replaces; `None` before the first request.
    of: Option<(Version, KnownSet)>,
    host: Vec<u8>,
    lines: Vec<u8>,
}

impl ForwardingLines {
    /// The bytes that they keep.
    pub(crate) fn kept(&self) -> usize {
        self.host.capacity() + self.lines.capacity()
    }

    fn write(&mut self, request: RequestView<'_>, context: &RequestContext<'_>, out: &mut Vec<u8>) {
        if context.peer.trusted {
            return forwarded(request, context, out);
        }
        let host = request.authority().unwrap_or_default();
        let of = (request.version(), context.rules.replaced_of(FORWARDING));
        if self.of == Some(of) && self.host == host {
            return out.extend_from_slice(&self.lines);
        }
        let begin = out.len();
        forwarded(request, context, out);
        self.of = Some(of);
        keep(&mut self.host, host);
        keep(&mut self.lines, &out[begin..]);
    }
}

/// Keeps `bytes` in no more room than they take, or in the room that there is.
fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    kept.clear();
    kept.reserve_exact(bytes.len());
    kept.extend_from_slice(bytes);
}

/// Replaced by ours, or answered by us. `Traceparent` and `Tracestate` go by the trace's validity.
const OURS: KnownSet = KnownSet::of(&[
    Known::Expect,
    Known::Forwarded,
    Known::Host,
    Known::Traceparent,
    Known::XForwardedFor,
    Known::XForwardedHost,
    Known::XForwardedProto,
    Known::XMainstayDeadlineMs,
    Known::XRequestId,
]);

/// Appends the request's fields to `out`. `forwarding` is what was written for the same connection before.
pub(crate) fn write_request_fields(
    request: RequestView<'_>,
    context: &RequestContext<'_>,
    forwarding: &mut ForwardingLines,
    out: &mut Vec<u8>,
) {
    let fields = request.fields();
    let grpc = is_grpc(fields);
    let end_to_end = EndToEnd::of(fields, context.chunked);
    fields.write_those(out, |line| {
        end_to_end.has(line) && !gives_way(line, context, grpc) && !speaks_for_another(line, context, grpc)
    });
    if accepts_trailers(fields) {
        // TE is itself of this connection only, and says so (RFC 9110, section 10.1.4).
        out.extend_from_slice(b"te: trailers\r\nconnection: te\r\n");
    }
    forwarding.write(request, context, out);
    let rules = context.rules;
    if !rules.replaces_known(Known::XRequestId) {
        field(out, b"x-request-id", context.request_id);
    }
    if !rules.replaces_known(Known::Traceparent) {
        field(out, b"traceparent", context.trace.value());
    }
    time_left(context, grpc, out);
    out.extend_from_slice(rules.lines());
}

/// Whether a field that came stands where only ours, or the configuration's, may stand.
fn gives_way(line: &FieldRef<'_>, context: &RequestContext<'_>, grpc: bool) -> bool {
    let ours = match line.known {
        Known::GrpcTimeout => grpc,
        Known::Tracestate => !context.trace.continued,
        Known::XMainstayPriority => !context.peer.trusted,
        // Only we say that nobody waits for an answer.
        Known::Other => !context.peer.trusted && line.name.eq_ignore_ascii_case(MARK),
        known => OURS.has(known),
    };
    ours || context.rules.replaces(line)
}

/// Whether a server that takes underscores for hyphens would read it as a field that does not go on.
fn speaks_for_another(line: &FieldRef<'_>, context: &RequestContext<'_>, grpc: bool) -> bool {
    line.name.contains(&b'_')
        && hyphenated(line, &mut [0; ALIAS_MAX])
            .is_some_and(|alias| ONE_CONNECTION.has(alias.known) || gives_way(&alias, context, grpc))
}

/// Our own mark on a message, by the version in which it came (RFC 9110, section 7.6.3).
pub(super) const fn via(version: Version) -> &'static [u8] {
    match version {
        Version::Http10 => b"via: 1.0 mainstay\r\n",
        Version::Http11 => b"via: 1.1 mainstay\r\n",
        Version::Http2 => b"via: 2 mainstay\r\n",
    }
}

fn accepts_trailers(fields: FieldsView<'_>) -> bool {
    fields
        .get_all(Known::Te)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

fn time_left(context: &RequestContext<'_>, grpc: bool, out: &mut Vec<u8>) {
    let millis = context.left.as_millis();
    if !context.rules.replaces_known(Known::XMainstayDeadlineMs) {
        field_u64(out, b"x-mainstay-deadline-ms", millis);
    }
    if grpc && !context.rules.replaces_known(Known::GrpcTimeout) {
        // Eight digits at most; three years of seconds are enough for anybody.
        let (number, unit) = if millis < 100_000_000 { (millis, "m") } else { ((millis / 1000).min(99_999_999), "S") };
        out.extend_from_slice(b"grpc-timeout: ");
        push_display(out, format_args!("{number}{unit}\r\n"));
    }
}

fn forwarded(request: RequestView<'_>, context: &RequestContext<'_>, out: &mut Vec<u8>) {
    let (rules, peer, fields) = (context.rules, context.peer, request.fields());
    if !rules.replaces_known(Known::XForwardedFor) {
        out.extend_from_slice(b"x-forwarded-for: ");
        before(fields, Known::XForwardedFor, peer, out);
        out.extend_from_slice(peer.text());
        out.extend_from_slice(b"\r\n");
    }
    if !rules.replaces_known(Known::XForwardedProto) {
        field(out, b"x-forwarded-proto", named_scheme(request, peer));
    }
    if let (false, Some(host)) = (rules.replaces_known(Known::XForwardedHost), named_host(request, peer)) {
        field(out, b"x-forwarded-host", host);
    }
    if !rules.replaces_known(Known::Forwarded) {
        rfc7239(request, peer, out);
    }
    if !rules.replaces_known(Known::Via) {
        out.extend_from_slice(via(request.version()));
    }
}

/// The scheme that the first caller used, as far as it can be believed.
pub(crate) fn named_scheme<'a>(request: RequestView<'a>, peer: &'a Peer) -> &'a [u8] {
    believed(request, peer, Known::XForwardedProto).unwrap_or(peer.scheme().as_bytes())
}

/// The host that the first caller named, as far as it can be believed; `None` only on HTTP/1.0.
pub(crate) fn named_host<'a>(request: RequestView<'a>, peer: &Peer) -> Option<&'a [u8]> {
    believed(request, peer, Known::XForwardedHost).or(request.authority())
}

fn believed<'a>(request: RequestView<'a>, peer: &Peer, known: Known) -> Option<&'a [u8]> {
    request.fields().get(known).filter(|value| peer.trusted && !value.is_empty())
}

/// What earlier hops wrote, where they are believed, with the comma after it.
fn before(fields: FieldsView<'_>, known: Known, peer: &Peer, out: &mut Vec<u8>) {
    if peer.trusted {
        for value in fields.get_all(known).filter(|value| !value.is_empty()) {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
        }
    }
}

/// RFC 7239, section 4: an element for this hop.
fn rfc7239(request: RequestView<'_>, peer: &Peer, out: &mut Vec<u8>) {
    out.extend_from_slice(b"forwarded: ");
    before(request.fields(), Known::Forwarded, peer, out);
    if peer.is_ipv6() {
        out.extend_from_slice(b"for=\"[");
        out.extend_from_slice(peer.text());
        out.extend_from_slice(b"]\"");
    } else {
        out.extend_from_slice(b"for=");
        out.extend_from_slice(peer.text());
    }
    // An authority holds neither quotes nor backslashes, but this place does not rely on it.
    if let Some(host) = request.authority().filter(|host| !host.iter().any(|byte| matches!(byte, b'"' | b'\\'))) {
        out.extend_from_slice(b";host=\"");
        out.extend_from_slice(host);
        out.extend_from_slice(b"\"");
    }
    out.extend_from_slice(if peer.https { &b";proto=https\r\n"[..] } else { b";proto=http\r\n" });
}

/// Appends a value's text; a vector takes whatever is written to it.
pub(super) fn push_display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    use std::io::Write as _;
    let written = write!(out, "{value}");
    debug_assert!(written.is_ok(), "a vector takes whatever is written to it");
}
