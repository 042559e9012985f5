//! A drill from its beginning to its end: look whether all is well, break things on a timeline, watch, undo, prove.
//!
//! The order is the point. What cannot be played is refused before anything is started; nothing is broken before the
//! steady state has been seen; no fault begins before its undoing is held by the watchdog; and the drill ends with a
//! look at everything that was touched, whose result is part of the report.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_config::scenario::{FaultKind, HoldWhat, Scenario, Victims};
use mainstay_config::{Config, Endpoints};
use mainstay_core::Ratio;
use mainstay_sim::report::{Event, FaultSpan, Played, Report};
use mainstay_sim::verdict::{Cause, hold, recovery};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use crate::books::{self, Arrivals, Callers};
use crate::callers;
use crate::guard::{Watchman, While};
use crate::keeper::Keeper;
use crate::load::{self, Count, Plan, Stop, Tally, locked};
use crate::look::{Gateway, Seen, Watch};
use crate::plan::{self, Spell};
use crate::proof::{self, Proof};
use crate::stage::{self, Programs, Stage};
use crate::strike::Striker;
use crate::trouble::{Outcome, Trouble, while_doing};

/// Without a line of `[hold]` so much must be good for a drill to begin.
const STEADY: Ratio = Ratio::percent(99);
/// How often the guard looks.
const LOOK: Duration = Duration::from_millis(100);
/// From the moment at which everything is ready to the first second.
const RUN_UP: Duration = Duration::from_millis(100);

/// What is to be played.
#[derive(Debug, Clone)]
pub struct Order {
    /// The configuration's file, for the gateway.
    pub file: PathBuf,
    /// What flags say over it.
    pub set: Vec<(String, String)>,
    /// What it says.
    pub config: Config,
    /// What happens.
    pub scenario: Scenario,
    /// What is started.
    pub programs: Programs,
    /// The program and the arguments of the watchdog.
    pub watchdog: Vec<String>,
    /// The line that plays it again.
    pub replay: String,
}

/// What a drill came to.
#[derive(Debug, Clone)]
pub struct Drilled {
    /// As of a simulation.
    pub report: Report,
    /// Calls before anything was broken, and how many of them were good.
    pub steady: Count,
    /// In the steady state, half of the calls were answered within this.
    pub steady_p50_ms: f64,
    /// Why it was broken off, if it was.
    pub aborted: Option<String>,
    /// What stood in for what, and the like; a sentence each.
    pub notes: Vec<String>,
    /// What was looked at in the end.
    pub proofs: Vec<Proof>,
}

impl Drilled {
    /// Whether everything held, and nothing is left.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.report.held && self.aborted.is_none() && self.proofs.iter().all(|proof| proof.gone)
    }
}

/// Plays a drill; `say` tells of its progress.
///
/// # Errors
/// It cannot be played, or does not begin because the steady state does not hold. Whatever was begun has been undone.
pub async fn play(order: &Order, say: &dyn Fn(&str)) -> Outcome<Drilled> {
    let members = if order.programs.running {
        stage::running_members(&order.config, &order.programs).await
    } else {
        stage::members(&order.config, &order.scenario, &order.programs)
    };
    let spells = check(order, &members)?;
    let wanted: Vec<_> = (0..members.len()).map(|at| plan::wanted(&spells, &members, at)).collect();
    let stand_ins = plan::stand_ins(&spells, &members, &wanted);
    let (program, arguments) = order.watchdog.split_first().ok_or_else(|| Trouble::wrong("no watchdog is named"))?;
    let mut keeper = Keeper::start(program.as_ref(), arguments)?;
    let set = if order.programs.running {
        Stage::take(order, members, &mut keeper).await
    } else {
        say("starting instances and a gateway");
        Stage::set(order, members, &wanted, &mut keeper).await
    };
    let mut stage = match set {
        Ok(stage) => stage,
        Err(trouble) => {
            keeper.undo_all().await;
            keeper.end().await?;
            return Err(trouble);
        }
    };
    stage.notes.extend(stand_ins);
    let played = play_on(order, &spells, &mut stage, &mut keeper, say).await;
    keeper.undo_faults().await;
    let mut proofs = match &played {
        Ok(_) => proof::of_faults(&spells, &mut stage).await,
        Err(_) => Vec::new(),
    };
    let (processes, links, notes) = (stage.processes(), stage.links(), std::mem::take(&mut stage.notes));
    let dir = stage.dir().to_owned();
    stage.strike(&mut keeper).await;
    keeper.undo_all().await;
    proofs.extend(proof::of_stage(&processes, &links, &dir));
    proofs.extend(proof::of_undone(keeper.undone()));
    proofs.push(proof::of_watchdog(keeper.end().await));
    let (report, Steady { count: steady, p50_ms: steady_p50_ms }, aborted) = played?;
    Ok(Drilled { report, steady, steady_p50_ms, aborted, notes, proofs })
}

