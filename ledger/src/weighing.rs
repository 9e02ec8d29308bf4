//! Measured weights: from the epoch's reports to the next epoch's weights and leaders.
//!
//! At the closing block the rows of agreed state become a [`WeightInput`], the rule of `aegis_metrics` answers, and its
//! answer becomes the next validator set. Nothing else decides: not what this node measured, nor its clock.
//!
//! # How votes and measurements share the work
//! - Votes decide **who** is a member, in every mode. `validator.add` brings a validator in, `validator.remove` and
//!   evidence take one out, and what is proposed together is checked together.
//! - The agreed parameter `weights_mode` of the epoch *to come* says **how much** each weighs: `fixed` what was voted,
//!   `measured` what the rule says. Weights of the genesis are those of epoch 0 in either case; under `measured` the
//!   rule goes on from them. A weight in `validator.add` is not read then: who joins starts at the base.
//! - From `fixed` to `measured`: the first epoch has equal weights, since nobody has reported; its commit latency is the
//!   baseline of the guard. From `measured` to `fixed`: weights stay as they are until voted on.
//!
//! # Invariants
//! - No `t` members hold more than `f`: the rule's cap, or equal weights.
//! - The leaders hold more than `f`, or all members lead: [`ValidatorSet::with_leaders`].
//! - The input of every epoch is kept with the set, so that anybody can compute it again.

use std::collections::{BTreeMap, BTreeSet};

use aegis_metrics::reports::agreed_octiles;
use aegis_metrics::weights::rule::BASE;
use aegis_metrics::weights::{LatencyGuard, Mode};
use aegis_metrics::{
    Candidate, MetricsError, Micro, Participation, Report, WeightInput, WeightOutcome, Witness,
    weights::CandidateReport,
};
use aegis_types::{
    Canonical, Epoch, Height, MemberBits, Parameter, Parameters, TypesError, ValidatorId, ValidatorSet,
    WeightsMode,
};
use prost::Message;

use crate::applied::LedgerEvent;
use crate::error::LedgerError;
use crate::execution::Execution;
use crate::keys;
use crate::overlay::Overlay;
use crate::records::{self, EvidenceRecord};
use crate::reports::read_sample;
use crate::state::{StateReader, after, decode, next_in, read};
use crate::weighing_records::{OctilesRecord, ReportRecord, SeatRecord, StandingRecord, WeightsRecord};

/// How many old epochs' weights a closing block forgets: more than the one that it adds, so that a smaller
/// `weights_history_epochs` is reached, and few enough not to be felt.
const FORGET_PER_EPOCH: usize = 64;

/// What the reports of the epoch that ends say.
#[derive(Default)]
struct Testimony {
    reports: BTreeMap<ValidatorId, Report>,
    participation: Participation,
    sample: Vec<Height>,
    /// Validators that are proven to have reported two things.
    contradicted: BTreeSet<ValidatorId>,
}

/// The weights and leaders of an outcome as a validator set. Under equal weights all members lead in turn.
///
/// # Errors
/// `BadValidatorSet` when there are no members or more than a set can have.
pub(crate) fn seat(outcome: &WeightOutcome) -> Result<ValidatorSet, TypesError> {
    let set = outcome.validator_set()?;
    if outcome.fallback.is_some() {
        return Ok(set);
    }
    Ok(set.clone().with_leaders(&outcome.leaders).unwrap_or(set))
}

/// What the first epoch with measurements begins with. Its members count as clean, or nobody could be told apart.
pub(crate) fn first_standing(validators: &ValidatorSet, parameters: &Parameters) -> StandingRecord {
    let seats = validators.members().iter().map(|member| SeatRecord {
        validator: member.validator.0.to_vec(),
        clean_epochs: clean_epochs_min(parameters),
        in_core: false,
    });
    StandingRecord { first_height: 1, seats: seats.collect(), ..StandingRecord::default() }
}

/// Lets what the closing block has prepared come into force with the handover at `height`.
pub(crate) fn hand_over_standing(writes: &mut Overlay<'_>, height: Height) -> Result<(), LedgerError> {
    let next = read::<StandingRecord>(writes, keys::STANDING_NEXT)?;
    if let Some(next) = next {
        let standing = StandingRecord { first_height: height.next().0, ..next };
        writes.put(keys::STANDING_CURRENT.to_vec(), standing.encode_to_vec());
        writes.delete(keys::STANDING_NEXT.to_vec());
    } else if writes.get(keys::STANDING_CURRENT)?.is_some() {
        writes.delete(keys::STANDING_CURRENT.to_vec());
    }
    if writes.get(keys::SAMPLE)?.is_some() {
        writes.delete(keys::SAMPLE.to_vec());
    }
    Ok(())
}

