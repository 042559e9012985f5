//! Every moment of a run, cut: the power is lost or the process killed at each step, with whatever may be left of what was
//! not flushed, and what is found then is what was confirmed, and perhaps some of what came after, in order.

use std::collections::BTreeMap;

use mainstay_wal::testing::{FaultyDisk, Left};
use mainstay_wal::{Log, Record};

use crate::{all, body, entry, open, try_open};

/// What a log should come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Model {
    entries: BTreeMap<u64, String>,
    next: u64,
    purged: Option<u64>,
    state: Option<String>,
}

impl Model {
    fn take(&mut self, record: &Record) {
        match record {
            Record::Entry { index, body } => {
                self.entries.insert(*index, String::from_utf8(body.to_vec()).unwrap());
                self.next = index + 1;
            }
            Record::TruncateAfter(last) => {
                let from = last.map_or(0, |last| last + 1).max(self.purged.map_or(0, |purged| purged + 1));
                self.entries.split_off(&from);
                self.next = self.next.min(from);
            }
            Record::PurgeUpTo(last) => {
                self.entries = self.entries.split_off(&(last + 1));
                self.purged = self.purged.max(Some(*last));
                self.next = self.next.max(last + 1);
            }
            Record::State(state) => self.state = Some(String::from_utf8(state.to_vec()).unwrap()),
        }
    }
}

/// A run, and what it came to after each record.
struct Run {
    disk: FaultyDisk,
    models: Vec<Model>,
    /// After which steps how many records were appended, and how many of them were confirmed.
    moments: Vec<(usize, usize, usize)>,
}

/// Luck that a seed repeats.
struct Luck(u64);

impl Luck {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn run(seed: u64, turns: u64) -> Run {
    let mut luck = Luck(seed);
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    let mut run = Run { disk, models: vec![Model::default()], moments: Vec::new() };
    let mut confirmed = 0;
    for term in 0..turns {
        let model = run.models.last().unwrap();
        let records = records(model, term, &mut luck);
        // What is under way counts as appended while it is.
        run.moments.push((run.disk.steps(), run.models.len() - 1 + records.len(), confirmed));
        log.append(&records).unwrap();
        for record in &records {
            let mut model = run.models.last().unwrap().clone();
            model.take(record);
            run.models.push(model);
        }
        if luck.below(3) > 0 {
            log.flush().unwrap();
            confirmed = run.models.len() - 1;
            if luck.below(4) == 0 {
                log.mark().unwrap();
            }
        }
        run.moments.push((run.disk.steps(), run.models.len() - 1, confirmed));
    }
    run
}

/// What comes next: mostly entries, now and then all else.
fn records(model: &Model, term: u64, luck: &mut Luck) -> Vec<Record> {
    let count = luck.below(5) + 1;
    let mut records: Vec<_> = (model.next..model.next + count).map(|index| entry(index, term)).collect();
    let first = model.purged.map_or(0, |purged| purged + 1);
    match luck.below(8) {
        0 => records.insert(0, Record::State(format!("vote {term}").into())),
        1 if model.next > first + 3 => {
            let last = model.next - 1 - luck.below(3);
            let again = (last + 1..=last + count).map(|index| entry(index, term));
            records = std::iter::once(Record::TruncateAfter(Some(last))).chain(again).collect();
        }
        2 if model.next > first => records.push(Record::PurgeUpTo(first + luck.below(model.next - first))),
        3 if luck.below(6) == 0 => records.push(Record::PurgeUpTo(model.next + count + 10)),
        _ => {}
    }
    records
}

impl Run {
    /// At least so many records must be there after these steps, and at most so many.
    fn bounds(&self, steps: usize) -> (usize, usize) {
        let confirmed = self.moments.iter().filter(|(at, ..)| *at <= steps).map(|(.., confirmed)| *confirmed);
        let begun = self.moments.iter().filter(|(at, ..)| *at <= steps).map(|(_, appended, _)| *appended);
        (confirmed.max().unwrap_or(0), begun.max().unwrap_or(0))
    }

    /// Opens a disk, and holds what is there against the run.
    fn check(&self, disk: &FaultyDisk, steps: usize, what: &str) {
        let (log, found) = try_open(disk).unwrap_or_else(|why| panic!("{what} at {steps}: {}", why.whole()));
        let found = Found {
            entries: all(&log),
            first: log.first(),
            purged: found.purged,
            state: found.state.map(|state| String::from_utf8(state.to_vec()).unwrap()),
        };
        let (least, most) = self.bounds(steps);
        let fits = (least..=most).any(|records| found.is(&self.models[records]));
        assert!(fits, "{what} at {steps}: {found:?}\nis none of records {least} to {most}: {:?}", self.models[least]);
        go_on(log, disk, &found);
    }
}

#[derive(Debug)]
struct Found {
    entries: Vec<String>,
    first: Option<u64>,
    purged: Option<u64>,
    state: Option<String>,
}

impl Found {
    fn is(&self, model: &Model) -> bool {
        self.entries.iter().eq(model.entries.values())
            && self.first == model.entries.keys().next().copied()
            && self.purged == model.purged
            && self.state == model.state
    }
}

/// What was found stays, whatever is lost from here on, and so does what comes after it.
fn go_on(mut log: Log, disk: &FaultyDisk, found: &Found) {
    let next = log.reader().next().unwrap_or(0);
    log.append(&[entry(next, 1_000)]).unwrap();
    log.flush().unwrap();
    drop(log);
    let (log, _) = open(&disk.power_lost_at(disk.steps(), Left::Nothing));
    let mut expected = found.entries.clone();
    expected.push(body(next, 1_000));
    assert_eq!(all(&log), expected);
}

#[test]
fn nothing_that_was_confirmed_is_lost_wherever_the_power_is() {
    let runs = std::env::var("MAINSTAY_CRASH_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(3);
    for seed in 0..runs {
        let run = run(seed, 60);
        for steps in 0..=run.disk.steps() {
            for left in [Left::Nothing, Left::All] {
                run.check(&run.disk.power_lost_at(steps, left), steps, &format!("run {seed}, {left:?}"));
            }
            for luck in 0..8 {
                let left = Left::Some(seed << 32 | luck);
                run.check(&run.disk.power_lost_at(steps, left), steps, &format!("run {seed}, {left:?}"));
            }
        }
    }
}

#[test]
fn a_write_may_be_torn_at_any_byte() {
    let run = run(100, 12);
    for steps in 0..=run.disk.steps() {
        for bytes in 0..700 {
            run.check(&run.disk.power_lost_at(steps, Left::AllBut(bytes)), steps, &format!("all but {bytes}"));
        }
    }
}

#[test]
fn what_a_killed_process_left_in_the_systems_memory_survives_once_it_was_found() {
    let run = run(200, 60);
    for steps in 0..=run.disk.steps() {
        run.check(&run.disk.killed_at(steps), steps, "killed");
    }
}

#[test]
fn power_may_be_lost_while_the_log_is_opened_after_power_was_lost() {
    let run = run(300, 30);
    for steps in (0..=run.disk.steps()).step_by(3) {
        for luck in 0..4 {
            let disk = run.disk.power_lost_at(steps, Left::Some(luck));
            let before = disk.steps();
            drop(open(&disk));
            for again in before..=disk.steps() {
                let left = Left::Some(luck << 8 | again as u64);
                run.check(&disk.power_lost_at(again, left), steps, &format!("again at {again}, {left:?}"));
            }
        }
    }
}