/// Whether it can be played at all.
fn check(order: &Order, members: &[plan::Member]) -> Outcome<Vec<Spell>> {
    let unknown = order.scenario.workloads.iter().filter_map(|workload| callers::check(&order.config, workload).err());
    let mut refused: Vec<String> = unknown.collect();
    let writes_down = order.programs.instance.is_none() && !order.programs.running;
    let asked = order.scenario.holds.iter().filter(|_| !writes_down);
    let unknown = asked.filter(|hold| matches!(hold.what, HoldWhat::DuplicatedPosts(_) | HoldWhat::Wasted(_)));
    refused.extend(unknown.map(|hold| {
        let why = "only an instance that the drill starts itself writes down what reaches it";
        format!("hold.{}: {why}; play a copy of the scenario without this line", hold.key)
    }));
    match plan::spells(&order.scenario, members, order.scenario.guard.max_victims) {
        Ok(spells) if refused.is_empty() => Ok(spells),
        Ok(_) => Err(Trouble::wrong(refused.join("\n"))),
        Err(more) => {
            refused.extend(more);
            Err(Trouble::wrong(refused.join("\n")))
        }
    }
}

/// What was seen before anything was broken.
struct Steady {
    count: Count,
    p50_ms: f64,
}

type Came = (Report, Steady, Option<String>);

async fn play_on(
    order: &Order,
    spells: &[Spell],
    stage: &mut Stage,
    keeper: &mut Keeper,
    say: &dyn Fn(&str),
) -> Outcome<Came> {
    let steady = look_whether_steady(order, stage, say).await?;
    let gateway = gateway(stage);
    let start = Instant::now() + RUN_UP;
    let loads = Loads::start(order, stage, start)?;
    let watch = Watch::start(gateway.clone(), start);
    let mut striker = Striker::new(spells);
    let aborted = run(order, spells, stage, keeper, &loads, &mut striker, start, say).await;
    striker.end_all(spells, start.elapsed(), stage, keeper).await;
    if aborted.is_some() {
        loads.stop.stop();
    }
    let broken = striker.trouble().map(str::to_owned);
    let unsent = loads.wait().await?;
    if unsent > 0 {
        stage.notes.push(format!("the load itself was the limit: {unsent} calls were due and never sent"));
    }
    if keeper.is_lost() {
        return Err(Trouble::failed("the watchdog ended and undid everything, so there is no report"));
    }
    let last = gateway.counters().await.unwrap_or_default();
    let mut seen = watch.seen();
    drop(watch);
    seen.end(order.scenario.duration.as_secs_f64().ceil() as usize, &last);
    let spans = striker.spans(spells, stage, &order.scenario);
    let report = report(order, stage, &seen, &last, spans)?;
    Ok((report, steady, aborted.or(broken)))
}

