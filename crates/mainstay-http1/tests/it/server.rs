//! Stories of one caller's connection.

use mainstay_http1::{
    BodyLength, CallerEof, Limits, Misuse, Reject, RequestEvent, RequestFacts, RequestHead, ServerConnection,
    end_of_head, field,
};

const NO_TRAILERS: [(&[u8], &[u8]); 0] = [];

/// A caller's connection with a driver's buffers around it.
struct Caller {
    machine: ServerConnection,
    head: RequestHead,
    unread: Vec<u8>,
    out: Vec<u8>,
}

impl Caller {
    fn new() -> Self {
        let machine = ServerConnection::new(Limits::default());
        Self { machine, head: RequestHead::default(), unread: Vec::new(), out: Vec::new() }
    }

    /// A caller that has sent a request, which was received.
    fn with(request: &str) -> Self {
        let mut caller = Self::new();
        caller.sends(request);
        caller.request();
        caller
    }

    fn sends(&mut self, text: &str) {
        self.unread.extend_from_slice(text.as_bytes());
    }

    fn receive(&mut self) -> Result<RequestEvent, Reject> {
        let received = self.machine.receive(&self.unread, &mut self.head)?;
        self.unread.drain(..received.consumed);
        Ok(received.event)
    }

    fn request(&mut self) -> RequestFacts {
        match self.receive() {
            Ok(RequestEvent::Request(facts)) => facts,
            other => panic!("a request was awaited: {other:?}"),
        }
    }

    fn drain(&mut self) {
        while self.receive().unwrap() != RequestEvent::NeedMore {}
    }

    /// Answers with `status` and a body; tells what was written.
    fn answer(&mut self, status: u16, length: BodyLength, body: &[u8]) -> String {
        self.machine.start_response(status, length, &mut self.out).unwrap();
        self.machine.end_head(&mut self.out).unwrap();
        self.machine.data(body, &mut self.out).unwrap();
        self.machine.finish(NO_TRAILERS, &mut self.out).unwrap();
        self.written()
    }

