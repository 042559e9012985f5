//! What stands on a disk after some steps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Step;

/// Bytes that reach the disk together, whatever else is lost: half a kibibyte, the least that disks write.
const BLOCK: usize = 512;

/// What is left of the unflushed when power is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing.
    Nothing,
    /// All of it.
    All,
    /// All but the last so many bytes of the last write.
    AllBut(usize),
    /// Of names, blocks and bytes some, in any order, as this luck has it: a block is there, is not, or is torn at a byte.
    Some(u64),
}

/// Names and contents.
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    pub(super) names: BTreeMap<PathBuf, usize>,
    pub(super) files: Vec<Vec<u8>>,
}

impl Image {
    pub(super) fn take(&mut self, step: &Step) {
        match step {
            Step::Create { path, file } => {
                self.content(*file);
                self.names.insert(path.clone(), *file);
            }
            Step::Rename { from, to } => {
                if let Some(file) = self.names.remove(from) {
                    self.names.insert(to.clone(), file);
                }
            }
            Step::Remove { path } => drop(self.names.remove(path)),
            Step::Extend { file, length } => self.write(*file, *length, &[]),
            Step::Write { file, at, bytes } => self.write(*file, *at, bytes),
            Step::Zeros { file, at, length } => self.write(*file, *at, &vec![0; *length]),
            Step::Flip { file, at, mask } => self.content(*file)[*at] ^= mask,
            Step::Flush { .. } | Step::Lost { .. } | Step::FlushDirectory { .. } => {}
        }
    }

    fn content(&mut self, file: usize) -> &mut Vec<u8> {
        if self.files.len() <= file {
            self.files.resize(file + 1, Vec::new());
        }
        &mut self.files[file]
    }

    fn write(&mut self, file: usize, at: usize, bytes: &[u8]) {
        let content = self.content(file);
        if content.len() < at + bytes.len() {
            content.resize(at + bytes.len(), 0);
        }
        content[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Steps that lead here, with nothing unflushed.
    pub(super) fn as_steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (path, file) in &self.names {
            steps.push(Step::Create { path: path.clone(), file: *file });
            steps.push(Step::Write { file: *file, at: 0, bytes: self.files[*file].as_slice().into() });
            steps.push(Step::Flush { file: *file });
            let directory = path.parent().unwrap_or(Path::new("")).to_owned();
            steps.push(Step::FlushDirectory { directory });
        }
        steps
    }
}

/// What stands on the disk when power was lost after these steps.
pub(super) fn after_power_loss(steps: &[Step], left: Left) -> Image {
    let mut flushed = Image::default();
    let mut unflushed: Vec<&Step> = Vec::new();
    for step in steps {
        match step {
            Step::Flush { file } => settle(&mut unflushed, Some(&mut flushed), |step| writes_to(step, *file)),
            Step::Lost { file } => settle(&mut unflushed, None, |step| writes_to(step, *file)),
            Step::FlushDirectory { directory } => {
                settle(&mut unflushed, Some(&mut flushed), |step| names_in(step, directory));
            }
            Step::Flip { .. } => flushed.take(step),
            _ => unflushed.push(step),
        }
    }
    let mut luck = Luck(if let Left::Some(seed) = left { seed } else { 0 });
    let last = unflushed.iter().rposition(|step| matches!(step, Step::Write { .. }));
    for (place, step) in unflushed.iter().enumerate() {
        match (left, step) {
            (Left::Nothing, _) => {}
            (Left::AllBut(bytes), Step::Write { file, at, bytes: written }) if Some(place) == last => {
                flushed.write(*file, *at, &written[..written.len().saturating_sub(bytes)]);
            }
            (Left::All | Left::AllBut(_), _) => flushed.take(step),
            (Left::Some(_), Step::Write { file, at, bytes }) => some(&mut flushed, *file, *at, bytes, &mut luck),
            (Left::Some(_), _) => {
                if luck.below(2) == 0 {
                    flushed.take(step);
                }
            }
        }
    }
    flushed
}

/// Some of the blocks of a write.
fn some(image: &mut Image, file: usize, mut at: usize, mut bytes: &[u8], luck: &mut Luck) {
    while !bytes.is_empty() {
        let (block, rest) = bytes.split_at(bytes.len().min(BLOCK - at % BLOCK));
        match luck.below(4) {
            0 => {}
            1 => image.write(file, at, &block[..luck.below(block.len() as u64) as usize]),
            _ => image.write(file, at, block),
        }
        at += block.len();
        bytes = rest;
    }
}

/// Takes steps out; they have happened, or they never will.
fn settle(unflushed: &mut Vec<&Step>, mut to: Option<&mut Image>, is_one: impl Fn(&Step) -> bool) {
    unflushed.retain(|step| {
        let settles = is_one(step);
        if let (true, Some(image)) = (settles, to.as_mut()) {
            image.take(step);
        }
        !settles
    });
}

fn writes_to(step: &Step, flushed: usize) -> bool {
    match step {
        Step::Extend { file, .. } | Step::Write { file, .. } | Step::Zeros { file, .. } => *file == flushed,
        _ => false,
    }
}

fn names_in(step: &Step, directory: &Path) -> bool {
    match step {
        Step::Create { path, .. } | Step::Remove { path } => path.parent() == Some(directory),
        Step::Rename { to, .. } => to.parent() == Some(directory),
        _ => false,
    }
}

/// Luck that a seed repeats: the finaliser of SplitMix64.
struct Luck(u64);

impl Luck {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}
