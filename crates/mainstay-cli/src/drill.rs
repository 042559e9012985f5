//! `mainstay drill`: a scenario played for real, and what is printed of it.

use std::fmt;
use std::io::IsTerminal;
use std::path::Path;

use clap::Parser;
use mainstay_config::scenario::Guard;
use mainstay_drill::compare::{Comparison, POINTS, SHARE, calibrate};
use mainstay_drill::{Drilled, Order, Programs, play};
use mainstay_node::ConfigFile;
use mainstay_sim::shown::{Shown, Side};
use serde_json::json;

use crate::args::{DrillArgs, LoadArgs, WatchdogArgs};
use crate::outcome::{Outcome, Trouble, while_doing};
use crate::print::{self, Table};
use crate::{load, node, runtime, show, simulate};

/// What `mainstay drill --load` takes: all that `mainstay load` does.
#[derive(Debug, Parser)]
#[command(name = "mainstay drill --load")]
struct LoadAlone {
    #[command(flatten)]
    load: LoadArgs,
}

/// `mainstay drill`
pub(crate) fn command(args: DrillArgs) -> Outcome {
    if let Some(words) = args.load {
        let words = std::iter::once("mainstay drill --load".into()).chain(words);
        return load::command(&LoadAlone::parse_from(words).load);
    }
    if let Some(file) = &args.experiment {
        return experiment(file, args.json);
    }
    let order = order(&args)?;
    let shows = std::io::stderr().is_terminal();
    let say = |text: &str| {
        if shows {
            print::note(text);
        }
    };
    let drilled = runtime()?.block_on(play(&order, &say)).map_err(|trouble| of_scenario(&args, trouble))?;
    let comparison = if args.compare { Some(compared(&args, &order, &drilled)?) } else { None };
    let shown = shown(&drilled, comparison.as_ref());
    if args.json {
        let mut report = to_json(&drilled);
        if let Some(comparison) = &comparison {
            report["comparison"] = comparison.to_json();
        }
        print::json(&report)?;
    } else {
        tell(&drilled, &shown, comparison.as_ref())?;
    }
    show::pictures(&shown, &args.pictures)?;
    if drilled.is_well() { Ok(()) } else { Err(Trouble::failed(verdict(&drilled))) }
}

/// What is shown: with a comparison, fact and prediction on the same axes.
fn shown<'a>(drilled: &'a Drilled, comparison: Option<&'a Comparison>) -> Shown<'a> {
    let real = Side { name: "real", report: &drilled.report };
    let simulated = comparison.map(|comparison| Side { name: "simulated", report: &comparison.simulated });
    Shown { play: real, beside: simulated, differences: &[] }
}

/// A drill for people: the play as a simulated one is told, and what a drill has besides.
fn tell(drilled: &Drilled, shown: &Shown<'_>, comparison: Option<&Comparison>) -> Outcome {
    let steady = &drilled.steady;
    for note in &drilled.notes {
        print::result(note)?;
    }
    print::result(format_args!("before anything was broken: {} of {} calls good\n", steady.good, steady.requests))?;
    show::summary(shown)?;
    if let Some(comparison) = comparison {
        print::result(Nearness(comparison))?;
    }
    print::result(Left(drilled))
}

/// The program and the arguments of the watchdog.
fn watchdog_command() -> Outcome<Vec<String>> {
    let program = std::env::current_exe().map_err(while_doing("finding this program"))?;
    Ok(vec![program.display().to_string(), "watchdog".to_owned()])
}

/// An experiment of Chaos Toolkit.
fn experiment(file: &Path, as_json: bool) -> Outcome {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Trouble::wrong(format!("cannot read {}: {error}", file.display())))?;
    let experiment = mainstay_drill::experiment::read(&text, |name| std::env::var(name).ok());
    let experiment = experiment.map_err(|refused| Trouble::wrong(format!("{}: {refused}", file.display())))?;
    let say = |text: &str| print::note(text);
    let watchdog = watchdog_command()?;
    let played = mainstay_drill::experiment::play(&experiment, &watchdog, &say);
    let journal = runtime()?.block_on(played).map_err(trouble)?;
    if as_json {
        print::json(&journal.json)?;
    } else {
        print::result(Lines(&journal.json))?;
    }
    if journal.is_well { Ok(()) } else { Err(Trouble::failed("the experiment did not go as it should: see above")) }
}

/// A journal for people.
struct Lines<'a>(&'a serde_json::Value);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(journal) = self;
        let word = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
        writeln!(f, "{}\n", word(&journal["title"]))?;
        let mut table = Table::new(&["WHEN", "WHAT", "CAME"]);
        let parts = [
            ("before", &journal["steady_states"]["before"]["probes"]),
            ("method", &journal["run"]),
            ("after", &journal["steady_states"]["after"]["probes"]),
            ("rollback", &journal["rollbacks"]),
        ];
        for (when, list) in parts {
            for done in list.as_array().into_iter().flatten() {
                let met = if done["tolerance_met"] == false { "not as it should be" } else { "" };
                let trouble = done["exception"].as_str().unwrap_or(met);
                table.row([when.to_owned(), word(&done["activity"]), format!("{} {trouble}", word(&done["status"]))]);
            }
        }
        let kept = if journal["deviated"] == true { "the steady state was left" } else { "the steady state held" };
        write!(f, "{table}\n\n{}; {kept}", word(&journal["status"]))
    }
}

/// `mainstay watchdog`
pub(crate) fn watchdog(args: &WatchdogArgs) -> Outcome {
    let silence = std::time::Duration::from_nanos(args.silence.as_nanos());
    let all = mainstay_drill::watchdog::watch(silence).map_err(while_doing("watching"))?;
    if all { Ok(()) } else { Err(Trouble::silent(1)) }
}