/// The load before anything is broken; an error with its figure when too little of it was good.
async fn look_whether_steady(order: &Order, stage: &Stage, say: &dyn Fn(&str)) -> Outcome<Steady> {
    let held = order.scenario.holds.iter().find_map(|hold| match hold.what {
        HoldWhat::Good(wanted) => Some(wanted),
        _ => None,
    });
    let guard = order.scenario.guard;
    let wanted = guard.steady_good.or(held).unwrap_or(STEADY);
    say(&format!("looking for {} whether all is well", guard.steady));
    let stop = Stop::new();
    let lasts = Duration::from_nanos(guard.steady.as_nanos());
    let mut all = While::default();
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    let (mut running, mut p50_ms, mut most) = (Vec::new(), 0.0, 0);
    for number in 0..order.scenario.workloads.len() {
        let plan = callers::steady(&order.config, &order.scenario, number, stage, lasts)?;
        running.push(Running::start(plan, Instant::now(), &stop)?);
    }
    for running in running {
        let tally = running.wait().await?;
        let count = tally.count();
        if count.requests > most {
            (most, p50_ms) = (count.requests, tally.quantile_ms(0.5));
        }
        all.add(count, tally.quantile_ms(0.99));
        for (kind, count) in tally.kinds() {
            *kinds.entry(kind.clone()).or_default() += count;
        }
    }
    if let Some(fault) = all.fault(Some(wanted), guard.steady_p99) {
        let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let kinds = kinds.join(", ");
        return Err(Trouble::failed(format!(
            "the steady state does not hold, so nothing was broken: {fault}; they ended as {kinds}"
        )));
    }
    Ok(Steady { count: all.count, p50_ms })
}

fn gateway(stage: &Stage) -> Gateway {
    let name = |instance: &stage::Instance| (instance.front.to_string(), instance.member.name.clone());
    let names = stage.instances.iter().map(name).collect();
    Gateway { admin: stage.admin.to_string(), token: stage.token.clone(), names }
}

/// One load on a thread of its own, so that nothing else delays it.
struct Running {
    tally: Arc<Mutex<Tally>>,
    ended: tokio::sync::oneshot::Receiver<Tally>,
}

impl Running {
    fn start(plan: Plan, start: Instant, stop: &Stop) -> Outcome<Self> {
        let (tally, stop) = (Tally::shared(), stop.clone());
        let (told, ended) = tokio::sync::oneshot::channel();
        let shared = Arc::clone(&tally);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(while_doing("starting the load"))?;
        let work = move || {
            let plan = Arc::new(plan);
            let tally = runtime.block_on(load::run_from(start, Arc::clone(&plan), &stop, shared));
            if let Some(samples) = &plan.samples {
                // What is not written is missed when the samples are read.
                let _ = samples.end();
            }
            // Who waited for it may have given up.
            let _ = told.send(tally);
        };
        std::thread::Builder::new().name("load".to_owned()).spawn(work).map_err(while_doing("starting the load"))?;
        Ok(Self { tally, ended })
    }

    async fn wait(self) -> Outcome<Tally> {
        self.ended.await.map_err(while_doing("the load"))
    }
}

/// All loads of a scenario.
struct Loads {
    stop: Stop,
    running: Vec<Running>,
}

impl Loads {
    fn start(order: &Order, stage: &Stage, start: Instant) -> Outcome<Self> {
        let stop = Stop::new();
        let mut running = Vec::new();
        for number in 0..order.scenario.workloads.len() {
            running.push(Running::start(callers::plan(&order.config, &order.scenario, number, stage)?, start, &stop)?);
        }
        Ok(Self { stop, running })
    }

    /// The seconds of all of them from `first` on that are over, whose calls can no longer be good.
    fn over(&self, first: usize, since: Duration, deadline: Duration) -> Vec<While> {
        let over = usize::try_from(since.saturating_sub(deadline).as_secs()).unwrap_or(0);
        let mut all = vec![While::default(); over.saturating_sub(first)];
        for running in &self.running {
            let tally = locked(&running.tally);
            for (all, second) in all.iter_mut().zip(tally.seconds().iter().skip(first)) {
                all.add(second.count, second.p99_ms());
            }
        }
        all
    }

    /// Waits for their end; how many calls they could not send.
    async fn wait(mut self) -> Outcome<u64> {
        let mut unsent = 0;
        for running in std::mem::take(&mut self.running) {
            unsent += running.wait().await?.unsent();
        }
        Ok(unsent)
    }
}

