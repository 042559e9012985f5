//! The way to an instance as something that the kernel itself makes ill: the instance runs in a network namespace of its
//! own, and what goes over the one link to it is dropped where it arrives.
//!
//! So a partition is one. Nobody is told of it, connections stand, TCP sends again after its own times, and each
//! direction can be cut alone, all of which a proxy only plays. The filters are classic BPF at the ingress of the link's
//! two ends, set by `tc`: they end with the link, and no table of the machine's packet filter is touched. What the drill
//! itself asks of the instance goes to a second address that no filter meets.
//!
//! It takes root and `ip` and `tc` of iproute2. Everything made carries the driller's number and when it began, so that
//! what a killed driller and a killed watchdog left is found and cleared by the next drill ([`sweep`]). The addresses are
//! of the block that RFC 2544 sets aside for measuring, a part of its own for each drill.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mainstay_core::Ratio;
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

use crate::process::Identity;
use crate::proxy::Ill;
use crate::undo::run;

/// What the name of a namespace begins with.
const NAMESPACE: &str = "mainstay-drill-";
/// Where `ip` keeps namespaces.
const NAMESPACES: &str = "/run/netns";
/// What the end of a link outside of its namespace begins with; the kernel takes 15 characters.
const DEVICE: &str = "msd";
/// The end inside.
const INSIDE: &str = "way";
/// 198.18.0.0/15, in parts of 512 addresses.
const BLOCK: u32 = u32::from_be_bytes([198, 18, 0, 0]);
const PARTS: u32 = 256;
const PART: u32 = 512;
/// How long a tool may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// One namespace and the link to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Whose it is.
    driller: Identity,
    /// Which of the driller's.
    number: u32,
    /// The first address of the drill's part: the driller's own.
    near: Ipv4Addr,
}

/// What the kernel drops of what arrives: where the address stands in its IPv4 header, and whose it must be.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Filter {
    at: Field,
    address: Ipv4Addr,
    share: Ratio,
}

/// An address of an IPv4 header, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    /// Of what arrives outside, from the instance.
    Source = 12,
    /// Of what arrives inside, for the instance.
    Destination = 16,
}

const ENDS: [Field; 2] = [Field::Destination, Field::Source];

impl Filter {
    /// As `tc` takes it: how many instructions, then each with its code, its two jumps and its number.
    fn program(self) -> String {
        /// A load from here on is one from the header of the network.
        const NETWORK: u32 = (-0x10_0000_i32).cast_unsigned();
        /// A load from here is a random word.
        const RANDOM: u32 = (-0x1000_i32 + 56).cast_unsigned();
        const DROP: &str = "6 0 0 2";
        const GO_ON: &str = "6 0 0 4294967295";
        let load = format!("32 0 0 {}", NETWORK + self.at as u32);
        let address = u32::from(self.address);
        if self.share == Ratio::ONE {
            return format!("4,{load},21 0 1 {address},{DROP},{GO_ON}");
        }
        let under = (self.share.get() * 2_f64.powi(32)) as u32;
        format!("6,{load},21 0 3 {address},32 0 0 {RANDOM},53 1 0 {under},{DROP},{GO_ON}")
    }
}

impl Link {
    /// The `number`-th of this drill, whose part of the addresses begins with `near`.
    pub(crate) fn new(driller: Identity, number: u32, near: Ipv4Addr) -> Self {
        Self { driller, number, near }
    }

    fn namespace(&self) -> String {
        format!("{NAMESPACE}{}-{}-{}", self.driller.pid, self.driller.started, self.number)
    }

    fn device(&self) -> String {
        format!("{DEVICE}{}-{}", self.driller.pid, self.number)
    }

