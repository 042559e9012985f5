//! A key as the index holds it.
//!
//! A tree of keys compares on its way down, and each comparison with bytes that lie elsewhere is a miss of the cache. A
//! key of up to 30 bytes therefore lies in the tree itself and costs no memory of its own; a longer one is boxed.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;

use bytes::Bytes;

const INLINE: usize = 30;

#[derive(Clone)]
pub(crate) enum Key {
    Short { len: u8, bytes: [u8; INLINE] },
    Long(Box<[u8]>),
}

impl Key {
    pub(crate) fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.as_ref())
    }
}

impl From<&[u8]> for Key {
    fn from(key: &[u8]) -> Self {
        if key.len() > INLINE {
            return Self::Long(key.into());
        }
        let mut bytes = [0; INLINE];
        bytes[..key.len()].copy_from_slice(key);
        Self::Short { len: key.len() as u8, bytes }
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(bytes) => bytes,
        }
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self.as_ref()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_ref().cmp(other.as_ref())
    }
}

impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_ref().escape_ascii().to_string(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_bytes_wherever_they_lie() {
        assert_eq!(size_of::<Key>(), 32);
        for len in 0..80 {
            let bytes: Vec<u8> = (0..len).map(|i| 255 - i).collect();
            let key = Key::from(&bytes[..]);
            assert_eq!((key.as_ref(), &key.to_bytes()[..]), (&bytes[..], &bytes[..]));
        }
        assert!(Key::from(&[9; 30][..]) < Key::from(&[9; 31][..]));
        assert!(Key::from(&[9; 31][..]) < Key::from(&[10][..]));
    }
}