impl Drop for Loads {
    /// Whoever leaves early leaves no load behind.
    fn drop(&mut self) {
        self.stop.stop();
    }
}

/// Plays the timeline; why it was broken off, if it was.
#[expect(clippy::too_many_arguments, reason = "everything that a drill has is needed in its one loop")]
async fn run(
    order: &Order,
    spells: &[Spell],
    stage: &mut Stage,
    keeper: &mut Keeper,
    loads: &Loads,
    striker: &mut Striker,
    start: Instant,
    say: &dyn Fn(&str),
) -> Option<String> {
    let end = start + Duration::from_nanos(order.scenario.duration.as_nanos());
    let deadline = order.scenario.workloads.iter().map(|workload| workload.deadline.as_nanos()).max().unwrap_or(0);
    let deadline = Duration::from_nanos(deadline);
    let mut watchman = Watchman::new(order.scenario.guard);
    let mut interrupted = match Interrupted::new() {
        Ok(interrupted) => interrupted,
        Err(trouble) => return Some(trouble.to_string()),
    };
    loop {
        let next = striker.next().map_or(end, |next| start + next);
        let wake = next.min(end).min((Instant::now() + LOOK).max(start));
        tokio::select! {
            () = sleep_until(wake) => {}
            what = interrupted.wait() => return Some(format!("interrupted by {what}")),
        }
        let now = Instant::now();
        if now >= next
            && let Err(trouble) = striker.act(now.duration_since(start), spells, stage, keeper, say).await
        {
            return Some(trouble.to_string());
        }
        let over = loads.over(watchman.next(), now.saturating_duration_since(start), deadline);
        if let Some(why) = watchman.look(&over) {
            say(&format!("breaking off: {why}"));
            return Some(why);
        }
        if !stage.node_runs() {
            return Some("the gateway has ended".to_owned());
        }
        if keeper.is_lost() {
            return Some("the watchdog has ended".to_owned());
        }
        if now >= end {
            return None;
        }
    }
}

