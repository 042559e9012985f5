//! The configuration as the rest of Mainstay sees it: every reference resolved, every pattern compiled, every number in
//! its range. What is of one of these types needs no further check.
//!
//! Names stand in the file; here are positions ([`ServiceId`] and its like), so that a route that leads nowhere cannot
//! be written down. `line` is where something begins in the file, for those who explain a decision.

mod matching;
mod naming;
mod rewrite;
mod secret;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use mainstay_core::{Bytes, Duration, Limit, Ratio};
use mainstay_policy::{EndpointSpec, Priority, RateLimitSettings, RetrySettings, ServiceSettings};

pub use matching::{BodyMatch, Cidr, HostMatch, PathMatch, Pattern, ValueMatch};
pub use rewrite::{HeaderOps, HostHeader, Part, Redirect, Template, Variable};
pub use secret::Secret;

/// A whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// This node.
    pub node: Node,
    /// The admin API and the probe address.
    pub admin: Admin,
    /// Logs.
    pub log: Log,
    /// What is remembered of single requests.
    pub explain: Explain,
    /// What callers may use at most.
    pub limits: Limits,
    /// In the file's order; a [`ListenerId`] is a position here.
    pub listeners: Vec<Listener>,
    /// In the file's order: the first that matches counts.
    pub routes: Vec<Route>,
    /// In the file's order; a [`ServiceId`] is a position here.
    pub services: Vec<Service>,
    /// In the file's order; a [`RateLimitId`] is a position here.
    pub rate_limits: Vec<RateLimit>,
    /// This node's replica of the consensus store. Default none.
    pub store: Option<Store>,
}

/// The position of a listener in [`Config::listeners`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub usize);

/// The position of a service in [`Config::services`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub usize);

/// The position of a rate limit in [`Config::rate_limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RateLimitId(pub usize);

/// `[node]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it calls itself; `None` for the host's name, which the node asks for when it starts.
    pub name: Option<String>,
    /// Where it stands, at large. Default not told.
    pub region: String,
    /// Where it stands in its region: endpoints of this zone come first. Default not told.
    pub zone: String,
    /// Where what must survive is kept. Default `mainstay-data`, beside where the process was started.
    pub data_dir: PathBuf,
    /// How many threads carry calls; `None` for one per core.
    pub workers: Option<NonZeroUsize>,
    /// The longest that a stopping node waits for what runs. Default 30 s.
    pub drain: Duration,
    /// How long a stopping node still accepts after its readiness fails. Default none.
    pub drain_delay: Duration,
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Where clients speak the etcd API. Default `127.0.0.1:2379`.
    pub client: SocketAddr,
    /// Where other members reach it. Default `127.0.0.1:2380`.
    pub peer: SocketAddr,
    /// The members of a new cluster, name and peer address; nobody for a cluster of one. Default nobody.
    pub members: Vec<(String, String)>,
    /// Peer addresses of a running cluster that this node joins. Default none.
    pub join: Vec<String>,
    /// The longest that a dead leader goes unnoticed. Default 1 s.
    pub election: Duration,
    /// How much the data may take. Default 2 GiB.
    pub quota: Bytes,
    /// How long old revisions are remembered; `None` for as long as nobody compacts. Default 1 h.
    pub keep: Option<Duration>,
}

/// `[admin]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Admin API, dashboard and all that the probe has. Default `127.0.0.1:9900`; anything but loopback has a token.
    pub address: SocketAddr,
    /// Metrics and health only, to read. Default none.
    pub probe: Option<SocketAddr>,
    /// What a caller of the admin API shows. Default none.
    pub token: Option<Secret>,
}

/// `[log]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// What is said. Default info.
    pub level: Level,
    /// How it is written. Default auto.
    pub format: LogFormat,
    /// A line per call. Default true.
    pub access: bool,
}

