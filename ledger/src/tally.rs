//! Counting votes and ending them.
//!
//! A vote **passes** in the block in which the weight of yes exceeds two thirds of the total, **fails** in the block in which
//! that has become impossible without somebody changing a no (the weight of no is a third or more), and **lapses** in the
//! first block whose time is at or past its deadline. Each end is final. A passed one is carried out in the same block.
//!
//! Weights are those of the current epoch. When an epoch begins with other members or weights, every open vote is counted
//! anew, up to [`RECOUNTS_PER_BLOCK`] a block from the epoch's first block on; one that is voted on or reaches its deadline
//! before its turn is counted at that moment, so a stale tally never decides anything. Votes of validators that have
//! left the set are dropped then: a vote never has more votes than the set has members.

use aegis_types::{Kind, ProposalId, Weight};
use prost::Message;

use crate::applied::LedgerEvent;
use crate::error::LedgerError;
use crate::execution::Execution;
use crate::keys;
use crate::outcome::RejectCode;
use crate::records::{self, VoteRecord, VotedRecord};
use crate::state::{after, decode, next_in};
use crate::voted::{Enactment, OpenedAt, Tally, VoteStatus};

/// How many open votes a block counts anew: all that may be open by default. With 128 members it is some hundred thousand
/// reads, the most that should delay one block.
pub(crate) const RECOUNTS_PER_BLOCK: usize = 1_000;

/// How many votes a block ends at their deadlines. Those left over take no more votes and are ended by the next blocks.
const LAPSES_PER_BLOCK: usize = 1_000;

/// How long a closed vote is kept, in agreed time: 30 days.
const CLOSED_KEPT_MS: u64 = 30 * 24 * 3_600 * 1_000;

/// How many closed votes that did not pass are kept: anybody can open votes, so time alone would not bound them. Passed ones
/// take two thirds of the weight each and are kept for their time.
pub(crate) const CLOSED_NOT_PASSED_MAX: u64 = 10_000;

/// How many closed votes a block forgets; more than can be closed in the long run.
const FORGET_CLOSED_PER_BLOCK: usize = 64;

