use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream as StdStream};

use mainstay_core::EndpointId;
use mainstay_http1::{BodyLength, OutgoingRequest};
use mainstay_policy::AttemptReason;

use super::*;

const ORDER: AttemptOrder = AttemptOrder {
    attempt: 0,
    endpoint: EndpointId { slot: 0, generation: 0 },
    why: AttemptReason::First,
    deadline: Instant::FAR_FUTURE,
};

/// An attempt whose request's head is written, and the instance's end of its connection.
async fn attempt(buffers: &Buffers, body: BodyLength) -> (Attempt, StdStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (instance, address) = listener.accept().unwrap();
    let mut attempt = Attempt::new(ORDER, address, EndpointKey::NONE, Instant::ORIGIN);
    attempt.reuse(Box::new(Connection::new(ConnectionId(0), stream)));
    let (machine, out) = attempt.unwritten_head(buffers).unwrap();
    let head = OutgoingRequest { method: b"POST", target: b"/", host: b"a", body, upgrade: false };
    machine.start_request(head, out).and_then(|()| machine.end_head(out)).unwrap();
    (attempt, instance)
}

/// Reads the whole answer.
async fn answer(attempt: &mut Attempt, buffers: &Buffers) {
    let head = poll_fn(|cx| attempt.poll_head(cx, buffers)).await;
    assert!(matches!(head, AttemptNews::Head(_)), "{head:?}");
    attempt.head_done();
    while poll_fn(|cx| attempt.poll_answer(cx, buffers, |news| matches!(news, AnswerNews::Data(_)))).await {}
}

fn complete(body: &mut Body) {
    body.finish(&[], b"");
}

#[tokio::test(flavor = "current_thread")]
async fn a_connection_whose_request_is_not_out_carries_no_other() {
    let buffers = Buffers::default();
    let (mut attempt, mut instance) = attempt(&buffers, BodyLength::Unknown).await;
    let mut body = Body::default();
    body.begin(0);
    // The instance reads nothing, so at some point the system takes no more...
    loop {
        body.push(&[b'x'; CAPACITY / 4], Some(attempt.sent()), &buffers);
        attempt.take_body(&body, &FieldRules::default(), &buffers);
        if poll_fn(|cx| Poll::Ready(attempt.poll_write(cx))).await.is_pending() {
            break;
        }
    }
    // ...and the end of the request stands in our buffer when the answer to it comes.
    assert_eq!(attempt.sent(), body.end());
    complete(&mut body);
    attempt.take_body(&body, &FieldRules::default(), &buffers);
    instance.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    answer(&mut attempt, &buffers).await;
    let (_, connection) = attempt.close(&buffers).unwrap();
    assert!(connection.is_none(), "the next request would be read as the rest of this one's body");
}

#[tokio::test(flavor = "current_thread")]
async fn a_connection_that_is_done_carries_another_unless_something_unasked_came() {
    let buffers = Buffers::default();
    let (mut attempt, mut instance) = attempt(&buffers, BodyLength::Exactly(2)).await;
    let mut body = Body::default();
    body.begin(0);
    body.push(b"ab", Some(0), &buffers);
    complete(&mut body);
    attempt.take_body(&body, &FieldRules::default(), &buffers);
    poll_fn(|cx| attempt.poll_write(cx)).await;
    instance.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    answer(&mut attempt, &buffers).await;
    let (_, connection) = attempt.close(&buffers).unwrap();
    let connection = connection.expect("both messages are complete");
    assert!(connection.is_quiet());
    instance.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison").unwrap();
    connection.stream.readable().await.unwrap();
    // A task that has used up its share of this turn is told that nothing is ready; that is not the same as quiet.
    while tokio::task::coop::has_budget_remaining() {
        tokio::task::coop::consume_budget().await;
    }
    assert!(!connection.is_quiet());
    let _ = instance.read(&mut [0; 1]);
}
