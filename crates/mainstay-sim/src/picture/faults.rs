//! The faults: bars with their names above the time lines, and bands through all of them.
//!
//! Spans of one kind at one target are one row with one name, so that an instance that comes and goes ten times is told
//! of once.

use std::collections::BTreeMap;

use super::paper::{Anchor, Area, Paper, width};
use super::scale::{RIGHT, Time};
use super::{MARGIN, SHEET};
use crate::report::FaultSpan;
use crate::words;

/// Rows of bars; what is left is a band without a name.
const ROWS_MAX: usize = 6;
/// Letters of a name.
const LETTERS_MAX: usize = 40;
const ROW: f64 = 20.0;
const BAR: f64 = 16.0;
/// Between a bar and what stands beside it.
const GAP: f64 = 6.0;

/// What one target suffered of one kind.
struct Group {
    name: String,
    spans: Vec<(f64, f64)>,
}

impl Group {
    /// Where the name stands: in its bar where there is room, else behind the last or before the first one.
    fn name_at(&self) -> (f64, Anchor) {
        let wide = width(&self.name);
        let (first, last) = (self.spans[0], self.spans[self.spans.len() - 1]);
        let roomy = self.spans.iter().find(|(from, to)| to - from >= wide + 2.0 * GAP);
        match roomy {
            Some((from, _)) => (from + GAP, Anchor::Start),
            None if last.1 + GAP + wide <= SHEET - MARGIN => (last.1 + GAP, Anchor::Start),
            None => (first.0 - GAP, Anchor::End),
        }
    }

    /// From the first to the last that is drawn of it, its name included.
    fn extent(&self) -> (f64, f64) {
        let wide = width(&self.name);
        let (from, to) = match self.name_at() {
            (x, Anchor::End) => (x - wide, x),
            (x, _) => (x, x + wide),
        };
        (from.min(self.spans[0].0), to.max(self.spans[self.spans.len() - 1].1))
    }
}

/// The faults of a play, laid out.
pub(super) struct Faults {
    rows: Vec<Vec<Group>>,
    bands: Vec<(f64, f64)>,
    unnamed: usize,
}

impl Faults {
    /// Groups, rows and bands.
    pub(super) fn new(time: Time, faults: &[FaultSpan]) -> Self {
        let mut rows: Vec<Vec<Group>> = Vec::new();
        let mut unnamed = 0;
        for group in groups(time, faults) {
            let free = |row: &Vec<Group>| row.last().is_none_or(|last| last.extent().1 + GAP <= group.extent().0);
            match rows.iter().position(free) {
                Some(row) => rows[row].push(group),
                None if rows.len() < ROWS_MAX => rows.push(vec![group]),
                None => unnamed += 1,
            }
        }
        let spans = faults.iter().map(|fault| span(time, fault));
        Self { rows, bands: union(spans.collect()), unnamed }
    }

    /// How high the rows are.
    pub(super) fn height(&self) -> f64 {
        self.rows.len() as f64 * ROW
    }

    /// Bands from the top to the bottom of all time lines.
    pub(super) fn draw_bands(&self, paper: &mut Paper, (top, bottom): (f64, f64)) {
        for &(from, to) in &self.bands {
            paper.area(Area { x: from, y: top, width: to - from, height: bottom - top }, "of-fault band");
            paper.upright(from, (top, bottom), "fault edge");
            paper.upright(to, (top, bottom), "fault edge");
        }
    }

    /// The rows, from `top` on.
    pub(super) fn draw_rows(&self, paper: &mut Paper, top: f64) {
        for (number, row) in self.rows.iter().enumerate() {
            let y = top + number as f64 * ROW;
            for group in row {
                for &(from, to) in &group.spans {
                    paper.area(Area { x: from, y, width: to - from, height: BAR }, "of-fault bar");
                }
                let (x, anchor) = group.name_at();
                paper.text((x, y + 12.0), "of-fault halo", anchor, &group.name);
            }
        }
        if self.unnamed > 0 {
            let text = format!("and {} more", words::count(self.unnamed as u64));
            paper.text((RIGHT + GAP, top + self.height() - ROW + 12.0), "of-fault", Anchor::Start, &text);
        }
    }
}

/// In the order in which they begin.
fn groups(time: Time, faults: &[FaultSpan]) -> Vec<Group> {
    let mut named: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for fault in faults {
        let name = words::clipped(&format!("{} {}", fault.kind, fault.target), LETTERS_MAX);
        named.entry(name).or_default().push(span(time, fault));
    }
    let mut groups: Vec<_> = named.into_iter().map(|(name, spans)| Group { name, spans: union(spans) }).collect();
    groups.sort_by(|one, other| one.spans[0].0.total_cmp(&other.spans[0].0));
    groups
}

/// From where to where; never too narrow to be seen.
fn span(time: Time, fault: &FaultSpan) -> (f64, f64) {
    let (from, to) = (time.x(fault.from_second), time.x(fault.to_second));
    let from = from.min(RIGHT - 2.0);
    (from, to.max(from + 2.0))
}

/// Spans that touch become one.
fn union(mut spans: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    spans.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut joined: Vec<(f64, f64)> = Vec::new();
    for (from, to) in spans {
        match joined.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: &str, target: &str, from_second: f64, to_second: f64) -> FaultSpan {
        FaultSpan { kind: kind.to_owned(), target: target.to_owned(), from_second, to_second }
    }

    #[test]
    fn an_instance_that_comes_and_goes_is_told_of_once() {
        let faults: Vec<_> =
            (0..10).map(|n| f64::from(n) * 5.0).map(|at| fault("crash", "shop/0", at, at + 1.0)).collect();
        let laid = Faults::new(Time::new(60), &faults);
        assert_eq!((laid.rows.len(), laid.rows[0].len(), laid.bands.len()), (1, 1, 10));
    }

    #[test]
    fn names_never_cover_each_other() {
        let faults: Vec<_> =
            (0..40).map(|n| fault("slow", &format!("shop/{n}"), f64::from(n), f64::from(n) + 1.0)).collect();
        let laid = Faults::new(Time::new(60), &faults);
        for row in &laid.rows {
            assert!(row.is_sorted_by(|one, next| one.extent().1 < next.extent().0));
        }
        let named: usize = laid.rows.iter().map(Vec::len).sum();
        assert_eq!(named + laid.unnamed, 40);
        assert_eq!(laid.bands.len(), 1, "bands that touch are one");
    }
}
