use mainstay_core::{Purpose, Seed};
use proptest::prelude::*;

use super::*;
use crate::Turn;

fn at(millis: u64) -> Instant {
    Instant::ORIGIN + Duration::from_millis(1_000_000 + millis)
}

const LATER: u64 = 500;

fn settings(concurrency: u32, queue: u32) -> BulkheadSettings {
    BulkheadSettings { concurrency: Limit::At(concurrency), queue, ..BulkheadSettings::default() }
}

/// So many workers over the same permits.
fn workers<const N: usize>(concurrency: u32, queue: u32) -> [Bulkhead; N] {
    let pool = PermitPool::new(Limit::At(concurrency), N as u32);
    std::array::from_fn(|_| Bulkhead::new(&settings(concurrency, queue), pool.clone()))
}

fn wish(call: u64, priority: Priority, until: u64) -> Wish {
    Wish { call: CallId(call), priority, until: at(until), deadline: at(until + 60_000), served: Duration::ZERO }
}

fn wait_in(bulkhead: &mut Bulkhead, millis: u64, call: u64) {
    bulkhead.enqueue(at(millis), &wish(call, Priority::Normal, millis + LATER)).unwrap();
}

fn poll(bulkhead: &mut Bulkhead, millis: u64) -> Option<Admission> {
    bulkhead.poll_admitted(at(millis), Duration::ZERO)
}

/// The calls whose wait is over: positive with a permit, negative without one.
fn admitted(bulkhead: &mut Bulkhead, millis: u64) -> Vec<i64> {
    std::iter::from_fn(|| poll(bulkhead, millis))
        .map(|admission| admission.call.0 as i64 * if admission.turn == Turn::Granted { 1 } else { -1 })
        .collect()
}

#[test]
fn calls_wait_in_the_order_in_which_they_came() {
    let [mut worker] = workers(1, 3);
    assert!(worker.try_enter(Priority::Normal));
    assert_eq!(worker.enqueue(at(0), &wish(1, Priority::Normal, LATER)), Ok(0));
    assert_eq!(worker.enqueue(at(0), &wish(2, Priority::Normal, LATER)), Ok(1));
    assert_eq!(worker.enqueue(at(0), &wish(3, Priority::Normal, LATER)), Ok(2));
    assert_eq!(worker.enqueue(at(0), &wish(4, Priority::Normal, LATER)), Err(NoPlace::Full));
    assert_eq!(admitted(&mut worker, 1), []);
    for call in 1..=3 {
        worker.release(at(1));
        assert_eq!(admitted(&mut worker, 1), [call]);
    }
    assert_eq!((worker.in_use(), worker.waiting()), (1, 0));
}

#[test]
fn a_new_call_does_not_jump_the_queue_but_a_further_attempt_takes_what_is_free() {
    let [mut worker] = workers(1, 3);
    assert!(worker.try_enter(Priority::Normal));
    wait_in(&mut worker, 0, 1);
    worker.release(at(1));
    assert!(!worker.try_enter(Priority::Normal));
    assert!(worker.try_again(Priority::Normal));
    assert!(!worker.try_again(Priority::Normal));
}

#[test]
fn who_leaves_is_not_admitted() {
    let [mut worker] = workers(1, 9);
    assert!(worker.try_enter(Priority::Normal));
    // The third one comes late, after it was held up elsewhere.
    for call in [2, 3, 1, 4, 5] {
        wait_in(&mut worker, 0, call);
    }
    for call in [3, 1, 5, 77] {
        worker.leave(CallId(call));
    }
    assert_eq!(worker.waiting(), 2);
    worker.release(at(1));
    assert_eq!(admitted(&mut worker, 1), [2]);
    worker.release(at(1));
    assert_eq!(admitted(&mut worker, 1), [4]);
}

#[test]
fn who_waited_past_its_time_is_told_so_and_takes_no_permit() {
    let [mut worker] = workers(1, 3);
    assert!(worker.try_enter(Priority::Normal));
    worker.enqueue(at(0), &wish(1, Priority::Normal, 50)).unwrap();
    worker.enqueue(at(0), &wish(2, Priority::Normal, 51)).unwrap();
    worker.release(at(50));
    assert_eq!(admitted(&mut worker, 50), [-1, 2]);
}

