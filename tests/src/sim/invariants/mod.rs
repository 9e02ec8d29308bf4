//! What must hold in every run, one file each.
//!
//! An invariant sees what correct nodes do, as [`Observation`]s, and keeps its own account of it. None calls the code that
//! it judges: weights are added up and quorums computed here anew.

mod agreement;
mod bounded_memory;
mod bounded_wishes;
mod certificates;
mod commits_in_order;
mod durability;
mod epoch_ends;
mod evidence;
mod exactly_once;
mod in_order;
mod left_views;
mod no_false_accusation;
mod one_vote;
mod plans;
mod prepares;
mod reads;
mod state_roots;
mod validity;

use std::collections::BTreeSet;
use std::rc::Rc;

use aegis_consensus::{Engine, Event, Message, NewView, NextEpoch};
use aegis_types::{
    Certificate, CommittedBlock, Epoch, Hash, Header, Height, ProposalId, ValidatorId, View, Vote,
};

use super::application::Executed;
use super::scenario::{NodeIndex, Scenario};

/// Something that a correct node did, or that a client did.
#[derive(Debug, Clone)]
pub enum Observation {
    /// A proposal was made and handed to a node.
    Submitted {
        /// The proposal.
        proposal: ProposalId,
    },
    /// A node started from its disk.
    Started {
        /// The node.
        node: NodeIndex,
        /// Height and digest of its newest durable block.
        tip: (Height, Hash),
    },
    /// A node signed a vote; it may not be durable yet.
    Signed {
        /// The node.
        node: NodeIndex,
        /// The vote.
        vote: Box<Vote>,
        /// The parent that the block's header names.
        parent: Hash,
        /// How many of the block's batches the node does not hold.
        missing: usize,
    },
    /// A node signed its wish for a view; it may not be durable yet.
    Wished {
        /// The node.
        node: NodeIndex,
        /// The epoch.
        epoch: Epoch,
        /// The view.
        view: View,
    },
    /// A node entered a view above 0; that may not be durable yet.
    Entered {
        /// The node.
        node: NodeIndex,
        /// What made it enter.
        proof: Rc<NewView>,
    },
    /// A message left a node.
    Sent {
        /// The node.
        node: NodeIndex,
        /// The message.
        message: Rc<Message>,
    },
    /// A node decided a block, and every vote of its own that this rests on is durable.
    Decided {
        /// The node.
        node: NodeIndex,
        /// The block's header and certificate.
        block: Rc<(Header, Certificate)>,
    },
    /// A decided block is durable, and the node tells the world so.
    Acknowledged {
        /// The node.
        node: NodeIndex,
        /// The block's height.
        height: Height,
        /// The block's digest.
        digest: Hash,
        /// The block.
        block: Rc<CommittedBlock>,
    },
    /// A node executed a block.
    Executed {
        /// The node.
        node: NodeIndex,
        /// The result.
        executed: Rc<Executed>,
    },
    /// A node accused a peer.
    Accused {
        /// The node.
        node: NodeIndex,
        /// The peer.
        peer: ValidatorId,
        /// What the peer is said to have done.
        reason: &'static str,
    },
    /// A vote of a Byzantine node reached a correct one, which is about to handle it.
    Heard {
        /// The correct node.
        node: NodeIndex,
        /// The Byzantine one.
        from: NodeIndex,
        /// The vote.
        vote: Box<Vote>,
        /// Where the correct node stands.
        engaged: Engaged,
    },
    /// A node found two contradicting votes.
    Evidence {
        /// The node.
        node: NodeIndex,
        /// Who cast them.
        peer: ValidatorId,
        /// In which epoch.
        epoch: Epoch,
    },
    /// How much a node's engine holds.
    Measured {
        /// The node.
        node: NodeIndex,
        /// Members of its epoch's set.
        members: u64,
        /// Other nodes, which may be members of the next set.
        strangers: u64,
        /// Its window.
        window: u64,
        /// Votes.
        votes: u64,
        /// Sets that the votes are held in.
        vote_sets: u64,
        /// Messages for later.
        kept: u64,
    },
    /// A node is asked for its read index, and answers truthfully.
    ReadIndex {
        /// The node.
        node: NodeIndex,
        /// The highest height for which it says that it ever voted Commit.
        height: Height,
    },
    /// A node stopped because a quorum certified a state that it did not compute.
    Diverged {
        /// The node.
        node: NodeIndex,
        /// The height.
        height: Height,
    },
    /// A node did something that its own rules forbid.
    Broken {
        /// The node.
        node: NodeIndex,
        /// What.
        reason: String,
    },
    /// A milestone.
    Milestone {
        /// The node.
        node: NodeIndex,
        /// What.
        event: Event,
    },
}

/// Where a node stands in agreement.
#[derive(Debug, Clone)]
pub struct Engaged {
    /// The epoch.
    pub epoch: Epoch,
    /// The view entered last.
    pub view: View,
    /// The newest decided height.
    pub height: Height,
    /// How far above it votes certainly count.
    pub window: u64,
    /// The epoch's members; empty when the node is none of them.
    pub members: BTreeSet<ValidatorId>,
}

impl Engaged {
    /// Of an engine.
    pub fn of(engine: &Engine) -> Self {
        let status = engine.status();
        let members = status.validators.members().iter().map(|member| member.validator);
        Self {
            epoch: status.validators.epoch(),
            view: status.view,
            height: status.tip.0,
            window: 1,
            members: members.filter(|_| status.is_member).collect(),
        }
    }
}

/// A property of runs.
pub trait Invariant {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// Takes note of an observation.
    ///
    /// # Errors
    /// How the observation breaks the property.
    fn observe(&mut self, observation: &Observation) -> Result<(), String>;
}

/// All invariants, for a scenario.
pub fn all(scenario: &Scenario) -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(agreement::Agreement::default()),
        Box::new(in_order::InOrder::new(scenario)),
        Box::new(certificates::Certificates::new(scenario)),
        Box::new(validity::Validity::default()),
        Box::new(epoch_ends::EpochEnds::new(scenario)),
        Box::new(durability::Durability::default()),
        Box::new(exactly_once::ExactlyOnce::default()),
        Box::new(state_roots::StateRoots::default()),
        Box::new(one_vote::OneVote::default()),
        Box::new(prepares::Prepares::new(scenario)),
        Box::new(plans::Plans::default()),
        Box::new(commits_in_order::CommitsInOrder::default()),
        Box::new(left_views::LeftViews::default()),
        Box::new(bounded_wishes::BoundedWishes::default()),
        Box::new(no_false_accusation::NoFalseAccusation::new(scenario)),
        Box::new(evidence::Evidence::new(scenario)),
        Box::new(bounded_memory::BoundedMemory),
        Box::new(reads::Reads::new(scenario)),
    ]
}

/// The part of a next epoch that invariants keep.
pub(super) fn weights(next: &NextEpoch) -> Vec<(ValidatorId, u64)> {
    next.validators.members().iter().map(|member| (member.validator, member.weight.0)).collect()
}
