//! One call: the driver of [`mainstay_policy::Call`] over futures.
//!
//! In: facts, a function that makes an attempt, what its results mean, what answers when nothing else does. Out: an answer
//! or an [`Error`]. The policy's `Call` decides everything; here its outputs are carried out and it is told what happened.
//!
//! - It is one future that takes no memory beside itself: the attempt that runs lies in it, and so does the sleep. Only an
//!   attempt beside another, a hedge, is put elsewhere.
//! - Of an attempt only its end is known, so it counts as sent from its beginning: given up, it may have had an effect.
//! - The lock of the shard is held for the steps between ([`driver`]), and never while a future is made, polled or dropped.
//! - A call that is dropped gives back what it held, and counts as one whose caller left.

mod driver;

use std::borrow::Borrow;
use std::fmt;
use std::future::{Future, IntoFuture, Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration as StdDuration;

use mainstay_core::Instant;
use mainstay_policy::{AttemptReason, FallbackKind, HEDGES_MAX, Input};
use pin_project_lite::pin_project;

use crate::classify::{AnyError, Classify};
use crate::time::Sleep;
use crate::{Error, Facts, Service};
use driver::{Decided, Driver, Steps};

/// One try of a call at one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt<V = SocketAddr> {
    /// Where: an address, or the value of the [`crate::Endpoint`].
    pub endpoint: V,
    /// Which one, from 1.
    pub number: u8,
    /// Why there is one.
    pub why: AttemptReason,
    /// What is left of the call's time. An attempt that takes longer is dropped; one that can tell whom it asks how long it
    /// will wait (a statement timeout, a deadline field) tells it this.
    pub left: StdDuration,
}

/// Makes the attempts of a call. A closure that gives a future is one.
pub trait Attempts<V> {
    /// An attempt that is made.
    type Future: Future;

    /// Makes one. Called once for each attempt; of an earlier one nothing more may be expected than that it runs or is
    /// dropped.
    fn make(&mut self, attempt: Attempt<V>) -> Self::Future;
}

impl<V, F: FnMut(Attempt<V>) -> Fut, Fut: Future> Attempts<V> for F {
    type Future = Fut;

    fn make(&mut self, attempt: Attempt<V>) -> Fut {
        self(attempt)
    }
}

/// What answers when nothing else does: [`Call::fallback`], [`Call::fallback_call`], or nothing.
pub trait Fallback<T, E> {
    /// Whether it is at hand or has to be asked; `None` where there is none.
    const KIND: Option<FallbackKind>;

    /// An answer on its way.
    type Future: Future<Output = Result<T, Error<E>>>;

    /// The answer in place of the one that is missing; or `error`, or another one, when there is none either.
    fn answer(self, facts: &Facts, error: Error<E>) -> Self::Future;
}

/// Nothing answers.
#[derive(Debug, Clone, Copy)]
pub struct NoFallback;

impl<T, E> Fallback<T, E> for NoFallback {
    const KIND: Option<FallbackKind> = None;
    type Future = Ready<Result<T, Error<E>>>;

    fn answer(self, _: &Facts, error: Error<E>) -> Self::Future {
        ready(Err(error))
    }
}

/// An answer that is at hand. Made by [`Call::fallback`].
#[derive(Debug, Clone, Copy)]
pub struct AtHand<F>(F);

impl<T, E, F: FnOnce(&Facts, Error<E>) -> Result<T, Error<E>>> Fallback<T, E> for AtHand<F> {
    const KIND: Option<FallbackKind> = Some(FallbackKind::Respond);
    type Future = Ready<Result<T, Error<E>>>;

    fn answer(self, facts: &Facts, error: Error<E>) -> Self::Future {
        ready(self.0(facts, error))
    }
}

/// An answer that has to be asked for. Made by [`Call::fallback_call`].
#[derive(Debug, Clone, Copy)]
pub struct Asked<F>(F);

