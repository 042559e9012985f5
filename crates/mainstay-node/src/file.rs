//! The configuration's file: how it is read, and how a change of it is noticed.
//!
//! It is looked at twice a second by size and time of change; one that changed is read when it has not changed for a
//! whole round, because an editor may still be writing. Polling was chosen over notifications of the system: it works
//! the same on every file system, through renames and through the links of a mounted volume, and costs one call.
//! A hash of what was read last says whether there is anything new, so a `touch` reloads nothing.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use std::{fs, io};

use mainstay_config::{Loaded, Problems, Source};

/// The longest configuration that is read: far above any that a person wrote.
const LENGTH_MAX: u64 = 16 * 1024 * 1024;

/// Where the configuration comes from, now and at each reload. A copy is the same file.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    path: PathBuf,
    overrides: Vec<(String, String)>,
    /// The hash of what was read last, so that no change between the first reading and the first look is lost.
    last_read: Arc<Mutex<Option<u64>>>,
}

/// A configuration cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is wrong; all problems at once.
    #[error("{}", .0.render(false))]
    Wrong(Problems),
}

impl ConfigFile {
    /// The file at `path`, under what flags say: keys as `admin.address` with their values. The environment of the
    /// process lies between the two.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, overrides: Vec<(String, String)>) -> Self {
        Self { path: path.into(), overrides, last_read: Arc::default() }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it now; blocks.
    ///
    /// # Errors
    /// [`ConfigError`]: it cannot be read, or it is wrong.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let text = self.text().map_err(|source| ConfigError::Read { path: self.path.clone(), source })?;
        *self.last_read.lock().unwrap_or_else(PoisonError::into_inner) = Some(hash(&text));
        self.parse(text).map_err(ConfigError::Wrong)
    }

    fn text(&self) -> io::Result<String> {
        let mut text = String::new();
        fs::File::open(&self.path)?.take(LENGTH_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > LENGTH_MAX {
            return Err(io::Error::other(format!("it is longer than {LENGTH_MAX} bytes")));
        }
        Ok(text)
    }

    fn parse(&self, text: String) -> Result<Loaded, Problems> {
        let source = Source::new(self.path.display().to_string(), text)
            .overrides(self.overrides.iter().cloned())
            .environment(environment())
            .secrets(mainstay_config::secrets_of_process);
        mainstay_config::load(&source)
    }

    /// Whether it can be read and says something else than what was read last; blocks.
    pub(crate) fn is_news(&self) -> bool {
        let last = *self.last_read.lock().unwrap_or_else(PoisonError::into_inner);
        self.text().is_ok_and(|text| last != Some(hash(&text)))
    }

    pub(crate) fn look(&self) -> Look {
        fs::metadata(&self.path).ok().map(|data| (data.len(), data.modified().ok()))
    }
}

/// The variables of the process that are text; the others are none of ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Length and time of change; `None` while the file is not there.
pub(crate) type Look = Option<(u64, Option<SystemTime>)>;

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Notices that a file changed and has come to rest.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    seen: Look,
    /// A change that has to be the same once more.
    unsettled: bool,
}

impl Watch {
    /// Takes what a look found; whether there is something to read now.
    pub(crate) fn settled(&mut self, look: Look) -> bool {
        if look.is_none() {
            return false;
        }
        let moved = look != self.seen;
        self.seen = look;
        let ready = self.unsettled && !moved;
        self.unsettled = moved;
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_when_it_has_come_to_rest() {
        let look = |length| Some((length, None));
        let mut watch = Watch::default();
        assert!(!watch.settled(look(10)));
        assert!(watch.settled(look(10)), "it may have changed before the first look");
        assert!(!watch.settled(look(4)), "it is being written");
        assert!(!watch.settled(look(20)), "it is still being written");
        assert!(watch.settled(look(20)));
        assert!(!watch.settled(look(20)), "once is enough");
    }

    #[test]
    fn a_file_that_is_replaced_by_a_rename_is_read_when_it_is_back() {
        let look = |length| Some((length, None));
        let mut watch = Watch::default();
        assert!(!watch.settled(look(10)));
        assert!(watch.settled(look(10)));
        assert!(!watch.settled(None));
        assert!(!watch.settled(look(12)));
        assert!(watch.settled(look(12)));
    }

    #[test]
    fn a_touched_file_is_no_news_and_a_wrong_one_is_read_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mainstay.toml");
        fs::write(&path, "nonsense").unwrap();
        let file = ConfigFile::new(&path, Vec::new());
        assert!(file.is_news());
        assert!(matches!(file.load(), Err(ConfigError::Wrong(_))));
        fs::write(&path, "nonsense").unwrap();
        assert!(!file.is_news());
        fs::write(&path, "other nonsense").unwrap();
        assert!(file.is_news());
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = ConfigFile::new("/nowhere/mainstay.toml", Vec::new()).load().unwrap_err();
        assert_eq!(error.to_string(), "cannot read /nowhere/mainstay.toml");
    }
}
