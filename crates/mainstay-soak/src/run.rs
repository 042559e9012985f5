//! One run: a store that is new, everybody who takes part in it, and what it came to.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::{ScopedJoinHandle, scope};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::ask::{Connection, decoded, encoded, number};
use crate::clients::{Client, Stage, compact};
use crate::faults::{Breaker, Kind};
use crate::history::{Ask, Asked, Said, Seen, text};
use crate::judge::{Evidence, Verdict, judge};
use crate::leases::own;
use crate::luck::Luck;
use crate::members::{Members, Weight, free_addresses};
use crate::shim::Shim;
use crate::watches::watch;
use crate::ways::Ways;

/// How long all that was done may take to be seen by everybody once all is well.
const PATIENCE: Duration = Duration::from_secs(30);

/// From which length on growth is looked at, and how much of it counts as none.
const LONG: Duration = Duration::from_secs(300);
const ROOM: u64 = 64 << 20;

/// The keys of what is written first and last.
const FIRST: &str = "r/first";
const LAST: &str = "r/last";

/// What is to be played.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The binary `mainstay`.
    pub binary: PathBuf,
    /// The bug that is let in again, in a binary that can; none.
    pub mutant: Option<String>,
    /// From it follow faults and questions. When they happen is up to the machine.
    pub seed: u64,
    /// How long faults go on.
    pub length: Duration,
    /// Which faults there are.
    pub faults: Vec<Kind>,
    /// How many members; 3.
    pub members: usize,
    /// How many clients ask; 8.
    pub clients: usize,
    /// The longest that a dead leader goes unnoticed; 600 ms, so that many can die in a minute.
    pub election: Duration,
    /// Where a run that is bad leaves what led to it.
    pub keep: PathBuf,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Faults that were let loose.
    pub faults: usize,
    /// Questions of clients.
    pub asked: usize,
    /// Those of them that nobody knows the end of.
    pub unknown: usize,
    /// Changes that happened.
    pub changes: usize,
    /// Leases whose life was followed.
    pub leases: usize,
    /// The longest time without an acknowledged change.
    pub silence: Duration,
    /// What all members took together: in the middle of the second quarter of the run, and of the last.
    pub grew: Option<(Weight, Weight)>,
    /// What is to be said of it.
    pub verdict: Verdict,
    /// Where what led to it is kept, if it is bad.
    pub kept: Option<PathBuf>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, faults, asked, unknown, changes, leases, silence, verdict, .. } = self;
        let silence = silence.as_secs_f64();
        write!(
            f,
            "seed {seed}: {faults} faults, {asked} asked, {unknown} unknown, {changes} changes, {leases} leases, longest \
             silence {silence:.1} s"
        )?;
        if let Some((before, after)) = self.grew {
            let (mib, disk) = (|bytes| bytes >> 20, "MiB of disk");
            let (memory, then) = (mib(before.memory), mib(after.memory));
            write!(f, ", {memory} to {then} MiB of memory, {} to {} {disk}", mib(before.disk), mib(after.disk))?;
        }
        write!(f, ": {verdict}")
    }
}

