//! The driller's end of the [`watchdog`](crate::watchdog): nothing is broken or made before its undoing is held there.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

use crate::trouble::{Outcome, Trouble, while_doing};
use crate::undo::Undo;
use crate::watchdog::{Answered, Held, SILENCE, Said};

/// How long the watchdog may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Beats in the time that the driller may be silent.
const BEATS: u32 = 5;
/// Lines that may wait to be written.
const WAITING: usize = 64;

/// Something that the watchdog holds; let go of by [`Keeper::undo`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lease(u64);

/// What has been undone, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Undone {
    pub(crate) what: String,
    pub(crate) undo: Undo,
    /// The watchdog did it, because its lease had passed.
    pub(crate) by_watchdog: bool,
    /// Why it is not undone.
    pub(crate) trouble: Option<String>,
}

/// What the watchdog has said and not been asked for.
#[derive(Debug, Default)]
struct Heard {
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
    undid: Vec<(u64, Option<String>)>,
    gone: bool,
}

/// Holds what is to be undone, here and at the watchdog.
#[derive(Debug)]
pub(crate) struct Keeper {
    watchdog: Child,
    lines: mpsc::Sender<Said>,
    writer: JoinHandle<()>,
    heard: Arc<Mutex<Heard>>,
    held: BTreeMap<u64, Held>,
    next: u64,
    undone: Vec<Undone>,
}

fn locked(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keeper {
    /// Starts the watchdog: `program` with `arguments`.
    pub(crate) fn start(program: &Path, arguments: &[String]) -> Outcome<Self> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut watchdog = command.spawn().map_err(while_doing("starting the watchdog"))?;
        let (Some(stdin), Some(stdout)) = (watchdog.stdin.take(), watchdog.stdout.take()) else {
            return Err(Trouble::failed("the watchdog has no pipes"));
        };
        let heard = Arc::<Mutex<Heard>>::default();
        let (lines, said) = mpsc::channel(WAITING);
        let writer = tokio::spawn(write(stdin, said));
        tokio::spawn(hear(stdout, Arc::clone(&heard)));
        Ok(Self { watchdog, lines, writer, heard, held: BTreeMap::new(), next: 0, undone: Vec::new() })
    }

    /// Lets the watchdog hold `undo`; when this is well, the fault may begin.
    pub(crate) async fn hold(
        &mut self,
        what: impl Into<String>,
        undo: Undo,
        lease: Option<Duration>,
    ) -> Outcome<Lease> {
        self.next += 1;
        let lease_ms = lease.map(|lease| u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
        let held = Held { id: self.next, what: what.into(), undo, lease_ms };
        let (told, answer) = oneshot::channel();
        locked(&self.heard).waiting.insert(held.id, told);
        self.say(Said::Hold(held.clone())).await?;
        self.held.insert(held.id, held);
        match timeout(PATIENCE, answer).await {
            Ok(Ok(())) => Ok(Lease(self.next)),
            _ => Err(lost()),
        }
    }

    async fn say(&self, said: Said) -> Outcome {
        if self.is_lost() {
            return Err(lost());
        }
        self.lines.send(said).await.map_err(|_| lost())
    }

    /// Whether the watchdog is gone: without it nothing may be broken.
    pub(crate) fn is_lost(&self) -> bool {
        locked(&self.heard).gone
    }

    /// Undoes it here and lets the watchdog let go of it.
    pub(crate) async fn undo(&mut self, lease: Lease) {
        self.fetch();
        let Some(held) = self.held.remove(&lease.0) else { return };
        let trouble = held.undo.carry_out().await.err();
        self.finish(held, trouble).await;
    }

    async fn finish(&mut self, held: Held, trouble: Option<String>) {
        // One that is gone has undone what it held; what failed here, it tries again at the end.
        if trouble.is_none() {
            let _ = self.say(Said::LetGo(held.id)).await;
        }
        self.undone.push(Undone { what: held.what, undo: held.undo, by_watchdog: false, trouble });
    }

    /// Takes over what the watchdog has undone.
    fn fetch(&mut self) {
        let undid = std::mem::take(&mut locked(&self.heard).undid);
        for (id, trouble) in undid {
            if let Some(held) = self.held.remove(&id) {
                self.undone.push(Undone { what: held.what, undo: held.undo, by_watchdog: true, trouble });
            }
        }
    }

    /// Undoes every fault that is held, the last first; what was made for the drill stays for now.
    pub(crate) async fn undo_faults(&mut self) {
        self.fetch();
        let faults = self.held.values().filter(|held| held.lease_ms.is_some()).map(|held| Lease(held.id));
        for lease in faults.collect::<Vec<_>>().into_iter().rev() {
            self.undo(lease).await;
        }
    }

    /// Undoes everything that is held, the last first.
    pub(crate) async fn undo_all(&mut self) {
        self.fetch();
        while let Some(id) = self.held.last_key_value().map(|(id, _)| *id) {
            self.undo(Lease(id)).await;
        }
    }

    /// Everything that has been undone so far.
    pub(crate) fn undone(&mut self) -> &[Undone] {
        self.fetch();
        &self.undone
    }

    /// Lets the watchdog end; what is still held it undoes.
    pub(crate) async fn end(mut self) -> Outcome {
        self.fetch();
        let all = self.held.is_empty() && self.undone.iter().all(|undone| undone.trouble.is_none());
        if all {
            self.say(Said::End).await?;
        }
        // Without a word the closed pipe tells it to undo what is left.
        drop(self.lines);
        let _ = self.writer.await;
        match timeout(PATIENCE * 4, self.watchdog.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(_) => Err(Trouble::failed("the watchdog could not undo everything: see what it says")),
            Err(_) => Err(Trouble::failed("the watchdog does not end")),
        }
    }
}

fn lost() -> Trouble {
    Trouble::failed("the watchdog that would undo faults is gone, so none is begun")
}

/// Writes lines, and a beat when there has been none for a while.
async fn write(mut pipe: ChildStdin, mut said: mpsc::Receiver<Said>) {
    let mut beats = interval(SILENCE / BEATS);
    loop {
        let line = tokio::select! {
            line = said.recv() => match line {
                Some(line) => line,
                None => return,
            },
            _ = beats.tick() => Said::Beat,
        };
        let Ok(mut text) = serde_json::to_vec(&line) else { return };
        text.push(b'\n');
        if pipe.write_all(&text).await.is_err() || pipe.flush().await.is_err() {
            return;
        }
    }
}

async fn hear(pipe: ChildStdout, heard: Arc<Mutex<Heard>>) {
    let mut lines = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(Answered::Held(id)) => {
                if let Some(waiting) = locked(&heard).waiting.remove(&id) {
                    // Who asked may have given up.
                    let _ = waiting.send(());
                }
            }
            Ok(Answered::Undid { id, trouble }) => locked(&heard).undid.push((id, trouble)),
            Err(_) => break,
        }
    }
    locked(&heard).gone = true;
}
