//! What is wrong with a command whatever the store holds, so that nobody need agree on it.
//!
//! A transaction may change a key only once: it may not set a key twice, nor set one that it also deletes. Only what can
//! be done together counts: the two branches of a transaction do not. A transaction within is read before the list
//! around it, in etcd's order: a key may be set by one and deleted by a later one of two that lie side by side. Nor does a
//! deletion without an end clash with a key that is set whole, as etcd has it: "delete all and set this" is a
//! transaction that its clients send.

use std::collections::BTreeMap;

use crate::command::{Command, Compare, Op, Put, Refused, Txn};
use crate::span::{End, Span};

/// How deep a transaction may lie in others.
pub(crate) const DEPTH_MAX: usize = 64;

/// The longest lease, in seconds: 285 years, as etcd has it.
const TTL_MAX: i64 = 9_000_000_000;

impl Command {
    /// Whether there is something wrong with it whatever the store holds.
    ///
    /// # Errors
    /// There is, and a store would refuse it.
    pub fn check(&self) -> Result<(), Refused> {
        match self {
            Self::Put(put) => put.check(),
            Self::Delete(delete) => named(&delete.span.from),
            Self::Txn(txn) => txn.check(),
            Self::Grant { ttl, .. } if *ttl > TTL_MAX => Err(Refused::LeaseTooLong),
            Self::Compact(_) | Self::Grant { .. } | Self::Revoke(_) | Self::Expire(_) => Ok(()),
        }
    }
}

impl Put {
    fn check(&self) -> Result<(), Refused> {
        named(&self.key)
    }

    /// Whether something of the key shall stay as it is.
    pub(crate) fn keeps(&self) -> bool {
        self.value.is_none() || self.lease.is_none()
    }
}

impl Txn {
    /// Whether there is something wrong with it whatever the store holds: see [`Command::check`].
    ///
    /// # Errors
    /// There is, and a store would refuse it.
    pub fn check(&self) -> Result<(), Refused> {
        self.check_names(DEPTH_MAX)?;
        if self.changes_little() {
            return Ok(());
        }
        Changes::of(&self.then)?;
        Changes::of(&self.otherwise)?;
        Ok(())
    }

    fn check_names(&self, depth: usize) -> Result<(), Refused> {
        let depth = depth.checked_sub(1).ok_or(Refused::TooDeep)?;
        self.when.iter().try_for_each(|Compare { span, .. }| named(&span.from))?;
        self.then.iter().chain(&self.otherwise).try_for_each(|op| match op {
            Op::Range(range) => named(&range.span.from),
            Op::Put(put) => put.check(),
            Op::Delete(delete) => named(&delete.span.from),
            Op::Txn(txn) => txn.check_names(depth),
        })
    }

    /// With no transaction within and at most one change in each branch there is nothing to clash.
    fn changes_little(&self) -> bool {
        let changes = |ops: &[Op]| {
            let number = |op: &Op| match op {
                Op::Range(_) => 0,
                Op::Put(_) | Op::Delete(_) => 1,
                Op::Txn(_) => 2,
            };
            ops.iter().map(number).sum::<u32>()
        };
        changes(&self.then) < 2 && changes(&self.otherwise) < 2
    }
}

fn named(key: &[u8]) -> Result<(), Refused> {
    if key.is_empty() { Err(Refused::EmptyKey) } else { Ok(()) }
}

/// What a list of things sets and deletes.
#[derive(Default)]
struct Changes<'a> {
    /// By key, and whether something of it stays as it is.
    puts: BTreeMap<&'a [u8], bool>,
    deletes: Vec<&'a Span>,
}

impl<'a> Changes<'a> {
    fn of(ops: &'a [Op]) -> Result<Self, Refused> {
        let mut changes = Self::default();
        changes.deletes.extend(ops.iter().filter_map(|op| match op {
            Op::Delete(delete) => Some(&delete.span),
            _ => None,
        }));
        for op in ops {
            if let Op::Txn(txn) = op {
                changes.within(txn)?;
            }
        }
        for op in ops {
            if let Op::Put(put) = op {
                changes.put(&put.key, put.keeps())?;
            }
        }
        Ok(changes)
    }

    /// What either branch of a transaction does counts; both may set the same key.
    fn within(&mut self, txn: &'a Txn) -> Result<(), Refused> {
        let then = Self::of(&txn.then)?;
        let otherwise = Self::of(&txn.otherwise)?;
        let mut puts = then.puts;
        for (key, keeps) in otherwise.puts {
            *puts.entry(key).or_default() |= keeps;
        }
        puts.into_iter().try_for_each(|(key, keeps)| self.put(key, keeps))?;
        self.deletes.extend(then.deletes.into_iter().chain(otherwise.deletes));
        Ok(())
    }

    fn put(&mut self, key: &'a [u8], keeps: bool) -> Result<(), Refused> {
        let deleted = self.deletes.iter().any(|span| span.contains(key) && (keeps || span.end != End::Open));
        let clash = deleted || self.puts.insert(key, keeps).is_some();
        if clash { Err(Refused::DuplicateKey) } else { Ok(()) }
    }
}
