//! The data on its way to a disk or to another member, and back.
//!
//! What a [`Pin`] holds is written piece by piece while the store goes on, and is the same bytes on every member that
//! pins the same revision after the same compaction. First come the numbers, then the leases, then what was written
//! before the oldest revision that is remembered and still counts, by key, then all that happened since, in order. So the
//! store that is restored answers every question as the one that was written did, those for the past too, and watches
//! go on in it.
//!
//! A piece is its length and its checksum (four bytes each, the least first), a byte that says what is in it, and that.
//! Pieces lie one behind the other; how they were cut on the way does not matter. Damage is an error and never a panic:
//! pieces by their checksums, what is missing or in the wrong place by the order that everything has and by a checksum of
//! the checksums in the last piece.

use mainstay_core::{Crc, crc};

use crate::codec::Damaged;
use crate::command::{LeaseId, Revision};
use crate::frozen::Write;
use crate::pin::Pin;
use crate::store::{FIRST_WRITE, Store};
use crate::varint;

const MAGIC: &[u8] = b"mainstay data ";
const VERSION: u8 = 1;

/// A piece looks at so many keys at most, however few of them it finds to write.
const LOOKS: usize = 10_000;

const HEAD: u8 = 0;
const LEASES: u8 = 1;
const SURVIVORS: u8 = 2;
const HISTORY: u8 = 3;
pub(crate) const END: u8 = 4;

/// A snapshot that is being written.
#[derive(Debug)]
pub struct Saving {
    pin: Pin,
    place: Place,
    /// Of the checksums of the pieces so far.
    sum: Crc,
}

#[derive(Debug)]
enum Place {
    Head,
    Leases(usize),
    /// After this key.
    Survivors(Option<Vec<u8>>),
    /// From this write of this revision on.
    History(Revision, u64),
    End,
    Over,
}

impl Saving {
    /// Begins to write what is pinned.
    #[must_use]
    pub fn new(pin: Pin) -> Self {
        Self { pin, place: Place::Head, sum: Crc::default() }
    }

    /// The revision that is written.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.pin.revision()
    }

    fn first_in_history(&self) -> Revision {
        self.pin.view.compacted.max(FIRST_WRITE)
    }
}

impl Store {
    /// The next piece of a snapshot, of about so many bytes; `None` when it is whole. The store must be the one in which
    /// the pin was set.
    #[must_use]
    pub fn piece(&self, saving: &mut Saving, bytes: usize) -> Option<Vec<u8>> {
        let mut piece = Piece::new(bytes);
        saving.place = match &saving.place {
            Place::Head => head(saving, &mut piece),
            Place::Leases(from) => leases(saving, *from, &mut piece),
            Place::Survivors(after) => self.survivors(saving, after.as_deref(), &mut piece),
            Place::History(revision, from) => self.happenings(saving, *revision, *from, &mut piece),
            Place::End => {
                piece.begin(END);
                piece.body.extend_from_slice(&saving.sum.sum().to_le_bytes());
                Place::Over
            }
            Place::Over => return None,
        };
        let piece = piece.finish();
        saving.sum.add(&piece[4..FRONT]);
        Some(piece)
    }

    fn survivors(&self, saving: &Saving, after: Option<&[u8]>, piece: &mut Piece) -> Place {
        piece.begin(SURVIVORS);
        let floor = saving.pin.view.compacted;
        for (looks, (key, chain)) in self.index().after(after).enumerate() {
            if let Some(write) = chain.remembered(floor).next().filter(|write| write.main < floor) {
                piece.add_write(write);
            }
            if piece.is_full() || looks >= LOOKS {
                return Place::Survivors(Some(key.as_ref().to_vec()));
            }
        }
        Place::History(saving.first_in_history(), 0)
    }

    fn happenings(&self, saving: &Saving, first: Revision, from: u64, piece: &mut Piece) -> Place {
        piece.begin(HISTORY);
        let mut from = from;
        for revision in first..=saving.revision() {
            for (at, write) in (from..).zip(self.history().of(revision, from)) {
                if piece.is_full() {
                    return Place::History(revision, at);
                }
                piece.add_write(write);
            }
            from = 0;
        }
        Place::End
    }
}

