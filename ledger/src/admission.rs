//! Admission: whether a proposal is worth a place in a batch.
//!
//! It is advice to the node that is asked, not a rule of agreement: what it lets through may still be rejected by the block
//! that orders it. It refuses only what will be rejected for as long as that matters to the client; a comparison of
//! versions or a vote on a proposal that is still under way is left to the log.

use aegis_types::{AccountId, Parameter, Proposal, ProposalBody, SampledVotes, ValidatorId, WeightsMode};

use crate::error::LedgerError;
use crate::evidence::{check_signatures, check_standing};
use crate::keys;
use crate::ledger::Ledger;
use crate::outcome::{Admission, RejectCode};
use crate::records::{CountRecord, FirstResultRecord, HeadRecord, VotedRecord};
use crate::reports::{ReportSetting, check_report_evidence, read_sample};
use crate::state::{StateReader, read, read_required};
use crate::voted::VoteStatus;
use crate::voting::open_votes_of_account_max;

impl Ledger {
    /// Judges a proposal before it is batched. Its form and signature are checked elsewhere. `now_ms` is the node's clock in
    /// milliseconds of the Unix epoch; agreed time counts when it is ahead of that.
    ///
    /// # Errors
    /// `State` and `Damaged`: the store failed.
    pub fn check(
        &self,
        state: &dyn StateReader,
        proposal: &Proposal,
        now_ms: u64,
    ) -> Result<Admission, LedgerError> {
        let key = keys::first_result(&proposal.account, &proposal.idempotency_key);
        if let Some(record) = read::<FirstResultRecord>(state, &key)? {
            return Ok(if record.request_hash == proposal.request_hash().0 {
                Admission::Duplicate(record.to_result(&key)?)
            } else {
                Admission::Conflict
            });
        }
        let now_ms = now_ms.max(self.timestamp_ms());
        let lifetime = self.parameters().get(Parameter::ProposalLifetimeMaxMs);
        if proposal.expires_at_ms <= now_ms {
            return Ok(refused(RejectCode::Expired));
        }
        if proposal.expires_at_ms > now_ms.saturating_add(lifetime) {
            return Ok(refuse_because(
                RejectCode::ExpiryTooFar,
                format!("it may expire at most {lifetime} ms from now"),
            ));
        }
        match &proposal.body {
            ProposalBody::KvPut { .. } | ProposalBody::KvDelete { .. } | ProposalBody::KvCas { .. } => {
                Ok(Admission::Fresh)
            }
            ProposalBody::ParamSet { name, value } => match self.parameters().clone().set_text(name, value) {
                Ok(_) => self.check_room(state, proposal),
                Err(error) => Ok(refuse_because(RejectCode::InvalidParameter, error.to_string())),
            },
            ProposalBody::Text { .. }
            | ProposalBody::ValidatorAdd { .. }
            | ProposalBody::ValidatorRemove { .. } => self.check_room(state, proposal),
            ProposalBody::ProposalVote { proposal: voted, .. } => {
                let voter = ValidatorId(proposal.account.0);
                let will_vote = self.next_epoch().is_some_and(|next| next.validators.contains(&voter));
                if !self.validators().contains(&voter) && !will_vote {
                    return Ok(refused(RejectCode::NotAValidator));
                }
                let record = read::<VotedRecord>(state, &keys::voted(voted))?;
                let is_over = record.is_some_and(|record| record.status != VoteStatus::Open.number());
                Ok(if is_over { refused(RejectCode::VoteClosed) } else { Admission::Fresh })
            }
            ProposalBody::Evidence { first, second } => {
                let setting = self.setting();
                let verdict = check_standing(first, second, setting.validators, setting.previous)
                    .and_then(|()| check_signatures(first, second, setting.domain));
                let known = state.get(&keys::evidence(first.content.epoch, &first.validator))?.is_some();
                Ok(match verdict {
                    Err(code) => refused(code),
                    Ok(()) if known => refused(RejectCode::EvidenceKnown),
                    Ok(()) => Admission::Fresh,
                })
            }
            ProposalBody::MetricsReport { report, sampled } => {
                self.check_report(state, proposal.account, report, sampled)
            }
            ProposalBody::MetricsEvidence { first, second } => {
                self.check_report_evidence(state, first, second)
            }
        }
    }

    fn check_report(
        &self,
        state: &dyn StateReader,
        account: AccountId,
        report: &[u8],
        sampled: &[SampledVotes],
    ) -> Result<Admission, LedgerError> {
        if self.parameters().weights_mode() == WeightsMode::Fixed {
            return Ok(refused(RejectCode::NotMeasured));
        }
        let (reporter, validators) = (ValidatorId(account.0), self.validators());
        if !validators.contains(&reporter) {
            return Ok(refused(RejectCode::NotAValidator));
        }
        let Some(sample) = read_sample(state)? else { return Ok(refused(RejectCode::ReportTooEarly)) };
        if state.get(&keys::report(&reporter))?.is_some() {
            return Ok(refused(RejectCode::ReportKnown));
        }
        let (domain, height) = (self.setting().domain, self.height());
        let setting = ReportSetting { domain, validators, height, sample: &sample };
        Ok(match setting.check_form(account, report, sampled) {
            Ok(signed) if setting.check_signatures(&signed, sampled) => Admission::Fresh,
            Ok(_) => refused(RejectCode::ReportInvalid),
            Err(code) => refused(code),
        })
    }

    fn check_report_evidence(
        &self,
        state: &dyn StateReader,
        first: &[u8],
        second: &[u8],
    ) -> Result<Admission, LedgerError> {
        let setting = self.setting();
        if self.parameters().weights_mode() == WeightsMode::Fixed {
            return Ok(refused(RejectCode::NotMeasured));
        }
        let (evidence, epoch) =
            match check_report_evidence(first, second, setting.validators, setting.previous) {
                Ok(found) => found,
                Err(code) => return Ok(refused(code)),
            };
        if state.get(&keys::report_offence(epoch, &evidence.reporter()))?.is_some() {
            return Ok(refused(RejectCode::EvidenceKnown));
        }
        Ok(match evidence.verify(setting.domain) {
            Ok(()) => Admission::Fresh,
            Err(_) => refused(RejectCode::EvidenceInvalid),
        })
    }

    fn check_room(&self, state: &dyn StateReader, proposal: &Proposal) -> Result<Admission, LedgerError> {
        let limit = self.parameters().get(Parameter::OpenVotesMax);
        let open = read_required::<HeadRecord>(state, keys::HEAD)?.open_votes;
        if open >= limit {
            return Ok(refused(RejectCode::TooManyOpenVotes));
        }
        let of_account = read::<CountRecord>(state, &keys::open_count(&proposal.account))?;
        if of_account.is_some_and(|record| record.count >= open_votes_of_account_max(limit)) {
            return Ok(refused(RejectCode::TooManyOpenVotesOfAccount));
        }
        Ok(Admission::Fresh)
    }
}

fn refused(code: RejectCode) -> Admission {
    refuse_because(code, code.to_string())
}

fn refuse_because(code: RejectCode, reason: String) -> Admission {
    Admission::Refused { code, reason }
}
