//! Stories of the data written and read back.

use mainstay_mvcc::{Command, Damaged, Restore, Saving, Store};

use crate::support::{delete, done, put, put_on, shown};

pub(crate) fn save(store: &mut Store, bytes: usize) -> Vec<Vec<u8>> {
    let mut saving = Saving::new(store.pin());
    std::iter::from_fn(|| store.piece(&mut saving, bytes)).collect()
}

pub(crate) fn restore(bytes: &[u8]) -> Result<Store, Damaged> {
    let mut restore = Restore::new();
    restore.take(bytes)?;
    restore.finish()
}

fn lived_in() -> Store {
    let mut store = Store::new();
    done(&mut store, Command::Grant { id: 7, ttl: 10 });
    for round in 0..4 {
        for key in ["a", "b", "c", "a key that is too long for the index to hold it"] {
            done(&mut store, Command::Put(put(key, &format!("{round}"))));
        }
    }
    done(&mut store, Command::Delete(delete("b", "")));
    done(&mut store, Command::Put(put_on("d", 7)));
    done(&mut store, Command::Compact(12));
    store
}

#[test]
fn a_snapshot_is_written_while_writes_and_compactions_go_on() {
    let mut still = lived_in();
    let whole = save(&mut still, 1 << 20).concat();
    let mut busy = lived_in();
    let mut saving = Saving::new(busy.pin());
    let mut bytes = Vec::new();
    let mut pieces = 0;
    while let Some(piece) = busy.piece(&mut saving, 20) {
        bytes.push(piece);
        pieces += 1;
        done(&mut busy, Command::Put(put("a", "later")));
        done(&mut busy, Command::Delete(delete("c", "")));
        let now = busy.revision();
        done(&mut busy, Command::Compact(now));
        busy.tidy(10);
    }
    assert!(pieces > 8, "{pieces}");
    let (whole, busy) = (restore(&whole).unwrap(), restore(&bytes.concat()).unwrap());
    assert_eq!((whole.hash(0), shown(&whole, 0)), (busy.hash(0), shown(&busy, 0)));
    assert_eq!(busy.lease(7).unwrap().keys, ["d"]);
    assert_eq!((busy.revision(), busy.compacted()), (19, 12));
}

#[test]
fn a_restart_in_the_midst_of_a_compaction_takes_no_revision_back() {
    // etcd#17780: the revision was lower after it.
    let mut store = Store::new();
    done(&mut store, Command::Put(put("a", "1")));
    done(&mut store, Command::Delete(delete("a", "")));
    done(&mut store, Command::Compact(3));
    for tidied in 0..4 {
        store.tidy(tidied);
        let restored = restore(&save(&mut store, 40).concat()).unwrap();
        assert_eq!((restored.revision(), restored.compacted()), (3, 3), "though no key is left");
    }
}

#[test]
fn how_the_pieces_were_cut_on_the_way_does_not_matter() {
    let mut store = lived_in();
    let bytes = save(&mut store, 60).concat();
    for step in [1, 7, 100] {
        let mut restore = Restore::new();
        bytes.chunks(step).for_each(|chunk| restore.take(chunk).unwrap());
        assert_eq!(restore.finish().unwrap().hash(0), store.hash(0));
    }
}

#[test]
fn whatever_is_damaged_or_missing_is_an_error() {
    let mut store = lived_in();
    let pieces = save(&mut store, 60);
    let whole = pieces.concat();
    for at in 0..whole.len() {
        for bit in [0, 3, 7] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            assert!(restore(&bytes).is_err(), "bit {bit} of byte {at}");
        }
        assert!(restore(&whole[..at]).is_err(), "cut at {at}");
    }
    for gone in 0..pieces.len() {
        let mut fewer = pieces.clone();
        fewer.remove(gone);
        assert!(restore(&fewer.concat()).is_err(), "without piece {gone}");
        if gone + 1 < pieces.len() {
            let mut swapped = pieces.clone();
            swapped.swap(gone, gone + 1);
            assert!(restore(&swapped.concat()).is_err(), "piece {gone} after the next");
        }
    }
}
