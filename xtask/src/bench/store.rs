//! `cargo xtask bench store`: what the consensus store does, beside etcd.
//!
//! Three members each on this machine, with their data in one directory, asked in turn, round after round, by the same
//! clients. What counts is how many answers there were in a second, how long they took, and the CPU time of the three
//! processes for each; the median of the rounds is reported, with ratios.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use serde_json::{Value, json};

use crate::process::{self, Running};
use crate::{cpu, root};

/// How much, and for how long.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// Rounds; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of one run against one cluster
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// What is asked, and by how many clients.
const QUESTIONS: [(&str, &str, usize); 4] = [
    ("puts, 256 clients", "put", 256),
    ("puts, one client", "put", 1),
    ("linearizable reads, 256 clients", "get", 256),
    ("serializable reads, 256 clients", "serializable", 256),
];

/// What one run came to.
#[derive(Debug, Clone, Copy)]
struct Run {
    per_second: f64,
    p99_ms: f64,
    /// Answers for each second of CPU time of the servers.
    per_cpu_second: f64,
    failed: u64,
}

/// `cargo xtask bench store`
pub(crate) fn store(args: &StoreArgs) -> Result<(), String> {
    let (binary, load) = build()?;
    let etcd = process::find("etcd");
    if etcd.is_none() {
        println!("etcd is not installed: skipped");
    }
    let mut rows = Vec::new();
    for (title, ask, clients) in QUESTIONS {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..args.rounds {
            let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
            let cluster = Cluster::ours(&binary, dir.path())?;
            ours.push(cluster.ask(&load, ask, clients, args.seconds)?);
            drop(cluster);
            if let Some(etcd) = &etcd {
                let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
                theirs.push(Cluster::etcd(etcd, dir.path())?.ask(&load, ask, clients, args.seconds)?);
            }
            eprintln!("{title}: round {} of {}", round + 1, args.rounds);
        }
        rows.push((title, median(&ours), (!theirs.is_empty()).then(|| median(&theirs))));
    }
    if args.json {
        println!("{:#}", json!(rows.iter().map(as_json).collect::<Vec<_>>()));
        return Ok(());
    }
    println!("| | ours /s | etcd /s | ratio | ours p99 | etcd p99 | ours per CPU s | etcd per CPU s | ratio |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (title, ours, theirs) in rows {
        let failed = ours.failed + theirs.map_or(0, |theirs| theirs.failed);
        let note = if failed > 0 { format!(" ({failed} failed)") } else { String::new() };
        let cell = |of: fn(&Run) -> f64| theirs.as_ref().map_or("-".to_owned(), |theirs| format!("{:.0}", of(theirs)));
        let ratio = |of: fn(&Run) -> f64| {
            theirs.as_ref().map_or("-".to_owned(), |theirs| format!("{:.2}", of(&ours) / of(theirs)))
        };
        println!(
            "| {title}{note} | {:.0} | {} | {} | {:.1} ms | {} | {:.0} | {} | {} |",
            ours.per_second,
            cell(|run| run.per_second),
            ratio(|run| run.per_second),
            ours.p99_ms,
            theirs.map_or("-".to_owned(), |theirs| format!("{:.1} ms", theirs.p99_ms)),
            ours.per_cpu_second,
            cell(|run| run.per_cpu_second),
            ratio(|run| run.per_cpu_second),
        );
    }
    Ok(())
}

fn as_json((title, ours, theirs): &(&str, Run, Option<Run>)) -> Value {
    let run = |run: &Run| {
        json!({
            "per_second": run.per_second,
            "p99_ms": run.p99_ms,
            "per_cpu_second": run.per_cpu_second,
            "failed": run.failed,
        })
    };
    json!({ "what": title, "ours": run(ours), "etcd": theirs.as_ref().map(run) })
}

fn build() -> Result<(PathBuf, PathBuf), String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--release",
        "-p",
        "mainstay-cli",
        "-p",
        "mainstay-store",
        "--bins",
        "--example",
        "store_load",
    ]);
    process::run(cargo.current_dir(root()))?;
    let release = root().join("target/release");
    Ok((release.join("mainstay"), release.join("examples/store_load")))
}

