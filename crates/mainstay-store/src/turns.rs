//! Whose turn it is. What waits is taken in rounds, and in a round everybody who has something waiting comes once: who
//! has much waiting waits for himself and not the others for him.
//!
//! The first thing of somebody who has nothing waiting goes into the round that is being taken, the second into the next
//! one, and so on: rounds are kept, and not a queue for each (in the manner of start-time fair queueing).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// How much of what one asker wants may wait or be under way, in KiB: a sixteenth of what may wait altogether.
const ROOM_KIB: u32 = 16 << 10;

/// What one thing counts for at the least, in KiB: so that there are no more than a thousand.
const LEAST_KIB: u32 = 16;

/// Somebody who asks: a connection, or another member. A clone is the same one.
#[derive(Debug, Clone)]
pub(crate) struct Asker(Arc<Seat>);

#[derive(Debug)]
struct Seat {
    /// The round of the last that he asked for. It changes under the lock of the line.
    last: AtomicU64,
    room: Arc<Semaphore>,
    /// For the one of its reads that may stand in line with those of the others.
    reading: Semaphore,
}

impl Default for Asker {
    fn default() -> Self {
        let room = Arc::new(Semaphore::new(ROOM_KIB as usize));
        Self(Arc::new(Seat { last: AtomicU64::new(0), room, reading: Semaphore::new(1) }))
    }
}

impl Asker {
    /// Waits until this much more of the asker's may wait in line: who asks for more than that holds back himself.
    pub(crate) async fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(ROOM_KIB).clamp(LEAST_KIB, ROOM_KIB);
        Arc::clone(&self.0.room).acquire_many_owned(kib).await.ok()
    }
}

/// Reads of many keys, one after the other. One of each asker's stands in line, so that each has its turn.
#[derive(Debug)]
pub(crate) struct Reads(Semaphore);

impl Default for Reads {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

impl Reads {
    /// Reads when it is the asker's turn. After a read that was `long`, everybody else has theirs before the next begins.
    pub(crate) async fn in_turn<T>(&self, asker: &Asker, read: impl FnOnce() -> T, long: impl FnOnce(&T) -> bool) -> T {
        // Neither is ever closed.
        let _mine = asker.0.reading.acquire().await;
        let _turn = self.0.acquire().await;
        let answer = read();
        if long(&answer) {
            tokio::task::yield_now().await;
        }
        answer
    }
}

/// Why nobody can stand in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turned {
    /// Too many do.
    Full,
    /// Nothing is taken any more.
    Closed,
}

/// What waits for its turn. One takes, many put.
#[derive(Debug)]
pub(crate) struct Line<T> {
    waiting: Mutex<Waiting<T>>,
    comes: Notify,
    most: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    /// The rounds to come, that which is being taken first.
    rounds: VecDeque<VecDeque<T>>,
    /// The number of the first.
    first: u64,
    count: usize,
    closed: bool,
}

impl<T> Line<T> {
    /// A line in which so many may wait.
    pub(crate) fn new(most: usize) -> Self {
        let waiting = Waiting { rounds: VecDeque::new(), first: 1, count: 0, closed: false };
        Self { waiting: Mutex::new(waiting), comes: Notify::new(), most }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts one thing of somebody's in line.
    pub(crate) fn put(&self, asker: &Asker, thing: T) -> Result<(), Turned> {
        let mut waiting = self.waiting();
        if waiting.closed {
            return Err(Turned::Closed);
        }
        if waiting.count >= self.most {
            return Err(Turned::Full);
        }
        let round = (asker.0.last.load(Ordering::Relaxed) + 1).max(waiting.first);
        asker.0.last.store(round, Ordering::Relaxed);
        let at = usize::try_from(round - waiting.first).unwrap_or(usize::MAX);
        while waiting.rounds.len() <= at {
            waiting.rounds.push_back(VecDeque::new());
        }
        waiting.rounds[at].push_back(thing);
        waiting.count += 1;
        let first = waiting.count == 1;
        drop(waiting);
        if first {
            self.comes.notify_one();
        }
        Ok(())
    }

    /// Waits until something waits.
    pub(crate) async fn comes(&self) {
        while self.waiting().count == 0 {
            self.comes.notified().await;
        }
    }

    /// Takes what waits, turn by turn, for as long as it goes along.
    pub(crate) fn take(&self, mut goes: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut waiting = self.waiting();
        let mut taken = Vec::with_capacity(waiting.count);
        while let Some(round) = waiting.rounds.front_mut() {
            let Some(thing) = round.pop_front_if(|thing| goes(thing)) else {
                if round.is_empty() {
                    waiting.rounds.pop_front();
                    waiting.first += 1;
                    continue;
                }
                break;
            };
            taken.push(thing);
        }
        waiting.count -= taken.len();
        taken
    }

    /// Takes nothing more, and lets go of what waits.
    pub(crate) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        waiting.count = 0;
        let rounds = std::mem::take(&mut waiting.rounds);
        drop(waiting);
        drop(rounds);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn take(line: &Line<&'static str>, many: usize) -> Vec<&'static str> {
        let mut left = many;
        line.take(|_| left.checked_sub(1).inspect(|less| left = *less).is_some())
    }

    #[test]
    fn who_asks_for_much_does_not_stand_before_who_asks_for_little() {
        let line = Line::new(10_000);
        let [greedy, one, other] = [(); 3].map(|()| Asker::default());
        for _ in 0..5_000 {
            line.put(&greedy, "greedy").unwrap();
        }
        assert_eq!(take(&line, 100), ["greedy"; 100]);
        for _ in 0..2 {
            line.put(&one, "one").unwrap();
            line.put(&other, "other").unwrap();
        }
        assert_eq!(take(&line, 6), ["greedy", "one", "other", "greedy", "one", "other"]);
        assert_eq!(take(&line, 10_000).len(), 4_898);
        line.put(&one, "one").unwrap();
        line.put(&greedy, "greedy").unwrap();
        assert_eq!(take(&line, 10), ["one", "greedy"], "nothing is held against whom nobody waited for");
    }

    #[test]
    fn everything_of_one_asker_comes_in_its_order() {
        let (line, asker, other) = (Line::new(100), Asker::default(), Asker::default());
        for thing in ["a", "b", "c"] {
            line.put(&asker, thing).unwrap();
            line.put(&other, "-").unwrap();
        }
        assert_eq!(take(&line, 3), ["a", "-", "b"]);
        line.put(&asker, "d").unwrap();
        assert_eq!(take(&line, 100), ["-", "c", "-", "d"]);
    }

    #[test]
    fn a_line_that_is_full_or_closed_says_so() {
        let (line, asker) = (Line::new(2), Asker::default());
        assert_eq!(line.put(&asker, "a"), Ok(()));
        assert_eq!(line.put(&asker, "b"), Ok(()));
        assert_eq!(line.put(&asker, "c"), Err(Turned::Full));
        line.close();
        assert_eq!(line.put(&asker, "d"), Err(Turned::Closed));
        assert!(take(&line, 100).is_empty());
    }

    #[test]
    fn nobody_has_more_than_a_thousand_in_line() {
        let asker = Asker::default();
        let room = || asker.room(1).now_or_never();
        let mut held: Vec<_> = (0..1024).map(|_| room().unwrap()).collect();
        assert!(room().is_none());
        held.pop();
        assert!(room().is_some());
    }
}
