//! What may be asked, and what is answered.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::command::{LeaseId, Revision};
use crate::span::Span;

/// A question for keys. A linearizable answer is the asker's care: it asks once it knows that the store is up to date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Which keys.
    pub span: Span,
    /// As of which revision; 0 or less means now.
    pub revision: Revision,
    /// How many keys at most, after sorting; 0 or less means all.
    pub limit: i64,
    /// In which order; by ascending key when there is none.
    pub order: Option<(SortBy, Order)>,
    /// The values are left out.
    pub keys_only: bool,
    /// Only the number is wanted.
    pub count_only: bool,
    /// Keys whose last change is older are left out; 0 for none.
    pub min_mod: Revision,
    /// Keys whose last change is younger are left out; 0 for none.
    pub max_mod: Revision,
    /// Keys that were made earlier are left out; 0 for none.
    pub min_create: Revision,
    /// Keys that were made later are left out; 0 for none.
    pub max_create: Revision,
}

impl Range {
    /// All of these keys as they are now, whole, in their order.
    #[must_use]
    pub fn all(span: Span) -> Self {
        Self {
            span,
            revision: 0,
            limit: 0,
            order: None,
            keys_only: false,
            count_only: false,
            min_mod: 0,
            max_mod: 0,
            min_create: 0,
            max_create: 0,
        }
    }
}

/// What keys are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SortBy {
    /// Their bytes.
    Key,
    /// How often they were changed since they were made.
    Version,
    /// When they were made.
    Create,
    /// When they were changed last.
    Mod,
    /// The bytes of their values.
    Value,
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// The least first.
    Ascending,
    /// The greatest first.
    Descending,
}

/// The answer to a [`Range`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The keys, at most as many as were wanted.
    pub kvs: Vec<KeyValue>,
    /// Whether the limit held some back.
    pub more: bool,
    /// How many there are in the span, whatever the limit and the filters on revisions, as etcd counts.
    pub count: i64,
}

/// A key at one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValue {
    /// Its name.
    pub key: Bytes,
    /// What it holds.
    pub value: Bytes,
    /// The revision at which it was made, since it was last deleted.
    pub create: Revision,
    /// The revision of its last change.
    pub modified: Revision,
    /// The number of its changes since it was made, from 1.
    pub version: i64,
    /// The lease it hangs on; 0 for none.
    pub lease: LeaseId,
}
