//! Why no connection came about: whose fault it is.
//!
//! In: the system's error. Out: how the endpoint failed, or that it did not, because what is used up is ours: a
//! descriptor, a port, memory. Whoever took that for the endpoint's failure would eject one healthy endpoint after the
//! other at the very moment when this node is short of something.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use mainstay_core::Failure;

/// Too many open files, of the system and of the process: the same numbers on every Unix.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
/// No room for a socket's buffers.
const ENOBUFS: i32 = if cfg!(target_os = "linux") { 105 } else { 55 };

/// How the endpoint at `address` failed; `None` when it did not, since we lack what a connection needs.
pub(crate) fn failure_of(error: &io::Error, address: SocketAddr) -> Option<Failure> {
    if is_ours(error, address) {
        tracing::debug!(%address, %error, "what a connection needs is used up");
        return None;
    }
    Some(match error.kind() {
        ErrorKind::ConnectionRefused => Failure::Refused,
        ErrorKind::TimedOut => Failure::ConnectTimeout,
        _ => Failure::Unreachable,
    })
}

fn is_ours(error: &io::Error, address: SocketAddr) -> bool {
    match error.kind() {
        ErrorKind::OutOfMemory => true,
        ErrorKind::AddrNotAvailable => has_way_to(address),
        _ => matches!(error.raw_os_error(), Some(ENFILE | EMFILE | ENOBUFS)),
    }
}

/// Whether an address of ours leads there. Without one (IPv6 is off) the system says the same as when the ports are used
/// up, and that speaks of this endpoint alone. A datagram socket tells them apart: it sends nothing and has other ports.
fn has_way_to(address: SocketAddr) -> bool {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    UdpSocket::bind(any).map_or(true, |socket| socket.connect(address).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blamed(kind: ErrorKind) -> Option<Failure> {
        failure_of(&kind.into(), ([127, 0, 0, 1], 9).into())
    }

    #[test]
    fn what_we_lack_ourselves_is_no_failure_of_the_endpoint() {
        for number in [ENFILE, EMFILE, ENOBUFS] {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(failure_of(&error, ([127, 0, 0, 1], 9).into()), None, "{error}");
        }
        assert_eq!(blamed(ErrorKind::OutOfMemory), None);
        assert_eq!(blamed(ErrorKind::AddrNotAvailable), None, "loopback has an address, so its ports are out");
    }

    #[test]
    fn what_the_network_says_is() {
        assert_eq!(blamed(ErrorKind::ConnectionRefused), Some(Failure::Refused));
        assert_eq!(blamed(ErrorKind::TimedOut), Some(Failure::ConnectTimeout));
        assert_eq!(blamed(ErrorKind::HostUnreachable), Some(Failure::Unreachable));
        assert_eq!(blamed(ErrorKind::PermissionDenied), Some(Failure::Unreachable));
    }
}
