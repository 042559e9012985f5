//! `cargo xtask bench store`: what the consensus store does, beside etcd.
//!
//! Three members each on this machine, with their data in one directory, asked in turn, round after round, by the same
//! clients. What counts is how many answers there were in a second, how long they took, and the CPU time of the three
//! processes for each; the median of the rounds is reported, with ratios. Before it, what the same gRPC does here for a
//! service that answers at once and keeps nothing: no store can do more. After it, how long all members take to answer
//! again with a GiB of data, and the memory that a key of it takes.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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
    /// MiB of data with which the members start again, in values of 1 KiB; 0 leaves it out
    #[arg(long, default_value_t = 1024)]
    start_mib: u64,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// What is asked, by how many clients, and how many watches are open meanwhile.
const QUESTIONS: [(&str, &str, usize, usize); 5] = [
    ("puts, 256 clients", "put", 256, 0),
    ("puts, 256 clients, beside 10,000 watches of other keys", "put", 256, 10_000),
    ("puts, one client", "put", 1, 0),
    ("linearizable reads, 256 clients", "get", 256, 0),
    ("serializable reads, 256 clients", "serializable", 256, 0),
];

/// Bytes of a value of the data with which members start.
const FULL: u64 = 1024;

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
    let Built { binary, load, ceiling } = build()?;
    let etcd = process::find("etcd");
    if etcd.is_none() {
        println!("etcd is not installed: skipped");
    }
    if !args.json {
        limit(args, &ceiling, &load)?;
    }
    let mut rows = Vec::new();
    for (title, ask, clients, watches) in QUESTIONS {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let asked = Asked { ask, clients, watches, seconds: args.seconds };
        for round in 0..args.rounds {
            let dir = directory()?;
            let cluster = Cluster::ours(&binary, dir.path())?;
            ours.push(cluster.ask(&load, asked)?);
            drop(cluster);
            if let Some(etcd) = &etcd {
                let dir = directory()?;
                theirs.push(Cluster::etcd(etcd, dir.path())?.ask(&load, asked)?);
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
    if args.start_mib > 0 {
        let keys = args.start_mib * 1024 * 1024 / FULL;
        println!();
        println!("{} MiB in values of 1 KiB:", args.start_mib);
        let dir = directory()?;
        println!("- ours {}", Cluster::ours(&binary, dir.path())?.restart(&load, keys)?);
        if let Some(etcd) = &etcd {
            let dir = directory()?;
            println!("- etcd {}", Cluster::etcd(etcd, dir.path())?.restart(&load, keys)?);
        }
    }
    Ok(())
}

/// A directory on the disk on which this was built: what is in memory alone flushes nothing.
fn directory() -> Result<tempfile::TempDir, String> {
    tempfile::tempdir_in(root().join("target")).map_err(|error| error.to_string())
}

/// Prints what a service does that answers at once, with one process and the same clients.
fn limit(args: &StoreArgs, ceiling: &Path, load: &Path) -> Result<(), String> {
    for ask in ["put", "get"] {
        let mut runs = Vec::new();
        for _ in 0..args.rounds {
            let dir = directory()?;
            let port = process::free_ports(1)?;
            let mut command = Command::new(ceiling);
            command.args(["empty", &format!("127.0.0.1:{}", port[0])]);
            let mut member = Running::start(&mut command, &dir.path().join("log"))?;
            member.listens(port[0])?;
            let alone = Cluster { members: vec![member], clients: port, commands: Vec::new() };
            runs.push(alone.ask(load, Asked { ask, clients: 256, watches: 0, seconds: args.seconds })?);
        }
        let Run { per_second, per_cpu_second, p99_ms, .. } = median(&runs);
        println!(
            "the ceiling: {ask}, 256 clients, gRPC alone: {per_second:.0} per second, p99 {p99_ms:.1} ms, \
             {per_cpu_second:.0} per CPU second"
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

struct Built {
    binary: PathBuf,
    load: PathBuf,
    ceiling: PathBuf,
}

/// What is asked of a cluster.
#[derive(Debug, Clone, Copy)]
struct Asked {
    ask: &'static str,
    clients: usize,
    watches: usize,
    seconds: u64,
}

fn build() -> Result<Built, String> {
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
        "--example",
        "ceiling",
    ]);
    process::run(cargo.current_dir(root()))?;
    let release = root().join("target/release");
    let [load, ceiling] = ["store_load", "ceiling"].map(|name| release.join("examples").join(name));
    Ok(Built { binary: release.join("mainstay"), load, ceiling })
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
    /// How each is started, and where what it prints goes.
    commands: Vec<(Command, PathBuf)>,
}

impl Cluster {
    fn ours(binary: &Path, dir: &Path) -> Result<Self, String> {
        let ports: Vec<u16> = process::free_ports(9)?;
        let members: Vec<_> = (0..3).map(|at| format!("n{at} = \"127.0.0.1:{}\"", ports[3 + at])).collect();
        let mut commands = Vec::new();
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
            commands.push((command, dir.join(format!("n{at}.log"))));
        }
        let mut cluster = Self { members: Vec::new(), clients: ports[..3].to_vec(), commands };
        cluster.start()?;
        // A leader is found within a second or two.
        std::thread::sleep(Duration::from_secs(3));
        Ok(cluster)
    }

    fn etcd(etcd: &Path, dir: &Path) -> Result<Self, String> {
        let ports: Vec<u16> = process::free_ports(6)?;
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let cluster: Vec<_> = (0..3).map(|at| format!("n{at}={}", url(ports[3 + at]))).collect();
        let mut commands = Vec::new();
        for at in 0..3 {
            let (client, peer) = (url(ports[at]), url(ports[3 + at]));
            let mut command = Command::new(etcd);
            command.args(["--name", &format!("n{at}"), "--initial-cluster", &cluster.join(",")]);
            command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
            command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
            command.arg("--data-dir").arg(dir.join(format!("n{at}")));
            commands.push((command, dir.join(format!("n{at}.log"))));
        }
        let mut cluster = Self { members: Vec::new(), clients: ports[..3].to_vec(), commands };
        cluster.start()?;
        // A leader is found within a second or two.
        std::thread::sleep(Duration::from_secs(3));
        Ok(cluster)
    }

    fn start(&mut self) -> Result<(), String> {
        for (command, log) in &mut self.commands {
            self.members.push(Running::start(command, log)?);
        }
        for (member, port) in self.members.iter_mut().zip(&self.clients) {
            member.listens(*port)?;
        }
        Ok(())
    }

    /// Fills it with keys, kills all members at once and starts them again: how long they take until each has answered a
    /// linearizable read, and the memory that a key took before and takes now.
    fn restart(mut self, load: &Path, keys: u64) -> Result<String, String> {
        let before = self.resident()?;
        process::output(self.load(load).args(["--fill", &keys.to_string(), "--value", &FULL.to_string()]))?;
        let grown = self.resident()?.saturating_sub(before);
        for member in &mut self.members {
            member.kill()?;
        }
        self.members.clear();
        let begun = Instant::now();
        self.start()?;
        for port in &self.clients {
            while !self.reads(load, *port)? {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let took = begun.elapsed().as_secs_f64();
        let each = |kib: u64| kib * 1024 / (keys * self.members.len() as u64);
        let now = self.resident()?.saturating_sub(before);
        Ok(format!(
            "answers {took:.1} s after its start; a key takes {} bytes of a member's memory, {} after it",
            each(grown),
            each(now)
        ))
    }

    /// Whether a member answers a linearizable read.
    fn reads(&self, load: &Path, port: u16) -> Result<bool, String> {
        let mut command = Command::new(load);
        command.args(["--endpoints", &format!("127.0.0.1:{port}"), "--ask", "get", "--clients", "1"]);
        let output = command.args(["--warm-up", "0", "--seconds", "0.02"]).output();
        let output = output.map_err(|error| format!("store_load: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let answer: Option<Value> = text.lines().last().and_then(|line| serde_json::from_str(line).ok());
        Ok(answer.is_some_and(|answer| answer["answered"].as_u64().is_some_and(|answered| answered > 0)))
    }

    /// KiB of memory of all members.
    fn resident(&self) -> Result<u64, String> {
        self.members.iter().map(|member| cpu::resident(member.id())).sum()
    }

    fn load(&self, load: &Path) -> Command {
        let endpoints: Vec<_> = self.clients.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let mut command = Command::new(load);
        command.args(["--endpoints", &endpoints.join(",")]);
        command
    }

    fn ask(&self, load: &Path, asked: Asked) -> Result<Run, String> {
        let Asked { ask, clients, watches, seconds } = asked;
        let mut command = self.load(load);
        command.args(["--ask", ask, "--clients", &clients.to_string(), "--watches", &watches.to_string()]);
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
