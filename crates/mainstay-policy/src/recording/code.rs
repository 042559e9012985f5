//! How values are written down: numbers in as few bytes as they need, time from the moment of the event, words by number.
//!
//! A number that the format does not know, a list that would be longer than what is left of the bytes, a share above
//! one: [`Wrong`], never a panic, and never more memory than a few times the bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use mainstay_core::{
    Bytes, CallId, Certainty, Duration, EndpointId, Failure, Instant, Limit, MethodClass, Origin, Ratio, Seed,
};

/// Bytes that are no recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// They end in the middle of something.
    Short,
    /// A number stands for nothing.
    Unknown,
}

/// A difference as a number that is small where the difference is, on either side.
pub(crate) const fn folded(difference: i64) -> u64 {
    ((difference << 1) ^ (difference >> 63)) as u64
}

/// The difference that was folded into this.
pub(crate) const fn unfolded(folded: u64) -> i64 {
    (folded >> 1) as i64 ^ -((folded & 1) as i64)
}

/// Where values are written to.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) base: Base,
}

/// Where values are read from.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    pub(crate) base: Base,
}

/// What the next values are written as a difference to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) now: Instant,
    pub(crate) call: u64,
    pub(crate) heard: [u64; 7],
}

/// A value that can be written down and read again.
pub(crate) trait Code: Sized {
    fn write(&self, to: &mut Writer);
    /// # Errors
    /// The bytes stand for no such value.
    fn read(from: &mut Reader<'_>) -> Result<Self, Wrong>;
}

impl Writer {
    pub(crate) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// A number that lies near another.
    pub(crate) fn near(&mut self, value: u64, other: u64) {
        self.number(folded(value.wrapping_sub(other) as i64));
    }

    pub(crate) fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], base: Base) -> Self {
        Self { bytes, at: 0, base }
    }

    /// Bytes that are read.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Wrong> {
        let byte = *self.bytes.get(self.at).ok_or(Wrong::Short)?;
        self.at += 1;
        Ok(byte)
    }

    pub(crate) fn number(&mut self) -> Result<u64, Wrong> {
        let mut value = 0;
        for place in 0..10 {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            // The tenth has room for one bit.
            if place == 9 && part > 1 {
                return Err(Wrong::Unknown);
            }
            value |= part << (7 * place);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Wrong::Unknown)
    }

    pub(crate) fn near(&mut self, other: u64) -> Result<u64, Wrong> {
        Ok(other.wrapping_add(unfolded(self.number()?) as u64))
    }

    /// How many follow: each takes a byte at the least.
    pub(crate) fn count(&mut self) -> Result<usize, Wrong> {
        let count = usize::try_from(self.number()?).map_err(|_| Wrong::Unknown)?;
        if count > self.left() { Err(Wrong::Short) } else { Ok(count) }
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], Wrong> {
        let end = self.at.checked_add(length).ok_or(Wrong::Short)?;
        let slice = self.bytes.get(self.at..end).ok_or(Wrong::Short)?;
        self.at = end;
        Ok(slice)
    }
}

/// Types whose values are those of their parts, one after the other.
macro_rules! coded {
    (struct $name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::recording::Code for $name {
            fn write(&self, to: &mut $crate::recording::Writer) {
                let Self { $($field),* } = self;
                $($crate::recording::Code::write($field, to);)*
            }

            fn read(from: &mut $crate::recording::Reader<'_>) -> Result<Self, $crate::recording::Wrong> {
                Ok(Self { $($field: $crate::recording::Code::read(from)?),* })
            }
        }
    };
    (enum $name:ident { $($number:literal => $variant:ident
        $({ $($field:ident),* })? $(( $($part:ident),* ))?),* $(,)? }) => {
        impl $crate::recording::Code for $name {
            fn write(&self, to: &mut $crate::recording::Writer) {
                match self {
                    $(Self::$variant $({ $($field),* })? $(( $($part),* ))? => {
                        to.byte($number);
                        $($($crate::recording::Code::write($field, to);)*)?
                        $($($crate::recording::Code::write($part, to);)*)?
                    })*
                }
            }

            fn read(from: &mut $crate::recording::Reader<'_>) -> Result<Self, $crate::recording::Wrong> {
                match from.byte()? {
                    $($number => Ok(Self::$variant
                        $({ $($field: $crate::recording::Code::read(from)?),* })?
                        $(( $({ let $part = $crate::recording::Code::read(from)?; $part }),* ))?),)*
                    _ => Err($crate::recording::Wrong::Unknown),
                }
            }
        }
    };
}
pub(crate) use coded;

macro_rules! numbers {
    ($($name:ty),*) => {
        $(impl Code for $name {
            fn write(&self, to: &mut Writer) {
                to.number(u64::from(*self));
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
                <$name>::try_from(from.number()?).map_err(|_| Wrong::Unknown)
            }
        })*
    };
}
numbers!(u16, u32, u64);

impl Code for u8 {
    fn write(&self, to: &mut Writer) {
        to.byte(*self);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        from.byte()
    }
}

impl Code for i64 {
    fn write(&self, to: &mut Writer) {
        to.near(*self as u64, 0);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        from.near(0).map(|value| value as i64)
    }
}

impl Code for bool {
    fn write(&self, to: &mut Writer) {
        to.byte(u8::from(*self));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        match from.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Wrong::Unknown),
        }
    }
}

