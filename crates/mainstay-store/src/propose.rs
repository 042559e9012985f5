//! Clients' commands on their way into the log: gathered into batches, so that one entry, one flush and one round trip
//! serve all that came while the last one was under way.
//!
//! On a member that does not lead, a batch goes to the leader as one message and is answered with one. There it stands in
//! line as one thing of that member's.

use std::future::Future;
use std::sync::{Arc, Weak};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use mainstay_mvcc::{Applied, Command, End, Op, Range, Span, Txn};
use openraft::error::RaftError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::engine::Failure;
use crate::raft::{Batch, stopped};
use crate::turns::{Asker, Line, Turned};

/// How many commands, or batches of other members, may wait.
const WAITING: usize = 16_384;

/// How much all that waits or is under way may take, in KiB.
const WAITING_KIB: usize = 256 << 10;

/// How long a command may be: half of what members take in one frame, so that one that came together with others fits.
pub(crate) const LONGEST: usize = crate::peer::LONGEST / 2;

/// How many commands go into one batch at most.
const COMMANDS: usize = 4096;

/// How long a batch may be in bytes, unless its first command is longer.
const BYTES: usize = 1 << 20;

/// How long the answers to a batch for another member may be, in bytes, as far as that can be told before: what goes into
/// one frame.
const ANSWERS: usize = 48 << 20;

/// How long an answer without a key in it is, and one key with its value, in bytes.
const ANSWER: usize = 64;
const KEY: usize = 2 << 20;

/// How many batches are under way at once: while one is on its way to the others, the next goes to the disk.
const AT_ONCE: usize = 3;

pub(crate) type Outcome = Result<Applied, Failure>;

/// What each command of a batch did, once that is known.
pub(crate) type Settling = BoxFuture<'static, Result<Vec<Applied>, Failure>>;

/// Where commands go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Leader {
    Me,
    Other(u64, String),
}

/// Who has commands carried out.
pub(crate) trait Ways: Send + Sync + 'static {
    /// Who leads, if anybody does.
    fn leader(&self) -> Option<Leader>;

    /// The term that this member knows of.
    fn term(&self) -> u64;

    /// Has a batch agreed on as the leader. Batches are agreed on in the order in which these calls end; what comes of one
    /// is waited for afterwards.
    fn here(&self, batch: Batch) -> impl Future<Output = Settling> + Send;

    /// Has a batch agreed on by another member that leads.
    fn there(
        &self,
        member: u64,
        peer: &str,
        batch: Batch,
    ) -> impl Future<Output = Result<Vec<Outcome>, Failure>> + Send;
}

struct Proposal {
    /// Each with its length before it.
    commands: Bytes,
    /// How long its answer may be.
    answer: usize,
    waiter: Waiter,
    room: OwnedSemaphorePermit,
}

/// Who waits for what becomes of a proposal.
enum Waiter {
    /// A client for that of its command.
    Client(oneshot::Sender<Outcome>),
    /// This member itself, as the leader of a term and of no other.
    Own(u64, oneshot::Sender<Outcome>),
    /// A member for those of so many.
    Member(usize, oneshot::Sender<Result<Vec<Applied>, Failure>>),
}

impl Waiter {
    fn is_gone(&self) -> bool {
        match self {
            Self::Client(outcome) | Self::Own(_, outcome) => outcome.is_closed(),
            Self::Member(_, outcomes) => outcomes.is_closed(),
        }
    }

    /// Whether its commands may go to the leader of a term, this member if it leads in `here`.
    fn may_go(&self, here: Option<u64>) -> bool {
        match self {
            Self::Client(_) => true,
            Self::Own(term, _) => here == Some(*term),
            // What another member took this one for, it is not.
            Self::Member(..) => here.is_some(),
        }
    }

    fn fail(self, failure: Failure) {
        match self {
            Self::Client(outcome) | Self::Own(_, outcome) => drop(outcome.send(Err(failure))),
            Self::Member(_, outcomes) => drop(outcomes.send(Err(failure))),
        }
    }
}

/// Takes commands in. A clone is another handle of the same.
#[derive(Debug, Clone)]
pub(crate) struct Proposals {
    line: Arc<Line<Proposal>>,
    room: Arc<Semaphore>,
}