/// Plays a run.
///
/// # Errors
/// The stage could not be set.
pub fn run(plan: &Plan) -> Result<Report, String> {
    let directory = tempfile::Builder::new().prefix("soak-").tempdir().map_err(|error| error.to_string())?;
    let shim = if plan.faults.iter().any(|kind| kind.needs_shim()) {
        Some(Arc::new(Shim::compile(directory.path())?))
    } else {
        None
    };
    let free = free_addresses(4 * plan.members, Luck::of(plan.seed, u64::from(std::process::id())).next());
    let (clients, rest) = free.split_at(plan.members);
    let (fronts, rest) = rest.split_at(plan.members);
    let (peers, admins) = rest.split_at(plan.members);
    let stage = Arc::new(Stage {
        seed: plan.seed,
        begun: Instant::now(),
        addresses: clients.to_vec(),
        lives: clients.iter().map(|_| AtomicU64::new(0)).collect(),
        watched: clients.iter().map(|_| AtomicI64::new(0)).collect(),
        ending: AtomicBool::new(false),
        ended: AtomicBool::new(false),
    });
    let ways = Arc::new(Ways::open(fronts, peers).map_err(|error| format!("ways between members: {error}"))?);
    let own: Vec<_> = admins.iter().copied().zip(peers.iter().copied()).collect();
    let mut members = Members::new(plan, directory.path(), Arc::clone(&stage), shim, Arc::clone(&ways), &own)?;
    for member in 0..plan.members {
        members.start(member)?;
    }
    for member in 0..plan.members {
        members.answers(member)?;
    }
    let (mut evidence, told, weights) = match write(&stage, plan, FIRST) {
        (first, Some(_)) => play(plan, &stage, &mut members, &ways, first)?,
        (_, None) => {
            let wrong = vec!["a new store takes no write".to_owned()];
            (Evidence { wrong, ..Evidence::default() }, Vec::new(), Vec::new())
        }
    };
    drop(members);
    let grew = growth(&weights);
    evidence.wrong.extend(grew.filter(|_| plan.length >= LONG).and_then(too_much));
    let verdict = judge(&evidence);
    let kept = match verdict {
        Verdict::Good => None,
        _ => Some(keep(plan, directory.path(), &evidence, &told, &verdict)?),
    };
    let is_unknown = |asked: &&Asked| matches!(asked.said, Said::Unknown(_));
    Ok(Report {
        seed: plan.seed,
        faults: told.iter().filter(|told| !told.ends_with("is over") && !told.ends_with("is well again")).count(),
        asked: evidence.asked.len(),
        unknown: evidence.asked.iter().filter(is_unknown).count(),
        changes: evidence.watched.first().map_or(0, |watched| watched.log.len()),
        leases: evidence.leases.len(),
        silence: silence(&evidence.asked),
        grew,
        verdict,
        kept,
    })
}

/// What the members took in the second quarter and in the last, as the medians.
fn growth(weights: &[Weight]) -> Option<(Weight, Weight)> {
    let median = |weights: &[Weight]| {
        let middle = |of: fn(&Weight) -> u64| {
            let mut all: Vec<_> = weights.iter().map(of).collect();
            all.sort_unstable();
            all.get(all.len() / 2).copied()
        };
        Some(Weight { memory: middle(|weight| weight.memory)?, disk: middle(|weight| weight.disk)? })
    };
    let quarter = weights.len() / 4;
    Some((median(&weights[quarter..2 * quarter])?, median(&weights[3 * quarter..])?))
}

/// Whether that is growth which compaction did not give back.
fn too_much((before, after): (Weight, Weight)) -> Option<String> {
    let grew = |before: u64, after: u64| after > before + before / 2 + ROOM;
    let is = grew(before.memory, after.memory) || grew(before.disk, after.disk);
    is.then(|| format!("what the members take grows: from {before:?} to {after:?}"))
}

/// Has everybody take part until all is well again and seen by all.
fn play(
    plan: &Plan,
    stage: &Arc<Stage>,
    members: &mut Members,
    ways: &Ways,
    first: Vec<Asked>,
) -> Result<(Evidence, Vec<String>, Vec<Weight>), String> {
    scope(|scope| {
        let watches: Vec<_> = (0..plan.members).map(|member| scope.spawn(move || watch(stage, member))).collect();
        let clients: Vec<_> =
            (0..plan.clients).map(|number| scope.spawn(move || Client::new(Arc::clone(stage), number).run())).collect();
        let owners: Vec<_> = (0..3).map(|number| scope.spawn(move || own(Arc::clone(stage), number))).collect();
        scope.spawn(|| compact(stage));
        let kinds = plan.faults.clone();
        let mut breaker = Breaker { stage, members, ways, kinds, told: Vec::new(), weights: Vec::new() };
        let broken = breaker.run(plan.length);
        let (told, weights) = (breaker.told, breaker.weights);
        stage.ending.store(true, Ordering::Relaxed);
        let asked = [first, all(clients)].concat();
        let mut evidence = Evidence { asked, leases: all(owners), ..Evidence::default() };
        if broken.is_ok() {
            see_the_end(stage, plan, &mut evidence);
        }
        stage.ended.store(true, Ordering::Relaxed);
        evidence.watched = watches.into_iter().filter_map(|watch| watch.join().ok()).collect();
        members.look();
        evidence.wrong.append(&mut members.wrong);
        evidence.wrong.extend(broken.err());
        Ok((evidence, told, weights))
    })
}

fn all<T>(threads: Vec<ScopedJoinHandle<'_, Vec<T>>>) -> Vec<T> {
    threads.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
}

