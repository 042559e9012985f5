//! Faults, drawn one after the other, held for a while and undone.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rustix::process::Signal;

use crate::clients::Stage;
use crate::luck::Luck;
use crate::members::{Members, Weight};
use crate::shim::{Control, EIO, ENOSPC};
use crate::ways::Ways;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A process is killed.
    Kill,
    /// A process is killed and all that it had not flushed is gone; often all of them at once.
    Power,
    /// A process stands still.
    Pause,
    /// A process is asked to end.
    Stop,
    /// Nothing comes to a member, and nothing from it.
    Cut,
    /// Nothing comes to a member.
    Deaf,
    /// Nothing comes from a member.
    Mute,
    /// Two members cannot reach each other.
    Link,
    /// What goes between members is late.
    Late,
    /// A wall clock jumps, to and fro.
    Clock,
    /// A disk takes its time to flush.
    SlowDisk,
    /// A disk fails to flush.
    BadDisk,
    /// A disk is full.
    FullDisk,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 13] = [
        Self::Kill,
        Self::Power,
        Self::Pause,
        Self::Stop,
        Self::Cut,
        Self::Deaf,
        Self::Mute,
        Self::Link,
        Self::Late,
        Self::Clock,
        Self::SlowDisk,
        Self::BadDisk,
        Self::FullDisk,
    ];

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Power => "power",
            Self::Pause => "pause",
            Self::Stop => "stop",
            Self::Cut => "cut",
            Self::Deaf => "deaf",
            Self::Mute => "mute",
            Self::Link => "link",
            Self::Late => "late",
            Self::Clock => "clock",
            Self::SlowDisk => "slow-disk",
            Self::BadDisk => "bad-disk",
            Self::FullDisk => "full-disk",
        }
    }

    /// Whether it takes functions that stand before the C library's.
    #[must_use]
    pub fn needs_shim(self) -> bool {
        matches!(self, Self::Power | Self::Clock | Self::SlowDisk | Self::BadDisk | Self::FullDisk)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let all: Vec<_> = Self::ALL.iter().map(|kind| kind.word()).collect();
        let known = Self::ALL.into_iter().find(|kind| kind.word() == word);
        known.ok_or_else(|| format!("{word:?} is no fault: there are {}", all.join(", ")))
    }
}

/// A fault that holds: what, and whom it met.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    kind: Kind,
    members: Vec<usize>,
    /// The other end of a link.
    other: usize,
}

/// Breaks things until the time is over, and undoes all of it; what was done and when.
pub(crate) struct Breaker<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) members: &'a mut Members,
    pub(crate) ways: &'a Ways,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) told: Vec<String>,
    /// What the members took, from time to time.
    pub(crate) weights: Vec<Weight>,
}

