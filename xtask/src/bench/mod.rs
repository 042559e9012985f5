//! `cargo xtask bench gateway`: what a proxied request costs here, in nginx, in HAProxy and in Envoy.
//!
//! All contenders stand in front of the same instance and are asked in turn, round after round, so that whatever the
//! machine does meanwhile meets them alike. Where cost is measured, the proxy, the load generator and the instance are
//! pinned to one core together: a request then costs what it costs, and no scheduler decides which of them gets a core
//! of its own. What counts is the CPU time of the proxy's own threads, as the kernel accounts it, by the requests that
//! wrk counted; the median of the rounds is reported, with ratios.
//!
//! Each kind of question has its own part (`--what`): [`cost`], [`latency`], [`idle`]; two workers, the price of the log
//! and of the records, and growth with routes, endpoints and keys are the cost of ours under other settings.

mod allocations;
mod cost;
mod idle;
mod latency;
mod library;
mod log;
mod peers;
mod setting;
mod store;
mod store_data;
mod table;
mod wrk;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use crate::process;
use cost::Contender;
pub(crate) use library::{LibraryArgs, library};
pub(crate) use log::{LogArgs, log};
use peers::{Bench, Peer};
use setting::Setting;
pub(crate) use store::{StoreArgs, store};
pub(crate) use store_data::{StoreDataArgs, store_data};
use wrk::Keys;

/// What to measure, and for how long.
#[derive(Debug, Args)]
pub(crate) struct GatewayArgs {
    /// The questions to answer
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [What::Cost])]
    what: Vec<What>,
    /// Rounds; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of one run against one proxy
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Keep-alive connections
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// The core that all share
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Requests per second where latency is measured
    #[arg(long, default_value_t = 30_000)]
    rate: u32,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Measure this binary instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Leave out the counting of allocations
    #[arg(long)]
    no_allocations: bool,
}

/// A question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// CPU time and allocations per request, beside the peers
    Cost,
    /// Latency at a fixed rate, beside the peers
    Latency,
    /// Memory of 1,000 idle connections, beside the peers
    Idle,
    /// Two workers against one
    Workers,
    /// What the access log and the records for `explain` cost
    Prices,
    /// Cost with many routes, many endpoints, many limited keys
    Growth,
}

/// Measures and prints.
pub(crate) fn gateway(args: &GatewayArgs) -> Result<(), String> {
    for program in ["wrk", "taskset", "nginx"] {
        process::find(program).ok_or_else(|| format!("{program} is needed and not installed"))?;
    }
    let binary = args.binary.clone().map_or_else(crate::release, Ok)?;
    let dir = tempfile::tempdir().map_err(|error| format!("a temporary directory: {error}"))?;
    let bench = Bench::new(dir.path(), &binary)?;
    let mut all = Map::new();
    for &what in &args.what {
        answer(args, &bench, what, &mut all)?;
    }
    if args.json {
        println!("{:#}", Value::Object(all));
    }
    Ok(())
}

fn answer(args: &GatewayArgs, bench: &Bench<'_>, what: What, all: &mut Map<String, Value>) -> Result<(), String> {
    let shared = args.core.to_string();
    match what {
        What::Cost => {
            let contenders = Peer::installed().into_iter().map(Contender::peer).collect();
            let mut measured = cost::rounds(args, bench, &shared, contenders)?;
            if !args.no_allocations {
                cost::count_allocations(args, bench, &shared, &mut measured)?;
            }
            table::costs(args.json, "cost", &measured, "nginx", all);
        }
        What::Latency => table::latencies(args.json, &latency::measure(args, bench)?, all),
        What::Idle => table::idle(args.json, &idle::measure(bench, &shared)?, all),
        What::Workers => {
            let least = Setting::default();
            let contenders = [1, 2].map(|workers| {
                let name = format!("{workers} worker{}", if workers == 1 { "" } else { "s" });
                Contender::ours(&name, Setting { workers, ..least.clone() })
            });
            let measured = cost::rounds(args, bench, "0,1", contenders.into())?;
            table::costs(args.json, "workers", &measured, "1 worker", all);
        }
        What::Prices => {
            let least = Setting { explain: false, ..Setting::default() };
            let contenders = vec![
                Contender::ours("neither", least.clone()),
                Contender::ours("explain", Setting { explain: true, ..least.clone() }),
                Contender::ours("access log", Setting { access_log: true, ..least.clone() }),
                Contender::ours("both", Setting { explain: true, access_log: true, ..least }),
            ];
            let measured = cost::rounds(args, bench, &shared, contenders)?;
            table::costs(args.json, "prices", &measured, "neither", all);
        }
        What::Growth => growth(args, bench, &shared, all)?,
    }
    Ok(())
}

fn growth(args: &GatewayArgs, bench: &Bench<'_>, core: &str, all: &mut Map<String, Value>) -> Result<(), String> {
    const STEPS: [u32; 4] = [1, 100, 1_000, 10_000];
    let routes =
        STEPS.map(|routes| Contender::ours(&format!("{routes} routes"), Setting { routes, ..Setting::default() }));
    let measured = cost::rounds(args, bench, core, routes.into())?;
    table::costs(args.json, "growth with routes", &measured, "1 routes", all);
    let endpoints = STEPS.map(|endpoints| {
        Contender::ours(&format!("{endpoints} endpoints"), Setting { endpoints, ..Setting::default() })
    });
    let measured = cost::rounds(args, bench, core, endpoints.into())?;
    table::costs(args.json, "growth with endpoints", &measured, "1 endpoints", all);
    let keys = [1, 1_000, 100_000, 1_000_000].map(|keys| {
        let setting = Setting { limited_keys: Some(1_000_000), ..Setting::default() };
        Contender { keys: Some(Keys(keys)), ..Contender::ours(&format!("{keys} keys"), setting) }
    });
    let measured = cost::rounds(args, bench, core, keys.into())?;
    table::costs(args.json, "growth with limited keys", &measured, "1 keys", all);
    Ok(())
}
