//! An answer in the place of one that is missing.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::Why;
use crate::classify::{AnyError, Classify};

/// Answers when a future fails: with a constant, with something kept. It is to be at hand.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// use mainstay::alone::Fallback;
///
/// let fallback = Fallback::new(|_lost: Result<u32, &str>| Ok(0));
/// assert_eq!(fallback.call(async { Err("its disk is full") }).await, Ok(0));
/// assert_eq!(fallback.call(async { Ok(7) }).await, Ok(7));
/// # Ok(()) })
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Fallback<K> {
    answer: K,
}

impl<K> Fallback<K> {
    /// `answer` is given the result that is to be replaced, and may give it back.
    pub const fn new(answer: K) -> Self {
        Self { answer }
    }

    /// Waits for `future`, and answers in its place when it gives an error.
    pub const fn call<F, T, E>(&self, future: F) -> Falling<'_, F, K, AnyError>
    where
        F: Future<Output = Result<T, E>>,
        K: Fn(Result<T, E>) -> Result<T, E>,
    {
        self.call_classified(future, AnyError)
    }

    /// The same, where `classify` says what a result means: what is the caller's own fault stays, and an answer that is a
    /// failure of who gave it is replaced. As everywhere, an answer that says that there were too many calls is none.
    pub const fn call_classified<F, T, E, C>(&self, future: F, classify: C) -> Falling<'_, F, K, C>
    where
        F: Future<Output = Result<T, E>>,
        K: Fn(Result<T, E>) -> Result<T, E>,
        C: Classify<T, E>,
    {
        Falling { answer: &self.answer, classify, future }
    }
}

pin_project! {
    /// A future with an answer in its place.
    #[derive(Debug)]
    #[must_use = "a future does nothing unless it is polled"]
    pub struct Falling<'k, F, K, C> {
        answer: &'k K,
        classify: C,
        #[pin]
        future: F,
    }
}

impl<F, K, C, T, E> Future for Falling<'_, F, K, C>
where
    F: Future<Output = Result<T, E>>,
    K: Fn(Result<T, E>) -> Result<T, E>,
    C: Classify<T, E>,
{
    type Output = Result<T, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.future.poll(cx));
        let is_missing = Why::of(this.classify.classify(&result)).is_some();
        Poll::Ready(if is_missing { (this.answer)(result) } else { result })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::Verdict;
    use crate::time::VirtualTime;

    #[test]
    fn what_is_the_callers_own_fault_stays() {
        let fallback = Fallback::new(|_: Result<&str, &str>| Ok("kept"));
        let classify = |result: &Result<&str, &str>| match result {
            Ok("busy") => Verdict::Answered { status: 429, retry_after: None },
            Ok("broken") => Verdict::Answered { status: 500, retry_after: None },
            Err("not found") | Ok(_) => Verdict::Good,
            Err(_) => Verdict::UNKNOWN,
        };
        let answer = |result| VirtualTime::new().run(fallback.call_classified(async move { result }, classify));
        assert_eq!(answer(Err("not found")), Err("not found"));
        assert_eq!(answer(Err("lost")), Ok("kept"));
        assert_eq!((answer(Ok("broken")), answer(Ok("fresh"))), (Ok("kept"), Ok("fresh")));
    }
}
