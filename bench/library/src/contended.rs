//! One limit, or one key of it, that two threads ask for all the time.

use std::num::NonZeroU32;
use std::sync::{Arc, Barrier};
use std::time::Instant;

use governor::{Quota, RateLimiter as Governor};
use mainstay::RateLimitSettings;
use mainstay::sync::RateLimiter;

use crate::{Case, Group};

const THREADS: usize = 2;

/// Each thread asks `calls` times; how long that took, as if one had asked.
fn contended(name: &'static str, act: impl Fn() + Send + Sync + 'static) -> Case {
    let act = Arc::new(act);
    let run = move |calls: u64| {
        let barrier = Arc::new(Barrier::new(THREADS + 1));
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (act, barrier) = (Arc::clone(&act), Arc::clone(&barrier));
                std::thread::spawn(move || {
                    barrier.wait();
                    for _ in 0..calls {
                        act();
                    }
                })
            })
            .collect();
        barrier.wait();
        let begun = Instant::now();
        threads.into_iter().for_each(|thread| thread.join().expect("it only asks"));
        begun.elapsed()
    };
    Case { name, run: Box::new(run) }
}

const RATE: u32 = 1_000_000_000;

/// Every group.
pub fn groups() -> Vec<Group> {
    let settings = RateLimitSettings::per_second(RATE.into());
    let quota = || Quota::per_second(NonZeroU32::new(RATE).expect("more than none"));
    let (ours, keyed) = (RateLimiter::new(&settings), RateLimiter::new(&settings));
    let (theirs, their_keyed) = (Governor::direct(quota()), Governor::keyed(quota()));
    let direct = vec![
        contended("mainstay: sync::RateLimiter", move || ours.try_acquire().expect("it is within")),
        contended("governor: direct", move || theirs.check().expect("it is within")),
    ];
    let key = vec![
        contended("mainstay: sync::RateLimiter, one key", move || keyed.try_acquire_for(7_u64).expect("it is within")),
        contended("governor: keyed, one key", move || their_keyed.check_key(&7_u64).expect("it is within")),
    ];
    vec![
        Group { name: "one rate limit, two threads", cases: direct },
        Group { name: "one key, two threads", cases: key },
    ]
}
