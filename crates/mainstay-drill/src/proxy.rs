//! The way to an instance, as something that can fail: a proxy between the gateway and it that passes bytes on, and when
//! it is told to, passes them on late, in part or not at all.
//!
//! A way that is cut takes no new connection either: the queue of those that wait to be accepted is filled, so that the
//! system leaves the next one's first packet unanswered, as a broken network does, and the gateway runs into its
//! connect timeout. Nothing of this needs rights that a user does not have. What was sent into a cut is lost with its
//! connection, unless the cut is said to deliver it at its end. A proxy lives in the driller and ends with it.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mainstay_core::{Purpose, Ratio, Seed, unit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

/// Bytes passed on at once.
const PIECE: usize = 64 * 1024;
/// Bytes of one direction that may be on a way that is late; more wait with the sender.
const UNDER_WAY: usize = 1024 * 1024;
/// Connections that may wait to be accepted while the way is well.
const BACKLOG: i32 = 1024;
/// Of a way that is cut, connections that fill the queue at most, and how long one that finds it full is waited for.
const FILLERS: usize = 8;
const FULL: Duration = Duration::from_millis(50);
/// What is sent in the place of an answer that is not HTTP.
const GARBAGE: &[u8] = b"lorem ipsum dolor sit amet\r\n\r\n";

/// What is wrong with a way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Ill {
    /// What is sent arrives this much later, both ways.
    Late(mainstay_core::Duration),
    /// Nothing comes through.
    Cut {
        /// To the instance.
        there: bool,
        /// From it.
        back: bool,
        /// What was sent meanwhile arrives when it is over.
        delivered: bool,
    },
    /// This share of the pieces is lost, and with one all that follows on its connection.
    Lossy(Ratio),
    /// Connections are reset when a request comes.
    Reset,
    /// Requests come through, and no answer comes back.
    Stall,
    /// What comes back is not HTTP.
    Garbage,
}

impl fmt::Display for Ill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late(late) => write!(f, "is {late} late, both ways"),
            Self::Cut { there: true, back: true, .. } => f.write_str("is cut"),
            Self::Cut { there: true, .. } => f.write_str("is cut there and not back"),
            Self::Cut { .. } => f.write_str("is cut back and not there"),
            Self::Lossy(share) => write!(f, "loses {share}"),
            Self::Reset => f.write_str("resets connections"),
            Self::Stall => f.write_str("lets no answer come back"),
            Self::Garbage => f.write_str("brings what is not HTTP"),
        }
    }
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    There,
    Back,
}

/// A proxy before one instance; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    ill: watch::Sender<Option<Ill>>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Passes on to `to`, from a free port.
    pub(crate) async fn start(to: SocketAddr, seed: Seed) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (ill, told) = watch::channel(None);
        let way = Way { to, told, luck: Arc::new(Luck { seed, drawn: AtomicU64::new(0) }) };
        let task = tokio::spawn(accept(listener, address, way));
        Ok(Self { address, ill, task })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets the way be ill, or well again.
    pub(crate) fn set(&self, ill: Option<Ill>) {
        self.ill.send_replace(ill);
    }

    /// Whether the way is well.
    pub(crate) fn is_well(&self) -> bool {
        self.ill.borrow().is_none()
    }
}

/// What all connections of a proxy share.
#[derive(Debug, Clone)]
struct Way {
    to: SocketAddr,
    told: watch::Receiver<Option<Ill>>,
    luck: Arc<Luck>,
}

#[derive(Debug)]
struct Luck {
    seed: Seed,
    drawn: AtomicU64,
}

impl Luck {
    fn hits(&self, share: Ratio) -> bool {
        let number = self.drawn.fetch_add(1, Ordering::Relaxed);
        unit(self.seed.draw(number, 0, Purpose::Fault)) < share.get()
    }
}

fn is_cut(ill: Option<Ill>) -> bool {
    matches!(ill, Some(Ill::Cut { .. }))
}

/// Takes connections until it is dropped, and none while the way is cut.
async fn accept(listener: TcpListener, address: SocketAddr, mut way: Way) {
    let mut connections = JoinSet::new();
    loop {
        if is_cut(*way.told.borrow_and_update()) {
            let fillers = fill(&listener, address).await;
            // The sender lives as long as this task does.
            while is_cut(*way.told.borrow()) && way.told.changed().await.is_ok() {}
            empty(&listener, &fillers).await;
        }
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(pass(stream, way.clone()));
                }
                // No descriptor is left: one may be soon.
                Err(_) => tokio::time::sleep(FULL).await,
            },
            changed = way.told.changed() => if changed.is_err() { return },
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Fills the queue of connections that wait to be accepted.
async fn fill(listener: &TcpListener, address: SocketAddr) -> Vec<TcpStream> {
    // It fails for what does not listen, and this does.
    let _ = rustix::net::listen(listener, 0);
    let mut fillers = Vec::new();
    while fillers.len() < FILLERS {
        match timeout(FULL, TcpStream::connect(address)).await {
            Ok(Ok(filler)) => fillers.push(filler),
            Ok(Err(_)) | Err(_) => break,
        }
    }
    fillers
}

