//! Stories of one connection to an instance.

use mainstay_http1::{
    BodyLength, ClientConnection, InstanceEof, Limits, Misuse, OutgoingRequest, Reject, ResponseEvent, ResponseHead,
    field,
};

use crate::play::asked;

const NO_TRAILERS: [(&[u8], &[u8]); 0] = [];

const POST: OutgoingRequest<'static> =
    OutgoingRequest { method: b"POST", target: b"/a?b", host: b"shop", body: BodyLength::Exactly(5), upgrade: false };

/// Receives all of `input`; tells the events by their names, and where an error ended them.
fn check(machine: &mut ClientConnection, input: &str) -> Result<Vec<String>, Reject> {
    let (mut head, mut rest, mut events) = (ResponseHead::default(), input.as_bytes(), Vec::new());
    loop {
        let received = machine.receive(rest, &mut head)?;
        match received.event {
            ResponseEvent::NeedMore => return Ok(events),
            ResponseEvent::Interim(status) => events.push(format!("interim {status}")),
            ResponseEvent::Response(_) => events.push(head.status.to_string()),
            ResponseEvent::Data(range) => events.push(String::from_utf8_lossy(&rest[range]).into_owned()),
            ResponseEvent::End => {
                events.push("end".into());
                return Ok(events);
            }
        }
        rest = &rest[received.consumed..];
    }
}

fn get() -> ClientConnection {
    asked("GET", Limits::default())
}

#[test]
fn a_request_is_written_anew_with_its_framing() {
    let (mut machine, mut out) = (ClientConnection::new(Limits::default()), Vec::new());
    machine.start_request(POST, &mut out).unwrap();
    field(&mut out, b"X", b"y");
    machine.end_head(&mut out).unwrap();
    machine.data(b"hello", &mut out).unwrap();
    machine.finish(NO_TRAILERS, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text, "POST /a?b HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\nX: y\r\n\r\nhello");
    assert!(machine.request_complete() && !machine.reusable());
}

#[test]
fn a_request_of_unknown_length_is_chunked_with_its_trailers() {
    let (mut machine, mut out) = (ClientConnection::new(Limits::default()), Vec::new());
    machine.start_request(OutgoingRequest { body: BodyLength::Unknown, ..POST }, &mut out).unwrap();
    machine.end_head(&mut out).unwrap();
    machine.data(b"hello", &mut out).unwrap();
    machine.finish([(&b"sum"[..], &b"1"[..])], &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.ends_with("\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nsum: 1\r\n\r\n"), "{text}");
}

