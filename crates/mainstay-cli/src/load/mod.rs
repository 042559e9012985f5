//! Load: requests that are due when they are due, whatever became of those before.
//!
//! A caller who waits for an answer before asking again asks less of a service that is slow, and so hides how slow it
//! is ("coordinated omission"). In the open loop a schedule alone says when a request is due, and its time runs from
//! there; a request that finds no free connection waits, and the wait counts. The closed loop (each of N callers asks
//! again when it has its answer) is for counting failures, not for measuring.
//!
//! The schedule and the methods follow from the seed. Every request carries an `x-request-id` of its own, so that the
//! lines that instances append can be matched with it.

mod drive;
mod report;
mod samples;
mod schedule;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mainstay_core::Rate;

pub(crate) use drive::{Stop, run};
pub(crate) use report::{Count, Second, Since, Tally, locked};
pub(crate) use samples::Samples;
pub(crate) use schedule::Schedule;

use crate::args::{Arrivals, LoadArgs};
use crate::outcome::{Outcome, Trouble, while_doing};
use crate::print;

/// What is asked, and how.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Who is asked, one after the other; at least one.
    pub(crate) targets: Vec<Target>,
    /// When requests are due.
    pub(crate) pace: Pace,
    /// How long to go on.
    pub(crate) duration: Duration,
    /// And how many requests at most.
    pub(crate) requests: u64,
    /// How long after it was due an answer still counts.
    pub(crate) deadline: Duration,
    /// Connections open at once, at most.
    pub(crate) connections: usize,
    /// What the body must contain.
    pub(crate) expect: Option<String>,
    /// Methods, ids and arrivals.
    pub(crate) schedule: Schedule,
    /// Where what came of each request is written down, if anywhere.
    pub(crate) samples: Option<Arc<Samples>>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Host and port.
    pub(crate) address: String,
    /// Path and query.
    pub(crate) path: String,
}

/// When a request is due.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// By the schedule.
    Open,
    /// When one of this many callers has its answer.
    Closed(usize),
}

impl Plan {
    /// A plan from what was typed.
    pub(crate) fn new(args: &LoadArgs) -> Outcome<Self> {
        let targets = args.target.iter().map(|url| target(url)).collect::<Outcome<_>>()?;
        let pace = match (args.rate, args.closed) {
            (Some(_), None) => Pace::Open,
            (None, Some(callers @ 1..)) => Pace::Closed(callers),
            _ => return Err(Trouble::wrong("say how much: --rate 1000/s, or --closed 64 for that many callers")),
        };
        if args.connections == 0 {
            return Err(Trouble::wrong("--connections must be at least 1"));
        }
        let rate = match args.rate {
            Some(rate) => rate,
            // Only the methods and ids of a schedule without arrivals are used.
            None => Rate::new(1, mainstay_core::Duration::from_secs(1)).map_err(|e| Trouble::wrong(e.to_string()))?,
        };
        let prefix = args.id.clone().unwrap_or_else(|| format!("load-{}", args.seed));
        Ok(Self {
            targets,
            pace,
            duration: Duration::from_nanos(args.duration.as_nanos()),
            requests: args.requests.unwrap_or(u64::MAX),
            deadline: Duration::from_nanos(args.deadline.as_nanos()),
            connections: args.connections,
            expect: args.expect.clone(),
            schedule: Schedule::new(args.seed, rate, args.arrivals == Arrivals::Poisson, args.post, prefix),
            samples: args.samples.as_deref().map(samples).transpose()?,
        })
    }
}

/// Host and port, and path, of an `http://` URL.
fn target(url: &str) -> Outcome<Target> {
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| Trouble::wrong(format!("{url} is no target: write it as http://127.0.0.1:8080/path")))?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if has_port { host.to_owned() } else { format!("{host}:80") };
    Ok(Target { address, path: if path.is_empty() { "/".to_owned() } else { path.to_owned() } })
}

fn samples(file: &std::path::Path) -> Outcome<Arc<Samples>> {
    Samples::create(file).map(Arc::new).map_err(while_doing(format_args!("opening {}", file.display())))
}

/// `mainstay load`
pub(crate) fn command(args: &LoadArgs) -> Outcome {
    let plan = Arc::new(Plan::new(args)?);
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let tally = crate::runtime()?.block_on(async {
        let stop = Stop::new();
        let interrupted = stop.clone();
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                interrupted.stop();
            }
        });
        run(Arc::clone(&plan), &stop, Tally::shared()).await
    });
    if let Some(samples) = &plan.samples {
        samples.end().map_err(while_doing("writing down what came of each request"))?;
    }
    if !args.json {
        return print::result(&tally);
    }
    let mut report = tally.to_json();
    report["began_unix_ms"] = (began.as_secs_f64() * 1e3).into();
    print::json(&report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_a_port_and_a_path_even_when_it_names_none() {
        let of = |address: &str, path: &str| Target { address: address.to_owned(), path: path.to_owned() };
        assert_eq!(target("http://a:81/x?y").unwrap(), of("a:81", "/x?y"));
        assert_eq!(target("http://a").unwrap(), of("a:80", "/"));
        assert_eq!(target("https://a").unwrap_err().status(), 2);
    }
}
