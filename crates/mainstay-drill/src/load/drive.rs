//! The load on sockets: connections that are used again, one task per request that is due.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{End, Pace, Plan, Sample, Tally, Target, locked};
use crate::wire::{Answer, Connection, WireError};

/// Bytes of an answer in which the expected text is looked for.
const LOOKED_AT: usize = 4096;

/// Ends a load early: nothing new is sent, what is on its way is waited for.
#[derive(Debug, Clone)]
pub struct Stop(Arc<(AtomicBool, Notify)>);

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Stop {
    /// Not stopped.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new((AtomicBool::new(false), Notify::new())))
    }

    /// Ends the load.
    pub fn stop(&self) {
        self.0.0.store(true, Ordering::Release);
        self.0.1.notify_waiters();
    }

    fn is_stopped(&self) -> bool {
        self.0.0.load(Ordering::Acquire)
    }

    /// Waits until `at`; false when it was stopped before that.
    async fn wait_until(&self, at: Instant) -> bool {
        let stopped = self.0.1.notified();
        tokio::pin!(stopped);
        stopped.as_mut().enable();
        if self.is_stopped() {
            return false;
        }
        tokio::select! {
            () = sleep_until(at) => true,
            () = stopped => false,
        }
    }
}

/// Plays the plan to its end; `tally` can be read meanwhile. Returns what came of it.
pub async fn run(plan: Arc<Plan>, stop: &Stop, tally: Arc<Mutex<Tally>>) -> Tally {
    run_from(Instant::now(), plan, stop, tally).await
}

/// As [`run`], from a moment on that several share.
pub async fn run_from(start: Instant, plan: Arc<Plan>, stop: &Stop, tally: Arc<Mutex<Tally>>) -> Tally {
    let callers = Arc::new(Callers {
        permits: Semaphore::new(plan.connections),
        idle: plan.targets.iter().map(|_| Mutex::new(Vec::new())).collect(),
        start,
        plan,
        tally,
    });
    if !stop.wait_until(start).await {
        return locked(&callers.tally).clone();
    }
    match callers.plan.pace {
        Pace::Open => open_loop(&callers, stop).await,
        Pace::Closed { clients, think } => closed_loop(&callers, clients, think, stop).await,
    }
    locked(&callers.tally).clone()
}

/// Requests under way at once in the open loop. One that is due beyond them begins when another has ended, and its time runs
/// from when it was due all the same.
const UNDER_WAY_MAX: usize = 100_000;

async fn open_loop(callers: &Arc<Callers>, stop: &Stop) {
    let plan = &callers.plan;
    let end = callers.start + plan.duration;
    let mut since = 0;
    let mut running = JoinSet::new();
    for number in 0..plan.requests {
        since = plan.schedule.due(number, since);
        let due = callers.start.checked_add(Duration::from_nanos(since)).unwrap_or(end);
        // The timer has milliseconds: what is due by now goes out together, and none goes out early.
        let waited = due <= Instant::now() || stop.wait_until(due.min(end)).await;
        if due >= end || !waited || stop.is_stopped() {
            break;
        }
        while running.len() >= UNDER_WAY_MAX && running.join_next().await.is_some() {}
        let callers = Arc::clone(callers);
        running.spawn(async move { callers.call(number, due).await });
        while running.try_join_next().is_some() {}
    }
    while running.join_next().await.is_some() {}
}

async fn closed_loop(callers: &Arc<Callers>, clients: usize, think: Duration, stop: &Stop) {
    let next = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let end = callers.start + callers.plan.duration;
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let (callers, next, stop) = (Arc::clone(callers), Arc::clone(&next), stop.clone());
        running.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= callers.plan.requests || Instant::now() >= end || stop.is_stopped() {
                    return;
                }
                callers.call(number, Instant::now()).await;
                if !think.is_zero() && !stop.wait_until(Instant::now() + think).await {
                    return;
                }
            }
        });
    }
    while running.join_next().await.is_some() {}
}

/// All that requests share.
struct Callers {
    plan: Arc<Plan>,
    start: Instant,
    permits: Semaphore,
    /// By target.
    idle: Vec<Mutex<Vec<Connection>>>,
    tally: Arc<Mutex<Tally>>,
}

impl Callers {
    async fn call(&self, number: u64, due: Instant) {
        let method = self.plan.schedule.method(number).to_owned();
        let id = self.plan.schedule.id(number);
        let target = (number % self.plan.targets.len() as u64) as usize;
        let request = self.request(target, &id, &method);
        let end = match timeout_at(due + self.plan.deadline, self.exchange(target, &request)).await {
            Ok(Ok(answer)) => self.judge(&answer, due),
            Ok(Err(error)) => End::Failed(error),
            Err(_) => End::Failed(WireError::Timeout),
        };
        let sample = Sample { id, method, due: due - self.start, took: due.elapsed(), end };
        if let Some(samples) = &self.plan.samples {
            samples.write(&sample);
        }
        locked(&self.tally).add(sample);
    }

    fn request(&self, target: usize, id: &str, method: &str) -> Vec<u8> {
        let Target { host, path, .. } = &self.plan.targets[target];
        let body = if matches!(method, "POST" | "PUT" | "PATCH") {
            format!("content-length: {}\r\n\r\n{id}", id.len())
        } else {
            "\r\n".to_owned()
        };
        let fields = &self.plan.fields;
        format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nx-request-id: {id}\r\n{fields}{body}").into_bytes()
    }

    async fn exchange(&self, target: usize, request: &[u8]) -> Result<Answer, WireError> {
        // The semaphore is never closed, so the only answer is a permit.
        let _permit = self.permits.acquire().await.map_err(|_| WireError::Unreachable)?;
        let mut connection = match self.idle_connection(target) {
            Some(connection) => connection,
            None => Connection::open(&self.plan.targets[target].address).await?,
        };
        let answer = connection.exchange(request, LOOKED_AT).await?;
        if connection.is_open() {
            self.idle[target].lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        Ok(answer)
    }

    /// The connection used last that is still good: a server may close an idle one at any time.
    fn idle_connection(&self, target: usize) -> Option<Connection> {
        let mut idle = self.idle[target].lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| idle.pop()).find(|connection| !connection.is_stale())
    }

    fn judge(&self, answer: &Answer, due: Instant) -> End {
        let said = |text: &String| answer.body.windows(text.len().max(1)).any(|part| part == text.as_bytes());
        let wrong = !self.plan.expect.is_empty() && !self.plan.expect.iter().any(said);
        match answer.status {
            200..=299 if wrong => End::Wrong,
            200..=299 if due.elapsed() > self.plan.deadline => End::Late,
            200..=299 => End::Good,
            other => End::Status(other),
        }
    }
}
