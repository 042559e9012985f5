//! A service as `tower` middleware, for hyper, tonic, axum, and whoever else speaks `tower::Service`.
//!
//! [`Layer`] puts a [`Service`] before another `tower::Service`: each attempt is made by a clone of that one. [`Balanced`]
//! is a `tower::Service` over a service whose endpoints are services themselves, such as a client for each instance.
//!
//! What a request is to the decisions, and what its answer means, a [`Protocol`] says: [`Http`] for `http::Request`,
//! [`Grpc`] for calls of gRPC, [`Plain`] for anything that can be cloned.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
//! # runtime.block_on(async {
//! use mainstay::{Facts, Service, tower::{Layer, Plain}};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! let stock = Service::builder("stock").build()?;
//! let client = ServiceBuilder::new()
//!     .layer(Layer::new(stock, Plain::new(Facts::idempotent())))
//!     .service(service_fn(|article: u32| async move { Ok::<_, std::io::Error>(article * 2) }));
//! assert_eq!(client.oneshot(21).await?, 42);
//! # Ok(()) })
//! # }
//! ```

mod http;

use std::fmt;
use std::future::{Future, Ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service as TowerService;

use crate::classify::{AnyError, Classify, Verdict};
use crate::{Attempt, Attempts, CallFuture, Error, Facts, NoFallback, Service};

pub use self::http::{Aimed, Grpc, Http, Streaming};

/// What a request is to the decisions.
///
/// `V` is the value of an endpoint, as in [`Service`]. What the answers mean says [`Classify`], of the same type.
pub trait Protocol<Req, V> {
    /// What the call is.
    fn facts(&self, request: &Req) -> Facts;

    /// The same request once more, for another attempt; `None` when there can be none, because a body that streams can be
    /// sent once only. Then the call has one attempt.
    fn copy(&self, request: &Req) -> Option<Req>;

    /// Makes the request ready for an attempt: says where it goes, or what is left of its time. Default nothing.
    fn aim(&self, request: &mut Req, attempt: &Attempt<V>) {
        let _ = (request, attempt);
    }
}

/// Requests that can be cloned and are all alike. Every error is a failure, as with [`AnyError`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain(Facts);

impl Plain {
    /// Each request is such a call.
    #[must_use]
    pub const fn new(facts: Facts) -> Self {
        Self(facts)
    }
}

impl<Req: Clone, V> Protocol<Req, V> for Plain {
    fn facts(&self, _: &Req) -> Facts {
        self.0
    }

    fn copy(&self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }
}

impl<T, E> Classify<T, E> for Plain {
    fn classify(&self, result: &Result<T, E>) -> Verdict {
        AnyError.classify(result)
    }
}

/// Puts a service before a `tower::Service`.
pub struct Layer<V, P> {
    service: Service<V>,
    protocol: Arc<P>,
}

impl<V, P> Layer<V, P> {
    /// Calls go by `service`, and are read by `protocol`.
    #[must_use]
    pub fn new(service: Service<V>, protocol: P) -> Self {
        Self { service, protocol: Arc::new(protocol) }
    }
}

impl<V, P> Clone for Layer<V, P> {
    fn clone(&self) -> Self {
        Self { service: self.service.clone(), protocol: Arc::clone(&self.protocol) }
    }
}

impl<V, P> fmt::Debug for Layer<V, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layer").field("service", &self.service).finish_non_exhaustive()
    }
}

impl<S, V, P> tower_layer::Layer<S> for Layer<V, P> {
    type Service = Guarded<S, V, P>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { service, protocol } = self.clone();
        Guarded { inner, service, protocol }
    }
}

/// A `tower::Service` behind a [`Service`]. Made by [`Layer`].
pub struct Guarded<S, V, P> {
    inner: S,
    service: Service<V>,
    protocol: Arc<P>,
}

impl<S: Clone, V, P> Clone for Guarded<S, V, P> {
    fn clone(&self) -> Self {
        let Self { inner, service, protocol } = self;
        Self { inner: inner.clone(), service: service.clone(), protocol: Arc::clone(protocol) }
    }
}

impl<S, V, P> fmt::Debug for Guarded<S, V, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("service", &self.service).finish_non_exhaustive()
    }
}

impl<Req, S, V, P> TowerService<Req> for Guarded<S, V, P>
where
    S: TowerService<Req> + Clone,
    V: Clone,
    P: Protocol<Req, V> + Classify<S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = Answer<V, Sending<S, Req, P>, Req, S, P>;

    /// Always ready: who has to wait waits in the service's own queue, where its deadline and its priority count.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let (facts, request) = Repeated::new(&self.protocol, request);
        let sending = Sending { inner: self.inner.clone(), request };
        let protocol = Shared(Arc::clone(&self.protocol));
        CallFuture::new(self.service.clone(), facts, sending, protocol, NoFallback)
    }
}

/// The future of a call through [`Guarded`] or [`Balanced`].
pub type Answer<V, M, Req, S, P> = CallFuture<
    Service<V>,
    V,
    M,
    Asking<S, Req>,
    <S as TowerService<Req>>::Response,
    <S as TowerService<Req>>::Error,
    Shared<P>,
    NoFallback,
    Ready<Result<<S as TowerService<Req>>::Response, Error<<S as TowerService<Req>>::Error>>>,
