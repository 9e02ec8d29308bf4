//! Observations: counted, traced, and shown to the invariants.

use std::rc::Rc;

use aegis_consensus::Event as Milestone;

use super::World;
use crate::sim::application::Effect;
use crate::sim::invariants::Observation;
use crate::sim::packet::Packet;
use crate::sim::report::Violation;
use crate::sim::scenario::NodeIndex;
use crate::sim::trace::of_observation;

impl World {
    pub(super) fn drain_observations(&mut self, node: NodeIndex) {
        let Some(process) = &mut self.nodes[node].process else { return };
        for observation in process.take_observations() {
            self.watch_of(node, observation);
        }
    }

    /// Byzantine nodes are not held to anything, but what they submit is submitted.
    pub(super) fn watch_of(&mut self, node: NodeIndex, observation: Observation) {
        if self.scenario.is_correct(node) || matches!(observation, Observation::Submitted { .. }) {
            self.watch(observation);
        } else if let Observation::Acknowledged { block, .. } = observation {
            self.overhear_decided(node, &block);
        }
    }

    /// A message leaves a correct node.
    pub(super) fn watch_sent(&mut self, node: NodeIndex, packet: &Packet) {
        let Packet::Consensus(encoded) = packet else { return };
        let is_seen = self.last_sent.as_ref().is_some_and(|last| Rc::ptr_eq(last, encoded));
        if !is_seen && let Ok(message) = encoded.message() {
            self.last_sent = Some(encoded.clone());
            self.watch(Observation::Sent { node, message: message.clone() });
        }
    }

    pub(super) fn watch(&mut self, observation: Observation) {
        self.count(&observation);
        self.latency.observe(self.at, &observation);
        let (numbers, text) = of_observation(&observation);
        self.trace.add(self.at, &numbers, text);
        self.consult(&observation);
        for invariant in &mut self.invariants {
            if let Err(detail) = invariant.observe(&observation)
                && self.violation.is_none()
            {
                let (at, name) = (self.at, invariant.name());
                self.trace.add(at, &[u64::MAX], || format!("VIOLATION of {name}: {detail}"));
                self.violation = Some(Violation { invariant: name.to_owned(), detail, at });
            }
        }
    }

    fn count(&mut self, observation: &Observation) {
        match observation {
            Observation::Acknowledged { height, .. } => {
                self.counts.decisions = self.counts.decisions.max(height.0);
            }
            Observation::Executed { executed, .. } => {
                if let Some(next) = &executed.next_epoch {
                    self.counts.epochs = self.counts.epochs.max(next.validators.epoch().0);
                }
                if executed.height.0 > self.counts.executed {
                    self.counts.executed = executed.height.0;
                    let effects =
                        executed.receipts.iter().filter(|receipt| receipt.effect != Effect::None).count();
                    self.counts.proposals += effects as u64;
                }
            }
            Observation::Milestone { node, event } => match event {
                Milestone::ViewChangeStarted { .. } => {
                    self.counts.view_changes += 1;
                    self.count_view_change(*node);
                }
                Milestone::ViewEntered { .. } => self.counts.views_entered += 1,
                Milestone::EpochEntered { .. } => {}
            },
            Observation::Accused { .. } => self.counts.accusations += 1,
            Observation::Evidence { .. } => self.counts.equivocations += 1,
            Observation::Submitted { .. }
            | Observation::Started { .. }
            | Observation::Signed { .. }
            | Observation::Wished { .. }
            | Observation::Entered { .. }
            | Observation::Sent { .. }
            | Observation::Decided { .. }
            | Observation::Heard { .. }
            | Observation::Measured { .. }
            | Observation::ReadIndex { .. }
            | Observation::Diverged { .. }
            | Observation::Broken { .. } => {}
        }
    }

    pub(super) fn violate(&mut self, invariant: &'static str, detail: String) {
        self.trace.add(self.at, &[u64::MAX], || format!("VIOLATION of {invariant}: {detail}"));
        if self.violation.is_none() {
            self.violation = Some(Violation { invariant: invariant.to_owned(), detail, at: self.at });
        }
    }
}
