//! What can be typed: the verbs, their flags and their defaults, as the contract names them.
//!
//! Text in, [`Args`] out; nothing is opened or asked here except the environment, which stands under a flag and over a
//! file. A verb that later versions bring is known by name and says so, so that nobody takes it for a typing error.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use mainstay_core::{Bytes, Duration, Rate, Ratio};

use crate::instance::Spread;
use crate::store::StoreArgs;

/// Keeps a service answering while parts of it fail.
#[derive(Debug, Parser)]
#[command(name = "mainstay", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a node
    Run(RunArgs),
    /// Read a configuration and name every problem at once, each with its place
    Check(CheckArgs),
    /// Show a whole example on this machine: instances, a gateway, load and faults; then clean up
    Demo(DemoArgs),
    /// Run the small HTTP service that demo, quickstart, tests and drills use
    Instance(InstanceArgs),
    /// Send requests to an HTTP service and count what comes of them
    Load(LoadArgs),
    /// Tell what was decided about one request, and why
    Explain(ExplainArgs),
    /// List the services of a running node
    Services(AdminArgs),
    /// List the endpoints of a running node, with their state and why
    Endpoints(EndpointsArgs),
    /// Take an endpoint out: it gets nothing new and finishes what runs
    Drain(EndpointArgs),
    /// Eject an endpoint until it is restored
    Eject(EndpointArgs),
    /// Give an endpoint back to what health and its answers say
    Restore(EndpointArgs),
    /// Force a service's breaker open or closed, or give it back to its own judgement
    Breaker(BreakerArgs),
    /// Let attempts of a service fail or be slow on purpose, for as long as a lease says
    Fault(FaultArgs),
    /// Show a running node live in the terminal; without one, the last second in one frame
    Top(TopArgs),
    /// Play an outage in virtual time with the real decisions, and tell what holds
    Simulate(SimulateArgs),
    /// Play a scenario for real: instances, a gateway, load and faults, each with a lease; with --load, load alone
    Drill(DrillArgs),
    #[command(hide = true)]
    Watchdog(WatchdogArgs),
    #[command(hide = true)]
    Exec(ExecArgs),
    /// Read, write, watch and look after the consensus store, or an etcd cluster
    Store(StoreArgs),
    #[command(hide = true, disable_help_flag = true)]
    Registry(Later),
    #[command(hide = true, disable_help_flag = true)]
    Backup(Later),
}

/// Whatever follows a verb that is not built yet.
#[derive(Debug, Group)]
pub(crate) struct Later {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<std::ffi::OsString>,
}

/// Which configuration.
#[derive(Debug, Group)]
pub(crate) struct FileArgs {
    /// The configuration
    #[arg(default_value = "mainstay.toml")]
    pub(crate) file: PathBuf,
    /// Set one key over the file and the environment, as admin.address=127.0.0.1:9900; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub(crate) set: Vec<(String, String)>,
}

/// `mainstay run`
#[derive(Debug, Group)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) config: FileArgs,
    /// Record what is decided, and on what, into this directory, for `mainstay simulate --replay`
    #[arg(long, value_name = "DIR")]
    pub(crate) record: Option<PathBuf>,
    /// End the recording when it has this size
    #[arg(long, value_name = "SIZE", default_value = "256MiB", requires = "record")]
    pub(crate) record_max: Bytes,
    /// End when this process, which started this one, ends
    #[arg(long, value_name = "PID", hide = true)]
    pub(crate) with_parent: Option<u32>,
}

/// `mainstay check`
#[derive(Debug, Group)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) config: FileArgs,
    /// Print every value and where it came from
    #[arg(long)]
    pub(crate) effective: bool,
    /// Let a warning count as an error
    #[arg(long)]
    pub(crate) strict: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `mainstay demo`
