//! Evidence: two contradictory votes of one validator cost it its place at the epoch's end.
//!
//! Anybody may submit it. It counts for the current and the previous epoch, so that an offence at an epoch's end is not lost,
//! and once per validator and epoch. The offender's removal waits for the next boundary (see the module `boundary`); an
//! offender that is no longer a member is put on record only.

use aegis_types::{Domain, ProposalId, ValidatorSet, Vote};
use prost::Message;

use crate::applied::LedgerEvent;
use crate::error::LedgerError;
use crate::execution::Execution;
use crate::keys;
use crate::outcome::{Outcome, RejectCode};
use crate::records::EvidenceRecord;
use crate::state::{StateReader, after, decode, next_in};

/// How many pieces of evidence of either kind have their signatures checked in a block: anybody can forge some, and each costs two checks.
pub(crate) const CHECKS_PER_BLOCK: u32 = 64;

/// How long evidence stays on record, in agreed time: 30 days.
const KEPT_MS: u64 = 30 * 24 * 3_600 * 1_000;

/// How many pieces of evidence a block forgets.
const FORGET_PER_BLOCK: usize = 64;

/// Judges everything but the signatures, which costs next to nothing.
pub(crate) fn check_standing(
    first: &Vote,
    second: &Vote,
    current: &ValidatorSet,
    previous: Option<&ValidatorSet>,
) -> Result<(), RejectCode> {
    let epoch = first.content.epoch;
    let set = [Some(current), previous].into_iter().flatten().find(|set| set.epoch() == epoch);
    let Some(set) = set else { return Err(RejectCode::EvidenceOutOfDate) };
    let proves = first.validator == second.validator
        && first.content.contradicts(&second.content)
        && set.contains(&first.validator);
    if proves { Ok(()) } else { Err(RejectCode::EvidenceInvalid) }
}

/// Judges the signatures.
pub(crate) fn check_signatures(first: &Vote, second: &Vote, domain: &Domain) -> Result<(), RejectCode> {
    if first.verify(domain) && second.verify(domain) { Ok(()) } else { Err(RejectCode::EvidenceInvalid) }
}

impl Execution<'_> {
    /// Puts evidence on record, and the offender on the list of those who leave.
    pub(crate) fn record_evidence(
        &mut self,
        id: ProposalId,
        first: &Vote,
        second: &Vote,
    ) -> Result<Outcome, LedgerError> {
        let (validator, epoch) = (first.validator, first.content.epoch);
        let current = self.setting.validators;
        if let Err(code) = check_standing(first, second, current, self.setting.previous) {
            return Ok(Outcome::rejected(code));
        }
        let key = keys::evidence(epoch, &validator);
        if self.state.get(&key)?.is_some() {
            return Ok(Outcome::rejected(RejectCode::EvidenceKnown));
        }
        if self.evidence_checked >= CHECKS_PER_BLOCK {
            return Ok(Outcome::rejected(RejectCode::EvidenceBusy));
        }
        self.evidence_checked = self.evidence_checked.saturating_add(1);
        if let Err(code) = check_signatures(first, second, self.setting.domain) {
            return Ok(Outcome::rejected(code));
        }
        let record = EvidenceRecord {
            proposal: id.0.to_vec(),
            height: self.height.0,
            timestamp_ms: self.timestamp_ms,
        };
        let record = record.encode_to_vec();
        if current.contains(&validator) || self.state.get(&keys::pending(&validator))?.is_some() {
            self.state.put(keys::offender(&validator), record.clone());
        }
        self.state.put(key, record);
        self.events.push(LedgerEvent::EvidenceRecorded { validator, epoch });
        Ok(Outcome::applied())
    }

    /// Forgets evidence whose time is over. That of an epoch that can still be judged is kept: it is younger than that.
    pub(crate) fn forget_evidence(&mut self) -> Result<(), LedgerError> {
        let due_ms = self.timestamp_ms.saturating_sub(KEPT_MS);
        let mut from = keys::EVIDENCE.to_vec();
        for _ in 0..FORGET_PER_BLOCK {
            let Some((key, value)) = next_in(&self.state, keys::EVIDENCE, &from)? else { break };
            let is_judged = keys::number_at(&key, keys::EVIDENCE.len())
                .is_some_and(|epoch| epoch.saturating_add(1) >= self.head.epoch);
            if is_judged || decode::<EvidenceRecord>(&key, &value)?.timestamp_ms >= due_ms {
                break;
            }
            from = after(&key);
            self.state.delete(key);
        }
        Ok(())
    }
}
