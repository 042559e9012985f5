//! Processes that a story owns: they end with it, whatever becomes of it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::eventually;

/// The command under test.
pub(crate) fn mainstay() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    // What the one who runs the tests has set is no part of a story.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MAINSTAY_")) {
        command.env_remove(name);
    }
    command
}

/// Where `program` is installed, if it is.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = PathBuf::from("/usr/sbin");
    std::env::split_paths(&path).chain([system]).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Says that a story was not played.
pub(crate) fn skip(story: &str, program: &str) {
    eprintln!("skipped: {story}: {program} is not installed");
}

/// A running process.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts `command`; what it prints goes to the file `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::create(log).unwrap();
        let errors = file.try_clone().unwrap();
        Self(command.stdin(Stdio::null()).stdout(file).stderr(errors).spawn().unwrap())
    }

    /// Starts `command` and gives the first line that it prints.
    pub(crate) fn start_and_listen(command: &mut Command) -> (Self, String) {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (Self(child), line.trim_end().to_owned())
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.id().cast_signed()).unwrap(), signal).unwrap();
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(&mut self) -> ExitStatus {
        eventually("the end of a process", || self.ended())
    }

    /// Ends it at once, as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
