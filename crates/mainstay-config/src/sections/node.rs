//! `[node]`, `[admin]`, `[log]`, `[explain]`, `[trace]` and `[limits]`: the node itself.

use std::net::SocketAddr;

use mainstay_core::{Bytes, Duration};

use crate::model::{Admin, Explain, Level, Limits, Log, LogFormat, Node};
use crate::section::Section;
use crate::value::{Count, Fault, Name, Positive, Workers};

pub(super) fn node(s: &mut Section<'_>) -> Node {
    Node {
        name: s.find::<Name>("name", "the host's name").map(|name| name.0),
        region: s.get("region", ""),
        zone: s.get("zone", ""),
        data_dir: s.get("data_dir", "mainstay-data"),
        workers: s.get::<Workers>("workers", "auto").0,
        drain: s.get("drain", "30s"),
        drain_delay: s.get("drain_delay", "0s"),
    }
}

pub(super) fn admin(s: &mut Section<'_>) -> Option<Admin> {
    let address: SocketAddr = s.get("address", "127.0.0.1:9900");
    let probe = s.get("probe", "off");
    let token = s.secret("token");
    s.later("tls", "off");
    // A token that cannot be fetched is a problem already.
    if !address.ip().to_canonical().is_loopback() && token.is_none() && s.given("token").is_none() {
        let fault = Fault::new(format!("the admin API would be open to everybody who reaches {address}"))
            .help("add token = { env = \"NAME\" }, or listen on 127.0.0.1");
        s.fault("address", fault);
    }
    Some(Admin { address, probe, token })
}

pub(super) fn log(s: &mut Section<'_>) -> Option<Log> {
    let level = s.choice("level", "info", &Level::ALL, &[]);
    let format = s.choice("format", "auto", &LogFormat::ALL, &[]);
    let access = s.get("access", "true");
    Some(Log { level: level?, format: format?, access })
}

pub(super) fn explain(s: &mut Section<'_>) -> Explain {
    let keep: Option<Positive<Duration>> = s.get("keep", "10m");
    Explain { keep: keep.map(|keep| keep.0), memory: s.get::<Positive<Bytes>>("memory", "64MiB").0 }
}

pub(super) fn trace(s: &mut Section<'_>) {
    s.later("otlp", "off");
    s.later("sample", "off");
}

pub(super) fn limits(s: &mut Section<'_>) -> Limits {
    Limits {
        connections: s.get::<Count>("connections", "10000").0,
        request_head: s.get::<Positive<Bytes>>("request_head", "16KiB").0,
        headers: s.get::<Count>("headers", "100").0,
        header_timeout: s.get::<Positive<Duration>>("header_timeout", "10s").0,
        keep_alive: s.get::<Positive<Duration>>("keep_alive", "60s").0,
        body: s.get("body", "unlimited"),
        buffers: s.get::<Positive<Bytes>>("buffers", "64MiB").0,
    }
}
