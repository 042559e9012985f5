//! Services in virtual time, and dependencies that are nothing but a script.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;

use mainstay::classify::Verdict;
use mainstay::time::VirtualTime;
use mainstay::{Attempt, BackoffSettings, Builder, Duration, Facts, Failure, Jitter, RetrySettings, Service};

pub(crate) const A: &str = "10.0.0.1:80";
pub(crate) const B: &str = "10.0.0.2:80";
pub(crate) const C: &str = "10.0.0.3:80";

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A clock, and a service that goes by it.
pub(crate) fn world(
    endpoints: &[&str],
    set: impl FnOnce(Builder<SocketAddr>) -> Builder<SocketAddr>,
) -> (VirtualTime, Service) {
    let time = VirtualTime::new();
    let builder = Service::builder("shop").endpoints(endpoints.iter().copied()).time(time.clone()).seed(1).shards(1);
    (time, set(builder).build().unwrap())
}

/// As [`world`], for a service that is one thing.
pub(crate) fn single(set: impl FnOnce(Builder<()>) -> Builder<()>) -> (VirtualTime, Service<()>) {
    let time = VirtualTime::new();
    let builder = Service::builder("database").time(time.clone()).seed(1).shards(1);
    (time, set(builder).build().unwrap())
}

/// Retries with pauses that no luck changes: 25 ms, 50 ms.
pub(crate) fn plain_retry() -> RetrySettings {
    RetrySettings {
        backoff: BackoffSettings { jitter: Jitter::None, ..BackoffSettings::default() },
        ..RetrySettings::default()
    }
}

/// What comes of an attempt, in a while.
type Answer = Pin<Box<dyn Future<Output = Result<&'static str, &'static str>>>>;

/// What a dependency does, attempt by attempt: how long it takes and what it gives.
pub(crate) struct Script {
    steps: Vec<(u64, Result<&'static str, &'static str>)>,
    time: VirtualTime,
    /// When each attempt began, in milliseconds, and where.
    pub(crate) seen: Rc<RefCell<Vec<(u64, String)>>>,
}

impl Script {
    pub(crate) fn new(time: &VirtualTime, steps: &[(u64, Result<&'static str, &'static str>)]) -> Self {
        Self { steps: steps.to_vec(), time: time.clone(), seen: Rc::default() }
    }

    /// The function that a call makes its attempts by. The last step is done again and again.
    pub(crate) fn attempt<V: std::fmt::Debug>(&self) -> impl FnMut(Attempt<V>) -> Answer + use<V> {
        let (steps, time, seen) = (self.steps.clone(), self.time.clone(), Rc::clone(&self.seen));
        move |attempt| {
            use mainstay::time::Time;
            let at = time.now().as_nanos() / 1_000_000;
            let number = seen.borrow().len().min(steps.len() - 1);
            seen.borrow_mut().push((at, format!("{:?}", attempt.endpoint)));
            let (length, result) = steps[number];
            let sleep = time.sleep(ms(length));
            Box::pin(async move {
                sleep.await;
                result
            })
        }
    }

    /// When each attempt began.
    pub(crate) fn moments(&self) -> Vec<u64> {
        self.seen.borrow().iter().map(|(at, _)| *at).collect()
    }

    /// Where the attempts went.
    pub(crate) fn places(&self) -> Vec<String> {
        self.seen.borrow().iter().map(|(_, place)| place.clone()).collect()
    }
}

/// "refused" was not sent, a number is a status, everything else is a failure of which nothing is known.
pub(crate) fn in_words(result: &Result<&'static str, &'static str>) -> Verdict {
    match result {
        Ok(_) => Verdict::Good,
        Err("refused") => Verdict::NOT_SENT,
        Err("malformed") => Verdict::Failed { failure: Failure::Malformed, certainty: mainstay::Certainty::Unknown },
        Err(word) => match word.parse() {
            Ok(status) => Verdict::Answered { status, retry_after: None },
            Err(_) => Verdict::UNKNOWN,
        },
    }
}

/// A read with a second to live.
pub(crate) fn read() -> Facts {
    Facts::idempotent().within(ms(1000))
}
