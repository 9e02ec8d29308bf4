//! Reports: what validators say about an epoch, and proof that one said two things.
//!
//! A `metrics.report` is taken once per validator and epoch, after the sample is drawn, from the validator's own account.
//! It costs up to 33 checks of signatures: the report's, and one for each sampled height at which its maker shows
//! its Commit. A report with a wrong signature uses up its maker's turn, so an epoch of `n` validators costs at most
//! `33 n` checks whatever anybody submits: 3,300 for a hundred, some 0.2 s of one core. Nobody else can use up a
//! turn: the envelope is signed by the same key.
//!
//! A `metrics.evidence` may come from anybody, for the current and the previous epoch, once per reporter and epoch. It
//! costs the reporter its report of the epoch in which it is ordered, its place in the core, and its clean epochs.

use aegis_metrics::reports::ReportContext;
use aegis_metrics::{ReportEvidence, SignedReport};
use aegis_types::{
    AccountId, Canonical, Domain, Epoch, Height, ProposalId, SampledVotes, ValidatorId, ValidatorSet, Vote,
    VoteContent, VoteKind, Weight,
};
use prost::Message;

use crate::applied::LedgerEvent;
use crate::error::LedgerError;
use crate::evidence::CHECKS_PER_BLOCK;
use crate::execution::Execution;
use crate::keys;
use crate::outcome::{Outcome, RejectCode};
use crate::records::EvidenceRecord;
use crate::state::{StateReader, read};
use crate::weighing_records::{ReportRecord, SampleRecord, SampledRecord};
use crate::weights::Sample;

/// What a report is judged against.
pub(crate) struct ReportSetting<'a> {
    pub(crate) domain: &'a Domain,
    pub(crate) validators: &'a ValidatorSet,
    /// The height of the block that orders it, or of the last block before it is admitted.
    pub(crate) height: Height,
    pub(crate) sample: &'a Sample,
}

impl ReportSetting<'_> {
    /// Judges everything but the signatures: who reports, on what, and whether its certificates are quorums of the set.
    pub(crate) fn check_form(
        &self,
        account: AccountId,
        report: &[u8],
        sampled: &[SampledVotes],
    ) -> Result<SignedReport, RejectCode> {
        let signed = SignedReport::decode(report).map_err(|_| RejectCode::ReportInvalid)?;
        let context = ReportContext { set: self.validators, height: self.height, previous_sequence: None };
        let is_own = signed.report.reporter == ValidatorId(account.0);
        let is_current = signed.report.check(context).is_ok();
        if is_own && is_current && sampled.iter().all(|votes| self.is_certificate(votes)) {
            Ok(signed)
        } else {
            Err(RejectCode::ReportInvalid)
        }
    }

    /// Judges the signatures of a report whose form is right.
    pub(crate) fn check_signatures(&self, signed: &SignedReport, sampled: &[SampledVotes]) -> bool {
        signed.verify(self.domain)
            && sampled.iter().all(|votes| self.is_own_commit(signed.report.reporter, votes))
    }

    fn is_certificate(&self, votes: &SampledVotes) -> bool {
        let weight = votes.voters.positions().try_fold(Weight::ZERO, |sum, position| {
            self.validators.get(position).map(|member| sum.plus(member.weight))
        });
        self.sample.digest(votes.height).is_some()
            && weight.is_some_and(|weight| weight >= self.validators.quorum())
    }

    fn is_own_commit(&self, validator: ValidatorId, votes: &SampledVotes) -> bool {
        let Some((view, signature)) = votes.own else { return true };
        let Some(digest) = self.sample.digest(votes.height) else { return false };
        let (kind, epoch, height) = (VoteKind::Commit, self.validators.epoch(), votes.height);
        let content = VoteContent { kind, epoch, view, height, digest };
        Vote { content, validator, signature }.verify(self.domain)
    }
}

