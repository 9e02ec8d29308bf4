//! A correct node never accuses a correct node: nodes disconnect from those they accuse.

use super::{Invariant, Observation};
use crate::sim::scenario::Scenario;

/// Knows who is correct.
#[derive(Debug)]
pub struct NoFalseAccusation {
    scenario: Scenario,
}

impl NoFalseAccusation {
    /// For the nodes of a scenario.
    pub fn new(scenario: &Scenario) -> Self {
        Self { scenario: scenario.clone() }
    }
}

impl Invariant for NoFalseAccusation {
    fn name(&self) -> &'static str {
        "no false accusation"
    }

    fn observe(&mut self, observation: &Observation) -> Result<(), String> {
        let Observation::Accused { node, peer, reason } = observation else { return Ok(()) };
        match self.scenario.nodes_of(peer) {
            [] => Err(format!("node {node} accuses {}, which does not exist", peer.short())),
            [accused, ..] if !self.scenario.is_correct(*accused) => Ok(()),
            [accused, ..] => Err(format!("node {node} accuses node {accused}, which is correct: {reason}")),
        }
    }
}
