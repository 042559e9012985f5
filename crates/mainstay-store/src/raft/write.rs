//! A batch on its way into the log, and what is certain of it.
//!
//! Before the engine of consensus has a batch, it was certainly not done. Afterwards only the answer makes anything certain:
//! the engine says of an entry that was taken back here what it says of one that it never took, that another leads, and what
//! was taken back here may stand in the log of a member that leads next. Of an entry whose place a snapshot has taken it
//! says nothing at all.

use std::future::Future;
use std::time::Duration;

use mainstay_mvcc::Applied;
use openraft::error::{ClientWriteError, Fatal};
use openraft::raft::ClientWriteResult;
use tokio::sync::oneshot::error::RecvError;
use tokio::time::timeout;

use super::{Batch, MemberId, Raft, Types};
use crate::engine::Failure;

/// Hands a batch to the engine of consensus if this member leads. Batches stand in the log in the order in which these
/// calls end; what becomes of one is waited for afterwards, for no longer than `patience`.
pub(crate) async fn write(
    raft: &Raft,
    batch: Batch,
    patience: Duration,
) -> Result<impl Future<Output = Result<Vec<Applied>, Failure>> + Send + 'static, Failure> {
    if !raft.metrics().borrow().state.is_leader() {
        return Err(Failure::NoLeader);
    }
    let written = raft.client_write_ff(batch).await.map_err(|fatal: Fatal<MemberId>| stopped(&fatal))?;
    Ok(became(written, patience))
}

/// What has become of a batch that the engine has.
async fn became<W>(written: W, patience: Duration) -> Result<Vec<Applied>, Failure>
where
    W: Future<Output = Result<ClientWriteResult<Types>, RecvError>>,
{
    match timeout(patience, written).await {
        Ok(Ok(Ok(response))) => Ok(response.data.0),
        Ok(Ok(Err(ClientWriteError::ForwardToLeader(_) | ClientWriteError::ChangeMembershipError(_))) | Err(_))
        | Err(_) => Err(Failure::Timeout),
    }
}

/// Says why consensus has ended.
pub(crate) fn stopped(fatal: &Fatal<MemberId>) -> Failure {
    Failure::Stopped(fatal.to_string())
}

#[cfg(test)]
mod tests {
    use openraft::error::ForwardToLeader;
    use openraft::raft::ClientWriteResponse;
    use tokio::sync::oneshot;

    use super::*;
    use crate::raft::{Done, LogId};

    const PATIENCE: Duration = Duration::from_millis(20);

    fn done() -> ClientWriteResponse<Types> {
        let log_id = LogId::new(openraft::CommittedLeaderId::new(1, 1), 1);
        ClientWriteResponse { log_id, data: Done(Vec::new()), membership: None }
    }

    #[tokio::test]
    async fn only_an_answer_makes_certain_what_became_of_a_batch() {
        let (answer, answered) = oneshot::channel();
        answer.send(Ok(done())).unwrap();
        assert_eq!(became(answered, PATIENCE).await, Ok(Vec::new()));
        // Taken back here, it may be done by whoever leads next.
        let (answer, answered) = oneshot::channel();
        answer.send(Err(ClientWriteError::ForwardToLeader(ForwardToLeader::empty()))).unwrap();
        assert_eq!(became(answered, PATIENCE).await, Err(Failure::Timeout));
        // The engine has ended with it.
        let (answer, answered) = oneshot::channel::<ClientWriteResult<Types>>();
        drop(answer);
        assert_eq!(became(answered, PATIENCE).await, Err(Failure::Timeout));
    }

    #[tokio::test]
    async fn a_batch_whose_place_a_snapshot_took_is_waited_for_no_longer_than_clients_wait() {
        let (_answer, answered) = oneshot::channel::<ClientWriteResult<Types>>();
        let began = tokio::time::Instant::now();
        assert_eq!(became(answered, PATIENCE).await, Err(Failure::Timeout));
        assert!(began.elapsed() >= PATIENCE);
    }
}
