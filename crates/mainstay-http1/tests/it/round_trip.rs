//! What one machine writes, the other reads: both directions of a proxied exchange.

use mainstay_http1::{
    BodyLength, ClientConnection, FieldsView, Known, Limits, OutgoingRequest, RequestEvent, RequestHead, ResponseEvent,
    ResponseHead, ServerConnection, field,
};
use proptest::prelude::*;

/// Fields, data and trailers.
type Arrived = (Vec<(String, String)>, Vec<u8>, Vec<(String, String)>);

/// A message as somebody meant it.
#[derive(Debug, Clone)]
struct Message {
    fields: Vec<(String, String)>,
    pieces: Vec<Vec<u8>>,
    chunked: bool,
    trailers: Vec<(String, String)>,
}

impl Message {
    fn body(&self) -> BodyLength {
        if self.chunked { BodyLength::Unknown } else { BodyLength::Exactly(self.pieces.concat().len() as u64) }
    }

    /// What arrives: trailers only where there is room for them.
    fn arriving(&self) -> Arrived {
        let trailers = if self.chunked { self.trailers.clone() } else { Vec::new() };
        (self.fields.clone(), self.pieces.concat(), trailers)
    }
}

fn fields() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(("x-[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,12}", "([!-~\u{e9}]([ -~\t]{0,20}[!-~])?)?"), 0..6)
}

fn message() -> impl Strategy<Value = Message> {
    let pieces = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..4);
    (fields(), pieces, any::<bool>(), fields()).prop_map(|(fields, pieces, chunked, trailers)| Message {
        fields,
        pieces,
        chunked,
        trailers,
    })
}

fn bytes(fields: &[(String, String)]) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
}

fn owned(name: &[u8], value: &[u8]) -> (String, String) {
    (String::from_utf8(name.to_vec()).unwrap(), String::from_utf8(value.to_vec()).unwrap())
}

fn write_request(machine: &mut ClientConnection, method: &str, target: &str, message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    let (method, target, body) = (method.as_bytes(), target.as_bytes(), message.body());
    machine.start_request(OutgoingRequest { method, target, host: b"a", body, upgrade: false }, &mut out).unwrap();
    bytes(&message.fields).for_each(|(name, value)| field(&mut out, name, value));
    machine.end_head(&mut out).unwrap();
    message.pieces.iter().for_each(|piece| machine.data(piece, &mut out).unwrap());
    machine.finish(bytes(&message.trailers), &mut out).unwrap();
    out
}

fn write_response(machine: &mut ServerConnection, status: u16, message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    machine.start_response(status, message.body(), &mut out).unwrap();
    bytes(&message.fields).for_each(|(name, value)| field(&mut out, name, value));
    machine.end_head(&mut out).unwrap();
    message.pieces.iter().for_each(|piece| machine.data(piece, &mut out).unwrap());
    machine.finish(bytes(&message.trailers), &mut out).unwrap();
    out
}

/// The fields that the writer chose, without those by which the machine frames the message.
fn own_fields(fields: FieldsView<'_>) -> Vec<(String, String)> {
    use Known::{Connection, ContentLength, Host, TransferEncoding};
    let framing = |known| matches!(known, Connection | ContentLength | Host | TransferEncoding);
    fields.iter().filter(|f| !framing(f.known)).map(|f| owned(f.name, f.value)).collect()
}

fn read_request(machine: &mut ServerConnection, wire: &[u8]) -> (String, Arrived) {
    let (mut head, mut at, mut line) = (RequestHead::default(), 0, String::new());
    let mut arrived = Arrived::default();
    loop {
        let unread = &wire[at..];
        let received = machine.receive(unread, &mut head).unwrap();
        at += received.consumed;
        match received.event {
            RequestEvent::Request(_) => {
                let view = head.view(unread);
                line = String::from_utf8([view.method(), b" ", view.target()].concat()).unwrap();
                arrived.0 = own_fields(view.fields());
            }
            RequestEvent::Data(range) => arrived.1.extend_from_slice(&unread[range]),
            RequestEvent::End => {
                arrived.2 = machine.trailers().iter().map(|f| owned(f.name.of(unread), f.value.of(unread))).collect();
                assert_eq!(at, wire.len());
                return (line, arrived);
            }
            RequestEvent::NeedMore => panic!("a complete request was written"),
        }
    }
}

fn read_response(machine: &mut ClientConnection, wire: &[u8]) -> (u16, Arrived) {
    let (mut head, mut at) = (ResponseHead::default(), 0);
    let mut arrived = Arrived::default();
    loop {
        let unread = &wire[at..];
        let received = machine.receive(unread, &mut head).unwrap();
        at += received.consumed;
        match received.event {
            ResponseEvent::Response(_) => {
                arrived.0 = own_fields(head.view(unread).fields());
            }
            ResponseEvent::Data(range) => arrived.1.extend_from_slice(&unread[range]),
            ResponseEvent::End => {
                arrived.2 = machine.trailers().iter().map(|f| owned(f.name.of(unread), f.value.of(unread))).collect();
                assert_eq!(at, wire.len());
                return (head.status, arrived);
            }
            other => panic!("a complete response was written: {other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn an_exchange_arrives_as_it_was_meant_and_the_connection_goes_on(
        method in "[A-Z]{1,7}x",
        target in "/[!\"$-;=?-\\[\\]-~]{0,30}",
        request in message(),
        status in prop::sample::select(vec![200u16, 201, 404, 500, 503, 599]),
        response in message(),
    ) {
        let mut server = ServerConnection::new(Limits::default());
        let mut client = ClientConnection::new(Limits::default());
        for _ in 0..2 {
            let wire = write_request(&mut client, &method, &target, &request);
            let (line, arrived) = read_request(&mut server, &wire);
            prop_assert_eq!(line, format!("{method} {target}"));
            prop_assert_eq!(arrived, request.arriving());

            let wire = write_response(&mut server, status, &response);
            let (arrived_status, arrived) = read_response(&mut client, &wire);
            prop_assert_eq!(arrived_status, status);
            prop_assert_eq!(arrived, response.arriving());
            prop_assert!(server.next_request() && client.reusable());
        }
    }
}
