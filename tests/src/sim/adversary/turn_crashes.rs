//! Crashes when an epoch turns: a node that has entered the next epoch votes there at once, while its log may still end in
//! the epoch before.

use aegis_consensus::Event;

use super::{Adversary, Strike};
use crate::sim::clock::{MILLI, Micros};
use crate::sim::invariants::Observation;
use crate::sim::rng::Rng;

/// Of a thousand nodes that enter an epoch, how many are struck.
const STRIKES_PER_MILLE: u64 = 400;
/// How soon.
const AFTER_MAX: Micros = 120 * MILLI;

/// Strikes nodes that enter an epoch.
#[derive(Debug)]
pub struct TurnCrashes {
    rng: Rng,
}

impl TurnCrashes {
    /// With choices of its own.
    pub fn new(rng: Rng) -> Self {
        Self { rng }
    }
}

impl Adversary for TurnCrashes {
    fn observe(&mut self, _at: Micros, observation: &Observation) -> Option<Strike> {
        let Observation::Milestone { node, event: Event::EpochEntered { .. } } = observation else {
            return None;
        };
        let is_struck = self.rng.chance(STRIKES_PER_MILLE);
        is_struck.then(|| Strike { node: *node, after: self.rng.within(0..=AFTER_MAX) })
    }
}
