//! Finds what a log was when it was left, and makes it ready to go on.
//!
//! Segments are read from the oldest to the last. In all but the last everything was flushed before the next one began,
//! so what cannot be read there is damage. In the last, what cannot be read is a torn tail unless a later record knows it
//! to have been flushed; a torn tail was confirmed to nobody and is cut. What is left of the last segment and is not known
//! to have been flushed is written once more and flushed: what a process reads after another one failed to flush may
//! stand in the system's memory alone.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::format::{Base, HEAD, Head, Kind, NoHead, VERSION};
use super::replay::{Replay, Sealed};
use super::scan::Scan;
use super::spare::{Maker, SPARE, Spare, UNREADY};
use super::view::{LogReader, Segment};
use super::{Active, DIGITS, Held, Log, Options, SUFFIX, name};
use crate::disk::{Disk, read_whole};
use crate::refusal::{Refusal, disk};

/// What a log was when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The first entry; none where there is no entry.
    pub first: Option<u64>,
    /// The last entry; none where there is no entry.
    pub last: Option<u64>,
    /// The last entry that was purged, whether it was ever here or not; none where none was.
    pub purged: Option<u64>,
    /// The state beside the entries; none where there never was one.
    pub state: Option<Bytes>,
    /// What was cut off at the end.
    pub cut: Option<Cut>,
}

/// A torn tail: what was being written when the process or the machine stopped, and was confirmed to nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// In which file.
    pub file: PathBuf,
    /// From which byte on.
    pub at: u64,
    /// How many bytes; where the file had an earlier life, at least so many.
    pub bytes: u64,
}

impl Log {
    /// Opens the log of a directory, and begins one where there is none.
    ///
    /// # Errors
    /// [`Refusal::Locked`] while another process has it open; [`Refusal::Corrupt`] or [`Refusal::Missing`] where what was
    /// flushed once is not there as it was; [`Refusal::Version`] for a format that is not known; [`Refusal::Disk`] and
    /// [`Refusal::NoSpace`] where the disk does not do what it must.
    pub fn open(
        on: impl Disk + 'static,
        directory: impl AsRef<Path>,
        options: Options,
    ) -> Result<(Self, Recovered), Refusal> {
        Self::open_on(Arc::new(on), directory.as_ref(), options)
    }

    fn open_on(on: Arc<dyn Disk>, directory: &Path, options: Options) -> Result<(Self, Recovered), Refusal> {
        on.create_directory(directory).map_err(disk("creating", directory))?;
        let lock = directory.join("lock");
        let held = on.lock(&lock).map_err(disk("locking", &lock))?;
        let held = held.ok_or_else(|| Refusal::Locked { directory: directory.to_owned() })?;
        let maker = Maker { disk: on, directory: directory.to_owned(), length: options.segment_bytes() };
        let there = There::look(&maker)?;
        let mut replay = Replay::default();
        let mut segments = Vec::new();
        let mut end: Option<End> = None;
        for (left, number) in (0..there.numbers.len()).rev().zip(&there.numbers) {
            let read = Read::segment(&maker, *number)?;
            end = Some(read.replay(&mut replay, end.as_ref(), left == 0)?);
            segments.push(Arc::new(read.segment));
        }
        if let Some((from, to)) = replay.missing() {
            return Err(Refusal::Missing { directory: directory.to_owned(), from, to });
        }
        let mut log = Self::begin(maker, options, Held(held), &replay);
        for number in &there.older {
            log.remove(&name(*number))?;
        }
        if there.has_spare {
            log.spare = Spare::Ready { is_zeros: false };
        }
        let recovered = Recovered {
            first: log.first(),
            last: log.last(),
            purged: replay.base.purged.then(|| replay.base.first.saturating_sub(1)),
            state: replay.base.state.clone(),
            cut: end.as_ref().and_then(End::cut),
        };
        match end {
            Some(end) => log.resume(&end, &segments, replay.segments)?,
            None => log.rotate()?,
        }
        Ok((log, recovered))
    }

    fn begin(maker: Maker, options: Options, held: Held, replay: &Replay) -> Self {
        let submitted = Base { state: None, ..replay.base };
        Self {
            reader: LogReader::new(submitted, replay.places.clone(), options.recent, maker.length),
            maker,
            salt: options.salt.unwrap_or_else(drawn),
            aside: options.aside,
            active: None,
            written: replay.base.clone(),
            sealed: VecDeque::new(),
            gives_back: false,
            spare: Spare::None,
            buffer: Vec::new(),
            failed: None,
            _held: held,
        }
    }

    /// Goes on in the last segment, behind what is whole in it.
    fn resume(&mut self, end: &End, segments: &[Arc<Segment>], mut sealed: Vec<Sealed>) -> Result<(), Refusal> {
        for segment in segments {
            self.reader.add(Arc::clone(segment));
        }
        let (Some(segment), Some(last)) = (segments.last().cloned(), sealed.pop()) else { return Ok(()) };
        self.sealed = sealed.into();
        let path = &segment.path;
        segment.file.write_at(&end.doubtful, end.flushed.into()).map_err(disk("writing", path))?;
        segment.file.write_at(&vec![0; end.torn as usize], end.at.into()).map_err(disk("writing", path))?;
        segment.file.flush().map_err(disk("flushing", path))?;
        self.flush_directory()?;
        self.active = Some(Active {
            highest: last.highest,
            size: end.size,
            end: end.at,
            flushed: end.at,
            marked: end.flushed,
            chain: end.chain,
            epoch: end.epoch.saturating_add(1),
            segment,
        });
        if end.epoch == u16::MAX { self.rotate() } else { self.mark() }
    }
}

