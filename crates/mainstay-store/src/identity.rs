//! Who a member is: written down at its first start and held against its settings at every later one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use mainstay_core::fnv;
use serde::{Deserialize, Serialize};

use crate::raft::MemberId;
use crate::settings::Settings;

/// The file in the member's directory.
const FILE: &str = "member.json";

/// Who a member is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) member: MemberId,
    pub(crate) cluster: u64,
    /// Whether it has had all that its cluster had agreed on, once. Until then it may be a member that lost its data, and
    /// has forgotten what it acknowledged.
    #[serde(default)]
    pub(crate) whole: bool,
}

/// Why it cannot be who the settings say.
#[derive(Debug, thiserror::Error)]
pub enum Mistaken {
    /// The file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The directory is another member's.
    #[error(
        "{} holds the data of the member {theirs:?}, and this node is {ours:?}: give it a directory of its own, or its \
         name back (node.name)",
        path.display()
    )]
    AnotherName {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        theirs: String,
        /// Who asks.
        ours: String,
    },
    /// The settings do not name the member itself.
    #[error(
        "store.members names {named}, and this node is {ours:?}: name it there with its peer address, or give it one of \
         those names (node.name)"
    )]
    NotAMember {
        /// Who is named.
        named: String,
        /// Who asks.
        ours: String,
    },
}

/// The number of the member of this name.
pub(crate) fn number(name: &str) -> MemberId {
    fnv(name.bytes()).max(1)
}

impl Identity {
    /// Who it was at its first start; now, if this is it.
    pub(crate) fn of(settings: &Settings) -> Result<Self, Mistaken> {
        let path = settings.directory.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => {
                let known: Self = serde_json::from_slice(&bytes)
                    .map_err(|error| Mistaken::File { path: path.clone(), error: error.into() })?;
                if known.name == settings.name {
                    return Ok(known);
                }
                let (theirs, ours) = (known.name, settings.name.clone());
                Err(Mistaken::AnotherName { path: settings.directory.clone(), theirs, ours })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let identity = Self::new(settings)?;
                identity.keep(&settings.directory).map_err(|error| Mistaken::File { path, error })?;
                Ok(identity)
            }
            Err(error) => Err(Mistaken::File { path, error }),
        }
    }

    fn new(settings: &Settings) -> Result<Self, Mistaken> {
        let named: Vec<_> = settings.members.keys().cloned().collect();
        if !named.is_empty() && !named.contains(&settings.name) {
            return Err(Mistaken::NotAMember { named: named.join(", "), ours: settings.name.clone() });
        }
        // All members of a new cluster come to the same number from the same settings; one that is alone is only ever
        // mistaken for another of the same name and address.
        let mut text = String::new();
        for (name, peer) in &settings.members {
            text.push_str(&format!("{name}={peer}\n"));
        }
        if named.len() < 2 {
            text.push_str(&format!("{}={}", settings.name, settings.peer));
        }
        let cluster = fnv(text.bytes()).max(1);
        let whole = named.len() < 2;
        Ok(Self { name: settings.name.clone(), member: number(&settings.name), cluster, whole })
    }

    /// Writes it down.
    pub(crate) fn keep(&self, directory: &Path) -> io::Result<()> {
        let path = directory.join(FILE);
        fs::create_dir_all(directory)?;
        let aside = path.with_extension("tmp");
        fs::write(&aside, serde_json::to_vec_pretty(self)?)?;
        fs::File::open(&aside)?.sync_all()?;
        fs::rename(&aside, &path)?;
        fs::File::open(directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(name: &str, directory: &Path, members: &[&str]) -> Settings {
        let mut settings = Settings::new(name, directory);
        settings.members = members.iter().map(|name| ((*name).to_owned(), format!("{name}:2380"))).collect();
        settings
    }

    #[test]
    fn members_of_one_cluster_agree_on_its_number_and_not_on_their_own() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let one = Identity::of(&settings("n1", a.path(), &["n1", "n2", "n3"])).unwrap();
        let two = Identity::of(&settings("n2", b.path(), &["n1", "n2", "n3"])).unwrap();
        assert_eq!(one.cluster, two.cluster);
        assert_ne!(one.member, two.member);
    }

    #[test]
    fn a_member_is_who_it_was_whatever_its_settings_name_later() {
        let dir = tempfile::tempdir().unwrap();
        let first = Identity::of(&settings("n1", dir.path(), &["n1", "n2"])).unwrap();
        assert_eq!(Identity::of(&settings("n1", dir.path(), &[])).unwrap(), first);
        let other = Identity::of(&settings("n2", dir.path(), &["n1", "n2"])).unwrap_err().to_string();
        assert!(other.contains("\"n1\"") && other.contains("node.name"), "{other}");
    }

    #[test]
    fn a_member_that_its_settings_do_not_name_is_told_so() {
        let dir = tempfile::tempdir().unwrap();
        let error = Identity::of(&settings("n9", dir.path(), &["n1", "n2"])).unwrap_err().to_string();
        assert!(error.contains("n1, n2") && error.contains("\"n9\""), "{error}");
        assert!(!dir.path().join(FILE).exists(), "nothing is written before it is right");
    }
}
