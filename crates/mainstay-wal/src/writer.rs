//! The thread that writes the log, and lets many share a flush.
//!
//! In: records, each with whom to tell. Out: to each whether its records survive, in order; and of every flush how long it
//! took. All that waits when a flush has ended goes into the next write and the next flush together. Records are seen by
//! readers from the moment they are taken in: a leader sends on what its own disk does not have yet.
//!
//! What waits is bounded in bytes, and nobody is made to wait for room: who comes when it is full is refused
//! ([`Refusal::Full`]) and can come again. A write or flush that fails ends the thread; whoever waits and whoever comes is
//! told why. A flush that does not return is seen from outside ([`Writer::stalled_for`]), for a leader that must give way
//! when its disk stands still.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::log::{Log, LogReader, Record};
use crate::refusal::Refusal;

/// Whom to tell whether records survive. It is called on the writer's thread and must not wait.
pub type Done = Box<dyn FnOnce(Result<(), Refusal>) + Send>;

/// How long nothing must come until the log is marked as flushed: long enough to cost a busy log nothing.
const IDLE: Duration = Duration::from_millis(200);

/// How much may wait, and who hears of flushes.
pub struct WriterOptions {
    /// Bytes that may wait; 64 MiB, as much as a stalled disk may cost in memory.
    pub waiting_max: u64,
    /// Bytes that are written at once; 8 MiB, a few milliseconds of a disk, so that no flush takes much longer than
    /// others.
    pub group_max: u64,
    /// Who hears of each flush.
    pub on_flush: Box<dyn FnMut(Flush) + Send>,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { waiting_max: 64 << 20, group_max: 8 << 20, on_flush: Box::new(|_| {}) }
    }
}

impl fmt::Debug for WriterOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options = f.debug_struct("WriterOptions");
        options.field("waiting_max", &self.waiting_max).field("group_max", &self.group_max).finish_non_exhaustive()
    }
}

/// One flush: what it covered and how long it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flush {
    /// Records that it made survive.
    pub records: usize,
    /// Bytes that they took.
    pub bytes: u64,
    /// How long the write before it took.
    pub write: Duration,
    /// How long the flush itself took.
    pub flush: Duration,
}

/// Takes records for a log that is written on a thread of its own. Dropping it finishes what waits.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    reader: LogReader,
    thread: Option<JoinHandle<Log>>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    comes: Condvar,
    waiting_max: u64,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Bytes that wait or are being written.
    bytes: u64,
    /// Since when a write or a flush is under way.
    busy_since: Option<Instant>,
    /// Why nothing more is taken.
    ended: Option<Refusal>,
}

struct Job {
    records: Vec<Record>,
    bytes: u64,
    done: Done,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("records", &self.records.len()).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Writer {
    /// Writes a log on a thread of its own from now on.
    ///
    /// # Errors
    /// [`Refusal::Disk`] if the system gives no thread.
    pub fn start(log: Log, options: WriterOptions) -> Result<Self, Refusal> {
        let shared = Shared { queue: Mutex::default(), comes: Condvar::new(), waiting_max: options.waiting_max };
        let shared = Arc::new(shared);
        let reader = log.reader();
        let directory = log.directory().to_owned();
        let body = Body { shared: Arc::clone(&shared), log, options };
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || body.run());
        let thread = thread.map_err(crate::refusal::disk("starting the thread that writes", &directory))?;
        Ok(Self { shared, reader, thread: Some(thread) })
    }

    /// Takes records in. They are seen at once; `done` is told when they survive, or why they may not.
    ///
    /// # Errors
    /// Nothing was taken and `done` will not be told: [`Refusal::Full`], [`Refusal::Gap`], [`Refusal::TruncatesPurged`] or
    /// [`Refusal::TooLong`]; [`Refusal::Failed`] or [`Refusal::Closed`] when nothing more will ever be taken.
    pub fn append(
        &self,
        records: Vec<Record>,
        done: impl FnOnce(Result<(), Refusal>) + Send + 'static,
    ) -> Result<(), Refusal> {
        let bytes: u64 = records.iter().map(Record::takes).sum();
        let mut queue = self.shared.queue();
        if let Some(why) = &queue.ended {
            return Err(why.earlier());
        }
        let (waiting, max) = (queue.bytes, self.shared.waiting_max);
        // What is longer than all that may wait goes when nothing else does.
        if waiting > 0 && waiting + bytes > max {
            return Err(Refusal::Full { waiting, max });
        }
        self.reader.submit(&records)?;
        queue.bytes += bytes;
        queue.jobs.push_back(Job { records, bytes, done: Box::new(done) });
        drop(queue);
        self.shared.comes.notify_one();
        Ok(())
    }

