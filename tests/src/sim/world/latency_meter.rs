//! The time from a leader's PrePrepare to each correct node's decision.

use std::collections::BTreeMap;

use aegis_types::{Hash, VoteKind};

use crate::sim::clock::Micros;
use crate::sim::invariants::Observation;

/// Measures if it is on.
#[derive(Debug)]
pub(super) struct LatencyMeter {
    is_on: bool,
    /// When each block got its first Prepare: its leader's, which leaves with the PrePrepare.
    proposed: BTreeMap<Hash, Micros>,
    latencies: Vec<Micros>,
}

impl LatencyMeter {
    pub(super) fn new(is_on: bool) -> Self {
        Self { is_on, proposed: BTreeMap::new(), latencies: Vec::new() }
    }

    pub(super) fn observe(&mut self, at: Micros, observation: &Observation) {
        if !self.is_on {
            return;
        }
        match observation {
            Observation::Signed { vote, .. } if vote.content.kind == VoteKind::Prepare => {
                self.proposed.entry(vote.content.digest).or_insert(at);
            }
            Observation::Decided { block, .. } => {
                let proposed = self.proposed.get(&block.0.digest());
                self.latencies.extend(proposed.map(|proposed| at - proposed));
            }
            _ => {}
        }
    }

    pub(super) fn into_latencies(self) -> Vec<Micros> {
        self.latencies
    }
}
