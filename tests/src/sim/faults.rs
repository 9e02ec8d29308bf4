//! What can break, and how often it does.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::clock::{MILLI, Micros, SECOND};
use super::rng::Rng;

/// A kind of fault. Each can be left out of a run, which is how failing runs are made smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// A process dies and comes back.
    Crash,
    /// All processes die at once.
    Blackout,
    /// A process stands still for long and goes on.
    Pause,
    /// The network falls into parts, in both directions or in one.
    Partition,
    /// Some links become slow for a while.
    SlowLink,
    /// A wall clock jumps.
    ClockJump,
    /// A flush fails; the process has to end.
    FlushFailure,
    /// A disk is full; the process has to end.
    FullDisk,
    /// Durable bytes change; the node must notice or not need them.
    Damage,
    /// A process dies at any operation of a flush: before, within or after it.
    CrashInFlush,
    /// A process dies after some of the messages that it was about to send.
    CrashInSend,
    /// Packets are lost.
    Loss,
    /// Packets arrive twice.
    Duplication,
    /// Packets are late by seconds, on some links by minutes.
    Lateness,
    /// Wall clocks are wrong.
    Skew,
    /// Clients change the validator set and parameters.
    SetChange,
    /// Some validators are Byzantine.
    Byzantine,
    /// The network, and who is struck by crashes, follow a plot.
    Plot,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 18] = [
        Self::Crash,
        Self::Blackout,
        Self::Pause,
        Self::Partition,
        Self::SlowLink,
        Self::ClockJump,
        Self::FlushFailure,
        Self::FullDisk,
        Self::Damage,
        Self::CrashInFlush,
        Self::CrashInSend,
        Self::Loss,
        Self::Duplication,
        Self::Lateness,
        Self::Skew,
        Self::SetChange,
        Self::Byzantine,
        Self::Plot,
    ];

    /// The kinds that happen at times of their own.
    pub const TIMED: [Self; 9] = [
        Self::Crash,
        Self::Blackout,
        Self::Pause,
        Self::Partition,
        Self::SlowLink,
        Self::ClockJump,
        Self::FlushFailure,
        Self::FullDisk,
        Self::Damage,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Blackout => "blackout",
            Self::Pause => "pause",
            Self::Partition => "partition",
            Self::SlowLink => "slow-link",
            Self::ClockJump => "clock-jump",
            Self::FlushFailure => "flush-failure",
            Self::FullDisk => "full-disk",
            Self::Damage => "damage",
            Self::CrashInFlush => "crash-in-flush",
            Self::CrashInSend => "crash-in-send",
            Self::Loss => "loss",
            Self::Duplication => "duplication",
            Self::Lateness => "lateness",
            Self::Skew => "skew",
            Self::SetChange => "set-change",
            Self::Byzantine => "byzantine",
            Self::Plot => "plot",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FaultKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::name);
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("`{text}` is no kind of fault; known are {}", known.join(", ")))
    }
}

/// How often things break in the safety phase.
#[derive(Debug, Clone)]
pub struct FaultProfile {
    /// Mean time between two faults of a kind, for the timed kinds that happen at all.
    pub intervals: BTreeMap<FaultKind, Micros>,
    /// Longest time that a crashed node stays down.
    pub downtime_max: Micros,
    /// Longest pause of a process.
    pub pause_max: Micros,
    /// Longest partition, and longest time that links are slow.
    pub partition_max: Micros,
    /// Of a thousand flushes, during how many the process crashes.
    pub flush_crashes_per_mille: u64,
    /// Of a thousand flushes, after how many the process crashes while it sends what it made durable.
    pub send_crashes_per_mille: u64,
    /// Largest wrongness of a wall clock, in milliseconds.
    pub skew_max_ms: u64,
}

impl FaultProfile {
    /// Faults of a seed, from none to many.
    pub fn new(rng: &mut Rng) -> Self {
        let choices: [(FaultKind, [Option<Micros>; 4]); 9] = [
            (FaultKind::Crash, [None, Some(6 * SECOND), Some(3 * SECOND), Some(SECOND)]),
            (FaultKind::Blackout, [None, None, None, Some(9 * SECOND)]),
            (FaultKind::Pause, [None, None, Some(8 * SECOND), Some(3 * SECOND)]),
            (FaultKind::Partition, [None, None, Some(3 * SECOND), Some(6 * SECOND)]),
            (FaultKind::SlowLink, [None, None, Some(4 * SECOND), Some(2 * SECOND)]),
            (FaultKind::ClockJump, [None, None, None, Some(5 * SECOND)]),
            (FaultKind::FlushFailure, [None, None, None, Some(5 * SECOND)]),
            (FaultKind::FullDisk, [None, None, None, Some(8 * SECOND)]),
            (FaultKind::Damage, [None, None, None, Some(8 * SECOND)]),
        ];
        let drawn = choices.map(|(kind, intervals)| (kind, intervals[rng.index(4)]));
        Self {
            intervals: drawn.into_iter().filter_map(|(kind, interval)| Some((kind, interval?))).collect(),
            downtime_max: [200 * MILLI, 2 * SECOND, 8 * SECOND][rng.index(3)],
            pause_max: [500 * MILLI, 10 * SECOND][rng.index(2)],
            partition_max: [SECOND, 5 * SECOND][rng.index(2)],
            flush_crashes_per_mille: [0, 0, 2, 5][rng.index(4)],
            send_crashes_per_mille: [0, 0, 2, 5][rng.index(4)],
            skew_max_ms: [0, 100, 900][rng.index(3)],
        }
    }

    /// No faults at all.
    pub fn none() -> Self {
        Self {
            intervals: BTreeMap::new(),
            downtime_max: MILLI,
            pause_max: MILLI,
            partition_max: MILLI,
            flush_crashes_per_mille: 0,
            send_crashes_per_mille: 0,
            skew_max_ms: 0,
        }
    }

    /// Leaves one kind out.
    pub fn remove(&mut self, kind: FaultKind) {
        self.intervals.remove(&kind);
        match kind {
            FaultKind::CrashInFlush => self.flush_crashes_per_mille = 0,
            FaultKind::CrashInSend => self.send_crashes_per_mille = 0,
            FaultKind::Skew => self.skew_max_ms = 0,
            _ => {}
        }
    }
}

/// A time around the mean: between a tenth of it and nearly twice it.
pub fn around(mean: Micros, rng: &mut Rng) -> Micros {
    rng.within(mean / 10..=mean * 19 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name() {
        for kind in FaultKind::ALL {
            assert_eq!(kind.to_string().parse::<FaultKind>(), Ok(kind));
        }
        assert!("crashes".parse::<FaultKind>().is_err_and(|error| error.contains("blackout")));
    }
}
