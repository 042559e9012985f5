//! Four instances, a proxy before them and a load, as processes on free ports.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::books::{self, Arrival, Outage};
use super::peers::{self, Peer, Setting};
use super::samples::Sample;
use super::scenario::{Act, INSTANCES};
use crate::process::{self, Running};

/// How long an answer of the admin API or of an instance's switch may take, and a proxy until it answers.
const PATIENCE: Duration = Duration::from_secs(10);
/// What every id of a load begins with.
pub(super) const IDS: &str = "storm-";

/// What is on the stage.
pub(super) struct Stage<'a> {
    binary: &'a Path,
    dir: &'a Path,
    /// Of the proxy, of its admin API, of the instances.
    ports: Vec<u16>,
    instances: Vec<Running>,
    proxy: Option<Running>,
    outages: Vec<Outage>,
}

impl<'a> Stage<'a> {
    /// Starts the instances.
    pub(super) fn build(binary: &'a Path, dir: &'a Path) -> Result<Self, String> {
        let ports = process::free_ports(INSTANCES + 2)?;
        let mut stage = Self { binary, dir, ports, instances: Vec::new(), proxy: None, outages: Vec::new() };
        for number in 0..INSTANCES {
            let instance = stage.launch(number)?;
            stage.instances.push(instance);
        }
        Ok(stage)
    }

