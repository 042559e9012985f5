//! Accepts callers and hands each to the worker that has the fewest.
//!
//! In: an address. Out: [`Accepted`] connections in the workers' mailboxes. One queue in the kernel for each address,
//! read by one task: `SO_REUSEPORT` would spread by a hash, which skews few long connections and drops a closing
//! socket's queue at a reload.
//!
//! - Never more than `limits.connections` are open; when they are, one further caller of each listener is held and the
//!   rest wait in the kernel's queue, until one leaves.
//! - A listener that a reload keeps is the same socket, so no caller notices.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::worker::{Message, Workers};

/// Callers that the kernel may hold for us, where the system allows as many.
const BACKLOG: i32 = 4096;
/// The pause after an accept that failed for want of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(50);

/// Which listener a connection came by: a number that is never used again in one gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ListenerNumber(pub(crate) u32);

/// A caller's connection on its way to a worker.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) listener: ListenerNumber,
    pub(crate) seat: Seat,
}

/// A connection's place among those that may be open; free when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    _permit: OwnedSemaphorePermit,
    counters: [Arc<AtomicUsize>; 2],
}

impl Seat {
    fn new(permit: OwnedSemaphorePermit, counters: [Arc<AtomicUsize>; 2]) -> Self {
        for counter in &counters {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        Self { _permit: permit, counters }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        for counter in &self.counters {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A socket that listens; no caller is accepted yet.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) number: ListenerNumber,
    pub(crate) address: SocketAddr,
    /// The address with the port that the system chose for port 0.
    pub(crate) local: SocketAddr,
    socket: TcpListener,
}

/// A listener at work.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) number: ListenerNumber,
    /// The address as it is configured: what a reload knows it by.
    pub(crate) address: SocketAddr,
    pub(crate) local: SocketAddr,
    open: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Bound {
    /// Listens on `address`. Restarting at once is allowed (`SO_REUSEADDR`), sharing the port is not.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn bind(number: ListenerNumber, address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let socket = TcpListener::from_std(socket.into())?;
        Ok(Self { number, address, local: socket.local_addr()?, socket })
    }

    /// Begins to accept.
    pub(crate) fn start(self, workers: Workers, seats: Arc<Semaphore>) -> Listening {
        let open = Arc::new(AtomicUsize::new(0));
        let acceptor = Acceptor { number: self.number, socket: self.socket, workers, seats, open: Arc::clone(&open) };
        let task = tokio::spawn(acceptor.run());
        Listening { number: self.number, address: self.address, local: self.local, open, task }
    }
}

impl Listening {
    /// Connections that came by it and are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// A listener that is dropped stops accepting; its connections live on.
impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Acceptor {
    number: ListenerNumber,
    socket: TcpListener,
    workers: Workers,
    seats: Arc<Semaphore>,
    open: Arc<AtomicUsize>,
}

impl Acceptor {
    async fn run(self) {
        loop {
            match self.socket.accept().await {
                Ok((stream, peer)) => {
                    let Ok(permit) = Arc::clone(&self.seats).acquire_owned().await else { return };
                    self.hand_over(stream, peer, permit).await;
                }
                Err(error) if is_the_callers(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// A caller that is already gone, or a worker that has ended, is nobody's loss: the socket is dropped.
    async fn hand_over(&self, stream: tokio::net::TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        let Ok(stream) = stream.into_std() else { return };
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let Some(mailbox) = self.workers.emptiest() else { return };
        let seat = Seat::new(permit, [Arc::clone(mailbox.counter()), Arc::clone(&self.open)]);
        mailbox.send(Message::Connection(Accepted { stream, peer, listener: self.number, seat })).await;
    }
}

/// The caller broke its connection off before we took it.
fn is_the_callers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
