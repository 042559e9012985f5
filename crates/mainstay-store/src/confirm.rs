//! Linearizable reads: what must have been carried out here before a read that begins now may be answered.
//!
//! All who ask while a round is under way share the next one (ReadIndex: Ongaro's thesis, section 6.4). On a member that
//! does not lead, a round is one question to the leader.

use std::future::Future;

use tokio::sync::{mpsc, oneshot};

use crate::engine::Failure;

/// How many may wait.
const WAITING: usize = 65_536;

type Outcome = Result<(), Failure>;

/// Takes those in who want to read. A clone is another handle of the same.
#[derive(Debug, Clone)]
pub(crate) struct Confirmations(mpsc::Sender<oneshot::Sender<Outcome>>);

impl Confirmations {
    /// Rounds are played by `round`, one after the other.
    pub(crate) fn start<F>(round: impl Fn() -> F + Send + 'static) -> (Self, impl Future<Output = ()> + Send)
    where
        F: Future<Output = Outcome> + Send,
    {
        let (sender, waiting) = mpsc::channel(WAITING);
        (Self(sender), run(round, waiting))
    }

    /// Waits for a round that begins after the call.
    pub(crate) async fn confirm(&self) -> Outcome {
        let (outcome, settled) = oneshot::channel();
        self.0.try_send(outcome).map_err(|_| Failure::TooMany)?;
        settled.await.unwrap_or_else(|_| Err(Failure::Stopped("it answers no more reads".to_owned())))
    }
}

async fn run<F>(round: impl Fn() -> F, mut waiting: mpsc::Receiver<oneshot::Sender<Outcome>>)
where
    F: Future<Output = Outcome> + Send,
{
    let mut readers = Vec::new();
    while waiting.recv_many(&mut readers, WAITING).await > 0 {
        let outcome = round().await;
        for reader in readers.drain(..) {
            _ = reader.send(outcome.clone());
        }
    }
}
