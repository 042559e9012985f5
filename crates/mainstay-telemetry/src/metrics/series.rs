//! Histograms by owner (a route or an endpoint), method and outcome.
//!
//! A dense table over every status would take half a megabyte for each route, nearly all of it empty. So the dense part
//! goes by owner and method, and each cell lists the few outcomes that came; the list is short and is walked from its
//! beginning. An upstream that invents statuses fills the list up to a ceiling and then counts under one word.

use mainstay_core::Duration;

use super::histogram::Histogram;
use crate::Method;

/// Distinct outcomes kept for one owner and method.
const OUTCOMES_MAX: usize = 32;

/// The outcome of all that found no room.
pub(crate) const OTHER_OUTCOME: u16 = u16::MAX;

/// One line of the table.
#[derive(Debug, Clone, Copy)]
struct Cell {
    outcome: u16,
    histogram: u32,
}

/// The histograms of one metric.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    /// By owner × number of methods + method.
    cells: Vec<Vec<Cell>>,
    histograms: Vec<Histogram>,
}

impl Series {
    pub(crate) fn observe(&mut self, owner: usize, method: Method, outcome: u16, duration: Duration) {
        self.at(owner * Method::ALL.len() + method.index(), outcome).observe(duration);
    }

    fn at(&mut self, row: usize, outcome: u16) -> &mut Histogram {
        if row >= self.cells.len() {
            self.cells.resize(row + 1, Vec::new());
        }
        let cells = &mut self.cells[row];
        let found = match cells.iter().find(|cell| cell.outcome == outcome) {
            Some(cell) => cell.histogram,
            None if cells.len() >= OUTCOMES_MAX && outcome != OTHER_OUTCOME => return self.at(row, OTHER_OUTCOME),
            None => {
                let histogram = self.histograms.len() as u32;
                cells.push(Cell { outcome, histogram });
                self.histograms.push(Histogram::default());
                histogram
            }
        };
        &mut self.histograms[found as usize]
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (row, cells) in other.cells.iter().enumerate() {
            for cell in cells {
                self.at(row, cell.outcome).merge(&other.histograms[cell.histogram as usize]);
            }
        }
    }

    /// Everything that was counted: owner, method, outcome, durations; sorted, so that a scrape looks like the last.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, Method, u16, &Histogram)> {
        self.cells.iter().enumerate().flat_map(move |(row, cells)| {
            let (owner, method) = (row / Method::ALL.len(), Method::ALL[row % Method::ALL.len()]);
            let mut cells: Vec<_> = cells.iter().collect();
            cells.sort_by_key(|cell| cell.outcome);
            cells.into_iter().map(move |cell| (owner, method, cell.outcome, &self.histograms[cell.histogram as usize]))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_that_invents_statuses_does_not_grow_the_table_for_ever() {
        let mut series = Series::default();
        for status in 200..600 {
            series.observe(1, Method::Get, status, Duration::from_millis(1));
        }
        let all: Vec<_> = series.iter().collect();
        assert_eq!(all.len(), OUTCOMES_MAX + 1);
        let total: u64 = all.iter().map(|(.., histogram)| histogram.count()).sum();
        assert_eq!(total, 400);
        let (owner, method, outcome, others) = all[OUTCOMES_MAX];
        assert_eq!((owner, method, outcome), (1, Method::Get, OTHER_OUTCOME));
        assert_eq!(others.count(), 400 - OUTCOMES_MAX as u64);
    }
}
