//! The machines of whole connections: the same story in any pieces, and what goes on means what came.

use mainstay_http1::{
    BodyLength, CallerEof, ClientConnection, FieldsView, InstanceEof, Known, Limits, OutgoingRequest, Reject,
    RequestEvent, RequestFacts, RequestHead, ResponseEvent, ResponseFacts, ResponseHead, ServerConnection, field,
};

use crate::bytes::{Arriving, split_first};

const LIMITS: Limits = Limits { head: 1024, headers: 16 };

/// Room for everything that passed [`LIMITS`], written anew.
const ROOMY: Limits = Limits { head: 1 << 20, headers: 1000 };

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// A request as a machine told it.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    method: Vec<u8>,
    target: Vec<u8>,
    authority: Option<Vec<u8>>,
    fields: Fields,
    facts: RequestFacts,
    body: Vec<u8>,
    trailers: Fields,
    whole: bool,
}

/// How a caller's connection ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Refused(Reject),
    /// After an answer that said so.
    Closed,
    Eof(CallerEof),
}

/// Every request of a connection reads the same in any pieces, and the same again when it is written to an instance.
pub(crate) fn server(bytes: &[u8]) {
    let (cuts, bytes) = split_first(bytes);
    let told = serve(bytes, cuts & 0x80 != 0, 0, LIMITS);
    let again = serve(bytes, cuts & 0x80 != 0, (cuts & 0x7f).max(1), LIMITS);
    assert_eq!(told, again, "the pieces change the requests");
    for request in told.0.iter().filter(|request| request.whole && request.method != b"CONNECT") {
        sent_on(request);
    }
}

/// Takes every request and answers it; `drains` closes with the first answer.
fn serve(bytes: &[u8], drains: bool, cuts: u8, limits: Limits) -> (Vec<Request>, End) {
    let (mut machine, mut head) = (ServerConnection::new(limits), RequestHead::default());
    let (mut arriving, mut requests) = (Arriving::new(bytes, cuts), Vec::<Request>::new());
    loop {
        let unread = arriving.unread();
        let received = match machine.receive(unread, &mut head) {
            Ok(received) => received,
            Err(reject) => {
                assert!(machine.must_close(), "a refusal ends the connection");
                return (requests, End::Refused(reject));
            }
        };
        arriving.consume(received.consumed);
        match received.event {
            RequestEvent::NeedMore if !arriving.more() => return (requests, End::Eof(machine.eof())),
            RequestEvent::NeedMore => {}
            RequestEvent::Request(facts) => requests.push(begun(&head, unread, facts)),
            RequestEvent::Data(range) => requests.last_mut().unwrap().body.extend_from_slice(&unread[range]),
            RequestEvent::End => {
                let request = requests.last_mut().unwrap();
                request.trailers = owned(FieldsView::new(unread, machine.trailers()));
                request.whole = true;
                if drains {
                    machine.close_after_response();
                }
                if !answered(&mut machine, request) {
                    return (requests, End::Closed);
                }
            }
        }
    }
}

fn begun(head: &RequestHead, bytes: &[u8], facts: RequestFacts) -> Request {
    let view = head.view(bytes);
    Request {
        method: view.method().to_vec(),
        target: view.path_and_query().to_vec(),
        authority: view.authority().map(<[u8]>::to_vec),
        fields: owned(view.fields()),
        facts,
        body: Vec::new(),
        trailers: Vec::new(),
        whole: false,
    }
}

fn owned(fields: FieldsView<'_>) -> Fields {
    fields.iter().map(|field| (field.name.to_vec(), field.value.to_vec())).collect()
}

/// Answers with two bytes and tells whether the connection goes on.
fn answered(machine: &mut ServerConnection, request: &Request) -> bool {
    let mut out = Vec::new();
    machine.start_response(200, BodyLength::Exactly(2), &mut out).unwrap();
    machine.end_head(&mut out).unwrap();
    machine.data(b"ok", &mut out).unwrap();
    machine.finish([], &mut out).unwrap();
    let says_close = out.windows(19).any(|line| line == b"Connection: close\r\n");
    assert_eq!(says_close, machine.must_close(), "a caller is told when the connection ends");
    assert_eq!(out.ends_with(b"ok"), request.method != b"HEAD");
    machine.next_request()
}

/// Writes a request to an instance and reads it as the instance does.
fn sent_on(request: &Request) {
    let (mut machine, mut wire) = (ClientConnection::new(ROOMY), Vec::new());
    let host = request.authority.as_deref().unwrap_or(b"instance");
    let body = request.facts.body_length();
    let asked = OutgoingRequest { method: &request.method, target: &request.target, host, body, upgrade: false };
    machine.start_request(asked, &mut wire).unwrap();
    let goes_on = |name: &[u8]| {
        use Known::{Connection, ContentLength, Expect, Host, TransferEncoding, Upgrade};
        !matches!(Known::of(name), Connection | ContentLength | Expect | Host | TransferEncoding | Upgrade)
    };
    let fields: Fields = request.fields.iter().filter(|(name, _)| goes_on(name)).cloned().collect();
    fields.iter().for_each(|(name, value)| field(&mut wire, name, value));
    machine.end_head(&mut wire).unwrap();
    request.body.chunks(5).for_each(|piece| machine.data(piece, &mut wire).unwrap());
    machine.finish(request.trailers.iter().map(|(name, value)| (&name[..], &value[..])), &mut wire).unwrap();

    let (mut read, end) = serve(&wire, false, 0, ROOMY);
    assert_eq!(end, End::Eof(CallerEof::Idle), "the instance reads on after the request");
    let [one] = &mut read[..] else { panic!("the instance reads {} requests", read.len()) };
    one.fields.retain(|(name, _)| goes_on(name));
    assert_eq!(one.method, request.method);
    assert_eq!(one.target, request.target);
    assert_eq!(one.authority.as_deref(), Some(host));
    assert_eq!(one.facts.body, request.facts.body);
    assert_eq!((&one.fields, &one.body, &one.trailers), (&fields, &request.body, &request.trailers));
}

