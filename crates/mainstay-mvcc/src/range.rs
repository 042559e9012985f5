//! Reading: which keys a question finds.

use std::cmp::Reverse;

use crate::command::{Refused, Revision};
use crate::frozen::Write;
use crate::read::{Found, KeyValue, Order, Range, SortBy};
use crate::store::Store;

impl Store {
    /// Answers a question. Keys that sort alike come in the order of their names.
    ///
    /// # Errors
    /// The revision is not there.
    pub fn range(&self, range: &Range) -> Result<Found, Refused> {
        self.range_within(range, self.revision())
    }

    /// Answers a question to one for whom the store stands at this revision.
    pub(crate) fn range_within(&self, range: &Range, current: Revision) -> Result<Found, Refused> {
        let revision = self.readable(range.revision, current)?;
        let mut found = Found::default();
        let living = self.index().range(&range.span).filter_map(|(_, chain)| chain.at(revision));
        if range.count_only {
            found.count = living.count() as i64;
            return Ok(found);
        }
        let limit = usize::try_from(range.limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let by_name = matches!(range.order, None | Some((SortBy::Key, Order::Ascending)));
        let mut matches = Vec::new();
        let mut more = false;
        for write in living {
            found.count += 1;
            if by_name && more {
                continue;
            }
            if !range.wants(write) {
                continue;
            }
            more = matches.len() >= limit;
            if !(by_name && more) {
                matches.push(write);
            }
        }
        if let Some((by, order)) = range.order.filter(|_| !by_name) {
            sort(&mut matches, by, order);
        }
        matches.truncate(limit);
        found.more = more;
        found.kvs = matches.into_iter().map(|write| range.shown(write)).collect();
        Ok(found)
    }

    /// The revision that is meant, if it can be read.
    pub(crate) fn readable(&self, revision: Revision, current: Revision) -> Result<Revision, Refused> {
        if revision <= 0 {
            Ok(current)
        } else if revision > current {
            Err(Refused::Future { at: current })
        } else if revision < self.compacted() {
            Err(Refused::Compacted { at: self.compacted() })
        } else {
            Ok(revision)
        }
    }
}

impl Range {
    fn wants(&self, write: &Write) -> bool {
        let within = |at: Revision, min: Revision, max: Revision| (min == 0 || at >= min) && (max == 0 || at <= max);
        let made = || within(write.state().create, self.min_create, self.max_create);
        let any_make = self.min_create == 0 && self.max_create == 0;
        within(write.main, self.min_mod, self.max_mod) && (any_make || made())
    }

    fn shown(&self, write: &Write) -> KeyValue {
        if self.keys_only { write.without_value() } else { write.key_value() }
    }
}

/// Sorts what is in the order of its names, and leaves what sorts alike in it.
fn sort(writes: &mut [&Write], by: SortBy, order: Order) {
    match (by, order) {
        (SortBy::Key, Order::Ascending) => {}
        (SortBy::Key, Order::Descending) => writes.reverse(),
        (SortBy::Value, Order::Ascending) => writes.sort_by(|a, b| a.value().cmp(b.value())),
        (SortBy::Value, Order::Descending) => writes.sort_by(|a, b| b.value().cmp(a.value())),
        (_, Order::Ascending) => writes.sort_by_cached_key(|write| number(write, by)),
        (_, Order::Descending) => writes.sort_by_cached_key(|write| Reverse(number(write, by))),
    }
}

fn number(write: &Write, by: SortBy) -> i64 {
    match by {
        SortBy::Version => write.state().version,
        SortBy::Create => write.state().create,
        SortBy::Mod | SortBy::Key | SortBy::Value => write.main,
    }
}
