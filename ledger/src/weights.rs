//! Measured weights as readers see them: what is sampled, who has reported, and how each epoch's weights came about.

use std::collections::BTreeMap;

use aegis_metrics::{Report, WeightInput, WeightOutcome};
use aegis_types::{Canonical, Epoch, Hash, Height, ValidatorId, ValidatorSet};

use crate::error::LedgerError;
use crate::keys;
use crate::records;
use crate::reports::read_sample;
use crate::state::{StateReader, after, decode, next_in, read};
use crate::weighing::seat;
use crate::weighing_records::{ReportRecord, StandingRecord, WeightsRecord};

/// The blocks of the current epoch at which participation is counted, in ascending order of height.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// Height and header digest of each.
    pub blocks: Vec<(Height, Hash)>,
}

impl Sample {
    /// The heights in ascending order.
    pub fn heights(&self) -> impl Iterator<Item = Height> + '_ {
        self.blocks.iter().map(|(height, _)| *height)
    }

    /// The header digest of a sampled block.
    pub fn digest(&self, height: Height) -> Option<Hash> {
        let position = self.blocks.binary_search_by_key(&height, |(height, _)| *height).ok()?;
        self.blocks.get(position).map(|(_, digest)| *digest)
    }
}

/// The weights of an epoch on record, with the agreed measurements that they came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightsOnRecord {
    /// What the rule read.
    pub input: WeightInput,
    /// The validators that the epoch got.
    pub validators: ValidatorSet,
}

impl WeightsOnRecord {
    /// Applies the rule again.
    pub fn recompute(&self) -> WeightOutcome {
        self.input.outcome()
    }

    /// Whether an outcome has the weights and leaders on record.
    pub fn is_result_of(&self, outcome: &WeightOutcome) -> bool {
        seat(outcome).as_ref() == Ok(&self.validators)
    }
}

/// Where a member stands at the beginning of the current epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// Who.
    pub validator: ValidatorId,
    /// Epochs of membership since it joined or was last proven to have reported two things, this one among them. Members
    /// of the first epoch with measurements begin with `clean_epochs`.
    pub clean_epochs: u32,
    /// Whether it is in the core.
    pub in_core: bool,
}

/// The current epoch's sample; none before it is drawn, nor while weights are fixed.
///
/// # Errors
/// `State` and `Damaged`.
pub fn sample(state: &dyn StateReader) -> Result<Option<Sample>, LedgerError> {
    read_sample(state)
}

/// The reports that were agreed in the current epoch, by reporter. They are dropped at the epoch's end; what the rule read of
/// them stays in [`weights`].
///
/// # Errors
/// `State` and `Damaged`.
pub fn reports(state: &dyn StateReader) -> Result<BTreeMap<ValidatorId, Report>, LedgerError> {
    let (mut reports, mut from) = (BTreeMap::new(), keys::REPORTS.to_vec());
    while let Some((key, value)) = next_in(state, keys::REPORTS, &from)? {
        let record: ReportRecord = decode(&key, &value)?;
        if !record.report.is_empty() {
            let report = Report::decode(&record.report)
                .map_err(|error| LedgerError::damaged(&key, error.to_string()))?;
            reports.insert(records::validator_of(&key)?, report);
        }
        from = after(&key);
    }
    Ok(reports)
}

/// Whether a validator's report of the current epoch is used up: it has been ordered, be it with a wrong signature.
///
/// # Errors
/// `State`.
pub fn has_reported(state: &dyn StateReader, validator: &ValidatorId) -> Result<bool, LedgerError> {
    Ok(state.get(&keys::report(validator))?.is_some())
}

/// Where the current epoch's members stand, in order of validator; empty while weights are fixed.
///
/// # Errors
/// `State` and `Damaged`.
pub fn seats(state: &dyn StateReader) -> Result<Vec<Seat>, LedgerError> {
    let key = keys::STANDING_CURRENT;
    let standing = read::<StandingRecord>(state, key)?.unwrap_or_default();
    let seats = standing.seats.iter().map(|seat| {
        let validator = ValidatorId::from_slice(&seat.validator)
            .map_err(|error| LedgerError::damaged(key, error.to_string()))?;
        Ok(Seat { validator, clean_epochs: seat.clean_epochs, in_core: seat.in_core })
    });
    seats.collect()
}

