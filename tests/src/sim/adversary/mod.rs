//! Networks, and crashes, with a purpose.
//!
//! Chance seldom makes what a bug needs: that just one node prepares a block, that just one decides the next and is cut off then,
//! that a node crashes when its journal is an epoch ahead of its log. An adversary watches what correct nodes do and drops packets or
//! strikes nodes accordingly, until the faults end. It breaks nothing that the model does not allow to break.

mod deaf_once;
mod eclipse;
mod torn_views;
mod turn_crashes;

use super::clock::Micros;
use super::invariants::Observation;
use super::packet::Packet;
use super::plots::Plot;
use super::rng::Rng;
use super::scenario::{NodeIndex, Scenario};

/// A crash that an adversary wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strike {
    /// Who crashes.
    pub node: NodeIndex,
    /// In how long.
    pub after: Micros,
}

/// A purpose. Every method is told the time.
pub trait Adversary {
    /// Takes note of what a correct node did; may strike a node.
    fn observe(&mut self, _at: Micros, _observation: &Observation) -> Option<Strike> {
        None
    }

    /// Whether a packet does not arrive.
    fn drops(&mut self, _at: Micros, _from: NodeIndex, _to: NodeIndex, _packet: &Packet) -> bool {
        false
    }
}

/// The adversary of a scenario's plot; none where chance rules.
pub fn of(scenario: &Scenario) -> Option<Box<dyn Adversary>> {
    let rng = Rng::new(scenario.seed, "adversary");
    let members = scenario.genesis.validators.len();
    let correct: Vec<NodeIndex> = (0..members).filter(|node| scenario.is_correct(*node)).collect();
    if correct.len() < 2 {
        return None;
    }
    match scenario.plot {
        Plot::TornViews => Some(Box::new(torn_views::TornViews::new(correct, rng))),
        Plot::Turns => Some(Box::new(turn_crashes::TurnCrashes::new(rng))),
        Plot::Eclipse => Some(Box::new(eclipse::Eclipse::new(scenario, correct, rng)?)),
        Plot::DeafOnce => Some(Box::new(deaf_once::DeafOnce::new(correct, rng))),
        Plot::Chance | Plot::Restarts | Plot::Misnaming | Plot::Distant => None,
    }
}

/// Whether a packet leaves or reaches a node.
fn concerns(node: NodeIndex, from: NodeIndex, to: NodeIndex) -> bool {
    from == node || to == node
}