    /// Starts `peer` in front of them and waits until it answers callers.
    pub(super) fn set(&mut self, peer: Peer, program: &Path, least: bool, expect_body: bool) -> Result<(), String> {
        let setting = Setting {
            dir: self.dir,
            web: self.ports[0],
            admin: self.ports[1],
            instances: &self.ports[2..],
            least,
            expect_body,
        };
        let mut command = peer.command(program, &setting)?;
        let mut running = Running::start(&mut command, &self.dir.join(peers::OUTPUT))?;
        let listens = running.listens(self.ports[0]);
        self.proxy = Some(running);
        listens.map_err(|why| format!("{why}\n{}", self.said()))?;
        let end = Instant::now() + PATIENCE;
        while !ask(self.ports[0], "GET", "/work", "").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            if Instant::now() > end {
                return Err(format!("it does not answer:\n{}", self.said()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn said(&self) -> String {
        self.read(peers::OUTPUT).unwrap_or_default()
    }

    fn mainstay(&self) -> Command {
        let mut command = Command::new(self.binary);
        process::without_settings(&mut command);
        command
    }

    fn launch(&self, number: usize) -> Result<Running, String> {
        let mut command = self.mainstay();
        command.args(["instance", "--service-time", "10ms", "--concurrency", "8", "--queue", "400"]);
        command.args(["--listen", &self.endpoint(number)]);
        command.args(["--with-parent", &std::process::id().to_string(), "--log"]).arg(self.log_of(number));
        let mut instance = Running::start(&mut command, &self.dir.join(format!("instance-{number}.out")))?;
        instance.listens(self.ports[number + 2])?;
        Ok(instance)
    }

    /// Where an instance listens.
    pub(super) fn endpoint(&self, number: usize) -> String {
        format!("127.0.0.1:{}", self.ports[number + 2])
    }

    fn log_of(&self, number: usize) -> PathBuf {
        self.dir.join(format!("instance-{number}.log"))
    }

    /// What lies in a file.
    pub(super) fn read(&self, file: &str) -> Result<String, String> {
        std::fs::read(self.dir.join(file))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(|error| format!("{file}: {error}"))
    }

    /// Starts a load on the proxy, or on the instances in turn where there is none.
    pub(super) fn load(&self, shape: &Shape) -> Result<Load, String> {
        let mut command = self.mainstay();
        let Shape { name, rate, lasts, seed } = shape;
        let samples = self.dir.join(format!("{name}.samples"));
        command.args(["load", "--json", "--post", "5%", "--deadline", "2s", "--connections", "6000"]);
        command.args(["--expect", "\"path\":\"/work\"", "--rate", &format!("{rate}/s"), "--seed", &seed.to_string()]);
        command.args(["--duration", &format!("{}ms", lasts.as_millis()), "--id", &format!("{IDS}{name}")]);
        command.arg("--samples").arg(&samples);
        let targets = if self.proxy.is_some() { &self.ports[..1] } else { &self.ports[2..] };
        for port in targets {
            command.args(["--target", &format!("http://127.0.0.1:{port}/work")]);
        }
        let report = self.dir.join(format!("{name}.report"));
        let process = Running::start(&mut command, &report)?;
        Ok(Load { process, report, samples })
    }

    /// Does to an instance what the scenario says.
    pub(super) fn act(&mut self, act: Act) -> Result<(), String> {
        match act {
            Act::Kill(number) => {
                self.begin_outage(number);
                self.instances[number].kill()
            }
            Act::End(number) => {
                self.begin_outage(number);
                self.instances[number].end()
            }
            Act::Restart(number) => {
                self.instances[number] = self.launch(number)?;
                self.end_outage(number);
                Ok(())
            }
            Act::Hang(number) => {
                self.begin_outage(number);
                self.instances[number].signal(Signal::STOP)
            }
            Act::GoOn(number) => {
                self.instances[number].signal(Signal::CONT)?;
                self.end_outage(number);
                Ok(())
            }
            Act::Tell(number, fault) => self.tell(number, fault),
            Act::Surge => Ok(()),
        }
    }

    fn begin_outage(&mut self, number: usize) {
        let endpoint = self.endpoint(number);
        self.outages.push(Outage { endpoint, from: books::civil_now(), to: f64::INFINITY });
    }

    fn end_outage(&mut self, number: usize) {
        let endpoint = self.endpoint(number);
        if let Some(outage) = self.outages.iter_mut().rev().find(|outage| outage.endpoint == endpoint) {
            outage.to = books::civil_now();
        }
    }

    fn tell(&self, number: usize, fault: &str) -> Result<(), String> {
        let answer = ask(self.ports[number + 2], "PUT", "/_fault", fault)?;
        if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(format!("the instance said: {answer}")) }
    }

    /// When which instance was down.
    pub(super) fn outages(&self) -> &[Outage] {
        &self.outages
    }

    /// The proxy's process.
    pub(super) fn proxy(&self) -> Option<u32> {
        self.proxy.as_ref().map(Running::id)
    }

    /// The instances' processes.
    pub(super) fn instances(&self) -> Vec<u32> {
        self.instances.iter().map(Running::id).collect()
    }

    /// The figures of Mainstay.
    pub(super) fn metrics(&self) -> Result<String, String> {
        ask(self.ports[1], "GET", "/metrics", "")
    }

    /// What Mainstay remembers of a request.
    pub(super) fn explained(&self, id: &str) -> Option<String> {
        let mut command = self.mainstay();
        command.args(["explain", id, "--admin", &format!("127.0.0.1:{}", self.ports[1])]);
        let output = command.stdin(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What the instances appended on reading a request of a load.
    pub(super) fn arrivals(&self) -> Result<Vec<Arrival>, String> {
        let mut all = Vec::new();
        for number in 0..INSTANCES {
            let text = self.read(&format!("instance-{number}.log"))?;
            let of_loads = |arrival: &Arrival| arrival.id.starts_with(IDS);
            all.extend(books::arrivals(&self.endpoint(number), &text).filter(of_loads));
        }
        Ok(all)
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        // One that stands still would not hear that it is to end.
        for instance in &self.instances {
            let _ = instance.signal(Signal::CONT);
        }
        // What they still work on is of no interest any more.
        for instance in &mut self.instances {
            let _ = instance.kill();
        }
    }
}

/// How a load looks.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) rate: u32,
    pub(super) lasts: Duration,
    pub(super) seed: u64,
}

/// A load that is under way.
pub(super) struct Load {
    process: Running,
    report: PathBuf,
    samples: PathBuf,
}

impl Load {
    /// Its process.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it is still sending or waiting.
    pub(super) fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// What came of each request, when it has ended.
    pub(super) fn samples(&self) -> Result<Vec<Sample>, String> {
        let text =
            std::fs::read_to_string(&self.report).map_err(|error| format!("{}: {error}", self.report.display()))?;
        let report: Value = serde_json::from_str(&text).map_err(|error| format!("the load said {text:?}: {error}"))?;
        let began = report["began_unix_ms"].as_f64().ok_or("the load did not say when it began")?;
        let lines =
            std::fs::read_to_string(&self.samples).map_err(|error| format!("{}: {error}", self.samples.display()))?;
        lines.lines().map(|line| Sample::read(line, began)).collect()
    }
}

/// What processes took while they were looked at: memory of the proxy, CPU time of each part.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Seconds since the load began, and KiB.
    pub(super) resident: Vec<(f64, u64)>,
    /// CPU time of a process when it was first and last seen, in nanoseconds.
    seen: BTreeMap<(Part, u32), (u64, u64)>,
    began: Option<Instant>,
}

/// Who takes CPU time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Proxy,
    Load,
    Instances,
}

impl Watch {
    /// Looks once.
    pub(super) fn look(&mut self, stage: &Stage<'_>, loads: &[Load]) {
        let began = *self.began.get_or_insert_with(Instant::now);
        if let Some(proxy) = stage.proxy() {
            let kib = crate::cpu::resident(proxy).unwrap_or(0);
            self.resident.push((began.elapsed().as_secs_f64(), kib));
            self.see(Part::Proxy, proxy, crate::cpu::of_process_and_children);
        }
        for instance in stage.instances() {
            self.see(Part::Instances, instance, crate::cpu::of_process);
        }
        for load in loads {
            self.see(Part::Load, load.id(), crate::cpu::of_process);
        }
    }

    fn see(&mut self, part: Part, pid: u32, of: impl Fn(u32) -> Result<u64, String>) {
        // One that was killed a moment ago is not there any more.
        let Ok(now) = of(pid) else { return };
        let (_, last) = self.seen.entry((part, pid)).or_insert((now, now));
        *last = now.max(*last);
    }

    /// How many cores a part kept busy.
    pub(super) fn cores(&self, part: Part) -> f64 {
        let took = self.began.map_or(0.0, |began| began.elapsed().as_secs_f64());
        let of_part = self.seen.iter().filter(|((of, _), _)| *of == part);
        let nanos: u64 = of_part.map(|(_, (first, last))| last - first).sum();
        nanos as f64 / 1e9 / took.max(0.001)
    }
}

/// Asks on a connection of its own and gives all that comes back.
fn ask(port: u16, method: &str, path: &str, body: &str) -> Result<String, String> {
    let exchange = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n{body}"
        )?;
        let mut text = Vec::new();
        stream.read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    exchange().map_err(|error: std::io::Error| format!("{method} {path}: {error}"))
}
