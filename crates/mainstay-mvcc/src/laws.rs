//! What holds for any bytes at all, for the fuzzer and the tests: see `mainstay-laws`.

#![allow(clippy::unwrap_used, reason = "a law that meets what cannot be is broken")]

use mainstay_core::{Crc, crc};

use crate::codec::Damaged;
use crate::command::Command;
use crate::read::Range;
use crate::snapshot::{END, Restore, Saving};
use crate::span::{End, Span};
use crate::store::Store;

/// Bytes that are a command are read as what they are written as, whatever they were; a store can take them, and one that
/// forgets at its own pace stays the same. The bytes are a list of commands, each behind its length.
pub fn commands(bytes: &[u8]) {
    let (mut early, mut late) = (Store::new(), Store::new());
    for bytes in parts(bytes) {
        let Ok(command) = Command::decode(bytes) else { continue };
        let mut written = Vec::new();
        command.encode(&mut written);
        assert_eq!(Command::decode(&written).as_ref(), Ok(&command));
        let before = (early.revision(), early.hash(0));
        let applied = early.apply(&command);
        assert_eq!(applied, late.apply(&command));
        assert!(applied.done.is_ok() || (early.revision(), early.hash(0)) == before, "a refusal changes nothing");
        assert!(applied.done.is_ok() || command.check().is_ok() || applied.done.err() == command.check().err());
        early.tidy(2);
        assert_eq!(early.hash(0), late.hash(0));
    }
    let saved = save(&mut early, 30);
    assert_eq!(saved, save(&mut late, 30));
    let restored = restore(saved.iter().map(|piece| &piece[..])).unwrap();
    assert_eq!(restored.hash(0), late.hash(0));
}

/// Bytes that are a snapshot are a store, others an error, however they are cut. The bytes are a list of pieces, each
/// behind its length, and are given sound checksums here, which nobody would find by luck; and they are taken as they are.
pub fn snapshot(bytes: &[u8]) {
    _ = restore([bytes].into_iter());
    let whole = framed(bytes);
    let restored = restore([&whole[..]].into_iter());
    let cut = restore(whole.chunks(3));
    assert_eq!(restored.as_ref().err(), cut.as_ref().err());
    let Ok(mut store) = restored else { return };
    let again = save(&mut store, 50);
    let again = restore(again.iter().map(|piece| &piece[..])).unwrap();
    let all = Range::all(Span { from: "".into(), end: End::Open });
    assert_eq!((again.hash(0), again.range(&all), again.bytes()), (store.hash(0), store.range(&all), store.bytes()));
    store.apply(&Command::Compact(store.revision()));
    while store.tidy(2) {}
    assert_eq!(store.range(&all), again.range(&all));
}

/// The pieces of a list, each with what stands before it; the last one gets the sum that it ends with.
fn framed(list: &[u8]) -> Vec<u8> {
    let mut sum = Crc::default();
    let mut whole = Vec::new();
    for body in parts(list) {
        let mut body = body.to_vec();
        if body == [END] {
            body.extend_from_slice(&sum.sum().to_le_bytes());
        }
        let check = crc(&body).to_le_bytes();
        sum.add(&check);
        whole.extend_from_slice(&(body.len() as u32).to_le_bytes());
        whole.extend_from_slice(&check);
        whole.extend_from_slice(&body);
    }
    whole
}

/// What lies behind a byte that says how long it is.
fn parts(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = bytes.split_first()?;
        let (part, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        bytes = rest;
        Some(part)
    })
}

fn save(store: &mut Store, bytes: usize) -> Vec<Vec<u8>> {
    let mut saving = Saving::new(store.pin());
    std::iter::from_fn(|| store.piece(&mut saving, bytes)).collect()
}

fn restore<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Store, Damaged> {
    let mut restore = Restore::new();
    for piece in pieces {
        restore.take(piece)?;
    }
    restore.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Put;

    #[test]
    fn what_a_store_wrote_is_a_snapshot_to_its_law() {
        let mut store = Store::new();
        for round in 0..3u8 {
            let put = |key: u8| Put {
                key: vec![key].into(),
                value: Some(vec![round].into()),
                lease: Some(0),
                previous: false,
            };
            (b'a'..b'e').for_each(|key| drop(store.apply(&Command::Put(put(key)))));
        }
        store.apply(&Command::Compact(8));
        let mut list = Vec::new();
        for piece in save(&mut store, 40) {
            let body = if piece[8] == END { &piece[8..9] } else { &piece[8..] };
            list.push(body.len() as u8);
            list.extend_from_slice(body);
        }
        assert_eq!(restore([&framed(&list)[..]].into_iter()).unwrap().hash(0), store.hash(0));
        snapshot(&list);
    }
}
