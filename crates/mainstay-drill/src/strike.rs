//! The spells of a scenario, begun and ended: signals, words to instances, faults of their way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mainstay_config::scenario::Scenario;
use mainstay_sim::report::FaultSpan;
use rustix::process::Signal;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::ask::Ask;
use crate::keeper::{Keeper, Lease};
use crate::plan::{Deed, Spell};
use crate::process::{Descriptors, Identity};
use crate::stage::{Stage, Way};
use crate::trouble::{Outcome, Trouble, while_doing};
use crate::undo::Undo;

/// How much longer than a fault its lease is: what the driller may take to undo it by itself.
const GRACE: Duration = Duration::from_secs(2);
/// A process that gets a share of its processor runs for that share of this.
const SLICE: Duration = Duration::from_millis(50);
/// How long an instance may take to hear of a fault.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is under way of a spell.
#[derive(Debug, Default)]
struct Begun {
    lease: Option<Lease>,
    slicer: Option<JoinHandle<()>>,
}

/// Begins and ends spells.
#[derive(Debug)]
pub(crate) struct Striker {
    /// Spells to begin, the next one last.
    coming: Vec<usize>,
    /// Spells that are under way.
    begun: BTreeMap<usize, Begun>,
    /// When each really began and ended.
    times: BTreeMap<usize, (Duration, Option<Duration>)>,
    /// When those that have not ended are due.
    ends: BTreeMap<usize, Duration>,
    trouble: Option<String>,
}

fn length(length: mainstay_core::Duration) -> Duration {
    Duration::from_nanos(length.as_nanos())
}

impl Striker {
    /// Of these spells, in the order in which they begin.
    pub(crate) fn new(spells: &[Spell]) -> Self {
        Self {
            coming: (0..spells.len()).rev().collect(),
            begun: BTreeMap::new(),
            times: spells.iter().enumerate().map(|(number, spell)| (number, (length(spell.from), None))).collect(),
            ends: spells.iter().enumerate().map(|(number, spell)| (number, length(spell.to))).collect(),
            trouble: None,
        }
    }

    /// When the next spell begins or ends.
    pub(crate) fn next(&self) -> Option<Duration> {
        let begins = self.coming.last().map(|number| self.times[number].0);
        let ends = self.begun.keys().map(|number| self.ends[number]).min();
        begins.into_iter().chain(ends).min()
    }

    /// What was wrong with the undoing of one, or its beginning.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Ends and begins what is due at `now`.
    pub(crate) async fn act(
        &mut self,
        now: Duration,
        spells: &[Spell],
        stage: &mut Stage,
        keeper: &mut Keeper,
        say: &dyn Fn(&str),
    ) -> Outcome {
        let due: Vec<usize> = self.begun.keys().copied().filter(|number| self.ends[number] <= now).collect();
        for number in due {
            self.end(number, &spells[number], stage, keeper).await?;
            self.finish(number, now);
        }
        while let Some(number) = self.coming.pop_if(|number| self.times[number].0 <= now) {
            let spell = &spells[number];
            say(&format!("{:.1} s  {}: {}", now.as_secs_f64(), stage.instances[spell.member].member.name, told(spell)));
            self.begun.insert(number, Begun::default());
            self.times.insert(number, (now, None));
            self.begin(number, spell, stage, keeper).await?;
        }
        Ok(())
    }

    fn finish(&mut self, number: usize, now: Duration) {
        self.begun.remove(&number);
        if let Some((_, end)) = self.times.get_mut(&number) {
            *end = Some(now);
        }
    }

