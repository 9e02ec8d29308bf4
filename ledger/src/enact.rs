//! Carrying out what has passed: decisions, parameters and changes of the validator set.
//!
//! Parameters that only the ledger reads take effect with the next block. Those that agreement reads (windows, timeouts,
//! the epoch's length, how weights come about) wait for the next epoch, as all validators must switch at the same height; so do validators. Each
//! change of the set is checked together with those that already wait: the set that results, offenders still in it, must be
//! valid. So at the epoch's end the voted changes are always valid together.

use std::collections::BTreeMap;

use aegis_metrics::weights::rule::BASE;
use aegis_types::{Parameter, ProposalBody, ProposalId, ValidatorId, ValidatorSet, Weight, WeightsMode};
use prost::Message;

use crate::applied::{LedgerEvent, TakesEffect};
use crate::boundary::changed_members;
use crate::error::LedgerError;
use crate::execution::Execution;
use crate::keys;
use crate::outcome::RejectCode;
use crate::records::{self, PendingRecord};
use crate::state::{StateReader, after, decode, next_in};

/// When a change of the parameter takes effect.
pub(crate) const fn takes_effect(parameter: Parameter) -> TakesEffect {
    match parameter {
        Parameter::IdempotencyRetentionMs
        | Parameter::OpenVotesMax
        | Parameter::ProposalLifetimeMaxMs
        | Parameter::VotingPeriodMs
        | Parameter::WeightsHistoryEpochs => TakesEffect::NextBlock,
        Parameter::CleanEpochs
        | Parameter::ClockDriftMaxMs
        | Parameter::CoreSize
        | Parameter::EpochLengthMs
        | Parameter::FaultTolerance
        | Parameter::IdleIntervalMs
        | Parameter::ViewTimeoutMs
        | Parameter::WeightsMode
        | Parameter::Window => TakesEffect::NextEpoch,
    }
}

/// The voted changes that wait for the epoch's end: a new weight, or none for a removal.
pub(crate) fn pending_changes(
    state: &dyn StateReader,
) -> Result<BTreeMap<ValidatorId, Option<Weight>>, LedgerError> {
    let mut changes = BTreeMap::new();
    let mut from = keys::PENDING.to_vec();
    while let Some((key, value)) = next_in(state, keys::PENDING, &from)? {
        let record: PendingRecord = decode(&key, &value)?;
        changes.insert(records::validator_of(&key)?, record.new_weight());
        from = after(&key);
    }
    Ok(changes)
}

impl Execution<'_> {
    /// Does what a passed proposal asks for. The inner error says why it cannot be done.
    pub(crate) fn carry_out_passed(
        &mut self,
        id: &ProposalId,
        body: &ProposalBody,
    ) -> Result<Result<(), RejectCode>, LedgerError> {
        match body {
            ProposalBody::ParamSet { name, value } => self.set_parameter(name, value),
            ProposalBody::ValidatorAdd { validator, weight } => self.set_weight(id, validator, *weight),
            ProposalBody::ValidatorRemove { validator } => self.remove_validator(id, validator),
            // A decision on record has no other effect; the rest are not voted on.
            ProposalBody::Text { .. }
            | ProposalBody::KvPut { .. }
            | ProposalBody::KvDelete { .. }
            | ProposalBody::KvCas { .. }
            | ProposalBody::ProposalVote { .. }
            | ProposalBody::Evidence { .. }
            | ProposalBody::MetricsReport { .. }
            | ProposalBody::MetricsEvidence { .. } => Ok(Ok(())),
        }
    }

    fn set_parameter(&mut self, name: &str, value: &str) -> Result<Result<(), RejectCode>, LedgerError> {
        let mut changed = self.agreed.in_force.clone();
        let Ok(parameter) = changed.set_text(name, value) else {
            return Ok(Err(RejectCode::InvalidParameter));
        };
        let value = changed.get(parameter);
        if matches!(parameter, Parameter::CoreSize | Parameter::FaultTolerance) {
            let mut next = self.agreed.next();
            let members = changed_members(self.setting.validators, &pending_changes(&self.state)?).len();
            if next.set(parameter, value).and_then(|()| next.check_weight_policy(members)).is_err() {
                return Ok(Err(RejectCode::InvalidParameter));
            }
        }
        let takes_effect = takes_effect(parameter);
        match takes_effect {
            TakesEffect::NextBlock => self.agreed.in_force = changed,
            TakesEffect::NextEpoch => {
                self.agreed.pending.insert(parameter, value);
            }
        }
        self.state.put(keys::PARAMETERS.to_vec(), self.agreed.to_record().encode_to_vec());
        self.events.push(LedgerEvent::ParameterSet { parameter, value, takes_effect });
        Ok(Ok(()))
    }

    fn set_weight(
        &mut self,
        id: &ProposalId,
        validator: &ValidatorId,
        weight: Weight,
    ) -> Result<Result<(), RejectCode>, LedgerError> {
        if self.state.get(&keys::offender(validator))?.is_some() {
            return Ok(Err(RejectCode::Offender));
        }
        let mut changes = pending_changes(&self.state)?;
        changes.insert(*validator, Some(weight));
        if let Err(code) = self.check_changes(&changes) {
            return Ok(Err(code));
        }
        self.put_pending(id, validator, weight);
        Ok(Ok(()))
    }

    fn remove_validator(
        &mut self,
        id: &ProposalId,
        validator: &ValidatorId,
    ) -> Result<Result<(), RejectCode>, LedgerError> {
        let mut changes = pending_changes(&self.state)?;
        let is_member = self.setting.validators.contains(validator);
        if !is_member && !changes.contains_key(validator) {
            return Ok(Err(RejectCode::NotAMember));
        }
        changes.insert(*validator, None);
        if let Err(code) = self.check_changes(&changes) {
            return Ok(Err(code));
        }
        if is_member {
            self.put_pending(id, validator, Weight::ZERO);
        } else {
            self.state.delete(keys::pending(validator));
        }
        Ok(Ok(()))
    }

    fn check_changes(&self, changes: &BTreeMap<ValidatorId, Option<Weight>>) -> Result<(), RejectCode> {
        let current = self.setting.validators;
        let mut members = changed_members(current, changes);
        if self.agreed.next().weights_mode() != WeightsMode::Fixed {
            // Who is a member is all that counts: the rule gives the weights.
            for member in &mut members {
                member.weight = BASE;
            }
        }
        ValidatorSet::new(current.epoch().next(), members)
            .map(|_| ())
            .map_err(|_| RejectCode::InvalidValidatorSet)
    }

    fn put_pending(&mut self, id: &ProposalId, validator: &ValidatorId, weight: Weight) {
        let record = PendingRecord { weight: weight.0, proposal: id.0.to_vec() };
        self.state.put(keys::pending(validator), record.encode_to_vec());
    }
}
