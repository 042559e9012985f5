//! Chaos Toolkit's experiments: a hypothesis about the steady state, a method that may upset it, rollbacks.
//!
//! In: the JSON of an experiment (open specification, version 1.0). Out: a journal in its words. The hypothesis is looked
//! at first, and nothing is done when it does not hold; then the method is played, the hypothesis is looked at again, and
//! the rollbacks are played, whatever came. They are held by the [`watchdog`](crate::watchdog) from before the method
//! begins, so that they are also played when the driller is killed. What is not understood (a provider in Python, a
//! control) is refused with its place before anything is done.

mod read;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::keeper::Keeper;
use crate::trouble::{Outcome, Trouble};
use crate::undo::{Undo, run};

use read::{Activity, Kind, Provider, Tolerance};
pub use read::{Experiment, Refused, read};

/// What an experiment came to.
#[derive(Debug, Clone)]
pub struct Journal {
    /// In the words of Chaos Toolkit: `status`, `deviated`, `steady_states`, `run`, `rollbacks`.
    pub json: Value,
    /// The hypothesis held before and after, and everything was rolled back.
    pub is_well: bool,
}

/// What an activity gave.
#[derive(Debug, Clone)]
struct Done {
    output: Value,
    trouble: Option<String>,
    took: Duration,
}

/// Plays an experiment; `watchdog` is its program and arguments.
///
/// # Errors
/// The watchdog does not begin, or a rollback could not be held.
pub async fn play(experiment: &Experiment, watchdog: &[String], say: &dyn Fn(&str)) -> Outcome<Journal> {
    let (program, arguments) = watchdog.split_first().ok_or_else(|| Trouble::wrong("no watchdog is named"))?;
    let mut keeper = Keeper::start(program.as_ref(), arguments)?;
    let (met, before) = hypothesis(experiment, say).await;
    if !met {
        keeper.end().await?;
        let json = json!({
            "title": experiment.title, "status": "failed", "deviated": false,
            "steady_states": { "before": before, "after": null }, "run": [], "rollbacks": [],
        });
        return Ok(Journal { json, is_well: false });
    }
    // What is held last is undone first, and rollbacks are played in their order.
    for activity in experiment.rollbacks.iter().rev() {
        keeper.hold(activity.name.clone(), activity.undo(), None).await?;
    }
    let (run, interrupted) = method(experiment, say).await;
    let (kept, after) = hypothesis(experiment, say).await;
    say("rolling back");
    for activity in &experiment.rollbacks {
        sleep(activity.before).await;
    }
    keeper.undo_all().await;
    let undone = keeper.undone().iter().map(|undone| {
        let status = if undone.trouble.is_none() { "succeeded" } else { "failed" };
        json!({ "activity": undone.what, "status": status, "exception": undone.trouble })
    });
    let rollbacks: Vec<Value> = undone.collect();
    let rolled_back = rollbacks.iter().all(|done| done["status"] == "succeeded");
    let ended = keeper.end().await;
    let failed = run.iter().any(|done| done["status"] == "failed");
    let status = match (interrupted, failed) {
        (true, _) => "interrupted",
        (_, true) => "failed",
        _ => "completed",
    };
    let json = json!({
        "title": experiment.title, "status": status, "deviated": !kept,
        "steady_states": { "before": before, "after": after }, "run": run, "rollbacks": rollbacks,
    });
    Ok(Journal { json, is_well: status == "completed" && kept && rolled_back && ended.is_ok() })
}

/// Looks at every probe until one is not as it should be.
async fn hypothesis(experiment: &Experiment, say: &dyn Fn(&str)) -> (bool, Value) {
    let Some((title, probes)) = &experiment.hypothesis else { return (true, Value::Null) };
    say(&format!("looking at the steady state: {title}"));
    let mut told = Vec::new();
    let mut met = true;
    for probe in probes {
        let done = probe.carry_out().await;
        let tolerated = done.trouble.is_none() && probe.tolerance.as_ref().is_none_or(|t| t.allows(&done.output));
        let mut line = line(probe, &done);
        line["tolerance_met"] = json!(tolerated);
        told.push(line);
        if !tolerated {
            say(&format!("  {} is not as it should be: {}", probe.name, done.output));
            met = false;
            break;
        }
    }
    (met, json!({ "title": title, "steady_state_met": met, "probes": told }))
}