impl<T, E, F, Fut> Fallback<T, E> for Asked<F>
where
    F: FnOnce(&Facts, Error<E>) -> Fut,
    Fut: Future<Output = Result<T, Error<E>>>,
{
    const KIND: Option<FallbackKind> = Some(FallbackKind::Service);
    type Future = Fut;

    fn answer(self, facts: &Facts, error: Error<E>) -> Fut {
        self.0(facts, error)
    }
}

/// A call that has not begun. Await it, or say first what its results mean and what answers when nothing else does.
#[must_use = "a call does nothing unless it is awaited"]
pub struct Call<'s, V, F, C = AnyError, B = NoFallback> {
    service: &'s Service<V>,
    facts: Facts,
    attempt: F,
    classify: C,
    fallback: B,
}

impl<'s, V, F> Call<'s, V, F> {
    pub(crate) const fn new(service: &'s Service<V>, facts: Facts, attempt: F) -> Self {
        Self { service, facts, attempt, classify: AnyError, fallback: NoFallback }
    }
}

impl<'s, V, F, Fut, T, E, C, B> Call<'s, V, F, C, B>
where
    F: FnMut(Attempt<V>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    /// What the result of an attempt means. Default [`AnyError`]: every error is a failure of which nobody knows whether it
    /// had an effect.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    /// # runtime.block_on(async {
    /// use mainstay::{Facts, Service, classify::Verdict};
    ///
    /// let service = Service::builder("stock").build()?;
    /// let call = service.call(Facts::idempotent(), |_| async { Err::<u32, _>("no such article") });
    /// // The service has done its work: it is not asked again for that.
    /// let answer = call.classify(|_: &Result<u32, &str>| Verdict::Good).await;
    /// assert_eq!(answer.unwrap_err().into_inner(), Some("no such article"));
    /// # Ok(()) })
    /// # }
    /// ```
    pub fn classify<K: Classify<T, E>>(self, classify: K) -> Call<'s, V, F, K, B> {
        let Self { service, facts, attempt, fallback, .. } = self;
        Call { service, facts, attempt, classify, fallback }
    }

    /// What answers in the service's place when it does not: when all attempts have failed, the breaker is open, no permit
    /// is free or the time is over. It is to be at hand (a constant, something kept), for there may be no time left.
    pub fn fallback<K>(self, fallback: K) -> Call<'s, V, F, C, AtHand<K>>
    where
        K: FnOnce(&Facts, Error<E>) -> Result<T, Error<E>>,
    {
        let Self { service, facts, attempt, classify, .. } = self;
        Call { service, facts, attempt, classify, fallback: AtHand(fallback) }
    }

    /// As [`Call::fallback`], for an answer that takes time: another service, a cache elsewhere. It has what is left of the
    /// call's time, which the facts then say, and half of that is kept for it each time an attempt is made. After the
    /// deadline it is not asked.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    /// # runtime.block_on(async {
    /// use mainstay::{Facts, Service};
    ///
    /// let (search, lite) = (Service::builder("search").build()?, Service::builder("search-lite").build()?);
    /// let hits = search
    ///     .call(Facts::idempotent(), |_| async { Err::<u32, _>("its index is broken") })
    ///     .fallback_call(|facts, _| {
    ///         let facts = *facts;
    ///         async move { lite.call(facts, |_| async { Ok(3) }).await }
    ///     })
    ///     .await;
    /// assert_eq!(hits.unwrap(), 3);
    /// # Ok(()) })
    /// # }
    /// ```
    pub fn fallback_call<K, A>(self, fallback: K) -> Call<'s, V, F, C, Asked<K>>
    where
        K: FnOnce(&Facts, Error<E>) -> A,
        A: Future<Output = Result<T, Error<E>>>,
    {
        let Self { service, facts, attempt, classify, .. } = self;
        Call { service, facts, attempt, classify, fallback: Asked(fallback) }
    }
}

