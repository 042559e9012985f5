//! A real process on a real disk, killed at moments that nobody chose, again and again on the same log.
//!
//! The process that is killed is this binary with one ignored test. What was confirmed to it, it writes into a file beside
//! the log, which the kernel keeps when the process is gone.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mainstay_wal::{Log, Options, RealDisk, Record, Snapshots, Writer, WriterOptions};

const PLACE: &str = "MAINSTAY_KILLED_IN";

/// Entries that are under way at once.
const UNDER_WAY: u64 = 64;

fn options() -> Options {
    Options { segment: 256 << 10, recent: 64 << 10, ..Options::default() }
}

/// What entry `index` says, up to two kibibytes of it.
fn body(index: u64) -> Vec<u8> {
    let length = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 53;
    (0..length).map(|at| (at ^ index) as u8).collect()
}

/// Writes down what was confirmed: a letter and a number.
fn confirm(mut to: &File, what: u8, number: u64) {
    let mut line = [what, 0, 0, 0, 0, 0, 0, 0, 0];
    line[1..].copy_from_slice(&number.to_le_bytes());
    to.write_all(&line).unwrap();
}

/// The highest number that was confirmed with this letter.
fn confirmed(place: &Path, what: u8) -> Option<u64> {
    let bytes = std::fs::read(place.join("confirmed")).unwrap_or_default();
    let of_it = bytes.chunks_exact(9).filter(|line| line[0] == what);
    of_it.map(|line| u64::from_le_bytes(line[1..].try_into().unwrap())).max()
}

#[test]
#[ignore = "it is what the other test kills"]
fn appends_until_it_is_killed() {
    let place = std::env::var(PLACE).expect("it is run by the other test");
    let place = Path::new(&place);
    let to = OpenOptions::new().create(true).append(true).open(place.join("confirmed")).unwrap();
    let to = Arc::new(to);
    let (log, _) = Log::open(RealDisk, place.join("log"), options()).unwrap();
    let (snapshots, _) = Snapshots::open(RealDisk, place.join("snapshots")).unwrap();
    let first = log.reader().next().unwrap_or(1);
    let writer = Writer::start(log, WriterOptions::default()).unwrap();
    let done = Arc::new(AtomicU64::new(first - 1));
    for index in first.. {
        while index > done.load(Ordering::Acquire) + UNDER_WAY {
            std::thread::yield_now();
        }
        let mut records = vec![Record::entry(index, body(index))];
        if index.is_multiple_of(50) {
            records.push(Record::State(index.to_string().into()));
        }
        if index.is_multiple_of(500) {
            snapshot(&snapshots, index - 300, &to);
            records.push(Record::PurgeUpTo(index - 400));
        }
        let (to, done) = (Arc::clone(&to), Arc::clone(&done));
        let tell = move |outcome: Result<(), _>| {
            outcome.unwrap();
            confirm(&to, b'e', index);
            done.store(index, Ordering::Release);
        };
        writer.append(records, tell).unwrap();
    }
}

fn snapshot(snapshots: &Snapshots, index: u64, to: &File) {
    let mut writer = snapshots.create(index, index.to_string().into()).unwrap();
    for _ in 0..40 {
        writer.write(&body(index)).unwrap();
    }
    writer.finish().unwrap();
    confirm(to, b's', index);
}

fn start(place: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "kill::appends_until_it_is_killed", "--ignored"]).env(PLACE, place);
    command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap()
}

/// What is there after a kill, held against what was confirmed and what was there before; up to where.
fn check(place: &Path, before: u64) -> u64 {
    let (log, found) = Log::open(RealDisk, place.join("log"), options()).unwrap();
    let confirmed_up_to = confirmed(place, b'e').unwrap_or(0);
    let last = found.last.unwrap_or(0);
    assert!(last >= confirmed_up_to, "entry {confirmed_up_to} was confirmed, {last} is the last");
    let begun = confirmed_up_to.max(before);
    assert!((before..=begun + UNDER_WAY).contains(&last), "{last} is not what was under way after {begun}");
    let state = found.state.map_or(0, |state| String::from_utf8(state.to_vec()).unwrap().parse().unwrap());
    assert!(state >= confirmed_up_to / 50 * 50 && state <= last, "the state is {state} of {last}");
    let first = found.first.unwrap_or(1);
    assert!(first >= (confirmed_up_to / 500 * 500).saturating_sub(400), "it begins at {first}");
    let mut at = first;
    while at <= last {
        for (index, entry) in log.read(at..last + 1, 1 << 20).unwrap() {
            assert_eq!((index, entry), (at, body(at).into()));
            at += 1;
        }
    }
    let (snapshots, passed_over) = Snapshots::open(RealDisk, place.join("snapshots")).unwrap();
    assert!(passed_over.is_empty(), "{passed_over:?}");
    let newest = snapshots.newest().map(|newest| newest.index);
    assert!(newest >= confirmed(place, b's'), "{newest:?} is the newest snapshot");
    assert!(newest.unwrap_or(0) + 1 >= first || first == 1, "nothing covers what is before {first}");
    last
}

#[test]
fn a_process_that_is_killed_again_and_again_loses_nothing_that_was_confirmed() {
    let kills: u32 = std::env::var("MAINSTAY_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(24);
    let place = tempfile::tempdir().unwrap();
    let mut entries = 0;
    for kill in 0..kills {
        let mut child = start(place.path());
        let before = confirmed(place.path(), b'e');
        let begun = Instant::now();
        // Every third is killed while it opens the log, the others when they have confirmed something.
        while kill % 3 > 0 && confirmed(place.path(), b'e') == before {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing is confirmed for a minute");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(u64::from(kill) * 7919 % 40_000));
        child.kill().unwrap();
        child.wait().unwrap();
        entries = check(place.path(), entries);
    }
    assert!(entries > u64::from(kills), "{entries} entries are too few to say anything");
}
