//! A disk that is slow, fails, is full and forgets, and a wall clock that jumps: by functions in C that stand before those
//! of the C library (`LD_PRELOAD`), so that the program under them is the one that ships.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The functions, as they are compiled.
const SOURCE: &str = include_str!("shim.c");

/// The functions, compiled.
#[derive(Debug)]
pub(crate) struct Shim(PathBuf);

impl Shim {
    /// Compiles them; why not, where there is no compiler.
    pub(crate) fn compile(directory: &Path) -> Result<Self, String> {
        let (source, library) = (directory.join("shim.c"), directory.join("shim.so"));
        fs::write(&source, SOURCE).map_err(|error| error.to_string())?;
        let mut compiler = Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-O2", "-Wall", "-o"])
            .arg(&library)
            .arg(&source)
            .args(["-ldl", "-lpthread"]);
        let output = compiler.output().map_err(|error| format!("cc: {error}"))?;
        if output.status.success() {
            Ok(Self(library))
        } else {
            Err(format!("cc: {}", String::from_utf8_lossy(&output.stderr)))
        }
    }

    /// Has a program run behind them.
    pub(crate) fn stand_before(&self, command: &mut Command, control: &Control) {
        command.env("LD_PRELOAD", &self.0).env("SOAK_CONTROL", &control.file);
        command.env("SOAK_DATA", &control.data).env("SOAK_UNDO", &control.undo);
    }
}

/// What is to happen to one member.
#[derive(Debug)]
pub(crate) struct Control {
    file: PathBuf,
    data: PathBuf,
    undo: PathBuf,
    fails: AtomicBool,
}

/// The disk does not do it.
pub(crate) const EIO: i64 = 5;

/// The disk is full.
pub(crate) const ENOSPC: i64 = 28;

/// Places in the mapped file.
const WALL: u64 = 0;
const FLUSH_LATE: u64 = 8;
const FLUSH_FAILS: u64 = 16;
const WRITE_FAILS: u64 = 24;
const LENGTH: usize = 32;

impl Control {
    pub(crate) fn new(directory: &Path, name: &str, data: &Path) -> Result<Self, String> {
        let (file, undo) = (directory.join(format!("{name}.control")), directory.join(format!("{name}.undo")));
        let made = fs::write(&file, [0; LENGTH]).and_then(|()| fs::create_dir_all(&undo));
        made.map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(Self { file, data: data.to_owned(), undo, fails: AtomicBool::new(false) })
    }

    fn set(&self, place: u64, value: i64) {
        let file = File::options().write(true).open(&self.file);
        // The directory is ours: what cannot be written there is seen as a fault that does nothing.
        _ = file.and_then(|file| file.write_all_at(&value.to_ne_bytes(), place));
    }

    /// Sets the wall clock off.
    pub(crate) fn wall(&self, seconds: i64) {
        self.set(WALL, seconds * 1_000_000_000);
    }

    /// Has every flush take longer.
    pub(crate) fn flush_late(&self, late: Duration) {
        self.set(FLUSH_LATE, late.as_micros() as i64);
    }

    /// Has every flush fail.
    pub(crate) fn flush_fails(&self, errno: i64) {
        self.fails.store(true, Ordering::Relaxed);
        self.set(FLUSH_FAILS, errno);
    }

    /// Has every write fail.
    pub(crate) fn write_fails(&self, errno: i64) {
        self.fails.store(true, Ordering::Relaxed);
        self.set(WRITE_FAILS, errno);
    }

    /// Whether the disk does not do everything that it is asked.
    pub(crate) fn fails(&self) -> bool {
        self.fails.load(Ordering::Relaxed)
    }

    /// Lets all be well.
    pub(crate) fn mend(&self) {
        self.fails.store(false, Ordering::Relaxed);
        for place in [WALL, FLUSH_LATE, FLUSH_FAILS, WRITE_FAILS] {
            self.set(place, 0);
        }
    }

    /// The member's process has ended, and with the power what was not flushed goes too.
    pub(crate) fn lose(&self, data: &Path, power: bool) -> std::io::Result<()> {
        let mut files = HashMap::new();
        if power {
            by_number(data, &mut files)?;
        }
        for entry in fs::read_dir(&self.undo)? {
            let path = entry?.path();
            let number = path.file_name().and_then(|name| name.to_str()?.parse().ok());
            if let Some(file) = number.and_then(|number: u64| files.get(&number)) {
                undo(file, &fs::read(&path)?)?;
            }
            // A process that was only killed leaves the rest to the kernel, which flushes it some time.
            if power {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// All files of a directory, by the number that the system gives them.
fn by_number(directory: &Path, files: &mut HashMap<u64, PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let about = fs::metadata(&path)?;
        if about.is_dir() {
            by_number(&path, files)?;
        } else {
            files.insert(about.ino(), path);
        }
    }
    Ok(())
}

/// Takes writes back, the last one first.
fn undo(path: &Path, journal: &[u8]) -> std::io::Result<()> {
    const HEAD: usize = 32;
    let mut notes = Vec::new();
    let mut left = journal;
    while let Some((head, rest)) = left.split_first_chunk::<HEAD>() {
        let number = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().unwrap_or_default());
        let was = number(24) as usize;
        let Some(bytes) = rest.get(..was) else { break };
        notes.push((number(0), number(8), number(16), bytes));
        left = &rest[was..];
    }
    let file = File::options().write(true).open(path)?;
    for (at, size, length, bytes) in notes.into_iter().rev() {
        let mut before = bytes.to_vec();
        before.resize(length as usize, 0);
        file.write_all_at(&before, at)?;
        file.set_len(size)?;
    }
    file.sync_all()
}