#[test]
fn a_burst_is_served_to_the_end_but_a_standing_queue_is_cut() {
    let [mut worker] = workers(1, 9);
    assert!(worker.try_enter(Priority::Normal));
    for call in 1..=3 {
        wait_in(&mut worker, 0, call);
    }
    worker.release(at(90));
    assert_eq!(admitted(&mut worker, 90), [1], "90 ms are a burst");

    wait_in(&mut worker, 95, 4);
    worker.release(at(101));
    assert_eq!(admitted(&mut worker, 101), [-2, -3, 4], "after 100 ms only who came 40 ms ago or later is served");
}

#[test]
fn the_last_one_that_waits_is_served_though_it_is_late() {
    let [mut worker] = workers(1, 9);
    assert!(worker.try_enter(Priority::Normal));
    wait_in(&mut worker, 0, 1);
    wait_in(&mut worker, 0, 2);
    worker.release(at(300));
    assert_eq!(admitted(&mut worker, 300), [-1, 2], "its permit would go unused");
}

#[test]
fn a_queue_that_was_empty_in_between_is_not_standing() {
    let [mut worker] = workers(1, 9);
    assert!(worker.try_enter(Priority::Normal));
    wait_in(&mut worker, 0, 1);
    worker.leave(CallId(1));
    wait_in(&mut worker, 200, 2);
    wait_in(&mut worker, 200, 3);
    worker.release(at(290));
    assert_eq!(admitted(&mut worker, 290), [2]);
}

#[test]
fn workers_share_one_ceiling() {
    let [mut a, mut b] = workers(3, 9);
    assert!(a.try_enter(Priority::Normal) && a.try_enter(Priority::Normal) && b.try_enter(Priority::Normal));
    assert!(!a.try_enter(Priority::Normal) && !b.try_enter(Priority::Normal));
    a.release(at(0));
    assert!(b.try_enter(Priority::Normal));
}

#[test]
fn calls_that_wait_get_the_permits_that_another_worker_returns() {
    let [mut a, mut b] = workers(2, 9);
    assert!(a.try_enter(Priority::Normal) && b.try_enter(Priority::Normal));
    wait_in(&mut b, 0, 1);
    b.poke(at(1));
    assert_eq!(admitted(&mut b, 1), []);
    a.release(at(2));
    b.poke(at(3));
    assert_eq!(admitted(&mut b, 3), [1]);
}

#[test]
fn a_worker_without_any_permit_gets_one_though_others_have_a_queue() {
    let [mut busy, mut quiet] = workers(64, 99);
    while busy.try_enter(Priority::Normal) {}
    for call in 0..99 {
        wait_in(&mut busy, 0, call);
    }
    wait_in(&mut quiet, 0, 1_000);
    busy.release(at(1));
    assert_eq!(admitted(&mut busy, 1), [], "the permit is kept for the one that has none");
    assert!(!busy.try_again(Priority::Normal));
    quiet.poke(at(2));
    assert_eq!(admitted(&mut quiet, 2), [1_000]);
    busy.release(at(3));
    assert_eq!(admitted(&mut busy, 3), [0]);
}

/// Each worker has a call that waits; `first` has the permit, gives it back and asks again at once, as often as it likes.
/// How many times it was served before `second` was.
fn turns_before(first: &mut Bulkhead, second: &mut Bulkhead, millis: u64) -> u32 {
    for turns in 1.. {
        if first.waiting() == 0 {
            wait_in(first, millis, 1);
        }
        first.release(at(millis));
        let mut mine = admitted(first, millis);
        first.poke(at(millis));
        mine.extend(admitted(first, millis));
        second.poke(at(millis));
        if !admitted(second, millis).is_empty() {
            assert!(mine.is_empty());
            return turns;
        }
        assert_eq!(mine, [1], "somebody is served");
        assert!(turns < 100, "the other one is never served");
    }
    0
}

#[test]
fn who_gives_a_permit_back_for_anothers_sake_does_not_take_it_again_before_the_other_could() {
    let [mut a, mut b] = workers(1, 9);
    assert!(a.try_enter(Priority::Normal));
    for round in 0..20 {
        wait_in(&mut b, round, 2);
        assert!(turns_before(&mut a, &mut b, round) <= 2);
        wait_in(&mut a, round, 3);
        assert!(turns_before(&mut b, &mut a, round) <= 2);
    }
}

#[test]
fn three_workers_that_starve_are_served_by_turns() {
    let mut bulkheads: [Bulkhead; 3] = workers(1, 99);
    assert!(bulkheads[0].try_enter(Priority::Normal));
    for worker in &mut bulkheads {
        (1..=30).for_each(|call| wait_in(worker, 0, call));
    }
    let mut served = [0; 3];
    for round in 0..60 {
        for worker in &mut bulkheads {
            if worker.in_use() > 0 {
                worker.release(at(round % 50));
            }
        }
        // The first ones always ask first.
        let winner = bulkheads.iter_mut().position(|worker| poll(worker, round % 50).is_some());
        served[winner.expect("somebody is served")] += 1;
    }
    assert_eq!(served, [20; 3]);
}

