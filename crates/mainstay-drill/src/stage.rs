//! What is played on: instances behind the services of a configuration, a gateway that runs it, a directory.
//!
//! Everything listens on free ports of this machine, whatever the configuration says, so that a drill meets nothing that
//! runs already. All else of the configuration is as it stands. Every process is bound to the driller's life by the
//! kernel, and its end is held by the watchdog besides.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mainstay_config::scenario::{Distribution, Instances, Scenario};
use mainstay_config::{Config, Endpoints};
use mainstay_core::{Limit, Seed};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::ask::Ask;
use crate::keeper::{Keeper, Lease};
use crate::link::{self, Link};
use crate::plan::{Member, Wanted};
use crate::play::Order;
use crate::process::Identity;
use crate::proxy::Proxy;
use crate::trouble::{Outcome, Trouble, while_doing};
use crate::undo::Undo;

/// What the directory of a drill is called: this and something of luck.
const DIRECTORY: &str = "mainstay-drill-";
/// How long a process may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Instances of a service that discovers its endpoints.
const DISCOVERED: u32 = 4;

/// How instances are started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// The command `mainstay`.
    pub mainstay: PathBuf,
    /// The user's own instance, with `{port}`, `{address}` and `{name}` in its arguments; else `mainstay instance`.
    pub instance: Option<Vec<String>>,
    /// Nothing is started: the gateway and the instances run where the configuration says.
    pub running: bool,
    /// What starts an instance again that ran before and was ended, with the same in its arguments.
    pub restart: Option<Vec<String>>,
}

/// One instance.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) member: Member,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where the gateway finds it.
    pub(crate) front: SocketAddr,
    pub(crate) way: Way,
    /// What starts it, or starts it again.
    launch: Vec<String>,
    /// It ran before us.
    was_there: bool,
    process: Option<Running>,
}

/// What stands between the gateway and an instance, so that the way can be ill.
#[derive(Debug)]
pub(crate) enum Way {
    /// Nothing: it is not meant to be.
    Plain,
    Proxy(Proxy),
    Link(Link),
}

/// A process: one of ours, that it is to be ended, or one that ran before.
#[derive(Debug)]
struct Running {
    identity: Identity,
    ours: Option<(Child, Lease)>,
}

/// Everything that is played on.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) instances: Vec<Instance>,
    /// Where each listener listens here, in the configuration's order.
    pub(crate) listeners: Vec<SocketAddr>,
    pub(crate) admin: SocketAddr,
    pub(crate) token: Option<String>,
    /// What is not as somebody would expect, a sentence each.
    pub(crate) notes: Vec<String>,
    program: PathBuf,
    node: Option<Running>,
    dir: TempDir,
    dir_lease: Lease,
}

/// The members that a scenario has with a configuration.
pub(crate) fn members(config: &Config, scenario: &Scenario, programs: &Programs) -> Vec<Member> {
    let mut members = Vec::new();
    let has_switch = programs.instance.is_none();
    for service in &config.services {
        let of = instances_of(scenario, &service.name);
        let fixed = match &service.endpoints {
            Endpoints::Fixed(fixed) => fixed.as_slice(),
            Endpoints::Dns { .. } | Endpoints::File(_) => &[],
        };
        let endpoints = if fixed.is_empty() { DISCOVERED } else { u32::try_from(fixed.len()).unwrap_or(u32::MAX) };
        let zones = of.map_or(&[][..], |of| &of.zones);
        for index in 0..of.and_then(|of| of.count).unwrap_or(endpoints) {
            let at = index as usize;
            let zone = match zones.get(at % zones.len().max(1)) {
                Some(zone) => zone.clone(),
                None => fixed.get(at).map(|endpoint| endpoint.zone.to_string()).unwrap_or_default(),
            };
            let (name, service) = (format!("{}/{index}", service.name), service.name.clone());
            members.push(Member { name, service, zone, has_switch, can_start: true, has_process: true, has_way: true });
        }
    }
    members
}

