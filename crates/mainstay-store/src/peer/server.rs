//! The answering end.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::frame::{Frames, put};
use super::message::{Hello, Message, VERSION};
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
                    if let Err(error) = converse(stream, answers).await {
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
async fn converse<A: Answers>(stream: TcpStream, answers: Arc<A>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reading, mut writing) = stream.into_split();
    let mut frames = Frames::new(reading);
    let introduced = timeout(INTRODUCTION, frames.next::<Hello>()).await;
    let Ok(Some((_, hello))) = introduced.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))? else {
        return Ok(());
    };
    let (cluster, member) = answers.who();
    if (hello.version, hello.cluster, hello.to) != (VERSION, cluster, member) {
        tracing::warn!(?hello, cluster, member, "a connection that is meant for another cluster or version is refused");
        return Ok(());
    }
    let (said, mut saying) = mpsc::channel::<(u64, Message)>(AT_ONCE);
    let mut under_way = JoinSet::new();
    under_way.spawn(async move {
        let mut out = BytesMut::with_capacity(64 << 10);
        while let Some((number, message)) = saying.recv().await {
            if put(&mut out, number, &message).is_err() {
                return;
            }
            while let Ok((number, message)) = saying.try_recv() {
                if put(&mut out, number, &message).is_err() {
                    return;
                }
            }
            if writing.write_all_buf(&mut out).await.is_err() {
                return;
            }
            out.clear();
        }
    });
    let places = Arc::new(Semaphore::new(AT_ONCE));
    while let Some((number, asked)) = frames.next::<Message>().await? {
        while under_way.try_join_next().is_some() {}
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