#[derive(Debug, Group)]
pub(crate) struct DemoArgs {
    /// Where the gateway listens; a free port is taken when this one is not given and the usual one is in use
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Requests a second
    #[arg(long, default_value = "200/s")]
    pub(crate) rate: Rate,
    /// How long each fault lasts; half of that is given to recover from it
    #[arg(long, value_name = "TIME", default_value = "4s")]
    pub(crate) phase: Duration,
    /// One round and a summary, as without a terminal
    #[arg(long)]
    pub(crate) once: bool,
    /// Print the summary as JSON; implies --once
    #[arg(long)]
    pub(crate) json: bool,
}

/// `mainstay instance`
#[derive(Debug, Clone, Group)]
pub(crate) struct InstanceArgs {
    /// Where to listen
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
    /// How long one request holds its slot
    #[arg(long, value_name = "TIME", default_value = "10ms")]
    pub(crate) service_time: Duration,
    /// How that is spread: fixed, exponential, lognormal:SIGMA, pareto:ALPHA, or bimodal:SLOW:SHARE
    #[arg(long, value_name = "SPREAD", default_value = "fixed")]
    pub(crate) distribution: Spread,
    /// From which service times follow: the same seed, the same times
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Requests that are worked on at once
    #[arg(long, value_name = "SLOTS", default_value_t = 8)]
    pub(crate) concurrency: usize,
    /// Requests that may wait for a slot; one more is answered 503 at once
    #[arg(long, value_name = "REQUESTS", default_value_t = 400)]
    pub(crate) queue: usize,
    /// What it calls itself in its answers [default: its address]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Bytes of an answer's body, instead of a description of the request
    #[arg(long, value_name = "BYTES")]
    pub(crate) size: Option<usize>,
    /// Append a line per request (its x-request-id, method and path) on reading its head, before working on it
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// End when this process, which started this one, ends
    #[arg(long, value_name = "PID", hide = true)]
    pub(crate) with_parent: Option<u32>,
}

/// How requests are spread over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ArrivalsWord {
    /// Each the same time after the one before
    Uniform,
    /// Independent of each other, as those of many callers are
    Poisson,
}

/// `mainstay load`
#[derive(Debug, Clone, Group)]
pub(crate) struct LoadArgs {
    /// What to ask, as http://127.0.0.1:8080/path; several are asked in turn
    #[arg(long, value_name = "URL", required = true)]
    pub(crate) target: Vec<String>,
    /// Requests due per time, whatever becomes of those before (open loop)
    #[arg(long, value_name = "RATE", conflicts_with = "closed")]
    pub(crate) rate: Option<Rate>,
    /// Instead of a rate: this many callers, each asking again when it has its answer (closed loop)
    #[arg(long, value_name = "CALLERS")]
    pub(crate) closed: Option<usize>,
    /// How long to go on
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) duration: Duration,
    /// End after this many requests, if that is earlier
    #[arg(long, value_name = "COUNT")]
    pub(crate) requests: Option<u64>,
    /// How the requests of a rate are spread over time
    #[arg(long, value_enum, default_value_t = ArrivalsWord::Poisson)]
    pub(crate) arrivals: ArrivalsWord,
    /// From this moment on another rate, as 10s=2000/s; may be repeated
    #[arg(long, value_name = "TIME=RATE", value_parser = rate_at, requires = "rate")]
    pub(crate) step: Vec<RateAt>,
    /// By this moment the rate has come to another, evenly from the change before; may be repeated
    #[arg(long, value_name = "TIME=RATE", value_parser = rate_at, requires = "rate")]
    pub(crate) ramp: Vec<RateAt>,
    /// An answer later than this after the request was due is not good
    #[arg(long, value_name = "TIME", default_value = "2s")]
    pub(crate) deadline: Duration,
    /// Share of the requests that are POSTs with a small body
    #[arg(long, value_name = "SHARE", default_value = "0%")]
    pub(crate) post: Ratio,
    /// From which the arrivals and methods follow: the same seed, the same requests
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// What every x-request-id begins with [default: load-SEED]
    #[arg(long, value_name = "PREFIX")]
    pub(crate) id: Option<String>,
    /// Connections that may be open at once
    #[arg(long, value_name = "COUNT", default_value_t = 1024)]
    pub(crate) connections: usize,
    /// An answer without this text in its first 4 KiB is wrong, whatever its status
    #[arg(long, value_name = "TEXT")]
    pub(crate) expect: Option<String>,
    /// Write what came of each request to this file, one JSON object per line
    #[arg(long, value_name = "FILE")]
    pub(crate) samples: Option<PathBuf>,
    /// Write a page with pictures of what came of it to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A rate from a moment on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RateAt {
    pub(crate) at: Duration,
    pub(crate) rate: Rate,
}

