//! What an access to a rate limit costs, in figures for people: by the number of keys, and while the table grows.

use mainstay_core::{Duration, Instant, Rate, Seed};
use mainstay_policy::{KeyedLimiter, LimitQuery, OnExceeded, RateLimitAlgorithm, RateLimitSettings};

fn limiter(keys: u32) -> KeyedLimiter {
    KeyedLimiter::new(&RateLimitSettings {
        algorithm: RateLimitAlgorithm::TokenBucket,
        rate: Rate::new(1, Duration::from_secs(3_600)).unwrap(),
        burst: 100,
        tiers: Vec::new(),
        on_exceeded: OnExceeded::Reject,
        adaptive: false,
        max_keys: keys + keys / 2,
    })
}

/// How long `act` took, in nanoseconds.
#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "measured, and no decision sees it")]
fn nanos(act: impl FnOnce()) -> u64 {
    let began = std::time::Instant::now();
    act();
    began.elapsed().as_nanos() as u64
}

#[test]
#[ignore = "prints figures for people: cargo test --release -p mainstay-policy --test it limits -- --ignored --nocapture"]
#[allow(clippy::print_stdout, reason = "that is what it is for")]
fn the_cost_of_an_access() {
    let now = Instant::ORIGIN + Duration::from_secs(1_000);
    // The most of all is the system's: somebody else had the processor. A move that begins or ends is ours.
    println!("     keys  while it grows: median   p99.9     most  at a move's ends: most  then: mean  (ns)");
    for keys in [1_000, 100_000, 1_000_000] {
        let mut limiter = limiter(keys);
        let query = |number: u64| LimitQuery::of(Seed::new(number).derive("key").get());
        let queries: Vec<LimitQuery> = (0..u64::from(keys)).map(query).collect();
        let (mut times, mut at_ends) = (Vec::with_capacity(queries.len()), 0);
        for query in &queries {
            let slots = limiter.capacity();
            let time = nanos(|| {
                std::hint::black_box(limiter.admit(now, query));
            });
            times.push(time);
            at_ends = if limiter.capacity() == slots { at_ends } else { time.max(at_ends) };
        }
        times.sort_unstable();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        let (median, tail, most) = (at(0.5), at(0.999), at(1.0));
        // In another order than they came, so that no access finds its line in the cache by luck.
        let steady = nanos(|| {
            for number in 0..queries.len() {
                std::hint::black_box(limiter.admit(now, &queries[number * 7_919 % queries.len()]));
            }
        });
        let mean = steady / u64::from(keys);
        println!("{keys:>9}  {median:>22}  {tail:>6}  {most:>7}  {at_ends:>21}  {mean:>10}");
        assert_eq!(limiter.evicted(), 0);
    }
}