fn clean_epochs_min(parameters: &Parameters) -> u32 {
    u32::try_from(parameters.get(Parameter::CleanEpochs)).unwrap_or(u32::MAX)
}

impl Execution<'_> {
    /// Applies the rule for the epoch to come. `members` is who it has, `offenders` who of them voted for two blocks at
    /// once and stays all the same.
    pub(crate) fn weigh(
        &mut self,
        members: &BTreeSet<ValidatorId>,
        offenders: &BTreeSet<ValidatorId>,
    ) -> Result<Option<ValidatorSet>, LedgerError> {
        let parameters = self.agreed.next();
        let current = self.setting.validators;
        let standing = read::<StandingRecord>(&self.state, keys::STANDING_CURRENT)?
            .unwrap_or_else(|| first_standing(current, &parameters));
        let testimony = self.testimony(&standing)?;
        let candidates = candidates(current, &standing, &testimony, members, offenders);
        let input = input(current.epoch(), &parameters, &standing, candidates)
            .map_err(|error| LedgerError::damaged(keys::STANDING_CURRENT, error.to_string()))?;
        let outcome = input.outcome();
        let Ok(set) = seat(&outcome) else { return Ok(None) };
        let octiles = octiles_of(current, &testimony, &standing);
        self.state.put(keys::STANDING_NEXT.to_vec(), next_standing(&outcome, octiles).encode_to_vec());
        let record = WeightsRecord { input: input.encode(), validators: set.encode() };
        self.state.put(keys::weights(set.epoch()), record.encode_to_vec());
        self.forget_weights(set.epoch(), parameters.get(Parameter::WeightsHistoryEpochs))?;
        self.events.push(LedgerEvent::WeightsComputed { epoch: set.epoch(), fallback: outcome.fallback });
        Ok(Some(set))
    }

    /// Drops what the epoch that ends has reported. Proof against a reporter stays for as long as it can be brought again.
    pub(crate) fn forget_reports(&mut self) -> Result<(), LedgerError> {
        let epoch = self.setting.validators.epoch();
        let mut from = keys::REPORTS.to_vec();
        while let Some((key, _)) = next_in(&self.state, keys::REPORTS, &from)? {
            from = after(&key);
            self.state.delete(key);
        }
        let mut from = keys::REPORT_OFFENCES.to_vec();
        while let Some((key, _)) = next_in(&self.state, keys::REPORT_OFFENCES, &from)? {
            let is_old =
                keys::number_at(&key, keys::REPORT_OFFENCES.len()).is_none_or(|offence| offence < epoch.0);
            if !is_old {
                break;
            }
            from = after(&key);
            self.state.delete(key);
        }
        Ok(())
    }

    fn testimony(&self, standing: &StandingRecord) -> Result<Testimony, LedgerError> {
        let mut testimony = Testimony::default();
        let mut from = keys::REPORT_OFFENCES.to_vec();
        while let Some((key, value)) = next_in(&self.state, keys::REPORT_OFFENCES, &from)? {
            // What was ordered before this epoch has had its effect.
            if decode::<EvidenceRecord>(&key, &value)?.height >= standing.first_height {
                testimony.contradicted.insert(records::validator_of(&key)?);
            }
            from = after(&key);
        }
        if let Some(sample) = read_sample(&self.state)? {
            testimony.sample = sample.heights().collect();
        }
        let mut witnesses = Vec::new();
        let mut from = keys::REPORTS.to_vec();
        while let Some((key, value)) = next_in(&self.state, keys::REPORTS, &from)? {
            from = after(&key);
            let reporter = records::validator_of(&key)?;
            let record: ReportRecord = decode(&key, &value)?;
            if record.report.is_empty() || testimony.contradicted.contains(&reporter) {
                // It had its turn: that it has shown nothing is its own doing, unlike a report that was never ordered.
                let position = self.setting.validators.index_of(&reporter);
                witnesses.extend(position.map(|position| Witness { position, ..Witness::default() }));
                continue;
            }
            let damaged = |error: TypesError| LedgerError::damaged(&key, error.to_string());
            testimony.reports.insert(reporter, Report::decode(&record.report).map_err(damaged)?);
            witnesses.extend(self.witness(&reporter, record).map_err(damaged)?);
        }
        testimony.participation = Participation::new(witnesses);
        Ok(testimony)
    }

    fn witness(&self, reporter: &ValidatorId, record: ReportRecord) -> Result<Option<Witness>, TypesError> {
        let Some(position) = self.setting.validators.index_of(reporter) else { return Ok(None) };
        let weight = self.setting.validators.weight_of(reporter);
        let mut witness = Witness { position, weight, ..Witness::default() };
        for sampled in record.sampled {
            let height = Height(sampled.height);
            witness.received.insert(height, MemberBits::from_bytes(sampled.voters)?);
            if sampled.shown {
                witness.shown.insert(height);
            }
        }
        Ok(Some(witness))
    }

    fn forget_weights(&mut self, newest: Epoch, kept: u64) -> Result<(), LedgerError> {
        let mut from = keys::WEIGHTS.to_vec();
        for _ in 0..FORGET_PER_EPOCH {
            let Some((key, _)) = next_in(&self.state, keys::WEIGHTS, &from)? else { break };
            let is_kept = keys::number_at(&key, keys::WEIGHTS.len())
                .is_some_and(|epoch| epoch.saturating_add(kept) > newest.0);
            if is_kept {
                break;
            }
            from = after(&key);
            self.state.delete(key);
        }
        Ok(())
    }
}

