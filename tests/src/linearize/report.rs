//! What is said of a run.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::Serialize;

use super::nemesis::{Fault, FaultKind};
use super::operation::{Call, Operation, Outcome};

/// A key whose history has no explanation.
#[derive(Debug, Clone, Serialize)]
pub struct Anomaly {
    /// The key.
    pub key: String,
    /// The few operations that contradict each other.
    pub operations: Vec<Operation>,
}

/// Times that operations took, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Times {
    /// Half took so long or less.
    pub p50_us: u64,
    /// 99 of 100 took so long or less.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

impl Times {
    /// Of operations that are over.
    pub fn of(operations: impl Iterator<Item = Operation>) -> Self {
        let mut times: Vec<u64> =
            operations.map(|operation| (operation.returned_ns - operation.invoked_ns) / 1_000).collect();
        times.sort_unstable();
        let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
        Self { p50_us: at(50), p99_us: at(99), max_us: times.last().copied().unwrap_or_default() }
    }
}

/// A run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What its faults and clients were drawn from.
    pub seed: u64,
    /// How fresh reads were asked to be.
    pub reads: String,
    /// How long it took, in seconds.
    pub seconds: u64,
    /// Clients.
    pub clients: usize,
    /// Keys with a history.
    pub keys: usize,
    /// Operations by what was asked and answered.
    pub operations: BTreeMap<&'static str, u64>,
    /// Reads that were refused or broke off; they say nothing.
    pub failed_reads: u64,
    /// Writes that certainly had no effect.
    pub refused_writes: u64,
    /// Writes sent again with the same key after an unknown outcome.
    pub retries: u64,
    /// Times of reads.
    pub read_times: Times,
    /// Times of writes whose outcome is known.
    pub write_times: Times,
    /// The faults.
    pub faults: Vec<Fault>,
    /// Kinds of faults that were asked for and left out, with the reason.
    pub skipped: BTreeMap<FaultKind, String>,
    /// What no order of operations explains.
    pub anomalies: Vec<Anomaly>,
}

impl Report {
    /// Operations recorded.
    pub fn operations(&self) -> u64 {
        self.operations.values().sum()
    }

    /// Kinds of faults that were asked for, not left out, and never proven to have happened.
    pub fn unproven(&self, asked: &[FaultKind]) -> Vec<FaultKind> {
        let happened =
            |kind: FaultKind| self.faults.iter().any(|fault| fault.kind == kind && fault.is_proven);
        asked.iter().copied().filter(|kind| !self.skipped.contains_key(kind) && !happened(*kind)).collect()
    }
}

/// What an operation counts as.
pub fn sort_of(operation: &Operation) -> &'static str {
    match (operation.call, operation.outcome) {
        (Call::Read, _) => "read",
        (Call::Put { .. }, Outcome::Unknown) => "put, outcome unknown",
        (Call::Put { .. }, _) => "put",
        (Call::Cas { .. }, Outcome::Mismatch) => "compare-and-set, refused",
        (Call::Cas { .. }, Outcome::Unknown) => "compare-and-set, outcome unknown",
        (Call::Cas { .. }, _) => "compare-and-set",
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts = String::new();
        for (sort, count) in &self.operations {
            write!(counts, "{}{count} x {sort}", if counts.is_empty() { "" } else { ", " })?;
        }
        writeln!(
            f,
            "seed {}, {} s, {} clients, reads {}",
            self.seed, self.seconds, self.clients, self.reads
        )?;
        writeln!(f, "{} operations on {} keys: {counts}", self.operations(), self.keys)?;
        writeln!(
            f,
            "besides: {} reads failed, {} writes refused without effect, {} sent again",
            self.failed_reads, self.refused_writes, self.retries
        )?;
        for (name, times) in [("reads", self.read_times), ("writes", self.write_times)] {
            let ms = |us: u64| format!("{}.{:03}", us / 1_000, us % 1_000);
            let (p50, p99, max) = (ms(times.p50_us), ms(times.p99_us), ms(times.max_us));
            writeln!(f, "{name}: p50 {p50} ms, p99 {p99} ms, longest {max} ms")?;
        }
        for fault in &self.faults {
            let proof = if fault.is_proven { "" } else { " (not proven)" };
            let evidence = fault.evidence.join("; ");
            writeln!(
                f,
                "{:>7} ms  {}{proof}, nodes {:?}: {evidence}",
                fault.began_ms, fault.kind, fault.nodes
            )?;
        }
        for (kind, reason) in &self.skipped {
            writeln!(f, "left out: {kind}: {reason}")?;
        }
        for anomaly in &self.anomalies {
            writeln!(f, "ANOMALY: nothing explains these operations on {}:", anomaly.key)?;
            for operation in &anomaly.operations {
                let ms = |ns: u64| ns as f64 / 1e6;
                writeln!(
                    f,
                    "  client {} by node {}, {:.3} to {:.3} ms: {:?} -> {:?}",
                    operation.client,
                    operation.node,
                    ms(operation.invoked_ns),
                    ms(operation.returned_ns),
                    operation.call,
                    operation.outcome
                )?;
            }
        }
        write!(f, "{} faults, {} anomalies", self.faults.len(), self.anomalies.len())
    }
}
