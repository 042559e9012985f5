//! Many clients that want to write one row, and what the jitter of their pauses makes of it.
//!
//! M. Brooker: "Exponential backoff and jitter", AWS Architecture Blog, 2015, with the simulator published beside it: each
//! client reads a version, writes if it is still the same, and after a failure pauses and begins again; every message takes
//! |N(10, 2)| ms; pauses begin at 5 ms and end at 2 s. Ours is that world with the product's own pauses
//! (`mainstay_policy::pause`), 100 runs a row. Theirs are means of few runs: 15 % are allowed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use mainstay_core::math::ln;
use mainstay_core::{Duration, Purpose, Seed, unit};
use mainstay_policy::{BackoffKind, BackoffSettings, Jitter, pause};

use super::table::{Row, hold};

const RUNS: u64 = 100;

/// How a client pauses.
#[derive(Clone, Copy)]
enum Pauses {
    None,
    Of(Jitter),
}

impl Pauses {
    /// Their first pause is already twice the base, and ours the base; a decorrelated one begins at the base for both.
    fn after(self, failures: u32, before: Duration, draw: u64) -> Duration {
        let Self::Of(jitter) = self else { return Duration::ZERO };
        let base = Duration::from_millis(if jitter == Jitter::Decorrelated { 5 } else { 10 });
        let settings = BackoffSettings { kind: BackoffKind::Exponential, base, max: Duration::from_secs(2), jitter };
        pause(&settings, failures, before, draw)
    }
}

/// A message at its end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Read,
    Learn { version: u32 },
    Write { version: u32 },
    Told { well: bool },
}

#[derive(Clone, Copy, Default)]
struct Client {
    failures: u32,
    pause: Duration,
}

/// Messages on their way.
struct Net {
    seed: Seed,
    drawn: u64,
    sent: u64,
    messages: BinaryHeap<Reverse<(Duration, u64, usize, Step)>>,
}

impl Net {
    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.seed.draw(self.drawn, 0, Purpose::Sample)
    }

    /// |N(10, 2)| ms, by the polar method.
    fn way(&mut self) -> Duration {
        loop {
            let (x, y) = (2.0 * unit(self.draw()) - 1.0, 2.0 * unit(self.draw()) - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let normal = x * (-2.0 * ln(square) / square).sqrt();
                return Duration::from_nanos(((10.0 + 2.0 * normal).abs() * 1e6) as u64);
            }
        }
    }

    fn send(&mut self, at: Duration, client: usize, step: Step) {
        self.sent += 1;
        let way = self.way();
        self.messages.push(Reverse((at + way, self.sent, client, step)));
    }
}

/// Writes that were tried, and when the last client was done.
fn run(clients: usize, pauses: Pauses, seed: Seed) -> (u64, Duration) {
    let mut net = Net { seed, drawn: 0, sent: 0, messages: BinaryHeap::new() };
    let mut all = vec![Client::default(); clients];
    (0..clients).for_each(|client| net.send(Duration::ZERO, client, Step::Read));
    let (mut version, mut writes, mut now) = (0, 0, Duration::ZERO);
    while let Some(Reverse((at, _, client, step))) = net.messages.pop() {
        now = at;
        match step {
            Step::Read => net.send(now, client, Step::Learn { version }),
            Step::Learn { version } => net.send(now, client, Step::Write { version }),
            Step::Write { version: known } => {
                writes += 1;
                let well = known == version;
                version += u32::from(well);
                net.send(now, client, Step::Told { well });
            }
            Step::Told { well: true } => {}
            Step::Told { well: false } => {
                let one = &mut all[client];
                one.failures += 1;
                let draw = net.draw();
                one.pause = pauses.after(one.failures, one.pause, draw);
                net.send(now + one.pause, client, Step::Read);
            }
        }
    }
    (writes, now)
}

/// Writes of a run and its length in milliseconds, in the mean.
fn mean(clients: usize, pauses: Pauses) -> (f64, f64) {
    let runs: Vec<_> = (0..RUNS).map(|n| run(clients, pauses, Seed::new(n + 1))).collect();
    let writes: u64 = runs.iter().map(|(writes, _)| writes).sum();
    let length: u64 = runs.iter().map(|(_, length)| length.as_nanos() / 1_000).sum();
    (writes as f64 / RUNS as f64, length as f64 / RUNS as f64 / 1e3)
}

const KINDS: [(&str, Pauses); 5] = [
    ("no pause", Pauses::None),
    ("no jitter", Pauses::Of(Jitter::None)),
    ("equal", Pauses::Of(Jitter::Equal)),
    ("full", Pauses::Of(Jitter::Full)),
    ("decorrelated", Pauses::Of(Jitter::Decorrelated)),
];

/// Calls and milliseconds, for each kind of pause in turn.
const PUBLISHED: [(usize, [(f64, f64); 5]); 3] = [
    (10, [(50.0, 381.0), (50.0, 3_222.0), (42.0, 687.0), (39.0, 467.0), (38.0, 451.0)]),
    (50, [(694.0, 1_145.0), (625.0, 37_094.0), (347.0, 4_349.0), (332.0, 2_976.0), (376.0, 2_074.0)]),
    (100, [(2_416.0, 2_026.0), (1_867.0, 63_620.0), (813.0, 6_623.0), (802.0, 5_131.0), (994.0, 4_452.0)]),
];

#[test]
fn jitter_spares_calls_as_published() {
    let mut rows = Vec::new();
    for (clients, published) in PUBLISHED {
        for ((name, pauses), (calls, length)) in KINDS.into_iter().zip(published) {
            let (ours, lasted) = mean(clients, pauses);
            rows.push(Row::new(format!("{clients}, {name}")).within(0.15, calls, ours).within(0.15, length, lasted));
        }
    }
    hold("jitter", &rows);
}

#[test]
fn with_a_hundred_clients_jitter_saves_more_than_half_of_the_calls() {
    let (without, _) = mean(100, Pauses::Of(Jitter::None));
    let (with, _) = mean(100, Pauses::Of(Jitter::Full));
    assert!(with < without / 2.0, "{with} of {without}");
}
