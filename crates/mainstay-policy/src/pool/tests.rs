use mainstay_core::Limit;
use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> Instant {
    Instant::ORIGIN + Duration::from_millis(1_000_000 + millis)
}

fn pool(size: Limit<u32>) -> Pool {
    Pool::new(&PoolSettings { size, ..PoolSettings::default() })
}

fn connect(pool: &mut Pool, now: Instant) -> ConnectionId {
    match pool.checkout(now, Freshness::New) {
        Checkout::Connect(id) => id,
        other => panic!("no new connection: {other:?}"),
    }
}

fn expired(pool: &mut Pool, now: Instant) -> Vec<ConnectionId> {
    std::iter::from_fn(|| pool.poll_expired(now)).collect()
}

#[test]
fn the_connection_used_last_is_used_next_and_the_others_grow_old() {
    let mut pool = pool(Limit::Unlimited);
    let first = connect(&mut pool, at(0));
    let second = connect(&mut pool, at(0));
    pool.checkin(at(10), first);
    pool.checkin(at(20), second);
    for millis in (100..4_000).step_by(100) {
        assert_eq!(pool.checkout(at(millis), Freshness::Any), Checkout::Reuse(second));
        pool.checkin(at(millis), second);
    }
    assert_eq!(pool.poll_timeout(), Some(Deadline::new(at(4_010), PoolTimer::Idle)));
    assert_eq!(expired(&mut pool, at(4_009)), []);
    assert_eq!(expired(&mut pool, at(4_010)), [first]);
}

#[test]
fn one_that_was_idle_too_long_is_never_used_again() {
    let mut pool = pool(Limit::Unlimited);
    let old = connect(&mut pool, at(0));
    pool.checkin(at(0), old);
    assert!(matches!(pool.checkout(at(4_000), Freshness::Any), Checkout::Connect(id) if id != old));
    assert_eq!(expired(&mut pool, at(4_000)), [old]);
}

#[test]
fn a_call_that_must_not_be_repeated_gets_one_that_was_used_just_now_or_a_new_one() {
    let mut pool = pool(Limit::Unlimited);
    let post = Freshness::of(MethodClass::NonIdempotent);
    let id = connect(&mut pool, at(0));
    pool.checkin(at(0), id);
    assert_eq!(pool.checkout(at(249), post), Checkout::Reuse(id));
    pool.checkin(at(249), id);
    assert!(matches!(pool.checkout(at(499), post), Checkout::Connect(_)));
    assert_eq!(pool.checkout(at(499), Freshness::of(MethodClass::Safe)), Checkout::Reuse(id));
}

#[test]
fn when_all_are_busy_a_full_pool_says_so() {
    let mut pool = pool(Limit::At(2));
    let first = connect(&mut pool, at(0));
    let second = connect(&mut pool, at(0));
    assert_eq!(pool.checkout(at(0), Freshness::Any), Checkout::Full);
    pool.closed(second);
    assert!(
        matches!(pool.checkout(at(0), Freshness::Any), Checkout::Connect(_)),
        "a failed connect gives its place back"
    );
    pool.checkin(at(1), first);
    assert_eq!(pool.checkout(at(1), Freshness::Any), Checkout::Reuse(first));
}

#[test]
fn an_old_idle_one_makes_room_for_a_new_one() {
    let mut pool = pool(Limit::At(2));
    let first = connect(&mut pool, at(0));
    let second = connect(&mut pool, at(0));
    pool.checkin(at(0), first);
    pool.checkin(at(1), second);
    let new = connect(&mut pool, at(1_000));
    assert!(new != first && new != second);
    assert_eq!(pool.poll_timeout().map(|deadline| deadline.at <= at(0)), Some(true), "there is something to close now");
    assert_eq!(expired(&mut pool, at(1_000)), [first]);
    assert_eq!((pool.idle(), pool.busy()), (1, 1));
}

#[test]
fn one_that_the_server_closed_is_forgotten() {
    let mut pool = pool(Limit::Unlimited);
    let (a, b) = (connect(&mut pool, at(0)), connect(&mut pool, at(0)));
    pool.checkin(at(0), a);
    pool.checkin(at(0), b);
    pool.closed(b);
    pool.closed(b);
    assert_eq!(pool.checkout(at(1), Freshness::Any), Checkout::Reuse(a));
    pool.checkin(at(1), b);
    assert_eq!(pool.idle(), 0, "what is closed does not come back");
    assert_ne!(connect(&mut pool, at(1)), connect(&mut pool, at(1)), "closed twice, its number is still one number");
}

