//! A network that lets just one node prepare a block, cuts it off, lets just one other decide the next view's block, and cuts
//! that one off in turn. What the third view starts with must be the decided block.
//!
//! | step | what arrives | until |
//! |---|---|---|
//! | rest | everything | a moment has passed |
//! | starve | Prepares for one node only | that one casts a Commit |
//! | displace | nothing from or to that one; Commits for one other only | the other decides |
//! | oust | nothing from or to the other | somebody else decides as much |

use aegis_consensus::Message;
use aegis_types::{Height, VoteKind};

use super::{Adversary, Strike, concerns};
use crate::sim::clock::{MILLI, Micros, SECOND};
use crate::sim::invariants::Observation;
use crate::sim::packet::Packet;
use crate::sim::rng::Rng;
use crate::sim::scenario::NodeIndex;

/// Between two rounds.
const REST: Micros = 300 * MILLI;
/// A step that leads nowhere is given up after this time: some timeouts.
const STEP_MAX: Micros = 12 * SECOND;

#[derive(Debug, Clone, Copy)]
enum Step {
    Rest,
    Starve { fed: NodeIndex },
    Displace { gone: NodeIndex, heir: NodeIndex, height: Height },
    Oust { gone: NodeIndex, height: Height },
}

/// Goes through the steps again and again, with other nodes each time.
#[derive(Debug)]
pub struct TornViews {
    correct: Vec<NodeIndex>,
    rng: Rng,
    step: Step,
    since: Micros,
}

impl TornViews {
    /// Among these nodes, at least two.
    pub fn new(correct: Vec<NodeIndex>, rng: Rng) -> Self {
        Self { correct, rng, step: Step::Rest, since: 0 }
    }

    fn go_on(&mut self, at: Micros, step: Step) {
        self.step = step;
        self.since = at;
    }

    fn somebody_but(&mut self, other: Option<NodeIndex>) -> NodeIndex {
        let others: Vec<NodeIndex> =
            self.correct.iter().copied().filter(|node| Some(*node) != other).collect();
        others[self.rng.index(others.len())]
    }

    fn keep_time(&mut self, at: Micros) {
        let length = if matches!(self.step, Step::Rest) { REST } else { STEP_MAX };
        if at < self.since + length {
            return;
        }
        let step = match self.step {
            Step::Rest => Step::Starve { fed: self.somebody_but(None) },
            Step::Starve { .. } | Step::Displace { .. } | Step::Oust { .. } => Step::Rest,
        };
        self.go_on(at, step);
    }
}

impl Adversary for TornViews {
    fn observe(&mut self, at: Micros, observation: &Observation) -> Option<Strike> {
        self.keep_time(at);
        match (self.step, observation) {
            (Step::Starve { fed }, Observation::Sent { node, message }) if *node == fed => {
                if let Message::Vote(vote) = &**message
                    && vote.content.kind == VoteKind::Commit
                {
                    let heir = self.somebody_but(Some(fed));
                    self.go_on(at, Step::Displace { gone: fed, heir, height: vote.content.height });
                }
            }
            (Step::Displace { heir, height, .. }, Observation::Decided { node, block })
                if *node == heir && block.0.height >= height =>
            {
                self.go_on(at, Step::Oust { gone: heir, height });
            }
            (Step::Oust { gone, height }, Observation::Decided { node, block })
                if *node != gone && block.0.height >= height =>
            {
                self.go_on(at, Step::Rest);
            }
            _ => {}
        }
        None
    }

    fn drops(&mut self, at: Micros, from: NodeIndex, to: NodeIndex, packet: &Packet) -> bool {
        self.keep_time(at);
        match self.step {
            Step::Rest => false,
            Step::Starve { fed } => to != fed && vote_kind(packet) == Some(VoteKind::Prepare),
            Step::Displace { gone, heir, .. } => {
                concerns(gone, from, to) || (to != heir && vote_kind(packet) == Some(VoteKind::Commit))
            }
            Step::Oust { gone, .. } => concerns(gone, from, to),
        }
    }
}

fn vote_kind(packet: &Packet) -> Option<VoteKind> {
    let Packet::Consensus(encoded) = packet else { return None };
    match &**encoded.message().ok()? {
        Message::Vote(vote) => Some(vote.content.kind),
        _ => None,
    }
}
