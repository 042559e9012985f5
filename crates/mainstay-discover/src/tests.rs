use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::*;

fn endpoint(address: &str) -> EndpointSpec {
    EndpointSpec { address: address.parse().unwrap(), weight: 1, zone: "".into(), backup: false }
}

fn failure() -> LookUpError {
    LookUpError::Dns("no connections available".to_owned())
}

#[test]
fn a_set_is_told_when_it_changes_and_in_one_order() {
    let mut keeper = Keeper::new("shop");
    let (a, b) = (endpoint("10.0.0.1:80"), endpoint("10.0.0.2:80"));
    assert_eq!(keeper.take(Ok(vec![b.clone(), a.clone(), b.clone()])), Some(vec![a.clone(), b.clone()]));
    assert_eq!(keeper.take(Ok(vec![a.clone(), b.clone()])), None, "another order is the same set");
    let heavy = EndpointSpec { weight: 2, ..b };
    assert_eq!(keeper.take(Ok(vec![a.clone(), heavy.clone()])), Some(vec![a, heavy]));
}

#[test]
fn a_look_up_that_finds_nobody_or_fails_keeps_the_last_good_set() {
    let mut keeper = Keeper::new("shop");
    let a = endpoint("10.0.0.1:80");
    assert_eq!(keeper.take(Err(failure())), None);
    assert_eq!(keeper.failing, Some(failure()));
    assert_eq!(keeper.take(Ok(vec![a.clone()])), Some(vec![a.clone()]));
    assert_eq!(keeper.failing, None);
    assert_eq!(keeper.take(Ok(Vec::new())), None);
    assert_eq!(keeper.failing, Some(LookUpError::Empty));
    assert_eq!(keeper.take(Err(failure())), None);
    assert_eq!(keeper.take(Ok(vec![a])), None, "it was kept, so nothing has changed");
    assert_eq!(keeper.failing, None);
}

/// A name server that knows `shop.test`, answering with these addresses and this time to live. With an rcode it answers
/// only that.
async fn name_server(addresses: Vec<IpAddr>, ttl: u32, rcode: u8) -> TokioResolver {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut connection = ConnectionConfig::udp();
    connection.port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            let answer = answer(&query[..length], &addresses, ttl, rcode);
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    let server = NameServerConfig::new(Ipv4Addr::LOCALHOST.into(), true, vec![connection]);
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.options_mut().cache_size = 0;
    builder.build().unwrap()
}

