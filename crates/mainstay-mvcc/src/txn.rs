//! Transactions: compare, then do one of two lists of things, as one.
//!
//! All comparisons, those of the transactions within too, are made on what was there before the first write; then all
//! that can be refused is looked at; then it is done. What reads within it sees what was written before it.

use crate::command::{Compare, Op, Refused, Relation, Response, Target, Txn, TxnDone};
use crate::frozen::{State, Write};
use crate::store::Store;

/// Which branches a transaction and, in their order, those within the branch take.
struct Path {
    succeeded: bool,
    within: Vec<Path>,
}

impl Store {
    pub(crate) fn transact(&mut self, txn: &Txn, writes: &mut u32) -> Result<TxnDone, Refused> {
        let path = self.path(txn);
        self.check_puts(txn, &path)?;
        self.check_ranges(txn, &path)?;
        Ok(self.follow(txn, &path, writes))
    }

    fn path(&self, txn: &Txn) -> Path {
        let succeeded = txn.when.iter().all(|compare| self.holds(compare));
        let within = within(txn.branch(succeeded)).map(|txn| self.path(txn)).collect();
        Path { succeeded, within }
    }

    fn holds(&self, compare: &Compare) -> bool {
        let mut any = false;
        let all = self.index().range(&compare.span).filter_map(|(_, chain)| chain.at(self.revision())).all(|write| {
            any = true;
            compare.holds_for(write)
        });
        if any { all } else { compare.holds_for_none() }
    }

    fn check_puts(&self, txn: &Txn, path: &Path) -> Result<(), Refused> {
        let mut paths = path.within.iter();
        txn.branch(path.succeeded).iter().try_for_each(|op| match op {
            Op::Put(put) => self.check_key(put).and_then(|()| self.check_lease(put)),
            Op::Txn(txn) => paths.next().map_or(Ok(()), |path| self.check_puts(txn, path)),
            Op::Range(_) | Op::Delete(_) => Ok(()),
        })
    }

    fn check_ranges(&self, txn: &Txn, path: &Path) -> Result<(), Refused> {
        let mut paths = path.within.iter();
        txn.branch(path.succeeded).iter().try_for_each(|op| match op {
            Op::Range(range) => self.readable(range.revision, self.revision()).map(drop),
            Op::Txn(txn) => paths.next().map_or(Ok(()), |path| self.check_ranges(txn, path)),
            Op::Put(_) | Op::Delete(_) => Ok(()),
        })
    }

    fn follow(&mut self, txn: &Txn, path: &Path, writes: &mut u32) -> TxnDone {
        let mut paths = path.within.iter();
        let mut done = TxnDone { succeeded: path.succeeded, responses: Vec::new() };
        for op in txn.branch(path.succeeded) {
            done.responses.push(match op {
                Op::Range(range) => {
                    let current = self.revision() + i64::from(*writes > 0);
                    Response::Range(self.range_within(range, current).unwrap_or_default())
                }
                Op::Put(put) => Response::Put(self.set(put, writes)),
                Op::Delete(delete) => Response::Deleted(self.delete(delete, writes)),
                Op::Txn(txn) => Response::Txn(match paths.next() {
                    Some(path) => self.follow(txn, path, writes),
                    None => TxnDone::default(),
                }),
            });
        }
        done
    }
}

impl Txn {
    fn branch(&self, succeeded: bool) -> &[Op] {
        if succeeded { &self.then } else { &self.otherwise }
    }
}

fn within(ops: &[Op]) -> impl Iterator<Item = &Txn> {
    ops.iter().filter_map(|op| match op {
        Op::Txn(txn) => Some(txn),
        _ => None,
    })
}

impl Compare {
    fn holds_for(&self, write: &Write) -> bool {
        match &self.target {
            Target::Value(value) => self.relation.holds(write.value(), &value[..]),
            _ => self.holds_for_numbers(write.state(), write.main),
        }
    }

    /// A missing key's numbers are 0. It has no value to compare: an empty one would be another thing.
    fn holds_for_none(&self) -> bool {
        !matches!(self.target, Target::Value(_)) && self.holds_for_numbers(State::default(), 0)
    }

    fn holds_for_numbers(&self, state: State, modified: i64) -> bool {
        match &self.target {
            Target::Version(version) => self.relation.holds(&state.version, version),
            Target::Create(revision) => self.relation.holds(&state.create, revision),
            Target::Mod(revision) => self.relation.holds(&modified, revision),
            Target::Lease(lease) => self.relation.holds(&state.lease, lease),
            Target::Value(_) => false,
        }
    }
}

impl Relation {
    fn holds<T: Ord + ?Sized>(self, own: &T, given: &T) -> bool {
        match self {
            Self::Equal => own == given,
            Self::Greater => own > given,
            Self::Less => own < given,
            Self::NotEqual => own != given,
        }
    }
}
