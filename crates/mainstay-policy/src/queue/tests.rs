use super::*;
use Priority::{Critical, Normal, Sheddable};

fn at(millis: u64) -> Instant {
    Instant::ORIGIN + Duration::from_millis(1_000_000 + millis)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// It came at `millis`, may wait for half a second and has time enough.
fn wish(call: u64, priority: Priority, millis: u64) -> Wish {
    let (until, deadline) = (at(millis + 500), at(millis + 15_000));
    Wish { call: CallId(call), priority, until, deadline, served: ms(10) }
}

fn queue(most: u32, waiting: &[(u64, Priority)]) -> Queue {
    let mut queue = Queue::new(most);
    for (call, priority) in waiting {
        queue.push(at(0), &wish(*call, *priority, 0)).unwrap();
    }
    queue
}

/// Who is served at `millis`, in order, when there are permits for all.
fn served(queue: &mut Queue, millis: u64) -> Vec<u64> {
    std::iter::from_fn(|| queue.first(|_| true).and_then(|first| queue.grant(at(millis), first)))
        .map(|admission| admission.call.0)
        .collect()
}

fn dropped(queue: &mut Queue, millis: u64) -> Vec<(u64, Turn)> {
    std::iter::from_fn(|| queue.drop_next(at(millis), ms(10))).map(|dropped| (dropped.call.0, dropped.turn)).collect()
}

#[test]
fn the_most_important_are_served_first_and_each_line_in_its_order() {
    let mut queue = queue(9, &[(1, Sheddable), (2, Normal), (3, Critical), (4, Normal), (5, Critical)]);
    assert!(!queue.is_next(Sheddable) && !queue.is_next(Critical));
    assert_eq!(queue.push(at(0), &wish(6, Normal, 0)), Ok(4), "behind all but what can be shed");
    assert_eq!(served(&mut queue, 1), [3, 5, 2, 4, 6, 1]);
}

#[test]
fn a_line_that_is_not_admitted_is_passed_over() {
    let queue = queue(9, &[(1, Sheddable), (2, Normal)]);
    assert_eq!(queue.first(|priority| priority == Sheddable), Some(Sheddable));
    assert_eq!(queue.first(|priority| priority == Critical), None);
}

#[test]
fn in_a_full_queue_the_newest_of_the_least_important_gives_its_place() {
    let mut queue = queue(4, &[(1, Normal), (2, Sheddable), (3, Sheddable), (4, Normal)]);
    assert_eq!(queue.push(at(1), &wish(5, Sheddable, 1)), Err(NoPlace::Full));
    assert_eq!(queue.push(at(1), &wish(6, Normal, 1)), Ok(2));
    assert_eq!(queue.push(at(1), &wish(7, Critical, 1)), Ok(0));
    assert_eq!(queue.push(at(1), &wish(8, Normal, 1)), Err(NoPlace::Full), "nobody is left who matters less");
    assert_eq!(queue.push(at(1), &wish(9, Critical, 1)), Ok(1));
    assert_eq!(dropped(&mut queue, 1), [(3, Turn::Displaced), (2, Turn::Displaced), (6, Turn::Displaced)]);
    assert_eq!(served(&mut queue, 1), [7, 9, 1, 4]);
}

#[test]
fn who_leaves_before_it_is_told_is_not_told() {
    let mut queue = queue(1, &[(1, Sheddable)]);
    queue.push(at(1), &wish(2, Normal, 1)).unwrap();
    queue.leave(CallId(1));
    assert_eq!(dropped(&mut queue, 1), []);
    assert_eq!(queue.len(), 1);
}

/// A permit comes free every 5 ms.
#[test]
fn who_would_wait_too_long_is_refused_at_once() {
    let mut queue = queue(128, &[(1, Normal)]);
    for call in 2..=102 {
        queue.push(at(0), &wish(call, Normal, 0)).expect("no pace is known yet");
    }
    queue.grant(at(5), Normal).unwrap();
    assert_eq!(queue.drains_in(), ms(505));
    let long = NoPlace::LongWait { expected: ms(510), accepted: ms(500) };
    assert_eq!(queue.push(at(5), &wish(200, Normal, 5)), Err(long));
    for turn in 2..=20 {
        queue.grant(at(turn * 5), Normal).unwrap();
    }
    assert_eq!(queue.push(at(100), &wish(201, Normal, 100)), Ok(82), "415 ms");
    let standing = NoPlace::LongWait { expected: ms(420), accepted: ms(40) };
    assert_eq!(queue.push(at(101), &wish(202, Normal, 101)), Err(standing), "it has not been empty for 100 ms");
}

#[test]
fn a_queue_that_does_not_move_takes_nobody_who_is_not_to_wait_so_long() {
    let mut queue = queue(128, &[(1, Normal), (2, Normal)]);
    queue.grant(at(1), Normal).unwrap();
    assert_eq!(queue.push(at(90), &wish(3, Normal, 90)), Ok(1), "89 ms since the last turn are no reason in a burst");
    assert!(matches!(queue.push(at(110), &wish(4, Normal, 110)), Err(NoPlace::LongWait { .. })));
    assert_eq!(queue.push(at(110), &wish(5, Critical, 110)), Ok(0), "another line has another pace");
}

#[test]
fn an_old_pace_is_forgotten() {
    let mut queue = queue(128, &[(1, Normal)]);
    queue.grant(at(400), Normal).unwrap();
    for call in 2..=9 {
        queue.push(at(1_500), &wish(call, Normal, 1_500)).unwrap();
    }
    assert_eq!(queue.drains_in(), Duration::ZERO);
}

/// An answer takes 10 ms.
#[test]
fn who_cannot_make_its_deadline_does_not_wait_for_it() {
    let mut queue = queue(9, &[]);
    let due = |call, millis| Wish { deadline: at(millis), ..wish(call, Normal, 0) };
    assert_eq!(queue.push(at(0), &due(1, 9)), Err(NoPlace::Hopeless));
    assert_eq!(queue.push(at(0), &due(2, 20)), Ok(0));
    assert_eq!(queue.push(at(0), &due(3, 60)), Ok(1));
    assert_eq!(dropped(&mut queue, 10), []);
    assert_eq!(dropped(&mut queue, 11), [(2, Turn::Hopeless)]);
    assert_eq!(served(&mut queue, 11), [3]);
}

#[test]
fn a_standing_line_is_cut_but_its_last_one_stays_and_other_lines_are_not_touched() {
    let mut queue = queue(9, &[(1, Normal), (2, Normal), (3, Sheddable)]);
    queue.push(at(70), &wish(4, Normal, 70)).unwrap();
    assert_eq!(dropped(&mut queue, 100), [], "100 ms are a burst");
    assert_eq!(dropped(&mut queue, 101), [(1, Turn::Late), (2, Turn::Late)]);
    assert_eq!(dropped(&mut queue, 111), []);
    assert_eq!(dropped(&mut queue, 500), [(3, Turn::Late)], "its own time is up");
    assert_eq!(served(&mut queue, 500), [4]);
}
