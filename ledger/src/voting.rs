//! Voted proposals: opening them and voting on them.
//!
//! Anybody with an account may open a vote, within the bounds below; validators of the current epoch vote. A validator's
//! later vote replaces its earlier one while the vote is open. How votes are counted and ended is in the module `tally`.

use aegis_types::{AccountId, Kind, Parameter, ProposalBody, ProposalId, ValidatorId, Weight};
use prost::Message;

use crate::applied::LedgerEvent;
use crate::error::LedgerError;
use crate::execution::{Execution, Ordered};
use crate::keys;
use crate::outcome::{Outcome, RejectCode};
use crate::records::{CountRecord, VoteRecord, VotedRecord};
use crate::state::{read, read_required};
use crate::voted::VoteStatus;

/// One account may hold this share of all votes that may be open: a tenth, so that it takes ten to crowd out the rest.
const SHARE_OF_ACCOUNT: u64 = 10;

impl Execution<'_> {
    /// Opens a vote.
    pub(crate) fn open_vote(&mut self, ordered: Ordered) -> Result<Outcome, LedgerError> {
        let Ordered { proposal, id, position } = ordered;
        if let Some(code) = self.why_not_open(proposal.account, &proposal.body)? {
            return Ok(Outcome::rejected(code));
        }
        let deadline_ms = self.timestamp_ms.saturating_add(self.setting.rules.get(Parameter::VotingPeriodMs));
        let record = VotedRecord {
            account: proposal.account.0.to_vec(),
            kind: proposal.kind().name().to_owned(),
            opened_height: self.height.0,
            opened_position: position,
            opened_ms: self.timestamp_ms,
            deadline_ms,
            status: VoteStatus::Open.number(),
            total: self.setting.validators.total().0,
            tally_epoch: self.setting.validators.epoch().0,
            ..VotedRecord::default()
        };
        self.state.put(keys::voted(&id), record.encode_to_vec());
        self.state.put(keys::body(&id), proposal.body.encode());
        self.state.put(keys::deadline(deadline_ms, &id), Vec::new());
        self.state.put(keys::opening(self.height, position), id.0.to_vec());
        self.head.open_votes = self.head.open_votes.saturating_add(1);
        let open = self.open_count(&proposal.account)?.saturating_add(1);
        self.set_open_count(&proposal.account, open);
        self.events.push(LedgerEvent::VoteOpened {
            proposal: id,
            kind: proposal.kind(),
            account: proposal.account,
            deadline_ms,
        });
        Ok(Outcome::Opened { deadline_ms })
    }

    /// Takes a validator's vote. `account` is the voter, `id` the proposal.
    pub(crate) fn cast_vote(
        &mut self,
        account: AccountId,
        id: &ProposalId,
        approve: bool,
    ) -> Result<Outcome, LedgerError> {
        let validator = ValidatorId(account.0);
        let weight = self.setting.validators.weight_of(&validator);
        if weight == Weight::ZERO {
            return Ok(Outcome::rejected(RejectCode::NotAValidator));
        }
        let key = keys::voted(id);
        let Some(mut record) = read::<VotedRecord>(&self.state, &key)? else {
            return Ok(Outcome::rejected(RejectCode::UnknownProposal));
        };
        if record.status != VoteStatus::Open.number() || record.deadline_ms <= self.timestamp_ms {
            return Ok(Outcome::rejected(RejectCode::VoteClosed));
        }
        // The blocks that count anew after a change of weights may not have come to this one yet.
        if self.is_stale(&record) {
            self.count_votes(id, &mut record)?;
            if let Some(status) = self.decided(&record) {
                self.close_vote(id, record, status)?;
                return Ok(Outcome::rejected(RejectCode::VoteClosed));
            }
        }
        let vote_key = keys::vote(id, &validator);
        if let Some(earlier) = read::<VoteRecord>(&self.state, &vote_key)? {
            let side = if earlier.approve { &mut record.yes } else { &mut record.no };
            *side = side.saturating_sub(weight.0);
        }
        let side = if approve { &mut record.yes } else { &mut record.no };
        *side = side.saturating_add(weight.0);
        record.tally_epoch = self.setting.validators.epoch().0;
        let vote = VoteRecord { approve, height: self.height.0, timestamp_ms: self.timestamp_ms };
        self.state.put(vote_key, vote.encode_to_vec());
        self.events.push(LedgerEvent::VoteCast { proposal: *id, validator, weight, approve });
        match self.decided(&record) {
            Some(status) => self.close_vote(id, record, status)?,
            None => self.state.put(key, record.encode_to_vec()),
        }
        Ok(Outcome::applied())
    }

    /// Takes a closed vote out of its account's count.
    pub(crate) fn release_open_vote(&mut self, account: &AccountId) -> Result<(), LedgerError> {
        self.head.open_votes = self.head.open_votes.saturating_sub(1);
        let open = self.open_count(account)?.saturating_sub(1);
        self.set_open_count(account, open);
        Ok(())
    }

    /// The body that a vote is about.
    pub(crate) fn voted_body(&self, id: &ProposalId, kind: Kind) -> Result<ProposalBody, LedgerError> {
        crate::query::body(&self.state, id, kind)
    }

    fn why_not_open(
        &self,
        account: AccountId,
        body: &ProposalBody,
    ) -> Result<Option<RejectCode>, LedgerError> {
        if let ProposalBody::ParamSet { name, value } = body
            && self.setting.rules.clone().set_text(name, value).is_err()
        {
            return Ok(Some(RejectCode::InvalidParameter));
        }
        let limit = self.setting.rules.get(Parameter::OpenVotesMax);
        if self.head.open_votes >= limit {
            return Ok(Some(RejectCode::TooManyOpenVotes));
        }
        if self.open_count(&account)? >= open_votes_of_account_max(limit) {
            return Ok(Some(RejectCode::TooManyOpenVotesOfAccount));
        }
        Ok(None)
    }

    fn open_count(&self, account: &AccountId) -> Result<u64, LedgerError> {
        Ok(read::<CountRecord>(&self.state, &keys::open_count(account))?.map_or(0, |record| record.count))
    }

    fn set_open_count(&mut self, account: &AccountId, count: u64) {
        let key = keys::open_count(account);
        if count == 0 {
            self.state.delete(key);
        } else {
            self.state.put(key, CountRecord { count }.encode_to_vec());
        }
    }

    /// The record of a vote that an index names.
    pub(crate) fn voted_record(&self, id: &ProposalId) -> Result<VotedRecord, LedgerError> {
        read_required(&self.state, &keys::voted(id))
    }
}

/// How many votes one account may have open, when `limit` may be open in all.
pub(crate) fn open_votes_of_account_max(limit: u64) -> u64 {
    (limit / SHARE_OF_ACCOUNT).max(1)
}
