//! One picture of the services from what each worker sees.

use std::sync::Arc;

use mainstay_policy::ServiceView;

type Named = (Arc<str>, ServiceView);

/// Merges the workers' lists, each in the order of the configuration.
pub(crate) fn merge(views: Vec<Vec<Named>>) -> Vec<Named> {
    let mut all: Vec<Named> = Vec::new();
    for (name, view) in views.into_iter().flatten() {
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, merged)) => merged.merge(view),
            None => all.push((name, view)),
        }
    }
    all
}
