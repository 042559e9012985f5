//! What holds for any path and any fields: the laws that fuzzing holds this crate to, where they can see inside it.
//!
//! For `mainstay-laws` alone. Each takes any bytes and panics when they break it.

use std::net::SocketAddr;

use mainstay_config::{Cidr, HeaderOps};
use mainstay_core::{Duration, Seed};
use mainstay_http1::{
    FieldsView, Known, Limits, RequestHead, RequestParser, RequestView, ResponseHead, ResponseParser,
};

use crate::forward::{
    FieldRules, ForwardingLines, Peer, RequestContext, ResponseContext, Trace, caller_timeout, make_request_id,
    parse_date, request_id, write_request_fields, write_response_fields,
};
use crate::route::normalise;

/// A path has one canonical form, on which every reader agrees, or none.
pub fn path(bytes: &[u8]) {
    let (mut scratch, mut again) = (Vec::new(), Vec::new());
    let Ok(once) = normalise(bytes, &mut scratch) else { return };
    assert_eq!(normalise(once, &mut again), Ok(once), "normalising twice is normalising once");
    if once == b"*" {
        return;
    }
    assert!(once.starts_with(b"/") && !once.windows(2).any(|two| two == b"//"));
    assert!(once.iter().all(|byte| byte.is_ascii_graphic() && !b"\\#?".contains(byte)));
    let came = if bytes.is_empty() { b"/" } else { bytes };
    assert_eq!(resolved(&decoded(came)), decoded(once), "what came and what goes on are one place");
    assert_eq!(resolved(once), once, "nothing is left to resolve");
}

