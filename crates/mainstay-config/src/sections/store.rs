//! `[store]`: this node's replica of the consensus store.

use std::net::SocketAddr;

use mainstay_core::{Bytes, Duration};

use crate::model::Store;
use crate::section::Section;
use crate::value::{Fault, Positive};

/// The shortest election that is taken: below it a flush of an ordinary disk looks like a dead leader.
const ELECTION_MIN: Duration = Duration::from_millis(100);

/// The longest that is taken, as etcd has it: nobody wants to wait longer for a leader.
const ELECTION_MAX: Duration = Duration::from_secs(50);

pub(super) fn store(s: &mut Section<'_>) -> Store {
    let client: SocketAddr = s.get("client", "127.0.0.1:2379");
    let peer: SocketAddr = s.get("peer", "127.0.0.1:2380");
    let members = s.pairs("members", |name, item| {
        let peer: String = item.read()?;
        if !is_host_and_port(&peer) {
            item.fault(Fault::new(format!("{peer:?} is no address of a member")).help("write HOST:PORT"));
            return None;
        }
        Some((name.to_owned(), peer))
    });
    let join = s.items("join", |item| {
        let address: String = item.read()?;
        if !is_host_and_port(&address) {
            item.fault(Fault::new(format!("{address:?} is no address of a member")).help("write HOST:PORT"));
            return None;
        }
        Some(address)
    });
    if !join.is_empty() && !members.is_empty() {
        let fault = Fault::new("a member begins a new cluster or joins a running one, not both")
            .help("take away members: the running cluster knows them");
        s.fault("join", fault);
    }
    let election = s.get::<Positive<Duration>>("election", "1s").0;
    if !(ELECTION_MIN..=ELECTION_MAX).contains(&election) {
        let fault = Fault::new(format!("an election of {election} does not work"))
            .help("take 100ms to 50s: ten times a round trip between members and a flush of their disks");
        s.fault("election", fault);
    }
    let quota = s.get::<Positive<Bytes>>("quota", "2GiB").0;
    let keep = s.on_unless_off("compact", |s| s.get::<Positive<Duration>>("keep", "1h").0);
    s.later("endpoints", "[]");
    Store { client, peer, members, join, election, quota, keep }
}

/// Whether it is a name or an address, and a port behind it.
fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    !host.is_empty() && host.bytes().all(fine) && port.parse::<u16>().is_ok_and(|port| port > 0)
}