/// The middle one by answers in a second.
fn median(runs: &[Run]) -> Run {
    let mut runs = runs.to_vec();
    runs.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    runs[runs.len() / 2]
}

/// Three members that run.
struct Cluster {
    members: Vec<Running>,
    clients: Vec<u16>,
}

impl Cluster {
    fn ours(binary: &Path, dir: &Path) -> Result<Self, String> {
        let ports: Vec<u16> = process::free_ports(9)?;
        let members: Vec<_> = (0..3).map(|at| format!("n{at} = \"127.0.0.1:{}\"", ports[3 + at])).collect();
        let mut running = Vec::new();
        for at in 0..3 {
            let file = dir.join(format!("n{at}.toml"));
            let text = format!(
                "[node]\nname = \"n{at}\"\ndata_dir = \"{}\"\n[admin]\naddress = \"127.0.0.1:{}\"\n[store]\nclient = \
                 \"127.0.0.1:{}\"\npeer = \"127.0.0.1:{}\"\nmembers = {{ {} }}\n",
                dir.join(format!("n{at}")).display(),
                ports[6 + at],
                ports[at],
                ports[3 + at],
                members.join(", ")
            );
            std::fs::write(&file, text).map_err(|error| error.to_string())?;
            let mut command = Command::new(binary);
            command.arg("run").arg(&file);
            process::without_settings(&mut command);
            running.push(Running::start(&mut command, &dir.join(format!("n{at}.log")))?);
        }
        Self { members: running, clients: ports[..3].to_vec() }.ready()
    }

    fn etcd(etcd: &Path, dir: &Path) -> Result<Self, String> {
        let ports: Vec<u16> = process::free_ports(6)?;
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let cluster: Vec<_> = (0..3).map(|at| format!("n{at}={}", url(ports[3 + at]))).collect();
        let mut running = Vec::new();
        for at in 0..3 {
            let (client, peer) = (url(ports[at]), url(ports[3 + at]));
            let mut command = Command::new(etcd);
            command.args(["--name", &format!("n{at}"), "--initial-cluster", &cluster.join(",")]);
            command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
            command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
            command.arg("--data-dir").arg(dir.join(format!("n{at}")));
            running.push(Running::start(&mut command, &dir.join(format!("n{at}.log")))?);
        }
        Self { members: running, clients: ports[..3].to_vec() }.ready()
    }

    fn ready(mut self) -> Result<Self, String> {
        for (member, port) in self.members.iter_mut().zip(&self.clients) {
            member.listens(*port)?;
        }
        // A leader is found within a second or two.
        std::thread::sleep(std::time::Duration::from_secs(3));
        Ok(self)
    }

    fn ask(&self, load: &Path, ask: &str, clients: usize, seconds: u64) -> Result<Run, String> {
        let endpoints: Vec<_> = self.clients.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let mut command = Command::new(load);
        command.args(["--endpoints", &endpoints.join(","), "--ask", ask, "--clients", &clients.to_string()]);
        command.args(["--seconds", &seconds.to_string()]).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("store_load: {error}"))?;
        let out = child.stdout.take().ok_or("store_load says nothing")?;
        let (mut before, mut spent, mut answer) = (0, 0, Value::Null);
        for line in BufReader::new(out).lines() {
            match line.map_err(|error| error.to_string())?.as_str() {
                "counting" => before = self.spent()?,
                "counted" => spent = self.spent()? - before,
                text => answer = serde_json::from_str(text).map_err(|error| format!("{text}: {error}"))?,
            }
        }
        child.wait().map_err(|error| error.to_string())?;
        let number = |key: &str| answer[key].as_f64().unwrap_or(f64::NAN);
        Ok(Run {
            per_second: number("per_second"),
            p99_ms: number("p99_ms"),
            per_cpu_second: number("answered") / (spent as f64 / 1e9),
            failed: answer["failed"].as_u64().unwrap_or(0),
        })
    }

    /// Nanoseconds that all members have run so far.
    fn spent(&self) -> Result<u64, String> {
        self.members.iter().map(|member| cpu::of_process(member.id())).sum()
    }
}