/// How serious a log line must be to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something failed that should not.
    Error,
    /// Something will need a look.
    Warn,
    /// What an operator wants to know.
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    /// All of them with their words.
    pub const ALL: [(&'static str, Self); 5] = [
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl LogFormat {
    /// All of them with their words.
    pub const ALL: [(&'static str, Self); 3] = [("auto", Self::Auto), ("text", Self::Text), ("json", Self::Json)];
}

/// `[explain]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explain {
    /// How long a request's decisions are remembered; `None` when they are not. Default 10 min.
    pub keep: Option<Duration>,
    /// The most memory for that. Default 64 MiB.
    pub memory: Bytes,
}

/// `[limits]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections from callers, 1 or more. Default 10,000.
    pub connections: u32,
    /// Bytes of a request's head. Default 16 KiB.
    pub request_head: Bytes,
    /// Fields of a request's head, 1 or more. Default 100.
    pub headers: u32,
    /// Longest wait for a request's head once it began. Default 10 s.
    pub header_timeout: Duration,
    /// A caller's idle connection is closed after this. Default 60 s.
    pub keep_alive: Duration,
    /// Bytes of a request's body. Default unlimited.
    pub body: Limit<Bytes>,
    /// All request bodies together that are kept for another attempt. Default 64 MiB.
    pub buffers: Bytes,
}

/// `[[listener]]`: HTTP, which is the only protocol of this version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its name, unique.
    pub name: String,
    /// Where it listens, unique unless the port is 0, which lets the system choose.
    pub address: SocketAddr,
    /// From whom forwarded addresses, deadlines and tiers are believed. Default nobody.
    pub trusted_proxies: Vec<Cidr>,
    /// Where it begins in the file.
    pub line: Option<u32>,
}

/// `[[route]]`: which calls it takes, where it leads, and what it changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// On which listeners, at least one. Default all.
    pub listeners: Vec<ListenerId>,
    /// For which hosts. Default any.
    pub host: HostMatch,
    /// For which paths, after normalising. Default any: the prefix `/`.
    pub path: PathMatch,
    /// For which methods; empty for all.
    pub methods: Vec<String>,
    /// Fields that must all match, by name in lower case.
    pub headers: Vec<(String, ValueMatch)>,
    /// Query parameters that must all match.
    pub query: Vec<(String, ValueMatch)>,
    /// Cookies that must all match.
    pub cookies: Vec<(String, ValueMatch)>,
    /// Where it leads.
    pub target: Target,
    /// Of the call, up to the response's head. Default 15 s.
    pub timeout: Duration,
    /// After the head: the longest silence. Default 5 min.
    pub stream_idle: Duration,
    /// What is shed first. Default normal.
    pub priority: Priority,
    /// All must admit a call.
    pub rate_limits: Vec<RateLimitId>,
    /// Which `Host` goes upstream. Default the caller's.
    pub host_header: HostHeader,
    /// Removed from the front of the path, on a segment's border; what is left begins with a slash.
    pub strip_prefix: Option<String>,
    /// The path that goes upstream instead; the query stays. Never together with `strip_prefix`.
    pub rewrite: Option<Template>,
    /// What changes on the way up.
    pub request_headers: HeaderOps,
    /// What changes on the way down.
    pub response_headers: HeaderOps,
    /// Whose retries count.
    pub retry: RouteRetry,
    /// Where a copy of a share of the calls goes. Default nowhere.
    pub mirror: Option<Mirror>,
    /// Where it begins in the file.
    pub line: Option<u32>,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// To one service.
    Service(ServiceId),
    /// To several by weight: no weight is negative and their sum is 1 or more.
    Split(Vec<(ServiceId, u32)>),
    /// To another URI, by an answer of our own.
    Redirect(Redirect),
}

/// A copy of a share of a route's calls, whose answers are thrown away.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mirror {
    /// The service that gets it.
    pub service: ServiceId,
    /// Of the calls.
    pub share: Ratio,
}

