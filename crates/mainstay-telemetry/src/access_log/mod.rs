//! The access log: one line per request, written by a thread of its own.
//!
//! A worker appends lines to a buffer that it owns and hands it over when it is full, or when the worker's tick says so
//! ([`AccessWriter::flush`]); the thread writes it and gives it back. Each worker has a fixed number of buffers, so the
//! memory is bounded and nothing is allocated per line. When the disk or the pipe is too slow, all of a worker's
//! buffers are under way; then lines are dropped and counted, because a slow log must not slow a request.

mod line;
mod tries;

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

pub(crate) use line::Millis;
pub use line::{Line, LineFormat, TRIES_MAX, Try};
pub use tries::{Tried, all_tries, tries};

/// Bytes of one buffer.
const BUFFER: usize = 64 * 1024;
/// Buffers of one worker: one that it fills, two that are written.
const BUFFERS: usize = 3;
/// Messages under way over all workers.
const CHANNEL: usize = 256;

/// The log of a node: hands out a writer to each worker. A copy is the same log.
#[derive(Debug, Clone)]
pub struct AccessLog {
    inner: Option<Inner>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug, Clone)]
struct Inner {
    to_thread: SyncSender<Message>,
    format: LineFormat,
    /// Closed when the thread has ended.
    ended: Arc<Mutex<Receiver<()>>>,
}

/// A full buffer on its way, and where it goes when it is empty again.
struct Message {
    buffer: Vec<u8>,
    lines: u64,
    back: SyncSender<Vec<u8>>,
}

impl AccessLog {
    /// Starts the thread that writes to `target`.
    ///
    /// # Errors
    /// The system does not give a thread.
    pub fn start(target: Box<dyn Write + Send>, format: LineFormat) -> io::Result<Self> {
        let (to_thread, from_workers) = sync_channel(CHANNEL);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        let (end, ended) = sync_channel(0);
        thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            write_all(&from_workers, target, &counted);
            drop(end);
        })?;
        let ended = Arc::new(Mutex::new(ended));
        Ok(Self { inner: Some(Inner { to_thread, format, ended }), dropped })
    }

    /// A log that is switched off: its writers do nothing.
    #[must_use]
    pub fn off() -> Self {
        Self { inner: None, dropped: Arc::default() }
    }

    /// A writer for one worker.
    #[must_use]
    pub fn worker(&self) -> AccessWriter {
        let Some(inner) = &self.inner else {
            return AccessWriter { out: None };
        };
        let (back, returned) = sync_channel(BUFFERS);
        for _ in 1..BUFFERS {
            // The channel was made with room for all of them.
            let _ = back.try_send(Vec::with_capacity(BUFFER));
        }
        AccessWriter {
            out: Some(Output {
                format: inner.format,
                buffer: Vec::with_capacity(BUFFER),
                lines: 0,
                to_thread: inner.to_thread.clone(),
                back,
                returned,
                dropped: Arc::clone(&self.dropped),
            }),
        }
    }

    /// Lines that were dropped since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Gives this copy up and waits until every other copy and every writer is gone and their last lines are written, or
    /// until `limit` is over; whether they are written.
    #[must_use]
    pub fn finish(self, limit: std::time::Duration) -> bool {
        let Some(Inner { to_thread, ended, .. }) = self.inner else { return true };
        drop(to_thread);
        let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing is ever sent: the end of the thread closes the channel.
        matches!(ended.recv_timeout(limit), Err(RecvTimeoutError::Disconnected))
    }
}

/// Writes until every writer and the log itself are gone.
fn write_all(from_workers: &Receiver<Message>, mut target: Box<dyn Write + Send>, dropped: &AtomicU64) {
    for Message { mut buffer, lines, back } in from_workers {
        if target.write_all(&buffer).and_then(|()| target.flush()).is_err() {
            dropped.fetch_add(lines, Ordering::Relaxed);
        }
        buffer.clear();
        // A worker that is gone needs no buffer.
        let _ = back.try_send(buffer);
    }
}

/// One worker's end of the log.
#[derive(Debug)]
pub struct AccessWriter {
    out: Option<Output>,
}

#[derive(Debug)]
struct Output {
    format: LineFormat,
    buffer: Vec<u8>,
    lines: u64,
    to_thread: SyncSender<Message>,
    back: SyncSender<Vec<u8>>,
    returned: Receiver<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

impl AccessWriter {
    /// A writer that does nothing.
    #[must_use]
    pub fn off() -> Self {
        Self { out: None }
    }

    /// Whether lines are written at all, so that a caller need not gather what nobody reads.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.out.is_some()
    }

