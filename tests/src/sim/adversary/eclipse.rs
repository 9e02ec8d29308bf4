//! A node that misses the end of an epoch and then hears the Byzantine validator only.
//!
//! Before it, proposals are dropped until the view that the Byzantine validator leads has been wished for and given up, so that it holds
//! a proof for that view which nobody else has.
//!
//! | step | what arrives | until |
//! |---|---|---|
//! | rest | everything | an epoch begins in which the Byzantine validator leads view 1 or 2 |
//! | stall | nothing from or to the victim; no proposals | somebody wishes for the view after that one |
//! | turn | nothing from or to the victim | a block of the next epoch is decided |
//! | eclipse | to and from the victim only what the Byzantine validator sends and gets | some time has passed |

use aegis_consensus::{LeaderSchedule, Message};
use aegis_types::{Epoch, ValidatorId, ValidatorSet, View};

use super::{Adversary, Strike, concerns};
use crate::sim::clock::{Micros, SECOND};
use crate::sim::invariants::Observation;
use crate::sim::packet::Packet;
use crate::sim::rng::Rng;
use crate::sim::scenario::{NodeIndex, Scenario};

/// How long the victim hears the Byzantine validator only.
const ECLIPSE: Micros = 2 * SECOND;
/// A step that leads nowhere is given up after this time.
const STEP_MAX: Micros = 15 * SECOND;
/// The latest view that is worth stalling for: timeouts double.
const VIEW_MAX: u64 = 2;

#[derive(Debug, Clone, Copy)]
enum Step {
    Rest,
    Stall { victim: NodeIndex, epoch: Epoch, view: View },
    Turn { victim: NodeIndex, epoch: Epoch },
    Eclipse { victim: NodeIndex },
}

/// Goes through the steps again and again.
#[derive(Debug)]
pub struct Eclipse {
    correct: Vec<NodeIndex>,
    members: ValidatorSet,
    byzantine: (NodeIndex, ValidatorId),
    rng: Rng,
    step: Step,
    since: Micros,
}

impl Eclipse {
    /// For a scenario with a Byzantine validator and a set that does not change; none without.
    pub fn new(scenario: &Scenario, correct: Vec<NodeIndex>, rng: Rng) -> Option<Self> {
        let node = *scenario.byzantine.keys().next()?;
        let byzantine = (node, scenario.validator(node));
        let members = scenario.genesis.validators.clone();
        let mut eclipse = Self { correct, members, byzantine, rng, step: Step::Rest, since: 0 };
        eclipse.begin(0, Epoch::ZERO);
        Some(eclipse)
    }

    fn go_on(&mut self, at: Micros, step: Step) {
        self.step = step;
        self.since = at;
    }

    fn begin(&mut self, at: Micros, epoch: Epoch) {
        let Ok(set) = ValidatorSet::new(epoch, self.members.members().to_vec()) else { return };
        let schedule = LeaderSchedule::new(&set);
        let led = (1..=VIEW_MAX).map(View).find(|view| schedule.leader(*view) == self.byzantine.1);
        if let Some(view) = led {
            let victim = self.correct[self.rng.index(self.correct.len())];
            self.go_on(at, Step::Stall { victim, epoch, view });
        }
    }

    fn keep_time(&mut self, at: Micros) {
        let length = if matches!(self.step, Step::Eclipse { .. }) { ECLIPSE } else { STEP_MAX };
        if at >= self.since + length {
            self.go_on(at, Step::Rest);
        }
    }
}

impl Adversary for Eclipse {
    fn observe(&mut self, at: Micros, observation: &Observation) -> Option<Strike> {
        self.keep_time(at);
        match (self.step, observation) {
            (Step::Stall { victim, epoch, view }, Observation::Wished { node, epoch: of, view: wished })
                if *node != victim && *of == epoch && *wished > view =>
            {
                self.go_on(at, Step::Turn { victim, epoch });
            }
            (Step::Turn { victim, epoch }, Observation::Decided { block, .. }) if block.0.epoch > epoch => {
                self.go_on(at, Step::Eclipse { victim });
            }
            (Step::Rest, Observation::Decided { block, .. })
                if matches!(block.0.kind, aegis_types::BlockKind::Handover { .. }) =>
            {
                self.begin(at, Epoch(block.0.epoch.0 + 1));
            }
            _ => {}
        }
        None
    }

    fn drops(&mut self, at: Micros, from: NodeIndex, to: NodeIndex, packet: &Packet) -> bool {
        self.keep_time(at);
        match self.step {
            Step::Rest => false,
            Step::Stall { victim, .. } => concerns(victim, from, to) || is_proposal(packet),
            Step::Turn { victim, .. } => concerns(victim, from, to),
            Step::Eclipse { victim } => concerns(victim, from, to) && !concerns(self.byzantine.0, from, to),
        }
    }
}

fn is_proposal(packet: &Packet) -> bool {
    let Packet::Consensus(encoded) = packet else { return false };
    encoded.message().is_ok_and(|message| matches!(**message, Message::PrePrepare(_)))
}
