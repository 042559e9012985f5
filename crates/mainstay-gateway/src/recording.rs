//! The recording of a gateway: what its workers' policies were told and what they decided, in a file for each worker.
//!
//! In: each step of a policy ([`mainstay_policy::recording::Step`]) from the one place by which a worker tells it anything
//! ([`crate::worker::ServiceCell`]). Out: files that `mainstay simulate --replay` plays again. What holds:
//!
//! - It costs a request nothing when it is off, and no wait when it is on: a worker writes into memory of its own, of which
//!   there is a fixed amount, and a thread of its own carries it to the disk.
//! - It is all or nothing up to its end. Where the disk is too slow, or the size is reached, the recording of that worker
//!   ends there and says why: what would come after a gap could not be replayed.
//! - Nothing of what callers send is in it but what decisions depend on: no field, no path, no body, no id.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use mainstay_core::{Bytes, Instant};
use mainstay_policy::recording::{Answer, Ending, Head, Log, Step, Told, file};
use mainstay_policy::{Call, Entry, FleetDelta, Heard, Output, Service};

/// Bytes after which a worker hands over what it has written.
const BUFFER: usize = 64 * 1024;
/// Buffers of one worker: one that it fills, the others on their way.
const BUFFERS: usize = 16;

/// Where the recordings of a gateway go. A copy is the same place.
#[derive(Debug, Clone)]
pub struct Recordings {
    inner: Option<Inner>,
}

#[derive(Debug, Clone)]
struct Inner {
    directory: PathBuf,
    max: Bytes,
    version: Arc<str>,
    /// Held by each thread that writes; closed when the last has ended.
    writing: Sender<()>,
    ended: Arc<Mutex<Receiver<()>>>,
}

impl Recordings {
    /// Nothing is recorded.
    #[must_use]
    pub fn off() -> Self {
        Self { inner: None }
    }

    /// Records into `directory`, which is made where it is missing: `max` bytes over all workers. A recording that is
    /// there already is kept, and then nothing is recorded: it may tell why there is another start.
    ///
    /// # Errors
    /// The directory cannot be made or read.
    pub fn into_directory(directory: &Path, max: Bytes, version: &str) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        if fs::exists(directory.join(file::name(0)))? {
            tracing::warn!(directory = %directory.display(), "there is a recording already: nothing is recorded");
            return Ok(Self::off());
        }
        let (writing, ended) = channel();
        let (directory, ended) = (directory.to_owned(), Arc::new(Mutex::new(ended)));
        Ok(Self { inner: Some(Inner { directory, max, version: version.into(), writing, ended }) })
    }

    /// The tape of one worker of so many; none where nothing is recorded.
    pub(crate) fn worker(&self, worker: usize, workers: usize) -> io::Result<Option<Tape>> {
        let Some(inner) = &self.inner else { return Ok(None) };
        let path = inner.directory.join(file::name(worker));
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let head =
            file::begin(&Head { version: Arc::clone(&inner.version), worker: worker as u32, workers: workers as u32 });
        file.write_all(&head)?;
        let left = (inner.max.0 / workers.max(1) as u64).saturating_sub(head.len() as u64);
        let (tape, scribe) = Tape::new(worker, left);
        let writing = inner.writing.clone();
        thread::Builder::new().name(format!("recorder-{worker}")).spawn(move || {
            scribe.write_all(file);
            drop(writing);
        })?;
        Ok(Some(tape))
    }

    /// Gives this copy up and waits until every other copy and every worker is gone and all of it is written, or until
    /// `limit` is over; whether it is written.
    #[must_use]
    pub fn finish(self, limit: Duration) -> bool {
        let Some(Inner { writing, ended, .. }) = self.inner else { return true };
        drop(writing);
        let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing is ever sent: the end of the last thread closes the channel.
        matches!(ended.recv_timeout(limit), Err(RecvTimeoutError::Disconnected))
    }
}

/// The thread's end of a tape.
#[derive(Debug)]
struct Scribe {
    buffers: Receiver<Vec<u8>>,
    back: SyncSender<Vec<u8>>,
    why: Arc<OnceLock<Ending>>,
}

impl Scribe {
    /// Writes until the worker has no more to say, and then why.
    fn write_all(self, mut file: File) {
        let mut framed = Vec::new();
        for mut buffer in self.buffers {
            framed.clear();
            file::block(&buffer, &mut framed);
            if let Err(error) = file.write_all(&framed) {
                // The worker finds nobody at its next buffer.
                tracing::error!(%error, "the recording cannot be written: it ends");
                return;
            }
            buffer.clear();
            // A worker that is gone needs no buffer.
            let _ = self.back.try_send(buffer);
        }
        framed.clear();
        file::end(self.why.get().copied().unwrap_or(Ending::Stopped), &mut framed);
        let written = file.write_all(&framed).and_then(|()| file.sync_all());
        if let Err(error) = written {
            tracing::error!(%error, "the end of the recording cannot be written");
        }
    }
}

/// One worker's end of it; what it holds is gone once it has ended.
#[derive(Debug)]
pub(crate) struct Tape(RefCell<Option<State>>);

#[derive(Debug)]
struct State {
    log: Log,
    heard: Vec<Heard>,
    /// Bytes that the file may still have.
    left: u64,
    /// Services that have begun.
    services: u32,
    worker: usize,
    why: Arc<OnceLock<Ending>>,
    to_thread: SyncSender<Vec<u8>>,
    returned: Receiver<Vec<u8>>,
}

