//! The port: connections in, each with bounds of its own.
//!
//! HTTP/2 and HTTP/1.1 are told apart by their first bytes. A connection may have so many streams and no more, must begin
//! to speak within a deadline, is asked whether it lives when it is silent, and lends no more memory to one stream than
//! its window.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::door::Door;
use super::face::Face;
use crate::engine::Engine;

/// What the face takes, and how long it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The largest request in bytes: 1.5 MiB, as etcd's (`--max-request-bytes`).
    pub max_request: usize,
    /// Calls at the same time on one connection. etcd sets no bound; a client that has more waits for the first to end.
    pub max_streams: u32,
    /// How long a dead leader goes unnoticed at the most. A lease is no shorter than one and a half of it, and a stream
    /// whose client wants a leader ends when there was none for three of it.
    pub election: Duration,
    /// How often a watch that wants it hears how far it is when nothing happens: 10 minutes, as etcd's.
    pub progress: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_request: 1536 * 1024,
            max_streams: 4096,
            election: Duration::from_secs(1),
            progress: Duration::from_secs(600),
        }
    }
}

impl Settings {
    /// The length of the shortest lease in seconds.
    pub(crate) fn shortest_lease(&self) -> i64 {
        let seconds = (self.election * 3 / 2).as_secs_f64().ceil();
        // A float becomes the nearest integer there is.
        #[expect(clippy::cast_possible_truncation, reason = "no election takes so long")]
        let seconds = seconds as i64;
        seconds.max(1)
    }
}

/// Connections at the same time.
const CONNECTIONS: usize = 16_384;

/// How long a stopping member waits for calls to end.
const DRAIN: Duration = Duration::from_secs(5);

/// How long a connection may be silent before it is asked whether it lives, and how long it has to say so.
const SILENCE: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(20);

/// How long a connection may be silent at its beginning, and a head of HTTP/1.1 may take.
const HEAD: Duration = Duration::from_secs(10);

/// The largest head of a request.
const MAX_HEAD: usize = 16 * 1024;

/// What one stream, and one connection, may have sent that nobody has read.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Serves etcd's clients on a listener until `stop` is there; then no connection is taken, and those that are open have 5 s
/// to end their calls. Watches end at once: they would never.
pub async fn serve(engine: Engine, listener: TcpListener, settings: Settings, stop: impl Future<Output = ()>) {
    let settings = Arc::new(settings);
    let (stopping, mut stopped) = watch::channel(());
    let removed = engine.removed();
    let face =
        Face { engine: engine.clone(), settings: settings.clone(), counts: Arc::default(), stopping: stopped.clone() };
    let door = Door::new(face);
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    tokio::pin!(stop, removed);
    let mut member = true;
    loop {
        tokio::select! {
            () = &mut stop => break,
            // What is open ends; who comes back is told why.
            () = &mut removed, if member => {
                member = false;
                _ = stopping.send(());
                stopped.mark_unchanged();
            }
            stream = accept(&listener, &free) => {
                let (stream, place) = stream;
                let (door, stopped) = (Arc::new(door.apart()), stopped.clone());
                connections.spawn(async move {
                    connection(stream, door, stopped).await;
                    drop(place);
                });
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    drop((listener, stopping));
    let ended = async { while connections.join_next().await.is_some() {} };
    // Whoever has not ended by then is cut off with the set.
    drop(tokio::time::timeout(DRAIN, ended).await);
}

/// The next connection, once there is a place for it. A failure to accept is that connection's, or the lack of
/// descriptors: it is tried again a little later.
async fn accept(
    listener: &TcpListener,
    free: &Arc<Semaphore>,
) -> (TcpStream, Option<tokio::sync::OwnedSemaphorePermit>) {
    let place = free.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Whether the client speaks HTTP/2: its preface begins as no method of HTTP/1.1 does.
async fn speaks_http2(stream: &TcpStream) -> Option<bool> {
    let mut first = [0; 3];
    loop {
        match stream.peek(&mut first).await.ok()? {
            0 => return None,
            there if !b"PRI".starts_with(&first[..there]) => return Some(false),
            3 => return Some(true),
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Has the system ask a client that is silent, or takes nothing of what it is sent: over HTTP/1.1, where a watch may be
/// silent for long, nobody else would notice that it is gone.
fn asks_whether_it_lives(stream: &TcpStream) -> std::io::Result<()> {
    let socket = SockRef::from(stream);
    let asking = TcpKeepalive::new().with_time(SILENCE).with_interval(ANSWER / 2).with_retries(2);
    socket.set_tcp_keepalive(&asking)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(SILENCE + ANSWER))?;
    Ok(())
}

async fn connection(stream: TcpStream, door: Arc<Door>, mut stopped: watch::Receiver<()>) {
    // Answers are small and wanted at once; a system that cannot do that is slower and no less right.
    drop(stream.set_nodelay(true));
    drop(asks_whether_it_lives(&stream));
    let http2 = tokio::select! {
        http2 = tokio::time::timeout(HEAD, speaks_http2(&stream)) => http2.ok().flatten(),
        _ = stopped.changed() => None,
    };
    match http2 {
        Some(true) => second(stream, door, stopped).await,
        Some(false) => first(stream, door, stopped).await,
        None => {}
    }
}

/// A connection of HTTP/2. How it ended is its client's affair.
async fn second(stream: TcpStream, door: Arc<Door>, mut stopped: watch::Receiver<()>) {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(door.face.settings.max_streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .max_send_buf_size(1 << 20)
        .keep_alive_interval(SILENCE)
        .keep_alive_timeout(ANSWER);
    let service = service_fn(|request| {
        let door = Arc::clone(&door);
        async move { Ok::<_, Infallible>(door.answer(request).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopped.changed() => connection.as_mut().graceful_shutdown(),
    }
    drop(connection.await);
}

/// A connection of HTTP/1.1.
async fn first(stream: TcpStream, door: Arc<Door>, mut stopped: watch::Receiver<()>) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MAX_HEAD);
    let service = service_fn(|request| {
        let door = Arc::clone(&door);
        async move { Ok::<_, Infallible>(door.answer(request).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopped.changed() => connection.as_mut().graceful_shutdown(),
    }
    drop(connection.await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_is_gone_without_a_word_does_not_keep_its_place() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        asks_whether_it_lives(&stream).unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(SILENCE + ANSWER));
    }
}
