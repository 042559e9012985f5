//! The answering end.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::frame::{BEATS, Frames, NOBODY, SILENCE, put, write};
use super::message::{Hello, Message, NONE, VERSION};
use crate::engine::Failure;
use crate::raft::MemberId;

/// How many questions of one connection are answered at once.
const AT_ONCE: usize = 1024;

/// How many connections are open at once: three lanes from each of a few members, and those that they replace.
const CONNECTIONS: usize = 128;

/// How long a connection may stay without saying who it is.
const INTRODUCTION: Duration = Duration::from_secs(5);

/// Who answers.
pub(crate) trait Answers: Send + Sync + 'static {
    /// The cluster and the member that answer.
    fn who(&self) -> (u64, MemberId);

    /// Answers one question of a member.
    fn answer(&self, from: MemberId, asked: Message) -> impl Future<Output = Message> + Send;
}

/// Answers members until the future is dropped.
pub(crate) async fn serve<A: Answers>(listener: TcpListener, answers: Arc<A>) {
    serve_within(listener, answers, SILENCE).await;
}

/// The same, with so much silence of a connection as is borne.
pub(super) async fn serve_within<A: Answers>(listener: TcpListener, answers: Arc<A>, silence: Duration) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => {
                let answers = Arc::clone(&answers);
                open.spawn(async move {
                    let _seat = seat;
                    if let Err(error) = converse(stream, answers, silence).await {
                        tracing::debug!(%from, %error, "a member's connection ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection of a member can be taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Answers what is asked on one connection, until it ends.
async fn converse<A: Answers>(stream: TcpStream, answers: Arc<A>, silence: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reading, mut writing) = stream.into_split();
    let mut frames = Frames::new(reading, silence);
    let introduced = timeout(INTRODUCTION, frames.next::<Hello>()).await;
    let Ok(Some((_, hello))) = introduced.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))? else {
        return Ok(());
    };
    let (cluster, member) = answers.who();
    let meant = hello == Hello::STRANGER || (hello.cluster, hello.to) == (cluster, member) && hello.from != NONE;
    if hello.version != VERSION || !meant {
        tracing::warn!(?hello, cluster, member, "a connection that is meant for another cluster or version is refused");
        return Ok(());
    }
    let (said, mut saying) = mpsc::channel::<(u64, Message)>(AT_ONCE);
    let mut under_way = JoinSet::new();
    under_way.spawn(async move {
        let mut out = BytesMut::with_capacity(64 << 10);
        loop {
            match timeout(silence / BEATS, saying.recv()).await {
                Ok(Some((number, answer))) => say(&mut out, number, &answer),
                Ok(None) => return,
                Err(_) => say(&mut out, NOBODY, &Message::Alive),
            }
            while let Ok((number, answer)) = saying.try_recv() {
                say(&mut out, number, &answer);
            }
            if write(&mut writing, &mut out, silence).await.is_err() {
                return;
            }
        }
    });
    let places = Arc::new(Semaphore::new(AT_ONCE));
    while let Some((number, asked)) = frames.next::<Message>().await? {
        while under_way.try_join_next().is_some() {}
        if asked == Message::Alive {
            continue;
        }
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let (answers, said) = (Arc::clone(&answers), said.clone());
        under_way.spawn(async move {
            let answer = answers.answer(hello.from, asked).await;
            _ = said.send((number, answer)).await;
            drop(place);
        });
    }
    Ok(())
}

/// Puts an answer behind those that wait to be written. One that is too long was done, and cannot be told.
fn say(out: &mut BytesMut, number: u64, answer: &Message) {
    if let Err(error) = put(out, number, answer) {
        tracing::warn!(%error, "an answer to a member is too long to be told");
        _ = put(out, number, &Message::Failed(Failure::Timeout));
    }
}
