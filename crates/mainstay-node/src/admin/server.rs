//! The admin API's sockets: few connections at once, none that lingers, none that grows.
//!
//! A connection without progress is closed after [`IDLE`], any connection after [`LIFETIME`], so a caller that sends a
//! byte now and then cannot keep one of the places for ever. Who finds no place waits in the system's queue.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, Sleep};

/// Connections at once.
const CONNECTIONS: usize = 64;
/// The longest time without a byte either way. Longer than any request takes.
const IDLE: Duration = Duration::from_secs(30);
/// The longest time in all.
const LIFETIME: Duration = Duration::from_secs(600);
/// The pause after the system refused a connection, for want of descriptors most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `stop` says so, and then until running requests are answered.
pub(super) async fn serve(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let bounded = Bounded { inner: listener, places: Arc::new(Semaphore::new(CONNECTIONS)) };
    let stopped = async move {
        // The sender is gone when the node is: that is a stop too.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    if let Err(error) = axum::serve(bounded, router).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "the admin API ended");
    }
}

struct Bounded {
    inner: TcpListener,
    places: Arc<Semaphore>,
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                // Nobody closes the semaphore, and without a place there is nothing to do.
                std::future::pending::<()>().await;
                continue;
            };
            match self.inner.accept().await {
                Ok((stream, address)) => return (Connection::new(stream, place), address),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// A stream that fails when it has been silent, or open, for too long.
struct Connection {
    stream: TcpStream,
    alarm: Pin<Box<Sleep>>,
    born: Instant,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit) -> Self {
        let born = Instant::now();
        Self { stream, alarm: Box::pin(tokio::time::sleep_until(born + IDLE)), born, _place: place }
    }

    fn poll_alarm(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.alarm.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }

    fn progress(&mut self) {
        let next = (Instant::now() + IDLE).min(self.born + LIFETIME);
        self.alarm.as_mut().reset(next);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_alarm(context)?;
        let done = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        self.progress();
        Poll::Ready(done)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_alarm(context)?;
        let done = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        self.progress();
        Poll::Ready(done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