/// RFC 1035, section 4: header, the question as it came, and a record for each address of the type that was asked for.
fn answer(query: &[u8], addresses: &[IpAddr], ttl: u32, rcode: u8) -> Vec<u8> {
    let name_end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let question = &query[12..name_end + 4];
    let asked = u16::from_be_bytes([query[name_end], query[name_end + 1]]);
    let records: Vec<Vec<u8>> = addresses
        .iter()
        .filter_map(|address| match (asked, address) {
            (1, IpAddr::V4(address)) => Some(address.octets().to_vec()),
            (28, IpAddr::V6(address)) => Some(address.octets().to_vec()),
            _ => None,
        })
        .collect();
    let mut out = query[..2].to_vec();
    out.extend([0x81, 0x80 | rcode, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    out.extend(question);
    for record in records {
        out.extend([0xc0, 12]);
        out.extend(asked.to_be_bytes());
        out.extend([0, 1]);
        out.extend(ttl.to_be_bytes());
        out.extend([0, record.len() as u8]);
        out.extend(record);
    }
    out
}

#[tokio::test]
async fn a_name_stands_for_all_its_addresses() {
    let v4 = [Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 1)];
    let v6 = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
    let resolver = name_server(vec![v4[0].into(), v6.into(), v4[1].into()], 30, 0).await;
    let (endpoints, ttl) = dns::look_up(&resolver, "shop.test.", 8080).await.unwrap();
    let want = ["10.0.0.1:8080", "10.0.0.2:8080", "[fd00::1]:8080"].map(endpoint);
    assert_eq!(in_order(endpoints), want);
    assert_eq!(ttl, Duration::from_secs(30));
}

#[tokio::test]
async fn the_time_to_live_is_held_within_bounds() {
    for (ttl, want) in [(0, 1), (86_400, 300)] {
        let resolver = name_server(vec![Ipv4Addr::LOCALHOST.into()], ttl, 0).await;
        let (_, got) = dns::look_up(&resolver, "shop.test.", 80).await.unwrap();
        assert_eq!(got, Duration::from_secs(want), "{ttl}");
    }
}

#[tokio::test]
async fn a_name_without_addresses_and_an_unknown_one_are_failures() {
    const NXDOMAIN: u8 = 3;
    for rcode in [0, NXDOMAIN] {
        let resolver = name_server(Vec::new(), 30, rcode).await;
        let found = dns::look_up(&resolver, "shop.test.", 80).await;
        assert!(matches!(found, Err(LookUpError::Dns(_))), "{found:?}");
    }
}

/// A discovery, and what it tells.
fn start(endpoints: &Endpoints) -> (Discovery, mpsc::UnboundedReceiver<Vec<EndpointSpec>>) {
    let (sender, told) = mpsc::unbounded_channel();
    let changed = move |set| {
        // The other end is there for as long as the test wants to know.
        let _ = sender.send(set);
        std::future::ready(())
    };
    (Discovery::start("shop", endpoints, changed), told)
}

async fn next(told: &mut mpsc::UnboundedReceiver<Vec<EndpointSpec>>) -> Vec<EndpointSpec> {
    tokio::time::timeout(Duration::from_secs(30), told.recv()).await.expect("a change is told").unwrap()
}

#[tokio::test]
async fn a_fixed_set_is_told_once() {
    let fixed = Endpoints::Fixed(vec![endpoint("10.0.0.2:80"), endpoint("10.0.0.1:80")]);
    let (_discovery, mut told) = start(&fixed);
    assert_eq!(next(&mut told).await, ["10.0.0.1:80", "10.0.0.2:80"].map(endpoint));
    assert!(told.recv().await.is_none());
}

/// A file of its own for each test, gone at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("mainstay-discover-{name}-{}.toml", std::process::id())))
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.0, text).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It may have been removed already, which is what is wanted.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_broken_file_is_not_believed() {
    let scratch = Scratch::new("broken");
    let mut watched = file::Watched::new(scratch.0.clone(), Keeper::new("shop"));
    assert_eq!(watched.look().await, None);
    assert!(matches!(watched.keeper.failing, Some(LookUpError::Read { .. })), "there is no file yet");
    scratch.write("endpoints = [\"10.0.0.1:80\"]");
    assert_eq!(watched.look().await, Some(vec![endpoint("10.0.0.1:80")]));
    for broken in ["endpoints = [", "endpoints = [\"shop\"]", "", "endpoints = [\"10.0.0.9:80\", 5]"] {
        scratch.write(broken);
        assert_eq!(watched.look().await, None, "{broken}");
        assert!(matches!(watched.keeper.failing, Some(LookUpError::Parse { .. })), "{broken}");
    }
    scratch.write("endpoints = []");
    assert_eq!(watched.look().await, None);
    assert!(watched.keeper.failing.is_some(), "nobody is not believed either");
    scratch.write(&"#".repeat(2 << 20));
    assert_eq!(watched.look().await, None);
    assert!(matches!(watched.keeper.failing, Some(LookUpError::Read { .. })), "it is too long");
    scratch.write("endpoints = [{ address = \"10.0.0.3:80\", weight = 2, backup = true }, \"10.0.0.2:80\"]");
    let third = EndpointSpec { weight: 2, backup: true, ..endpoint("10.0.0.3:80") };
    assert_eq!(watched.look().await, Some(vec![endpoint("10.0.0.2:80"), third]));
    assert_eq!(watched.look().await, None);
}

#[tokio::test]
async fn a_watched_file_is_looked_at_until_nobody_wants_to_know() {
    let scratch = Scratch::new("watched");
    scratch.write("endpoints = [\"10.0.0.1:80\"]");
    let (discovery, mut told) = start(&Endpoints::File(scratch.0.clone()));
    assert_eq!(next(&mut told).await, [endpoint("10.0.0.1:80")]);
    scratch.write("endpoints = [\"10.0.0.2:80\"]");
    assert_eq!(next(&mut told).await, [endpoint("10.0.0.2:80")]);
    drop(discovery);
    assert!(told.recv().await.is_none());
}