fn rate_at(text: &str) -> Result<RateAt, String> {
    let (at, rate) = text.split_once('=').ok_or("write it as 10s=2000/s")?;
    let at = at.parse().map_err(|error| format!("{at}: {error}"))?;
    Ok(RateAt { at, rate: rate.parse().map_err(|error| format!("{rate}: {error}"))? })
}

/// `mainstay drill`
#[derive(Debug, Group)]
pub(crate) struct DrillArgs {
    /// The configuration of the gateway [default: mainstay.toml]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The scenario: a file, or the name of one that comes along
    #[arg(short, long, value_name = "SCENARIO", required_unless_present_any = ["load", "experiment"])]
    pub(crate) scenario: Option<String>,
    /// Instead of a scenario: an experiment of Chaos Toolkit, as JSON
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "scenario"])]
    pub(crate) experiment: Option<PathBuf>,
    /// Set one key of the configuration over the file and the environment; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub(crate) set: Vec<(String, String)>,
    /// From which arrivals, methods and victims follow [default: the scenario's]
    #[arg(long, value_parser = seed)]
    pub(crate) seed: Option<u64>,
    /// Break off when less than this share of the calls is good for --guard-seconds
    #[arg(long, value_name = "SHARE")]
    pub(crate) guard: Option<Ratio>,
    /// Break off when 99 of 100 calls are not answered within this for --guard-seconds
    #[arg(long, value_name = "TIME")]
    pub(crate) guard_p99: Option<Duration>,
    /// For so many seconds one after the other [default: the scenario's, or 3]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) guard_seconds: Option<u32>,
    /// Share of a service's instances that may be struck at one time; one always may [default: the scenario's, or 50%]
    #[arg(long, value_name = "SHARE")]
    pub(crate) max_victims: Option<Ratio>,
    /// How long to look at the steady state before anything is broken [default: the scenario's, or 3s]
    #[arg(long, value_name = "TIME")]
    pub(crate) steady: Option<Duration>,
    /// Simulate the same, and lay both side by side
    #[arg(long)]
    pub(crate) compare: bool,
    /// What a way takes here, one way, for the simulation [default: measured before anything is broken]
    #[arg(long, value_name = "TIME", requires = "compare")]
    pub(crate) latency: Option<Duration>,
    /// Start instances by this command instead of `mainstay instance`: words, with {port}, {address} and {name}
    #[arg(long, value_name = "COMMAND")]
    pub(crate) instance: Option<String>,
    /// Start nothing: drill the gateway and the instances that run where the configuration says
    #[arg(long, conflicts_with = "instance")]
    pub(crate) running: bool,
    /// What starts an instance again that ran and was ended: words, with {port}, {address} and {name}
    #[arg(long, value_name = "COMMAND", requires = "running")]
    pub(crate) restart: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) pictures: PictureArgs,
    /// Load alone: all that follows is for `mainstay load`
    #[arg(long, num_args = 0.., allow_hyphen_values = true, conflicts_with_all = ["config", "scenario"])]
    pub(crate) load: Option<Vec<std::ffi::OsString>>,
}