/// Plays the method; whether it was interrupted.
async fn method(experiment: &Experiment, say: &dyn Fn(&str)) -> (Vec<Value>, bool) {
    let mut told = Vec::new();
    let mut behind: Vec<(Activity, JoinHandle<Done>)> = Vec::new();
    let mut interrupted = false;
    for activity in &experiment.method {
        say(&activity.name);
        let pass = async {
            sleep(activity.before).await;
            if activity.background {
                let own = activity.clone();
                return Err(tokio::spawn(async move { own.carry_out().await }));
            }
            let done = activity.carry_out().await;
            sleep(activity.after).await;
            Ok(done)
        };
        tokio::select! {
            done = pass => match done {
                Ok(done) => told.push(line(activity, &done)),
                Err(task) => behind.push((activity.clone(), task)),
            },
            _ = tokio::signal::ctrl_c() => {
                interrupted = true;
                break;
            }
        }
    }
    for (activity, task) in behind {
        if interrupted {
            task.abort();
        }
        if let Ok(done) = task.await {
            told.push(line(&activity, &done));
        }
    }
    (told, interrupted)
}

fn line(activity: &Activity, done: &Done) -> Value {
    let kind = match activity.kind {
        Kind::Probe => "probe",
        Kind::Action => "action",
    };
    json!({
        "activity": activity.name, "type": kind, "output": done.output, "duration": done.took.as_secs_f64(),
        "status": if done.trouble.is_some() { "failed" } else { "succeeded" }, "exception": done.trouble,
    })
}

impl Activity {
    /// As something that the watchdog can do.
    fn undo(&self) -> Undo {
        match &self.provider {
            Provider::Http { ask, .. } => Undo::Tell { ask: ask.clone() },
            Provider::Process { command, .. } => Undo::Run { command: command.clone() },
        }
    }

    async fn carry_out(&self) -> Done {
        let began = Instant::now();
        let (output, trouble) = match &self.provider {
            Provider::Http { ask, timeout, expected } => match ask.answer(*timeout).await {
                Ok(answer) => {
                    let right = expected.is_none_or(|expected| expected == answer.status);
                    let body = String::from_utf8_lossy(&answer.body).into_owned();
                    let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
                    let trouble = (!right).then(|| format!("{ask}: status {}", answer.status));
                    (json!({ "status": answer.status, "body": body }), trouble)
                }
                Err(error) => (Value::Null, Some(error.to_string())),
            },
            Provider::Process { command, timeout } => match run(command, *timeout).await {
                Ok((status, out, err)) => (json!({ "status": status, "stdout": out, "stderr": err }), None),
                Err(why) => (Value::Null, Some(why)),
            },
        };
        Done { output, trouble, took: began.elapsed() }
    }
}

impl Tolerance {
    /// Whether what a probe gave is as it should be.
    fn allows(&self, output: &Value) -> bool {
        let status = &output["status"];
        match self {
            Self::Status(wanted) => status == wanted,
            Self::OneOf(all) => all.contains(status),
            Self::Success(wanted) => {
                (status == &json!(0) || status.as_u64().is_some_and(|s| (200..300).contains(&s))) == *wanted
            }
            Self::Range { from, to, target } => {
                let value = &output[target.as_str()];
                let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
                number.is_some_and(|number| (*from..=*to).contains(&number))
            }
            Self::Regex { pattern, target } => {
                let value = &output[target.as_str()];
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                pattern.is_match(text.as_bytes())
            }
            Self::Path { path, expect, target } => {
                let found = path.iter().try_fold(&output[target.as_str()], |value, step| match step.parse::<usize>() {
                    Ok(index) if value.is_array() => value.get(index),
                    _ => value.get(step),
                });
                found.is_some_and(|found| expect.is_empty() || expect.contains(found))
            }
        }
    }
}

#[cfg(test)]
mod tests;