#[test]
fn nobody_stands_back_for_a_call_that_left() {
    let [mut a, mut b] = workers(1, 9);
    assert!(a.try_enter(Priority::Normal));
    wait_in(&mut a, 0, 1);
    wait_in(&mut b, 0, 2);
    a.release(at(1));
    assert_eq!(admitted(&mut a, 1), []);
    b.leave(CallId(2));
    assert_eq!(admitted(&mut a, 1), [1]);
}

#[test]
fn nothing_is_kept_for_a_call_that_left() {
    let [mut busy, mut quiet] = workers(1, 9);
    assert!(busy.try_enter(Priority::Normal));
    wait_in(&mut quiet, 0, 1);
    quiet.leave(CallId(1));
    busy.release(at(1));
    assert!(busy.try_enter(Priority::Normal));
}

#[test]
fn spare_permits_of_an_idle_worker_go_to_one_that_has_none() {
    let [mut idle, mut busy] = workers(1_024, 9);
    assert!(idle.try_enter(Priority::Normal));
    idle.release(at(0));
    while busy.try_enter(Priority::Normal) {}
    assert!(busy.in_use() >= 896, "spare ones are an eighth at most, not {}", busy.in_use());
    for _ in 0..busy.in_use() {
        busy.release(at(0));
    }
    drop(busy);
    idle.poke(at(0));
    assert!(idle.try_again(Priority::Normal));
}

#[test]
fn a_steady_load_touches_nothing_shared() {
    let [mut worker, _other] = workers(1_024, 9);
    for _ in 0..100 {
        assert!(worker.try_enter(Priority::Normal));
    }
    let taken = worker.pool.taken();
    for _ in 0..1_000 {
        worker.release(at(0));
        assert!(worker.try_enter(Priority::Normal));
        assert_eq!(worker.pool.taken(), taken);
    }
}

#[test]
fn a_lower_ceiling_holds_as_soon_as_enough_came_back() {
    let [mut a, mut b] = workers(1_024, 9);
    for _ in 0..100 {
        assert!(a.try_enter(Priority::Normal) && b.try_enter(Priority::Normal));
    }
    for worker in [&mut a, &mut b] {
        worker.configure(at(0), &settings(150, 9));
    }
    assert!(!a.try_enter(Priority::Normal));
    for _ in 0..50 {
        a.release(at(1));
        assert!(!a.try_enter(Priority::Normal) && !b.try_enter(Priority::Normal));
    }
    a.release(at(1));
    assert!(a.try_enter(Priority::Normal));
    assert_eq!((a.limit(), a.in_use() + b.in_use()), (Limit::At(150), 150));
}

#[test]
fn without_a_ceiling_nobody_waits() {
    let pool = PermitPool::new(Limit::Unlimited, 2);
    let mut worker = Bulkhead::new(&BulkheadSettings { adaptive: Adaptive::Off, ..settings(1, 0) }, pool);
    assert!((0..100_000).all(|_| worker.try_enter(Priority::Normal)));
    assert_eq!(worker.limit(), Limit::Unlimited);
}

#[test]
fn a_worker_that_ends_leaves_its_permits_to_the_others() {
    let [mut a, mut b] = workers(2, 9);
    assert!(a.try_enter(Priority::Normal) && a.try_enter(Priority::Normal));
    wait_in(&mut a, 0, 1);
    drop(a);
    assert!(b.try_enter(Priority::Normal) && b.try_enter(Priority::Normal));
}

#[test]
fn what_can_be_shed_leaves_a_fifth_to_others_when_it_tries_again() {
    let [mut worker] = workers(10, 9);
    assert!((0..8).all(|_| worker.try_again(Priority::Sheddable)));
    assert!(!worker.try_again(Priority::Sheddable));
    assert!(worker.try_again(Priority::Normal) && worker.try_again(Priority::Critical));
}

