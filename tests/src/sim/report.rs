//! What came of a run, and of many.

use std::fmt;

use super::clock::Micros;

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant.
    pub invariant: &'static str,
    /// What broke it.
    pub detail: String,
    /// When.
    pub at: Micros,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:.3} s: {}", self.invariant, self.at as f64 / 1e6, self.detail)
    }
}

/// What happened, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Distinct heights decided.
    pub decisions: u64,
    /// Epochs entered after the first.
    pub epochs: u64,
    /// Crashes of nodes.
    pub crashes: u64,
    /// ViewChange votes of correct nodes.
    pub view_changes: u64,
    /// Views entered by correct nodes after a view change.
    pub views_entered: u64,
    /// Packets handed to the network.
    pub sent: u64,
    /// Packets that the network lost.
    pub lost: u64,
    /// Proposals that took effect.
    pub proposals: u64,
    /// The highest executed height.
    pub executed: u64,
    /// Accusations by correct nodes.
    pub accusations: u64,
    /// Virtual time from healing to the end of the run, the largest.
    pub recovery: Micros,
}

impl Counts {
    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        self.decisions += other.decisions;
        self.epochs += other.epochs;
        self.crashes += other.crashes;
        self.view_changes += other.view_changes;
        self.views_entered += other.views_entered;
        self.sent += other.sent;
        self.lost += other.lost;
        self.proposals += other.proposals;
        self.executed += other.executed;
        self.accusations += other.accusations;
        self.recovery = self.recovery.max(other.recovery);
    }
}

/// The outcome of one seed.
#[derive(Debug, Clone)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The first broken invariant; none if all held.
    pub violation: Option<Violation>,
    /// Hash of the trace.
    pub trace_hash: u64,
    /// The trace as text, if it was recorded.
    pub trace: Vec<String>,
    /// What happened.
    pub counts: Counts,
}
