//! What the world has to show when a play is over.

use mainstay_core::Limit;

use super::World;
use super::instances::Books;
use crate::{Left, Node};

impl World<'_> {
    /// What each instance did that was ever there.
    pub(crate) fn books(&self) -> impl Iterator<Item = (String, Books)> {
        let ended = self.ledger.ended;
        let was_there = |number: &u32| self.instances[*number as usize].was_there();
        (0..self.instances.len() as u32).filter(was_there).map(move |number| {
            let instance = &self.instances[number as usize];
            let slots = match self.services[instance.service as usize].described.concurrency {
                Limit::At(slots) => Some(slots),
                Limit::Unlimited => None,
            };
            (self.name_of(number), Books { slots, ..instance.books.closed(ended) })
        })
    }

    pub(crate) fn nodes(&self) -> Vec<Node> {
        let time = self.ledger.ended.as_nanos() as f64 / 1e9;
        let node = |(_, books): (String, Books)| {
            let done = books.done.max(1) as f64;
            Node {
                done: books.done,
                waited: books.waited as f64 / done,
                mean_wait: books.waits.as_secs_f64() / done,
                mean_stay: books.stays.as_secs_f64() / done,
                mean_there: books.area as f64 / 1e9 / time,
                refused: books.refused,
                time,
            }
        };
        self.books().map(node).collect()
    }

    /// What was not given back.
    pub(crate) fn left(&mut self) -> Left {
        let mut left = Left { calls: self.calls.len() as u64, jobs: self.jobs.len() as u64, ..Left::default() };
        let now = self.now;
        for cell in self.workers.iter_mut().flat_map(|worker| &mut worker.cells) {
            let view = cell.service.view(now);
            left.permits += u64::from(view.in_use);
            left.queued += u64::from(view.waiting) + cell.waiting.len() as u64;
            left.attempts += view.endpoints.iter().map(|endpoint| u64::from(endpoint.in_flight)).sum::<u64>();
        }
        left
    }

    /// The least chosen endpoint's attempts of the most chosen one's, of equal weight in one service, before any fault.
    pub(crate) fn fairness(&self) -> f64 {
        let mut least = 1.0_f64;
        for behind in &self.services {
            let shares: Vec<f64> = behind
                .endpoints
                .iter()
                .zip(behind.instances.clone())
                .filter(|(spec, number)| !spec.backup && self.instances[*number as usize].is_lasting())
                .map(|(spec, number)| {
                    self.instances[number as usize].books.chosen_calm as f64 / f64::from(spec.weight.max(1))
                })
                .collect();
            let (low, high) =
                shares.iter().fold((f64::MAX, 0.0_f64), |(low, high), one| (low.min(*one), high.max(*one)));
            if high > 0.0 {
                least = least.min(low / high);
            }
        }
        least
    }
}