#[test]
fn what_can_be_shed_leaves_a_fifth_to_others() {
    let [mut worker] = workers(10, 9);
    assert!((0..8).all(|_| worker.try_enter(Priority::Sheddable)));
    assert!(!worker.try_enter(Priority::Sheddable));
    worker.enqueue(at(0), &wish(1, Priority::Sheddable, LATER)).unwrap();
    assert_eq!(admitted(&mut worker, 1), []);
    assert!(worker.try_enter(Priority::Normal) && worker.try_enter(Priority::Critical));
    wait_in(&mut worker, 1, 2);
    worker.release(at(2));
    assert!(!worker.try_enter(Priority::Normal), "somebody as important waits");
    assert_eq!(admitted(&mut worker, 2), [2]);
    worker.release(at(3));
    worker.release(at(3));
    assert_eq!(admitted(&mut worker, 3), []);
    worker.release(at(4));
    assert_eq!(admitted(&mut worker, 4), [1]);
}

#[test]
fn a_worker_whose_calls_can_all_be_shed_holds_no_permit_back_from_others() {
    let [mut busy, mut idle] = workers(10, 9);
    assert!((0..9).all(|_| busy.try_enter(Priority::Normal)));
    idle.enqueue(at(0), &wish(1, Priority::Sheddable, LATER)).unwrap();
    assert!(busy.try_enter(Priority::Normal));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Enter(Priority),
    Again,
    Release,
    Leave(usize),
    Poll,
    Poke,
    Limit(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::sample::select(&Priority::ALL).prop_map(Step::Enter),
        1 => Just(Step::Again),
        5 => Just(Step::Release),
        2 => any::<usize>().prop_map(Step::Leave),
        4 => Just(Step::Poll),
        1 => Just(Step::Poke),
        1 => any::<u32>().prop_map(Step::Limit),
    ]
}

/// Who waits on a worker, in the order in which they came.
type Waits = Vec<(u64, Priority)>;

/// Whoever is named waits; who is granted its turn is the first of the most important.
fn check_admission(waits: &mut Waits, Admission { call, turn }: Admission) -> Result<(), TestCaseError> {
    let place = waits.iter().position(|(waiting, _)| *waiting == call.0);
    prop_assert!(place.is_some(), "{} does not wait", call.0);
    let (_, priority) = waits[place.unwrap()];
    if turn == Turn::Granted {
        prop_assert_eq!(waits.iter().position(|(_, other)| *other <= priority), place);
    }
    if turn == Turn::Displaced {
        prop_assert!(waits.iter().any(|(_, other)| *other < priority));
    }
    waits.remove(place.unwrap());
    Ok(())
}

proptest! {
    /// Laws over two workers and a limit that moves: never more attempts than the ceiling; the most important first, and
    /// of these the first; and each call that waits is granted its turn, dropped or left, exactly once.
    #[test]
    fn nobody_is_lost_and_nobody_is_too_many(
        ceiling in 1u32..80,
        steps in prop::collection::vec((0usize..2, 0u64..30, step()), 1..600),
    ) {
        let mut bulkheads: [Bulkhead; 2] = workers(ceiling, 20);
        let mut queues: [Waits; 2] = Default::default();
        let (mut now, mut next) = (0, 0);
        for (which, wait, step) in steps {
            now += wait;
            let (worker, waits) = (&mut bulkheads[which], &mut queues[which]);
            match step {
                Step::Enter(priority) => {
                    next += 1;
                    if worker.try_enter(priority) {
                        prop_assert!(waits.iter().all(|(_, other)| *other > priority));
                    } else {
                        let answer = worker.enqueue(at(now), &wish(next, priority, now + LATER));
                        let is_full = waits.len() >= 20;
                        let is_least = waits.iter().all(|(_, other)| *other <= priority);
                        match answer {
                            Ok(_) => {
                                prop_assert!(!is_full || !is_least);
                                waits.push((next, priority));
                            }
                            Err(NoPlace::Full) => prop_assert!(is_full),
                            Err(NoPlace::LongWait { expected, accepted }) => prop_assert!(expected > accepted),
                            Err(NoPlace::Hopeless) => prop_assert!(false, "there is time"),
                        }
                    }
                }
                Step::Again => _ = worker.try_again(Priority::Normal),
                Step::Release if worker.in_use() > 0 => worker.release(at(now)),
                Step::Release => {}
                Step::Leave(place) => {
                    let left = (!waits.is_empty()).then(|| waits.remove(place % waits.len()));
                    worker.leave(CallId(left.map_or(next + 1, |(call, _)| call)));
                }
                Step::Poll => {
                    if let Some(admission) = poll(worker, now) {
                        check_admission(waits, admission)?;
                    }
                }
                Step::Poke => worker.poke(at(now)),
                Step::Limit(limit) => {
                    let limit = Limit::At(1 + limit % ceiling);
                    worker.pool.steer(|concurrency| concurrency.configure(Adaptive::Off, limit));
                }
            }
            // Those whose place was taken are told with the next poll.
            prop_assert!(worker.waiting() as usize <= waits.len());
            let [a, b] = &bulkheads;
            prop_assert!(a.in_use() + b.in_use() <= ceiling);
            prop_assert_eq!(a.pool.taken(), a.in_use() + a.spare + b.in_use() + b.spare);
        }

        // All attempts end and the drivers poke: everybody who waits gets an answer.
        for _ in 0..100 {
            for (worker, waits) in bulkheads.iter_mut().zip(&mut queues) {
                while worker.in_use() > 0 {
                    worker.release(at(now));
                }
                worker.poke(at(now));
                while let Some(admission) = poll(worker, now) {
                    check_admission(waits, admission)?;
                }
            }
        }
        prop_assert!(queues.iter().all(Vec::is_empty));
        let pool = bulkheads[0].pool.clone();
        drop(bulkheads);
        prop_assert_eq!((pool.taken(), pool.cell.starving.load(Relaxed)), (0, 0));
    }
}

