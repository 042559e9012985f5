//! One write, frozen: what a key became at one revision, in one piece of memory that everybody shares.
//!
//! It is written once. The index, the history and every answer hold the same bytes, a snapshot copies them as they are.
//! The piece holds, in this order: the numbers, as varints (the main revision, the place within it, the version, and of a
//! key that was set also when it was made and its lease), the length of the key, the key, the value. A version of 0 is a
//! deletion.
//!
//! `Bytes` made of a vector are two allocations once they are shared. Small ones live in arrays of a few lengths instead,
//! beside their count, in one.

use bytes::Bytes;

use crate::command::{LeaseId, Revision};
use crate::read::KeyValue;
use crate::varint;

/// A write. Its revision and whether it deleted lie beside its bytes, so that finding the write that a reader may see
/// needs no look at them.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) main: Revision,
    /// Its place among the writes of its revision.
    pub(crate) sub: u32,
    pub(crate) deleted: bool,
    bytes: Bytes,
}

/// What the numbers of a key are since a write; all 0 of one that was deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) version: i64,
    pub(crate) create: Revision,
    pub(crate) lease: LeaseId,
}

/// The numbers of a write, and where its key and its value begin.
#[derive(Debug, Clone, Copy, Default)]
struct Head {
    state: State,
    key: usize,
    value: usize,
}

/// What the quota counts for a write beside its bytes: its places in the index and in the history.
const PLACES: u64 = 128;

impl Write {
    pub(crate) fn put(main: Revision, sub: u32, state: State, key: &[u8], value: &[u8]) -> Self {
        let mut head = Numbers::default();
        for number in [main, i64::from(sub), state.version, state.create, state.lease] {
            head.push(number as u64);
        }
        head.push(key.len() as u64);
        Self { main, sub, deleted: false, bytes: freeze(&[head.as_ref(), key, value]) }
    }

    pub(crate) fn delete(main: Revision, sub: u32, key: &[u8]) -> Self {
        let mut head = Numbers::default();
        for number in [main as u64, u64::from(sub), 0, key.len() as u64] {
            head.push(number);
        }
        Self { main, sub, deleted: true, bytes: freeze(&[head.as_ref(), key]) }
    }

    /// Reads one from bytes that nobody vouches for.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let main = i64::try_from(varint::read(&mut rest)?).ok()?;
        let sub = u32::try_from(varint::read(&mut rest)?).ok()?;
        let Head { state, value, .. } = Head::read(bytes)?;
        let deleted = state.version == 0;
        let lived = (1..=main).contains(&state.version) && (1..=main).contains(&state.create);
        (main > 0 && if deleted { value == bytes.len() } else { lived }).then(|| Self {
            main,
            sub,
            deleted,
            bytes: freeze(&[bytes]),
        })
    }

    pub(crate) fn state(&self) -> State {
        self.head().state
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn key(&self) -> &[u8] {
        let head = self.head();
        &self.bytes[head.key..head.value]
    }

    pub(crate) fn value(&self) -> &[u8] {
        &self.bytes[self.head().value..]
    }

    pub(crate) fn key_value(&self) -> KeyValue {
        let head = self.head();
        KeyValue { value: self.bytes.slice(head.value..), ..self.named(head) }
    }

    pub(crate) fn without_value(&self) -> KeyValue {
        self.named(self.head())
    }

    fn named(&self, Head { state, key, value }: Head) -> KeyValue {
        KeyValue {
            key: self.bytes.slice(key..value),
            value: Bytes::new(),
            create: state.create,
            modified: self.main,
            version: state.version,
            lease: state.lease,
        }
    }

    /// What the quota counts for it.
    pub(crate) fn cost(&self) -> u64 {
        self.bytes.len() as u64 + PLACES
    }

    fn head(&self) -> Head {
        Head::read(&self.bytes).unwrap_or_default()
    }
}

