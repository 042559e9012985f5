//! What happens next: events by their time, and those of one moment in the order in which they were planned.
//!
//! A heap with four children for each entry: half as deep as one with two, and the children lie side by side in memory.

use mainstay_core::Instant;

use crate::world::Event;

/// Events that lie ahead.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: Vec<Entry>,
    planned: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    at: Instant,
    number: u64,
    event: Event,
}

impl Entry {
    fn is_before(&self, other: &Self) -> bool {
        (self.at, self.number) < (other.at, other.number)
    }
}

impl Queue {
    /// Plans an event.
    pub(crate) fn push(&mut self, at: Instant, event: Event) {
        self.planned += 1;
        let entry = Entry { at, number: self.planned, event };
        let mut place = self.heap.len();
        self.heap.push(entry);
        while place > 0 {
            let parent = (place - 1) / 4;
            if !entry.is_before(&self.heap[parent]) {
                break;
            }
            self.heap[place] = self.heap[parent];
            place = parent;
        }
        self.heap[place] = entry;
    }

    /// The next event.
    pub(crate) fn pop(&mut self) -> Option<(Instant, Event)> {
        let last = self.heap.pop()?;
        let Some(first) = self.heap.first().copied() else { return Some((last.at, last.event)) };
        let mut place = 0;
        loop {
            let children = 4 * place + 1..(4 * place + 5).min(self.heap.len());
            let Some(least) = children.reduce(|a, b| if self.heap[b].is_before(&self.heap[a]) { b } else { a }) else {
                break;
            };
            if !self.heap[least].is_before(&last) {
                break;
            }
            self.heap[place] = self.heap[least];
            place = least;
        }
        self.heap[place] = last;
        Some((first.at, first.event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_their_time_and_then_by_the_order_of_planning() {
        let mut queue = Queue::default();
        let times = [5_u64, 1, 5, 3, 1, 9, 0, 5, 3, 7, 2, 2, 8, 0];
        for (number, at) in times.iter().enumerate() {
            queue.push(Instant::from_nanos(*at), Event::Wake { call: number as u32 });
        }
        let mut wanted: Vec<(u64, u32)> = times.iter().enumerate().map(|(number, at)| (*at, number as u32)).collect();
        wanted.sort_unstable();
        let come = std::iter::from_fn(|| queue.pop()).map(|(at, event)| match event {
            Event::Wake { call } => (at.as_nanos(), call),
            other => panic!("{other:?}"),
        });
        assert_eq!(come.collect::<Vec<_>>(), wanted);
    }
}