/// What was known of a call before a step, to tell what came of the step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before {
    entries: usize,
    waiting: u8,
}

impl Before {
    pub(crate) fn of(call: &Call) -> Self {
        let bit = |(place, output): (usize, &Option<Output>)| u8::from(output.is_some()) << place;
        let waiting = call.outputs().iter().enumerate().map(bit).sum();
        Self { entries: call.record().entries().len(), waiting }
    }

    fn entries(self, call: &Call) -> &[Entry] {
        let entries = call.record().entries();
        // A call that begins begins its record anew.
        entries.get(self.entries..).unwrap_or(entries)
    }

    fn outputs<const N: usize>(self, mut outputs: [Option<Output>; N]) -> [Option<Output>; N] {
        for (place, output) in outputs.iter_mut().enumerate() {
            output.take_if(|_| self.waiting >> place & 1 == 1);
        }
        outputs
    }
}

impl Tape {
    /// A tape that may have so many bytes more, and the end from which it is written.
    fn new(worker: usize, left: u64) -> (Self, Scribe) {
        let (to_thread, buffers) = sync_channel(BUFFERS);
        let (back, returned) = sync_channel(BUFFERS);
        for _ in 1..BUFFERS {
            // The channel was made with room for all of them.
            let _ = back.try_send(Vec::with_capacity(BUFFER));
        }
        let why = Arc::new(OnceLock::new());
        let scribe = Scribe { buffers, back, why: Arc::clone(&why) };
        let state =
            State { log: Log::default(), heard: Vec::new(), left, services: 0, worker, why, to_thread, returned };
        (Self(RefCell::new(Some(state))), scribe)
    }

    /// Whether nothing more is recorded.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.borrow().is_none()
    }

    /// The number of a service that begins.
    pub(crate) fn begin_service(&self) -> u32 {
        self.0.borrow_mut().as_mut().map_or(0, |state| {
            state.services += 1;
            state.services - 1
        })
    }

    /// A step of a service, whose number is in `at`, came to this.
    pub(crate) fn saw(&self, at: At, service: &Service, step: &Step, answer: Answer) {
        self.write(at, Some(service), step, (&[], &[]), answer);
    }

    /// A step of a call came to this.
    pub(crate) fn saw_call(
        &self,
        at: At,
        service: &Service,
        (before, call): (Before, &Call),
        step: &Step,
        answer: Answer,
    ) {
        self.write(at, Some(service), step, (before.entries(call), &before.outputs(*call.outputs())), answer);
    }

    /// A step that changes nothing for its service: a call is made, or is gone.
    pub(crate) fn saw_beside(&self, at: At, step: &Step) {
        self.write(at, None, step, (&[], &[]), Answer::Nothing);
    }

    /// What was learned, as a number.
    pub(crate) fn checksum(&self, now: Instant, delta: &FleetDelta) -> u32 {
        self.0.borrow_mut().as_mut().map_or(0, |state| state.log.checksum(now, delta))
    }

    /// Hands over what is written; to be called every 100 ms or so, so that a node that is killed leaves it behind.
    pub(crate) fn flush(&self) {
        if let Some(state) = self.0.borrow_mut().as_mut()
            && !state.log.is_empty()
        {
            // What finds no buffer waits until this one is full.
            let _ = state.hand_over();
        }
    }

    fn write(
        &self,
        (now, number): At,
        service: Option<&Service>,
        step: &Step,
        (entries, outputs): (&[Entry], &[Option<Output>]),
        answer: Answer,
    ) {
        let mut slot = self.0.borrow_mut();
        let Some(state) = slot.as_mut() else { return };
        state.heard.clear();
        if let Some(service) = service {
            service.take_noted(&mut state.heard);
        }
        state.log.write(&Told { now, service: number, step, heard: &state.heard, entries, outputs, answer });
        if state.log.len() >= BUFFER
            && let Err(why) = state.hand_over()
        {
            _ = state.why.set(why);
            tracing::warn!(worker = state.worker, why = why.as_str(), "the recording of a worker ends");
            *slot = None;
        }
    }
}

/// When, and the number of the service.
pub(crate) type At = (Instant, u32);

impl State {
    /// Gives what is written to the thread; why not, where that cannot be.
    fn hand_over(&mut self) -> Result<(), Ending> {
        let size = self.log.len() as u64 + file::BLOCK_TAKES;
        self.left = self.left.checked_sub(size).ok_or(Ending::Full)?;
        let empty = match self.returned.try_recv() {
            Ok(empty) => empty,
            Err(TryRecvError::Empty) => {
                self.left += size;
                return Err(Ending::Gap);
            }
            Err(TryRecvError::Disconnected) => return Err(Ending::Failed),
        };
        let full = self.log.take(empty);
        // There is room for as many as there are.
        self.to_thread.try_send(full).map_err(|_| Ending::Failed)
    }
}

/// The worker ends, and its last words are no more than there is room for.
impl Drop for Tape {
    fn drop(&mut self) {
        if let Some(state) = self.0.get_mut()
            && !state.log.is_empty()
            && let Err(why) = state.hand_over()
        {
            _ = state.why.set(why);
        }
    }
}

#[cfg(test)]
mod tests;