/// Writes once more, waits until every watch has brought it, and looks what each member has.
fn see_the_end(stage: &Arc<Stage>, plan: &Plan, evidence: &mut Evidence) {
    let end = Instant::now() + PATIENCE;
    let (asked, revision) = write(stage, plan, LAST);
    evidence.asked.extend(asked);
    let Some(revision) = revision else {
        evidence.wrong.push("all is well again and nothing can be written".to_owned());
        return;
    };
    for member in 0..plan.members {
        while stage.watched[member].load(Ordering::Relaxed) < revision {
            if Instant::now() > end {
                evidence.wrong.push(format!("the watch at n{} does not come to the end", member + 1));
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        match everything(stage, member) {
            Ok(everything) => evidence.ends.push(everything),
            Err(why) => evidence.wrong.push(format!("n{} cannot be read at the end: {why}", member + 1)),
        }
    }
}

/// Writes a key until that is acknowledged, and at which revision it was, if it was.
fn write(stage: &Arc<Stage>, plan: &Plan, key: &str) -> (Vec<Asked>, Option<i64>) {
    let end = Instant::now() + PATIENCE;
    let mut client = Client::new(Arc::clone(stage), plan.clients);
    let mut asked = Vec::new();
    while Instant::now() < end {
        client.turn_to(asked.len() % plan.members);
        let value = format!("{key}-{}", asked.len());
        asked.push(client.ask(Ask::Change { expected: None, changes: vec![(key.to_owned(), Some(value))] }));
        if let Some(done) = asked.last().and_then(Asked::done) {
            let revision = done.revision;
            return (asked, Some(revision));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    (asked, None)
}

/// All registers of a member, as it has them itself.
fn everything(stage: &Stage, member: usize) -> Result<Vec<Seen>, String> {
    let body = json!({ "key": encoded("r/"), "range_end": encoded("r0"), "serializable": true });
    let answer = Connection::new(stage.addresses[member], PATIENCE).ask("/v3/kv/range", &body);
    let answer = answer.map_err(|failed| format!("{failed:?}"))?;
    let kvs = answer["kvs"].as_array().cloned().unwrap_or_default();
    let seen = |kv: &serde_json::Value| Seen {
        key: decoded(&kv["key"]).unwrap_or_default(),
        value: decoded(&kv["value"]),
        modified: number(&kv["mod_revision"]),
    };
    Ok(kvs.iter().map(seen).collect())
}

/// The longest time without an acknowledged change.
fn silence(asked: &[Asked]) -> Duration {
    let changed = |asked: &Asked| asked.done().is_some_and(|done| done.changed);
    let mut ends: Vec<_> = asked.iter().filter(|asked| changed(asked)).map(|asked| asked.returned).collect();
    ends.sort_unstable();
    let longest = ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    Duration::from_micros(longest)
}

/// Leaves everything that led to a verdict where it can be looked at.
fn keep(
    plan: &Plan,
    directory: &Path,
    evidence: &Evidence,
    told: &[String],
    verdict: &Verdict,
) -> Result<PathBuf, String> {
    let to = plan.keep.join(format!("seed-{}", plan.seed));
    let failed = |error: std::io::Error| format!("{}: {error}", to.display());
    fs::create_dir_all(&to).map_err(failed)?;
    for entry in fs::read_dir(directory).map_err(failed)?.flatten() {
        let name = entry.file_name();
        let is_worth_it = [".log", ".toml"].iter().any(|end| name.to_string_lossy().ends_with(end));
        if is_worth_it {
            fs::copy(entry.path(), to.join(name)).map_err(failed)?;
        }
    }
    fs::write(to.join("history.txt"), text(&evidence.asked)).map_err(failed)?;
    fs::write(to.join("faults.txt"), told.join("\n") + "\n").map_err(failed)?;
    fs::write(to.join("verdict.txt"), format!("{verdict}\n")).map_err(failed)?;
    let mut lines = String::new();
    for (member, watched) in evidence.watched.iter().enumerate() {
        for (revision, changes) in &watched.log {
            lines.push_str(&format!("n{} {revision} {changes:?}\n", member + 1));
        }
    }
    fs::write(to.join("watched.txt"), lines).map_err(failed)?;
    let leases: Vec<_> = evidence.leases.iter().map(|life| format!("{life:?}\n")).collect();
    fs::write(to.join("leases.txt"), leases.concat()).map_err(failed)?;
    Ok(to)
}
