//! Endpoints that stand in a file of their own: `endpoints = [...]`, as in a service.
//!
//! The content is compared and not the time of the change, so it does not matter how the file is replaced, on which file
//! system, or whether through a link. A file that is read while it is being written is malformed or short; the next
//! look sees it whole.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mainstay_policy::EndpointSpec;
use tokio::io::AsyncReadExt;

use super::{Keeper, LookUpError};

/// How often the file is looked at.
const PERIOD: Duration = Duration::from_millis(500);

/// Longest file that is read: some ten thousand endpoints.
const LENGTH_MAX: u64 = 1 << 20;

pub(super) async fn watch<F: Future<Output = ()>>(
    path: PathBuf,
    keeper: Keeper,
    mut changed: impl FnMut(Vec<EndpointSpec>) -> F,
) {
    let mut watched = Watched::new(path, keeper);
    loop {
        if let Some(endpoints) = watched.look().await {
            changed(endpoints).await;
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// The file, and what it said when it was looked at last.
pub(super) struct Watched {
    path: PathBuf,
    before: Option<Result<String, LookUpError>>,
    pub(super) keeper: Keeper,
}

impl Watched {
    pub(super) fn new(path: PathBuf, keeper: Keeper) -> Self {
        Self { path, before: None, keeper }
    }

    /// Looks at the file once; the set, if it is another one.
    pub(super) async fn look(&mut self) -> Option<Vec<EndpointSpec>> {
        let content = read(&self.path).await;
        if self.before.as_ref() == Some(&content) {
            return None;
        }
        let found = content.clone().and_then(|text| parse(&self.path, &text));
        self.before = Some(content);
        self.keeper.take(found)
    }
}

async fn read(path: &Path) -> Result<String, LookUpError> {
    let fail = |error: io::Error| LookUpError::Read { path: path.to_owned(), why: error.to_string() };
    let file = tokio::fs::File::open(path).await.map_err(fail)?;
    let mut text = String::new();
    file.take(LENGTH_MAX + 1).read_to_string(&mut text).await.map_err(fail)?;
    if text.len() as u64 > LENGTH_MAX {
        return Err(LookUpError::Read { path: path.to_owned(), why: "it is longer than 1 MiB".to_owned() });
    }
    Ok(text)
}

fn parse(path: &Path, text: &str) -> Result<Vec<EndpointSpec>, LookUpError> {
    mainstay_config::parse_endpoints(&path.display().to_string(), text)
        .map_err(|problems| LookUpError::Parse { path: path.to_owned(), why: problems.to_string() })
}
