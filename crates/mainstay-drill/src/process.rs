//! Which process is meant: its number and when it began, because numbers are given again.
//!
//! A signal goes through a descriptor of the process (`pidfd_open(2)`) that is checked after it was opened, so that it
//! never reaches another process that got the number in between.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, pidfd_open, pidfd_send_signal, prlimit};
use serde::{Deserialize, Serialize};

/// One process, and no other that has its number later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its number.
    pub pid: u32,
    /// When it began, in ticks since the system did.
    pub started: u64,
}

/// What `/proc` says of a process: its state in one letter, and when it began.
fn stat(pid: u32) -> io::Result<(u8, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in brackets may have brackets and spaces in it.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = rest.split_whitespace();
    let state = fields.next().and_then(|word| word.bytes().next());
    let started = fields.nth(18).and_then(|word| word.parse().ok());
    state.zip(started).ok_or_else(|| io::Error::other("what the system says of it cannot be read"))
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the process has ended")
}

impl Identity {
    /// The process that has this number now.
    ///
    /// # Errors
    /// There is none.
    pub fn of(pid: u32) -> io::Result<Self> {
        let (_, started) = stat(pid).map_err(|_| io::Error::other(format!("there is no process {pid}")))?;
        Ok(Self { pid, started })
    }

    /// The process of this machine that listens at `address`; of several that share the socket, the first that began.
    #[must_use]
    pub fn listening_at(address: SocketAddr) -> Option<Self> {
        let sockets = listening_sockets(address);
        let processes = std::fs::read_dir("/proc").ok()?.flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let holders = pids.filter(|pid| holds_one(*pid, &sockets)).filter_map(|pid| Self::of(pid).ok());
        holders.min_by_key(|process| (process.started, process.pid))
    }

    /// Its state in the system's letter; none when it has ended.
    fn state(self) -> Option<u8> {
        let (state, started) = stat(self.pid).ok()?;
        (started == self.started && !matches!(state, b'Z' | b'X')).then_some(state)
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn is_there(self) -> bool {
        self.state().is_some()
    }

    /// Whether it stands still: it was stopped and has not been told to go on.
    #[must_use]
    pub fn stands_still(self) -> bool {
        matches!(self.state(), Some(b'T' | b't'))
    }

    fn number(self) -> io::Result<Pid> {
        self.pid.try_into().ok().and_then(Pid::from_raw).ok_or_else(gone)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended ([`io::ErrorKind::NotFound`]), or it is somebody else's.
    pub fn signal(self, signal: Signal) -> io::Result<()> {
        let descriptor = pidfd_open(self.number()?, PidfdFlags::empty()).map_err(|_| gone())?;
        // Checked while we hold it: from here on the number cannot come to mean another.
        if !self.is_there() {
            return Err(gone());
        }
        Ok(pidfd_send_signal(descriptor, signal)?)
    }

    /// How many descriptors it may have, and changes that.
    ///
    /// # Errors
    /// It has ended, or it is somebody else's.
    pub fn limit_descriptors(self, limit: Descriptors) -> io::Result<Descriptors> {
        if !self.is_there() {
            return Err(gone());
        }
        let new = Rlimit { current: limit.soft, maximum: limit.hard };
        let old = prlimit(Some(self.number()?), Resource::Nofile, new)?;
        Ok(Descriptors { soft: old.current, hard: old.maximum })
    }

    /// How many descriptors it may have.
    ///
    /// # Errors
    /// It has ended, or the system does not tell.
    pub fn descriptor_limit(self) -> io::Result<Descriptors> {
        let text = std::fs::read_to_string(format!("/proc/{}/limits", self.pid)).map_err(|_| gone())?;
        let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
        let mut words = line.unwrap_or("").split_whitespace();
        // A word in the place of a number is "unlimited".
        let mut limit = || words.next().ok_or_else(|| io::Error::other("no limit is told")).map(|w| w.parse().ok());
        let (soft, hard) = (limit()?, limit()?);
        if self.is_there() { Ok(Descriptors { soft, hard }) } else { Err(gone()) }
    }

    /// How many descriptors it has now.
    ///
    /// # Errors
    /// It has ended, or it is somebody else's.
    pub fn descriptors(self) -> io::Result<u64> {
        let held = std::fs::read_dir(format!("/proc/{}/fd", self.pid))?.count() as u64;
        if self.is_there() { Ok(held) } else { Err(gone()) }
    }
}

/// What the system calls the sockets that listen at `address`, or at its port on every address.
fn listening_sockets(address: SocketAddr) -> Vec<String> {
    const LISTENS: &str = "0A";
    let read = |name: &str| std::fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
    let text = if address.is_ipv4() { read("tcp") + &read("tcp6") } else { read("tcp6") };
    let exact = match address.ip() {
        IpAddr::V4(ip) => format!("{:08X}", u32::from_ne_bytes(ip.octets())),
        IpAddr::V6(ip) => {
            let words = ip
                .octets()
                .chunks(4)
                .map(|four| u32::from_ne_bytes([four[0], four[1], four[2], four[3]]))
                .collect::<Vec<_>>();
            words.iter().map(|word| format!("{word:08X}")).collect()
        }
    };
    let socket = |line: &str| {
        let mut fields = line.split_whitespace();
        let (ip, port) = fields.nth(1)?.split_once(':')?;
        let here = (ip == exact || ip.bytes().all(|digit| digit == b'0')) && port == format!("{:04X}", address.port());
        let listens = fields.nth(1)? == LISTENS;
        let inode = fields.nth(5)?;
        (here && listens).then(|| format!("socket:[{inode}]"))
    };
    text.lines().filter_map(socket).collect()
}

fn holds_one(pid: u32, sockets: &[String]) -> bool {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut links = descriptors.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links.any(|link| link.to_str().is_some_and(|link| sockets.iter().any(|socket| socket == link)))
}

/// How many descriptors a process may have: now, and at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptors {
    /// Now; none for no limit.
    pub soft: Option<u64>,
    /// At most; none for no limit.
    pub hard: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    fn sleeper() -> (Child, Identity) {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::of(child.id()).unwrap();
        (child, identity)
    }

    #[test]
    fn a_process_stands_still_and_goes_on() {
        let (mut child, process) = sleeper();
        assert!(process.is_there() && !process.stands_still());
        process.signal(Signal::STOP).unwrap();
        while !process.stands_still() {
            std::thread::yield_now();
        }
        process.signal(Signal::CONT).unwrap();
        while process.stands_still() {
            std::thread::yield_now();
        }
        process.signal(Signal::KILL).unwrap();
        child.wait().unwrap();
        assert!(!process.is_there());
    }

    #[test]
    fn another_process_with_the_same_number_gets_no_signal() {
        let (mut child, process) = sleeper();
        let earlier = Identity { started: process.started - 1, ..process };
        assert_eq!(earlier.signal(Signal::KILL).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(process.is_there(), "it began later than the one that was meant");
        process.signal(Signal::KILL).unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn who_listens_somewhere_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(Identity::listening_at(address), Some(Identity::of(std::process::id()).unwrap()));
        drop(listener);
        assert_eq!(Identity::listening_at(address), None);
    }

    #[test]
    fn one_that_has_ended_and_is_not_yet_fetched_is_not_there() {
        let (mut child, process) = sleeper();
        process.signal(Signal::KILL).unwrap();
        while process.is_there() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }
}
