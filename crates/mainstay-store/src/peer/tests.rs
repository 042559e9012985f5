//! What a lane bears and what it does not.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::frame::{Frames, LONGEST, NOBODY, put};
use super::link::Link;
use super::message::{Hello, Message, VERSION};
use super::server::{Answers, serve_within};
use crate::engine::Failure;
use crate::raft::MemberId;

const SILENCE: Duration = Duration::from_millis(400);
const PATIENCE: Duration = Duration::from_secs(20);
const HELLO: Hello = Hello { version: VERSION, cluster: 7, from: 1, to: 2 };

/// Says back what it is told, with as many bytes as it is asked for.
struct Echo;

impl Answers for Echo {
    fn who(&self) -> (u64, MemberId) {
        (HELLO.cluster, HELLO.to)
    }

    async fn answer(&self, _: MemberId, asked: Message) -> Message {
        match asked {
            Message::Confirmed(bytes) => piece(usize::try_from(bytes).unwrap()),
            other => other,
        }
    }
}

fn piece(bytes: usize) -> Message {
    Message::Piece { transfer: 1, at: 0, data: Bytes::from(vec![7; bytes]) }
}

async fn echo() -> Link {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(serve_within(listener, Arc::new(Echo), SILENCE));
    Link::within(&address, HELLO, SILENCE)
}

#[tokio::test]
async fn a_lane_whose_other_end_is_gone_without_a_word_is_made_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = Link::within(&listener.local_addr().unwrap().to_string(), HELLO, SILENCE);
    let asked = tokio::spawn({
        let link = link.clone();
        async move { link.ask(Message::Confirm, PATIENCE).await }
    });
    // The cable is cut here: what was said arrives nowhere, and no end of the connection is told of.
    let cut = listener.accept().await.unwrap();
    let unheard = timeout(PATIENCE, asked).await.unwrap().unwrap().unwrap_err();
    assert!(unheard.heard, "it may have heard: {unheard}");
    tokio::spawn(serve_within(listener, Arc::new(Echo), SILENCE));
    assert_eq!(link.ask(Message::Confirm, PATIENCE).await, Ok(Message::Confirm));
    drop(cut);
}

#[tokio::test]
async fn a_connection_that_is_silent_is_let_go_and_one_with_signs_of_life_stays() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve_within(listener, Arc::new(Echo), SILENCE));
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut hello = BytesMut::new();
    put(&mut hello, NOBODY, &HELLO).unwrap();
    silent.write_all(&hello).await.unwrap();
    let mut said = Vec::new();
    timeout(PATIENCE, silent.read_to_end(&mut said)).await.expect("it is closed").unwrap();

    let link = Link::within(&address.to_string(), HELLO, SILENCE);
    link.ask(Message::Confirm, PATIENCE).await.unwrap();
    tokio::time::sleep(3 * SILENCE).await;
    assert_eq!(link.ask(Message::Stand, PATIENCE).await, Ok(Message::Stand));
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_unknown_and_the_lane_stays() {
    let link = echo().await;
    let waiting = link.ask(Message::Confirmed(LONGEST as u64), PATIENCE);
    assert_eq!(waiting.await, Ok(Message::Failed(Failure::Timeout)));
    assert_eq!(link.ask(Message::Confirm, PATIENCE).await, Ok(Message::Confirm));
}

#[tokio::test]
async fn a_question_that_is_too_long_is_not_said() {
    let link = echo().await;
    let long = link.ask(piece(LONGEST), PATIENCE).await.unwrap_err();
    assert!(!long.heard && long.why.contains("are the most"), "{long}");
    assert_eq!(link.ask(Message::Confirm, PATIENCE).await, Ok(Message::Confirm));
}

#[tokio::test]
async fn who_reads_frames_takes_silence_for_the_end() {
    let (_held, from) = tokio::io::duplex(64);
    let silent = Frames::new(from, Duration::from_millis(20)).next::<Message>().await.unwrap_err();
    assert_eq!(silent.kind(), std::io::ErrorKind::TimedOut);
}
