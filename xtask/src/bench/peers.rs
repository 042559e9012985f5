//! Who is measured, and with which configuration: connections to the instance kept, no access log unless that is what
//! is measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::allocations::Counter;
use crate::bench::setting::Setting;
use crate::process::{self, Running};

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The instance itself, without a proxy: nginx with a fixed answer of 128 bytes.
    Direct,
    /// Ours.
    Mainstay,
    /// nginx as a proxy.
    Nginx,
    /// HAProxy.
    Haproxy,
    /// Envoy.
    Envoy,
}

impl Peer {
    /// Those that can be measured on this machine.
    pub(crate) fn installed() -> Vec<Self> {
        let mut peers = vec![Self::Direct, Self::Mainstay, Self::Nginx];
        for peer in [Self::Haproxy, Self::Envoy] {
            if process::find(peer.name()).is_some() {
                peers.push(peer);
            } else {
                eprintln!("{}: skipped: not installed", peer.name());
            }
        }
        peers
    }

    /// The proxies among them.
    pub(crate) fn proxies() -> Vec<Self> {
        Self::installed().into_iter().filter(|&peer| peer != Self::Direct).collect()
    }

    /// Its name in the table, which is that of its program.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Mainstay => "mainstay",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
        }
    }
}

/// Everything that one measurement shares: a directory, the binary, ports.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    dir: &'a Path,
    binary: &'a Path,
    /// By peer, and the admin API's.
    ports: Vec<u16>,
}

/// How a program is started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conditions<'a> {
    /// The cores that it may use, as taskset writes them.
    pub(crate) cores: &'a str,
    /// Who counts its allocations.
    pub(crate) counter: Option<&'a Counter>,
    /// What ours is configured to.
    pub(crate) setting: &'a Setting,
}

impl<'a> Bench<'a> {
    /// Takes free ports; configurations and logs go to `dir`.
    pub(crate) fn new(dir: &'a Path, binary: &'a Path) -> Result<Self, String> {
        Ok(Self { dir, binary, ports: process::free_ports(6)? })
    }

    /// Where configurations and logs are.
    pub(crate) fn dir(&self) -> &Path {
        self.dir
    }

    /// Ours.
    pub(crate) fn binary(&self) -> &Path {
        self.binary
    }

    /// Where `peer` listens.
    pub(crate) fn port(&self, peer: Peer) -> u16 {
        self.ports[peer as usize]
    }

    /// Starts `peer` and waits until it listens.
    pub(crate) fn start(&self, peer: Peer, conditions: Conditions<'_>) -> Result<Running, String> {
        let config = self.configuration(peer, conditions.setting)?;
        let mut command = Command::new("taskset");
        command.args(["-c", conditions.cores]);
        match peer {
            Peer::Mainstay => command.arg(self.binary).arg("run").arg(&config),
            Peer::Haproxy => command.args(["haproxy", "-db", "-f"]).arg(&config),
            Peer::Envoy => command.args(["envoy", "--concurrency", "1", "--log-level", "warn", "-c"]).arg(&config),
            Peer::Direct | Peer::Nginx => command.arg("nginx").arg("-p").arg(self.dir).arg("-c").arg(&config),
        };
        if let Some(counter) = conditions.counter {
            counter.watch(&mut command);
        }
        // System programs of root are found even when the caller's path leaves them out.
        command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
        let log = self.dir.join(format!("{}.log", peer.name()));
        let mut running = Running::start(&mut command, &log)?;
        running
            .listens(self.port(peer))
            .map_err(|why| format!("{}: {why}\n{}", peer.name(), std::fs::read_to_string(&log).unwrap_or_default()))?;
        Ok(running)
    }

    fn configuration(&self, peer: Peer, setting: &Setting) -> Result<PathBuf, String> {
        let (listen, instance) = (self.port(peer), self.port(Peer::Direct));
        let (text, ending) = match peer {
            Peer::Direct => (nginx(&self.nginx_pid(peer), "", &direct(listen)), "conf"),
            Peer::Nginx => (nginx(&self.nginx_pid(peer), &upstream(instance), &proxied(listen)), "conf"),
            Peer::Haproxy => (haproxy(listen, instance), "conf"),
            Peer::Envoy => (envoy(listen, instance), "json"),
            Peer::Mainstay => (setting.configuration(listen, instance, self.ports[5]), "toml"),
        };
        let file = self.dir.join(format!("{}.{ending}", peer.name()));
        std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(file)
    }

    fn nginx_pid(&self, peer: Peer) -> String {
        self.dir.join(format!("{}.pid", peer.name())).display().to_string()
    }
}

fn nginx(pid: &str, upstream: &str, server: &str) -> String {
    format!(
        "daemon off;\nworker_processes 1;\nworker_rlimit_nofile 65536;\npid {pid};\nerror_log stderr warn;\n\
         events {{ worker_connections 40000; }}\n\
         http {{\n  access_log off;\n  keepalive_requests 1000000000;\n  keepalive_timeout 3600s;\n\
         {upstream}  {server}\n}}\n"
    )
}

/// It listens on every address of the loopback range, so that it can be many endpoints.
fn direct(port: u16) -> String {
    let body = "x".repeat(128);
    format!("server {{ listen {port}; location / {{ return 200 \"{body}\"; }} }}")
}

fn upstream(instance: u16) -> String {
    format!(
        "  upstream instance {{ server 127.0.0.1:{instance}; keepalive 128; keepalive_requests 1000000000; \
         keepalive_timeout 3600s; }}\n"
    )
}

fn proxied(port: u16) -> String {
    format!(
        "server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://instance; proxy_http_version 1.1; \
         proxy_set_header Connection \"\"; }} }}"
    )
}

fn haproxy(listen: u16, instance: u16) -> String {
    format!(
        "global\n  nbthread 1\n  maxconn 4096\n\
         defaults\n  mode http\n  timeout connect 1s\n  timeout client 60s\n  timeout server 60s\n\
         \x20 http-reuse always\n\
         frontend web\n  bind 127.0.0.1:{listen}\n  default_backend shop\n\
         backend shop\n  server a 127.0.0.1:{instance} pool-max-conn 128\n"
    )
}

fn envoy(listen: u16, instance: u16) -> String {
    let address = |port| serde_json::json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } });
    let manager = serde_json::json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "web",
        "codec_type": "HTTP1",
        "route_config": { "virtual_hosts": [
            { "name": "all", "domains": ["*"], "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "shop" } }] }
        ]},
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
        }],
    });
    let filter =
        serde_json::json!({ "name": "envoy.filters.network.http_connection_manager", "typed_config": manager });
    let config = serde_json::json!({ "static_resources": {
        "listeners": [{ "name": "web", "address": address(listen), "filter_chains": [{ "filters": [filter] }] }],
        "clusters": [{
            "name": "shop",
            "type": "STATIC",
            "connect_timeout": "1s",
            "load_assignment": { "cluster_name": "shop", "endpoints": [
                { "lb_endpoints": [{ "endpoint": { "address": address(instance) } }] }
            ]},
        }],
    }});
    format!("{config:#}\n")
}
