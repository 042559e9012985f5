//! Clients' commands on their way into the log: gathered into batches, so that one entry, one flush and one round trip
//! serve all that came while the last one was under way.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use mainstay_mvcc::{Applied, Command};
use openraft::error::RaftError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::engine::Failure;
use crate::raft::{Batch, Raft, stopped, write};

/// How many commands may wait.
const WAITING: usize = 16_384;

/// How much all that waits or is under way may take, in KiB.
const WAITING_KIB: usize = 256 << 10;

/// How many commands go into one batch at most.
const COMMANDS: usize = 4096;

/// How long a batch may be in bytes, unless its first command is longer.
const BYTES: usize = 1 << 20;

/// How many batches are under way at once: while one is on its way to the others, the next goes to the disk.
const AT_ONCE: usize = 3;

type Outcome = Result<Applied, Failure>;

struct Proposal {
    command: Bytes,
    outcome: oneshot::Sender<Outcome>,
    room: OwnedSemaphorePermit,
}

/// Takes commands in. A clone is another handle of the same.
#[derive(Debug, Clone)]
pub(crate) struct Proposals {
    waiting: mpsc::Sender<Proposal>,
    room: Arc<Semaphore>,
}

impl Proposals {
    /// Commands go to this Raft from now on, until it ends or the last handle is gone. What becomes of one is waited for no
    /// longer than `patience`.
    pub(crate) fn start(raft: Raft, patience: Duration) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, waiting) = mpsc::channel(WAITING);
        (Self { waiting: sender, room: Arc::new(Semaphore::new(WAITING_KIB)) }, run(raft, patience, waiting))
    }

    /// Hands a command in, and waits for what it did.
    pub(crate) async fn propose(&self, command: Bytes) -> Outcome {
        let (outcome, settled) = oneshot::channel();
        let kib = u32::try_from(command.len() / 1024 + 1).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(kib).map_err(|_| Failure::TooMany)?;
        self.waiting.try_send(Proposal { command, outcome, room }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Failure::TooMany,
            mpsc::error::TrySendError::Closed(_) => Failure::Stopped("it takes no more commands".to_owned()),
        })?;
        // It ended with the command under way.
        settled.await.unwrap_or(Err(Failure::Timeout))
    }
}

async fn run(raft: Raft, patience: Duration, mut waiting: mpsc::Receiver<Proposal>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut batch = Vec::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Some(first) = waiting.recv().await else { return };
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(proposal) = next {
            // Whoever has given up is not served: its command was not proposed, and it was told that it is unknown.
            if !proposal.outcome.is_closed() {
                bytes += proposal.command.len();
                batch.push(proposal);
            }
            if batch.len() == COMMANDS || bytes >= BYTES {
                break;
            }
            next = waiting.try_recv().ok();
        }
        if batch.is_empty() {
            continue;
        }
        let commands = encode(batch.iter().map(|proposal| &proposal.command));
        let outcomes: Vec<_> = batch.drain(..).map(|proposal| (proposal.outcome, proposal.room)).collect();
        // The order of batches is that in which the core takes them in, here.
        let settled = write(&raft, commands, patience).await;
        tokio::spawn(async move {
            let applied = match settled {
                Ok(settled) => settled.await,
                Err(failure) => Err(failure),
            };
            settle(outcomes, applied);
            drop(place);
        });
    }
}

/// Tells each what became of its command.
fn settle(outcomes: Vec<(oneshot::Sender<Outcome>, OwnedSemaphorePermit)>, applied: Result<Vec<Applied>, Failure>) {
    let mut applied = applied.map(Vec::into_iter);
    for (outcome, _room) in outcomes {
        _ = outcome.send(match &mut applied {
            Ok(applied) => applied.next().ok_or(Failure::Timeout),
            Err(failure) => Err(failure.clone()),
        });
    }
}

/// Says of any failure of the engine what it is to who asked.
pub(crate) fn failed<E: std::fmt::Display>(error: &RaftError<u64, E>) -> Failure {
    match error {
        RaftError::Fatal(fatal) => stopped(fatal),
        RaftError::APIError(_) => Failure::NoLeader,
    }
}

/// Commands, each with its length before it.
fn encode<'a>(commands: impl Iterator<Item = &'a Bytes> + Clone) -> Batch {
    let length = commands.clone().map(|command| 4 + command.len()).sum();
    let mut bytes = BytesMut::with_capacity(length);
    for command in commands {
        bytes.put_u32_le(u32::try_from(command.len()).unwrap_or(u32::MAX));
        bytes.put_slice(command);
    }
    Batch(bytes.freeze())
}

/// The commands of a batch; nothing for one that cannot be read, so that all members pass it over alike.
pub(crate) fn decode(batch: &Batch) -> impl Iterator<Item = Option<Command>> {
    let mut left = batch.0.clone();
    std::iter::from_fn(move || {
        if left.len() < 4 {
            return None;
        }
        let length = left.get_u32_le() as usize;
        if left.len() < length {
            left.clear();
            return Some(None);
        }
        Some(Command::decode(&left.split_to(length)).ok())
    })
}