impl<V, F, C, B> fmt::Debug for Call<'_, V, F, C, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("service", self.service).field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl<'s, V, F, Fut, T, E, C, B> IntoFuture for Call<'s, V, F, C, B>
where
    V: Clone,
    F: FnMut(Attempt<V>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
    B: Fallback<T, E>,
{
    type Output = Result<T, Error<E>>;
    type IntoFuture = CallFuture<&'s Service<V>, V, F, Fut, T, E, C, B, B::Future>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { service, facts, attempt, classify, fallback } = self;
        CallFuture::new(service, facts, attempt, classify, fallback)
    }
}

/// An attempt beside another.
type Beside<Fut> = Option<(u8, Pin<Box<Fut>>)>;

pin_project! {
    /// A call on its way.
    #[must_use = "a future does nothing unless it is polled"]
    //
    // Whether it may move to another thread is asked of its fields. None of them is of a type that a bound on a closure
    // gives, for the compiler cannot prove such a bound there when an error is a box of some kind.
    pub struct CallFuture<S, V, F, Fut, T, E, C, B, A>
    where
        S: Borrow<Service<V>>,
    {
        // Before the driver, so that what runs is dropped before the call gives its permits back.
        #[pin]
        first: Option<Fut>,
        number: u8,
        beside: [Beside<Fut>; HEDGES_MAX as usize],
        #[pin]
        sleep: Option<Sleep>,
        #[pin]
        falling: Option<A>,
        armed: Instant,
        driver: Driver<S, V>,
        facts: Facts,
        attempt: F,
        classify: C,
        fallback: Option<B>,
        last: Option<Result<T, E>>,
    }
}

impl<S, V, F, Fut, T, E, C, B, A> CallFuture<S, V, F, Fut, T, E, C, B, A>
where
    S: Borrow<Service<V>>,
{
    pub(crate) fn new(service: S, facts: Facts, attempt: F, classify: C, fallback: B) -> Self {
        Self {
            first: None,
            number: 0,
            beside: [const { None }; HEDGES_MAX as usize],
            sleep: None,
            falling: None,
            armed: Instant::FAR_FUTURE,
            driver: Driver::new(service),
            facts,
            attempt,
            classify,
            fallback: Some(fallback),
            last: None,
        }
    }
}

impl<S, V, F, Fut, T, E, C, B, A> Future for CallFuture<S, V, F, Fut, T, E, C, B, A>
where
    S: Borrow<Service<V>>,
    V: Clone,
    F: Attempts<V, Future = Fut>,
    Fut: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
    B: Fallback<T, E, Future = A>,
    A: Future<Output = Result<T, Error<E>>>,
{
    type Output = Result<T, Error<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.driver.has_begun() {
            let this = self.as_mut().project();
            let steps = this.driver.begin(cx, this.facts, B::KIND);
            if let Some(answer) = self.as_mut().carry_out(steps) {
                return Poll::Ready(answer);
            }
        }
        loop {
            if let Some(answer) = self.as_mut().poll_fallback(cx) {
                return Poll::Ready(answer);
            }
            let steps = match self.as_mut().poll_attempts(cx) {
                Some(steps) => steps,
                None => match self.as_mut().project().driver.poll_turn(cx) {
                    Some(steps) => steps,
                    None => match self.as_mut().poll_sleep(cx) {
                        Poll::Ready(steps) => steps,
                        Poll::Pending => return Poll::Pending,
                    },
                },
            };
            if let Some(answer) = self.as_mut().carry_out(steps) {
                return Poll::Ready(answer);
            }
        }
    }
}