/// To the last bit.
impl Code for f64 {
    fn write(&self, to: &mut Writer) {
        to.bytes.extend_from_slice(&self.to_bits().to_le_bytes());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        let bits = from.slice(8)?.try_into().map_err(|_| Wrong::Short)?;
        Ok(Self::from_bits(u64::from_le_bytes(bits)))
    }
}

impl<T: Code> Code for Option<T> {
    fn write(&self, to: &mut Writer) {
        self.is_some().write(to);
        if let Some(value) = self {
            value.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        Ok(if bool::read(from)? { Some(T::read(from)?) } else { None })
    }
}

impl<T: Code> Code for Vec<T> {
    fn write(&self, to: &mut Writer) {
        to.number(self.len() as u64);
        self.iter().for_each(|value| value.write(to));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        // The room grows with what is there, not with what is promised.
        (0..from.count()?).map(|_| T::read(from)).collect()
    }
}

impl<T: Code + Copy + Default, const N: usize> Code for [T; N] {
    fn write(&self, to: &mut Writer) {
        self.iter().for_each(|value| value.write(to));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        let mut values = [T::default(); N];
        for value in &mut values {
            *value = T::read(from)?;
        }
        Ok(values)
    }
}

impl<T: Code> Code for Arc<T> {
    fn write(&self, to: &mut Writer) {
        T::write(self, to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        T::read(from).map(Self::new)
    }
}

impl<T: Code> Code for Box<T> {
    fn write(&self, to: &mut Writer) {
        T::write(self, to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        T::read(from).map(Self::new)
    }
}

impl Code for Arc<str> {
    fn write(&self, to: &mut Writer) {
        to.number(self.len() as u64);
        to.bytes.extend_from_slice(self.as_bytes());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        let length = from.count()?;
        std::str::from_utf8(from.slice(length)?).map(Into::into).map_err(|_| Wrong::Unknown)
    }
}

/// From the moment of the event: what lies near it is short, and "never" is as long as a number can be.
impl Code for Instant {
    fn write(&self, to: &mut Writer) {
        to.near(self.as_nanos(), to.base.now.as_nanos());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        from.near(from.base.now.as_nanos()).map(Self::from_nanos)
    }
}

impl Code for Duration {
    fn write(&self, to: &mut Writer) {
        to.number(self.as_nanos());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        from.number().map(Self::from_nanos)
    }
}

/// From the call that was named last.
impl Code for CallId {
    fn write(&self, to: &mut Writer) {
        to.near(self.0, to.base.call);
        to.base.call = self.0;
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        let id = from.near(from.base.call)?;
        from.base.call = id;
        Ok(Self(id))
    }
}

impl Code for Seed {
    fn write(&self, to: &mut Writer) {
        to.bytes.extend_from_slice(&self.get().to_le_bytes());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        let bytes = from.slice(8)?.try_into().map_err(|_| Wrong::Short)?;
        Ok(Self::new(u64::from_le_bytes(bytes)))
    }
}

impl Code for Ratio {
    fn write(&self, to: &mut Writer) {
        self.get().write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        Self::new(f64::read(from)?).map_err(|_| Wrong::Unknown)
    }
}

impl Code for Bytes {
    fn write(&self, to: &mut Writer) {
        to.number(self.0);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        from.number().map(Self)
    }
}

impl Code for SocketAddr {
    fn write(&self, to: &mut Writer) {
        match self {
            Self::V4(address) => {
                to.byte(4);
                to.bytes.extend_from_slice(&address.ip().octets());
            }
            Self::V6(address) => {
                to.byte(6);
                to.bytes.extend_from_slice(&address.ip().octets());
                to.number(address.scope_id().into());
            }
        }
        self.port().write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        let (ip, scope) = match from.byte()? {
            4 => (IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(from.slice(4)?).map_err(|_| Wrong::Short)?)), 0),
            6 => {
                let octets = <[u8; 16]>::try_from(from.slice(16)?).map_err(|_| Wrong::Short)?;
                (IpAddr::V6(Ipv6Addr::from(octets)), u32::read(from)?)
            }
            _ => return Err(Wrong::Unknown),
        };
        let mut address = Self::new(ip, u16::read(from)?);
        if let Self::V6(address) = &mut address {
            address.set_scope_id(scope);
        }
        Ok(address)
    }
}

impl Code for (u16, u16) {
    fn write(&self, to: &mut Writer) {
        self.0.write(to);
        self.1.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        Ok((u16::read(from)?, u16::read(from)?))
    }
}

impl<T: Code> Code for Limit<T> {
    fn write(&self, to: &mut Writer) {
        match self {
            Self::Unlimited => to.byte(0),
            Self::At(limit) => {
                to.byte(1);
                limit.write(to);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        Ok(if bool::read(from)? { Self::At(T::read(from)?) } else { Self::Unlimited })
    }
}

coded! { struct EndpointId { slot, generation } }
coded! { enum Certainty { 0 => NotSent, 1 => Unknown, 2 => Applied } }
coded! { enum MethodClass { 0 => Safe, 1 => Idempotent, 2 => NonIdempotent } }
coded! { enum Origin { 0 => Client, 1 => Us, 2 => Upstream } }
coded! { enum Failure {
    0 => Refused, 1 => Unreachable, 2 => ConnectTimeout, 3 => Reset, 4 => Timeout, 5 => Malformed, 6 => Status(status),
} }
