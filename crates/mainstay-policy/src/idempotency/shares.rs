//! How the memory of the keys is shared among those who use it.
//!
//! In: what each owner borrows, gives back, keeps and forgets. Out: whether it may borrow, and who gives when there is no
//! room. Memory has two uses: *lent* is what calls under way hold until they are over, and nobody can take it from them;
//! *kept* is what is remembered of calls that are over.
//!
//! - At most half of the memory is lent, and to one owner no more than is then left of that half for all others together
//!   (the dynamic threshold of Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998): one alone gets half
//!   of the half, and whoever comes next always finds something.
//! - For want of room whoever keeps most gives (longest queue drop: Suter, Lakshman, Stiliadis and Choudhury, INFOCOM
//!   1998), and it is its own oldest that goes.
//! - From both follows the law: who keeps no more than half of the memory divided by the number of those who keep
//!   anything loses nothing before its time.
//! - Refused: a fixed part for each owner, because most of the memory would lie idle where one owner is all there is; and
//!   one queue for all, because whoever asks most often would decide what the others lose.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_core::Instant;

use super::{ENTRY_BYTES, KeyId, KeyOwner};

/// Who holds how much.
#[derive(Debug)]
pub(super) struct Shares {
    memory: u64,
    lent: u64,
    kept: u64,
    owners: BTreeMap<KeyOwner, Share>,
    /// Those who keep anything, by how much.
    by_weight: BTreeSet<(u64, KeyOwner)>,
    /// What is kept, in the order in which it ended.
    ends: BTreeSet<(Instant, KeyId)>,
    /// As `ends`, owner by owner.
    ends_of: BTreeSet<Place>,
    /// Of them those that have an answer.
    answers_of: BTreeSet<Place>,
}

/// What one owner holds.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    lent: u64,
    kept: u64,
    /// Of what is kept: keys without an answer.
    bare: u64,
}

/// Where a key stands among those that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) owner: KeyOwner,
    /// When its call ended.
    pub(super) at: Instant,
    pub(super) key: KeyId,
}

impl Shares {
    /// Nothing is held of `memory`.
    pub(super) const fn new(memory: u64) -> Self {
        Self {
            memory,
            lent: 0,
            kept: 0,
            owners: BTreeMap::new(),
            by_weight: BTreeSet::new(),
            ends: BTreeSet::new(),
            ends_of: BTreeSet::new(),
            answers_of: BTreeSet::new(),
        }
    }

    /// Takes on another memory; what is held stays.
    pub(super) fn configure(&mut self, memory: u64) {
        self.memory = memory;
    }

    /// Bytes that calls under way hold.
    pub(super) const fn lent(&self) -> u64 {
        self.lent
    }

    /// Bytes that are held.
    pub(super) const fn used(&self) -> u64 {
        self.lent + self.kept
    }

    /// Whether `bytes` more fit beside what is held.
    pub(super) const fn have_room(&self, bytes: u64) -> bool {
        self.used() + bytes <= self.memory
    }

    /// Whether `bytes` more would fit if nothing were kept.
    pub(super) const fn could_have_room(&self, bytes: u64) -> bool {
        self.lent + bytes <= self.memory
    }

    /// Whether `owner` may borrow `bytes` more.
    pub(super) fn may_borrow(&self, owner: KeyOwner, bytes: u64) -> bool {
        let left = (self.memory / 2).saturating_sub(self.lent + bytes);
        self.share(owner).lent + bytes <= left
    }

    /// Lends `bytes`.
    pub(super) fn lend(&mut self, owner: KeyOwner, bytes: u64) {
        self.change(owner, |share| share.lent += bytes);
    }

    /// Takes `bytes` back that were lent.
    pub(super) fn give_back(&mut self, owner: KeyOwner, bytes: u64) {
        self.change(owner, |share| share.lent = share.lent.saturating_sub(bytes));
    }

