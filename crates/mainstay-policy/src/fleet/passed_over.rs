//! How many endpoints a choice left aside, and why: counts that the fleet has at hand, so that telling costs nothing.

use super::Fleet;

/// Endpoints that could not be chosen for an attempt, or not so often; each count stops at 255.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PassedOver {
    /// Ejected, or waiting for the probe that decides whether they come back.
    pub ejected: u8,
    /// Drained or ejected by an operator.
    pub ordered_out: u8,
    /// Left alone because they do not keep pace.
    pub limping: u8,
    /// New or back, with less than their share.
    pub warming: u8,
}

impl PassedOver {
    /// Whether every endpoint could be chosen.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

impl Fleet {
    pub(crate) fn passed_over(&self) -> PassedOver {
        let few = |count: u32| u8::try_from(count).unwrap_or(u8::MAX);
        let (all, out) = (self.endpoints.len() as u32, self.census.ordered_out);
        PassedOver {
            ejected: few(all.saturating_sub(self.census.ready + out)),
            ordered_out: few(out),
            limping: few(self.limping.len() as u32),
            warming: few(self.warming.len() as u32),
        }
    }
}