fn head(saving: &Saving, piece: &mut Piece) -> Place {
    piece.begin(HEAD);
    piece.body.extend_from_slice(MAGIC);
    piece.body.push(VERSION);
    let view = &saving.pin.view;
    for number in [view.revision, view.compacted, view.leases.len() as i64] {
        varint::push(number as u64, &mut piece.body);
    }
    Place::Leases(0)
}

fn leases(saving: &Saving, from: usize, piece: &mut Piece) -> Place {
    piece.begin(LEASES);
    for (at, (id, ttl)) in saving.pin.view.leases.iter().enumerate().skip(from) {
        if piece.is_full() {
            return Place::Leases(at);
        }
        varint::push(*id as u64, &mut piece.body);
        varint::push(*ttl as u64, &mut piece.body);
    }
    // Before the first compaction everything that counts is in the history.
    if saving.pin.view.compacted < FIRST_WRITE { Place::History(FIRST_WRITE, 0) } else { Place::Survivors(None) }
}

/// A piece in the making: room for its length and its checksum, then what is in it.
struct Piece {
    body: Vec<u8>,
    full: usize,
}

const FRONT: usize = 8;

impl Piece {
    fn new(full: usize) -> Self {
        Self { body: vec![0; FRONT], full }
    }

    fn begin(&mut self, kind: u8) {
        self.body.push(kind);
    }

    fn is_full(&self) -> bool {
        self.body.len() > FRONT + 1 && self.body.len() >= self.full
    }

    fn add_write(&mut self, write: &Write) {
        varint::push(write.bytes().len() as u64, &mut self.body);
        self.body.extend_from_slice(write.bytes());
    }

    fn finish(mut self) -> Vec<u8> {
        let (front, body) = self.body.split_at_mut(FRONT);
        front[..4].copy_from_slice(&(body.len() as u32).to_le_bytes());
        front[4..].copy_from_slice(&crc(body).to_le_bytes());
        self.body
    }
}

/// A store that is being restored.
#[derive(Debug, Default)]
pub struct Restore {
    /// What came of a piece that is not whole.
    pending: Vec<u8>,
    head: Option<Head>,
    store: Store,
    leases: Vec<(LeaseId, i64)>,
    /// By key, until all of them are there: a tree is built at once from what is in order.
    survivors: Vec<Write>,
    kind: u8,
    /// Of the checksums of the pieces so far.
    sum: Crc,
    last: Option<(Revision, u32)>,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    revision: Revision,
    compacted: Revision,
    leases: u64,
}

