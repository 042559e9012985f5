//! Who answers for a service: from the configuration, from DNS, or from a file that is watched.
//!
//! In: where to look. Out: the set of endpoints, sorted by address and each once, to a callback whenever it changes, which
//! is awaited.
//! The gateway runs this on its control runtime, a program on its own; whoever makes calls only ever sees a finished set.
//!
//! **A look-up that is empty, fails or cannot be read changes nothing**: the last good set stays, because a resolver or
//! a file that is broken for a minute must not take away instances that are well; those that are not are found by checks
//! and ejections. The first such look-up is said in the log, and so is the first good one after it. Before the first
//! good look-up there is no set.

mod dns;
mod file;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mainstay_config::Endpoints;
use mainstay_policy::EndpointSpec;
use tokio::task::JoinHandle;

/// First pause after a failed look-up; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_secs(1);

/// Longest pause after a failed look-up: a resolver that is back is noticed soon, and is not hammered while it is down.
const RETRY_MAX: Duration = Duration::from_secs(15);

/// The watch over one service's endpoints; dropping it ends it.
#[derive(Debug)]
pub struct Discovery {
    task: JoinHandle<()>,
}

/// Why a look-up gave no endpoints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum LookUpError {
    /// It worked and found nobody.
    #[error("it is empty")]
    Empty,
    /// The name could not be resolved.
    #[error("the name cannot be resolved: {0}")]
    Dns(String),
    /// The file could not be read.
    #[error("{path} cannot be read: {why}", path = path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// The file does not say what endpoints there are.
    #[error("{path} does not list endpoints: {why}", path = path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Discovery {
    /// Begins to look on the current runtime. `changed` is told the first good set and every other one after it; a
    /// fixed set is told once.
    #[must_use]
    pub fn start<F>(
        service: &str,
        endpoints: &Endpoints,
        mut changed: impl FnMut(Vec<EndpointSpec>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let keeper = Keeper::new(service);
        let task = match endpoints {
            Endpoints::Fixed(fixed) => {
                let fixed = in_order(fixed.clone());
                tokio::spawn(async move { changed(fixed).await })
            }
            Endpoints::Dns { host, port } => tokio::spawn(dns::watch(host.clone(), *port, keeper, changed)),
            Endpoints::File(path) => tokio::spawn(file::watch(path.clone(), keeper, changed)),
        };
        Self { task }
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sorted by address, each address once; of two with the same address the first counts.
fn in_order(mut endpoints: Vec<EndpointSpec>) -> Vec<EndpointSpec> {
    endpoints.sort_by_key(|endpoint| endpoint.address);
    endpoints.dedup_by_key(|endpoint| endpoint.address);
    endpoints
}

/// Keeps the last good set, and tells what changed.
#[derive(Debug)]
struct Keeper {
    service: Arc<str>,
    kept: Vec<EndpointSpec>,
    failing: Option<LookUpError>,
}

impl Keeper {
    fn new(service: &str) -> Self {
        Self { service: service.into(), kept: Vec::new(), failing: None }
    }

    /// Takes the result of a look-up; the set, if it is another one.
    fn take(&mut self, found: Result<Vec<EndpointSpec>, LookUpError>) -> Option<Vec<EndpointSpec>> {
        let found =
            found.and_then(|endpoints| if endpoints.is_empty() { Err(LookUpError::Empty) } else { Ok(endpoints) });
        match found {
            Err(error) => {
                self.fail(error);
                None
            }
            Ok(endpoints) => {
                self.recover();
                let endpoints = in_order(endpoints);
                (endpoints != self.kept).then(|| {
                    tracing::info!(service = &*self.service, endpoints = endpoints.len(), "the endpoints changed");
                    self.kept.clone_from(&endpoints);
                    endpoints
                })
            }
        }
    }

    fn fail(&mut self, error: LookUpError) {
        if self.failing.as_ref().is_none_or(|before| std::mem::discriminant(before) != std::mem::discriminant(&error)) {
            let (service, kept) = (&*self.service, self.kept.len());
            tracing::warn!(service, kept, %error, "a look-up of endpoints failed; the last good set stays");
        }
        self.failing = Some(error);
    }

    fn recover(&mut self) {
        if self.failing.take().is_some() {
            tracing::info!(service = &*self.service, "the look-up of endpoints works again");
        }
    }
}

#[cfg(test)]
mod tests;
