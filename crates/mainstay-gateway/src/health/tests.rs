use std::time::Duration;

use mainstay_core::Failure;
use mainstay_policy::{CheckFailure, Probe};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::*;

fn asked(settings: HealthSettings) -> Asked {
    Asked { settings, body: None }
}

fn http() -> Asked {
    let (path, expect) = ("/health?deep=1".to_owned(), vec![(200, 299), (418, 418)]);
    asked(HealthSettings::new(Probe::Http { path, expect }))
}

/// A port that nobody listens on, and that nobody else can take as long as the socket is held.
fn closed_port() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

async fn request_of(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        assert!(stream.read_buf(&mut request).await.unwrap() > 0, "the check closed in the middle of its request");
    }
    String::from_utf8(request).unwrap()
}

async fn check_against(answer: &'static str) -> (String, CheckResult) {
    check_as(&http(), answer).await
}

/// An instance that reads a request, sends `answer` and closes; and what a check makes of it.
async fn check_as(asked: &Asked, answer: &'static str) -> (String, CheckResult) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let instance = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = request_of(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        request.replace(&address.to_string(), "ADDRESS")
    });
    let result = probe::check(address, asked).await.expect("this machine lacks nothing");
    (instance.await.unwrap(), result)
}

#[tokio::test]
async fn a_check_is_a_small_get() {
    let (request, result) = check_against("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(result, CheckResult::Pass);
    assert_eq!(
        request,
        "GET /health?deep=1 HTTP/1.1\r\nHost: ADDRESS\r\nuser-agent: mainstay-check\r\naccept: */*\r\n\
         connection: close\r\n\r\n"
    );
}

#[tokio::test]
async fn an_answer_is_judged_by_its_status() {
    for (answer, want) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx", CheckResult::Pass),
        ("HTTP/1.0 200 OK\r\n\r\n", CheckResult::Pass),
        ("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", CheckResult::Pass),
        ("HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n", CheckResult::Pass),
        ("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", CheckResult::Fail(Failure::Status(302).into())),
        ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", CheckResult::Fail(Failure::Status(503).into())),
        ("HTTP/1.1 200 OK\nContent-Length: 0\n\n", CheckResult::Fail(Failure::Malformed.into())),
        ("hello", CheckResult::Fail(Failure::Malformed.into())),
        ("HTTP/1.1 200 OK\r\nContent-Le", CheckResult::Fail(Failure::Reset.into())),
        ("", CheckResult::Fail(Failure::Reset.into())),
    ] {
        assert_eq!(check_against(answer).await.1, want, "{answer:?}");
    }
}

#[tokio::test]
async fn a_body_without_what_it_must_have_is_a_failure_of_its_own() {
    let asked = Asked { body: Some(BodyMatch::Contains("ok".to_owned())), ..http() };
    for (answer, want) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nall is ok", CheckResult::Pass),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", CheckResult::Pass),
        ("HTTP/1.0 200 OK\r\n\r\nok", CheckResult::Pass),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine", CheckResult::Fail(CheckFailure::Body)),
        ("HTTP/1.1 204 No Content\r\n\r\n", CheckResult::Fail(CheckFailure::Body)),
        ("HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nok", CheckResult::Fail(Failure::Status(503).into())),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nall is", CheckResult::Fail(Failure::Reset.into())),
    ] {
        assert_eq!(check_as(&asked, answer).await.1, want, "{answer:?}");
    }
}

#[tokio::test]
async fn a_body_without_end_is_searched_at_its_beginning_only() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let instance = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        request_of(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while stream.write_all(&b"on and ".repeat(1000)).await.is_ok() {}
    });
    let asked = Asked { body: Some(BodyMatch::Contains("ok".to_owned())), ..http() };
    assert_eq!(probe::check(address, &asked).await, Some(CheckResult::Fail(CheckFailure::Body)));
    instance.await.unwrap();
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let instance = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        request_of(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        while stream.write_all(&b"x-more: and more and more\r\n".repeat(100)).await.is_ok() {}
    });
    assert_eq!(probe::check(address, &http()).await, Some(CheckResult::Fail(Failure::Malformed.into())));
    instance.await.unwrap();
}

#[tokio::test]
async fn silence_is_a_timeout_and_a_closed_port_is_a_refusal() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut hasty = http();
    hasty.settings.timeout = mainstay_core::Duration::from_millis(50);
    assert_eq!(probe::check(address, &hasty).await, Some(CheckResult::Fail(Failure::Timeout.into())));
    let tcp = asked(HealthSettings::new(Probe::Tcp));
    assert_eq!(probe::check(address, &tcp).await, Some(CheckResult::Pass), "the port is open");
    let (_held, closed) = closed_port();
    assert_eq!(probe::check(closed, &tcp).await, Some(CheckResult::Fail(Failure::Refused.into())));
    assert_eq!(probe::check(closed, &http()).await, Some(CheckResult::Fail(Failure::Refused.into())));
}

/// A connection that comes about, each few milliseconds.
fn often() -> Asked {
    let interval = mainstay_core::Duration::from_millis(5);
    asked(HealthSettings { interval, ..HealthSettings::new(Probe::Tcp) })
}

type Results = tokio::sync::mpsc::UnboundedReceiver<(SocketAddr, CheckResult)>;

fn start(endpoints: &[SocketAddr]) -> (Checks, Results) {
    let (sender, results) = tokio::sync::mpsc::unbounded_channel();
    let report = move |address, result| {
        // Once enough was seen nobody listens any more.
        let _ = sender.send((address, result));
        std::future::ready(())
    };
    (Checks::start(often(), endpoints.to_vec(), Seed::new(1), Clock::new(), report), results)
}

async fn next(results: &mut Results) -> (SocketAddr, CheckResult) {
    tokio::time::timeout(Duration::from_secs(10), results.recv()).await.expect("checks go on").unwrap()
}

#[tokio::test]
async fn every_endpoint_is_checked_again_and_again_until_the_checks_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let open = listener.local_addr().unwrap();
    let (_held, closed) = closed_port();
    let (checks, mut results) = start(&[open, closed]);
    let (mut passed, mut failed) = (0, 0);
    while passed < 3 || failed < 3 {
        match next(&mut results).await {
            (address, CheckResult::Pass) if address == open => passed += 1,
            (address, CheckResult::Fail(CheckFailure::Attempt(Failure::Refused))) if address == closed => failed += 1,
            other => panic!("{other:?}"),
        }
    }
    drop(checks);
    while results.recv().await.is_some() {}
}

#[tokio::test]
async fn an_endpoint_that_comes_is_checked_and_one_that_left_is_not() {
    let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let [left, came] = [&first, &second].map(|listener| listener.local_addr().unwrap());
    let (checks, mut results) = start(&[left]);
    assert_eq!(next(&mut results).await, (left, CheckResult::Pass));
    checks.update(vec![came]);
    while next(&mut results).await.0 == left {}
    for _ in 0..5 {
        assert_eq!(next(&mut results).await, (came, CheckResult::Pass));
    }
}
