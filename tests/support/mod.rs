//! The stage of a story: processes, ports, requests, figures.

pub(crate) mod books;
pub(crate) mod http;
mod instance;
mod load;
mod members;
mod metrics;
mod node;
mod process;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

pub(crate) use instance::Instance;
pub(crate) use load::{Load, Report};
pub(crate) use members::Members;
pub(crate) use metrics::Metrics;
pub(crate) use node::Node;
pub(crate) use process::{Process, find, mainstay, skip};

/// How long anything may take to be ready, to end or to be seen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The stage for one story alone, until the guard is dropped.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static STAGE: Mutex<()> = Mutex::new(());
    // A story that failed leaves nothing behind that the next one could stumble over.
    STAGE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An address for a process that is about to listen.
pub(crate) fn free_address() -> SocketAddr {
    free_addresses(1)[0]
}

/// So many of them, each another.
pub(crate) fn free_addresses(count: usize) -> Vec<SocketAddr> {
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap()).collect()
}

/// An address that refuses connections, and that no other process can come to listen on while this is held.
pub(crate) struct Refusing {
    pub(crate) address: SocketAddr,
    _bound: OwnedFd,
}

impl Refusing {
    pub(crate) fn new() -> Self {
        let bound = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&bound, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = SocketAddr::try_from(getsockname(&bound).unwrap()).unwrap();
        Self { address, _bound: bound }
    }
}

/// Waits until `look` sees what it waits for.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Lets real time pass: the length of a fault, never a guess at how long something takes.
pub(crate) fn pass(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds));
}