fn trouble(trouble: mainstay_drill::Trouble) -> Trouble {
    match trouble {
        mainstay_drill::Trouble::Wrong(what) => Trouble::wrong(what),
        mainstay_drill::Trouble::Failed(what) => Trouble::failed(what),
    }
}

/// Where a scenario cannot be played there may be several reasons, each a line.
fn of_scenario(args: &DrillArgs, came: mainstay_drill::Trouble) -> Trouble {
    match came {
        mainstay_drill::Trouble::Wrong(reasons) => {
            let named = args.scenario.as_deref().unwrap_or_default();
            Trouble::wrong(format!("{named} cannot be played here:\n  {}", reasons.replace('\n', "\n  ")))
        }
        failed => trouble(failed),
    }
}

fn order(args: &DrillArgs) -> Outcome<Order> {
    let file = args.config.clone().unwrap_or_else(|| "mainstay.toml".into());
    let loaded = ConfigFile::new(&file, args.set.clone()).load().map_err(|error| node::explained(&error))?;
    let named = args.scenario.clone().unwrap_or_default();
    let mut scenario = simulate::scenario(&named, &loaded.config)?;
    scenario.seed = args.seed.unwrap_or(scenario.seed);
    let program = std::env::current_exe().map_err(while_doing("finding this program"))?;
    let words = |command: &String| command.split_whitespace().map(str::to_owned).collect();
    let (instance, restart) = (args.instance.as_ref().map(words), args.restart.as_ref().map(words));
    let said = scenario.guard;
    scenario.guard = Guard {
        steady: args.steady.unwrap_or(said.steady),
        good: args.guard.or(said.good),
        p99: args.guard_p99.or(said.p99),
        seconds: args.guard_seconds.unwrap_or(said.seconds),
        max_victims: args.max_victims.unwrap_or(said.max_victims),
        ..said
    };
    let replay = replay(args, &file, &named, scenario.seed);
    Ok(Order {
        file,
        config: loaded.config,
        scenario,
        watchdog: watchdog_command()?,
        programs: Programs { mainstay: program, instance, running: args.running, restart },
        set: args.set.clone(),
        replay,
    })
}

/// The same scenario in virtual time, beside what came.
fn compared(args: &DrillArgs, order: &Order, drilled: &Drilled) -> Outcome<Comparison> {
    let refused = |why: Vec<String>| Trouble::wrong(format!("it cannot be simulated: {}", why.join("\n")));
    let (config, scenario) = (&order.config, &order.scenario);
    let latency = match args.latency {
        Some(latency) => latency,
        None => calibrate(config, scenario, drilled.steady_p50_ms).map_err(refused)?,
    };
    mainstay_drill::compare::compare(config, scenario, latency, drilled.report.clone()).map_err(refused)
}

/// The line that plays the same again.
fn replay(args: &DrillArgs, config: &Path, scenario: &str, seed: u64) -> String {
    let quoted = simulate::quoted;
    let set: String =
        args.set.iter().map(|(key, value)| format!(" --set {}", quoted(&format!("{key}={value}")))).collect();
    let config = quoted(&config.to_string_lossy());
    format!("mainstay drill -c {config}{set} -s {} --seed {seed}", quoted(scenario))
}

/// What did not hold, in a sentence.
fn verdict(drilled: &Drilled) -> String {
    let mut why = Vec::new();
    if let Some(aborted) = &drilled.aborted {
        why.push(format!("the drill was broken off: {aborted}"));
    }
    let left = drilled.proofs.iter().filter(|proof| !proof.gone).count();
    if left > 0 {
        why.push(format!("{left} things are left: see above"));
    }
    if !drilled.report.held {
        why.push("what had to hold did not".to_owned());
    }
    why.join("; ")
}

/// The report with what a drill has besides.
fn to_json(drilled: &Drilled) -> serde_json::Value {
    let mut report = serde_json::to_value(&drilled.report).unwrap_or_default();
    let left = drilled.proofs.iter().filter(|proof| !proof.gone).count();
    report["steady"] = json!({ "requests": drilled.steady.requests, "good": drilled.steady.good });
    report["aborted"] = json!(drilled.aborted);
    report["notes"] = json!(drilled.notes);
    report["undone"] = json!(drilled.proofs);
    report["left"] = json!(left);
    report
}

/// What is left of a drill, and what broke it off.
struct Left<'a>(&'a Drilled);

impl fmt::Display for Left<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Drilled { aborted, proofs, .. } = self.0;
        write!(f, "\nis nothing left?")?;
        for proof in proofs {
            write!(f, "\n  {}  {}: {}", if proof.gone { "clean" } else { "LEFT " }, proof.what, proof.seen)?;
        }
        match aborted {
            Some(aborted) => write!(f, "\n\nbroken off: {aborted}"),
            None => Ok(()),
        }
    }
}

/// How near the prediction came.
struct Nearness<'a>(&'a Comparison);

impl fmt::Display for Nearness<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(comparison) = self;
        let share = comparison.p99_share().map_or_else(|| "-".to_owned(), |share| format!("{:+.0} %", share * 100.0));
        let near = if comparison.is_near() { "as near as it is to be" } else { "FURTHER OFF than it is to be" };
        let (points, most) = (comparison.points(), SHARE * 100.0);
        writeln!(f, "\na way takes {} here", comparison.latency)?;
        write!(f, "good differs by {points:+.2} points and p99 by {share}: {near} ({POINTS} points, {most:.0} %)")
    }
}
