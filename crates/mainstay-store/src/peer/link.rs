//! The asking end: one lane to one member.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::frame::{BEATS, Frames, NOBODY, SILENCE, put, write};
use super::message::{Hello, Message};

/// How many questions may wait to be written.
const WAITING: usize = 4096;

/// How much is gathered for one write.
const WRITE: usize = 256 << 10;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_millis(500);

/// Which of the connections to a member: what is said on one never waits for what is said on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Votes and entries.
    Raft,
    /// What clients asked for.
    Forward,
    /// Snapshots.
    Bulk,
}

/// The member did not answer: whether it has heard is unknown unless `heard` says that it has not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} does not answer: {why}")]
pub(crate) struct Unreachable {
    pub(crate) address: String,
    pub(crate) why: String,
    /// It may have heard the question.
    pub(crate) heard: bool,
}

struct Question {
    said: Message,
    answer: oneshot::Sender<Result<Message, Unreachable>>,
}

type Open = Arc<Mutex<HashMap<u64, oneshot::Sender<Result<Message, Unreachable>>>>>;

/// One lane to one member. A clone is another handle of the same; the connection ends with the last.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    address: Arc<str>,
    questions: mpsc::Sender<Question>,
}

impl Link {
    /// A lane to whoever listens at `address`. It connects once there is something to say.
    pub(crate) fn new(address: &str, hello: Hello) -> Self {
        Self::within(address, hello, SILENCE)
    }

    /// The same, with so much silence as is borne.
    pub(super) fn within(address: &str, hello: Hello, silence: Duration) -> Self {
        let (questions, asked) = mpsc::channel(WAITING);
        let address: Arc<str> = address.into();
        tokio::spawn(run(Arc::clone(&address), hello, silence, asked));
        Self { address, questions }
    }

    /// Asks, and waits no longer than `within` for the answer.
    pub(crate) async fn ask(&self, said: Message, within: Duration) -> Result<Message, Unreachable> {
        let (answer, answered) = oneshot::channel();
        let unreachable =
            |why: &str, heard| Unreachable { address: self.address.to_string(), why: why.to_owned(), heard };
        if self.questions.try_send(Question { said, answer }).is_err() {
            return Err(unreachable("too much waits to be said to it", false));
        }
        match timeout(within, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(unreachable("the connection ended", true)),
            Err(_) => Err(unreachable("no answer in time", true)),
        }
    }
}

/// Connects whenever there is something to say, and says it.
async fn run(address: Arc<str>, hello: Hello, silence: Duration, mut asked: mpsc::Receiver<Question>) {
    while let Some(first) = asked.recv().await {
        let connected = timeout(CONNECT, TcpStream::connect(&*address)).await;
        let why = match connected {
            Ok(Ok(stream)) => match speak(&address, stream, hello, silence, first, &mut asked).await {
                Ok(()) => continue,
                Err(error) => error.to_string(),
            },
            Ok(Err(error)) => {
                refuse(&address, &error.to_string(), first, &mut asked);
                continue;
            }
            Err(_) => {
                refuse(&address, "no connection in time", first, &mut asked);
                continue;
            }
        };
        tracing::debug!(peer = %address, %why, "a connection to a member ended");
    }
}

/// Says to all who wait that there is nobody.
fn refuse(address: &str, why: &str, first: Question, asked: &mut mpsc::Receiver<Question>) {
    let unreachable = Unreachable { address: address.to_owned(), why: why.to_owned(), heard: false };
    _ = first.answer.send(Err(unreachable.clone()));
    while let Ok(question) = asked.try_recv() {
        _ = question.answer.send(Err(unreachable.clone()));
    }
}

/// Speaks over one connection until it ends or nobody is left to ask.
async fn speak(
    address: &str,
    stream: TcpStream,
    hello: Hello,
    silence: Duration,
    first: Question,
    asked: &mut mpsc::Receiver<Question>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reading, mut writing) = stream.into_split();
    let open: Open = Arc::default();
    let mut answers = tokio::spawn(listen(Frames::new(reading, silence), Arc::clone(&open)));
    let mut out = BytesMut::with_capacity(64 << 10);
    put(&mut out, NOBODY, &hello)?;
    let (mut number, mut next) = (NOBODY, Some(first));
    let ended = loop {
        if let Some(question) = next.take() {
            gather(address, question, &mut number, &open, &mut out);
        }
        while out.len() < WRITE {
            let Ok(question) = asked.try_recv() else { break };
            gather(address, question, &mut number, &open, &mut out);
        }
        tokio::select! {
            written = write(&mut writing, &mut out, silence) => if let Err(error) = written { break Err(error) },
            _ = &mut answers => break Err(io::ErrorKind::ConnectionReset.into()),
        }
        tokio::select! {
            question = asked.recv() => match question {
                Some(question) => next = Some(question),
                None => break Ok(()),
            },
            () = sleep(silence / BEATS) => put(&mut out, NOBODY, &Message::Alive)?,
            _ = &mut answers => break Err(io::ErrorKind::ConnectionReset.into()),
        }
    };
    answers.abort();
    let unreachable = Unreachable { address: address.to_owned(), why: "the connection ended".to_owned(), heard: true };
    for (_, answer) in lock(&open).drain() {
        _ = answer.send(Err(unreachable.clone()));
    }
    ended
}

/// Puts a question behind those that wait to be written. One that is too long is answered at once: nobody has heard it.
fn gather(address: &str, question: Question, number: &mut u64, open: &Open, out: &mut BytesMut) {
    *number += 1;
    if let Err(error) = put(out, *number, &question.said) {
        let unreachable = Unreachable { address: address.to_owned(), why: error.to_string(), heard: false };
        _ = question.answer.send(Err(unreachable));
        return;
    }
    let mut open = lock(open);
    // Those whose askers have given up are forgotten, so that a silent member costs no memory.
    if open.len() >= WAITING {
        open.retain(|_, answer| !answer.is_closed());
    }
    open.insert(*number, question.answer);
}

/// Hands each answer to who asked.
async fn listen<R: tokio::io::AsyncRead + Unpin>(mut frames: Frames<R>, open: Open) {
    while let Ok(Some((number, said))) = frames.next::<Message>().await {
        if let Some(answer) = lock(&open).remove(&number) {
            _ = answer.send(Ok(said));
        }
    }
}

fn lock(open: &Open) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Result<Message, Unreachable>>>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}
