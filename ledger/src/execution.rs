//! A block in execution: the state so far, and the order in which a block's parts take effect.

use aegis_types::{
    Batch, Domain, Hash, Header, Height, Parameter, Parameters, Proposal, ProposalBody, ProposalId,
    ValidatorSet,
};
use prost::Message;

use crate::applied::LedgerEvent;
use crate::error::LedgerError;
use crate::keys;
use crate::outcome::{Outcome, Receipt, RejectCode};
use crate::overlay::Overlay;
use crate::records::{AgreedParameters, HeadRecord, UsedKey};
use crate::state::{Change, StateReader};

/// What a block finds when it begins. Does not change while it is executed: what the block itself changes in parameters
/// and validators takes effect later.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub(crate) domain: &'a Domain,
    /// The parameters in force.
    pub(crate) rules: &'a Parameters,
    /// The current epoch's validators.
    pub(crate) validators: &'a ValidatorSet,
    /// The previous epoch's; none in epoch 0.
    pub(crate) previous: Option<&'a ValidatorSet>,
}

/// A proposal with its place in the block.
#[derive(Clone, Copy)]
pub(crate) struct Ordered<'a> {
    pub(crate) proposal: &'a Proposal,
    pub(crate) id: ProposalId,
    pub(crate) position: u32,
}

/// A block in execution. Nothing outside changes before [`Execution::finish`], so any error may be answered by dropping it.
pub(crate) struct Execution<'a> {
    pub(crate) setting: Setting<'a>,
    pub(crate) state: Overlay<'a>,
    pub(crate) head: HeadRecord,
    pub(crate) agreed: AgreedParameters,
    pub(crate) height: Height,
    pub(crate) timestamp_ms: u64,
    pub(crate) events: Vec<LedgerEvent>,
    /// The idempotency keys that the block used for the first time.
    pub(crate) used_keys: Vec<UsedKey>,
    /// How many pieces of evidence had their signatures checked.
    pub(crate) evidence_checked: u32,
}

/// What a block did.
pub(crate) struct Finished {
    pub(crate) changes: Vec<Change>,
    pub(crate) head: HeadRecord,
    pub(crate) agreed: AgreedParameters,
    pub(crate) events: Vec<LedgerEvent>,
}

impl<'a> Execution<'a> {
    /// Begins the block after the one that `head` describes.
    pub(crate) fn begin(
        setting: Setting<'a>,
        state: &'a dyn StateReader,
        head: &HeadRecord,
        agreed: &AgreedParameters,
        header: &Header,
    ) -> Self {
        let mut head = head.clone();
        head.height = header.height.0;
        head.timestamp_ms = header.timestamp_ms;
        Self {
            setting,
            state: Overlay::new(state),
            head,
            agreed: agreed.clone(),
            height: header.height,
            timestamp_ms: header.timestamp_ms,
            events: Vec::new(),
            used_keys: Vec::new(),
            evidence_checked: 0,
        }
    }

    /// Executes the payload of the block with this header digest: what is due first, then each proposal in order.
    pub(crate) fn run(&mut self, digest: Hash, batches: &[Batch]) -> Result<Vec<Receipt>, LedgerError> {
        let count = batches.iter().fold(0_usize, |sum, batch| sum.saturating_add(batch.proposals.len()));
        self.recount_stale()?;
        self.lapse_due()?;
        self.forget_closed()?;
        self.forget_evidence()?;
        self.forget_results(count)?;
        self.note_block(digest)?;
        let mut receipts = Vec::with_capacity(count);
        for (position, proposal) in (0_u32..).zip(batches.iter().flat_map(|batch| &batch.proposals)) {
            receipts.push(self.execute(proposal, position)?);
        }
        self.schedule_forgetting();
        Ok(receipts)
    }

    /// Writes the block's bookkeeping and hands out all that it did.
    pub(crate) fn finish(mut self) -> Finished {
        self.state.put(keys::HEAD.to_vec(), self.head.encode_to_vec());
        Finished {
            changes: self.state.into_changes(),
            head: self.head,
            agreed: self.agreed,
            events: self.events,
        }
    }

    fn execute(&mut self, proposal: &Proposal, position: u32) -> Result<Receipt, LedgerError> {
        let ordered = Ordered { proposal, id: proposal.id(), position };
        let events_before = self.events.len();
        let outcome = match self.first_result(&proposal.account, &proposal.idempotency_key)? {
            Some(first) => Outcome::Duplicate { first: Box::new(first) },
            None => {
                let outcome = match self.out_of_time(proposal) {
                    Some(code) => Outcome::rejected(code),
                    None => self.carry_out(ordered)?,
                };
                self.remember(ordered, &outcome);
                outcome
            }
        };
        Ok(Receipt {
            id: ordered.id,
            account: proposal.account,
            kind: proposal.kind(),
            idempotency_key: proposal.idempotency_key.clone(),
            position,
            outcome,
            request: proposal.request_hash(),
            events: events_before..self.events.len(),
        })
    }

    fn out_of_time(&self, proposal: &Proposal) -> Option<RejectCode> {
        let lifetime = self.setting.rules.get(Parameter::ProposalLifetimeMaxMs);
        if proposal.expires_at_ms <= self.timestamp_ms {
            Some(RejectCode::Expired)
        } else if proposal.expires_at_ms > self.timestamp_ms.saturating_add(lifetime) {
            Some(RejectCode::ExpiryTooFar)
        } else {
            None
        }
    }

    /// Each rule decides before it writes: a rejected proposal leaves no trace but its first result.
    fn carry_out(&mut self, ordered: Ordered) -> Result<Outcome, LedgerError> {
        match &ordered.proposal.body {
            ProposalBody::KvPut { key, value } => self.kv_put(key, value),
            ProposalBody::KvDelete { key } => self.kv_delete(key),
            ProposalBody::KvCas { key, expected_version, value } => {
                self.kv_cas(key, *expected_version, value)
            }
            ProposalBody::Text { .. }
            | ProposalBody::ParamSet { .. }
            | ProposalBody::ValidatorAdd { .. }
            | ProposalBody::ValidatorRemove { .. } => self.open_vote(ordered),
            ProposalBody::ProposalVote { proposal, approve } => {
                self.cast_vote(ordered.proposal.account, proposal, *approve)
            }
            ProposalBody::Evidence { first, second } => self.record_evidence(ordered.id, first, second),
            ProposalBody::MetricsReport { report, sampled } => {
                self.record_report(ordered.proposal.account, report, sampled)
            }
            ProposalBody::MetricsEvidence { first, second } => {
                self.record_report_evidence(ordered.id, first, second)
            }
        }
    }
}