/// Whose retry settings a route uses.
#[derive(Debug, Clone, PartialEq)]
pub enum RouteRetry {
    /// The service's.
    Service,
    /// Its own, as a whole; `None` when it switches retries off.
    Own(Option<RetrySettings>),
}

/// `[service.NAME]`
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Its name, unique.
    pub name: String,
    /// Who answers for it.
    pub endpoints: Endpoints,
    /// What sends calls to the same endpoint, where the balancing looks at it. Default the client's address.
    pub hash_on: HashOn,
    /// What the decisions depend on.
    pub policy: ServiceSettings,
    /// Whether endpoints of the node's zone come first, once a node stands in one. Default true.
    pub zone_aware: bool,
    /// What the body of a check's answer must have. Default nothing in particular.
    pub expect_body: Option<BodyMatch>,
    /// What answers when it does not.
    pub fallback: Fallback,
    /// Where it begins in the file.
    pub line: Option<u32>,
}

/// Where a service's endpoints come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoints {
    /// They stand in the file: at least one, each address once.
    Fixed(Vec<EndpointSpec>),
    /// All addresses of a name, asked again when they grow old.
    Dns {
        /// The name.
        host: String,
        /// The port of each.
        port: u16,
    },
    /// They stand in a file of their own, which is watched and read by [`crate::parse_endpoints`].
    File(PathBuf),
}

/// Which part of a request decides where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashOn {
    /// The caller's address.
    ClientIp,
    /// A field, by name in lower case.
    Header(String),
    /// The path.
    Path,
    /// A query parameter.
    Query(String),
    /// A cookie.
    Cookie(String),
}

/// What answers when a service does not, tried in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    /// An answer that was kept, up to this time past its freshness.
    pub stale_if_error: Option<Duration>,
    /// Memory for the answers that are kept. Default 64 MiB.
    pub stale_memory: Bytes,
    /// Another service, on what is left of the deadline. No chain of these comes back to where it began.
    pub service: Option<ServiceId>,
    /// A fixed answer.
    pub respond: Option<FixedAnswer>,
}

/// An answer that stands in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedAnswer {
    /// 200 to 599. Default 200.
    pub status: u16,
    /// Default empty.
    pub body: String,
    /// Default `text/plain; charset=utf-8`.
    pub content_type: String,
}

/// `[rate_limit.NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// Its name, unique.
    pub name: String,
    /// What calls are counted by: at least one part, [`KeyPart::Global`] only alone.
    pub key: Vec<KeyPart>,
    /// Which callers have a rate of their own. Default none.
    pub tiers: Option<Tiers>,
    /// How many.
    pub policy: RateLimitSettings,
    /// Where it begins in the file.
    pub line: Option<u32>,
}

/// Which callers have a rate of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiers {
    /// The field in which a trusted proxy names the caller's tier, in lower case.
    pub header: String,
    /// Their names, in the order of the policy's; at least one.
    pub names: Vec<String>,
}

/// A part of what calls are counted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPart {
    /// The caller's address.
    ClientIp,
    /// A field, by name in lower case.
    Header(String),
    /// The path.
    Path,
    /// A query parameter.
    Query(String),
    /// A cookie.
    Cookie(String),
    /// Nothing: all calls together.
    Global,
}

impl Config {
    /// The listener at `id`; `None` for an id of another configuration.
    #[must_use]
    pub fn listener(&self, id: ListenerId) -> Option<&Listener> {
        self.listeners.get(id.0)
    }

    /// The service at `id`; `None` for an id of another configuration.
    #[must_use]
    pub fn service(&self, id: ServiceId) -> Option<&Service> {
        self.services.get(id.0)
    }

    /// The rate limit at `id`; `None` for an id of another configuration.
    #[must_use]
    pub fn rate_limit(&self, id: RateLimitId) -> Option<&RateLimit> {
        self.rate_limits.get(id.0)
    }
}