impl<S, V, F, Fut, T, E, C, B, A> CallFuture<S, V, F, Fut, T, E, C, B, A>
where
    S: Borrow<Service<V>>,
    V: Clone,
    F: Attempts<V, Future = Fut>,
    Fut: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
    B: Fallback<T, E, Future = A>,
    A: Future<Output = Result<T, Error<E>>>,
{
    /// Does what the call says; the answer, when it has one.
    fn carry_out(self: Pin<&mut Self>, steps: Steps<V>) -> Option<Result<T, Error<E>>> {
        let Steps { cancelled, attempt, decided } = steps;
        let mut this = self.project();
        if cancelled.any() {
            if this.first.is_some() && cancelled.has(*this.number) {
                this.first.set(None);
            }
            for place in this.beside.iter_mut() {
                place.take_if(|(number, _)| cancelled.has(*number));
            }
        }
        if let Some((number, attempt)) = attempt {
            let future = this.attempt.make(attempt);
            if this.first.is_none() {
                this.first.set(Some(future));
                *this.number = number;
            } else if let Some(free) = this.beside.iter_mut().find(|place| place.is_none()) {
                *free = Some((number, Box::pin(future)));
            }
        }
        match decided? {
            Decided::Answer => this.last.take().map(|last| last.map_err(|error| this.driver.failed(error))),
            Decided::Refuse(why) => Some(Err(why.into_error(this.last.take()))),
            Decided::Fall(why) | Decided::Delegate(why) => {
                if matches!(decided, Some(Decided::Delegate(_))) {
                    this.facts.within = Some(this.driver.delegate());
                }
                let error = why.into_error(this.last.take());
                match this.fallback.take() {
                    Some(fallback) => this.falling.set(Some(fallback.answer(this.facts, error))),
                    None => return Some(Err(error)),
                }
                None
            }
        }
    }

    /// What the fallback says, once it is asked and has an answer or no time left.
    fn poll_fallback(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Option<Result<T, Error<E>>> {
        let mut this = self.project();
        let answer = match this.falling.as_mut().as_pin_mut()?.poll(cx) {
            Poll::Ready(answer) => answer,
            Poll::Pending if this.driver.is_fallback_late() => Err(this.driver.late()),
            Poll::Pending => return None,
        };
        this.falling.set(None);
        this.driver.fallback_ended(cx, answer.is_ok());
        Some(answer)
    }

    /// What the next attempt that is ready has to say.
    fn poll_attempts(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Option<Steps<V>> {
        let mut this = self.project();
        let mut ended = None;
        if let Some(first) = this.first.as_mut().as_pin_mut()
            && let Poll::Ready(result) = first.poll(cx)
        {
            this.first.set(None);
            ended = Some((*this.number, result));
        }
        for place in this.beside.iter_mut() {
            if ended.is_none()
                && let Some((number, future)) = place
                && let Poll::Ready(result) = future.as_mut().poll(cx)
            {
                ended = Some((*number, result));
                *place = None;
            }
        }
        let (attempt, result) = ended?;
        let verdict = this.classify.classify(&result);
        *this.last = Some(result);
        let input = match verdict.head() {
            Ok(head) => Input::Head { attempt, head },
            Err((failure, certainty)) => Input::Failed { attempt, failure, certainty },
        };
        Some(this.driver.input(cx, input))
    }

    /// Waits for the next moment at which something may be different.
    fn poll_sleep(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Steps<V>> {
        let mut this = self.project();
        let Some(due) = this.driver.due() else { return Poll::Pending };
        if this.sleep.is_none() || due < *this.armed {
            this.sleep.set(Some(this.driver.service().inner.time.sleep_until(due)));
            *this.armed = due;
        }
        let Some(sleep) = this.sleep.as_mut().as_pin_mut() else { return Poll::Pending };
        if sleep.poll(cx).is_pending() {
            return Poll::Pending;
        }
        // It may have been set for a moment that means nothing any more.
        this.sleep.set(None);
        *this.armed = Instant::FAR_FUTURE;
        Poll::Ready(this.driver.time_passed(cx))
    }
}

impl<S, V, F, Fut, T, E, C, B, A> fmt::Debug for CallFuture<S, V, F, Fut, T, E, C, B, A>
where
    S: Borrow<Service<V>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallFuture").field("facts", &self.facts).finish_non_exhaustive()
    }
}