    /// Takes records in and waits until they survive.
    ///
    /// # Errors
    /// As for [`append`](Self::append), and whatever becomes of them.
    pub fn append_and_wait(&self, records: Vec<Record>) -> Result<(), Refusal> {
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        self.append(records, move |outcome| drop(tell.send(outcome)))?;
        told.recv().unwrap_or(Err(Refusal::Closed))
    }

    /// Who reads beside it.
    #[must_use]
    pub fn reader(&self) -> LogReader {
        self.reader.clone()
    }

    /// Bytes that wait or are being written.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.shared.queue().bytes
    }

    /// For how long the write or the flush that is under way has been; none when none is.
    #[must_use]
    pub fn stalled_for(&self) -> Option<Duration> {
        self.shared.queue().busy_since.map(|since| since.elapsed())
    }

    /// Why nothing more is taken, once that is so.
    #[must_use]
    pub fn ended(&self) -> Option<Refusal> {
        self.shared.queue().ended.clone()
    }

    /// Finishes what waits, and gives the log back; none if the thread broke.
    #[must_use]
    pub fn close(mut self) -> Option<Log> {
        self.shared.end(&Refusal::Closed);
        self.thread.take().and_then(|thread| thread.join().ok())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.end(&Refusal::Closed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes nothing more.
    fn end(&self, why: &Refusal) {
        self.queue().ended.get_or_insert_with(|| why.clone());
        self.comes.notify_one();
    }
}

/// What runs on the thread.
struct Body {
    shared: Arc<Shared>,
    log: Log,
    options: WriterOptions,
}

/// What goes to the disk together.
struct Group {
    records: Vec<Record>,
    done: Vec<Done>,
    bytes: u64,
}

impl Body {
    fn run(mut self) -> Log {
        while let Some(group) = self.next() {
            let Group { records, done, bytes } = group;
            let outcome = self.carry_out(&records, bytes);
            if let Err(why) = &outcome {
                self.shared.end(why);
            }
            let mut queue = self.shared.queue();
            (queue.busy_since, queue.bytes) = (None, queue.bytes - bytes);
            drop(queue);
            for done in done {
                done(outcome.clone());
            }
            if let Err(why) = outcome {
                self.refuse_all(&why);
                break;
            }
        }
        self.log
    }

    /// Waits for the next group; none when there will be none.
    fn next(&mut self) -> Option<Group> {
        let mut is_marked = false;
        let mut queue = self.shared.queue();
        while queue.jobs.is_empty() {
            if queue.ended.is_some() {
                drop(queue);
                drop(self.log.mark());
                return None;
            }
            if is_marked {
                queue = self.shared.comes.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let waited = self.shared.comes.wait_timeout(queue, IDLE).unwrap_or_else(PoisonError::into_inner);
            queue = waited.0;
            if waited.1.timed_out() && queue.jobs.is_empty() {
                queue.busy_since = Some(Instant::now());
                drop(queue);
                if let Err(why) = self.log.mark() {
                    self.shared.end(&why);
                }
                is_marked = true;
                queue = self.shared.queue();
                queue.busy_since = None;
            }
        }
        queue.busy_since = Some(Instant::now());
        Some(queue.group(self.options.group_max))
    }

    fn carry_out(&mut self, records: &[Record], bytes: u64) -> Result<(), Refusal> {
        let begun = Instant::now();
        self.log.write(records)?;
        let written = Instant::now();
        self.log.flush()?;
        let (write, flush) = (written - begun, written.elapsed());
        (self.options.on_flush)(Flush { records: records.len(), bytes, write, flush });
        Ok(())
    }

    fn refuse_all(&self, why: &Refusal) {
        let jobs = std::mem::take(&mut self.shared.queue().jobs);
        for job in jobs {
            (job.done)(Err(why.earlier()));
        }
    }
}

impl Queue {
    fn group(&mut self, bytes_max: u64) -> Group {
        let mut group = Group { records: Vec::new(), done: Vec::new(), bytes: 0 };
        while let Some(job) = self.jobs.pop_front_if(|job| group.bytes == 0 || group.bytes + job.bytes <= bytes_max) {
            group.bytes += job.bytes;
            group.records.extend(job.records);
            group.done.push(job.done);
        }
        group
    }
}
