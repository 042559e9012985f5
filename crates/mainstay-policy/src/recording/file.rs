//! The file of one worker: a mark, a head, blocks of events, and an end that says why it ends there.
//!
//! Every block has its length and a checksum, and these a checksum of their own. So what a worker that was killed left
//! unfinished is told from what was changed afterwards, and either with its place. Events are read in their order, for
//! each is worth something only after those before it: a damaged block ends the reading.

use mainstay_core::crc;

use super::code::Base;
use super::{Code, Event, Reader, Writer, Wrong, coded, read_event};

/// What every recording begins with.
const MARK: [u8; 8] = *b"mainsrec";

/// The format that is written. Others are not read: decisions of another version are other decisions.
pub const FORMAT: u16 = 1;

/// Bytes of a block at the most.
pub const BLOCK_MAX: usize = 16 << 20;

/// Length, checksum, and the checksum of both.
const FRAME: usize = 12;

/// Bytes that a block takes beside its content: its frame and its kind.
pub const BLOCK_TAKES: u64 = FRAME as u64 + 1;

/// The name of a worker's file in the directory of a recording.
#[must_use]
pub fn name(worker: usize) -> String {
    format!("worker-{worker}.rec")
}

/// Whose recording it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The version that made it.
    pub version: std::sync::Arc<str>,
    /// Which worker, from 0.
    pub worker: u32,
    /// How many workers there were.
    pub workers: u32,
}
coded! { struct Head { version, worker, workers } }

/// Why a recording ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The worker ended.
    Stopped,
    /// It had the size that it may have.
    Full,
    /// Nobody took what was written as quickly as it came.
    Gap,
    /// It could not be written.
    Failed,
}
coded! { enum Ending { 0 => Stopped, 1 => Full, 2 => Gap, 3 => Failed } }

impl Ending {
    /// The words for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "the worker ended",
            Self::Full => "the recording was full",
            Self::Gap => "the disk was too slow, so there is a gap",
            Self::Failed => "the file could not be written",
        }
    }
}

/// Why bytes are no whole recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// They never were one.
    NoRecording,
    /// Another version wrote them.
    OtherFormat {
        /// In this format.
        found: u16,
    },
    /// They end without an end, after so many bytes that are well: whoever wrote them was killed.
    Torn {
        /// Where what is well ends.
        at: u64,
    },
    /// They were changed.
    Damaged {
        /// Where.
        at: u64,
    },
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoRecording => f.write_str("this is no recording of Mainstay"),
            Self::OtherFormat { found } => {
                write!(f, "it is a recording of format {found}, and this version reads format {FORMAT}")
            }
            Self::Torn { at } => write!(f, "it ends without an end after byte {at}: whoever wrote it was killed"),
            Self::Damaged { at } => write!(f, "it is damaged at byte {at}"),
        }
    }
}

impl std::error::Error for Damage {}

/// What a block has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Head = 0,
    Events = 1,
    End = 2,
}

/// The beginning of a file.
#[must_use]
pub fn begin(head: &Head) -> Vec<u8> {
    let mut file = MARK.to_vec();
    file.extend_from_slice(&FORMAT.to_le_bytes());
    frame(Kind::Head, &written(head), &mut file);
    file
}

/// A block of events, appended to `file`.
pub fn block(events: &[u8], file: &mut Vec<u8>) {
    frame(Kind::Events, events, file);
}

/// The end, appended to `file`.
pub fn end(why: Ending, file: &mut Vec<u8>) {
    frame(Kind::End, &written(&why), file);
}

fn written(value: &impl Code) -> Vec<u8> {
    let mut writer = Writer { bytes: Vec::new(), base: Base::default() };
    value.write(&mut writer);
    writer.bytes
}

fn frame(kind: Kind, content: &[u8], file: &mut Vec<u8>) {
    let at = file.len();
    let length = content.len() as u32 + 1;
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(&[0; 8]);
    file.push(kind as u8);
    file.extend_from_slice(content);
    let whole = crc(&file[at + FRAME..]).to_le_bytes();
    file[at + 4..at + 8].copy_from_slice(&whole);
    let of_both = crc(&file[at..at + 8]).to_le_bytes();
    file[at + 8..at + FRAME].copy_from_slice(&of_both);
}

