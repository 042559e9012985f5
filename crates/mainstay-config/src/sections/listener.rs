//! `[[listener]]`: where callers come in.

use std::net::{IpAddr, SocketAddr};

use crate::model::Listener;
use crate::raw::{At, Raw, Tree};
use crate::section::Section;
use crate::sink::Sink;
use crate::value::{Fault, Name};

pub(super) fn listener(s: &mut Section<'_>) -> Option<Listener> {
    let name: Option<Name> = s.need("name", "\"web\"");
    let address: Option<SocketAddr> = s.need("address", "\"127.0.0.1:8080\"");
    let protocol = s.choice("protocol", "http", &[("http", ())], &["tcp", "udp"]);
    s.later("tls", "off");
    s.later("proxy_protocol", "false");
    let trusted_proxies = s.get("trusted_proxies", "[]");
    protocol?;
    Some(Listener { name: name?.0, address: address?, trusted_proxies, line: s.line() })
}

pub(super) fn nothing_to_listen_on(root: &Section<'_>) {
    // A listener key of the wrong kind is a problem already.
    if root.given("listener").is_none_or(|entry| matches!(entry.node.raw, Raw::List(_))) {
        let fault = Fault::new("there is no listener")
            .help("add [[listener]] with name = \"web\" and address = \"127.0.0.1:8080\"");
        root.sink.error(None, "listener", fault);
    }
}

/// An address that something of this node listens on.
struct Taken {
    what: String,
    path: String,
    address: SocketAddr,
    at: At,
}

/// Two listeners of one name or address.
pub(super) fn refuse_doubles(sink: &Sink<'_>, tree: &Tree) {
    let listeners = match tree.get("listener").map(|entry| &entry.node.raw) {
        Some(Raw::List(items)) => items.as_slice(),
        _ => &[],
    };
    refuse_double_names(sink, listeners);
    let mut taken: Vec<Taken> = Vec::new();
    for next in admin_addresses(tree).into_iter().chain(listener_addresses(listeners)) {
        if let Some(earlier) = taken.iter().find(|earlier| overlap(earlier.address, next.address)) {
            let message = format!("{} is taken by {}", next.address, earlier.what);
            let fault = Fault::new(message).help(format!("{} listens on {}", earlier.what, earlier.address));
            sink.error(Some(&next.at), &next.path, fault);
        }
        taken.push(next);
    }
}

fn refuse_double_names(sink: &Sink<'_>, listeners: &[Tree]) {
    let name = |node: &Tree| node.get("name").and_then(|entry| entry.node.text().map(str::to_owned));
    for (number, node) in listeners.iter().enumerate() {
        let Some(this) = name(node) else { continue };
        let Some(earlier) = listeners[..number].iter().find(|earlier| name(earlier).as_ref() == Some(&this)) else {
            continue;
        };
        let at = node.get("name").map(|entry| &entry.node.at);
        let line = sink.line_of(&earlier.at).map_or(String::new(), |line| format!(", in line {line}"));
        let fault = Fault::new(format!("there is a listener {this:?} already{line}")).help("names are unique");
        sink.error(at, &format!("listener[{number}].name"), fault);
    }
}

fn admin_addresses(tree: &Tree) -> Vec<Taken> {
    let admin = |key: &str, default: Option<&str>, what: &str| {
        let given = tree.get("admin").and_then(|admin| admin.node.get(key));
        let (text, at) = match given {
            Some(entry) => (entry.node.text()?, entry.node.at.clone()),
            None => (default?, At::Default),
        };
        Some(Taken { what: what.to_owned(), path: format!("admin.{key}"), address: text.parse().ok()?, at })
    };
    [admin("address", Some("127.0.0.1:9900"), "the admin API"), admin("probe", None, "the probe address")]
        .into_iter()
        .flatten()
        .collect()
}

fn listener_addresses(listeners: &[Tree]) -> impl Iterator<Item = Taken> {
    listeners.iter().enumerate().filter_map(|(number, node)| {
        let address = node.get("address")?;
        let name = node.get("name").and_then(|entry| entry.node.text()).unwrap_or_default();
        Some(Taken {
            what: format!("listener {name:?}"),
            path: format!("listener[{number}].address"),
            address: address.node.text()?.parse().ok()?,
            at: address.node.at.clone(),
        })
    })
}

/// Whether a second socket could not listen: one port, and one address or all of them. Port 0 is another each time.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let family = |ip: IpAddr| ip.is_ipv4();
    let all = |all: IpAddr, one: IpAddr| all.is_unspecified() && (all.is_ipv6() || family(one));
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || all(a.ip(), b.ip()) || all(b.ip(), a.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_addresses_overlap_when_the_second_could_not_listen() {
        for (a, b, want) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::]:80", "127.0.0.1:80", true),
            ("127.0.0.2:80", "127.0.0.1:80", false),
        ] {
            assert_eq!(overlap(a.parse().unwrap(), b.parse().unwrap()), want, "{a} {b}");
            assert_eq!(overlap(b.parse().unwrap(), a.parse().unwrap()), want, "{b} {a}");
        }
    }
}