impl Execution<'_> {
    /// Goes on counting anew after a change of weights.
    pub(crate) fn recount_stale(&mut self) -> Result<(), LedgerError> {
        for _ in 0..RECOUNTS_PER_BLOCK {
            if self.head.recount_from.is_empty() {
                return Ok(());
            }
            let Some((key, _)) = next_in(&self.state, keys::DEADLINES, &self.head.recount_from)? else {
                self.head.recount_from.clear();
                return Ok(());
            };
            let id = records::proposal_of(&key)?;
            let mut record = self.voted_record(&id)?;
            if self.is_stale(&record) {
                self.count_votes(&id, &mut record)?;
                match self.decided(&record) {
                    Some(status) => self.close_vote(&id, record, status)?,
                    None => self.state.put(keys::voted(&id), record.encode_to_vec()),
                }
            }
            self.head.recount_from = after(&key);
        }
        Ok(())
    }

    /// Ends the votes whose deadline has come.
    pub(crate) fn lapse_due(&mut self) -> Result<(), LedgerError> {
        let mut from = keys::DEADLINES.to_vec();
        for _ in 0..LAPSES_PER_BLOCK {
            let Some((key, _)) = next_in(&self.state, keys::DEADLINES, &from)? else { break };
            if keys::number_at(&key, keys::DEADLINES.len()).is_none_or(|due_ms| due_ms > self.timestamp_ms) {
                break;
            }
            let id = records::proposal_of(&key)?;
            let mut record = self.voted_record(&id)?;
            if self.is_stale(&record) {
                self.count_votes(&id, &mut record)?;
            }
            let status = self.decided(&record).unwrap_or(VoteStatus::Lapsed);
            self.close_vote(&id, record, status)?;
            from = after(&key);
        }
        Ok(())
    }

    /// Whether weights have changed since the vote was last counted.
    pub(crate) fn is_stale(&self, record: &VotedRecord) -> bool {
        record.tally_epoch < self.head.weights_epoch
    }

    /// Counts all votes with the current weights, and drops those of validators that have left.
    pub(crate) fn count_votes(
        &mut self,
        id: &ProposalId,
        record: &mut VotedRecord,
    ) -> Result<(), LedgerError> {
        let validators = self.setting.validators;
        let (mut yes, mut no) = (Weight::ZERO, Weight::ZERO);
        let prefix = keys::votes(id);
        let mut from = prefix.clone();
        while let Some((key, value)) = next_in(&self.state, &prefix, &from)? {
            let vote: VoteRecord = decode(&key, &value)?;
            let weight = validators.weight_of(&records::validator_of(&key)?);
            from = after(&key);
            if weight == Weight::ZERO {
                self.state.delete(key);
            } else if vote.approve {
                yes = yes.plus(weight);
            } else {
                no = no.plus(weight);
            }
        }
        record.yes = yes.0;
        record.no = no.0;
        record.total = validators.total().0;
        record.tally_epoch = validators.epoch().0;
        Ok(())
    }

    /// How the vote ends by its tally, which must not be stale; none while it is undecided.
    pub(crate) fn decided(&self, record: &VotedRecord) -> Option<VoteStatus> {
        let validators = self.setting.validators;
        if validators.is_two_thirds_majority(Weight(record.yes)) {
            Some(VoteStatus::Passed)
        } else if !validators.is_two_thirds_majority(validators.total().minus(Weight(record.no))) {
            Some(VoteStatus::Failed)
        } else {
            None
        }
    }

    /// Ends a vote, and carries it out if it passed.
    pub(crate) fn close_vote(
        &mut self,
        id: &ProposalId,
        mut record: VotedRecord,
        status: VoteStatus,
    ) -> Result<(), LedgerError> {
        let kind = kind_of(id, &record)?;
        let (class, enactment) = match status {
            VoteStatus::Passed => (keys::CLOSED_PASSED, Some(self.enact(id, kind)?)),
            VoteStatus::Open | VoteStatus::Failed | VoteStatus::Lapsed => {
                self.head.closed_not_passed = self.head.closed_not_passed.saturating_add(1);
                (keys::CLOSED_NOT_PASSED, None)
            }
        };
        record.status = status.number();
        record.closed_height = self.height.0;
        record.closed_ms = self.timestamp_ms;
        record.refusal = match &enactment {
            Some(Enactment::Refused { code, reason: _ }) => code.number(),
            Some(Enactment::Done) | None => 0,
        };
        self.state.put(keys::voted(id), record.encode_to_vec());
        self.state.delete(keys::deadline(record.deadline_ms, id));
        self.state.put(keys::closed(class, self.timestamp_ms, id), Vec::new());
        let account = records::account(&keys::voted(id), &record.account)?;
        self.release_open_vote(&account)?;
        self.events.push(LedgerEvent::ProposalClosed {
            proposal: *id,
            account,
            kind,
            opened: opened_at(&record),
            status,
            tally: tally_of(&record),
            enactment,
        });
        Ok(())
    }

    /// Forgets closed votes: those whose time is over, and the oldest that did not pass when there are too many of them.
    pub(crate) fn forget_closed(&mut self) -> Result<(), LedgerError> {
        let due_ms = self.timestamp_ms.saturating_sub(CLOSED_KEPT_MS);
        for class in [keys::CLOSED_NOT_PASSED, keys::CLOSED_PASSED] {
            let mut from = class.to_vec();
            for _ in 0..FORGET_CLOSED_PER_BLOCK {
                let Some((key, _)) = next_in(&self.state, class, &from)? else { break };
                let is_due = keys::number_at(&key, class.len()).is_some_and(|closed_ms| closed_ms < due_ms);
                let is_surplus =
                    class == keys::CLOSED_NOT_PASSED && self.head.closed_not_passed > CLOSED_NOT_PASSED_MAX;
                if !is_due && !is_surplus {
                    break;
                }
                if class == keys::CLOSED_NOT_PASSED {
                    self.head.closed_not_passed = self.head.closed_not_passed.saturating_sub(1);
                }
                self.forget_vote(&records::proposal_of(&key)?)?;
                from = after(&key);
                self.state.delete(key);
            }
        }
        Ok(())
    }

    fn forget_vote(&mut self, id: &ProposalId) -> Result<(), LedgerError> {
        let record = self.voted_record(id)?;
        let prefix = keys::votes(id);
        let mut from = prefix.clone();
        while let Some((key, _)) = next_in(&self.state, &prefix, &from)? {
            from = after(&key);
            self.state.delete(key);
        }
        self.state.delete(keys::opening(aegis_types::Height(record.opened_height), record.opened_position));
        self.state.delete(keys::body(id));
        self.state.delete(keys::voted(id));
        Ok(())
    }

    fn enact(&mut self, id: &ProposalId, kind: Kind) -> Result<Enactment, LedgerError> {
        let body = self.voted_body(id, kind)?;
        Ok(match self.carry_out_passed(id, &body)? {
            Ok(()) => Enactment::Done,
            Err(code) => refused(code),
        })
    }
}

/// The kind that a vote's record names.
pub(crate) fn kind_of(id: &ProposalId, record: &VotedRecord) -> Result<Kind, LedgerError> {
    record
        .kind
        .parse()
        .map_err(|error: aegis_types::TypesError| LedgerError::damaged(&keys::voted(id), error.to_string()))
}

/// Where a vote was opened.
pub(crate) fn opened_at(record: &VotedRecord) -> OpenedAt {
    OpenedAt { height: aegis_types::Height(record.opened_height), position: record.opened_position }
}

/// The weights in a vote's record.
pub(crate) fn tally_of(record: &VotedRecord) -> Tally {
    Tally {
        yes: Weight(record.yes),
        no: Weight(record.no),
        total: Weight(record.total),
        epoch: aegis_types::Epoch(record.tally_epoch),
    }
}

/// A passed proposal that could not be carried out.
pub(crate) fn refused(code: RejectCode) -> Enactment {
    Enactment::Refused { code, reason: code.to_string() }
}
