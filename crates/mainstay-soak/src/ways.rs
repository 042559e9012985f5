//! The ways between members, as proxies that can be cut in each direction alone, and be slow.
//!
//! Members reach each other by the fronts that stand here. Who connects is known by the process whose socket it is, so
//! that nothing of what they say has to be understood. What is sent into a cut waits and arrives when it is over, as TCP
//! would bring it; who connects into one is answered by nobody.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often a cut is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// All ways between the members of one store.
#[derive(Debug)]
pub(crate) struct Ways {
    shared: Arc<Shared>,
    acceptors: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    fronts: Vec<SocketAddr>,
    backs: Vec<SocketAddr>,
    /// The process of each member.
    processes: Vec<AtomicU32>,
    /// Of each from and to, whether it is cut.
    cut: Vec<Vec<AtomicBool>>,
    /// Of each from and to, how late it is, in microseconds.
    late: Vec<Vec<AtomicU64>>,
    ended: AtomicBool,
}

impl Ways {
    /// Ways to those who listen at `backs`, by `fronts`.
    pub(crate) fn open(fronts: &[SocketAddr], backs: &[SocketAddr]) -> std::io::Result<Self> {
        let each = || fronts.iter();
        let shared = Arc::new(Shared {
            fronts: fronts.to_vec(),
            backs: backs.to_vec(),
            processes: each().map(|_| AtomicU32::new(0)).collect(),
            cut: each().map(|_| each().map(|_| AtomicBool::new(false)).collect()).collect(),
            late: each().map(|_| each().map(|_| AtomicU64::new(0)).collect()).collect(),
            ended: AtomicBool::new(false),
        });
        let mut acceptors = Vec::new();
        for (to, front) in fronts.iter().enumerate() {
            let listener = TcpListener::bind(front)?;
            let shared = Arc::clone(&shared);
            acceptors.push(std::thread::spawn(move || accept(&listener, to, &shared)));
        }
        Ok(Self { shared, acceptors: Mutex::new(acceptors) })
    }

    pub(crate) fn fronts(&self) -> &[SocketAddr] {
        &self.shared.fronts
    }

    /// Says which process a member is from now on.
    pub(crate) fn member_is(&self, member: usize, process: u32) {
        self.shared.processes[member].store(process, Ordering::Relaxed);
    }

    /// Cuts the way from one to another, or mends it.
    pub(crate) fn cut(&self, from: usize, to: usize, cut: bool) {
        self.shared.cut[from][to].store(cut, Ordering::Relaxed);
    }

    /// Lets what goes from one to another be this late.
    pub(crate) fn late(&self, from: usize, to: usize, late: Duration) {
        self.shared.late[from][to].store(late.as_micros() as u64, Ordering::Relaxed);
    }

    /// Lets all be well.
    pub(crate) fn mend(&self) {
        for from in 0..self.shared.fronts.len() {
            for to in 0..self.shared.fronts.len() {
                self.cut(from, to, false);
                self.late(from, to, Duration::ZERO);
            }
        }
    }
}

impl Drop for Ways {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        for front in &self.shared.fronts {
            // Whoever waits for a connection sees one and looks.
            _ = TcpStream::connect(front);
        }
        let acceptors = std::mem::take(&mut *self.acceptors.lock().unwrap_or_else(PoisonError::into_inner));
        for acceptor in acceptors {
            _ = acceptor.join();
        }
    }
}

fn accept(listener: &TcpListener, to: usize, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.ended.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        std::thread::spawn(move || _ = pass(stream, to, &shared));
    }
}

/// Passes a connection on in both directions.
fn pass(stream: TcpStream, to: usize, shared: &Arc<Shared>) -> std::io::Result<()> {
    let Some(from) = shared.who(stream.peer_addr()?) else { return stream.shutdown(Shutdown::Both) };
    let other = TcpStream::connect(shared.backs[to])?;
    stream.set_nodelay(true)?;
    other.set_nodelay(true)?;
    let back = (other.try_clone()?, stream.try_clone()?, Arc::clone(shared));
    std::thread::spawn(move || carry(back.0, back.1, (to, from), &back.2));
    carry(stream, other, (from, to), shared);
    Ok(())
}

/// Carries one direction, until one end is gone.
fn carry(mut from: TcpStream, mut to: TcpStream, (a, b): (usize, usize), shared: &Shared) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let late = Duration::from_micros(shared.late[a][b].load(Ordering::Relaxed));
        if !late.is_zero() {
            std::thread::sleep(late);
        }
        while shared.cut[a][b].load(Ordering::Relaxed) && !shared.ended.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK);
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    _ = from.shutdown(Shutdown::Both);
    _ = to.shutdown(Shutdown::Both);
}

impl Shared {
    /// The member whose socket has this address.
    fn who(&self, address: SocketAddr) -> Option<usize> {
        let inode = inode(address)?;
        let socket = format!("socket:[{inode}]");
        self.processes.iter().position(|process| {
            let files = std::fs::read_dir(format!("/proc/{}/fd", process.load(Ordering::Relaxed)));
            let mut links = files.into_iter().flatten().flatten().flat_map(|file| std::fs::read_link(file.path()));
            links.any(|link| link.to_str() == Some(&socket))
        })
    }
}

/// The number of the socket that has this address as its own.
fn inode(address: SocketAddr) -> Option<String> {
    let port = format!(":{:04X}", address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().skip(1).find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        (words.get(1)?.ends_with(&port)).then(|| words.get(9).map(|inode| (*inode).to_owned()))?
    })
}
