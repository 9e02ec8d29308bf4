//! Every decision comes with Commit signatures of a quorum of its epoch's validators, counted here: total weight `W`, at
//! most `(W - 1) / 3` faulty, at least the rest signs. The same holds for each certificate in the NewView through which a correct node
//! enters a view; the NewView's ViewChanges are of members of that weight, and each correct member wished for the view.
//!
//! The sets are followed from the genesis by what nodes execute, all of which must agree, and each handover must name the
//! set that it hands over to. A correct validator's signature counts only if that validator was seen signing the vote; one
//! of a Byzantine validator is checked cryptographically.

use std::collections::{BTreeMap, BTreeSet};

use aegis_consensus::{NewView, PreparedBlock, ViewChange};
use aegis_types::{
    BlockKind, Certificate, Epoch, Hash, Header, Signature, ValidatorId, View, Vote, VoteContent, VoteKind,
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
    wished: BTreeSet<(ValidatorId, Epoch, View)>,
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
            wished: BTreeSet::new(),
        }
    }

    fn check_decision(&mut self, header: &Header, certificate: &Certificate) -> Result<(), String> {
        self.check(VoteKind::Commit, header.epoch, header, certificate)?;
        let hash = self.sets.get(&header.epoch).map(|(_, hash)| *hash);
        if hash != Some(header.validators_hash) {
            return Err(format!("height {} names another validator set than its epoch's", header.height));
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

    /// Checks that a quorum of an epoch signed a vote of a kind for a header.
    fn check(
        &mut self,
        kind: VoteKind,
        epoch: Epoch,
        header: &Header,
        certificate: &Certificate,
    ) -> Result<(), String> {
        let (height, content) = (header.height, certificate.content);
        let expected = VoteContent { kind, epoch, view: content.view, height, digest: header.digest() };
        if content != expected || header.epoch != epoch {
            return Err(format!("the certificate at height {height} is for something else"));
        }
        let Some((members, _)) = self.sets.get(&epoch) else {
            return Err(format!("height {height} is of epoch {epoch}, whose set nobody executed"));
        };
        let total: u64 = members.iter().map(|(_, weight)| weight).sum();
        let mut signers = BTreeMap::new();
        for (position, signature) in &certificate.signatures {
            let Some((validator, weight)) = members.get(*position as usize) else {
                return Err(format!("height {height} is signed by position {position}, which nobody has"));
            };
            signers.insert(*validator, *weight);
            if let Some(known) = self.signed.get(&(*validator, content)) {
                if known != signature {
                    return Err(format!("height {height} carries a forged signature"));
                }
                continue;
            }
            if self.scenario.is_correct_validator(validator) {
                let validator = validator.short();
                return Err(format!("height {height} carries a {kind:?} of {validator} that it never cast"));
            }
            let vote = Vote { content, validator: *validator, signature: *signature };
            if self.checked.insert((*validator, content)) && !vote.verify(&self.scenario.domain()) {
                return Err(format!("height {height} carries an invalid signature"));
            }
        }
        let weight: u64 = signers.values().sum();
        if weight < total - (total - 1) / 3 {
            return Err(format!("height {height} was certified by weight {weight} of {total}"));
        }
        Ok(())
    }

    fn check_proof(&mut self, proof: &NewView) -> Result<(), String> {
        let Some((members, _)) = self.sets.get(&proof.epoch).cloned() else {
            return Err(format!("a view of epoch {}, whose set nobody executed", proof.epoch));
        };
        let weights: BTreeMap<ValidatorId, u64> = members.into_iter().collect();
        let mut senders = BTreeMap::new();
        for message in &proof.view_changes {
            let Some(weight) = weights.get(&message.validator) else {
                return Err(format!("a wish of {}, which is no member", message.validator.short()));
            };
            senders.insert(message.validator, *weight);
            self.check_wish(proof, message)?;
        }
        let (total, weight): (u64, u64) = (weights.values().sum(), senders.values().sum());
        if weight < total - (total - 1) / 3 {
            return Err(format!("wishes of weight {weight} of {total}"));
        }
        Ok(())
    }

    fn check_wish(&mut self, proof: &NewView, message: &ViewChange) -> Result<(), String> {
        let name = message.validator;
        let is_made = self.wished.contains(&(name, proof.epoch, proof.view));
        if (message.epoch, message.view) != (proof.epoch, proof.view)
            || (self.scenario.is_correct_validator(&name) && !is_made)
        {
            return Err(format!("a wish that {} never had", name.short()));
        }
        if let Some(PreparedBlock { header, certificate }) = &message.tip {
            self.check(VoteKind::Commit, proof.epoch, header, certificate)?;
        }
        for PreparedBlock { header, certificate } in &message.prepared {
            self.check(VoteKind::Prepare, proof.epoch, header, certificate)?;
        }
        Ok(())
    }
}

impl Invariant for Certificates {
    fn name(&self) -> &'static str {
        "certificates"
    }

    fn observe(&mut self, observation: &Observation) -> Result<(), String> {
        match observation {
            Observation::Signed { vote, .. } => {
                self.signed.insert((vote.validator, vote.content), vote.signature);
                Ok(())
            }
            Observation::Wished { node, epoch, view } => {
                self.wished.insert((self.scenario.validator(*node), *epoch, *view));
                Ok(())
            }
            Observation::Entered { node, proof } => self.check_proof(proof).map_err(|fault| {
                format!("node {node} enters view {} of epoch {} upon {fault}", proof.view, proof.epoch)
            }),
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
            Observation::Decided { block, .. } => self.check_decision(&block.0, &block.1),
            _ => Ok(()),
        }
    }
}
