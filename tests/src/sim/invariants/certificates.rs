//! Every decision comes with Commit signatures of a quorum of its epoch's validators, counted here: total weight `W`, at
//! most `(W - 1) / 3` faulty, at least the rest signs.
//!
//! The sets are followed from the genesis by what nodes execute, all of which must agree, and each handover must name the
//! set that it hands over to. A correct validator's signature counts only if that validator was seen signing the vote; one
//! of a Byzantine validator is checked cryptographically.

use std::collections::{BTreeMap, BTreeSet};

use aegis_types::{
    BlockKind, Certificate, Epoch, Hash, Header, Signature, ValidatorId, Vote, VoteContent, VoteKind,
};

use super::{Invariant, Observation, weights};
use crate::sim::scenario::Scenario;

/// Known sets and votes.
#[derive(Debug)]
pub struct Certificates {
    scenario: Scenario,
    sets: BTreeMap<Epoch, (Vec<(ValidatorId, u64)>, Hash)>,
    signed: BTreeMap<(ValidatorId, VoteContent), Signature>,
    checked: BTreeSet<(ValidatorId, VoteContent)>,
}

impl Certificates {
    /// Starts from the genesis's set.
    pub fn new(scenario: &Scenario) -> Self {
        let set = &scenario.genesis.validators;
        let members = set.members().iter().map(|member| (member.validator, member.weight.0)).collect();
        Self {
            scenario: scenario.clone(),
            sets: BTreeMap::from([(Epoch::ZERO, (members, set.hash()))]),
            signed: BTreeMap::new(),
            checked: BTreeSet::new(),
        }
    }

    fn check(&mut self, header: &Header, certificate: &Certificate) -> Result<(), String> {
        let content = certificate.content;
        let expected = VoteContent {
            kind: VoteKind::Commit,
            epoch: header.epoch,
            view: content.view,
            height: header.height,
            digest: header.digest(),
        };
        if content != expected {
            return Err(format!("the certificate at height {} is for something else", header.height));
        }
        let Some((members, hash)) = self.sets.get(&header.epoch) else {
            return Err(format!(
                "height {} is of epoch {}, whose set nobody executed",
                header.height, header.epoch
            ));
        };
        if header.validators_hash != *hash {
            return Err(format!("height {} names another validator set than its epoch's", header.height));
        }
        let total: u64 = members.iter().map(|(_, weight)| weight).sum();
        let mut signers = BTreeMap::new();
        for (position, signature) in &certificate.signatures {
            let Some((validator, weight)) = members.get(*position as usize) else {
                return Err(format!(
                    "height {} is signed by position {position}, which nobody has",
                    header.height
                ));
            };
            signers.insert(*validator, *weight);
            if let Some(known) = self.signed.get(&(*validator, content)) {
                if known != signature {
                    return Err(format!("height {} carries a forged signature", header.height));
                }
                continue;
            }
            if self.scenario.is_correct_validator(validator) {
                return Err(format!(
                    "height {} carries a Commit of {} that it never cast",
                    header.height,
                    validator.short()
                ));
            }
            let vote = Vote { content, validator: *validator, signature: *signature };
            if self.checked.insert((*validator, content)) && !vote.verify(&self.scenario.domain()) {
                return Err(format!("height {} carries an invalid signature", header.height));
            }
        }
        let weight: u64 = signers.values().sum();
        if weight < total - (total - 1) / 3 {
            return Err(format!("height {} was decided by weight {weight} of {total}", header.height));
        }
        match header.kind {
            BlockKind::Handover { next_validators_hash } => {
                let next = self.sets.get(&Epoch(header.epoch.0 + 1)).map(|(_, hash)| *hash);
                if next == Some(next_validators_hash) {
                    Ok(())
                } else {
                    Err(format!("the handover at height {} names a set that nobody computed", header.height))
                }
            }
            BlockKind::Normal | BlockKind::Closing => Ok(()),
        }
    }
}

impl Invariant for Certificates {
    fn name(&self) -> &'static str {
        "certificates"
    }

    fn observe(&mut self, observation: &Observation) -> Result<(), String> {
        match observation {
            Observation::Signed { vote, .. } => {
                if vote.content.kind == VoteKind::Commit {
                    self.signed.insert((vote.validator, vote.content), vote.signature);
                }
                Ok(())
            }
            Observation::Executed { node, executed } => {
                let Some(next) = &executed.next_epoch else { return Ok(()) };
                let epoch = next.validators.epoch();
                let computed = (weights(next), next.validators.hash());
                if *self.sets.entry(epoch).or_insert_with(|| computed.clone()) == computed {
                    Ok(())
                } else {
                    Err(format!("node {node} computed another set for epoch {epoch}"))
                }
            }
            Observation::Decided { block, .. } => self.check(&block.0, &block.1),
            _ => Ok(()),
        }
    }
}