#[test]
fn a_connection_serves_one_exchange_after_the_other() {
    let mut machine = get();
    for _ in 0..3 {
        let events = check(&mut machine, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        assert_eq!(events, ["200", "ok", "end"]);
        assert!(machine.reusable());
        let mut out = Vec::new();
        machine.start_request(OutgoingRequest { body: BodyLength::Empty, ..POST }, &mut out).unwrap();
        machine.end_head(&mut out).unwrap();
        machine.finish(NO_TRAILERS, &mut out).unwrap();
        assert!(!machine.response_began());
    }
}

#[test]
fn a_length_that_announces_no_body_is_sent_on() {
    let length = |method, input: &[u8]| {
        let mut machine = asked(method, Limits::default());
        match machine.receive(input, &mut ResponseHead::default()).unwrap().event {
            ResponseEvent::Response(facts) => facts.body_length(),
            other => panic!("a response was awaited: {other:?}"),
        }
    };
    assert_eq!(length("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), BodyLength::Exactly(9));
    assert_eq!(length("GET", b"HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n"), BodyLength::Exactly(9));
    assert_eq!(length("GET", b"HTTP/1.1 204 x\r\n\r\n"), BodyLength::Empty);
    assert_eq!(length("GET", b"HTTP/1.1 200 x\r\n\r\n"), BodyLength::Unknown);
}

#[test]
fn interim_responses_come_before_the_response() {
    let input = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(check(&mut get(), input).unwrap(), ["interim 100", "200", "end"]);
}

#[test]
fn what_ends_a_connection_ends_its_reuse() {
    let reusable = |input: &str| {
        let mut machine = get();
        check(&mut machine, input).unwrap();
        machine.reusable()
    };
    assert!(reusable("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"));
    assert!(reusable("HTTP/1.1 204 No Content\r\n\r\n"));
    assert!(reusable("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"));
    assert!(reusable("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"));
    assert!(!reusable("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
    assert!(!reusable("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"));
    assert!(!reusable("HTTP/1.1 200 OK\r\n\r\nx"), "it ends with the connection");
    assert!(!reusable("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx"), "it is not complete");
    assert!(!reusable("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK"), "bytes nobody asked for");
    assert!(!reusable("HTTP/1.1 204 No Content\r\n\r\n0\r\n\r\n"), "bytes nobody asked for");
    assert!(!reusable("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"), "a body may yet come");
}

#[test]
fn bytes_on_an_idle_connection_are_never_taken_for_an_answer() {
    let mut machine = ClientConnection::new(Limits::default());
    assert_eq!(check(&mut machine, "HTTP/1.1 200 OK\r\n"), Err(Reject::UnaskedBytes));
    let mut machine = get();
    check(&mut machine, "HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    assert_eq!(check(&mut machine, "HTTP/1.1 408 Request Timeout\r\n\r\n"), Err(Reject::UnaskedBytes));
    assert!(!machine.reusable());
}

#[test]
fn an_early_answer_is_taken_and_the_connection_kept_once_the_body_is_out() {
    let (mut machine, mut out) = (ClientConnection::new(Limits::default()), Vec::new());
    machine.start_request(POST, &mut out).unwrap();
    machine.end_head(&mut out).unwrap();
    machine.data(b"he", &mut out).unwrap();
    let events = check(&mut machine, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n").unwrap();
    assert_eq!(events, ["413", "end"]);
    assert!(!machine.reusable());
    machine.data(b"llo", &mut out).unwrap();
    machine.finish(NO_TRAILERS, &mut out).unwrap();
    assert!(machine.reusable());
}

#[test]
fn where_the_instance_breaks_off_tells_what_is_known() {
    let eof = |input: &str| {
        let mut machine = get();
        check(&mut machine, input).unwrap();
        machine.eof()
    };
    assert_eq!(eof(""), InstanceEof::BeforeResponse);
    assert_eq!(eof("H"), InstanceEof::InHead);
    assert_eq!(eof("HTTP/1.1 100 Continue\r\n\r\n"), InstanceEof::InHead);
    assert_eq!(eof("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx"), InstanceEof::InBody);
    assert_eq!(eof("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"), InstanceEof::InBody);
    assert_eq!(eof("HTTP/1.1 200 OK\r\n\r\nx"), InstanceEof::EndOfBody);
    assert_eq!(eof("HTTP/1.1 204 No Content\r\n\r\n"), InstanceEof::Idle);
    assert_eq!(ClientConnection::new(Limits::default()).eof(), InstanceEof::Idle);
}

#[test]
fn a_connection_that_the_instance_closed_takes_no_request() {
    let mut machine = ClientConnection::new(Limits::default());
    machine.eof();
    assert_eq!(machine.start_request(POST, &mut Vec::new()), Err(Misuse::OutOfTurn));
}

#[test]
fn an_upgrade_makes_bare_bytes_of_both_directions() {
    let mut machine = asked("GET+upgrade", Limits::default());
    let events = check(&mut machine, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nframe").unwrap();
    assert_eq!(events, ["101", "frame"]);
    let mut out = Vec::new();
    machine.data(b"bare", &mut out).unwrap();
    assert_eq!(out, b"bare");
    assert!(machine.is_tunnel() && !machine.reusable());
    assert_eq!(machine.eof(), InstanceEof::Tunnel);
}

#[test]
fn an_instance_that_switches_before_the_request_is_out_is_refused() {
    let (mut machine, mut out) = (ClientConnection::new(Limits::default()), Vec::new());
    machine.start_request(OutgoingRequest { upgrade: true, ..POST }, &mut out).unwrap();
    machine.end_head(&mut out).unwrap();
    assert_eq!(check(&mut machine, "HTTP/1.1 101 x\r\nUpgrade: x\r\n\r\n"), Err(Reject::UnaskedUpgrade));
}

#[test]
fn a_request_cannot_be_split_by_what_it_is_made_of() {
    for request in [
        OutgoingRequest { target: b"/ HTTP/1.1\r\nX: y", ..POST },
        OutgoingRequest { target: b"/a b", ..POST },
        OutgoingRequest { target: b"", ..POST },
        OutgoingRequest { method: b"GET /", ..POST },
        OutgoingRequest { host: b"a\r\nX: y", ..POST },
        OutgoingRequest { host: b"", ..POST },
    ] {
        let (mut machine, mut out) = (ClientConnection::new(Limits::default()), Vec::new());
        assert_eq!(machine.start_request(request, &mut out), Err(Misuse::Unwritable), "{request:?}");
        assert!(out.is_empty());
    }
}

#[test]
fn a_request_body_keeps_its_word() {
    let (mut machine, mut out) = (ClientConnection::new(Limits::default()), Vec::new());
    machine.start_request(POST, &mut out).unwrap();
    machine.end_head(&mut out).unwrap();
    assert_eq!(machine.data(b"too long", &mut out), Err(Misuse::TooMuch));
    assert_eq!(machine.finish(NO_TRAILERS, &mut out), Err(Misuse::TooLittle));
    check(&mut machine, "HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    assert!(!machine.reusable());
}
