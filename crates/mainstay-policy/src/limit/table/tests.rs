use mainstay_core::{Duration, Seed};

use super::*;

fn at(millis: u64) -> Instant {
    Instant::ORIGIN + Duration::from_millis(1_000_000 + millis)
}

/// The `number`-th key, hashed as a driver does.
fn key(number: u64) -> u64 {
    Seed::new(number).derive("key").get()
}

/// Makes `key` busy for a second; whether it was.
fn touch(table: &mut Table, now: Instant, key: u64) -> bool {
    let place = table.place(now, key);
    let known = !Slot { key, state: table.state(place) }.is_free(now);
    let until = (now + Duration::from_secs(1)).as_nanos();
    table.set(place, State { until, count: 1, before: 2 });
    known
}

#[test]
fn it_grows_with_its_keys_and_no_further_than_allowed() {
    let mut table = Table::new(5_000);
    assert_eq!(table.capacity(), 64);
    assert!((0..3_500).all(|number| !touch(&mut table, at(0), key(number))));
    assert_eq!(table.evicted(), 0, "seven tenths full, and everybody has a place");
    assert!((0..3_500).all(|number| touch(&mut table, at(1), key(number))), "each is remembered");
    for number in 3_500..20_000 {
        touch(&mut table, at(2), key(number));
    }
    assert_eq!(table.capacity(), 5_000);
    let forgotten = table.evicted();
    assert!((15_000..15_500).contains(&forgotten), "{forgotten}: nearly every place is used");
}

/// Slots with a key that are still to be brought over.
fn behind(table: &Table, now: Instant) -> usize {
    (table.next * GROUP..table.old.len()).filter(|place| !table.old.get(*place).is_free(now)).count()
}

#[test]
fn no_access_copies_more_than_a_group_and_its_own_key() {
    let mut table = Table::new(20_000);
    let (mut moves, mut most) = (0, 0);
    for number in 0..15_000 {
        let (was_moving, before) = (table.is_moving(), behind(&table, at(0)));
        touch(&mut table, at(0), key(number));
        moves += usize::from(!was_moving && table.is_moving());
        if was_moving {
            most = most.max(before - behind(&table, at(0)));
        }
        assert!((0..=number).rev().take(3).all(|number| table.find_anywhere(key(number))), "a key is always somewhere");
    }
    assert_eq!((moves, table.evicted()), (9, 0), "from 64 slots to 20,000, and nobody is lost on the way");
    assert!((1..=GROUP + 1).contains(&most), "{most}");
    assert!((0..15_000).all(|number| touch(&mut table, at(0), key(number))), "each is remembered");
}

impl Table {
    fn find_anywhere(&self, key: u64) -> bool {
        self.slots.find(key).is_some() || self.find_old(key).is_some()
    }
}

#[test]
fn keys_that_rested_make_room_for_others() {
    let mut table = Table::new(5_000);
    for second in 0..20 {
        assert!((0..1_000).all(|number| !touch(&mut table, at(second * 1_000), key(second * 1_000 + number))));
    }
    assert_eq!(table.evicted(), 0, "20,000 keys, but never more than 1,000 at a time");
}

#[test]
fn when_there_is_no_room_the_one_that_is_nearly_done_is_forgotten() {
    let mut table = Table::new(8);
    for number in 1..=9 {
        touch(&mut table, at(if number == 4 { 0 } else { 10 }), key(number));
    }
    assert_eq!(table.evicted(), 1);
    assert!((1..=9).all(|number| table.find_anywhere(key(number)) != (number == 4)));
}

#[test]
fn fewer_keys_by_a_reload_take_less_memory_as_the_table_is_used() {
    let mut table = Table::new(5_000);
    for number in 0..3_000 {
        touch(&mut table, at(0), key(number));
    }
    for number in 3_000..3_040 {
        touch(&mut table, at(1_000), key(number));
    }
    table.allow(100);
    for _ in 0..1_000 {
        touch(&mut table, at(1_000), key(3_000));
    }
    assert_eq!((table.capacity(), table.evicted()), (104, 0));
    assert!((3_000..3_040).all(|number| table.find_anywhere(key(number))), "who is live has a place");
}

#[test]
fn a_state_is_replaced_only_when_nobody_changed_it() {
    let mut table = Table::new(100);
    touch(&mut table, at(0), key(1));
    let place = table.place(at(0), key(1));
    let (now, next) = (table.state(place), State { until: 1, count: 7, before: 7 });
    assert!(!table.replace(key(1), next, now) && !table.replace(key(2), now, next));
    assert!(table.replace(key(1), now, next));
    assert_eq!(table.state(place), next);
}
