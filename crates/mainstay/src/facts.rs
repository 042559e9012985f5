//! What a call is, as far as decisions depend on it.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::OnceLock;

use mainstay_core::{Duration, MethodClass, Seed};
use mainstay_policy::Priority;

/// What a call is, as far as decisions depend on it: whether it may be made twice, how long it has, how much it matters,
/// and which key it belongs to. The value of [`Facts::default`] may not be made twice.
///
/// ```
/// use std::time::Duration;
/// use mainstay::{Facts, Priority};
///
/// let read = Facts::idempotent().within(Duration::from_millis(800));
/// let order = Facts::once().priority(Priority::Critical).key("customer-7");
/// # let _ = (read, order);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    pub(crate) method: MethodClass,
    pub(crate) idempotency_key: bool,
    pub(crate) within: Option<Duration>,
    pub(crate) priority: Priority,
    pub(crate) hash: u64,
    /// What its rate limits count it by.
    pub(crate) limit_key: Option<u64>,
    /// It cannot be sent twice, whatever became of the first time.
    pub(crate) single: bool,
}

impl Facts {
    /// A call that may be made twice: twice is the same as once, as with a read. It is repeated when an attempt fails, and
    /// hedged where hedges are on.
    #[must_use]
    pub const fn idempotent() -> Self {
        Self::of(MethodClass::Idempotent)
    }

    /// A call that must not be made twice, as a payment. It is repeated only when it is certain that nothing was sent.
    #[must_use]
    pub const fn once() -> Self {
        Self::of(MethodClass::NonIdempotent)
    }

    /// A call by an HTTP method: `GET`, `HEAD`, `OPTIONS`, `TRACE`, `PUT` and `DELETE` may be made twice (RFC 9110, section
    /// 9.2.2), all others not.
    #[must_use]
    pub fn of_method(method: &str) -> Self {
        Self::of(MethodClass::of(method.as_bytes()))
    }

    const fn of(method: MethodClass) -> Self {
        Self {
            method,
            idempotency_key: false,
            within: None,
            priority: Priority::Normal,
            hash: 0,
            limit_key: None,
            single: false,
        }
    }

    /// One attempt at the most, even if it was not sent: what is to be sent is gone after the first, such as a body that
    /// streams.
    #[must_use]
    pub const fn at_most_once(mut self) -> Self {
        self.single = true;
        self
    }

    /// The call carries a key by which the service itself knows its repeats. Where [`crate::RetrySettings`] say that the
    /// service honours it (`idempotency_key`), the call may be made twice.
    #[must_use]
    pub const fn with_idempotency_key(mut self) -> Self {
        self.idempotency_key = true;
        self
    }

    /// How long it has, all attempts, pauses and waits together. Default the service's, which is 15 s unless
    /// [`crate::Builder::within`] says otherwise. The shorter of the two counts.
    #[must_use]
    pub fn within(mut self, length: impl Into<Duration>) -> Self {
        self.within = Some(length.into());
        self
    }

    /// How much it matters when not all can be served. Default [`Priority::Normal`].
    #[must_use]
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// What it belongs to: calls with one key go to one endpoint where the balancing goes by keys
    /// ([`crate::Balance::RingHash`], [`crate::Balance::Maglev`]). Default none: all such calls have the same.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.hash = Seed::new(0).derive(key).get();
        self
    }

    /// What the rate limits of the service count it by ([`crate::Builder::rate_limit`]): a customer, a tenant. Default
    /// nothing: all such calls are counted together.
    #[must_use]
    pub fn counted_by(mut self, key: impl Hash) -> Self {
        // Nobody outside can know which keys meet in one slot.
        static SECRET: OnceLock<RandomState> = OnceLock::new();
        self.limit_key = Some(SECRET.get_or_init(RandomState::new).hash_one(key));
        self
    }
}

impl Default for Facts {
    fn default() -> Self {
        Self::once()
    }
}
