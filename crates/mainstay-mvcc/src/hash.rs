//! A checksum of the data that is taken while commands go on.

use mainstay_core::Crc;

use crate::command::Revision;
use crate::pin::Pin;

/// A checksum of the data that is being taken while commands go on.
#[derive(Debug)]
pub struct Hashing {
    pub(crate) revision: Revision,
    pub(crate) pin: Pin,
    pub(crate) after: Option<Vec<u8>>,
    pub(crate) crc: Crc,
}

impl Hashing {
    /// Up to which revision it is taken.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The oldest revision that it counts.
    #[must_use]
    pub fn compacted(&self) -> Revision {
        self.pin.view.compacted
    }
}
