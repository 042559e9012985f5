//! What idle connections cost in memory.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::peers::{Bench, Conditions, Peer};
use super::setting::Setting;
use crate::cpu;

/// Connections that are kept open.
pub(crate) const CONNECTIONS: usize = 1_000;

/// One proxy's memory, in KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Idle {
    pub(crate) name: &'static str,
    pub(crate) before: u64,
    pub(crate) grown: u64,
}

/// Each proxy in turn: what it has resident before and while a thousand callers that have asked once stay connected.
pub(crate) fn measure(bench: &Bench<'_>, cores: &str) -> Result<Vec<Idle>, String> {
    let setting = Setting::default();
    let conditions = Conditions { cores, counter: None, setting: &setting };
    let _instance = bench.start(Peer::Direct, conditions)?;
    let mut all = Vec::new();
    for peer in Peer::proxies() {
        let proxy = bench.start(peer, conditions)?;
        // The first request makes what is made once.
        drop(ask(bench.port(peer)).map_err(|error| format!("{}: {error}", peer.name()))?);
        std::thread::sleep(Duration::from_millis(200));
        let before = cpu::resident(proxy.id())?;
        let callers: Result<Vec<TcpStream>, _> = (0..CONNECTIONS).map(|_| ask(bench.port(peer))).collect();
        let callers = callers.map_err(|error| format!("{}: {error}", peer.name()))?;
        std::thread::sleep(Duration::from_millis(500));
        let grown = cpu::resident(proxy.id())?.saturating_sub(before);
        drop(callers);
        all.push(Idle { name: peer.name(), before, grown });
    }
    Ok(all)
}

/// Asks once and keeps the connection.
fn ask(port: u16) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n")?;
    let mut answer = [0; 1024];
    let read = stream.read(&mut answer)?;
    if !answer[..read].starts_with(b"HTTP/1.1 200") {
        return Err(std::io::Error::other("the answer is not a 200"));
    }
    Ok(stream)
}
