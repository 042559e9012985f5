//! `mainstay load` and `mainstay drill --load`: what was typed becomes a plan, and what came of it is printed.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mainstay_drill::load::{
    Arrivals, CallersLuck, Methods, Pace, Plan, Profile, Samples, Schedule, Step, Stop, Tally, Target, page, run,
};

use crate::args::{ArrivalsWord, LoadArgs};
use crate::outcome::{Outcome, Trouble, while_doing};
use crate::print::{self, Table};

/// A plan from what was typed.
fn plan(args: &LoadArgs) -> Outcome<Plan> {
    let targets = args.target.iter().map(|url| target(url)).collect::<Outcome<_>>()?;
    let pace = match (args.rate, args.closed) {
        (Some(_), None) => Pace::Open,
        (None, Some(clients @ 1..)) => Pace::Closed { clients, think: Duration::ZERO },
        _ => return Err(Trouble::wrong("say how much: --rate 1000/s, or --closed 64 for that many callers")),
    };
    if args.connections == 0 {
        return Err(Trouble::wrong("--connections must be at least 1"));
    }
    let arrivals = match args.arrivals {
        ArrivalsWord::Uniform => Arrivals::Uniform,
        ArrivalsWord::Poisson => Arrivals::Poisson,
    };
    let prefix = args.id.clone().unwrap_or_else(|| format!("load-{}", args.seed));
    Ok(Plan {
        targets,
        pace,
        duration: Duration::from_nanos(args.duration.as_nanos()),
        requests: args.requests.unwrap_or(u64::MAX),
        deadline: Duration::from_nanos(args.deadline.as_nanos()),
        connections: args.connections,
        fields: String::new(),
        expect: args.expect.clone().into_iter().collect(),
        schedule: Schedule::new(
            CallersLuck::new(args.seed, 0),
            profile(args)?,
            arrivals,
            Methods::posts(args.post),
            prefix,
        ),
        samples: args.samples.as_deref().map(samples).transpose()?,
    })
}

/// The rate over time, from `--rate`, `--step` and `--ramp` in the order of time.
fn profile(args: &LoadArgs) -> Outcome<Profile> {
    let a_second = |rate: mainstay_core::Rate| rate.count() as f64 / rate.per().as_secs_f64();
    // Only the methods and ids of a schedule without arrivals are used.
    let first = args.rate.map_or(1.0, a_second);
    let jumps = args.step.iter().map(|step| (step.at, step.rate, false));
    let mut changes: Vec<_> = jumps.chain(args.ramp.iter().map(|step| (step.at, step.rate, true))).collect();
    changes.sort_by_key(|(at, ..)| *at);
    let zero = mainstay_core::Duration::ZERO;
    let mut steps = vec![Step { at: zero, rate: first, over: zero }];
    let mut before = zero;
    for (at, rate, ramp) in changes {
        // A ramp is written by its end and begins where the change before it was.
        let over = if ramp { at - before } else { zero };
        steps.push(Step { at: if ramp { before } else { at }, rate: a_second(rate), over });
        before = at;
    }
    Profile::of(&steps).map_err(|error| Trouble::wrong(error.to_string()))
}

/// Host and port, and path, of an `http://` URL.
fn target(url: &str) -> Outcome<Target> {
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| Trouble::wrong(format!("{url} is no target: write it as http://127.0.0.1:8080/path")))?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if has_port { host.to_owned() } else { format!("{host}:80") };
    Ok(Target::at(address, if path.is_empty() { "/" } else { path }))
}

fn samples(file: &Path) -> Outcome<Arc<Samples>> {
    Samples::create(file).map(Arc::new).map_err(while_doing(format_args!("opening {}", file.display())))
}

/// `mainstay load`
pub(crate) fn command(args: &LoadArgs) -> Outcome {
    let plan = Arc::new(plan(args)?);
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
    if let Some(file) = &args.html {
        let title = format!("Load on {}", args.target.join(", "));
        std::fs::write(file, page(&title, &tally)).map_err(while_doing(format_args!("writing {}", file.display())))?;
    }
    if !args.json {
        return print::result(Told(&tally));
    }
    let mut report = tally.to_json();
    report["began_unix_ms"] = (began.as_secs_f64() * 1e3).into();
    print::json(&report)
}

/// What came of a load, for people.
pub(crate) struct Told<'a>(pub(crate) &'a Tally);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(tally) = self;
        let count = tally.count();
        writeln!(f, "{} requests, {} good ({:.3} %)", count.requests, count.good, tally.good_ratio() * 100.0)?;
        if tally.unsent() > 0 {
            let unsent = tally.unsent();
            writeln!(
                f,
                "the load itself was the limit: {unsent} of them were never sent, for want of connections or processor"
            )?;
        }
        let at = |quantile| tally.quantile_ms(quantile);
        writeln!(f, "p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms", at(0.5), at(0.99), at(0.999))?;
        let mut table = Table::new(&["END", "REQUESTS"]);
        for (kind, requests) in tally.kinds() {
            table.row([kind.clone(), requests.to_string()]);
        }
        write!(f, "{table}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_a_port_and_a_path_even_when_it_names_none() {
        assert_eq!(target("http://a:81/x?y").unwrap(), Target::at("a:81", "/x?y"));
        assert_eq!(target("http://a").unwrap(), Target::at("a:80", "/"));
        assert_eq!(target("https://a").unwrap_err().status(), 2);
    }
}
