//! What happens next: events by their time, and those of one moment in the order in which they were planned.
//!
//! A heap with four children for each entry: half as deep as one with two, and the children lie side by side in memory.
//! Beside it stand lanes for what is nearly always planned in the order in which it happens, as messages that all take as
//! long: they cost no heap.

use std::collections::VecDeque;

use mainstay_core::Instant;

use crate::world::Event;

/// What is planned in the order in which it happens.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lane {
    /// Calls of callers.
    Arrivals,
    /// What gateways and instances send each other.
    Messages,
}

/// Events that lie ahead.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: Vec<Entry>,
    lanes: [VecDeque<Entry>; 2],
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
        let entry = self.entry(at, event);
        self.push_entry(entry);
    }

    /// Plans an event that comes, most likely, after all those that were planned in this lane before.
    pub(crate) fn push_in(&mut self, lane: Lane, at: Instant, event: Event) {
        let entry = self.entry(at, event);
        let lane = &mut self.lanes[lane as usize];
        match lane.back() {
            Some(last) if last.at > at => self.push_entry(entry),
            _ => lane.push_back(entry),
        }
    }

    fn entry(&mut self, at: Instant, event: Event) -> Entry {
        self.planned += 1;
        Entry { at, number: self.planned, event }
    }

    fn push_entry(&mut self, entry: Entry) {
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
        let mut first = self.heap.first();
        let mut from = None;
        for (place, lane) in self.lanes.iter().enumerate() {
            if let Some(next) = lane.front().filter(|next| first.is_none_or(|first| next.is_before(first))) {
                (first, from) = (Some(next), Some(place));
            }
        }
        let entry = match from {
            Some(lane) => self.lanes[lane].pop_front(),
            None => self.pop_entry(),
        }?;
        Some((entry.at, entry.event))
    }

    fn pop_entry(&mut self) -> Option<Entry> {
        let last = self.heap.pop()?;
        let Some(first) = self.heap.first().copied() else { return Some(last) };
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
        Some(first)
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
            let (at, event) = (Instant::from_nanos(*at), Event::Wake { call: number as u32 });
            match number % 3 {
                0 => queue.push(at, event),
                1 => queue.push_in(Lane::Arrivals, at, event),
                _ => queue.push_in(Lane::Messages, at, event),
            }
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
