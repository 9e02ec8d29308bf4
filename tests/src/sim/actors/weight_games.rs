//! A validator that plays with weights around the ends of epochs: it asks for weights that would break the network, votes for
//! its own requests, accuses the innocent, and signs votes of the last epoch and the next.

use aegis_consensus::Message;
use aegis_types::{Hash, ProposalBody, Vote, VoteContent, Weight};

use super::{Actor, Deed, Held, Stage};
use crate::sim::scenario::NodeIndex;

/// Keeps a vote of somebody else, to make false evidence of.
#[derive(Debug, Default)]
pub struct WeightGames {
    heard: Option<Vote>,
}

impl Actor for WeightGames {
    fn overhear(&mut self, message: &Message) {
        if let Message::Vote(vote) = message {
            self.heard = Some(vote.clone());
        }
    }

    fn tamper(&mut self, stage: &mut Stage<'_>, _to: NodeIndex, message: Message) -> Vec<Held> {
        let Message::Vote(vote) = &message else { return vec![(message, 0)] };
        if !stage.rng.chance(100) {
            return vec![(message, 0)];
        }
        let mut content: VoteContent = vote.content;
        content.epoch.0 = (content.epoch.0 + [0, 2][stage.rng.index(2)]).saturating_sub(1);
        vec![(Message::Vote(stage.key.vote(content)), 0), (message, 0)]
    }

    fn act(&mut self, stage: &mut Stage<'_>) -> Vec<Deed> {
        /// Each request is a proposal in a block: few, so that they do not crowd out everything else.
        const ACTS_PER_MILLE: u64 = 100;
        if !stage.rng.chance(ACTS_PER_MILLE) {
            return Vec::new();
        }
        let me = stage.key.keypair.validator_id();
        let members = stage.engine.validators().members();
        let other = members[stage.rng.index(members.len())].validator;
        let body = match (stage.rng.index(4), &self.heard) {
            (0, _) => ProposalBody::ValidatorAdd { validator: me, weight: Weight::MAX },
            (1, _) => ProposalBody::ValidatorRemove { validator: other },
            (2, _) => ProposalBody::ValidatorAdd { validator: other, weight: Weight(1) },
            (_, Some(heard)) => {
                let digest = Hash::of("aegis simulator made-up block", &heard.content.digest.0);
                let second = Vote { content: VoteContent { digest, ..heard.content }, ..heard.clone() };
                ProposalBody::Evidence { first: Box::new(heard.clone()), second: Box::new(second) }
            }
            (_, None) => return Vec::new(),
        };
        vec![Deed::Propose(Box::new(body))]
    }
}