impl std::fmt::Debug for Proposal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proposal").field("bytes", &self.commands.len()).finish_non_exhaustive()
    }
}

impl Proposals {
    /// Commands go these ways from now on, until who has them carried out is gone or the future is dropped.
    pub(crate) fn start<W: Ways>(ways: Weak<W>) -> (Self, impl Future<Output = ()> + Send) {
        let line = Arc::new(Line::new(WAITING));
        let this = Self { line: Arc::clone(&line), room: Arc::new(Semaphore::new(WAITING_KIB)) };
        (this, run(ways, Open(line)))
    }

    /// Hands a command in, and waits for what it did.
    pub(crate) async fn propose(&self, asker: &Asker, command: &Command, bytes: Bytes) -> Outcome {
        if bytes.len() > LONGEST {
            return Err(Failure::TooLong);
        }
        let Some(_held) = asker.room(bytes.len()).await else { return Err(Failure::TooMany) };
        let (outcome, settled) = oneshot::channel();
        self.put(asker, bytes, answer(command), Waiter::Client(outcome))?;
        settled.await.unwrap_or(Err(Failure::Timeout))
    }

    /// Hands in what this member itself wants as the leader of a term.
    pub(crate) async fn propose_own(&self, asker: &Asker, term: u64, command: &Command) -> Outcome {
        let (outcome, settled) = oneshot::channel();
        self.put(asker, encode(command), answer(command), Waiter::Own(term, outcome))?;
        settled.await.unwrap_or(Err(Failure::Timeout))
    }

    /// Hands in what another member has gathered, and waits for what each command did. It is not passed on.
    pub(crate) async fn propose_all(&self, asker: &Asker, batch: Batch) -> Result<Vec<Applied>, Failure> {
        let count = frames(&batch).map(|command| command.map(drop)).collect::<Option<Vec<()>>>();
        let count = count.ok_or(Failure::Refused(mainstay_mvcc::Refused::Unreadable))?.len();
        let (outcomes, settled) = oneshot::channel();
        self.put(asker, batch.0, 0, Waiter::Member(count, outcomes))?;
        settled.await.unwrap_or(Err(Failure::Timeout))
    }

    fn put(&self, asker: &Asker, commands: Bytes, answer: usize, waiter: Waiter) -> Result<(), Failure> {
        let kib = u32::try_from(commands.len() / 1024 + 1).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(kib).map_err(|_| Failure::TooMany)?;
        self.line.put(asker, Proposal { commands, answer, waiter, room }).map_err(|turned| match turned {
            Turned::Full => Failure::TooMany,
            Turned::Closed => Failure::Stopped("it takes no more commands".to_owned()),
        })
    }
}

/// The line, which takes nothing more once nobody takes from it.
struct Open(Arc<Line<Proposal>>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close();
    }
}

async fn run<W: Ways>(ways: Weak<W>, line: Open) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        line.0.comes().await;
        // Who is about to ask shares the batch.
        tokio::task::yield_now().await;
        let Some(ways) = ways.upgrade() else { return };
        match ways.leader() {
            Some(Leader::Me) => {
                let Some((batch, waiters)) = gather(&line.0, Some(ways.term())) else { continue };
                let settled = ways.here(batch).await;
                tokio::spawn(async move {
                    settle(waiters, settled.await);
                    drop(place);
                });
            }
            Some(Leader::Other(member, peer)) => {
                let Some((batch, waiters)) = gather(&line.0, None) else { continue };
                tokio::spawn(async move {
                    settle_each(waiters, ways.there(member, &peer, batch).await);
                    drop(place);
                });
            }
            None => line.0.take(|_| true).into_iter().for_each(|proposal| proposal.waiter.fail(Failure::NoLeader)),
        }
    }
}

type Waiters = Vec<(Waiter, OwnedSemaphorePermit)>;