/// The evidence in two encodings, if they are of members of the current or the previous epoch's set. Does not check
/// signatures.
pub(crate) fn check_report_evidence(
    first: &[u8],
    second: &[u8],
    current: &ValidatorSet,
    previous: Option<&ValidatorSet>,
) -> Result<(ReportEvidence, Epoch), RejectCode> {
    let read = |bytes| SignedReport::decode(bytes).map_err(|_| RejectCode::EvidenceInvalid);
    let evidence =
        ReportEvidence::new(read(first)?, read(second)?).map_err(|_| RejectCode::EvidenceInvalid)?;
    let [report, _] = evidence.reports();
    let epoch = report.report.epoch;
    let set = [Some(current), previous].into_iter().flatten().find(|set| set.epoch() == epoch);
    match set {
        None => Err(RejectCode::EvidenceOutOfDate),
        Some(set) if !set.contains(&evidence.reporter()) => Err(RejectCode::EvidenceInvalid),
        Some(_) => Ok((evidence, epoch)),
    }
}

/// The current epoch's sample, once it is drawn.
pub(crate) fn read_sample(state: &dyn StateReader) -> Result<Option<Sample>, LedgerError> {
    read::<SampleRecord>(state, keys::SAMPLE)?.map(|record| record.to_sample(keys::SAMPLE)).transpose()
}

impl Execution<'_> {
    /// Takes a validator's report of the epoch.
    pub(crate) fn record_report(
        &mut self,
        account: AccountId,
        report: &[u8],
        sampled: &[SampledVotes],
    ) -> Result<Outcome, LedgerError> {
        let reporter = ValidatorId(account.0);
        let validators = self.setting.validators;
        if !self.is_measured() {
            return Ok(Outcome::rejected(RejectCode::NotMeasured));
        }
        if !validators.contains(&reporter) {
            return Ok(Outcome::rejected(RejectCode::NotAValidator));
        }
        let Some(sample) = read_sample(&self.state)? else {
            return Ok(Outcome::rejected(RejectCode::ReportTooEarly));
        };
        let key = keys::report(&reporter);
        if self.state.get(&key)?.is_some() {
            return Ok(Outcome::rejected(RejectCode::ReportKnown));
        }
        let (domain, height) = (self.setting.domain, self.height);
        let setting = ReportSetting { domain, validators, height, sample: &sample };
        let signed = match setting.check_form(account, report, sampled) {
            Ok(signed) => signed,
            Err(code) => return Ok(Outcome::rejected(code)),
        };
        if !setting.check_signatures(&signed, sampled) {
            self.state.put(key, ReportRecord::default().encode_to_vec());
            return Ok(Outcome::rejected(RejectCode::ReportInvalid));
        }
        let sampled = sampled.iter().map(|votes| SampledRecord {
            height: votes.height.0,
            voters: votes.voters.as_bytes().to_vec(),
            shown: votes.own.is_some(),
        });
        let record = ReportRecord { report: signed.report.encode(), sampled: sampled.collect() };
        self.state.put(key, record.encode_to_vec());
        let epoch = validators.epoch();
        self.events.push(LedgerEvent::ReportRecorded { validator: reporter, epoch });
        Ok(Outcome::applied())
    }

    /// Puts two reports of one validator with one number on record against it.
    pub(crate) fn record_report_evidence(
        &mut self,
        id: ProposalId,
        first: &[u8],
        second: &[u8],
    ) -> Result<Outcome, LedgerError> {
        if !self.is_measured() {
            return Ok(Outcome::rejected(RejectCode::NotMeasured));
        }
        let found = check_report_evidence(first, second, self.setting.validators, self.setting.previous);
        let (evidence, epoch) = match found {
            Ok(found) => found,
            Err(code) => return Ok(Outcome::rejected(code)),
        };
        let validator = evidence.reporter();
        let key = keys::report_offence(epoch, &validator);
        if self.state.get(&key)?.is_some() {
            return Ok(Outcome::rejected(RejectCode::EvidenceKnown));
        }
        if self.evidence_checked >= CHECKS_PER_BLOCK {
            return Ok(Outcome::rejected(RejectCode::EvidenceBusy));
        }
        self.evidence_checked = self.evidence_checked.saturating_add(1);
        if evidence.verify(self.setting.domain).is_err() {
            return Ok(Outcome::rejected(RejectCode::EvidenceInvalid));
        }
        let record = EvidenceRecord {
            proposal: id.0.to_vec(),
            height: self.height.0,
            timestamp_ms: self.timestamp_ms,
        };
        self.state.put(key, record.encode_to_vec());
        self.events.push(LedgerEvent::ReportsContradicted { validator, epoch });
        Ok(Outcome::applied())
    }
}