impl Head {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        varint::read(&mut rest)?;
        varint::read(&mut rest)?;
        let mut state = State { version: varint::read(&mut rest)? as i64, ..State::default() };
        if state.version != 0 {
            state.create = varint::read(&mut rest)? as i64;
            state.lease = varint::read(&mut rest)? as i64;
        }
        let len = usize::try_from(varint::read(&mut rest)?).ok()?;
        let key = bytes.len() - rest.len();
        let value = key.checked_add(len).filter(|value| *value <= bytes.len())?;
        Some(Self { state, key, value })
    }
}

/// The varints at the beginning of a write: six, of at most ten bytes each.
#[derive(Debug)]
struct Numbers {
    bytes: [u8; 60],
    len: usize,
}

impl Default for Numbers {
    fn default() -> Self {
        Self { bytes: [0; 60], len: 0 }
    }
}

impl Numbers {
    fn push(&mut self, number: u64) {
        self.len += varint::write(number, &mut self.bytes[self.len..]);
    }
}

impl AsRef<[u8]> for Numbers {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// So many bytes at most, beside their count.
struct Inline<const N: usize> {
    len: u16,
    bytes: [u8; N],
}

impl<const N: usize> AsRef<[u8]> for Inline<N> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

fn freeze(parts: &[&[u8]]) -> Bytes {
    let len = parts.iter().map(|part| part.len()).sum();
    // With the count, the way to free it and the length, 18 bytes, these are the lengths that malloc has at hand.
    match len {
        0..=38 => inline::<38>(parts, len),
        39..=54 => inline::<54>(parts, len),
        55..=70 => inline::<70>(parts, len),
        71..=86 => inline::<86>(parts, len),
        87..=102 => inline::<102>(parts, len),
        103..=118 => inline::<118>(parts, len),
        119..=134 => inline::<134>(parts, len),
        135..=150 => inline::<150>(parts, len),
        151..=182 => inline::<182>(parts, len),
        183..=214 => inline::<214>(parts, len),
        215..=246 => inline::<246>(parts, len),
        247..=278 => inline::<278>(parts, len),
        279..=310 => inline::<310>(parts, len),
        311..=374 => inline::<374>(parts, len),
        375..=438 => inline::<438>(parts, len),
        _ => Bytes::from_owner(parts.concat().into_boxed_slice()),
    }
}

fn inline<const N: usize>(parts: &[&[u8]], len: usize) -> Bytes {
    let mut owner = Inline { len: len as u16, bytes: [0; N] };
    let mut at = 0;
    for part in parts {
        owner.bytes[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    Bytes::from_owner(owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: State = State { version: 2, create: 300, lease: -1 };

    #[test]
    fn a_write_keeps_what_it_was_given_at_every_length() {
        for len in (0..600).chain([4_000, 70_000]) {
            let (key, value) = (vec![7; len / 3], vec![9; len]);
            let write = Write::put(i64::MAX, u32::MAX, STATE, &key, &value);
            assert_eq!((write.state(), write.key(), write.value()), (STATE, &key[..], &value[..]));
            let read = Write::read(write.bytes()).unwrap();
            assert_eq!(read.key_value(), write.key_value());
            assert_eq!((read.main, read.sub, read.deleted), (i64::MAX, u32::MAX, false));
        }
    }

    #[test]
    fn a_deletion_is_its_name_and_its_revision() {
        let write = Write::read(Write::delete(5, 2, b"gone").bytes()).unwrap();
        assert!(write.deleted);
        assert_eq!(write.key_value(), KeyValue { key: "gone".into(), modified: 5, ..KeyValue::default() });
    }

    #[test]
    fn bytes_that_are_cut_or_damaged_are_no_write() {
        let whole = Write::put(900, 0, STATE, b"a key of some length", b"");
        for len in 0..whole.bytes().len() {
            assert!(Write::read(&whole.bytes()[..len]).is_none(), "{len} bytes");
        }
        assert!(Write::read(&[0xff; 40]).is_none());
        assert!(Write::read(&[9, 0, 0, 1, b'k', b'!']).is_none(), "a deletion has no value");
        assert!(Write::read(&[9, 0, 1, 10, 0, 1, b'k']).is_none(), "a key is not made after it was changed");
    }
}