/// What is in the directory.
struct There {
    /// The segments, of which none is missing between the first and the last.
    numbers: Vec<u32>,
    /// Those before a gap: their removal was not finished.
    older: Vec<u32>,
    has_spare: bool,
}

impl There {
    fn look(maker: &Maker) -> Result<Self, Refusal> {
        let directory = &maker.directory;
        let names = maker.disk.list(directory).map_err(disk("listing", directory))?;
        let remove = |name: &str| {
            let path = directory.join(name);
            maker.disk.remove(&path).map_err(disk("removing", &path))
        };
        if names.iter().any(|name| name == UNREADY) {
            remove(UNREADY)?;
        }
        let mut has_spare = names.iter().any(|name| name == SPARE);
        if has_spare && maker.length_of_spare()? != maker.length {
            remove(SPARE)?;
            has_spare = false;
        }
        let mut older: Vec<u32> = names.iter().filter_map(|name| number(name)).collect();
        older.sort_unstable();
        let gap = older.windows(2).rposition(|two| two[0] + 1 != two[1]);
        let numbers = older.split_off(gap.map_or(0, |gap| gap + 1));
        Ok(Self { numbers, older, has_spare })
    }
}

/// A segment's file and all that is in it.
struct Read {
    segment: Segment,
    head: Head,
    bytes: Vec<u8>,
}

/// Where a segment's records end.
struct End {
    path: PathBuf,
    /// Behind the last record.
    at: u32,
    chain: u32,
    epoch: u16,
    /// Up to where all is known to have been flushed.
    flushed: u32,
    /// The records behind that.
    doubtful: Vec<u8>,
    /// Bytes behind the last record that are none.
    torn: u64,
    size: u32,
}

impl End {
    fn cut(&self) -> Option<Cut> {
        (self.torn > 0).then(|| Cut { file: self.path.clone(), at: self.at.into(), bytes: self.torn })
    }
}

impl Read {
    fn segment(maker: &Maker, number: u32) -> Result<Self, Refusal> {
        let path = maker.directory.join(name(number));
        let file = maker.disk.open(&path).map_err(disk("opening", &path))?;
        let bytes = read_whole(&*file).map_err(disk("reading", &path))?;
        let head = Head::decode(&bytes).map_err(|why| match why {
            NoHead::Version(found) => Refusal::Version { file: path.clone(), found, known: VERSION },
            NoHead::Damaged => Refusal::corrupt(&path, 0_u64, "its head cannot be read"),
        })?;
        if head.number != number {
            return Err(Refusal::corrupt(&path, 16_u64, format!("it is segment {} by its head", head.number)));
        }
        let salted = head.salted();
        Ok(Self { segment: Segment { number, salted, path, file }, head, bytes })
    }

    /// Takes its records, which follow those of the segment before.
    fn replay(&self, replay: &mut Replay, before: Option<&End>, is_last: bool) -> Result<End, Refusal> {
        if let Some(before) = before.filter(|before| before.chain != self.head.before) {
            let what = "a record that the next segment follows cannot be read";
            return Err(Refusal::corrupt(&before.path, before.at, what));
        }
        let path = &self.segment.path;
        replay.begin(self.segment.number);
        let mut scan = Scan::new(&self.bytes, &self.head);
        let mut base_end = 0;
        while let Some(found) = scan.next() {
            let is_first = found.at as usize == HEAD;
            if is_first != (found.header.kind == Kind::Base) {
                return Err(Refusal::corrupt(path, found.at, "it does not begin with what it goes on from"));
            }
            base_end = if is_first { scan.at } else { base_end };
            let applied = replay.apply(&found, &self.bytes[found.body.clone()]);
            applied.map_err(|what| Refusal::corrupt(path, found.at, what))?;
        }
        if base_end == 0 {
            return Err(Refusal::corrupt(path, HEAD as u64, "its first record cannot be read"));
        }
        replay.end(scan.at);
        let mut end = End {
            path: path.clone(),
            at: scan.at,
            chain: scan.chain,
            epoch: scan.epoch,
            flushed: scan.flushed.max(base_end),
            doubtful: Vec::new(),
            torn: 0,
            size: u32::try_from(self.bytes.len()).unwrap_or(u32::MAX),
        };
        if is_last {
            self.look_behind(&scan, &mut end)?;
        }
        Ok(end)
    }

    /// What stands behind the last record of the last segment.
    fn look_behind(&self, scan: &Scan<'_>, end: &mut End) -> Result<(), Refusal> {
        let tail = scan.tail(self.head.was_zeros);
        if tail.flushed > scan.at {
            let what = format!("the record there cannot be read, and all up to byte {} was flushed", tail.flushed);
            return Err(Refusal::corrupt(&self.segment.path, scan.at, what));
        }
        end.epoch = tail.epoch;
        end.torn = tail.bytes;
        end.doubtful = self.bytes[end.flushed as usize..end.at as usize].to_vec();
        Ok(())
    }
}

/// A salt from the system's luck.
fn drawn() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The number of the segment that has this name.
fn number(name: &str) -> Option<u32> {
    name.strip_suffix(SUFFIX).filter(|digits| digits.len() == DIGITS)?.parse().ok()
}
