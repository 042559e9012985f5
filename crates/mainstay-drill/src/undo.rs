//! How a fault is undone, as something that can be written down before the fault begins and carried out by another
//! process when the one that began it is gone.
//!
//! Carrying one out twice is the same as once, and so is carrying it out when there is nothing left to undo: who is in
//! doubt undoes.

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::ask::Ask;
use crate::link::Link;
use crate::process::{Descriptors, Identity};

/// How long something that is undone may take to be seen undone.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a command may take.
const LONG: Duration = Duration::from_secs(60);
/// How often that is looked at.
const EVERY: Duration = Duration::from_millis(20);

/// What takes a fault, or what was made for a drill, away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Undo {
    /// Lets a process that stands still go on.
    GoOn {
        /// Which.
        process: Identity,
    },
    /// Ends a process that was started for the drill.
    End {
        /// Which.
        process: Identity,
    },
    /// Gives a process back the descriptors that it may have.
    GiveDescriptors {
        /// Which.
        process: Identity,
        /// How many.
        limit: Descriptors,
    },
    /// Asks somebody to take a fault away.
    Tell {
        /// What is asked.
        ask: Ask,
    },
    /// Lets the way to an instance be well again.
    Clear {
        /// Which.
        link: Link,
    },
    /// Takes a network namespace away, and the link to it.
    Unlink {
        /// Which.
        link: Link,
    },
    /// Runs a command of the user's, which starts again what was ended.
    Run {
        /// The program and its arguments.
        command: Vec<String>,
    },
    /// Removes a directory of the drill's own.
    Remove {
        /// Which.
        path: PathBuf,
    },
}

impl Undo {
    /// Carries it out and waits until it shows.
    ///
    /// # Errors
    /// Why it is not undone, in words.
    pub async fn carry_out(&self) -> Result<(), String> {
        match self {
            Self::GoOn { process } => {
                ended_is_well(process.signal(Signal::CONT))?;
                seen(|| !process.stands_still(), "it still stands still").await
            }
            Self::End { process } => {
                ended_is_well(process.signal(Signal::KILL))?;
                seen(|| !process.is_there(), "it has not ended").await
            }
            Self::GiveDescriptors { process, limit } => ended_is_well(process.limit_descriptors(*limit).map(|_| ())),
            Self::Tell { ask } => match ask.send(PATIENCE).await {
                Ok(_) => Ok(()),
                // Nobody there is nobody who has the fault: faults end with the process that has them.
                Err(why) if why.nobody => Ok(()),
                Err(why) => Err(why.to_string()),
            },
            Self::Clear { link } => link.clear().await,
            Self::Unlink { link } => link.remove().await,
            Self::Run { command } => match run(command, LONG).await? {
                (0, ..) => Ok(()),
                (status, _, err) => Err(format!("it ended with {status}: {}", err.trim())),
            },
            Self::Remove { path } => match std::fs::remove_dir_all(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error.to_string()),
                _ => Ok(()),
            },
        }
    }
}

impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GoOn { process } => write!(f, "let process {} go on", process.pid),
            Self::End { process } => write!(f, "end process {}", process.pid),
            Self::GiveDescriptors { process, .. } => write!(f, "give process {} its descriptors back", process.pid),
            Self::Tell { ask } => write!(f, "{ask}"),
            Self::Clear { link } => write!(f, "clear the link of {link}"),
            Self::Unlink { link } => write!(f, "remove {link}"),
            Self::Run { command } => write!(f, "run {}", command.join(" ")),
            Self::Remove { path } => write!(f, "remove {}", path.display()),
        }
    }
}

/// A process that has ended has no fault any more.
fn ended_is_well(result: std::io::Result<()>) -> Result<(), String> {
    match result {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.to_string()),
        _ => Ok(()),
    }
}

async fn seen(look: impl Fn() -> bool, otherwise: &str) -> Result<(), String> {
    let waiting = async {
        while !look() {
            tokio::time::sleep(EVERY).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.map_err(|_| otherwise.to_owned())
}

/// Runs a command to its end, in at most `wait`: its status (less than 0 for a signal), what it printed, and what it
/// complained of.
pub(crate) async fn run(command: &[String], wait: Duration) -> Result<(i32, String, String), String> {
    let (program, arguments) = command.split_first().ok_or("there is no command")?;
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).stdin(std::process::Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(wait, command.output()).await;
    let ended = ended.map_err(|_| format!("{program} does not end"))?.map_err(|error| format!("{program}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((ended.status.code().unwrap_or(-1), text(&ended.stdout), text(&ended.stderr)))
}
