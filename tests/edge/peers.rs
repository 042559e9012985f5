//! nginx and HAProxy as instances between the gateway and the strict origin: whatever we forward, they read as one
//! request, and as the same one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::answers::Answer;
use super::origin::{Origin, Seen};
use super::requests::{PLAIN, PROBED, Then, cases, send, told, wanted};
use super::table::Case;
use crate::support::{Node, Process, alone, eventually, find, free_address, http, skip};

/// A running peer before an origin, with the file in which it writes a line for each request that it read.
#[derive(Debug)]
pub(super) struct Peer {
    _process: Process,
    pub(super) address: SocketAddr,
    log: PathBuf,
    _dir: TempDir,
}

impl Peer {
    /// Requests that it has read so far.
    pub(super) fn read(&self) -> usize {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().filter(|line| line.starts_with("read ")).count()
    }

    fn started(mut command: Command, address: SocketAddr, log: &str, dir: TempDir) -> Self {
        let process = Process::start(&mut command, &dir.path().join("output"));
        eventually("a peer that listens", || http::ask(address, "GET", "/ready", "").ok());
        Self { _process: process, address, log: dir.path().join(log), _dir: dir }
    }
}

/// nginx before `origin`.
pub(super) fn nginx(origin: SocketAddr) -> Option<Peer> {
    let program = find("nginx")?;
    let (address, dir) = (free_address(), TempDir::new().unwrap());
    let at = |name: &str| dir.path().join(name).display().to_string();
    let (pid, log, bodies, proxied) = (at("pid"), at("log"), at("bodies"), at("proxied"));
    let text = format!(
        "daemon off; master_process off; pid {pid}; error_log stderr;\nevents {{}}\n\
         http {{ log_format read 'read $request'; access_log {log} read; client_body_temp_path {bodies};\n\
         proxy_temp_path {proxied}; large_client_header_buffers 4 32k; upstream up {{ server {origin}; keepalive 8; }}\n\
         server {{ listen {address}; location / {{ proxy_pass http://up; proxy_http_version 1.1;\n\
         proxy_set_header Host $http_host; proxy_set_header Connection ''; }} }} }}\n"
    );
    let file = dir.path().join("nginx.conf");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(program);
    command.arg("-p").arg(dir.path()).arg("-c").arg(file);
    Some(Peer::started(command, address, "log", dir))
}

/// HAProxy before `origin`.
pub(super) fn haproxy(origin: SocketAddr) -> Option<Peer> {
    let program = find("haproxy")?;
    let (address, dir) = (free_address(), TempDir::new().unwrap());
    let text = format!(
        "global\n  log stdout format raw local0\n\
         defaults\n  mode http\n  log global\n  log-format \"read %HM %HU %ST\"\n\
         \x20 timeout connect 5s\n  timeout client 20s\n  timeout server 20s\n\
         frontend web\n  bind {address}\n  default_backend up\n\
         backend up\n  server a {origin}\n"
    );
    let file = dir.path().join("haproxy.cfg");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(program);
    command.arg("-db").arg("-f").arg(file);
    Some(Peer::started(command, address, "output", dir))
}

/// What two readers must agree on: a peer may frame a body anew, and add and drop fields and trailers.
pub(super) fn meaning(line: &str) -> String {
    let line = line.split(" (").next().unwrap_or_default();
    let mut words: Vec<&str> = line.splitn(4, ' ').collect();
    if let Some(framing) = words.get_mut(3) {
        *framing = framing.find('\'').map_or("", |at| &framing[at..]);
    }
    words.join(" ")
}

/// Plays a case; tells how many requests the peer was sent, and how many of them it refused itself.
fn play(node: &Node, origin: &Origin, case: &Case) -> Result<(usize, usize), String> {
    let (mut want, then) = wanted(case);
    if then == Then::GoesOn {
        want.push(PROBED.to_owned());
    }
    let is_ours = |line: &String| line.starts_with(|first: char| first.is_ascii_digit());
    let answers = send(node, case);
    let (seen, offences) = origin.take();
    if !offences.is_empty() || answers.len() != want.len() {
        return Err(format!("{} answers of {}; {offences:?}", answers.len(), want.len()));
    }
    let mut refused = 0;
    let mut relayed = Vec::new();
    for (answer, want) in answers.iter().zip(&want) {
        match answer.field("x-read") {
            Some(read) if is_ours(want) || meaning(read) != meaning(want) => {
                return Err(format!("it read {read}\n  instead of {want}"));
            }
            Some(read) => relayed.push(read.to_owned()),
            None if is_ours(want) && told(answer) == *want => {}
            None if !is_ours(want) && is_refusal(answer) => refused += 1,
            None => return Err(format!("answered {}\n  instead of {want}", told(answer))),
        }
    }
    let reached: Vec<String> = seen.iter().map(Seen::told).collect();
    if reached != relayed {
        return Err(format!("the origin read {reached:?}\n  and the caller heard of {relayed:?}"));
    }
    Ok((want.iter().filter(|line| !is_ours(line)).count(), refused))
}

/// The peer itself says no, where its syntax is narrower than ours.
fn is_refusal(answer: &Answer) -> bool {
    answer.reason().is_none() && (400..=505).contains(&answer.status)
}

fn play_all(name: &str, origin: &Origin, peer: &Peer) {
    let node = Node::start(&[peer.address], PLAIN);
    origin.take();
    let before = peer.read();
    let (mut sent, mut refused, mut wrong) = (0, 0, Vec::new());
    let cases = cases();
    for case in &cases {
        match play(&node, origin, case) {
            Ok((these, no)) => (sent, refused) = (sent + these, refused + no),
            Err(why) => wrong.push(format!("{}:\n  {why}", case.name)),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    // A line may be written a moment after the answer.
    eventually("a line for each request", || (peer.read() - before >= sent).then_some(()));
    assert_eq!(peer.read() - before, sent, "{name} read as many requests as we sent it");
    eprintln!("{name}: {} cases, {sent} requests sent on, all read as they were meant; {refused} refused", cases.len());
}

#[test]
fn nginx_reads_every_request_of_the_table_as_we_do() {
    let _stage = alone();
    let origin = Origin::start();
    let Some(peer) = nginx(origin.address) else { return skip("nginx as a second reader", "nginx") };
    play_all("nginx", &origin, &peer);
}

#[test]
fn haproxy_reads_every_request_of_the_table_as_we_do() {
    let _stage = alone();
    let origin = Origin::start();
    let Some(peer) = haproxy(origin.address) else { return skip("HAProxy as a second reader", "haproxy") };
    play_all("HAProxy", &origin, &peer);
}