    /// Writes a line, or drops and counts it when there is no room.
    pub fn line(&mut self, line: &Line<'_>) {
        let Some(out) = &mut self.out else { return };
        if out.buffer.len() + line.size_max() > BUFFER && !out.hand_over() {
            out.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        line.write(&mut out.buffer, out.format);
        out.lines += 1;
    }

    /// Hands over what is written; to be called every 100 ms or so, and when a worker has nothing to do.
    pub fn flush(&mut self) {
        if let Some(out) = self.out.as_mut().filter(|out| out.lines > 0) {
            out.hand_over();
        }
    }
}

impl Output {
    /// Gives the buffer away for an empty one; false, and nothing happens, when none is there or the thread is behind.
    fn hand_over(&mut self) -> bool {
        let Ok(empty) = self.returned.try_recv() else { return false };
        let buffer = std::mem::replace(&mut self.buffer, empty);
        let message = Message { buffer, lines: self.lines, back: self.back.clone() };
        match self.to_thread.try_send(message) {
            Ok(()) => {
                self.lines = 0;
                true
            }
            Err(refused) => {
                self.take_back(refused);
                false
            }
        }
    }

    /// The thread did not take the message: everything is again as it was before.
    fn take_back(&mut self, refused: TrySendError<Message>) {
        let (TrySendError::Full(message) | TrySendError::Disconnected(message)) = refused;
        let empty = std::mem::replace(&mut self.buffer, message.buffer);
        let _ = self.back.try_send(empty);
    }
}

impl Drop for AccessWriter {
    fn drop(&mut self) {
        if let Some(out) = self.out.as_mut().filter(|out| out.lines > 0)
            && !out.hand_over()
        {
            out.dropped.fetch_add(out.lines, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::{Duration, UnixTime};

    /// A target that a test can read, and that blocks while its gate is closed.
    #[derive(Clone, Default)]
    struct Target {
        written: Arc<Mutex<Vec<u8>>>,
        gate: Arc<Mutex<()>>,
    }

    impl Write for Target {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _open = self.gate.lock().unwrap();
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line(path: &[u8]) -> Line<'_> {
        Line {
            at: UnixTime::from_nanos(0),
            request_id: b"r",
            caller: [127, 0, 0, 1].into(),
            method: b"GET",
            host: b"",
            path,
            route: "",
            service: "",
            endpoint: "",
            attempts: 1,
            status: 200,
            duration: Duration::ZERO,
            received: 0,
            sent: 0,
            end: "answered",
            origin: None,
            tries: &[],
        }
    }

    #[test]
    fn every_line_of_every_worker_arrives() {
        let target = Target::default();
        let log = AccessLog::start(Box::new(target.clone()), LineFormat::Json).unwrap();
        for _ in 0..2 {
            let mut worker = log.worker();
            for _ in 0..100 {
                worker.line(&line(b"/"));
            }
        }
        assert_eq!(log.dropped(), 0);
        assert!(log.finish(std::time::Duration::from_secs(10)));
        let written = target.written.lock().unwrap();
        assert_eq!(written.iter().filter(|byte| **byte == b'\n').count(), 200);
    }

    #[test]
    fn the_end_waits_for_the_last_line_of_the_last_worker() {
        let target = Target::default();
        let log = AccessLog::start(Box::new(target.clone()), LineFormat::Json).unwrap();
        let mut worker = log.worker();
        let copy = log.clone();
        worker.line(&line(b"/last"));
        assert!(!log.finish(std::time::Duration::ZERO), "a worker still writes");
        drop(worker);
        assert!(copy.finish(std::time::Duration::from_secs(10)));
        assert!(target.written.lock().unwrap().ends_with(b"}\n"));
    }

    #[test]
    fn a_stuck_disk_costs_lines_and_says_how_many_but_no_memory_and_no_wait() {
        let target = Target::default();
        let log = AccessLog::start(Box::new(target.clone()), LineFormat::Text).unwrap();
        let mut worker = log.worker();
        let path = [b'a'; 2000];
        let total = 1000;
        {
            let _closed = target.gate.lock().unwrap();
            for _ in 0..total {
                worker.line(&line(&path));
            }
            assert!(log.dropped() > 0);
        }
        drop(worker);
        let dropped = Arc::clone(&log.dropped);
        assert!(log.finish(std::time::Duration::from_secs(10)));
        let written = target.written.lock().unwrap().iter().filter(|byte| **byte == b'\n').count() as u64;
        assert_eq!(written + dropped.load(Ordering::Relaxed), total);
        assert!(written > 0);
    }

    #[test]
    fn a_log_that_is_off_writes_nothing() {
        let log = AccessLog::off();
        let mut worker = log.worker();
        worker.line(&line(b"/"));
        worker.flush();
        assert!(!worker.is_on());
        assert!(log.finish(std::time::Duration::ZERO));
    }
}
