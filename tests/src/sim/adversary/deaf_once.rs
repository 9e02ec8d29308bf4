//! A node that hears nothing until it alone wishes for another view, then hears everything and follows what the others
//! commit in the old one, and crashes. When it is back, its wish must still bind it.

use super::{Adversary, Strike};
use crate::sim::clock::{MILLI, Micros, SECOND};
use crate::sim::invariants::Observation;
use crate::sim::packet::Packet;
use crate::sim::rng::Rng;
use crate::sim::scenario::NodeIndex;

/// Between two rounds.
const REST: Micros = 500 * MILLI;
/// A step that leads nowhere is given up after this time.
const STEP_MAX: Micros = 8 * SECOND;
/// Blocks that the node follows before it crashes: the journal is shortened in the meantime.
const FOLLOWED: u64 = 10;

#[derive(Debug, Clone, Copy)]
enum Step {
    Rest,
    Deaf { node: NodeIndex },
    Following { node: NodeIndex, blocks: u64 },
}

/// Does so to one node after the other.
#[derive(Debug)]
pub struct DeafOnce {
    correct: Vec<NodeIndex>,
    rng: Rng,
    step: Step,
    since: Micros,
}

impl DeafOnce {
    /// Among these nodes.
    pub fn new(correct: Vec<NodeIndex>, rng: Rng) -> Self {
        Self { correct, rng, step: Step::Rest, since: 0 }
    }

    fn go_on(&mut self, at: Micros, step: Step) {
        self.step = step;
        self.since = at;
    }

    fn keep_time(&mut self, at: Micros) {
        let length = if matches!(self.step, Step::Rest) { REST } else { STEP_MAX };
        if at < self.since + length {
            return;
        }
        let step = match self.step {
            Step::Rest => Step::Deaf { node: self.correct[self.rng.index(self.correct.len())] },
            Step::Deaf { .. } | Step::Following { .. } => Step::Rest,
        };
        self.go_on(at, step);
    }
}

impl Adversary for DeafOnce {
    fn observe(&mut self, at: Micros, observation: &Observation) -> Option<Strike> {
        self.keep_time(at);
        match (self.step, observation) {
            (Step::Deaf { node: deaf }, Observation::Wished { node, .. }) if *node == deaf => {
                self.go_on(at, Step::Following { node: deaf, blocks: 0 });
            }
            (Step::Following { node: struck, blocks }, Observation::Decided { node, .. })
                if *node == struck =>
            {
                if blocks + 1 < FOLLOWED {
                    self.step = Step::Following { node: struck, blocks: blocks + 1 };
                } else {
                    self.go_on(at, Step::Rest);
                    return Some(Strike { node: struck, after: MILLI });
                }
            }
            _ => {}
        }
        None
    }

    fn drops(&mut self, at: Micros, _from: NodeIndex, to: NodeIndex, _packet: &Packet) -> bool {
        self.keep_time(at);
        matches!(self.step, Step::Deaf { node } if node == to)
    }
}
