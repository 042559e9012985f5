//! Snapshots: whole or not there, the newest whole one is found, and the last two are kept.

use expect_test::expect;
use mainstay_wal::testing::{EIO, FaultyDisk, Left, Operation};
use mainstay_wal::{Disk, PassedOver, Refusal, Snapshot, Snapshots};

fn open(disk: &FaultyDisk) -> (Snapshots, Vec<PassedOver>) {
    Snapshots::open(disk.clone(), "snapshots").unwrap()
}

/// Content of so many bytes, of which no two are alike.
fn content(index: u64, length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| (at.wrapping_mul(index | 1) >> 3) as u8).collect()
}

fn make(snapshots: &Snapshots, index: u64, length: usize) -> Result<Snapshot, Refusal> {
    let mut writer = snapshots.create(index, format!("note {index}").into())?;
    for piece in content(index, length).chunks(100_000) {
        writer.write(piece)?;
    }
    writer.finish()
}

fn read(snapshots: &Snapshots, snapshot: &Snapshot) -> Vec<u8> {
    snapshots.read(snapshot).unwrap().flat_map(|chunk| chunk.unwrap().to_vec()).collect()
}

/// The newest, which is whole, by its index.
fn newest(snapshots: &Snapshots) -> u64 {
    let newest = snapshots.newest().unwrap();
    assert_eq!(newest.note, format!("note {}", newest.index));
    assert_eq!(read(snapshots, &newest), content(newest.index, newest.bytes as usize));
    newest.index
}

#[test]
fn the_newest_is_found_and_the_last_two_are_kept() {
    let disk = FaultyDisk::new();
    let (snapshots, _) = open(&disk);
    assert_eq!(snapshots.newest(), None);
    for (index, length) in [(3, 0), (7, 1), (20, 256 << 10), (100, 700_001)] {
        make(&snapshots, index, length).unwrap();
        assert_eq!(newest(&snapshots), index);
    }
    drop(snapshots);
    let (snapshots, passed_over) = open(&disk.power_lost_at(disk.steps(), Left::Nothing));
    assert!(passed_over.is_empty());
    assert_eq!(newest(&snapshots), 100);
    assert_eq!(snapshots.oldest().unwrap().index, 20);
}

#[test]
fn one_that_is_not_finished_leaves_nothing() {
    let disk = FaultyDisk::new();
    let (snapshots, _) = open(&disk);
    make(&snapshots, 5, 10).unwrap();
    let mut writer = snapshots.create(9, "".into()).unwrap();
    writer.write(&[1; 1000]).unwrap();
    let killed = disk.killed_at(disk.steps());
    assert_eq!(killed.list("snapshots".as_ref()).unwrap().len(), 2);
    drop((writer, snapshots));
    open(&killed);
    for disk in [disk, killed] {
        assert_eq!(disk.list("snapshots".as_ref()).unwrap(), ["00000000000000000005.snap"]);
    }
}

#[test]
fn one_that_is_read_can_be_read_to_its_end_when_it_is_pushed_out() {
    let disk = FaultyDisk::new();
    let (snapshots, _) = open(&disk);
    let first = make(&snapshots, 1, 600_000).unwrap();
    let mut reader = snapshots.read(&first).unwrap();
    let begin = reader.next().unwrap().unwrap();
    for index in 2..5 {
        make(&snapshots, index, 10).unwrap();
    }
    let rest = reader.flat_map(|chunk| chunk.unwrap().to_vec());
    assert_eq!(begin.iter().copied().chain(rest).collect::<Vec<_>>(), content(1, 600_000));
}

#[test]
fn a_damaged_one_is_passed_over_as_long_as_there_is_another() {
    for at in (0..600_100).step_by(5003).chain(600_000..600_100) {
        let disk = FaultyDisk::new();
        let (snapshots, _) = open(&disk);
        make(&snapshots, 1, 100).unwrap();
        make(&snapshots, 2, 600_000).unwrap();
        drop(snapshots);
        if at >= disk.content("snapshots/00000000000000000002.snap").len() {
            continue;
        }
        disk.flip("snapshots/00000000000000000002.snap", at, 0x40);
        let (snapshots, passed_over) = open(&disk);
        assert_eq!((newest(&snapshots), passed_over.len()), (1, 1), "byte {at}");
    }
}

#[test]
fn where_none_is_whole_it_is_said() {
    let disk = FaultyDisk::new();
    let (snapshots, _) = open(&disk);
    make(&snapshots, 2, 600_000).unwrap();
    drop(snapshots);
    disk.flip("snapshots/00000000000000000002.snap", 300_000, 0x40);
    expect![[r#"snapshots/00000000000000000002.snap is damaged at byte 524358: the chunk that ends here is not what was written. It was whole once and others may have been told so, hence nothing is cut off. Look at the disk; then remove this member's data and let it join again, so that it gets all from its peers (a member that is alone: restore a backup)"#]]
    .assert_eq(&Snapshots::open(disk, "snapshots").unwrap_err().whole());
}

#[test]
fn two_cannot_have_one_directory() {
    let disk = FaultyDisk::new();
    let (_snapshots, _) = open(&disk);
    assert!(matches!(Snapshots::open(disk, "snapshots"), Err(Refusal::Locked { .. })));
}

#[test]
fn a_disk_that_is_full_or_fails_leaves_what_was_there() {
    use Operation::{Create, Flush, FlushDirectory, Rename, Write};
    for of in [Create, Write, Flush, FlushDirectory, Rename] {
        let disk = FaultyDisk::new();
        let (snapshots, _) = open(&disk);
        make(&snapshots, 1, 100).unwrap();
        disk.fail_once(of, 0, EIO);
        make(&snapshots, 2, 1000).unwrap_err();
        drop(snapshots);
        let (snapshots, _) = open(&disk);
        assert!(newest(&snapshots) <= 2);
    }
    let disk = FaultyDisk::new();
    let (snapshots, _) = open(&disk);
    make(&snapshots, 1, 100).unwrap();
    disk.set_room(Some(500_000));
    assert!(matches!(make(&snapshots, 2, 1_000_000), Err(Refusal::NoSpace { .. })));
    assert_eq!(newest(&snapshots), 1);
    make(&snapshots, 3, 100_000).unwrap();
}

#[test]
fn wherever_the_power_is_lost_the_newest_is_one_that_was_finished_or_its_successor() {
    let disk = FaultyDisk::new();
    let (snapshots, _) = open(&disk);
    let mut finished = vec![(0, 0)];
    for index in 1..8 {
        make(&snapshots, index, 1000 + 300_000 * (index as usize % 2)).unwrap();
        finished.push((disk.steps(), index));
    }
    drop(snapshots);
    for steps in 0..=disk.steps() {
        let least = finished.iter().filter(|(at, _)| *at <= steps).map(|(_, index)| *index).max().unwrap();
        let lefts = [Left::Nothing, Left::All, Left::AllBut(1), Left::AllBut(400)];
        for left in lefts.into_iter().chain((0..6).map(Left::Some)) {
            let (snapshots, passed_over) = open(&disk.power_lost_at(steps, left));
            let found = if snapshots.newest().is_some() { newest(&snapshots) } else { 0 };
            assert!(found == least || found == least + 1, "{left:?} at {steps}: {found} and not {least}");
            assert!(passed_over.is_empty(), "{left:?} at {steps}: {passed_over:?}");
        }
    }
}
