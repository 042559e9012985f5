//! What all services share: the member behind them and what they may take.

use std::sync::Arc;

use mainstay_mvcc::{Applied, Command, Done, Revision};
use prost::Message;
use tokio::sync::watch;
use tonic::{Request, Status};

use super::count::Counts;
use super::door::Method;
use super::refusal::{self, status};
use super::serve::Settings;
use crate::engine::{Engine, Header};

/// A member in etcd's words.
#[derive(Debug, Clone)]
pub(crate) struct Face {
    pub(crate) engine: Engine,
    pub(crate) settings: Arc<Settings>,
    pub(crate) counts: Arc<Counts>,
    /// Closed when the server stops.
    pub(crate) stopping: watch::Receiver<()>,
}

impl Face {
    /// Has a command done: the header of the answer, of the revision after it, and what it did.
    pub(crate) async fn done(&self, command: Command) -> Result<(Header, Done), Status> {
        let Applied { revision, done } = self.engine.propose(command).await?;
        Ok((self.header(revision), done.map_err(refusal::refused)?))
    }

    /// When the server stops: what would never end by itself ends then.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stopping = self.stopping.clone();
        async move { drop(stopping.changed().await) }
    }

    /// The header of an answer of this revision.
    pub(crate) fn header(&self, revision: Revision) -> Header {
        Header { revision, ..self.engine.header() }
    }

    /// Refuses what is asked of a member that is none any more, or that only learns.
    pub(crate) fn takes(&self, method: &Method) -> Result<(), Status> {
        if self.engine.is_removed() {
            return Err(status(refusal::REMOVED));
        }
        if self.engine.learns() && !method.is_for_learners() {
            return Err(status(refusal::NOT_FOR_LEARNERS));
        }
        Ok(())
    }

    /// Refuses what a caller wants done only while somebody leads (its metadata `hasleader`), if nobody does.
    pub(crate) fn led<T>(&self, request: &Request<T>) -> Result<(), Status> {
        if wants_leader(request) && self.engine.status().leader == 0 {
            return Err(status(refusal::NO_LEADER));
        }
        Ok(())
    }

    /// The message of a request that may become a command, if it is not too large for one.
    pub(crate) fn fitting<T: Message>(&self, request: Request<T>) -> Result<T, Status> {
        self.led(&request)?;
        let message = request.into_inner();
        if message.encoded_len() > self.settings.max_request {
            return Err(status(refusal::TOO_LARGE));
        }
        Ok(message)
    }
}

/// Whether the caller wants an answer only while somebody leads.
pub(crate) fn wants_leader<T>(request: &Request<T>) -> bool {
    request.metadata().get("hasleader").is_some_and(|value| value == "true")
}
