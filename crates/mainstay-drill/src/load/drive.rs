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
/// from when it was due all the same; one for which there is no room while it could still be good is never sent.
const UNDER_WAY_MAX: usize = 100_000;

async fn open_loop(callers: &Arc<Callers>, stop: &Stop) {
    let plan = &callers.plan;
    let end = callers.start + plan.duration;
    let mut since = 0;
    let mut running = JoinSet::new();
    for number in 0..plan.requests {
        let before = since;
        since = plan.schedule.due(number, since);
        let due = callers.start.checked_add(Duration::from_nanos(since)).unwrap_or(end);
        // The timer has milliseconds: what is due by now goes out together, and none goes out early.
        let waited = due <= Instant::now() || stop.wait_until(due.min(end)).await;
        if due >= end || !waited || stop.is_stopped() {
            break;
        }
        if Instant::now() >= end + plan.deadline {
            callers.give_up(before, plan.requests - number);
            break;
        }
        if !has_room(&mut running, number, due + plan.deadline).await {
            callers.tell(number, due, End::Unsent);
            continue;
        }
        let callers = Arc::clone(callers);
        running.spawn(async move { callers.call(number, due).await });
        while running.try_join_next().is_some() {}
    }
    while running.join_next().await.is_some() {}
}

/// Whether there is room for one more before `until`, when it can no longer be good.
async fn has_room(running: &mut JoinSet<()>, number: u64, until: Instant) -> bool {
    /// Requests that are begun at once by who is behind: those under way share the thread and have their turn then.
    const AT_ONCE: u64 = 64;
    if number.is_multiple_of(AT_ONCE) {
        tokio::task::yield_now().await;
    }
    while running.len() >= UNDER_WAY_MAX {
        if !matches!(timeout_at(until, running.join_next()).await, Ok(Some(_))) {
            return false;
        }
    }
    Instant::now() < until
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
        let until = due + self.plan.deadline;
        let end = match timeout_at(until, self.permits.acquire()).await {
            Ok(Ok(_permit)) => self.exchange(number, due, until).await,
            // The semaphore is never closed: no connection was free in time.
            Ok(Err(_)) | Err(_) => End::Unsent,
        };
        self.tell(number, due, end);
    }

    async fn exchange(&self, number: u64, due: Instant, until: Instant) -> End {
        let target = (number % self.plan.targets.len() as u64) as usize;
        let request = self.request(target, &self.plan.schedule.id(number), self.plan.schedule.method(number));
        match timeout_at(until, self.answer(target, &request)).await {
            Ok(Ok(answer)) => self.judge(&answer, due),
            Ok(Err(error)) => End::Failed(error),
            Err(_) => End::Failed(WireError::Timeout),
        }
    }

    fn tell(&self, number: u64, due: Instant, end: End) {
        let method = self.plan.schedule.method(number).to_owned();
        let id = self.plan.schedule.id(number);
        let sample = Sample { id, method, due: due - self.start, took: due.elapsed(), end };
        if let Some(samples) = &self.plan.samples {
            samples.write(&sample);
        }
        locked(&self.tally).add(sample);
    }

    /// Counts what was to come from the nanosecond `since` on, `most` requests at most, as never sent.
    fn give_up(&self, since: u64, most: u64) {
        let end = self.plan.duration.as_secs_f64();
        let (mut from, mut left) = (since as f64 / 1e9, most);
        while from < end && left > 0 {
            let to = (from.floor() + 1.0).min(end);
            let requests = (self.plan.schedule.between(from, to).round() as u64).min(left);
            locked(&self.tally).add_unsent(Duration::from_secs_f64(from), self.plan.deadline, requests);
            (from, left) = (to, left - requests);
        }
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

    async fn answer(&self, target: usize, request: &[u8]) -> Result<Answer, WireError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Arrivals, CallersLuck, Methods, Profile, Schedule};
    use mainstay_core::Ratio;

    #[tokio::test]
    async fn a_rate_that_nobody_can_send_ends_in_time_and_is_told_of() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let profile = Profile::steady("100000000/s".parse().unwrap());
        let methods = Methods::posts(Ratio::ZERO);
        let plan = Plan {
            targets: vec![Target::at(listener.local_addr().unwrap().to_string(), "/")],
            pace: Pace::Open,
            duration: Duration::from_millis(1_500),
            requests: u64::MAX,
            deadline: Duration::from_millis(100),
            connections: 4,
            fields: String::new(),
            expect: Vec::new(),
            schedule: Schedule::new(CallersLuck::new(1, 0), profile, Arrivals::Uniform, methods, "t".to_owned()),
            samples: None,
        };
        let tally = run(Arc::new(plan), &Stop::new(), Tally::shared()).await;
        let requests = tally.count().requests;
        assert!(requests.abs_diff(150_000_000) <= 1, "all that was due is counted: {requests}");
        assert!(tally.unsent() > 149_000_000, "{}", tally.unsent());
        assert_eq!(tally.seconds()[0].count.requests.abs_diff(100_000_000), 0);
    }
}