#[test]
fn a_drain_gives_up_all_that_is_idle() {
    let mut pool = pool(Limit::Unlimited);
    let busy = connect(&mut pool, at(0));
    let idle = [connect(&mut pool, at(0)), connect(&mut pool, at(0))];
    for id in idle {
        pool.checkin(at(0), id);
    }
    pool.drain();
    assert!(matches!(pool.checkout(at(0), Freshness::Any), Checkout::Connect(_)));
    pool.closed(idle[0]);
    assert_eq!(expired(&mut pool, at(0)), idle[1..], "the server was quicker with the first");
    pool.checkin(at(0), busy);
    assert_eq!(pool.idle(), 1);
}

#[test]
fn a_smaller_size_closes_what_is_too_much() {
    let mut pool = pool(Limit::Unlimited);
    let ids: Vec<_> = (0..4).map(|_| connect(&mut pool, at(0))).collect();
    pool.checkin(at(0), ids[0]);
    pool.checkin(at(0), ids[1]);
    pool.configure(&PoolSettings { size: Limit::At(1), ..PoolSettings::default() });
    assert_eq!(expired(&mut pool, at(0)), ids[..2]);
    assert_eq!(pool.checkout(at(0), Freshness::Any), Checkout::Full);
    pool.checkin(at(0), ids[2]);
    pool.checkin(at(0), ids[3]);
    assert_eq!(expired(&mut pool, at(0)), ids[2..3]);
    assert_eq!(pool.checkout(at(0), Freshness::Any), Checkout::Reuse(ids[3]));
}

#[test]
fn idle_ones_are_bounded() {
    let mut pool = pool(Limit::Unlimited);
    let ids: Vec<_> = (0..2_000).map(|_| connect(&mut pool, at(0))).collect();
    for id in ids {
        pool.checkin(at(0), id);
    }
    assert_eq!(pool.idle(), 1_024);
    assert_eq!(expired(&mut pool, at(0)).len(), 2_000 - 1_024);
}

proptest! {
    /// Laws: a number names one connection at a time; the size holds; nothing too old is handed out; and all that was
    /// opened is closed in the end.
    #[test]
    fn the_books_always_balance(
        size in 1u32..6,
        steps in prop::collection::vec((0u8..6, any::<usize>(), 0u64..600), 1..400),
    ) {
        let mut pool = pool(Limit::At(size));
        let (mut now, mut busy, mut idle) = (0, Vec::new(), Vec::<(ConnectionId, u64)>::new());
        for (what, which, wait) in steps {
            now += wait;
            match what {
                0..3 => {
                    let needs = [Freshness::Any, Freshness::JustUsed, Freshness::New][what as usize];
                    match pool.checkout(at(now), needs) {
                        Checkout::Reuse(id) => {
                            let place = idle.iter().position(|(idle, _)| *idle == id).unwrap();
                            prop_assert!(now - idle.remove(place).1 < 4_000);
                            busy.push(id);
                        }
                        Checkout::Connect(id) => {
                            while let Some(id) = pool.poll_expired(at(now)) {
                                idle.retain(|(idle, _)| *idle != id);
                            }
                            prop_assert!(!busy.contains(&id) && idle.iter().all(|(idle, _)| *idle != id));
                            busy.push(id);
                        }
                        Checkout::Full => prop_assert_eq!(busy.len(), size as usize),
                    }
                }
                3 if !busy.is_empty() => {
                    let id = busy.swap_remove(which % busy.len());
                    pool.checkin(at(now), id);
                    idle.push((id, now));
                }
                4 if !busy.is_empty() => pool.closed(busy.swap_remove(which % busy.len())),
                5 if !idle.is_empty() => pool.closed(idle.swap_remove(which % idle.len()).0),
                _ => {}
            }
            prop_assert_eq!((pool.busy(), pool.idle()), (busy.len(), idle.len()));
            prop_assert!(busy.len() + idle.len() <= size as usize);
        }
        busy.into_iter().for_each(|id| pool.checkin(at(now), id));
        let _ = expired(&mut pool, at(now + 4_000));
        prop_assert_eq!((pool.busy(), pool.idle(), pool.poll_timeout()), (0, 0, None));
    }
}
