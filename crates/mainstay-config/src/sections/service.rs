//! `[service.NAME]`: who answers, and how they are found and chosen.

use std::net::SocketAddr;
use std::path::PathBuf;

use mainstay_policy::EndpointSpec;

use super::fallback;
use super::matching::{cookie_name, header_name, query_name};
use super::names::Names;
use super::policy::{self, Policy};
use crate::item::{Item, word_fault};
use crate::model::{Endpoints, HashOn, Service};
use crate::raw::{At, Tree};
use crate::section::Section;
use crate::value::{Fault, Read, Value, Weight};

/// `zone` is the node's.
pub(super) fn service(name: &str, s: &mut Section<'_>, names: &Names, zone: &str) -> Option<Service> {
    let fixed = endpoints(s);
    let discovered = s.off_unless_given("discover", discover);
    s.choice("protocol", "auto", &[("auto", ()), ("h1", ())], &["h2"]);
    s.later("tls", "off");
    let Policy { settings, hash_on, expect_body, zone_aware } = policy::policy(s, zone);
    let fallback = s.table("fallback", |s| fallback::fallback(s, names));
    let policy = mainstay_policy::ServiceSettings { fallback: fallback.settings(), ..settings };
    let endpoints = source(s, fixed, discovered)?;
    Some(Service {
        name: name.to_owned(),
        endpoints,
        hash_on,
        policy,
        zone_aware,
        expect_body,
        fallback,
        line: s.line(),
    })
}

/// Exactly one source of endpoints.
fn source(s: &Section<'_>, fixed: Vec<EndpointSpec>, discovered: Option<Option<Endpoints>>) -> Option<Endpoints> {
    match (s.given("endpoints"), discovered) {
        (Some(_), None) => Some(Endpoints::Fixed(fixed)),
        (None, Some(discovered)) => discovered,
        (Some(_), Some(_)) => {
            let fault = Fault::new("a service has endpoints or discovers them, not both");
            s.fault("discover", fault.help("leave one of them away"));
            None
        }
        (None, None) => {
            let fault = Fault::new("the service has no endpoints")
                .help("add endpoints = [\"127.0.0.1:9101\"], or discover = { dns = \"shop.internal:80\" }");
            s.sink.error(s.at().as_ref(), s.path(), fault);
            None
        }
    }
}

/// `endpoints`, in a service or in a file of its own.
pub(crate) fn endpoints(s: &mut Section<'_>) -> Vec<EndpointSpec> {
    let mut seen: Vec<(SocketAddr, At)> = Vec::new();
    let found = s.items("endpoints", |item| {
        let at = item.node.at.clone();
        let (sink, path) = (item.sink, item.path.clone());
        let spec = if item.is_table() { item.table(endpoint) } else { item.read().map(|Address(a)| spec(a)) }?;
        if let Some((_, first)) = seen.iter().find(|(address, _)| *address == spec.address) {
            let line = sink.line_of(first).map_or(String::new(), |line| format!(", in line {line}"));
            let fault = Fault::new(format!("the endpoint {} is there already{line}", spec.address));
            sink.error(Some(&at), &path, fault.help("for a larger share, give it a weight"));
        }
        seen.push((spec.address, at));
        Some(spec)
    });
    if s.given("endpoints").is_some_and(|entry| entry.node.says("[]")) {
        s.fault("endpoints", Fault::new("the list of endpoints is empty").help("add one, as in \"127.0.0.1:9101\""));
    }
    found
}

fn spec(address: SocketAddr) -> EndpointSpec {
    EndpointSpec { address, weight: 1, zone: "".into(), backup: false }
}

fn endpoint(s: &mut Section<'_>) -> Option<EndpointSpec> {
    let address: Option<Address> = s.need("address", "\"127.0.0.1:9101\"");
    let weight: Weight = s.get("weight", "1");
    let zone: String = s.get("zone", "");
    let backup = s.get("backup", "false");
    if weight.0 == 0 {
        let fault = Fault::new("an endpoint of weight 0 would never be chosen");
        s.fault("weight", fault.help("leave it away, or write backup = true"));
    }
    Some(EndpointSpec { weight: weight.0, zone: zone.into(), backup, ..spec(address?.0) })
}

/// An endpoint's address: of one place, not of a name.
struct Address(SocketAddr);

impl Value for Address {
    fn read(node: &Tree) -> Read<Self> {
        let fault = match SocketAddr::read(node) {
            Ok(address) if address.port() == 0 => vec![Fault::new("nothing can be asked at port 0")],
            Ok(address) => return Ok(Self(address)),
            Err(fault) => fault,
        };
        match node.text().and_then(dns_name) {
            Some((host, port)) => {
                let fault = Fault::new(format!("{host} is a name, and endpoints are addresses"));
                Err(vec![fault.help(format!("instead of endpoints, write discover = {{ dns = \"{host}:{port}\" }}"))])
            }
            None => Err(fault),
        }
    }
}

/// A name and a port.
fn dns_name(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let mut labels = host.strip_suffix('.').unwrap_or(host).split('.');
    let is_name = host.len() <= 253
        && labels.clone().all(|label| (1..=63).contains(&label.len()) && label.bytes().all(fine))
        // The last label of a name is never a number: that is an address with a mistake in it.
        && labels.next_back().is_some_and(|label| !label.bytes().all(|b| b.is_ascii_digit()));
    let port = port.parse().ok().filter(|port| *port != 0);
    port.filter(|_| is_name).map(|port| (host, port))
}

/// `{ dns = "shop.internal:80" }` or `{ file = "shop.toml" }`
fn discover(s: &mut Section<'_>) -> Option<Endpoints> {
    let dns = s.item_or_off("dns").map(|item| dns(&item));
    let file = s.item_or_off("file").map(|item| item.read::<PathBuf>().map(Endpoints::File));
    s.later("registry", "off");
    match (dns, file) {
        (Some(found), None) | (None, Some(found)) => found,
        (Some(_), Some(_)) => {
            s.fault("file", Fault::new("a service is discovered by dns or by file, not by both"));
            None
        }
        (None, None) => {
            if s.given("registry").is_none() {
                let fault = Fault::new("nothing says how to discover the service");
                s.sink.error(s.at().as_ref(), s.path(), fault.help("add dns = \"shop.internal:80\", or file = \"…\""));
            }
            None
        }
    }
}

fn dns(item: &Item<'_>) -> Option<Endpoints> {
    let text: String = item.read()?;
    match dns_name(&text) {
        Some((host, port)) => Some(Endpoints::Dns { host: host.to_owned(), port }),
        None => {
            let fault = Fault::wanted("a name and a port, as in \"shop.internal:80\"", item.node);
            let address = text.parse::<SocketAddr>().is_ok();
            item.fault(if address { fault.help("an address goes into endpoints") } else { fault });
            None
        }
    }
}

impl Value for HashOn {
    fn read(node: &Tree) -> Read<Self> {
        const WORDS: [&str; 5] = ["client_ip", "header:NAME", "path", "query:NAME", "cookie:NAME"];
        let found = match node.text() {
            Some("client_ip") => Ok(Self::ClientIp),
            Some("path") => Ok(Self::Path),
            text => match text.and_then(|text| text.split_once(':')) {
                Some(("header", name)) => header_name(name).map(Self::Header),
                Some(("query", name)) => query_name(name).map(Self::Query),
                Some(("cookie", name)) => cookie_name(name).map(Self::Cookie),
                _ => Err(word_fault(node, WORDS.into_iter(), &[])),
            },
        };
        found.map_err(|fault| vec![fault])
    }
}