/// What a scenario says of the instances of a service.
pub(crate) fn instances_of<'a>(scenario: &'a Scenario, service: &str) -> Option<&'a Instances> {
    let own = scenario.instances.iter().find(|of| of.service.as_deref() == Some(service));
    own.or_else(|| scenario.instances.iter().find(|of| of.service.is_none()))
}

impl Stage {
    /// Starts everything and waits until it answers. What each way must be able to do is told in `wanted`.
    pub(crate) async fn set(
        order: &Order,
        members: Vec<Member>,
        wanted: &[Wanted],
        keeper: &mut Keeper,
    ) -> Outcome<Self> {
        let Order { config, scenario, programs, .. } = order;
        let dir = TempDir::with_prefix(DIRECTORY).map_err(while_doing("making a directory"))?;
        let remove = Undo::Remove { path: dir.path().to_owned() };
        let dir_lease = keeper.hold("the drill's directory", remove, None).await?;
        let ports = free_ports(members.len() + config.listeners.len() + 1)?;
        let local = |port: &u16| SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
        let (of_instances, of_node) = ports.split_at(members.len());
        let (links, notes) = links(&members, wanted, keeper).await?;
        let mut instances = Vec::new();
        for (at, ((member, port), link)) in members.into_iter().zip(of_instances).zip(links).enumerate() {
            let listens = if link.is_some() { (Ipv4Addr::UNSPECIFIED, *port).into() } else { local(port) };
            let launch = launch(programs, scenario, &member, listens, dir.path());
            let (address, front, way) = match link {
                Some(link) => (link.aside(*port), link.front(*port), Way::Link(link)),
                None if wanted[at] == Wanted::Nothing => (listens, listens, Way::Plain),
                None => {
                    let seed = Seed::new(scenario.seed).derive(&member.name);
                    let proxy = Proxy::start(listens, seed).await.map_err(while_doing("starting a proxy"))?;
                    (listens, proxy.address(), Way::Proxy(proxy))
                }
            };
            instances.push(Instance { member, address, front, way, launch, was_there: false, process: None });
        }
        let listeners = of_node[1..].iter().map(local).collect();
        let program = programs.mainstay.clone();
        let admin = local(&of_node[0]);
        let mut stage = Self { instances, listeners, admin, token: None, notes, program, node: None, dir, dir_lease };
        for at in 0..stage.instances.len() {
            stage.start(at, keeper).await?;
        }
        for at in 0..stage.instances.len() {
            stage.wait_for(at).await?;
        }
        stage.start_node(order, keeper).await?;
        Ok(stage)
    }

    /// Takes what runs already, where the configuration says.
    pub(crate) async fn take(order: &Order, members: Vec<Member>, keeper: &mut Keeper) -> Outcome<Self> {
        let dir = TempDir::with_prefix(DIRECTORY).map_err(while_doing("making a directory"))?;
        let remove = Undo::Remove { path: dir.path().to_owned() };
        let dir_lease = keeper.hold("the drill's directory", remove, None).await?;
        let addresses = addresses(&order.config);
        let instance = |member: Member| {
            let address = addresses.iter().find(|(name, _)| *name == member.name).map(|(_, address)| *address)?;
            let process = Identity::listening_at(address).map(|identity| Running { identity, ours: None });
            let own = order.programs.restart.iter().flatten();
            let launch = own.map(|word| put(word, address, &member.name)).collect();
            Some(Instance { member, address, front: address, way: Way::Plain, launch, was_there: true, process })
        };
        Ok(Self {
            instances: members.into_iter().filter_map(instance).collect(),
            listeners: order.config.listeners.iter().map(|listener| reachable(listener.address)).collect(),
            admin: reachable(order.config.admin.address),
            token: order.config.admin.token.as_ref().map(|token| token.expose().to_owned()),
            notes: Vec::new(),
            program: order.programs.mainstay.clone(),
            node: None,
            dir,
            dir_lease,
        })
    }

    /// The stage's directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The process of an instance, when it has one.
    pub(crate) fn process(&self, at: usize) -> Option<Identity> {
        self.instances[at].process.as_ref().map(|running| running.identity)
    }

