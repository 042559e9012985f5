//! How many entries a second the log confirms on a disk, and what an entry costs of the CPU.
//!
//! `cargo xtask bench log` runs it; the first argument is a directory on the disk that is meant, the second how many seconds
//! each line takes.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "it is a measurement")]

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mainstay_wal::{Log, Options, RealDisk, Record, Writer, WriterOptions};

/// Length of an entry.
const ENTRY: usize = 300;

/// What was measured in a time.
struct Measured {
    entries: u64,
    /// How long each write with its flush took, or each call until it was told.
    took: Vec<Duration>,
    flushes: u64,
    lasted: Duration,
    user: f64,
    system: f64,
}

impl Measured {
    fn print(mut self, what: &str) {
        self.took.sort_unstable();
        let at = |share: f64| self.took[(self.took.len() as f64 * share) as usize].as_secs_f64() * 1e6;
        let per_second = self.entries as f64 / self.lasted.as_secs_f64();
        let per_entry = |seconds: f64| seconds * 1e6 / self.entries as f64;
        println!(
            "{what:<44}{per_second:>12.0}{:>12.0}{:>10.0}{:>10.0}{:>10.2}{:>10.2}",
            self.flushes as f64 / self.lasted.as_secs_f64(),
            at(0.5),
            at(0.99),
            per_entry(self.user),
            per_entry(self.system),
        );
    }
}

/// CPU time of this process so far, its own and the kernel's for it, in seconds.
fn cpu() -> (f64, f64) {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let seconds = |field: &str| field.parse::<f64>().unwrap() / 100.0;
    (seconds(fields[11]), seconds(fields[12]))
}

/// Does something again and again for a while; it says how many entries that were.
fn measure(lasts: Duration, mut act: impl FnMut() -> u64) -> Measured {
    let (mut entries, mut took) = (0, Vec::new());
    let (user, system) = cpu();
    let begun = Instant::now();
    while begun.elapsed() < lasts {
        let before = Instant::now();
        entries += act();
        took.push(before.elapsed());
    }
    let (user_after, system_after) = cpu();
    let (user, system) = (user_after - user, system_after - system);
    Measured { entries, flushes: took.len() as u64, took, lasted: begun.elapsed(), user, system }
}

/// The disk alone: a write of one entry and a flush, into a file that is prepared in one way or another.
fn disk_alone(place: &Path, what: &str, prepare: impl FnOnce(&std::fs::File), lasts: Duration) {
    let path = place.join("alone");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    prepare(&file);
    file.sync_all().unwrap();
    let (entry, mut at) = ([7; ENTRY], 0);
    let measured = measure(lasts, || {
        file.write_all_at(&entry, at).unwrap();
        file.sync_data().unwrap();
        at += ENTRY as u64;
        1
    });
    measured.print(what);
    std::fs::remove_file(path).unwrap();
}

fn log(place: &Path) -> Log {
    let _ = std::fs::remove_dir_all(place.join("log"));
    Log::open(RealDisk, place.join("log"), Options::default()).unwrap().0
}

fn batches(place: &Path, batch: u64, lasts: Duration) {
    let mut log = log(place);
    let body = bytes::Bytes::from(vec![7; ENTRY]);
    let mut next = 1;
    let measured = measure(lasts, || {
        let records: Vec<_> = (next..next + batch).map(|index| Record::entry(index, body.clone())).collect();
        log.append(&records).unwrap();
        log.flush().unwrap();
        next += batch;
        if next % 65_536 < batch {
            log.purge_up_to(next.saturating_sub(65_536)).unwrap();
        }
        batch
    });
    measured.print(&format!("the log, {batch} to a flush"));
}

/// Many who each wait for one entry at a time, sharing flushes.
fn sharing(place: &Path, clients: u64, lasts: Duration) {
    let flushes = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&flushes);
    let on_flush = Box::new(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let writer = Writer::start(log(place), WriterOptions { on_flush, ..WriterOptions::default() }).unwrap();
    let body = bytes::Bytes::from(vec![7; ENTRY]);
    let (tell, told) = std::sync::mpsc::channel();
    let mut next = 1;
    let send = |next: u64| {
        let (tell, sent) = (tell.clone(), Instant::now());
        let mut records = vec![Record::entry(next, body.clone())];
        if next.is_multiple_of(65_536) {
            records.push(Record::PurgeUpTo(next - 60_000));
        }
        let told = move |_| {
            let _ = tell.send(sent.elapsed());
        };
        writer.append(records, told).unwrap();
    };
    while next <= clients {
        send(next);
        next += 1;
    }
    let mut took = Vec::new();
    let mut measured = measure(lasts, || {
        took.push(told.recv().unwrap());
        send(next);
        next += 1;
        1
    });
    (measured.took, measured.flushes) = (took, flushes.load(Ordering::Relaxed));
    measured.print(&format!("the thread that writes, {clients} under way"));
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next().unwrap_or_else(|| "target".to_owned());
    let lasts = Duration::from_secs(arguments.next().and_then(|seconds| seconds.parse().ok()).unwrap_or(3));
    let place = tempfile::tempdir_in(place).unwrap();
    let place = place.path();
    println!(
        "{:<44}{:>12}{:>12}{:>10}{:>10}{:>10}{:>10}",
        "entries of 300 bytes", "entries/s", "flushes/s", "p50 µs", "p99 µs", "µs ours", "µs kernel"
    );
    disk_alone(place, "the disk alone, a file that grows", |_| {}, lasts);
    disk_alone(
        place,
        "the disk alone, room taken",
        |file| rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, 64 << 20).unwrap(),
        lasts,
    );
    disk_alone(
        place,
        "the disk alone, filled with zeros",
        |file| file.write_all_at(&vec![0; 64 << 20], 0).unwrap(),
        lasts,
    );
    for batch in [1, 16, 256] {
        batches(place, batch, lasts);
    }
    for clients in [1, 16, 256, 1024] {
        sharing(place, clients, lasts);
    }
}