    async fn begin(&mut self, number: usize, spell: &Spell, stage: &mut Stage, keeper: &mut Keeper) -> Outcome {
        let lease = length(spell.to).saturating_sub(length(spell.from)) + GRACE;
        let name = stage.instances[spell.member].member.name.clone();
        let process = || stage.process(spell.member).ok_or_else(|| Trouble::failed(format!("{name} does not run")));
        match &spell.deed {
            Deed::Down => {
                if let Some(undo) = stage.restart(spell.member) {
                    self.hold(number, keeper, format!("{name} was ended"), undo, lease).await?;
                }
                stage.kill(spell.member, keeper).await;
            }
            Deed::Still => {
                let process = process()?;
                self.hold(number, keeper, format!("{name} stands still"), Undo::GoOn { process }, lease).await?;
                process.signal(Signal::STOP).map_err(while_doing(format_args!("stopping {name}")))?;
            }
            Deed::Throttled(share) => {
                let process = process()?;
                let what = format!("{name} gets {share} of its processor");
                self.hold(number, keeper, what, Undo::GoOn { process }, lease).await?;
                let slicer = tokio::spawn(slice(process, SLICE.mul_f64(share.get())));
                self.begun.entry(number).or_default().slicer = Some(slicer);
            }
            Deed::NoDescriptors => {
                let process = process()?;
                let doing = || while_doing(format!("taking the descriptors of {name}"));
                let limit = process.descriptor_limit().map_err(doing())?;
                let undo = Undo::GiveDescriptors { process, limit };
                self.hold(number, keeper, format!("{name} has no descriptor left"), undo, lease).await?;
                let held = process.descriptors().map_err(doing())?;
                let fewer = Descriptors { soft: Some(held), ..limit };
                process.limit_descriptors(fewer).map_err(doing())?;
            }
            Deed::Told(fault) => {
                let address = stage.instances[spell.member].address.to_string();
                let ask = Ask::new("DELETE", address.clone(), "/_fault");
                let what = format!("{name} was told of a fault: {fault}");
                self.hold(number, keeper, what, Undo::Tell { ask }, lease).await?;
                let tell = Ask::new("PUT", address, "/_fault").body(fault);
                tell.send(PATIENCE).await.map_err(|error| Trouble::failed(error.to_string()))?;
            }
            Deed::Way(ill) => match &stage.instances[spell.member].way {
                // It ends with this process, so there is nothing that anybody else could undo.
                Way::Proxy(proxy) => proxy.set(Some(*ill)),
                Way::Link(link) => {
                    let undo = Undo::Clear { link: link.clone() };
                    self.hold(number, keeper, format!("the way to {name} {ill}"), undo, lease).await?;
                    link.set(*ill).await.map_err(Trouble::failed)?;
                }
                Way::Plain => return Err(Trouble::failed(format!("nothing stands before {name}"))),
            },
            Deed::Hooked(fault) => {
                let instance = &stage.instances[spell.member];
                let (admin, token) = (stage.admin.to_string(), stage.token.clone());
                let path = format!("/v1/services/{}/fault", instance.member.service);
                let mut order = fault.clone();
                order["endpoint"] = json!(instance.front.to_string());
                // The gateway ends it by itself too.
                order["lease"] = json!(format!("{}ms", lease.as_millis()));
                let ask = Ask::new("DELETE", admin.clone(), path.clone()).token(token.clone());
                let what = format!("the gateway has a fault at {name}: {fault}");
                self.hold(number, keeper, what, Undo::Tell { ask }, lease).await?;
                let tell = Ask::new("PUT", admin, path).token(token).body(&order);
                tell.send(PATIENCE).await.map_err(|error| Trouble::failed(error.to_string()))?;
            }
        }
        Ok(())
    }

    async fn hold(&mut self, number: usize, keeper: &mut Keeper, what: String, undo: Undo, lease: Duration) -> Outcome {
        let lease = keeper.hold(what, undo, Some(lease)).await?;
        self.begun.entry(number).or_default().lease = Some(lease);
        Ok(())
    }

    async fn end(&mut self, number: usize, spell: &Spell, stage: &mut Stage, keeper: &mut Keeper) -> Outcome {
        let begun = self.begun.remove(&number).unwrap_or_default();
        if let Some(slicer) = begun.slicer {
            slicer.abort();
            // It ends where it waits, which is after a signal and never in the middle of one.
            let _ = slicer.await;
        }
        if let Some(lease) = begun.lease {
            keeper.undo(lease).await;
        }
        match &spell.deed {
            Deed::Down => stage.start(spell.member, keeper).await,
            Deed::Way(_) => {
                if let Way::Proxy(proxy) = &stage.instances[spell.member].way {
                    proxy.set(None);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Ends whatever is under way, on every way out.
    pub(crate) async fn end_all(&mut self, spells: &[Spell], now: Duration, stage: &mut Stage, keeper: &mut Keeper) {
        while let Some((&number, _)) = self.begun.last_key_value() {
            if let Err(trouble) = self.end(number, &spells[number], stage, keeper).await {
                self.trouble = Some(trouble.to_string());
            }
            self.finish(number, now);
        }
    }

    /// What was done to whom, and when.
    pub(crate) fn spans(&self, spells: &[Spell], stage: &Stage, scenario: &Scenario) -> Vec<FaultSpan> {
        let coming: BTreeSet<usize> = self.coming.iter().copied().collect();
        let mut spans: BTreeMap<(usize, usize), FaultSpan> = BTreeMap::new();
        for (number, spell) in spells.iter().enumerate().filter(|(number, _)| !coming.contains(number)) {
            let (from, to) = self.times[&number];
            let (from, to) = (from.as_secs_f64(), to.unwrap_or(from).as_secs_f64());
            let span = spans.entry((spell.fault, spell.member)).or_insert_with(|| FaultSpan {
                kind: scenario.faults[spell.fault].kind.word().to_owned(),
                target: stage.instances[spell.member].member.name.clone(),
                from_second: from,
                to_second: to,
            });
            span.to_second = span.to_second.max(to);
        }
        spans.into_values().chain(crate::play::surges(scenario)).collect()
    }
}

/// Lets a process run for a part of each slice, for ever.
async fn slice(process: Identity, runs: Duration) {
    loop {
        if process.signal(Signal::STOP).is_err() {
            return;
        }
        tokio::time::sleep(SLICE.saturating_sub(runs)).await;
        if process.signal(Signal::CONT).is_err() {
            return;
        }
        tokio::time::sleep(runs).await;
    }
}

fn told(spell: &Spell) -> String {
    match &spell.deed {
        Deed::Down => "is ended".to_owned(),
        Deed::Still => "stands still".to_owned(),
        Deed::Throttled(share) => format!("gets {share} of its processor"),
        Deed::NoDescriptors => "gets no descriptor any more".to_owned(),
        Deed::Told(fault) => format!("is told {fault}"),
        Deed::Hooked(fault) => format!("the gateway is told {fault}"),
        Deed::Way(ill) => format!("the way to it {ill}"),
    }
}