/// Every triplet decoded, once.
fn decoded(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = path;
    while let Some((byte, tail)) = rest.split_first() {
        let value = tail.get(..2).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match (byte, value) {
            (b'%', Some(value)) => {
                out.push(value);
                rest = &tail[2..];
            }
            _ => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    out
}

/// Without empty and dot segments.
fn resolved(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut open = true;
    for segment in path.split(|byte| *byte == b'/') {
        open = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let end: &[u8] = if open && !kept.is_empty() { b"/" } else { b"" };
    [b"/", &kept.join(&b'/')[..], end].concat()
}

/// What goes on of any fields is well-formed, is of one connection only, and says of the caller what we saw ourselves.
pub fn fields(bytes: &[u8]) {
    let (kind, lines) = bytes.split_first().map_or((0, bytes), |(kind, lines)| (*kind, lines));
    assert!(parse_date(lines).is_none_or(|second| second < 253_402_300_800), "a year has four digits");
    let head = |start: &[u8]| [start, lines, b"\r\n\r\n"].concat();
    upstream(&head(b"GET /a HTTP/1.1\r\nHost: a.example\r\n"), kind & 1 == 1, kind & 2 == 2);
    downstream(&head(b"HTTP/1.1 200 OK\r\n"), kind & 2 == 2);
}

fn upstream(bytes: &[u8], trusted: bool, chunked: bool) {
    let Some((head, length)) = parsed(bytes) else { return };
    let request = head.view(&bytes[..length]);
    let proxies: Vec<Cidr> = "10.0.0.0/8".parse().into_iter().collect();
    let ours = SocketAddr::from(([if trusted { 10 } else { 192 }, 0, 2, 1], 4000));
    let peer = Peer::new(ours, false, &proxies);
    let client = peer.client(request.fields(), &proxies);
    assert!(trusted || client == ours.ip(), "a stranger is believed nothing");
    let timeout = caller_timeout(request.fields(), trusted);
    assert!(timeout.is_none() || trusted || request.get(Known::GrpcTimeout).is_some());
    let (rules, made) = (FieldRules::new(&HeaderOps::default()), make_request_id(Seed::new(1), 7));
    let trace = Trace::of(request.fields(), Seed::new(1), 7);
    let context = RequestContext {
        rules: &rules,
        peer: &peer,
        request_id: request_id(request.fields()).unwrap_or(&made),
        trace: &trace,
        left: Duration::from_secs(1),
        chunked,
    };
    let mut out = b"GET /a HTTP/1.1\r\nHost: a.example\r\n".to_vec();
    write_request_fields(request, &context, &mut ForwardingLines::default(), &mut out);
    out.extend_from_slice(b"\r\n");
    let (head, length) = parsed(&out).unwrap_or_else(|| panic!("{} is no head", out.escape_ascii()));
    assert_eq!(length, out.len(), "one head and nothing after it");
    went_up(head.view(&out), request, &peer, trusted);
}

fn went_up(sent: RequestView<'_>, came: RequestView<'_>, peer: &Peer, trusted: bool) {
    let fields = sent.fields();
    for known in [Known::XRequestId, Known::Traceparent, Known::XForwardedFor, Known::XForwardedProto, Known::Forwarded]
    {
        assert_eq!(fields.get_all(known).count(), 1, "{known:?}");
    }
    for known in [Known::ContentLength, Known::TransferEncoding, Known::Upgrade, Known::KeepAlive, Known::Expect] {
        assert_eq!(fields.get(known), None, "{known:?}");
    }
    assert!(fields.connection_options().all(|option| option == b"te"));
    let hops = fields.get(Known::XForwardedFor).unwrap_or_default();
    assert!(if trusted { hops.ends_with(peer.text()) } else { hops == peer.text() });
    assert!(trusted || fields.get(Known::XMainstayPriority).is_none(), "a stranger says nothing of what matters");
    assert!(Trace::of(fields, Seed::new(2), 8).continued, "the trace that goes on is valid");
    for field in fields.iter().filter(|field| field.name.contains(&b'_')) {
        let alias: Vec<u8> = field.name.iter().map(|byte| if *byte == b'_' { b'-' } else { *byte }).collect();
        let alias = Known::of(&alias);
        let framing = matches!(alias, Known::ContentLength | Known::TransferEncoding | Known::Connection | Known::Host);
        assert!(!framing && alias != Known::XForwardedFor, "an underscore is no way around");
    }
    let others = |fields: FieldsView<'_>| fields.iter().filter(|field| field.known == Known::Other).count();
    assert!(others(fields) <= others(came.fields()), "nothing is made up");
}

fn downstream(bytes: &[u8], chunked: bool) {
    let mut head = ResponseHead::default();
    let parse = |bytes: &[u8], head: &mut ResponseHead| ResponseParser::new(ROOMY).parse(bytes, false, head);
    let Ok(Some(came)) = parse(bytes, &mut head) else { return };
    let rules = FieldRules::new(&HeaderOps::default());
    let context = ResponseContext {
        rules: &rules,
        request_id: b"id",
        date: b"Sun, 06 Nov 1994 08:49:37 GMT",
        limit: None,
        retries_used: chunked,
        chunked,
        again: None,
    };
    let mut out = b"HTTP/1.1 200 OK\r\n".to_vec();
    write_response_fields(head.view(&bytes[..came.consumed]), &context, &mut out);
    out.extend_from_slice(b"\r\n");
    let mut sent = ResponseHead::default();
    let again = parse(&out, &mut sent);
    assert!(matches!(again, Ok(Some(received)) if received.consumed == out.len()), "{}", out.escape_ascii());
    let fields = sent.view(&out).fields();
    for known in [Known::ContentLength, Known::TransferEncoding, Known::Upgrade, Known::KeepAlive, Known::Connection] {
        assert_eq!(fields.get(known), None, "{known:?}");
    }
    assert_eq!(fields.get_all(Known::XRequestId).count(), 1);
    assert!(fields.get(Known::Date).is_some());
}

/// Room for all that was let in and all that is added.
const ROOMY: Limits = Limits { head: 1 << 20, headers: 10_000 };

fn parsed(bytes: &[u8]) -> Option<(RequestHead, usize)> {
    let mut head = RequestHead::default();
    let received = RequestParser::new(ROOMY).parse(bytes, &mut head).ok()??;
    Some((head, received.consumed))
}