    /// Keeps a key, with an answer of so many bytes or none.
    pub(super) fn keep(&mut self, place: Place, answer: Option<u64>) {
        self.ends.insert((place.at, place.key));
        self.ends_of.insert(place);
        if answer.is_some() {
            self.answers_of.insert(place);
        }
        self.change(place.owner, |share| {
            share.kept += ENTRY_BYTES + answer.unwrap_or(0);
            share.bare += if answer.is_none() { ENTRY_BYTES } else { 0 };
        });
    }

    /// A key stays without its answer of so many bytes.
    pub(super) fn drop_answer(&mut self, place: Place, answer: u64) {
        self.answers_of.remove(&place);
        self.change(place.owner, |share| {
            share.kept -= answer;
            share.bare += ENTRY_BYTES;
        });
    }

    /// A key is kept no longer, with its answer of so many bytes or none.
    pub(super) fn forget(&mut self, place: Place, answer: Option<u64>) {
        self.ends.remove(&(place.at, place.key));
        self.ends_of.remove(&place);
        self.answers_of.remove(&place);
        self.change(place.owner, |share| {
            share.kept -= ENTRY_BYTES + answer.unwrap_or(0);
            share.bare -= if answer.is_none() { ENTRY_BYTES } else { 0 };
        });
    }

    /// Who gives when `keeper` wants to keep so many bytes more, or somebody to borrow: whoever keeps most, or would.
    pub(super) fn who_gives(&self, keeper: Option<(KeyOwner, u64)>) -> Option<KeyOwner> {
        let (most, heaviest) = *self.by_weight.last()?;
        match keeper.filter(|(owner, more)| self.share(*owner).kept + more >= most) {
            Some((owner, _)) => (self.share(owner).kept > 0).then_some(owner),
            None => Some(heaviest),
        }
    }

    /// The answer that `owner` loses first; `None` when it has none, or when keys without one fill half of what it keeps.
    pub(super) fn answer_to_go(&self, owner: KeyOwner) -> Option<Place> {
        let share = self.share(owner);
        if share.bare * 2 < share.kept { first_of(&self.answers_of, owner) } else { None }
    }

    /// The key that `owner` loses first.
    pub(super) fn key_to_go(&self, owner: KeyOwner) -> Option<Place> {
        first_of(&self.ends_of, owner)
    }

    /// The key that ended first, and when.
    pub(super) fn oldest(&self) -> Option<(Instant, KeyId)> {
        self.ends.first().copied()
    }

    fn share(&self, owner: KeyOwner) -> Share {
        self.owners.get(&owner).copied().unwrap_or_default()
    }

    /// Who holds nothing is not remembered.
    fn change(&mut self, owner: KeyOwner, change: impl FnOnce(&mut Share)) {
        let before = self.share(owner);
        let mut after = before;
        change(&mut after);
        self.lent = self.lent - before.lent + after.lent;
        self.kept = self.kept - before.kept + after.kept;
        self.by_weight.remove(&(before.kept, owner));
        if after.kept > 0 {
            self.by_weight.insert((after.kept, owner));
        }
        if after.lent + after.kept > 0 {
            self.owners.insert(owner, after);
        } else {
            self.owners.remove(&owner);
        }
    }

    /// Who keeps anything, and how much.
    #[cfg(test)]
    pub(super) fn keepers(&self) -> impl Iterator<Item = (KeyOwner, u64)> {
        self.by_weight.iter().map(|(kept, owner)| (*owner, *kept))
    }

    /// What `owner` has borrowed.
    #[cfg(test)]
    pub(super) fn lent_to(&self, owner: KeyOwner) -> u64 {
        self.share(owner).lent
    }
}

fn first_of(places: &BTreeSet<Place>, owner: KeyOwner) -> Option<Place> {
    let first = Place { owner, at: Instant::ORIGIN, key: KeyId(0) };
    places.range(first..).next().filter(|place| place.owner == owner).copied()
}
