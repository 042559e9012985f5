//! The watchdog: a process of its own that holds how every fault is undone, and undoes them when the driller cannot.
//!
//! In, one JSON object per line on standard input: an undo to hold with its lease, one to let go of, a beat, the end.
//! Out, on standard output: what is held, and what was undone. The driller writes an undo down *before* it begins the
//! fault and begins it only when it is held, so there is no moment at which a fault has nobody who would undo it.
//!
//! It undoes one when its lease has passed, and all, the last first, when the driller has ended (the pipe is closed
//! without a word) or has been silent for a whole lease of its own (it was stopped, or hangs). It leaves the driller's
//! session, so that what ends the driller, its terminal or its group, does not end it too.

use std::io::{BufRead, Write};
use std::time::Duration;

use rustix::process::setsid;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::undo::Undo;

/// How long the driller may be silent.
pub const SILENCE: Duration = Duration::from_secs(5);
/// Lines that may wait; the driller waits for an answer to each that is answered.
const WAITING: usize = 1024;

/// What the driller says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    /// Hold this.
    Hold(Held),
    /// It was undone.
    LetGo(u64),
    /// Still there.
    Beat,
    /// Everything was undone; nothing is left to do.
    End,
}

/// Something to be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) id: u64,
    /// What is to be undone, in words.
    pub(crate) what: String,
    pub(crate) undo: Undo,
    /// When it is undone whatever the driller says, in milliseconds from now; none for the end of the drill.
    pub(crate) lease_ms: Option<u64>,
}

/// What the watchdog answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answered {
    /// It is held.
    Held(u64),
    /// It was undone by the watchdog; with why not, when that failed.
    Undid {
        /// Which.
        id: u64,
        /// What went wrong.
        trouble: Option<String>,
    },
}

/// Why all is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// The driller has ended.
    Ended,
    /// It says nothing any more.
    Silent,
    /// Somebody wants this process to end.
    Asked,
}

impl Why {
    fn words(self) -> &'static str {
        match self {
            Self::Ended => "the driller has ended",
            Self::Silent => "the driller says nothing any more",
            Self::Asked => "the watchdog was told to end",
        }
    }
}

/// What stands for the driller's end of the watchdog.
struct Watchdog {
    held: Vec<(Held, Option<Instant>)>,
    heard: Instant,
    silence: Duration,
}

/// Runs the watchdog until there is nothing left to undo. Whether everything was undone.
///
/// # Errors
/// It cannot begin.
pub fn watch(silence: Duration) -> std::io::Result<bool> {
    // It fails only for whoever leads a session already.
    let _ = setsid();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (lines, said) = mpsc::channel(WAITING);
    // A thread, because a read of standard input cannot be given up; it ends with the process.
    std::thread::spawn(move || read(&lines));
    let well = runtime.block_on(Watchdog { held: Vec::new(), heard: Instant::now(), silence }.run(said))?;
    runtime.shutdown_background();
    Ok(well)
}

fn read(lines: &mpsc::Sender<Said>) {
    for line in std::io::stdin().lock().lines() {
        let said = line.ok().and_then(|line| serde_json::from_str(&line).ok());
        let Some(said) = said else { return };
        if lines.blocking_send(said).is_err() {
            return;
        }
    }
}

impl Watchdog {
    async fn run(mut self, mut said: mpsc::Receiver<Said>) -> std::io::Result<bool> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // Who hung up is the driller's terminal, and its end comes through the pipe.
        let mut hang_up = signal(SignalKind::hangup())?;
        loop {
            let silent = self.heard + self.silence;
            let next = self.held.iter().filter_map(|(_, until)| *until).min();
            tokio::select! {
                line = said.recv() => match line {
                    Some(Said::End) => return Ok(true),
                    Some(said) => self.hear(said),
                    None => return Ok(self.undo_all(Why::Ended).await),
                },
                () = sleep_until(silent) => return Ok(self.undo_all(Why::Silent).await),
                () = sleep_until(next.unwrap_or(silent)), if next.is_some() => self.undo_what_is_due().await,
                _ = terminate.recv() => return Ok(self.undo_all(Why::Asked).await),
                _ = interrupt.recv() => return Ok(self.undo_all(Why::Asked).await),
                _ = hang_up.recv() => {}
            }
        }
    }

    fn hear(&mut self, said: Said) {
        self.heard = Instant::now();
        match said {
            Said::Hold(held) => {
                let until = held.lease_ms.map(|lease| Instant::now() + Duration::from_millis(lease));
                let id = held.id;
                self.held.push((held, until));
                answer(&Answered::Held(id));
            }
            Said::LetGo(id) => self.held.retain(|(held, _)| held.id != id),
            Said::Beat | Said::End => {}
        }
    }

    async fn undo_what_is_due(&mut self) {
        let now = Instant::now();
        while let Some(at) = self.held.iter().rposition(|(_, until)| until.is_some_and(|until| until <= now)) {
            let (held, _) = self.held.remove(at);
            let trouble = held.undo.carry_out().await.err();
            note(&told(&held, trouble.as_deref()));
            answer(&Answered::Undid { id: held.id, trouble });
        }
    }

    /// The last first, as they were built on each other.
    async fn undo_all(&mut self, why: Why) -> bool {
        note(&format!("mainstay drill: {}, and {} things are to be undone", why.words(), self.held.len()));
        let mut well = true;
        while let Some((held, _)) = self.held.pop() {
            let trouble = held.undo.carry_out().await.err();
            well &= trouble.is_none();
            note(&told(&held, trouble.as_deref()));
            answer(&Answered::Undid { id: held.id, trouble });
        }
        note(if well { "mainstay drill: nothing is left" } else { "mainstay drill: something is left, see above" });
        well
    }
}

fn told(held: &Held, trouble: Option<&str>) -> String {
    match trouble {
        None => format!("mainstay drill: undone: {} ({})", held.what, held.undo),
        Some(trouble) => format!("mainstay drill: LEFT: {}: to {} failed: {trouble}", held.what, held.undo),
    }
}

fn answer(answered: &Answered) {
    // A driller that is gone needs no answer.
    if let Ok(line) = serde_json::to_string(answered) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}

fn note(text: &str) {
    // Nobody can be told that standard error is gone.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