    /// Starts an instance, where it was before.
    pub(crate) async fn start(&mut self, at: usize, keeper: &mut Keeper) -> Outcome {
        let name = self.instances[at].member.name.clone();
        if self.instances[at].was_there {
            // Its lease held the command; it has been run.
            return self.find_again(at).await;
        }
        let command = match &self.instances[at].way {
            Way::Link(link) => link.command(&self.program),
            Way::Plain | Way::Proxy(_) => Command::new(&self.program),
        };
        let mut command = bound(command, &self.instances[at].launch);
        command.stderr(self.file(&format!("{}.err", name.replace('/', "-")))?);
        let running = run(&mut command, &name, keeper).await?;
        self.instances[at].process = Some(running);
        Ok(())
    }

    /// Ends an instance as a power cut would.
    pub(crate) async fn kill(&mut self, at: usize, keeper: &mut Keeper) {
        if let Some(running) = self.instances[at].process.take() {
            running.end(keeper).await;
        }
    }

    /// How an instance is started again that ran before us.
    pub(crate) fn restart(&self, at: usize) -> Option<Undo> {
        let command = self.instances[at].launch.clone();
        self.instances[at].was_there.then_some(Undo::Run { command })
    }

    /// Looks who listens where an instance was that has been started again.
    async fn find_again(&mut self, at: usize) -> Outcome {
        let end = Instant::now() + PATIENCE;
        let address = self.instances[at].address;
        loop {
            if let Some(identity) = Identity::listening_at(address) {
                self.instances[at].process = Some(Running { identity, ours: None });
                return Ok(());
            }
            if Instant::now() > end {
                return Err(Trouble::failed(format!("nobody listens at {address} again")));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn file(&self, name: &str) -> Outcome<File> {
        let path = self.dir.path().join(name);
        File::options().create(true).append(true).open(path).map_err(while_doing("making a file"))
    }

    async fn wait_for(&mut self, at: usize) -> Outcome {
        let end = Instant::now() + PATIENCE;
        loop {
            if self.answers(at).await.is_ok() {
                return Ok(());
            }
            let instance = &mut self.instances[at];
            let name = &instance.member.name;
            let ended = instance.process.as_mut().is_none_or(Running::has_ended);
            if ended || Instant::now() > end {
                let err = self.dir.path().join(format!("{}.err", name.replace('/', "-")));
                let said = std::fs::read_to_string(err).unwrap_or_default();
                let what = if ended { "ended at once" } else { "does not answer" };
                return Err(Trouble::failed(format!("{name} {what}: {said}")));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether an instance answers, whatever.
    pub(crate) async fn answers(&self, at: usize) -> Result<(), String> {
        let instance = &self.instances[at];
        let address = instance.address.to_string();
        if instance.member.has_switch {
            let ask = Ask::new("GET", address, "/health");
            return ask.send(Duration::from_secs(2)).await.map(|_| ()).map_err(|error| error.to_string());
        }
        let connect = tokio::net::TcpStream::connect(&address);
        match tokio::time::timeout(Duration::from_secs(2), connect).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("{address}: {error}")),
            Err(_) => Err(format!("{address} does not take a connection")),
        }
    }

    async fn start_node(&mut self, order: &Order, keeper: &mut Keeper) -> Outcome {
        let mut arguments = vec!["run".to_owned(), order.file.display().to_string()];
        // What is said last counts.
        let ours = self.settings(&order.config, &order.scenario)?;
        for (key, value) in order.set.iter().cloned().chain(ours) {
            arguments.extend(["--set".to_owned(), format!("{key}={value}")]);
        }
        let mut command = bound(Command::new(&self.program), &arguments);
        command.stderr(self.file("node.log")?);
        self.node = Some(run(&mut command, "the gateway", keeper).await?);
        let ready = Ask::new("GET", self.admin.to_string(), "/health/ready");
        let end = Instant::now() + PATIENCE;
        while ready.send(Duration::from_secs(2)).await.is_err() {
            let ended = self.node.as_mut().is_none_or(Running::has_ended);
            if ended || Instant::now() > end {
                let log = std::fs::read_to_string(self.dir.path().join("node.log")).unwrap_or_default();
                return Err(Trouble::failed(format!("the gateway does not come up:\n{log}")));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// What is set over the configuration so that it runs on this stage.
    fn settings(&self, config: &Config, scenario: &Scenario) -> Outcome<Vec<(String, String)>> {
        let mut settings = vec![
            ("admin.address".to_owned(), self.admin.to_string()),
            ("admin.token".to_owned(), "off".to_owned()),
            ("admin.probe".to_owned(), "off".to_owned()),
            ("node.workers".to_owned(), scenario.gateways.workers.to_string()),
            ("log.format".to_owned(), "json".to_owned()),
            ("log.access".to_owned(), "true".to_owned()),
        ];
        if let Some(zone) = scenario.gateways.zones.first() {
            settings.push(("node.zone".to_owned(), zone.clone()));
        }
        for (listener, address) in config.listeners.iter().zip(&self.listeners) {
            settings.push((format!("listener.{}.address", quoted(&listener.name)), address.to_string()));
        }
        for service in &config.services {
            let list = self.endpoints(service);
            let name = quoted(&service.name);
            if matches!(service.endpoints, Endpoints::Fixed(_)) {
                settings.push((format!("service.{name}.endpoints"), list));
            } else {
                let file = self.dir.path().join(format!("{}.toml", service.name.replace('/', "-")));
                std::fs::write(&file, format!("endpoints = {list}\n")).map_err(while_doing("writing endpoints"))?;
                let file = Value::String(file.display().to_string());
                settings.push((format!("service.{name}.discover"), format!("{{ file = {file} }}")));
            }
        }
        Ok(settings)
    }

    /// The endpoints of a service as TOML: weight and role are the configuration's, in its order.
    fn endpoints(&self, service: &mainstay_config::Service) -> String {
        let fixed = match &service.endpoints {
            Endpoints::Fixed(fixed) => fixed.as_slice(),
            Endpoints::Dns { .. } | Endpoints::File(_) => &[],
        };
        let of = self.instances.iter().filter(|instance| instance.member.service == service.name);
        let endpoint = |(at, instance): (usize, &Instance)| {
            let (weight, backup) = fixed.get(at).map_or((1, false), |spec| (spec.weight.max(1), spec.backup));
            let zone = Value::String(instance.member.zone.clone());
            let address = instance.front;
            format!("{{ address = \"{address}\", weight = {weight}, zone = {zone}, backup = {backup} }}")
        };
        format!("[{}]", of.enumerate().map(endpoint).collect::<Vec<_>>().join(", "))
    }

    /// Every process that was started.
    pub(crate) fn processes(&self) -> Vec<(String, Identity)> {
        let ours = |running: &&Running| running.ours.is_some();
        let instance = |one: &Instance| Some((one.member.name.clone(), one.process.as_ref().filter(ours)?.identity));
        let node = self.node.as_ref().map(|node| ("the gateway".to_owned(), node.identity));
        self.instances.iter().filter_map(instance).chain(node).collect()
    }

    /// Every network namespace that was made.
    pub(crate) fn links(&self) -> Vec<Link> {
        let link = |one: &Instance| if let Way::Link(link) = &one.way { Some(link.clone()) } else { None };
        self.instances.iter().filter_map(link).collect()
    }

    /// Whether the gateway runs, as far as it is ours.
    pub(crate) fn node_runs(&mut self) -> bool {
        self.node.as_mut().is_none_or(|node| !node.has_ended())
    }

    /// Ends everything and removes the directory.
    pub(crate) async fn strike(mut self, keeper: &mut Keeper) {
        if let Some(node) = self.node.take() {
            node.end(keeper).await;
        }
        for at in 0..self.instances.len() {
            if !self.instances[at].was_there {
                self.kill(at, keeper).await;
            }
        }
        keeper.undo(self.dir_lease).await;
    }
}

impl Running {
    fn has_ended(&mut self) -> bool {
        match &mut self.ours {
            Some((child, _)) => matches!(child.try_wait(), Ok(Some(_)) | Err(_)),
            None => !self.identity.is_there(),
        }
    }

    async fn end(mut self, keeper: &mut Keeper) {
        match self.ours.take() {
            Some((mut child, lease)) => {
                // Both fail only when it has ended already; it is fetched here, so that the watchdog finds nothing of it.
                let _ = child.kill();
                let _ = child.wait();
                keeper.undo(lease).await;
            }
            // Who is gone already is what was wanted.
            None => drop(self.identity.signal(Signal::KILL)),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.ours {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A command of ours that ends with this process, and does not hear its Ctrl-C.
fn bound(mut command: Command, arguments: &[String]) -> Command {
    command.arg(&arguments[0]).args(["--with-parent", &std::process::id().to_string()]).args(&arguments[1..]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
}

async fn run(command: &mut Command, name: &str, keeper: &mut Keeper) -> Outcome<Running> {
    let child = command.spawn().map_err(while_doing(format_args!("starting {name}")))?;
    let identity = Identity::of(child.id()).map_err(while_doing(format_args!("starting {name}")))?;
    // Until it is held it is bound to this process by the kernel alone.
    let held = keeper.hold(format!("the process of {name}"), Undo::End { process: identity }, None).await;
    match held {
        Ok(lease) => Ok(Running { identity, ours: Some((child, lease)) }),
        Err(trouble) => {
            let mut child = child;
            let _ = child.kill();
            let _ = child.wait();
            Err(trouble)
        }
    }
}

/// A link for each member whose way is only cut or loses something, or for nobody; and what is to be said of it.
async fn links(
    members: &[Member],
    wanted: &[Wanted],
    keeper: &mut Keeper,
) -> Outcome<(Vec<Option<Link>>, Vec<String>)> {
    let names = |which: &dyn Fn(usize) -> bool| {
        let of = members.iter().enumerate().filter(|(at, _)| which(*at));
        of.map(|(_, member)| member.name.clone()).collect::<Vec<_>>().join(", ")
    };
    let wants = |at: usize| wanted[at] == Wanted::Link;
    if !(0..members.len()).any(wants) {
        return Ok((vec![None; members.len()], Vec::new()));
    }
    let made = match make_links(members.len(), &wants, keeper).await? {
        Ok(links) => {
            return Ok((links, vec![format!("{} in a network namespace, where packets are dropped", names(&wants))]));
        }
        Err(why) => why,
    };
    let note =
        format!("a proxy stands in for the network before {}, because no namespace can be made: {made}", names(&wants));
    Ok((vec![None; members.len()], vec![note]))
}

/// All links that are wanted, or none and why.
async fn make_links(
    members: usize,
    wants: &dyn Fn(usize) -> bool,
    keeper: &mut Keeper,
) -> Outcome<Result<Vec<Option<Link>>, String>> {
    let driller = Identity::of(std::process::id()).map_err(while_doing("looking at this process"))?;
    link::sweep().await;
    let part = match link::free_part(driller).await {
        Ok(part) => part,
        Err(why) => return Ok(Err(why)),
    };
    let (mut links, mut leases) = (vec![None; members], Vec::new());
    for at in (0..members).filter(|at| wants(*at)) {
        let link = Link::new(driller, at as u32, part);
        let undo = Undo::Unlink { link: link.clone() };
        leases.push(keeper.hold(format!("the network namespace {link}"), undo, None).await?);
        if let Err(why) = link.make().await {
            for lease in leases.into_iter().rev() {
                keeper.undo(lease).await;
            }
            return Ok(Err(why));
        }
        links[at] = Some(link);
    }
    Ok(Ok(links))
}

/// The verb and arguments that start an instance.
fn launch(programs: &Programs, scenario: &Scenario, member: &Member, address: SocketAddr, dir: &Path) -> Vec<String> {
    if let Some(own) = &programs.instance {
        let own = own.iter().map(|word| put(word, address, &member.name));
        return ["exec".to_owned(), "--".to_owned()].into_iter().chain(own).collect();
    }
    let of = instances_of(scenario, &member.service);
    let (concurrency, queue) = of.map_or((8, 400), |of| (number(of.concurrency, 8), number(of.queue, 400)));
    let (time, spread) =
        spread(of.map_or(Distribution::Exponential(mainstay_core::Duration::from_millis(10)), |of| of.service_time));
    let pairs = [
        ("--listen", address.to_string()),
        ("--name", member.name.clone()),
        ("--concurrency", concurrency.to_string()),
        ("--queue", queue.to_string()),
        ("--service-time", time),
        ("--distribution", spread),
        ("--seed", Seed::new(scenario.seed).derive(&member.name).get().to_string()),
        ("--log", dir.join(log_name(&member.name)).display().to_string()),
    ];
    let pairs = pairs.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
    ["instance".to_owned()].into_iter().chain(pairs).collect()
}

/// A word of the user's command, for one instance.
fn put(word: &str, address: SocketAddr, name: &str) -> String {
    let word = word.replace("{port}", &address.port().to_string());
    word.replace("{address}", &address.to_string()).replace("{name}", name)
}

/// Where the configuration says that the instances are, by name.
fn addresses(config: &Config) -> Vec<(String, SocketAddr)> {
    let mut addresses = Vec::new();
    for service in &config.services {
        if let Endpoints::Fixed(fixed) = &service.endpoints {
            let of = fixed.iter().enumerate();
            addresses.extend(of.map(|(index, spec)| (format!("{}/{index}", service.name), spec.address)));
        }
    }
    addresses
}

/// What listens on every address is reached on this machine's own.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if !ip.is_unspecified() => address,
        IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        IpAddr::V6(_) => SocketAddr::from((Ipv6Addr::LOCALHOST, address.port())),
    }
}

/// The members that run already, where the configuration says, and what can be done to each.
pub(crate) async fn running_members(config: &Config, programs: &Programs) -> Vec<Member> {
    let mut members = Vec::new();
    for (name, address) in addresses(config) {
        let service = name.rsplit_once('/').map_or(name.as_str(), |(service, _)| service).to_owned();
        let told = Ask::new("GET", address.to_string(), "/_fault").send(Duration::from_secs(2)).await;
        let of = config.services.iter().find(|known| known.name == service).map(|known| &known.endpoints);
        let zone = match of {
            Some(Endpoints::Fixed(fixed)) => fixed.iter().find(|spec| spec.address == address),
            _ => None,
        };
        members.push(Member {
            zone: zone.map(|spec| spec.zone.to_string()).unwrap_or_default(),
            has_switch: told.is_ok_and(|text| text.contains("\"kind\":")),
            can_start: programs.restart.is_some(),
            has_process: Identity::listening_at(address).is_some(),
            has_way: false,
            name,
            service,
        });
    }
    members
}

/// The file in which an instance writes what reaches it.
pub(crate) fn log_name(member: &str) -> String {
    format!("{}.log", member.replace('/', "-"))
}

fn number(limit: Limit<u32>, otherwise: u32) -> u32 {
    match limit {
        Limit::At(limit) => limit,
        Limit::Unlimited => otherwise,
    }
}

/// A distribution as the flags of `mainstay instance` say it.
fn spread(distribution: Distribution) -> (String, String) {
    match distribution {
        Distribution::Fixed(time) => (time.to_string(), "fixed".to_owned()),
        Distribution::Exponential(mean) => (mean.to_string(), "exponential".to_owned()),
        Distribution::Lognormal { mean, sigma } => (mean.to_string(), format!("lognormal:{sigma}")),
        Distribution::Pareto { mean, alpha } => (mean.to_string(), format!("pareto:{alpha}")),
        Distribution::Bimodal { fast, slow, share } => (fast.to_string(), format!("bimodal:{slow}:{share}")),
    }
}

/// A key of the configuration that may have dots in it.
fn quoted(name: &str) -> String {
    if name.contains('.') { format!("\"{name}\"") } else { name.to_owned() }
}

/// Ports that nobody listens on; they are all held until the last is found.
fn free_ports(count: usize) -> Outcome<Vec<u16>> {
    let held: Result<Vec<TcpListener>, _> = (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect();
    let addresses = held.and_then(|held| held.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>());
    let ports = addresses.map(|all| all.iter().map(SocketAddr::port).collect());
    ports.map_err(while_doing("finding free ports"))
}