/// Takes the fillers out of the queue again; whoever else waits in it waits on.
async fn empty(listener: &TcpListener, fillers: &[TcpStream]) {
    for _ in fillers {
        // They came first, so they are accepted first; one that asked in the same moment asks again.
        let _ = timeout(FULL, listener.accept()).await;
    }
    let _ = rustix::net::listen(listener, BACKLOG);
}

/// Passes one connection on until one side has had enough.
async fn pass(mut caller: TcpStream, way: Way) {
    let Ok(mut instance) = TcpStream::connect(way.to).await else {
        // As the instance itself would refuse.
        reset(&caller);
        return;
    };
    // Failing only makes it slower.
    let _ = caller.set_nodelay(true);
    let _ = instance.set_nodelay(true);
    if both_ways(&mut caller, &mut instance, way).await == End::Reset {
        reset(&caller);
        reset(&instance);
    }
}

async fn both_ways(caller: &mut TcpStream, instance: &mut TcpStream, way: Way) -> End {
    let (from_caller, to_caller) = caller.split();
    let (from_instance, to_instance) = instance.split();
    let there = carry(from_caller, to_instance, Side::There, way.clone());
    let back = carry(from_instance, to_caller, Side::Back, way);
    tokio::pin!(back);
    // A caller that says no more may still be answered; an instance that says no more is done.
    tokio::select! {
        end = there => match end {
            End::Closed => back.await,
            End::Reset => End::Reset,
        },
        end = &mut back => end,
    }
}

fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// How a direction ended, or a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Reset,
}

/// What becomes of a piece.
enum Fate {
    Passed(Duration),
    Lost,
    Reset,
    Replaced,
}

/// Carries one direction.
async fn carry(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, side: Side, mut way: Way) -> End {
    let mut waiting: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut held = 0;
    let mut lost = false;
    let mut piece = vec![0; PIECE];
    loop {
        let next = waiting.front().map(|(at, _)| *at);
        tokio::select! {
            biased;
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                let Some((_, bytes)) = waiting.pop_front() else { continue };
                held -= bytes.len();
                if to.write_all(&bytes).await.is_err() {
                    return End::Closed;
                }
            }
            read = from.read(&mut piece), if held < UNDER_WAY => {
                let Ok(length @ 1..) = read else {
                    return finish(waiting, to).await;
                };
                if lost {
                    continue;
                }
                match fate(side, &mut way).await {
                    Fate::Passed(late) if late.is_zero() && waiting.is_empty() => {
                        if to.write_all(&piece[..length]).await.is_err() {
                            return End::Closed;
                        }
                    }
                    Fate::Passed(late) => {
                        held += length;
                        waiting.push_back((Instant::now() + late, piece[..length].to_vec()));
                    }
                    Fate::Lost => lost = true,
                    Fate::Reset => return End::Reset,
                    Fate::Replaced => {
                        let _ = to.write_all(GARBAGE).await;
                        let _ = to.shutdown().await;
                        return End::Closed;
                    }
                }
            }
        }
    }
}

/// What is still under way arrives before the end does.
async fn finish(waiting: VecDeque<(Instant, Vec<u8>)>, mut to: WriteHalf<'_>) -> End {
    for (at, bytes) in waiting {
        sleep_until(at).await;
        if to.write_all(&bytes).await.is_err() {
            return End::Closed;
        }
    }
    let _ = to.shutdown().await;
    End::Closed
}

async fn fate(side: Side, way: &mut Way) -> Fate {
    loop {
        let ill = *way.told.borrow_and_update();
        let cut = match ill {
            Some(Ill::Cut { there, back, .. }) => {
                if side == Side::There {
                    there
                } else {
                    back
                }
            }
            Some(Ill::Stall) => side == Side::Back,
            _ => false,
        };
        match ill {
            Some(Ill::Cut { delivered: true, .. }) if cut => {
                if way.told.changed().await.is_err() {
                    return Fate::Lost;
                }
            }
            _ if cut => return Fate::Lost,
            Some(Ill::Lossy(share)) if way.luck.hits(share) => return Fate::Lost,
            Some(Ill::Reset) if side == Side::There => return Fate::Reset,
            Some(Ill::Garbage) if side == Side::Back => return Fate::Replaced,
            Some(Ill::Late(late)) => return Fate::Passed(Duration::from_nanos(late.as_nanos())),
            _ => return Fate::Passed(Duration::ZERO),
        }
    }
}

#[cfg(test)]
mod tests;
