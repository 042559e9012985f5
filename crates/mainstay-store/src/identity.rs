//! Who a member is: written down at its first start and held against its settings at every later one.

use std::fs;
use std::hash::{BuildHasher, RandomState};
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
    /// It came to a cluster that was there, and begins none.
    #[serde(default)]
    pub(crate) joined: bool,
    /// It is no member any more, and never will be again.
    #[serde(default)]
    pub(crate) removed: bool,
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
    /// It was a member once.
    #[error(
        "{} holds the data of a member that was removed from its cluster, for good: remove the data, then have a member \
         added anew (`mainstay store member add`) and name the others in store.join",
        path.display()
    )]
    Removed {
        /// The directory.
        path: PathBuf,
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

/// A number for a member that comes to this address. None is given twice: two numbers of 64 bits are the same less often
/// than disks lie.
pub(crate) fn new_number(peer: &str) -> MemberId {
    RandomState::new().hash_one(peer).max(1)
}

impl Identity {
    /// Who it was at its first start, if this is not it.
    pub(crate) fn known(settings: &Settings) -> Result<Option<Self>, Mistaken> {
        let path = settings.directory.join(FILE);
        let known: Self = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| Mistaken::File { path, error: io::Error::new(io::ErrorKind::InvalidData, error) })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Mistaken::File { path, error }),
        };
        let path = settings.directory.clone();
        if known.removed {
            return Err(Mistaken::Removed { path });
        }
        if known.name != settings.name {
            return Err(Mistaken::AnotherName { path, theirs: known.name, ours: settings.name.clone() });
        }
        Ok(Some(known))
    }

    /// Who it is in a cluster that begins.
    pub(crate) fn begins(settings: &Settings) -> Result<Self, Mistaken> {
        let identity = Self::new(settings)?;
        identity.first_kept(settings)?;
        Ok(identity)
    }

    /// Who it is in a cluster that was there.
    pub(crate) fn joins(settings: &Settings, cluster: u64, member: MemberId) -> Result<Self, Mistaken> {
        let name = settings.name.clone();
        let identity = Self { name, member, cluster, whole: false, joined: true, removed: false };
        identity.first_kept(settings)?;
        Ok(identity)
    }

    fn first_kept(&self, settings: &Settings) -> Result<(), Mistaken> {
        let path = settings.directory.join(FILE);
        self.keep(&settings.directory).map_err(|error| Mistaken::File { path, error })
    }

    fn new(settings: &Settings) -> Result<Self, Mistaken> {
        let named: Vec<_> = settings.members.keys().cloned().collect();
        if !named.is_empty() && !named.contains(&settings.name) {
            return Err(Mistaken::NotAMember { named: named.join(", "), ours: settings.name.clone() });
        }
        // All members of a new cluster come to the same number from the same settings. One that is alone draws it: should
        // it lose its data once others have come, it begins another cluster and is taken for none of theirs.
        let alone = named.len() < 2;
        let mut text = String::new();
        for (name, peer) in &settings.members {
            text.push_str(&format!("{name}={peer}\n"));
        }
        let cluster = if alone { new_number(&settings.peer) } else { fnv(text.bytes()).max(1) };
        let (name, member) = (settings.name.clone(), number(&settings.name));
        Ok(Self { name, member, cluster, whole: alone, joined: false, removed: false })
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

    /// What happens at a start.
    fn of(settings: &Settings) -> Result<Identity, Mistaken> {
        Identity::known(settings)?.map_or_else(|| Identity::begins(settings), Ok)
    }

    #[test]
    fn members_of_one_cluster_agree_on_its_number_and_not_on_their_own() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let one = of(&settings("n1", a.path(), &["n1", "n2", "n3"])).unwrap();
        let two = of(&settings("n2", b.path(), &["n1", "n2", "n3"])).unwrap();
        assert_eq!(one.cluster, two.cluster);
        assert_ne!(one.member, two.member);
    }

    #[test]
    fn a_member_is_who_it_was_whatever_its_settings_name_later() {
        let dir = tempfile::tempdir().unwrap();
        let first = of(&settings("n1", dir.path(), &["n1", "n2"])).unwrap();
        assert_eq!(of(&settings("n1", dir.path(), &[])).unwrap(), first);
        let other = of(&settings("n2", dir.path(), &["n1", "n2"])).unwrap_err().to_string();
        assert!(other.contains("\"n1\"") && other.contains("node.name"), "{other}");
    }

    #[test]
    fn a_member_that_its_settings_do_not_name_is_told_so() {
        let dir = tempfile::tempdir().unwrap();
        let error = of(&settings("n9", dir.path(), &["n1", "n2"])).unwrap_err().to_string();
        assert!(error.contains("n1, n2") && error.contains("\"n9\""), "{error}");
        assert!(!dir.path().join(FILE).exists(), "nothing is written before it is right");
    }

    #[test]
    fn one_that_is_alone_is_mistaken_for_no_other() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let [one, two] = [&a, &b].map(|dir| of(&settings("n1", dir.path(), &[])).unwrap());
        assert_eq!(one.member, two.member);
        assert_ne!(one.cluster, two.cluster);
    }

    #[test]
    fn who_was_removed_does_not_come_back_with_its_data() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings("n4", dir.path(), &[]);
        let joined = Identity::joins(&settings, 7, 11).unwrap();
        assert_eq!(of(&settings).unwrap(), joined);
        Identity { removed: true, ..joined }.keep(dir.path()).unwrap();
        let error = of(&settings).unwrap_err().to_string();
        assert!(error.contains("removed") && error.contains("store.join"), "{error}");
    }
}