impl Breaker<'_> {
    pub(crate) fn run(&mut self, length: Duration) -> Result<(), String> {
        let mut luck = Luck::of(self.stage.seed, 1);
        let end = self.stage.begun.elapsed() + length;
        let left = |stage: &Stage| end.saturating_sub(stage.begun.elapsed());
        while !left(self.stage).is_zero() {
            std::thread::sleep(luck.millis(100, 1500).min(left(self.stage)));
            self.members.look();
            self.weights.extend(self.members.weigh());
            if self.kinds.is_empty() || left(self.stage).is_zero() {
                continue;
            }
            let mut held = vec![self.begin(&mut luck)];
            if luck.hits(25) {
                std::thread::sleep(luck.millis(0, 500));
                held.push(self.begin(&mut luck));
            }
            let longest = if luck.hits(70) { 1500 } else { 5000 };
            std::thread::sleep(luck.millis(50, longest).min(left(self.stage)));
            self.members.look();
            for held in held.into_iter().rev() {
                self.undo(&held)?;
            }
        }
        self.ways.mend();
        for member in 0..self.members.count() {
            if !self.members.runs(member) {
                self.members.start(member)?;
            }
            self.members.answers(member)?;
        }
        self.tell("all is well again");
        Ok(())
    }

    fn tell(&mut self, what: &str) {
        self.told.push(format!("{:9.3} s  {what}", self.stage.begun.elapsed().as_secs_f64()));
    }

    fn begin(&mut self, luck: &mut Luck) -> Held {
        let count = self.members.count();
        let kind = *luck.pick(&self.kinds);
        let (drawn, leads, all) = (luck.below(count as u64) as usize, luck.hits(60), luck.hits(60));
        let step = 1 + luck.below(count.max(2) as u64 - 1) as usize;
        let (late, amount) = (luck.millis(5, 250), luck.below(7200) as i64 - 3600);
        let target = if leads { self.members.leader().unwrap_or(drawn) } else { drawn };
        let other = (target + step) % count;
        let members = match kind {
            Kind::Power if all => (0..count).collect(),
            Kind::Late => (0..count).filter(|member| all || *member == target).collect(),
            _ => vec![target],
        };
        let names: Vec<_> = members.iter().map(|member| format!("n{}", member + 1)).collect();
        let (names, other_name) = (names.join(", "), other + 1);
        let told = match kind {
            Kind::Link => format!("{kind} {names} to n{other_name}"),
            Kind::Clock => format!("{kind} {names} by {amount} s"),
            Kind::Late | Kind::SlowDisk => format!("{kind} {names} by {late:?} and more"),
            _ => format!("{kind} {names}"),
        };
        self.tell(&told);
        let held = Held { kind, members, other };
        self.carry_out(&held, late, amount);
        held
    }

    fn carry_out(&mut self, held: &Held, late: Duration, amount: i64) {
        let Held { kind, members, other } = held;
        match kind {
            Kind::Kill => self.members.kill(members, false),
            Kind::Power => self.members.kill(members, true),
            Kind::Stop => members.iter().for_each(|member| self.members.stop(*member)),
            Kind::Pause => members.iter().for_each(|member| self.members.signal(*member, Signal::STOP)),
            Kind::Cut | Kind::Deaf | Kind::Mute => {
                for (member, peer) in self.pairs(members) {
                    self.ways.cut(peer, member, *kind != Kind::Mute);
                    self.ways.cut(member, peer, *kind != Kind::Deaf);
                }
            }
            Kind::Link => {
                self.ways.cut(members[0], *other, true);
                self.ways.cut(*other, members[0], true);
            }
            Kind::Late => {
                for (member, peer) in self.pairs(members) {
                    self.ways.late(member, peer, late);
                    self.ways.late(peer, member, late);
                }
            }
            Kind::Clock | Kind::SlowDisk | Kind::BadDisk | Kind::FullDisk => {
                for control in members.iter().filter_map(|member| self.members.control(*member)) {
                    match kind {
                        Kind::Clock => control.wall(amount),
                        Kind::SlowDisk => control.flush_late(late * 8),
                        Kind::BadDisk => control.flush_fails(EIO),
                        _ => control.write_fails(ENOSPC),
                    }
                }
            }
        }
    }

    fn pairs(&self, members: &[usize]) -> Vec<(usize, usize)> {
        let count = self.members.count();
        let peers = |member: usize| (0..count).filter(move |peer| *peer != member).map(move |peer| (member, peer));
        members.iter().flat_map(|member| peers(*member)).collect()
    }

    fn undo(&mut self, held: &Held) -> Result<(), String> {
        let Held { kind, members, .. } = held;
        match kind {
            Kind::Kill | Kind::Power | Kind::Stop => {}
            Kind::Pause => members.iter().for_each(|member| self.members.signal(*member, Signal::CONT)),
            Kind::Cut | Kind::Deaf | Kind::Mute | Kind::Link | Kind::Late => self.ways.mend(),
            Kind::Clock | Kind::SlowDisk | Kind::BadDisk | Kind::FullDisk => {
                self.members.look();
                members.iter().filter_map(|member| self.members.control(*member)).for_each(Control::mend);
                // Whoever had a disk that failed takes part again when it is started again, from what is really there.
                if matches!(kind, Kind::BadDisk | Kind::FullDisk) {
                    self.members.kill(members, true);
                }
            }
        }
        self.tell(&format!("{kind} is over"));
        for member in members {
            if !self.members.runs(*member) {
                self.members.start(*member)?;
            }
        }
        Ok(())
    }
}
