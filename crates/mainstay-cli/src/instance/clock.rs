//! Sleeps that end when they should. The runtime's timer has milliseconds and is always late by up to one: a service
//! time of 10 ms would hold its slot for 11, and an instance could do a tenth less than it says. One thread that waits
//! for the earliest of all is late by the tenth part of that.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// Somebody who sleeps.
struct Sleeper {
    until: Instant,
    number: u64,
    wake: oneshot::Sender<()>,
}

impl PartialEq for Sleeper {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Sleeper {}

impl PartialOrd for Sleeper {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Sleeper {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.until, self.number).cmp(&(other.until, other.number))
    }
}

#[derive(Default)]
struct Sleepers {
    all: BinaryHeap<Reverse<Sleeper>>,
    next: u64,
}

#[derive(Default)]
struct Shared {
    sleepers: Mutex<Sleepers>,
    earlier: Condvar,
}

/// Wakes who sleeps, on a thread that lives as long as the process.
#[derive(Clone)]
pub(crate) struct Clock(Arc<Shared>);

impl Clock {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has none left.
    pub(crate) fn start() -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let own = Arc::clone(&shared);
        std::thread::Builder::new().name("clock".to_owned()).spawn(move || own.run())?;
        Ok(Self(shared))
    }

    /// Sleeps so long.
    pub(crate) async fn sleep(&self, length: Duration) {
        // The thread outlives whoever sleeps.
        let _ = self.waker(Instant::now() + length).await;
    }

    /// What is told at `until`.
    fn waker(&self, until: Instant) -> oneshot::Receiver<()> {
        let (wake, woken) = oneshot::channel();
        let mut sleepers = self.0.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        let number = sleepers.next;
        sleepers.next += 1;
        let is_first = sleepers.all.peek().is_none_or(|Reverse(first)| until < first.until);
        sleepers.all.push(Reverse(Sleeper { until, number, wake }));
        drop(sleepers);
        if is_first {
            self.0.earlier.notify_one();
        }
        woken
    }
}

impl Shared {
    fn run(&self) {
        let mut sleepers = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let now = Instant::now();
            while sleepers.all.peek().is_some_and(|Reverse(first)| first.until <= now) {
                if let Some(Reverse(first)) = sleepers.all.pop() {
                    // Who slept may have left.
                    let _ = first.wake.send(());
                }
            }
            let next = sleepers.all.peek().map(|Reverse(first)| first.until.saturating_duration_since(now));
            let wait = next.unwrap_or(Duration::from_secs(3600));
            sleepers = self.earlier.wait_timeout(sleepers, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_sleeps_shorter_wakes_first_and_nobody_wakes_early() {
        let clock = Clock::start().unwrap();
        let began = Instant::now();
        let sleep = |millis| {
            let clock = clock.clone();
            async move {
                clock.sleep(Duration::from_millis(millis)).await;
                (millis, began.elapsed() >= Duration::from_millis(millis))
            }
        };
        let (long, short) = (tokio::spawn(sleep(60)), tokio::spawn(sleep(20)));
        assert_eq!(short.await.unwrap(), (20, true));
        assert!(!long.is_finished());
        assert_eq!(long.await.unwrap(), (60, true));
    }
}