/// Plays a worker's day beside another worker's; `beside` says whether the other does anything. What it was told is said.
fn day(
    bulkhead: &mut Bulkhead,
    mut beside: impl FnMut(u64),
    mut around: impl FnMut(&mut Bulkhead, u64),
) -> Vec<String> {
    let mut told = Vec::new();
    let mut held = 0;
    for step in 0..4_000_u64 {
        beside(step);
        around(bulkhead, step);
        let now = at(step);
        let luck = Seed::new(5).draw(step, 0, Purpose::Sample);
        let priority = Priority::ALL[(luck >> 8) as usize % 3];
        match luck % 5 {
            0 | 1 if bulkhead.try_enter(priority) => held += 1,
            0 | 1 => {
                let (until, deadline, served) = (at(step + 40), at(step + 90), Duration::from_millis(3));
                told.push(format!(
                    "{:?}",
                    bulkhead.enqueue(now, &Wish { call: CallId(step), priority, until, deadline, served })
                ));
            }
            2 | 3 if held > 0 => {
                held -= 1;
                bulkhead.release(now);
            }
            _ => bulkhead.poke(now),
        }
        while let Some(admission) = bulkhead.poll_admitted(now, Duration::from_millis(3)) {
            held += u32::from(admission.turn == Turn::Granted);
            told.push(format!("{admission:?}"));
        }
        let (in_use, in_flight, limit) = (bulkhead.in_use(), bulkhead.in_flight(), bulkhead.limit());
        told.push(format!("{step}: {in_use} of {in_flight}, {limit:?}, {} wait", bulkhead.waiting()));
    }
    told
}

#[test]
fn whoever_hears_the_same_of_the_shared_permits_decides_the_same_alone() {
    let settings = BulkheadSettings { concurrency: Limit::At(20), ..BulkheadSettings::default() };
    let pool = PermitPool::new(settings.concurrency, 2);
    let mut other = Bulkhead::new(&settings, pool.clone());
    let mut bulkhead = Bulkhead::new(&settings, pool);
    bulkhead.note_permits();
    let mut heard: Vec<Vec<Heard>> = Vec::new();
    let mut others = 0;
    let beside = |step: u64| match Seed::new(9).draw(step, 0, Purpose::Sample) % 3 {
        0 if other.try_again(Priority::Normal) => others += 1,
        1 if others > 0 => {
            others -= 1;
            other.release(at(step));
        }
        _ => other.poke(at(step)),
    };
    // What was heard in a step is taken at the beginning of the next.
    let told = day(&mut bulkhead, beside, |bulkhead, _| {
        let mut noted = Vec::new();
        bulkhead.hearing().take_noted(&mut noted);
        heard.push(noted);
    });
    let mut last = Vec::new();
    bulkhead.hearing().take_noted(&mut last);
    heard.push(last);
    let waited = told.iter().filter(|told| told.contains("Granted")).count();
    assert!(waited > 50, "{waited} calls waited and were granted a permit");

    let mut alone = Bulkhead::new(&settings, PermitPool::new(settings.concurrency, 2));
    alone.hear_permits_again();
    let again = day(
        &mut alone,
        |_| {},
        |bulkhead, step| {
            assert!(step == 0 || bulkhead.hearing().was_asked_the_same(), "step {step}");
            bulkhead.hearing().give_again(&heard[step as usize + 1]);
        },
    );
    assert_eq!(told, again);
}
