//! Four instances, a node before them and a load, as processes on free ports.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::books::{self, Arrival, Outage};
use crate::process::Running;

/// How long an answer of the admin API or of an instance's switch may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Instances.
const INSTANCES: usize = 4;

/// What is on the stage.
pub(super) struct Stage<'a> {
    binary: &'a Path,
    dir: &'a Path,
    /// Of the listener, of the admin API, of the instances.
    ports: Vec<u16>,
    instances: Vec<Running>,
    node: Option<Running>,
    outages: Vec<Outage>,
}

impl<'a> Stage<'a> {
    /// Starts the instances and the node, and waits until the node is ready.
    pub(super) fn build(binary: &'a Path, dir: &'a Path) -> Result<Self, String> {
        let ports = free_ports(INSTANCES + 2)?;
        let mut stage = Self { binary, dir, ports, instances: Vec::new(), node: None, outages: Vec::new() };
        for number in 0..INSTANCES {
            let instance = stage.launch(number)?;
            stage.instances.push(instance);
        }
        stage.start_node()?;
        Ok(stage)
    }

    fn start_node(&mut self) -> Result<(), String> {
        let file = self.dir.join("mainstay.toml");
        let addresses: Vec<String> = (0..INSTANCES).map(|number| format!("\"{}\"", self.endpoint(number))).collect();
        let text = format!(
            "[admin]\naddress = \"127.0.0.1:{}\"\n[log]\nformat = \"json\"\n\
             [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:{}\"\n[[route]]\nservice = \"shop\"\n\
             [service.shop]\nendpoints = [{}]\n\
             [service.shop.timeout]\nconnect = \"250ms\"\nattempt = \"600ms\"\n\
             [service.shop.health]\nhttp = \"/health\"\ninterval = \"500ms\"\n",
            self.ports[1],
            self.ports[0],
            addresses.join(", ")
        );
        std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut command = self.mainstay();
        command.arg("run").arg(&file).current_dir(self.dir).args(["--with-parent", &std::process::id().to_string()]);
        self.node = Some(Running::start(&mut command, &self.dir.join("node"))?);
        let end = Instant::now() + PATIENCE;
        while !ask(self.ports[1], "GET", "/health/ready", "").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            if Instant::now() > end {
                return Err(format!("the node is not ready:\n{}", self.read("node")?));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn mainstay(&self) -> Command {
        let mut command = Command::new(self.binary);
        // What the one who measures has set is no part of the measurement.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MAINSTAY_")) {
            command.env_remove(name);
        }
        command
    }

    fn launch(&self, number: usize) -> Result<Running, String> {
        let mut command = self.mainstay();
        command.args(["instance", "--service-time", "10ms", "--concurrency", "8", "--listen", &self.endpoint(number)]);
        command.args(["--with-parent", &std::process::id().to_string(), "--log"]).arg(self.log_of(number));
        let mut instance = Running::start(&mut command, &self.dir.join(format!("instance-{number}.out")))?;
        instance.listens(self.ports[number + 2])?;
        Ok(instance)
    }

    fn endpoint(&self, number: usize) -> String {
        format!("127.0.0.1:{}", self.ports[number + 2])
    }

    fn log_of(&self, number: usize) -> PathBuf {
        self.dir.join(format!("instance-{number}.log"))
    }

    fn read(&self, file: &str) -> Result<String, String> {
        std::fs::read_to_string(self.dir.join(file)).map_err(|error| format!("{file}: {error}"))
    }

    /// Starts 20 s of load.
    pub(super) fn load(&self, rate: u32, seed: u64) -> Result<Load, String> {
        let mut command = self.mainstay();
        let target = format!("http://127.0.0.1:{}/work", self.ports[0]);
        command.args(["load", "--json", "--duration", "20s", "--post", "5%", "--deadline", "2s", "--target", &target]);
        command.args(["--rate", &format!("{rate}/s"), "--seed", &seed.to_string(), "--id", "load"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        child.map(Load).map_err(|error| format!("the load: {error}"))
    }

    fn begin_outage(&mut self, number: usize) {
        let endpoint = self.endpoint(number);
        self.outages.push(Outage { endpoint, from: books::civil_now(), to: f64::INFINITY });
    }

    fn end_outage(&mut self) {
        if let Some(outage) = self.outages.last_mut() {
            outage.to = books::civil_now();
        }
    }

    /// Ends an instance as a power cut would.
    pub(super) fn kill(&mut self, number: usize) -> Result<(), String> {
        self.begin_outage(number);
        self.instances[number].kill()
    }

    /// Starts it again where it was.
    pub(super) fn restart(&mut self, number: usize) -> Result<(), String> {
        self.instances[number] = self.launch(number)?;
        self.end_outage();
        Ok(())
    }

    /// Lets an instance stand still: its sockets stay open and nothing in it runs.
    pub(super) fn stop(&mut self, number: usize) -> Result<(), String> {
        self.begin_outage(number);
        self.instances[number].signal(Signal::STOP)
    }

    /// Lets it go on.
    pub(super) fn go_on(&mut self, number: usize) -> Result<(), String> {
        self.instances[number].signal(Signal::CONT)?;
        self.end_outage();
        Ok(())
    }

    /// Tells an instance which fault it has.
    pub(super) fn tell(&self, number: usize, fault: &str) -> Result<(), String> {
        let answer = ask(self.ports[number + 2], "PUT", "/_fault", fault)?;
        if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(format!("the instance said: {answer}")) }
    }

    /// When which instance was down.
    pub(super) fn outages(&self) -> &[Outage] {
        &self.outages
    }

    /// The node's figures.
    pub(super) fn metrics(&self) -> Result<String, String> {
        ask(self.ports[1], "GET", "/metrics", "")
    }

    /// The load's requests in the node's access log.
    pub(super) fn access_lines(&self) -> Result<Vec<Value>, String> {
        Ok(books::access_lines(&self.read("node")?, "load-"))
    }

    /// What the instances appended on reading.
    pub(super) fn arrivals(&self) -> Result<Vec<Arrival>, String> {
        let mut all = Vec::new();
        for number in 0..INSTANCES {
            let text = self.read(&format!("instance-{number}.log"))?;
            all.extend(books::arrivals(&self.endpoint(number), &text));
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
    }
}

/// A load that is under way.
pub(super) struct Load(Child);

impl Load {
    /// Waits for its end and its report.
    pub(super) fn end(mut self) -> Result<Value, String> {
        let mut text = String::new();
        if let Some(mut output) = self.0.stdout.take() {
            output.read_to_string(&mut text).map_err(|error| format!("the load: {error}"))?;
        }
        serde_json::from_str(&text).map_err(|error| format!("the load said {text:?}: {error}"))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
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

/// Ports that nobody listens on; they are all held until the last is found.
fn free_ports(count: usize) -> Result<Vec<u16>, String> {
    let held: Result<Vec<TcpListener>, _> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    let addresses = held.and_then(|held| held.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>());
    let ports = addresses.map(|all| all.iter().map(std::net::SocketAddr::port).collect());
    ports.map_err(|error| format!("free ports: {error}"))
}