/// `mainstay watchdog`, which undoes what a driller cannot undo any more
#[derive(Debug, Group)]
pub(crate) struct WatchdogArgs {
    /// How long the driller may be silent
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub(crate) silence: Duration,
}

/// `mainstay exec`, which becomes another program that ends with a process
#[derive(Debug, Group)]
pub(crate) struct ExecArgs {
    /// End when this process, which started this one, ends
    #[arg(long, value_name = "PID")]
    pub(crate) with_parent: u32,
    /// The program and its arguments
    #[arg(required = true, last = true)]
    pub(crate) command: Vec<std::ffi::OsString>,
}

/// Which node, and how to print.
#[derive(Debug, Clone, Group)]
pub(crate) struct AdminArgs {
    /// The node's admin address [env: MAINSTAY_ADMIN__ADDRESS] [default: 127.0.0.1:9900]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// The admin API's token; the environment keeps it out of the process list [env: MAINSTAY_ADMIN__TOKEN]
    #[arg(long, value_name = "TOKEN", hide_short_help = true)]
    token: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl AdminArgs {
    /// The admin address: flag, environment, default.
    pub(crate) fn address(&self) -> String {
        let given = self.admin.clone().or_else(|| environment("MAINSTAY_ADMIN__ADDRESS"));
        given.unwrap_or_else(|| "127.0.0.1:9900".to_owned())
    }

    /// The token, if any: flag, environment.
    pub(crate) fn token(&self) -> Option<String> {
        self.token.clone().or_else(|| environment("MAINSTAY_ADMIN__TOKEN"))
    }
}

/// A variable that is set and says something; `off` is the contract's word for none.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty() && value != "off")
}

/// `mainstay explain`
#[derive(Debug, Group)]
#[command(override_usage = "mainstay explain [OPTIONS] <REQUEST_ID | --last>")]
pub(crate) struct ExplainArgs {
    /// The x-request-id of the request
    #[arg(required_unless_present = "last")]
    pub(crate) request_id: Option<String>,
    /// The last request that got no whole answer below 500 of its service
    #[arg(long, conflicts_with = "request_id")]
    pub(crate) last: bool,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

/// `mainstay simulate`
#[derive(Debug, Group)]
pub(crate) struct SimulateArgs {
    /// The configuration [default: mainstay.toml]; with --replay, another one than the gateway had
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one key of it, as service.shop.retry=off; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub(crate) set: Vec<(String, String)>,
    /// Play the same under another configuration too, as it stands, and lay the two side by side
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
    /// The scenario: a file, or the name of one that comes along
    #[arg(short, long, value_name = "SCENARIO", required_unless_present = "replay")]
    scenario: Option<String>,
    /// Instead of a scenario: what `mainstay run --record` recorded, decision by decision
    #[arg(long, value_name = "DIR", conflicts_with_all = ["scenario", "against", "seed", "search", "plot", "html"])]
    pub(crate) replay: Option<PathBuf>,
    /// Other luck than the scenario's
    #[arg(long, value_name = "N", value_parser = seed)]
    pub(crate) seed: Option<u64>,
    /// Print the whole report as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Look for the load and the length of the outage up to which it recovers by itself, and for settings that move them
    #[arg(long, conflicts_with_all = ["against", "plot", "html"])]
    pub(crate) search: bool,
    #[command(flatten)]
    pub(crate) pictures: PictureArgs,
}

impl SimulateArgs {
    /// The configuration to play under.
    pub(crate) fn config(&self) -> &Path {
        self.own_config().unwrap_or(Path::new("mainstay.toml"))
    }