    fn address(&self, place: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.near) + 1 + 2 * self.number + place)
    }

    /// Where the gateway finds the instance: what goes there can be dropped.
    pub(crate) fn front(&self, port: u16) -> SocketAddr {
        (self.address(0), port).into()
    }

    /// Where the drill finds it, whatever is dropped.
    pub(crate) fn aside(&self, port: u16) -> SocketAddr {
        (self.address(1), port).into()
    }

    /// `program` in the namespace.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace()]).arg(program);
        command
    }

    /// Makes it. What a step before a failed one made is for [`Link::remove`].
    ///
    /// # Errors
    /// Why it is not there, in words.
    pub(crate) async fn make(&self) -> Result<(), String> {
        let (namespace, device, near) = (self.namespace(), self.device(), self.near);
        let (front, aside) = (self.address(0), self.address(1));
        let inside = format!("ip -n {namespace}");
        let steps = [
            format!("ip netns add {namespace}"),
            format!("ip link add {device} type veth peer name {INSIDE} netns {namespace}"),
            format!("ip address add {near} peer {front}/32 dev {device}"),
            format!("ip link set {device} up"),
            format!("ip route add {aside} dev {device}"),
            format!("{inside} link set lo up"),
            format!("{inside} address add {front} peer {near}/32 dev {INSIDE}"),
            format!("{inside} address add {aside}/32 dev {INSIDE}"),
            format!("{inside} link set {INSIDE} up"),
            format!("tc qdisc add dev {device} clsact"),
            format!("tc -n {namespace} qdisc add dev {INSIDE} clsact"),
        ];
        for step in &steps {
            told(step).await?;
        }
        Ok(())
    }

    /// Takes it away, or what there is of it.
    ///
    /// # Errors
    /// Why it is still there, in words.
    pub(crate) async fn remove(&self) -> Result<(), String> {
        // The link first: the kernel takes its time with a namespace, and a link with a namespace.
        if has_device(&self.device()) {
            told(&format!("ip link delete {}", self.device())).await?;
        }
        if self.file().exists() {
            told(&format!("ip netns delete {}", self.namespace())).await?;
        }
        if self.is_there() { Err(format!("{} is still there", self.namespace())) } else { Ok(()) }
    }

    fn file(&self) -> PathBuf {
        Path::new(NAMESPACES).join(self.namespace())
    }

    /// Whether anything of it is there.
    pub(crate) fn is_there(&self) -> bool {
        self.file().exists() || has_device(&self.device())
    }

    /// Lets the way be ill. What was wrong with it before is over.
    ///
    /// # Errors
    /// The kernel does not take the filter, or there is none for this.
    pub(crate) async fn set(&self, ill: Ill) -> Result<(), String> {
        let (there, back, share) = match ill {
            Ill::Cut { there, back, .. } => (there, back, Ratio::ONE),
            Ill::Lossy(share) => (true, true, share),
            other => return Err(format!("a link can be cut and lose something, and nothing else: {other}")),
        };
        self.clear().await?;
        let address = self.address(0);
        for (_, at) in [(there, Field::Destination), (back, Field::Source)].into_iter().filter(|(is, _)| *is) {
            let mut words = self.at_end(at, "filter add dev DEVICE ingress prio 1 bpf da bytecode");
            words.push(Filter { at, address, share }.program());
            ran(&words).await?;
        }
        Ok(())
    }

    /// Lets the way be well again; one that is not there any more is.
    ///
    /// # Errors
    /// The kernel keeps a filter.
    pub(crate) async fn clear(&self) -> Result<(), String> {
        for at in ENDS {
            let cleared = ran(&self.at_end(at, "filter delete dev DEVICE ingress")).await;
            if self.is_there() {
                cleared?;
            }
        }
        Ok(())
    }

    /// Whether no filter is left.
    pub(crate) async fn is_well(&self) -> bool {
        for at in ENDS {
            match ran(&self.at_end(at, "filter show dev DEVICE ingress")).await {
                Ok(shown) if shown.trim().is_empty() => {}
                _ => return false,
            }
        }
        true
    }

    /// A command of `tc` at the end of the link at which packets arrive that have our address there.
    fn at_end(&self, field: Field, words: &str) -> Vec<String> {
        let (of, device) = match field {
            Field::Destination => (format!("tc -n {}", self.namespace()), INSIDE.to_owned()),
            Field::Source => ("tc".to_owned(), self.device()),
        };
        of.split(' ')
            .chain(words.split(' '))
            .map(|word| if word == "DEVICE" { &device } else { word }.to_owned())
            .collect()
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.namespace())
    }
}

/// The first address of a part of the block in which this machine has none.
///
/// # Errors
/// Why there is none, in words.
pub(crate) async fn free_part(driller: Identity) -> Result<Ipv4Addr, String> {
    if !geteuid().is_root() {
        return Err("it takes root".to_owned());
    }
    let taken = told("ip -4 -o address show").await?;
    let taken = taken.split_whitespace().filter_map(|word| word.split('/').next()?.parse::<Ipv4Addr>().ok());
    let taken: Vec<u32> = taken.map(u32::from).collect();
    // Two drills that look at the same moment look at different parts first.
    let parts = (0..PARTS).map(|more| BLOCK + (driller.pid + more) % PARTS * PART);
    let free = |first: &u32| !taken.iter().any(|address| (*first..*first + PART).contains(address));
    parts.into_iter().find(free).map(Ipv4Addr::from).ok_or_else(|| "all of 198.18.0.0/15 is taken".to_owned())
}

/// Clears what drills left whose driller and watchdog have both been killed; what was cleared.
pub(crate) async fn sweep() -> Vec<String> {
    let mut cleared = Vec::new();
    for entry in std::fs::read_dir(NAMESPACES).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(link) = left(&name).filter(|link| !link.driller.is_there()) else { continue };
        // What cannot be cleared stays for who can.
        if link.remove().await.is_ok() {
            cleared.push(name);
        }
    }
    cleared
}

/// The link that a namespace's name tells.
fn left(name: &str) -> Option<Link> {
    let mut parts = name.strip_prefix(NAMESPACE)?.split('-');
    let driller = Identity { pid: parts.next()?.parse().ok()?, started: parts.next()?.parse().ok()? };
    let number = parts.next()?.parse().ok()?;
    Some(Link::new(driller, number, Ipv4Addr::UNSPECIFIED))
}

/// Whether there is a device of this name.
fn has_device(name: &str) -> bool {
    let text = std::fs::read_to_string("/proc/net/dev").unwrap_or_default();
    text.lines().any(|line| line.trim_start().strip_prefix(name).is_some_and(|rest| rest.starts_with(':')))
}

async fn told(line: &str) -> Result<String, String> {
    ran(&line.split(' ').map(str::to_owned).collect::<Vec<_>>()).await
}

/// What a tool printed that ended well.
async fn ran(words: &[String]) -> Result<String, String> {
    match run(words, PATIENCE).await? {
        (0, out, _) => Ok(out),
        (_, _, err) => Err(format!("`{}`: {}", words.join(" "), err.trim())),
    }
}

#[cfg(test)]
mod tests;