    fn written(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.out)).unwrap()
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn requests_on_one_connection_are_answered_one_after_the_other() {
    let mut caller = Caller::with(GET);
    let written = caller.answer(200, BodyLength::Exactly(2), b"ok");
    assert_eq!(written, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert!(caller.machine.next_request());
    caller.sends(GET);
    assert!(caller.request().keep_alive);
    assert_eq!(caller.answer(204, BodyLength::Empty, b""), "HTTP/1.1 204 No Content\r\n\r\n");
    assert!(caller.machine.next_request());
    assert_eq!(caller.machine.eof(), CallerEof::Idle);
}

#[test]
fn a_pipelined_request_waits_until_the_one_before_is_answered() {
    let mut caller = Caller::with(&[GET, "GET /second HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
    assert_eq!(caller.receive(), Ok(RequestEvent::End));
    assert_eq!(caller.receive(), Ok(RequestEvent::NeedMore));
    assert!(!caller.machine.next_request(), "the first is not answered");
    caller.answer(200, BodyLength::Empty, b"");
    assert!(caller.machine.next_request());
    let received = caller.machine.receive(&caller.unread, &mut caller.head).unwrap();
    assert!(matches!(received.event, RequestEvent::Request(_)));
    assert_eq!(caller.head.view(&caller.unread).path(), b"/second");
}

#[test]
fn the_body_is_told_as_ranges_and_its_end_once() {
    let mut caller = Caller::with("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    assert_eq!(caller.receive(), Ok(RequestEvent::Data(0..2)));
    assert_eq!(caller.receive(), Ok(RequestEvent::NeedMore));
    assert!(!caller.machine.request_complete());
    caller.sends("cd");
    assert_eq!(caller.receive(), Ok(RequestEvent::Data(0..2)));
    assert!(caller.machine.request_complete());
    assert_eq!(caller.receive(), Ok(RequestEvent::End));
    assert_eq!(caller.receive(), Ok(RequestEvent::NeedMore));
}

#[test]
fn a_body_of_unknown_length_is_chunked_for_http11() {
    let mut caller = Caller::with(GET);
    let Caller { machine, out, .. } = &mut caller;
    machine.start_response(200, BodyLength::Unknown, out).unwrap();
    field(out, b"Trailer", b"sum");
    machine.end_head(out).unwrap();
    machine.data(b"", out).unwrap();
    machine.data(b"hello", out).unwrap();
    machine.finish([(&b"sum"[..], &b"1"[..])], out).unwrap();
    assert_eq!(
        caller.written(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: sum\r\n\r\n5\r\nhello\r\n0\r\nsum: 1\r\n\r\n"
    );
    assert!(caller.machine.next_request());
}

#[test]
fn a_body_of_unknown_length_ends_with_the_connection_for_http10() {
    let mut caller = Caller::with("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let written = caller.answer(200, BodyLength::Unknown, b"hello");
    assert_eq!(written, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
    assert!(caller.machine.must_close() && !caller.machine.next_request());
}

#[test]
fn http10_keeps_the_connection_only_when_it_asks() {
    let mut asks = Caller::with("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(asks.answer(200, BodyLength::Empty, b"").contains("Connection: keep-alive\r\n"));
    assert!(asks.machine.next_request());
    let mut silent = Caller::with("GET / HTTP/1.0\r\n\r\n");
    assert!(silent.answer(200, BodyLength::Empty, b"").contains("Connection: close\r\n"));
    assert!(!silent.machine.next_request());
}

#[test]
fn an_answer_to_head_says_the_length_and_sends_nothing() {
    let mut caller = Caller::with("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let written = caller.answer(200, BodyLength::Exactly(1000), b"not sent");
    assert_eq!(written, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    assert!(caller.machine.next_request());
    caller.sends("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    caller.request();
    assert_eq!(caller.answer(200, BodyLength::Unknown, b""), "HTTP/1.1 200 OK\r\n\r\n");
}

#[test]
fn a_304_may_say_a_length_and_a_204_may_not() {
    let mut caller = Caller::with(GET);
    let written = caller.answer(304, BodyLength::Exactly(7), b"");
    assert_eq!(written, "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n");
    let mut caller = Caller::with(GET);
    assert_eq!(caller.answer(204, BodyLength::Exactly(7), b""), "HTTP/1.1 204 No Content\r\n\r\n");
}

#[test]
fn the_driver_may_send_large_data_itself() {
    let mut caller = Caller::with(GET);
    let Caller { machine, out, .. } = &mut caller;
    machine.start_response(200, BodyLength::Unknown, out).unwrap();
    machine.end_head(out).unwrap();
    out.clear();
    assert_eq!(machine.frame(0x1_0000, out), Ok(Some(&b"\r\n"[..])));
    assert_eq!(out, b"10000\r\n");
}

#[test]
fn a_response_longer_than_announced_is_stopped_and_closes() {
    let mut caller = Caller::with(GET);
    caller.machine.start_response(200, BodyLength::Exactly(2), &mut caller.out).unwrap();
    caller.machine.end_head(&mut caller.out).unwrap();
    caller.written();
    assert_eq!(caller.machine.data(b"abc", &mut caller.out), Err(Misuse::TooMuch));
    assert_eq!(caller.written(), "");
    assert!(caller.machine.must_close());
}

#[test]
fn a_response_shorter_than_announced_never_looks_complete() {
    let mut caller = Caller::with(GET);
    caller.machine.start_response(200, BodyLength::Exactly(2), &mut caller.out).unwrap();
    caller.machine.end_head(&mut caller.out).unwrap();
    caller.machine.data(b"a", &mut caller.out).unwrap();
    assert_eq!(caller.machine.finish(NO_TRAILERS, &mut caller.out), Err(Misuse::TooLittle));
    assert!(caller.machine.must_close() && !caller.machine.next_request());
}

#[test]
fn a_refused_request_is_answered_and_the_rest_ignored() {
    let mut caller = Caller::new();
    caller.sends("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET /secret HTTP/1.1\r\nHost: a\r\n\r\n");
    let reject = caller.receive().unwrap_err();
    assert_eq!(reject, Reject::RepeatedHost);
    let written = caller.answer(reject.status(), BodyLength::Empty, b"");
    assert_eq!(written, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert!(!caller.machine.next_request());
    assert_eq!(caller.receive(), Ok(RequestEvent::NeedMore));
    assert!(caller.unread.is_empty());
}

#[test]
fn the_answer_to_a_refused_request_does_not_go_by_the_request_before() {
    let mut caller = Caller::with("HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    caller.answer(200, BodyLength::Empty, b"");
    assert!(caller.machine.next_request());
    caller.sends("GET /\r\n");
    assert_eq!(caller.receive(), Err(Reject::BadVersion));
    let written = caller.answer(400, BodyLength::Exactly(2), b"no");
    assert_eq!(written, "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
}

#[test]
fn a_caller_that_is_too_slow_with_its_head_can_be_told() {
    let mut caller = Caller::new();
    caller.sends("GET / HT");
    assert_eq!(caller.receive(), Ok(RequestEvent::NeedMore));
    assert!(caller.answer(408, BodyLength::Empty, b"").contains("Connection: close\r\n"));
    assert!(caller.machine.must_close());
    caller.sends("TP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(caller.receive(), Ok(RequestEvent::NeedMore), "no request after its refusal");
}

const EXPECTING: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";

#[test]
fn a_caller_that_waits_for_a_100_gets_it_once() {
    let mut caller = Caller::with(EXPECTING);
    assert!(caller.machine.expects_continue());
    assert!(caller.machine.send_continue(&mut caller.out));
    assert!(!caller.machine.send_continue(&mut caller.out));
    assert_eq!(caller.written(), "HTTP/1.1 100 Continue\r\n\r\n");
    caller.sends("ab");
    caller.drain();
    caller.answer(200, BodyLength::Empty, b"");
    assert!(caller.machine.next_request());
}

#[test]
fn a_caller_that_does_not_wait_gets_no_100() {
    let mut caller = Caller::with(&[EXPECTING, "a"].concat());
    assert_eq!(caller.receive(), Ok(RequestEvent::Data(0..1)));
    assert!(!caller.machine.send_continue(&mut caller.out));
}

#[test]
fn an_answer_instead_of_the_100_closes_for_the_body_may_or_may_not_come() {
    let mut caller = Caller::with(EXPECTING);
    assert!(caller.answer(403, BodyLength::Empty, b"").contains("Connection: close\r\n"));
    assert!(caller.machine.must_close());
}

#[test]
fn an_early_answer_goes_on_once_the_body_is_drained() {
    let mut caller = Caller::with("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na");
    caller.answer(429, BodyLength::Empty, b"");
    assert!(!caller.machine.next_request() && !caller.machine.must_close());
    caller.sends("b");
    caller.drain();
    assert!(caller.machine.next_request());
}

#[test]
fn early_hints_reach_http11_only() {
    let mut caller = Caller::with(GET);
    assert!(caller.machine.start_interim(103, &mut caller.out));
    field(&mut caller.out, b"Link", b"</a.css>");
    end_of_head(&mut caller.out);
    assert_eq!(caller.written(), "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
    assert!(!caller.machine.start_interim(101, &mut caller.out), "an upgrade is not an interim response");
    assert!(!Caller::with("GET / HTTP/1.0\r\n\r\n").machine.start_interim(103, &mut caller.out));
}

#[test]
fn bytes_sent_before_the_101_wait_for_it() {
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nframe";
    let mut caller = Caller::with(upgrade);
    caller.drain();
    assert_eq!(caller.unread, b"frame");
    caller.machine.start_upgrade(&mut caller.out).unwrap();
    field(&mut caller.out, b"Upgrade", b"x");
    caller.machine.end_head(&mut caller.out).unwrap();
    assert_eq!(caller.written(), "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(caller.receive(), Ok(RequestEvent::Data(0..5)));
    assert!(caller.machine.is_tunnel());
    caller.machine.data(b"\x81\x00".as_slice(), &mut caller.out).unwrap();
    assert_eq!(caller.out, b"\x81\x00");
    assert_eq!(caller.machine.eof(), CallerEof::Tunnel);
}

#[test]
fn a_refused_upgrade_leaves_plain_http() {
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let mut caller = Caller::with(&[upgrade, GET].concat());
    caller.answer(403, BodyLength::Empty, b"");
    assert!(caller.machine.next_request());
    assert!(!caller.request().upgrade);
    assert_eq!(caller.machine.start_upgrade(&mut caller.out), Err(Misuse::OutOfTurn), "nobody asked this time");
}

#[test]
fn after_a_connect_nothing_is_believed() {
    let mut caller = Caller::with("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n");
    assert!(caller.answer(405, BodyLength::Empty, b"").contains("Connection: close\r\n"));
}

#[test]
fn where_the_caller_leaves_tells_what_is_lost() {
    let eof = |text: &str| {
        let mut caller = Caller::new();
        caller.sends(text);
        caller.drain();
        caller.machine.eof()
    };
    assert_eq!(eof(""), CallerEof::Idle);
    assert_eq!(eof("\r\n"), CallerEof::Idle);
    assert_eq!(eof("GET"), CallerEof::InHead);
    assert_eq!(eof("GET / HTTP/1.1\r\nHost: a\r\n"), CallerEof::InHead);
    assert_eq!(eof("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na"), CallerEof::InBody);
    assert_eq!(eof("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"), CallerEof::InBody);
    assert_eq!(eof(GET), CallerEof::AwaitingResponse);
}

#[test]
fn a_caller_that_sends_two_requests_and_closes_its_side_is_served_both() {
    let mut caller = Caller::with(&[GET, GET].concat());
    caller.drain();
    assert_eq!(caller.machine.eof(), CallerEof::AwaitingResponse);
    caller.answer(200, BodyLength::Empty, b"");
    assert!(caller.machine.next_request());
    caller.request();
    caller.answer(200, BodyLength::Empty, b"");
    assert!(caller.machine.next_request());
    assert_eq!(caller.machine.eof(), CallerEof::Idle);
}

#[test]
fn a_connection_that_drains_says_so_in_its_last_answer() {
    let mut caller = Caller::with(GET);
    caller.machine.close_after_response();
    assert!(caller.answer(200, BodyLength::Empty, b"").contains("Connection: close\r\n"));
    assert!(!caller.machine.next_request());
}

#[test]
fn calls_out_of_turn_are_refused_and_write_nothing() {
    let mut caller = Caller::with(GET);
    let Caller { machine, out, .. } = &mut caller;
    assert_eq!(machine.data(b"x", out), Err(Misuse::OutOfTurn));
    assert_eq!(machine.end_head(out), Err(Misuse::OutOfTurn));
    assert_eq!(machine.finish(NO_TRAILERS, out), Err(Misuse::OutOfTurn));
    assert_eq!(machine.start_response(199, BodyLength::Empty, out), Err(Misuse::Unwritable));
    assert!(out.is_empty());
    machine.start_response(200, BodyLength::Empty, out).unwrap();
    assert_eq!(machine.start_response(200, BodyLength::Empty, out), Err(Misuse::OutOfTurn));
    assert!(machine.must_close());
}