    /// The configuration that was named.
    pub(crate) fn own_config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// The scenario; without a name where a recording is replayed.
    pub(crate) fn scenario(&self) -> &str {
        self.scenario.as_deref().unwrap_or_default()
    }
}

/// Where pictures of a play go.
#[derive(Debug, Group)]
pub(crate) struct PictureArgs {
    /// Draw the play over time into this file
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    /// Write a page with the verdict, the picture and what is behind it
    #[arg(long, value_name = "FILE.html")]
    pub(crate) html: Option<PathBuf>,
}

/// `mainstay top`
#[derive(Debug, Group)]
pub(crate) struct TopArgs {
    /// One frame of the last second, as without a terminal
    #[arg(long)]
    pub(crate) once: bool,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

/// `mainstay endpoints`
#[derive(Debug, Group)]
pub(crate) struct EndpointsArgs {
    /// Only those of this service
    pub(crate) service: Option<String>,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

/// `mainstay drain`, `eject`, `restore`
#[derive(Debug, Group)]
pub(crate) struct EndpointArgs {
    /// The service
    pub(crate) service: String,
    /// The endpoint, as `mainstay endpoints` prints it
    pub(crate) address: String,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

/// What a breaker is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BreakerWord {
    /// Judge by itself again
    Auto,
    /// Refuse every call
    Open,
    /// Refuse no call
    Closed,
}

impl BreakerWord {
    /// The word of the admin API.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// `mainstay breaker`
#[derive(Debug, Group)]
pub(crate) struct BreakerArgs {
    /// The service
    pub(crate) service: String,
    /// What its breaker is to do
    #[arg(value_enum)]
    pub(crate) state: BreakerWord,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

/// What a drill does to attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FaultWord {
    /// Begin later by the AMOUNT, as 200ms
    Delay,
    /// Fail at once with the status AMOUNT, or 503
    Abort,
    /// Fail at once as if the connection had broken
    Reset,
    /// Nothing any more
    Off,
}

/// `mainstay fault`
#[derive(Debug, Group)]
pub(crate) struct FaultArgs {
    /// The service
    pub(crate) service: String,
    /// What happens to its attempts
    #[arg(value_enum)]
    pub(crate) kind: FaultWord,
    /// How much later, or which status
    pub(crate) amount: Option<String>,
    /// Share of the attempts
    #[arg(long, value_name = "SHARE", default_value = "100%")]
    pub(crate) share: Ratio,
    /// At this endpoint alone
    #[arg(long, value_name = "ADDR")]
    pub(crate) endpoint: Option<String>,
    /// When it ends by itself, up to 1h; must be given
    #[arg(long, value_name = "TIME", required_if_eq_any = [("kind", "delay"), ("kind", "abort"), ("kind", "reset")])]
    pub(crate) lease: Option<Duration>,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("a seed is a whole number from 0 to {}", u64::MAX))
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as key.path=value".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_arguments_is_sound() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn a_verb_of_a_later_version_is_known_whatever_follows_it() {
        let args = Args::try_parse_from(["mainstay", "registry", "-c", "x.toml", "--seed", "1"]).unwrap();
        assert!(matches!(args.verb, Verb::Registry(_)));
    }

    #[test]
    fn a_fault_has_a_lease() {
        let parse = |line: &str| Args::try_parse_from(line.split(' '));
        assert!(parse("mainstay fault shop delay 200ms --share 10%").is_err());
        assert!(parse("mainstay fault shop delay 200ms --share 10% --lease 30s").is_ok());
        assert!(parse("mainstay fault shop off").is_ok());
    }

    #[test]
    fn a_request_is_named_or_the_last_one_is_meant() {
        let parse = |line: &str| Args::try_parse_from(line.split(' '));
        assert!(parse("mainstay explain").is_err());
        assert!(parse("mainstay explain --last").is_ok());
        assert!(parse("mainstay explain r-1").is_ok());
        assert!(parse("mainstay explain r-1 --last").is_err());
    }

    #[test]
    fn a_value_keeps_its_own_equals_signs() {
        assert_eq!(key_and_value("a.b=c=d"), Ok(("a.b".to_owned(), "c=d".to_owned())));
        assert!(key_and_value("a.b").is_err());
        assert!(key_and_value("=x").is_err());
    }
}
