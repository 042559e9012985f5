//! What time it is, and how to wait.
//!
//! Decisions depend on no clock: a service is given one. [`TokioTime`] waits on tokio's timer and is the default;
//! [`ThreadTime`] keeps the time with a thread of its own and needs no runtime; [`VirtualTime`] jumps from one event to
//! the next, so that a test of a minute takes none. Another runtime needs two functions ([`Time`]).

mod thread;
#[cfg(feature = "tokio")]
mod tokio;
mod virtually;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use mainstay_core::Instant;
use pin_project_lite::pin_project;

pub use self::thread::ThreadTime;
#[cfg(feature = "tokio")]
pub use self::tokio::TokioTime;
pub use self::virtually::VirtualTime;

/// A clock that only goes forward, and a way to wait for a moment of it.
pub trait Time: fmt::Debug + Send + Sync {
    /// What time it is. Its beginning is the clock's own affair; it never runs backwards.
    fn now(&self) -> Instant;

    /// Waits until `at`, and not a moment less. An instant that has passed is over at once.
    fn sleep_until(&self, at: Instant) -> Sleep;
}

#[cfg(feature = "tokio")]
type OnTokio = ::tokio::time::Sleep;
#[cfg(not(feature = "tokio"))]
type OnTokio = std::future::Pending<()>;

pin_project! {
    /// A wait. It is over when it is ready; dropped, it is forgotten.
    pub struct Sleep {
        #[pin]
        on_tokio: Option<OnTokio>,
        boxed: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    }
}

impl Sleep {
    /// A wait that is over when `future` is. Takes memory for it; tokio's own sleep needs none.
    pub fn new(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { on_tokio: None, boxed: Some(Box::pin(future)) }
    }

    #[cfg(feature = "tokio")]
    const fn on_tokio(sleep: OnTokio) -> Self {
        Self { on_tokio: Some(sleep), boxed: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if let Some(sleep) = this.on_tokio.as_pin_mut() {
            return sleep.poll(cx).map(|_| ());
        }
        this.boxed.as_mut().map_or(Poll::Ready(()), |boxed| boxed.as_mut().poll(cx))
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").finish_non_exhaustive()
    }
}

/// The clock of a service that was given none.
pub(crate) fn default_time() -> Arc<dyn Time> {
    #[cfg(feature = "tokio")]
    return Arc::new(TokioTime::new());
    #[cfg(not(feature = "tokio"))]
    return Arc::new(ThreadTime::new());
}