/// Takes what goes into one batch, for this member as the leader of a term or for another; nothing if nobody waits for any
/// of it. The answers of another have to fit into a frame.
fn gather(line: &Line<Proposal>, here: Option<u64>) -> Option<(Batch, Waiters)> {
    let (mut count, mut bytes, mut answer) = (0, 0, 0_usize);
    let taken = line.take(|next| {
        let longer = (bytes + next.commands.len(), answer.saturating_add(next.answer));
        let fits = count < COMMANDS && longer.0 <= BYTES && (here.is_some() || longer.1 <= ANSWERS);
        if fits || count == 0 {
            (count, bytes, answer) = (count + 1, longer.0, longer.1);
            return true;
        }
        false
    });
    let mut commands = BytesMut::with_capacity(bytes);
    let mut waiters = Vec::with_capacity(taken.len());
    for Proposal { commands: each, waiter, room, .. } in taken {
        // Whoever has given up is not served: its command was not proposed, and it was told that it is unknown.
        if waiter.is_gone() {
            continue;
        }
        if !waiter.may_go(here) {
            waiter.fail(Failure::NoLeader);
            continue;
        }
        commands.put_slice(&each);
        waiters.push((waiter, room));
    }
    (!waiters.is_empty()).then(|| (Batch(commands.freeze()), waiters))
}

/// Tells each what became of its commands.
fn settle(waiters: Waiters, applied: Result<Vec<Applied>, Failure>) {
    let mut applied = match applied {
        Ok(applied) => applied.into_iter(),
        Err(failure) => return waiters.into_iter().for_each(|(waiter, _)| waiter.fail(failure.clone())),
    };
    for (waiter, _room) in waiters {
        match waiter {
            Waiter::Client(outcome) | Waiter::Own(_, outcome) => {
                drop(outcome.send(applied.next().ok_or(Failure::Timeout)));
            }
            Waiter::Member(count, outcomes) => drop(outcomes.send(Ok(applied.by_ref().take(count).collect()))),
        }
    }
}

/// Tells each what another member says of its command.
fn settle_each(waiters: Waiters, outcomes: Result<Vec<Outcome>, Failure>) {
    let mut outcomes = match outcomes {
        Ok(outcomes) => outcomes.into_iter(),
        Err(failure) => return waiters.into_iter().for_each(|(waiter, _)| waiter.fail(failure.clone())),
    };
    for (waiter, _room) in waiters {
        match waiter {
            Waiter::Client(outcome) => drop(outcome.send(outcomes.next().unwrap_or(Err(Failure::Timeout)))),
            other @ (Waiter::Own(..) | Waiter::Member(..)) => other.fail(Failure::Timeout),
        }
    }
}

/// Says of any failure of the engine what it is to who asked.
pub(crate) fn failed<E: std::fmt::Display>(error: &RaftError<u64, E>) -> Failure {
    match error {
        RaftError::Fatal(fatal) => stopped(fatal),
        RaftError::APIError(_) => Failure::NoLeader,
    }
}

/// How long the answer to a command may be, as far as that can be told before it is carried out.
fn answer(command: &Command) -> usize {
    fn span(span: &Span) -> usize {
        if span.end == End::Single { KEY } else { ANSWERS }
    }
    fn range(range: &Range) -> usize {
        if range.count_only { ANSWER } else { span(&range.span) }
    }
    fn txn(it: &Txn) -> usize {
        let ops = it.then.iter().chain(&it.otherwise).map(|op| match op {
            Op::Range(read) => range(read),
            Op::Put(put) if put.previous => KEY,
            Op::Delete(delete) if delete.previous => span(&delete.span),
            Op::Txn(within) => txn(within),
            Op::Put(_) | Op::Delete(_) => ANSWER,
        });
        ops.fold(ANSWER, usize::saturating_add)
    }
    match command {
        Command::Put(put) if put.previous => KEY,
        Command::Delete(delete) if delete.previous => span(&delete.span),
        Command::Txn(it) => txn(it),
        Command::Expire(ids) => ANSWER + 16 * ids.len(),
        _ => ANSWER,
    }
}

/// The bytes of a command in a batch: its length, then what it is.
pub(crate) fn encode(command: &Command) -> Bytes {
    let mut bytes = vec![0; 4];
    command.encode(&mut bytes);
    let length = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes.into()
}

/// The commands of a batch as bytes; nothing for one that is cut.
pub(crate) fn frames(batch: &Batch) -> impl Iterator<Item = Option<Bytes>> {
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
        Some(Some(left.split_to(length)))
    })
}

/// The commands of a batch; nothing for one that cannot be read, so that all members pass it over alike.
pub(crate) fn decode(batch: &Batch) -> impl Iterator<Item = Option<Command>> {
    frames(batch).map(|command| Command::decode(&command?).ok())
}