/// What a person or a supervisor ends a drill with.
struct Interrupted([(&'static str, tokio::signal::unix::Signal); 3]);

impl Interrupted {
    fn new() -> Outcome<Self> {
        let listen = |kind| signal(kind).map_err(while_doing("waiting for signals"));
        Ok(Self([
            ("SIGINT", listen(SignalKind::interrupt())?),
            ("SIGTERM", listen(SignalKind::terminate())?),
            ("SIGHUP", listen(SignalKind::hangup())?),
        ]))
    }

    async fn wait(&mut self) -> &'static str {
        let [(int, one), (term, two), (hup, three)] = &mut self.0;
        tokio::select! {
            _ = one.recv() => int,
            _ = two.recv() => term,
            _ = three.recv() => hup,
        }
    }
}

/// Everything that is known, in the form of a report.
fn report(
    order: &Order,
    stage: &Stage,
    seen: &Seen,
    last: &crate::look::Counters,
    faults: Vec<FaultSpan>,
) -> Outcome<Report> {
    let scenario = &order.scenario;
    let lasted = scenario.duration.as_secs_f64();
    let warmup = scenario.warmup.as_secs_f64();
    let mut callers = Callers::new(lasted.ceil() as usize);
    for number in 0..scenario.workloads.len() {
        callers.read(&callers::samples_file(stage.dir(), number), warmup)?;
    }
    let mut arrivals = Arrivals::default();
    for instance in &stage.instances {
        let name = &instance.member.name;
        arrivals.read(name, &stage.dir().join(stage::log_name(name)), callers::IDS)?;
    }
    let timeline = callers.timeline(seen);
    let begin = if warmup > 0.0 { seen.seconds.get(warmup as usize - 1).map(|look| &look.counters) } else { None };
    let attempts = books::all_attempts(last) - books::all_attempts(begin.unwrap_or(&seen.first));
    let at = |second: f64| mainstay_core::Instant::ORIGIN + mainstay_core::Duration::from_nanos((second * 1e9) as u64);
    let struck = faults.iter().map(|fault| (at(fault.from_second), at(fault.to_second)));
    let found = recovery(&callers.steps, Cause::of(scenario, struck), at(warmup), at(lasted));
    let calm = |second: u64| {
        let (from, to) = (second as f64, (second + 1) as f64);
        from >= warmup && !faults.iter().any(|fault| fault.from_second < to && from < fault.to_second)
    };
    let of = |part: u64, whole: u64| if whole == 0 { 1.0 } else { part as f64 / whole as f64 };
    let arrived = arrivals.all();
    let mut report = Report {
        scenario: scenario.name.clone(),
        played: Played::Real,
        seed: scenario.seed,
        replay: order.replay.clone(),
        requests: callers.requests,
        good: callers.good,
        good_ratio: of(callers.good, callers.requests),
        attempts_per_request: if callers.requests == 0 { 0.0 } else { attempts / callers.requests as f64 },
        p50_ms: callers.quantile(0.5),
        p99_ms: callers.quantile(0.99),
        p999_ms: callers.quantile(0.999),
        recovery_seconds: found.seconds,
        metastable: found.metastable,
        duplicated_posts: arrivals.duplicated_posts(),
        wasted_ratio: if arrived == 0 { 0.0 } else { 1.0 - of(callers.answered.min(arrived), arrived) },
        fairness: books::fairness(seen, &groups(order, stage), calm),
        workloads: Vec::new(),
        workload_fairness: None,
        failures: callers.failures(),
        faults,
        instances: arrivals.lines(|name| busy(scenario, name), lasted),
        held: false,
        holds: Vec::new(),
        timeline,
        events: seen.changes.iter().map(|(second, what)| Event { second: *second, what: what.clone() }).collect(),
    };
    report.holds = scenario.holds.iter().map(|spec| hold(spec, &report, scenario.warmup)).collect();
    report.held = report.holds.iter().all(|hold| hold.held);
    Ok(report)
}

/// Endpoints of a service with the same weight.
fn groups(order: &Order, stage: &Stage) -> Vec<Vec<String>> {
    let mut groups: BTreeMap<(String, u32), Vec<String>> = BTreeMap::new();
    let called: BTreeSet<&str> = order.scenario.workloads.iter().map(|workload| workload.service.as_str()).collect();
    for service in order.config.services.iter().filter(|service| called.contains(service.name.as_str())) {
        let of = stage.instances.iter().filter(|instance| instance.member.service == service.name);
        for (at, instance) in of.enumerate() {
            let weight = match &service.endpoints {
                Endpoints::Fixed(fixed) => fixed.get(at).map_or(1, |spec| spec.weight),
                Endpoints::Dns { .. } | Endpoints::File(_) => 1,
            };
            groups.entry((service.name.clone(), weight)).or_default().push(instance.front.to_string());
        }
    }
    groups.into_values().collect()
}

/// How long one request keeps all slots of an instance busy, in seconds: the mean of its service time, of its slots.
fn busy(scenario: &Scenario, name: &str) -> f64 {
    let service = name.split('/').next().unwrap_or(name);
    let of = stage::instances_of(scenario, service);
    let (time, slots) = of.map_or((0.01, 8.0), |of| {
        let slots = if let mainstay_core::Limit::At(slots) = of.concurrency { f64::from(slots) } else { 8.0 };
        (of.service_time.mean().as_secs_f64(), slots)
    });
    time / slots
}

/// A surge is a fault too: of a workload, and played by the load.
pub(crate) fn surges(scenario: &Scenario) -> impl Iterator<Item = FaultSpan> + '_ {
    scenario.faults.iter().filter_map(|fault| match (&fault.kind, &fault.victims) {
        (FaultKind::Surge(_), Victims::All(service)) => Some(FaultSpan {
            kind: fault.kind.word().to_owned(),
            target: service.clone(),
            from_second: fault.at.as_secs_f64(),
            to_second: fault.end().as_secs_f64(),
        }),
        _ => None,
    })
}