/// The events of one worker.
#[derive(Debug, Clone)]
pub struct Recording<'a> {
    head: Head,
    file: &'a [u8],
    /// Where the next block begins.
    next: usize,
    /// Where the content of this one begins.
    begins: usize,
    reader: Reader<'a>,
    ending: Option<Ending>,
}

impl<'a> Recording<'a> {
    /// Reads the head of a recording.
    ///
    /// # Errors
    /// [`Damage`], where not even the head is well.
    pub fn open(file: &'a [u8]) -> Result<Self, Damage> {
        let Some((mark, rest)) = file.split_first_chunk::<{ MARK.len() }>() else { return Err(Damage::NoRecording) };
        if *mark != MARK {
            return Err(Damage::NoRecording);
        }
        let Some((format, _)) = rest.split_first_chunk::<2>() else { return Err(Damage::Torn { at: 0 }) };
        let found = u16::from_le_bytes(*format);
        if found != FORMAT {
            return Err(Damage::OtherFormat { found });
        }
        let begins = MARK.len() + 2;
        let (kind, content, next) = unframed(file, begins)?;
        let mut reader = Reader::new(content, Base::default());
        let head = Head::read(&mut reader).ok().filter(|_| kind == Kind::Head as u8 && reader.left() == 0);
        let head = head.ok_or(Damage::Damaged { at: begins as u64 })?;
        Ok(Self { head, file, next, begins, reader: Reader::new(&[], Base::default()), ending: None })
    }

    /// Whose it is.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Why it ends, once its end was read.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// The next event; `None` after the last.
    ///
    /// # Errors
    /// [`Damage`]: nothing can be read after it.
    pub fn next_event(&mut self) -> Result<Option<Event>, Damage> {
        while self.reader.left() == 0 {
            if self.ending.is_some() {
                return Ok(None);
            }
            self.open_block()?;
        }
        read_event(&mut self.reader).map(Some).map_err(|_: Wrong| self.damaged())
    }

    fn open_block(&mut self) -> Result<(), Damage> {
        let (kind, content, next) = unframed(self.file, self.next)?;
        self.begins = self.next + BLOCK_TAKES as usize;
        self.next = next;
        self.reader = Reader::new(content, self.reader.base);
        match kind {
            kind if kind == Kind::Events as u8 && !content.is_empty() => Ok(()),
            kind if kind == Kind::End as u8 => {
                let ending = Ending::read(&mut self.reader).map_err(|_| self.damaged())?;
                // Nothing stands behind the end.
                if self.reader.left() > 0 || self.next < self.file.len() {
                    return Err(self.damaged());
                }
                self.ending = Some(ending);
                Ok(())
            }
            _ => Err(self.damaged()),
        }
    }

    fn damaged(&self) -> Damage {
        Damage::Damaged { at: (self.begins + self.reader.at()) as u64 }
    }
}

/// The kind and the content of the block at `at`, and where the next one begins.
fn unframed(file: &[u8], at: usize) -> Result<(u8, &[u8], usize), Damage> {
    let (torn, damaged) = (Damage::Torn { at: at as u64 }, Damage::Damaged { at: at as u64 });
    let Some((frame, rest)) = file.get(at..).and_then(|rest| rest.split_first_chunk::<FRAME>()) else {
        return Err(torn);
    };
    let number = |from: usize| frame[from..from + 4].iter().rev().fold(0, |all, byte| all << 8 | u32::from(*byte));
    if crc(&frame[..8]) != number(8) {
        return Err(damaged);
    }
    let length = number(0) as usize;
    if length == 0 || length > BLOCK_MAX {
        return Err(damaged);
    }
    let Some((block, _)) = rest.split_at_checked(length) else { return Err(torn) };
    if crc(block) != number(4) {
        return Err(damaged);
    }
    Ok((block[0], &block[1..], at + FRAME + length))
}
