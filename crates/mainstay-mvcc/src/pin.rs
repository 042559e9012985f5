//! A hold on what the store remembers, for as long as somebody reads it piece by piece.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use crate::command::{LeaseId, Revision};

/// A view of the store at one revision that lasts while it is held: what a compaction forgets meanwhile stays until it is
/// dropped.
#[derive(Debug, Clone)]
pub struct Pin {
    pub(crate) view: Arc<View>,
}

#[derive(Debug)]
pub(crate) struct View {
    pub(crate) revision: Revision,
    pub(crate) compacted: Revision,
    pub(crate) leases: Vec<(LeaseId, i64)>,
}

impl Pin {
    /// The revision that is seen.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.view.revision
    }
}

/// A place that follows the store. What happened after it is not forgotten while it is held.
#[derive(Debug)]
pub struct Mark {
    passed: Arc<AtomicI64>,
}

impl Mark {
    /// Moves on: what happened up to this revision is needed no more.
    pub fn passed(&self, revision: Revision) {
        self.passed.store(revision, Relaxed);
    }
}

/// The pins and marks that are held.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    views: Vec<Weak<View>>,
    marks: Vec<Weak<AtomicI64>>,
}

impl Pins {
    pub(crate) fn add(&mut self, view: View) -> Pin {
        let view = Arc::new(view);
        self.views.retain(|view| view.strong_count() > 0);
        self.views.push(Arc::downgrade(&view));
        Pin { view }
    }

    pub(crate) fn mark(&mut self, revision: Revision) -> Mark {
        let passed = Arc::new(AtomicI64::new(revision));
        self.marks.retain(|mark| mark.strong_count() > 0);
        self.marks.push(Arc::downgrade(&passed));
        Mark { passed }
    }

    /// The oldest revision that somebody still wants to read.
    pub(crate) fn oldest(&self) -> Option<Revision> {
        let views = self.views.iter().filter_map(Weak::upgrade).map(|view| view.compacted);
        let marks = self.marks.iter().filter_map(Weak::upgrade).map(|passed| passed.load(Relaxed) + 1);
        views.chain(marks).min()
    }
}
