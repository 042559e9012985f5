//! The look at the end: everything that was touched is looked at, whatever has been said of its undoing.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::ask::Ask;
use crate::keeper::Undone;
use crate::link::Link;
use crate::plan::{Deed, Spell};
use crate::process::Identity;
use crate::stage::{Stage, Way};
use crate::trouble::Outcome;

/// How long something may take to show that it is well again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Something that was touched, and whether nothing of it is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// What was touched.
    pub what: String,
    /// Nothing of it is left.
    pub gone: bool,
    /// What was seen.
    pub seen: String,
}

fn proof(what: impl Into<String>, seen: Result<String, String>) -> Proof {
    let (gone, seen) = match seen {
        Ok(seen) => (true, seen),
        Err(seen) => (false, seen),
    };
    Proof { what: what.into(), gone, seen }
}

/// Looks at every instance that was struck, and whether the gateway has a fault.
pub(crate) async fn of_faults(spells: &[Spell], stage: &mut Stage) -> Vec<Proof> {
    let mut proofs = Vec::new();
    let struck: BTreeSet<usize> = spells.iter().map(|spell| spell.member).collect();
    for member in struck {
        let deeds = spells.iter().filter(|spell| spell.member == member).map(|spell| &spell.deed);
        let end = Instant::now() + PATIENCE;
        let seen = loop {
            match well(member, deeds.clone(), stage).await {
                Err(_) if Instant::now() < end => sleep(Duration::from_millis(50)).await,
                seen => break seen,
            }
        };
        proofs.push(proof(stage.instances[member].member.name.clone(), seen));
    }
    proofs.push(proof("the gateway's own faults", no_fault_in_gateway(stage).await));
    proofs
}

/// Whether an instance runs, answers, and has none of its faults any more.
async fn well<'a>(member: usize, deeds: impl Iterator<Item = &'a Deed>, stage: &Stage) -> Result<String, String> {
    let mut seen = match stage.process(member) {
        Some(process) if !process.is_there() => return Err("it does not run".to_owned()),
        Some(process) if process.stands_still() => return Err("it stands still".to_owned()),
        Some(process) => format!("process {} runs and answers", process.pid),
        None => "it answers".to_owned(),
    };
    stage.answers(member).await?;
    let instance = &stage.instances[member];
    for deed in deeds {
        match deed {
            Deed::Told(_) if !seen.contains("fault") => {
                let ask = Ask::new("GET", instance.address.to_string(), "/_fault");
                let told = ask.send(Duration::from_secs(2)).await.map_err(|error| error.to_string())?;
                if !told.contains("\"off\"") {
                    return Err(format!("it has a fault: {}", told.trim()));
                }
                seen.push_str(", has no fault");
            }
            Deed::Way(_) if !seen.contains("way") => {
                let is_well = match &instance.way {
                    Way::Plain => true,
                    Way::Proxy(proxy) => proxy.is_well(),
                    Way::Link(link) => link.is_well().await,
                };
                if !is_well {
                    return Err("the way to it is ill".to_owned());
                }
                seen.push_str(", the way to it is well");
            }
            _ => {}
        }
    }
    Ok(seen)
}

async fn no_fault_in_gateway(stage: &Stage) -> Result<String, String> {
    let ask = Ask::new("GET", stage.admin.to_string(), "/v1/services").token(stage.token.clone());
    let text = ask.send(Duration::from_secs(5)).await.map_err(|error| error.to_string())?;
    let services: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let has_fault = |service: &&serde_json::Value| !service["fault"].is_null();
    match services["services"].as_array().into_iter().flatten().find(has_fault) {
        Some(service) => Err(format!("the service {} has one: {}", service["name"], service["fault"])),
        None => Ok("no service has one".to_owned()),
    }
}

/// Looks whether what was started has ended.
pub(crate) fn of_stage(processes: &[(String, Identity)], links: &[Link], dir: &Path) -> Vec<Proof> {
    let left: Vec<String> = processes
        .iter()
        .filter(|(_, process)| process.is_there())
        .map(|(name, process)| format!("{name} ({})", process.pid))
        .collect();
    let seen = match left.as_slice() {
        [] => Ok(format!("all {} have ended", processes.len())),
        left => Err(format!("still there: {}", left.join(", "))),
    };
    let files = if dir.exists() { Err(format!("{} is there", dir.display())) } else { Ok("it is gone".to_owned()) };
    let mut proofs = vec![proof("the processes that were started", seen), proof("the drill's directory", files)];
    if !links.is_empty() {
        proofs.push(proof("the network namespaces", no_link(links)));
    }
    proofs
}

fn no_link(links: &[Link]) -> Result<String, String> {
    match links.iter().find(|link| link.is_there()) {
        Some(link) => Err(format!("{link} is there")),
        None => Ok(format!("none of {} is there, nor its link and filters", links.len())),
    }
}

/// What could not be undone, and what the watchdog had to undo.
pub(crate) fn of_undone(undone: &[Undone]) -> Vec<Proof> {
    let told = |undone: &Undone| match &undone.trouble {
        Some(trouble) => Some(proof(undone.what.clone(), Err(format!("to {} failed: {trouble}", undone.undo)))),
        None if undone.by_watchdog => {
            Some(proof(undone.what.clone(), Ok(format!("its lease passed; the watchdog did {}", undone.undo))))
        }
        None => None,
    };
    undone.iter().filter_map(told).collect()
}

pub(crate) fn of_watchdog(ended: Outcome) -> Proof {
    proof("the watchdog", ended.map(|()| "it holds nothing and has ended".to_owned()).map_err(|t| t.to_string()))
}
