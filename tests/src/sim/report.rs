//! What came of a run, and of many.

use std::fmt;

use aegis_types::simulation::SignatureCounts;
use serde::{Deserialize, Serialize};

use super::clock::Micros;
use super::packet::Packet;

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The invariant.
    pub invariant: String,
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

/// Defines the counts, and how those of several runs are joined.
macro_rules! counts {
    (sums { $($(#[$sum_doc:meta])* $sum:ident,)* } maxima { $($(#[$max_doc:meta])* $max:ident,)* }) => {
        /// What happened, counted.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Counts {
            $($(#[$sum_doc])* pub $sum: u64,)*
            $($(#[$max_doc])* pub $max: u64,)*
        }

        impl Counts {
            /// Adds another run's counts.
            pub fn add(&mut self, other: &Self) {
                $(self.$sum += other.$sum;)*
                $(self.$max = self.$max.max(other.$max);)*
            }
        }
    };
}

counts! {
    sums {
        /// Runs.
        seeds,
        /// Distinct heights decided.
        decisions,
        /// Epochs entered after the first.
        epochs,
        /// Crashes of nodes.
        crashes,
        /// Timed faults.
        faults,
        /// Pauses of processes.
        pauses,
        /// Jumps of clocks.
        clock_jumps,
        /// Flushes that failed and ended their process.
        disk_failures,
        /// Disks whose durable bytes were changed.
        damages,
        /// Those that their node noticed when it started.
        damages_noticed,
        /// Restarts from an older copy of the disk.
        old_disks,
        /// Those that the disk gave away.
        old_disks_noticed,
        /// ViewChange votes of correct nodes.
        view_changes,
        /// Views entered by correct nodes after a view change.
        views_entered,
        /// Packets handed to the network.
        sent,
        /// Consensus messages among them.
        messages,
        /// Bytes of those messages.
        message_bytes,
        /// Bytes of all packets.
        bytes,
        /// Packets that the network lost.
        lost,
        /// Proposals that took effect.
        proposals,
        /// The highest executed height.
        executed,
        /// Accusations by correct nodes.
        accusations,
        /// Equivocations that correct nodes found evidence of.
        equivocations,
        /// Flushes of vote journals.
        journal_flushes,
        /// Flushes of committed logs.
        log_flushes,
        /// Signatures made.
        signatures,
        /// Signature checks that nodes asked for.
        signature_checks,
        /// Signature checks that the simulation computed.
        signature_checks_computed,
        /// Events of the simulation.
        events,
        /// Virtual time, in microseconds.
        virtual_time,
    }
    maxima {
        /// Virtual time from healing until everybody had recovered.
        recovery,
        /// View changes of one node in that time.
        recovery_view_changes,
        /// Votes that one engine held.
        votes_max,
        /// Messages that one engine kept for later.
        kept_max,
    }
}

impl Counts {
    /// Counts a packet.
    pub fn note_sent(&mut self, packet: &Packet) {
        let size = packet.size() as u64;
        self.sent += 1;
        self.bytes += size;
        if matches!(packet, Packet::Consensus(_)) {
            self.messages += 1;
            self.message_bytes += size;
        }
    }

    /// Takes the signature counts of a run.
    pub fn note_signatures(&mut self, counts: SignatureCounts) {
        self.signatures = counts.signed;
        self.signature_checks = counts.checked;
        self.signature_checks_computed = counts.computed;
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
    /// Number of timed faults, left out ones included.
    pub faults: u64,
    /// What happened.
    pub counts: Counts,
    /// From PrePrepare to each node's decision, where the scenario asks for it, in microseconds.
    pub latencies: Vec<Micros>,
}
