//! The admin API's sockets: few connections at once, none that lingers, none that grows.
//!
//! A connection without progress is closed after [`IDLE`], any connection after [`LIFETIME`], and one whose request does
//! not become complete in time. Who finds no place gets that of a connection that makes no use of it: see [`Places`].

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::places::{Places, Seat};

/// The longest time without a byte either way. Longer than any request takes.
const IDLE: Duration = Duration::from_secs(30);
/// The longest time in all.
const LIFETIME: Duration = Duration::from_secs(600);
/// The pause after the system refused a connection, for want of descriptors most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `stop` says so, and then until running requests are answered.
pub(super) async fn serve(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let bounded = Bounded { inner: listener, places: Places::new() };
    let seated = router.layer(middleware::from_fn(serve_seated)).into_make_service_with_connect_info::<Taken>();
    let stopped = async move {
        // The sender is gone when the node is: that is a stop too.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    if let Err(error) = axum::serve(bounded, seated).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "the admin API ended");
    }
}

/// Says of a connection that its request is being served.
async fn serve_seated(ConnectInfo(Taken(seat)): ConnectInfo<Taken>, request: Request, next: Next) -> Response {
    let _serving = seat.serve();
    next.run(request).await
}

/// The place that a request's connection has.
#[derive(Clone)]
struct Taken(Arc<Seat>);

impl Connected<IncomingStream<'_, Bounded>> for Taken {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self(Arc::clone(&stream.io().seat))
    }
}

struct Bounded {
    inner: TcpListener,
    places: Places,
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.inner.accept().await {
                Ok((stream, address)) => return (Connection::new(stream, self.places.take().await), address),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// A stream that fails when it has been silent, or open, for too long, or its place is needed.
struct Connection {
    stream: TcpStream,
    alarm: Pin<Box<Sleep>>,
    born: Instant,
    /// When a byte last passed.
    moved: Instant,
    seat: Arc<Seat>,
}

impl Connection {
    fn new(stream: TcpStream, seat: Arc<Seat>) -> Self {
        let born = Instant::now();
        let mut new = Self { stream, alarm: Box::pin(tokio::time::sleep_until(born)), born, moved: born, seat };
        let deadline = new.deadline();
        new.alarm.as_mut().reset(deadline);
        new
    }

    fn deadline(&self) -> Instant {
        let any = (self.moved + IDLE).min(self.born + LIFETIME);
        self.seat.head_by().map_or(any, |head| head.min(any))
    }

    fn poll_alarm(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.seat.is_closed(context) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        while self.alarm.as_mut().poll(context).is_ready() {
            // It was set for a head that has come since.
            let deadline = self.deadline();
            if deadline <= Instant::now() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.alarm.as_mut().reset(deadline);
        }
        Ok(())
    }

    fn progress(&mut self, now: Instant) {
        self.moved = now;
        let next = self.deadline();
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
        let done = Pin::new(&mut self.stream).poll_read(context, buffer);
        if done.is_pending() {
            self.seat.waits();
        }
        let done = ready!(done);
        let now = Instant::now();
        self.seat.came(now);
        self.progress(now);
        Poll::Ready(done)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_alarm(context)?;
        let done = Pin::new(&mut self.stream).poll_write(context, bytes);
        if done.is_pending() {
            self.seat.waits();
        }
        let done = ready!(done);
        let now = Instant::now();
        self.seat.went(now);
        self.progress(now);
        Poll::Ready(done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
