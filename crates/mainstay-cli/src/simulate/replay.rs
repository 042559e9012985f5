//! `mainstay simulate --replay`: what a gateway decided, decided again.
//!
//! Each worker's recording is played for itself. A recording that is torn at its end (its node was killed) is worth what
//! is there of it; one that is damaged, or of another format, is not what it says, and that is a failure.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use mainstay_config::Config;
use mainstay_node::ConfigFile;
use mainstay_policy::ServiceSettings;
use mainstay_policy::recording::{Damage, Ending, Recording, file};
use mainstay_sim::replay::{Difference, End, Replayed, differing, replay, replay_altered, said, told};
use serde_json::{Value, json};

use crate::args::SimulateArgs;
use crate::outcome::{Outcome, Trouble, while_doing};
use crate::{node, print};

/// `mainstay simulate --replay DIR`
pub(super) fn command(args: &SimulateArgs, directory: &Path) -> Outcome {
    let other = other_configuration(args)?;
    let mut played = Vec::new();
    while let Some(worker) = play(directory, played.len(), other.as_ref())? {
        played.push(worker);
    }
    if played.is_empty() {
        return Err(Trouble::wrong(format!("{} has no recording: {} is missing", directory.display(), file::name(0))));
    }
    if args.json { print::json(&to_json(&played)) } else { print::result(to_text(&played)) }?;
    if is_the_same(&played) { Ok(()) } else { Err(Trouble::silent(1)) }
}

/// The configuration to ask about, where one is named.
fn other_configuration(args: &SimulateArgs) -> Outcome<Option<Config>> {
    if args.own_config().is_none() && args.set.is_empty() {
        return Ok(None);
    }
    let loaded = ConfigFile::new(args.config(), args.set.clone()).load();
    loaded.map(|loaded| Some(loaded.config)).map_err(|error| node::explained(&error))
}

/// What became of one worker's recording.
type Played = Result<Replayed, Damage>;

/// Plays the recording of one worker; none where there is none.
fn play(directory: &Path, worker: usize, other: Option<&Config>) -> Outcome<Option<Played>> {
    let path = directory.join(file::name(worker));
    let file = match fs::read(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(while_doing(format!("reading {}", path.display()))(error)),
    };
    Ok(Some(Recording::open(&file).map(|recording| {
        let workers = recording.head().workers;
        match other {
            Some(other) => replay_altered(recording, &|name, settings| alter(other, workers, name, settings)),
            None => replay(recording),
        }
    })))
}

/// The settings of a service as another configuration has them.
fn alter(other: &Config, workers: u32, name: &str, settings: &mut ServiceSettings) {
    if let Some(service) = other.services.iter().find(|service| service.name == name) {
        *settings = service.policy.per_worker(workers);
    }
}

/// Every worker's recording is there, and nothing in it was decided otherwise.
fn is_the_same(played: &[Played]) -> bool {
    missing(played) == 0
        && played.iter().all(|worker| match worker {
            Ok(replayed) => matches!(replayed.end, End::Recording(_) | End::Damage(Damage::Torn { .. })),
            Err(_) => false,
        })
}

/// Workers whose recording is not there.
fn missing(played: &[Played]) -> usize {
    let workers = played.iter().flatten().map(|replayed| replayed.head.workers).max().unwrap_or(0);
    (workers as usize).saturating_sub(played.len())
}

fn to_text(played: &[Played]) -> String {
    let mut lines = Vec::new();
    for (worker, played) in played.iter().enumerate() {
        match played {
            Ok(replayed) => {
                let Replayed { calls, same, .. } = replayed;
                let end = ending(replayed.end);
                lines.push(format!("worker {worker}: {calls} calls, {same} decisions the same; {end}"));
                lines.extend(replayed.difference.iter().flat_map(|difference| to_lines(difference)));
            }
            Err(damage) => lines.push(format!("worker {worker}: {damage}")),
        }
    }
    for worker in played.len()..played.len() + missing(played) {
        lines.push(format!("worker {worker}: its recording is missing"));
    }
    let same: u64 = played.iter().flatten().map(|replayed| replayed.same).sum();
    lines.push(match is_the_same(played) {
        true => format!("all {same} decisions are the same"),
        false => format!("not all is the same: {same} decisions are"),
    });
    lines.join("\n")
}

