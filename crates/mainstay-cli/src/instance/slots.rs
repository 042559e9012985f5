//! Slots: how many requests are worked on at once, and how many may wait for that.
//!
//! A service with a few workers and a bounded queue is what most services are; what comes when the queue is full is
//! refused at once, so that an overload shows as refusals and not as an endless wait.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

/// The slots of one instance.
#[derive(Debug)]
pub(crate) struct Slots {
    free: Semaphore,
    waiting: AtomicUsize,
    queue: usize,
}

impl Slots {
    /// So many slots, and so many that may wait for one.
    pub(crate) fn new(concurrency: usize, queue: usize) -> Self {
        Self { free: Semaphore::new(concurrency.min(Semaphore::MAX_PERMITS)), waiting: AtomicUsize::new(0), queue }
    }

    /// A slot, at once or after a wait; none when too many wait already.
    pub(crate) async fn take(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(permit) = self.free.try_acquire() {
            return Some(permit);
        }
        let _place = Place::take(self)?;
        // The semaphore is never closed, so this waits for a permit and nothing else.
        self.free.acquire().await.ok()
    }
}

/// A place in the queue, given up when the wait ends, however it ends.
struct Place<'a>(&'a Slots);

impl<'a> Place<'a> {
    fn take(slots: &'a Slots) -> Option<Self> {
        let place = Self(slots);
        (slots.waiting.fetch_add(1, Ordering::Relaxed) < slots.queue).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_works_one_waits_and_the_third_is_refused() {
        let slots = Slots::new(1, 1);
        let working = slots.take().await.unwrap();
        let mut waiting = Box::pin(slots.take());
        assert!(futures_now(&mut waiting).await.is_none());
        assert!(slots.take().await.is_none());
        drop(working);
        assert!(waiting.await.is_some());
        assert!(slots.take().await.is_some(), "whoever was refused or done holds no place");
    }

    /// What a future has to say at once.
    async fn futures_now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|context| match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
            std::task::Poll::Pending => std::task::Poll::Ready(None),
        })
        .await
    }
}
