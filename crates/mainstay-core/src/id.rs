//! Names for things that come and go.

use std::fmt;

/// One endpoint of one service: a slot, and the generation of what lives in it.
///
/// A slot is used again when an endpoint has left; the generation grows each time, so that news about the one that left
/// is never taken for news about the one that came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId {
    /// Position in the service's table of endpoints.
    pub slot: u32,
    /// How many endpoints have lived in the slot before.
    pub generation: u32,
}

impl fmt::Debug for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}.{}", self.slot, self.generation)
    }
}

/// One call, unique within its driver. It is also the counter from which the call's luck is drawn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}