fn ending(end: End) -> String {
    match end {
        End::Recording(why) => format!("to its end: {}", why.as_str()),
        End::Damage(damage) => damage.to_string(),
        End::Unfit { steps } => format!("step {steps} is about something that never began"),
        End::Difference => "the next one differs".to_owned(),
    }
}

fn to_lines(difference: &Difference) -> Vec<String> {
    let Difference { steps, now, service, call, facts, step, gateway, replay, asked_otherwise, view } = difference;
    let whose = call.map_or_else(String::new, |call| format!("call {}, ", call.0));
    let at = now.as_nanos() as f64 / 1e9;
    let mut lines = vec![format!("  {whose}service {service}, {at:.6} s after the start, step {steps}")];
    lines.extend(facts.map(|facts| format!("  the call  {facts:?}")));
    lines.push(format!("  told      {}", told(step)));
    let block = |name: &str, said: Vec<String>| {
        let names = std::iter::once(name.to_owned()).chain(std::iter::repeat(String::new()));
        names.zip(said).map(|(name, line)| format!("  {name:<9} {line}")).collect::<Vec<_>>()
    };
    lines.extend(block("gateway", said(gateway)));
    lines.extend(block("replay", said(replay)));
    lines.extend(block("differs", differing(gateway, replay)));
    if *asked_otherwise {
        lines.push("  asked     something else of the permits that workers share".to_owned());
    }
    let budget = view.budget.map_or_else(|| "none".to_owned(), |tokens| format!("{tokens:.2} tokens"));
    lines.push(format!(
        "  replayed  breaker {}, retry budget {budget}, {} attempts under way",
        view.breaker, view.in_use
    ));
    for endpoint in &view.endpoints {
        lines.push(format!("            {} {} ({:?})", endpoint.address, endpoint.state.as_str(), endpoint.id));
    }
    lines
}

fn to_json(played: &[Played]) -> Value {
    let workers: Vec<_> = played.iter().enumerate().map(|(worker, played)| worker_json(worker, played)).collect();
    let sum = |of: fn(&Replayed) -> u64| played.iter().flatten().map(of).sum::<u64>();
    json!({
        "same": is_the_same(played),
        "calls": sum(|replayed| replayed.calls),
        "decisions": sum(|replayed| replayed.same),
        "missing": missing(played),
        "workers": workers,
    })
}

fn worker_json(worker: usize, played: &Played) -> Value {
    match played {
        Ok(replayed) => json!({
            "worker": worker,
            "version": &*replayed.head.version,
            "steps": replayed.steps,
            "calls": replayed.calls,
            "decisions": replayed.same,
            "end": end_json(replayed.end),
            "difference": replayed.difference.as_deref().map(difference_json),
        }),
        Err(damage) => json!({ "worker": worker, "end": end_json(End::Damage(*damage)) }),
    }
}

/// A word and, where there is one, a place.
fn end_json(end: End) -> Value {
    let (word, at) = match end {
        End::Recording(Ending::Stopped) => ("stopped", None),
        End::Recording(Ending::Full) => ("full", None),
        End::Recording(Ending::Gap) => ("gap", None),
        End::Recording(Ending::Failed) => ("failed", None),
        End::Damage(Damage::Torn { at }) => ("torn", Some(at)),
        End::Damage(Damage::Damaged { at }) => ("damaged", Some(at)),
        End::Damage(Damage::OtherFormat { found }) => ("other_format", Some(found.into())),
        End::Damage(Damage::NoRecording) => ("no_recording", None),
        End::Unfit { steps } => ("unfit", Some(steps)),
        End::Difference => ("difference", None),
    };
    json!({ "why": word, "at": at })
}

fn difference_json(difference: &Difference) -> Value {
    let Difference { steps, now, service, call, facts, step, gateway, replay, asked_otherwise, .. } = difference;
    json!({
        "step": steps,
        "at_seconds": now.as_nanos() as f64 / 1e9,
        "service": &**service,
        "call": call.map(|call| call.0),
        "facts": facts.map(|facts| format!("{facts:?}")),
        "told": told(step),
        "gateway": said(gateway),
        "replay": said(replay),
        "differs": differing(gateway, replay),
        "asked_otherwise": asked_otherwise,
    })
}
