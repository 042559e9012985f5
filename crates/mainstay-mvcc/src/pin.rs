//! A hold on what the store remembers, for as long as somebody reads it piece by piece.

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

/// The pins that are held.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    views: Vec<Weak<View>>,
}

impl Pins {
    pub(crate) fn add(&mut self, view: View) -> Pin {
        let view = Arc::new(view);
        self.views.retain(|view| view.strong_count() > 0);
        self.views.push(Arc::downgrade(&view));
        Pin { view }
    }

    /// The oldest revision that somebody still wants to read.
    pub(crate) fn oldest(&self) -> Option<Revision> {
        self.views.iter().filter_map(Weak::upgrade).map(|view| view.compacted).min()
    }
}
