//! The adversary's part in a run, while things break.

use super::{Event, World};
use crate::sim::adversary::Strike;
use crate::sim::invariants::Observation;
use crate::sim::packet::Packet;
use crate::sim::scenario::NodeIndex;

impl World {
    /// Lets the adversary see what happened, and prepares the crashes that it wants.
    pub(super) fn consult(&mut self, observation: &Observation) {
        if !self.is_breaking() {
            return;
        }
        let Some(adversary) = &mut self.adversary else { return };
        if let Some(Strike { node, after }) = adversary.observe(self.at, observation) {
            self.schedule(after, Event::Strike { node });
        }
    }

    /// Whether the adversary keeps a packet from its receiver.
    pub(super) fn is_dropped(&mut self, from: NodeIndex, to: NodeIndex, packet: &Packet) -> bool {
        let is_breaking = self.is_breaking();
        match &mut self.adversary {
            Some(adversary) if is_breaking => adversary.drops(self.at, from, to, packet),
            Some(_) | None => false,
        }
    }
}