impl Restore {
    /// Begins with nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of a snapshot, however they are cut.
    ///
    /// # Errors
    /// They are damaged. What was taken before is of no use then.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Damaged> {
        self.pending.extend_from_slice(bytes);
        let pending = std::mem::take(&mut self.pending);
        let mut rest = &pending[..];
        while let Some((front, after)) = rest.split_first_chunk::<FRONT>() {
            let [a, b, c, d, e, f, g, h] = *front;
            let Some(body) = after.get(..u32::from_le_bytes([a, b, c, d]) as usize) else { break };
            if crc(body) != u32::from_le_bytes([e, f, g, h]) {
                return Err(Damaged::Bytes("the checksum of a piece is another"));
            }
            self.piece(body)?;
            self.sum.add(&[e, f, g, h]);
            rest = &after[body.len()..];
        }
        self.pending = rest.to_vec();
        Ok(())
    }

    /// The store, if the snapshot was whole.
    ///
    /// # Errors
    /// Something is missing.
    pub fn finish(self) -> Result<Store, Damaged> {
        let head = self.head.ok_or(Damaged::Bytes("a snapshot without a beginning"))?;
        if self.kind != END || !self.pending.is_empty() {
            return Err(Damaged::Bytes("a snapshot without an end"));
        }
        if self.leases.len() as u64 != head.leases {
            return Err(Damaged::Bytes("leases are missing"));
        }
        let last = self.last.map_or(head.first() - 1, |(main, _)| main);
        if last != head.revision.max(head.first() - 1) {
            return Err(Damaged::Bytes("revisions are missing"));
        }
        let mut store = self.store;
        store.restored(&self.leases).then_some(store).ok_or(Damaged::Bytes("a key hangs on a lease that is missing"))
    }

    fn piece(&mut self, body: &[u8]) -> Result<(), Damaged> {
        let (kind, body) = body.split_first().ok_or(Damaged::Bytes("an empty piece"))?;
        let first = self.head.is_none();
        if *kind > END || *kind < self.kind || self.kind == END || first != (*kind == HEAD) {
            return Err(Damaged::Bytes("a piece in the wrong place"));
        }
        self.kind = *kind;
        if *kind > SURVIVORS && !self.survivors.is_empty() {
            self.store.restore_survivors(std::mem::take(&mut self.survivors));
        }
        match *kind {
            HEAD => self.take_head(body),
            LEASES => self.take_leases(body),
            SURVIVORS | HISTORY => self.take_writes(body),
            _ if *body == self.sum.sum().to_le_bytes() => Ok(()),
            _ => Err(Damaged::Bytes("a piece is missing, or is another")),
        }
    }

    fn take_head(&mut self, body: &[u8]) -> Result<(), Damaged> {
        let body = body.strip_prefix(MAGIC).ok_or(Damaged::Bytes("this is no snapshot of mainstay's data"))?;
        let (version, mut body) = body.split_first().ok_or(Damaged::Bytes("a snapshot without a version"))?;
        if *version != VERSION {
            return Err(Damaged::Version(*version));
        }
        let numbers = (varint::read(&mut body), varint::read(&mut body), varint::read(&mut body));
        let (Some(revision), Some(compacted), Some(leases)) = numbers else {
            return Err(Damaged::Bytes("a head that is cut"));
        };
        let head = Head { revision: revision as i64, compacted: compacted as i64, leases };
        let sound =
            head.revision >= 1 && head.revision < i64::MAX / 2 && (-1..=head.revision).contains(&head.compacted);
        if !sound || !body.is_empty() {
            return Err(Damaged::Bytes("a head that cannot be"));
        }
        self.store = Store::restoring(head.revision, head.compacted, head.first());
        self.head = Some(head);
        Ok(())
    }

    fn take_leases(&mut self, mut body: &[u8]) -> Result<(), Damaged> {
        while !body.is_empty() {
            let (Some(id), Some(ttl)) = (varint::read(&mut body), varint::read(&mut body)) else {
                return Err(Damaged::Bytes("a lease that is cut"));
            };
            let (id, ttl) = (id as i64, ttl as i64);
            let in_order = self.leases.last().is_none_or(|(last, _)| *last < id);
            if !in_order || id == 0 || ttl < 1 {
                return Err(Damaged::Bytes("a lease that cannot be"));
            }
            self.leases.push((id, ttl));
        }
        Ok(())
    }

    fn take_writes(&mut self, mut body: &[u8]) -> Result<(), Damaged> {
        while !body.is_empty() {
            let len = varint::read(&mut body).and_then(|len| usize::try_from(len).ok());
            let Some((bytes, rest)) = len.and_then(|len| body.split_at_checked(len)) else {
                return Err(Damaged::Bytes("a write that is cut"));
            };
            body = rest;
            let write = Write::read(bytes).ok_or(Damaged::Bytes("a write that cannot be read"))?;
            let follows = if self.kind == SURVIVORS { self.survives(&write) } else { self.happens(&write) };
            match (follows, self.kind) {
                (false, _) => return Err(Damaged::Bytes("a write in the wrong place")),
                (true, SURVIVORS) => self.survivors.push(write),
                (true, _) => self.store.restore(write),
            }
        }
        Ok(())
    }

    /// Whether it can be the next that was written before what is remembered and still counts.
    fn survives(&self, write: &Write) -> bool {
        let floor = self.head.map_or(0, |head| head.compacted);
        let follows = self.survivors.last().is_none_or(|last| last.key() < write.key());
        follows && !write.deleted && write.main < floor
    }

    /// Whether it can be the next that happened.
    fn happens(&mut self, write: &Write) -> bool {
        let Some(head) = self.head else { return false };
        let place = (write.main, write.sub);
        let follows = match self.last {
            None => place == (head.first(), 0),
            Some((main, sub)) => {
                place == (main + 1, 0) || (write.main == main && sub.checked_add(1) == Some(write.sub))
            }
        };
        self.last = Some(place);
        follows && write.main <= head.revision
    }
}

impl Head {
    /// The first revision that the history can hold.
    fn first(self) -> Revision {
        self.compacted.max(FIRST_WRITE)
    }
}