/// The bins over which the current epoch's histograms are counted, by channel: see
/// [`agreed_octiles`](aegis_metrics::reports::agreed_octiles).
///
/// # Errors
/// `State` and `Damaged`.
pub fn octiles(state: &dyn StateReader) -> Result<BTreeMap<u8, [i32; 7]>, LedgerError> {
    let key = keys::STANDING_CURRENT;
    let standing = read::<StandingRecord>(state, key)?.unwrap_or_default();
    let octiles = standing.octiles.into_iter().map(|record| {
        let channel = u8::try_from(record.channel).ok();
        let entry = channel.zip(<[i32; 7]>::try_from(record.octiles).ok());
        entry.ok_or_else(|| LedgerError::damaged(key, "a channel has no seven octiles"))
    });
    octiles.collect()
}

/// The weights of an epoch, counted from 1, if they were measured and are still kept
/// (parameter `weights_history_epochs`).
///
/// # Errors
/// `State` and `Damaged`.
pub fn weights(state: &dyn StateReader, epoch: Epoch) -> Result<Option<WeightsOnRecord>, LedgerError> {
    let key = keys::weights(epoch);
    let Some(record) = read::<WeightsRecord>(state, &key)? else { return Ok(None) };
    let damaged = |error: aegis_types::TypesError| LedgerError::damaged(&key, error.to_string());
    Ok(Some(WeightsOnRecord {
        input: WeightInput::decode(&record.input).map_err(damaged)?,
        validators: ValidatorSet::decode(&record.validators).map_err(damaged)?,
    }))
}

/// How the weights of an epoch came about: each term of each member, and where the cap bit. Computed again from what is on
/// record.
///
/// # Errors
/// `State`; `Damaged` also when the rule does not give the weights on record.
pub fn explain(state: &dyn StateReader, epoch: Epoch) -> Result<Option<WeightOutcome>, LedgerError> {
    let Some(on_record) = weights(state, epoch)? else { return Ok(None) };
    let outcome = on_record.recompute();
    if on_record.is_result_of(&outcome) {
        Ok(Some(outcome))
    } else {
        Err(LedgerError::damaged(&keys::weights(epoch), "the rule gives other weights than those on record"))
    }
}

/// The epochs whose weights are kept, the oldest and the newest.
///
/// # Errors
/// `State` and `Damaged`.
pub fn weights_kept(state: &dyn StateReader) -> Result<Option<(Epoch, Epoch)>, LedgerError> {
    let epoch_of = |key: &[u8]| {
        let number = keys::number_at(key, keys::WEIGHTS.len());
        number.map(Epoch).ok_or_else(|| LedgerError::damaged(key, "the key has no epoch"))
    };
    let Some((key, _)) = next_in(state, keys::WEIGHTS, keys::WEIGHTS)? else { return Ok(None) };
    let oldest = epoch_of(&key)?;
    // Records are large and may be thousands, so they are not read one by one: steps that double lead past the newest, then
    // halves close in on it.
    let kept_from = |epoch: u64| -> Result<Option<u64>, LedgerError> {
        let found = next_in(state, keys::WEIGHTS, &keys::weights(Epoch(epoch)))?;
        found.map(|(key, _)| epoch_of(&key).map(|epoch| epoch.0)).transpose()
    };
    let (mut newest, mut step) = (oldest.0, 1_u64);
    let mut above = loop {
        let probed = newest.saturating_add(step);
        match kept_from(probed)? {
            Some(epoch) if epoch > newest => newest = epoch,
            _ => break probed,
        }
        step = step.saturating_mul(2);
    };
    // None is kept at `above` or later.
    while newest.saturating_add(1) < above {
        let middle = newest.midpoint(above);
        match kept_from(middle)? {
            Some(epoch) => newest = epoch,
            None => above = middle,
        }
    }
    Ok(Some((oldest, Epoch(newest))))
}