fn candidates(
    current: &ValidatorSet,
    standing: &StandingRecord,
    testimony: &Testimony,
    members: &BTreeSet<ValidatorId>,
    offenders: &BTreeSet<ValidatorId>,
) -> Vec<Candidate> {
    let seats: BTreeMap<&[u8], &SeatRecord> =
        standing.seats.iter().map(|seat| (seat.validator.as_slice(), seat)).collect();
    let order: Vec<ValidatorId> = members.iter().copied().collect();
    members
        .iter()
        .map(|validator| {
            let seat = seats.get(&validator.0[..]);
            let position = current.index_of(validator);
            let share = |position| testimony.participation.share(position, &testimony.sample);
            let is_absent =
                |position| testimony.participation.is_recently_absent(position, &testimony.sample);
            Candidate {
                validator: *validator,
                weight: if position.is_some() { current.weight_of(validator) } else { BASE },
                was_core: seat.is_some_and(|seat| seat.in_core),
                participation: position.map_or(Micro::ZERO, share),
                clean_epochs: seat.map_or(0, |seat| seat.clean_epochs),
                equivocated: offenders.contains(validator) || testimony.contradicted.contains(validator),
                recently_absent: position.is_none_or(is_absent),
                report: testimony
                    .reports
                    .get(validator)
                    .map(|report| CandidateReport::project(report, current, &order)),
            }
        })
        .collect()
}

fn input(
    epoch: Epoch,
    parameters: &Parameters,
    standing: &StandingRecord,
    candidates: Vec<Candidate>,
) -> Result<WeightInput, MetricsError> {
    let mut input = WeightInput::new(epoch, parameters.fault_tolerance(), candidates)?;
    input.core_size = parameters.core_size();
    input.mode = match parameters.weights_mode() {
        WeightsMode::Equal => Mode::Equal,
        WeightsMode::Measured | WeightsMode::Fixed => Mode::Rule,
    };
    input.latency = LatencyGuard { baseline_us: standing.baseline_us, slow_epochs: standing.slow_epochs };
    input.clean_epochs_min = clean_epochs_min(parameters);
    Ok(input)
}

/// The bins of the epoch to come: what the reports agree on, or as before where there are none.
fn octiles_of(
    current: &ValidatorSet,
    testimony: &Testimony,
    standing: &StandingRecord,
) -> Vec<OctilesRecord> {
    let reports = testimony.reports.iter().map(|(reporter, report)| (report, current.weight_of(reporter)));
    let agreed: Vec<OctilesRecord> = agreed_octiles(reports)
        .into_iter()
        .map(|(channel, octiles)| OctilesRecord { channel: u32::from(channel), octiles: octiles.to_vec() })
        .collect();
    if agreed.is_empty() { standing.octiles.clone() } else { agreed }
}

fn next_standing(outcome: &WeightOutcome, octiles: Vec<OctilesRecord>) -> StandingRecord {
    let seats = outcome.nodes.iter().map(|node| SeatRecord {
        validator: node.validator.0.to_vec(),
        clean_epochs: node.clean_epochs_after,
        in_core: node.in_core,
    });
    StandingRecord {
        first_height: 0,
        seats: seats.collect(),
        baseline_us: outcome.latency.baseline_us,
        slow_epochs: outcome.latency.slow_epochs,
        octiles,
    }
}