>;

/// A protocol that a call shares with its service.
#[derive(Debug)]
pub struct Shared<P>(Arc<P>);

impl<T, E, P: Classify<T, E>> Classify<T, E> for Shared<P> {
    fn classify(&self, result: &Result<T, E>) -> Verdict {
        self.0.classify(result)
    }
}

/// Makes the attempts of a call by clones of one `tower::Service`.
#[derive(Debug)]
pub struct Sending<S, Req, P> {
    inner: S,
    request: Repeated<Req, P>,
}

impl<S: TowerService<Req> + Clone, Req, V, P: Protocol<Req, V>> Attempts<V> for Sending<S, Req, P> {
    type Future = Asking<S, Req>;

    fn make(&mut self, attempt: Attempt<V>) -> Self::Future {
        Asking::new(self.inner.clone(), self.request.take(&attempt))
    }
}

/// A `tower::Service` over a [`Service`] whose endpoints are `tower::Service`s themselves: each attempt goes to one of them.
pub struct Balanced<S, P> {
    service: Service<S>,
    protocol: Arc<P>,
}

impl<S, P> Balanced<S, P> {
    /// Calls go by `service`, and are read by `protocol`.
    #[must_use]
    pub fn new(service: Service<S>, protocol: P) -> Self {
        Self { service, protocol: Arc::new(protocol) }
    }
}

impl<S, P> Clone for Balanced<S, P> {
    fn clone(&self) -> Self {
        Self { service: self.service.clone(), protocol: Arc::clone(&self.protocol) }
    }
}

impl<S, P> fmt::Debug for Balanced<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balanced").field("service", &self.service).finish_non_exhaustive()
    }
}

impl<Req, S, P> TowerService<Req> for Balanced<S, P>
where
    S: TowerService<Req> + Clone,
    P: Protocol<Req, S> + Classify<S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = Answer<S, Passing<Req, P>, Req, S, P>;

    /// Always ready: who has to wait waits in the service's own queue, where its deadline and its priority count.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let (facts, request) = Repeated::new(&self.protocol, request);
        let protocol = Shared(Arc::clone(&self.protocol));
        CallFuture::new(self.service.clone(), facts, Passing(request), protocol, NoFallback)
    }
}

/// Makes the attempts of a call by the endpoints themselves.
#[derive(Debug)]
pub struct Passing<Req, P>(Repeated<Req, P>);

impl<S: TowerService<Req>, Req, P: Protocol<Req, S>> Attempts<S> for Passing<Req, P> {
    type Future = Asking<S, Req>;

    fn make(&mut self, attempt: Attempt<S>) -> Self::Future {
        let request = self.0.take(&attempt);
        Asking::new(attempt.endpoint, request)
    }
}

/// A request that may have to be sent again.
#[derive(Debug)]
struct Repeated<Req, P> {
    protocol: Arc<P>,
    next: Option<Req>,
    spare: Option<Req>,
}

impl<Req, P> Repeated<Req, P> {
    /// What the call is, and its request. One that cannot be copied has one attempt.
    fn new<V>(protocol: &Arc<P>, request: Req) -> (Facts, Self)
    where
        P: Protocol<Req, V>,
    {
        let facts = protocol.facts(&request);
        let spare = protocol.copy(&request);
        let facts = if spare.is_some() { facts } else { facts.at_most_once() };
        (facts, Self { protocol: Arc::clone(protocol), next: Some(request), spare })
    }

    /// The request for an attempt.
    fn take<V>(&mut self, attempt: &Attempt<V>) -> Option<Req>
    where
        P: Protocol<Req, V>,
    {
        let mut request = self.next.take()?;
        self.next = self.spare.take().or_else(|| self.protocol.copy(&request));
        self.protocol.aim(&mut request, attempt);
        Some(request)
    }
}

pin_project! {
    /// An attempt by a `tower::Service`: waits until it is ready, and then for its answer.
    #[project = AskingProjection]
    #[derive(Debug)]
    #[must_use = "a future does nothing unless it is polled"]
    pub enum Asking<S, Req>
    where
        S: TowerService<Req>,
    {
        /// Until it is ready.
        #[doc(hidden)]
        Readying { inner: S, request: Option<Req> },
        /// Until it answers.
        #[doc(hidden)]
        Answering { #[pin] future: S::Future },
    }
}

impl<S: TowerService<Req>, Req> Asking<S, Req> {
    const fn new(inner: S, request: Option<Req>) -> Self {
        Self::Readying { inner, request }
    }
}

impl<S: TowerService<Req>, Req> Future for Asking<S, Req> {
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.as_mut().project() {
                AskingProjection::Readying { inner, request } => {
                    ready!(inner.poll_ready(cx))?;
                    // Without a copy there is no other attempt, so the request is there.
                    let Some(request) = request.take() else { return Poll::Pending };
                    let future = inner.call(request);
                    self.set(Self::Answering { future });
                }
                AskingProjection::Answering { future } => return future.poll(cx),
            }
        }
    }
}