/// A response as a machine told it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Response {
    interim: Vec<u16>,
    status: u16,
    fields: Fields,
    facts: Option<ResponseFacts>,
    body: Vec<u8>,
    trailers: Fields,
    whole: bool,
    refused: Option<Reject>,
    eof: Option<InstanceEof>,
    reusable: bool,
}

/// An answer reads the same in any pieces, and the same again when it is written to a caller; a connection with bytes
/// that nobody asked for is not used again.
pub(crate) fn client(bytes: &[u8]) {
    let (kind, bytes) = split_first(bytes);
    let (cuts, bytes) = split_first(bytes);
    let method: &[u8] = if kind & 1 == 0 { b"GET" } else { b"HEAD" };
    let upgrade = kind & 2 != 0;
    let told = ask(method, upgrade, bytes, 0, LIMITS);
    assert_eq!(told, ask(method, upgrade, bytes, cuts.max(1), LIMITS), "the pieces change the answer");
    assert!(!told.reusable || (told.whole && told.refused.is_none()));
    if told.whole && told.facts.is_some_and(|facts| !facts.upgrade) {
        passed_down(method, &told);
    }
}

fn ask(method: &[u8], upgrade: bool, bytes: &[u8], cuts: u8, limits: Limits) -> Response {
    let mut machine = ClientConnection::new(limits);
    let asked = OutgoingRequest { method, target: b"/", host: b"a", body: BodyLength::Empty, upgrade };
    let mut out = Vec::new();
    machine.start_request(asked, &mut out).unwrap();
    machine.end_head(&mut out).unwrap();
    machine.finish([], &mut out).unwrap();
    hear(&mut machine, bytes, cuts)
}

fn hear(machine: &mut ClientConnection, bytes: &[u8], cuts: u8) -> Response {
    let mut head = ResponseHead::default();
    let (mut arriving, mut told) = (Arriving::new(bytes, cuts), Response::default());
    loop {
        let unread = arriving.unread();
        let received = match machine.receive(unread, &mut head) {
            Ok(received) => received,
            Err(reject) => {
                assert!(!machine.reusable(), "a refusal ends the connection");
                return Response { refused: Some(reject), ..told };
            }
        };
        arriving.consume(received.consumed);
        match received.event {
            ResponseEvent::NeedMore if !arriving.more() => {
                told.eof = Some(machine.eof());
                told.whole |= told.eof == Some(InstanceEof::EndOfBody);
                return told;
            }
            ResponseEvent::NeedMore => {}
            ResponseEvent::Interim(status) => told.interim.push(status),
            ResponseEvent::Response(facts) => {
                (told.status, told.facts) = (head.status, Some(facts));
                told.fields = owned(head.view(unread).fields());
            }
            ResponseEvent::Data(range) => told.body.extend_from_slice(&unread[range]),
            ResponseEvent::End => {
                told.trailers = owned(FieldsView::new(unread, machine.trailers()));
                told.whole = true;
                // Bytes that nobody asked for show in the same piece, or when the next one comes.
                let rest = arriving.left() > 0;
                told.reusable = machine.reusable() && !rest;
                let late = &bytes[bytes.len() - arriving.left()..];
                assert!(!rest || !machine.reusable() || machine.receive(late, &mut head).is_err());
                assert!(
                    !rest || !machine.reusable(),
                    "a connection with bytes that nobody asked for is not used again"
                );
                return told;
            }
        }
    }
}

/// Writes an answer to a caller and reads it as the caller does.
fn passed_down(method: &[u8], told: &Response) {
    let (mut machine, mut head, mut wire) = (ServerConnection::new(ROOMY), RequestHead::default(), Vec::new());
    let asked = [method, b" / HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    let received = machine.receive(&asked, &mut head).unwrap();
    machine.receive(&asked[received.consumed..], &mut head).unwrap();
    let length = told.facts.unwrap().body_length();
    machine.start_response(told.status, length, &mut wire).unwrap();
    machine.end_head(&mut wire).unwrap();
    told.body.chunks(5).for_each(|piece| machine.data(piece, &mut wire).unwrap());
    machine.finish(told.trailers.iter().map(|(name, value)| (&name[..], &value[..])), &mut wire).unwrap();

    let read = ask(method, false, &wire, 0, ROOMY);
    assert_eq!((read.status, &read.body, read.whole), (told.status, &told.body, true));
    assert_eq!(read.trailers, told.trailers);
    assert!(read.reusable && machine.next_request(), "a caller's connection does not end with the instance's");
}
