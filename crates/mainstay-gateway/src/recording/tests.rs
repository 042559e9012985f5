use mainstay_core::{CallId, Limit, Seed};
use mainstay_policy::recording::{Damage, Recording};
use mainstay_policy::{PermitPool, ServiceSettings};

use super::*;

/// A directory of a test's own, gone with it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mainstay-recording-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("file")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes so many steps, each of which is worth some bytes.
fn write(tape: &Tape, steps: u64) {
    let service =
        Service::new(&ServiceSettings::default(), PermitPool::new(Limit::Unlimited, 1), Seed::new(1), Instant::ORIGIN);
    for step in 0..steps {
        let now = Instant::from_nanos(step * 1_000_000);
        tape.saw((now, 0), &service, &Step::Gone { call: CallId(step) }, Answer::Nothing);
    }
}

/// The steps of a file, and how it ends.
fn read(path: &Path) -> (u64, Result<Ending, Damage>) {
    let file = fs::read(path).unwrap();
    let mut recording = Recording::open(&file).unwrap();
    let mut steps = 0;
    loop {
        match recording.next_event() {
            Ok(Some(_)) => steps += 1,
            Ok(None) => return (steps, Ok(recording.ending().unwrap())),
            Err(damage) => return (steps, Err(damage)),
        }
    }
}

fn begun(path: &Path) -> File {
    let mut file = File::create(path).unwrap();
    file.write_all(&file::begin(&Head { version: "1".into(), worker: 0, workers: 1 })).unwrap();
    file
}

#[test]
fn every_step_of_a_worker_comes_to_its_file() {
    let place = Place::new("whole");
    let recordings = Recordings::into_directory(&place.0, Bytes::mib(8), "1.2.3").unwrap();
    let tapes = [0, 1].map(|worker| recordings.worker(worker, 2).unwrap().unwrap());
    // More than there are buffers in one go; what is flushed in between is a block of its own.
    write(&tapes[0], 30_000);
    tapes[0].flush();
    write(&tapes[1], 1);
    drop(tapes);
    assert!(recordings.finish(std::time::Duration::from_secs(10)));
    assert_eq!(read(&place.0.join("worker-0.rec")), (30_000, Ok(Ending::Stopped)));
    assert_eq!(read(&place.0.join("worker-1.rec")), (1, Ok(Ending::Stopped)));
}

#[test]
fn a_disk_that_stands_still_costs_the_rest_of_the_recording_and_no_wait() {
    let place = Place::new("gap");
    let (tape, scribe) = Tape::new(0, u64::MAX);
    // Nobody writes meanwhile: had the worker to wait, this would never end.
    write(&tape, 1_000_000);
    assert!(tape.has_ended());
    write(&tape, 10);
    drop(tape);
    scribe.write_all(begun(&place.file()));
    let (steps, end) = read(&place.file());
    assert_eq!(end, Ok(Ending::Gap));
    let least = (BUFFERS as u64 - 1) * BUFFER as u64 / 16;
    assert!((least..1_000_000).contains(&steps), "what was written before is whole: {steps} steps");
}

#[test]
fn a_recording_has_no_more_bytes_than_it_may() {
    let place = Place::new("full");
    let (tape, scribe) = Tape::new(0, 200_000);
    write(&tape, 100_000);
    assert!(tape.has_ended());
    drop(tape);
    scribe.write_all(begun(&place.file()));
    assert_eq!(read(&place.file()).1, Ok(Ending::Full));
    let size = fs::metadata(place.file()).unwrap().len();
    assert!((190_000 - BUFFER as u64..=200_100).contains(&size), "{size} bytes");
}

#[test]
fn a_recording_that_is_there_is_kept() {
    let place = Place::new("kept");
    fs::write(place.0.join("worker-0.rec"), "the first").unwrap();
    let recordings = Recordings::into_directory(&place.0, Bytes::mib(1), "1").unwrap();
    assert!(recordings.worker(0, 1).unwrap().is_none(), "nothing is recorded");
    assert_eq!(fs::read(place.0.join("worker-0.rec")).unwrap(), b"the first");
}
