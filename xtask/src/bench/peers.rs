//! Who is measured, and with which configuration: one worker each, connections to the instance kept, no access log.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::allocations::Counter;
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
}

impl Peer {
    /// Those that can be measured on this machine.
    pub(crate) fn installed() -> Vec<Self> {
        let mut peers = vec![Self::Direct, Self::Mainstay, Self::Nginx];
        if process::find("haproxy").is_some() {
            peers.push(Self::Haproxy);
        } else {
            eprintln!("haproxy: skipped: not installed");
        }
        peers
    }

    /// Its name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Mainstay => "mainstay",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }
}

/// Everything that one measurement shares: a directory, a core, ports.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    dir: &'a Path,
    core: usize,
    binary: &'a Path,
    ports: [u16; 5],
}

impl<'a> Bench<'a> {
    /// Takes free ports; configurations and logs go to `dir`.
    pub(crate) fn new(dir: &'a Path, core: usize, binary: &'a Path) -> Result<Self, String> {
        Ok(Self { dir, core, binary, ports: free_ports()? })
    }

    /// Where configurations and logs are.
    pub(crate) fn dir(&self) -> &Path {
        self.dir
    }

    /// Where `peer` listens.
    pub(crate) fn port(&self, peer: Peer) -> u16 {
        self.ports[peer as usize]
    }

    /// Starts `peer` on the shared core, with its allocations counted if a counter is given.
    pub(crate) fn start(&self, peer: Peer, counter: Option<&Counter>) -> Result<Running, String> {
        let config = self.configuration(peer)?;
        let mut command = Command::new("taskset");
        command.args(["-c", &self.core.to_string()]);
        match peer {
            Peer::Mainstay => command.arg(self.binary).arg("run").arg(&config),
            Peer::Haproxy => command.args(["haproxy", "-db", "-f"]).arg(&config),
            Peer::Direct | Peer::Nginx => command.arg("nginx").arg("-p").arg(self.dir).arg("-c").arg(&config),
        };
        if let Some(counter) = counter {
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

    fn configuration(&self, peer: Peer) -> Result<PathBuf, String> {
        let (listen, instance) = (self.port(peer), self.port(Peer::Direct));
        let text = match peer {
            Peer::Direct => nginx(&self.nginx_pid(peer), "", &direct(listen)),
            Peer::Nginx => nginx(&self.nginx_pid(peer), &upstream(instance), &proxied(listen)),
            Peer::Haproxy => haproxy(listen, instance),
            Peer::Mainstay => mainstay(listen, instance, self.ports[4]),
        };
        let file = self.dir.join(format!("{}.conf", peer.name()));
        std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(file)
    }

    fn nginx_pid(&self, peer: Peer) -> String {
        self.dir.join(format!("{}.pid", peer.name())).display().to_string()
    }
}

/// Ports that nobody listens on; they are all held until the last is found.
fn free_ports() -> Result<[u16; 5], String> {
    let held = [(); 5].map(|()| TcpListener::bind("127.0.0.1:0"));
    let mut ports = [0; 5];
    for (port, listener) in ports.iter_mut().zip(held) {
        let address = listener.and_then(|listener| listener.local_addr());
        *port = address.map_err(|error| format!("a free port: {error}"))?.port();
    }
    Ok(ports)
}

fn nginx(pid: &str, upstream: &str, server: &str) -> String {
    format!(
        "daemon off;\nworker_processes 1;\npid {pid};\nerror_log stderr warn;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n  access_log off;\n  keepalive_requests 1000000000;\n  keepalive_timeout 3600s;\n\
         {upstream}  {server}\n}}\n"
    )
}

fn direct(port: u16) -> String {
    let body = "x".repeat(128);
    format!("server {{ listen 127.0.0.1:{port}; location / {{ return 200 \"{body}\"; }} }}")
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

fn mainstay(listen: u16, instance: u16, admin: u16) -> String {
    format!(
        "[node]\nworkers = 1\n[admin]\naddress = \"127.0.0.1:{admin}\"\n[log]\naccess = false\n\
         [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:{listen}\"\n[[route]]\nservice = \"shop\"\n\
         [service.shop]\nendpoints = [\"127.0.0.1:{instance}\"]\n"
    )
}
