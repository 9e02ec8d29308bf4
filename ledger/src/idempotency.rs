//! Exactly once: what an account's idempotency key yielded first is what it yields, until it is forgotten.
//!
//! # The argument
//! Let an envelope take effect (or be rejected for good) in a block of agreed time `t`. Then its expiry `e` satisfies
//! `t < e <= t + lifetime`, and a record of its account and key is written that stays until at least
//! `max(t + retention, e)`.
//! - Before the record is forgotten every envelope of this account and key, the same or another, finds the record and is a
//!   duplicate without effect.
//! - The record is forgotten in a block of time `>= e` only, and agreed time never decreases, so the same envelope is
//!   expired from then on.
//!
//! So each envelope takes effect at most once, ever, however often and by whomever it is ordered, and whatever becomes of
//! the parameters meanwhile; and of *different* envelopes with one account and key one takes effect within the retention.
//! Expired envelopes need no record, as time only advances. Nor do those whose expiry lies too far ahead: they have not
//! taken effect yet, may do so once within their lifetime, and are recorded then. Whoever signs such a one again should
//! know that both are valid at their times.
//!
//! # Bounds
//! Forgetting keeps pace with remembering: a block forgets up to twice as many keys as it has proposals, and a few more, so
//! that a backlog melts away. Keys are queued for it in records of [`KEYS_PER_RECORD`]: one per key would double the entries
//! of the state.

use aegis_types::{AccountId, Parameter};
use prost::Message;

use crate::error::LedgerError;
use crate::execution::{Execution, Ordered};
use crate::keys;
use crate::outcome::{FirstResult, Outcome};
use crate::records::{self, FirstResultRecord, ForgetRecord, OutcomeRecord, UsedKey};
use crate::state::{after, decode, next_in, read};

/// How many keys share a record of the queue: such a record stays below 4 KiB, which stores keep in one piece.
const KEYS_PER_RECORD: usize = 32;

/// How many keys a block without proposals forgets: enough to clear a backlog of a million in minutes, few enough to take
/// milliseconds.
const FORGET_MIN: usize = 256;

impl Execution<'_> {
    /// What the key yielded first, if it is remembered.
    pub(crate) fn first_result(
        &self,
        account: &AccountId,
        idempotency_key: &str,
    ) -> Result<Option<FirstResult>, LedgerError> {
        let key = keys::first_result(account, idempotency_key);
        read::<FirstResultRecord>(&self.state, &key)?.map(|record| record.to_result(&key)).transpose()
    }

    /// Records an outcome as its key's first, if it is one to remember.
    pub(crate) fn remember(&mut self, ordered: Ordered, outcome: &Outcome) {
        if matches!(outcome, Outcome::Rejected { code, .. } if !code.is_remembered()) {
            return;
        }
        let Some(outcome) = OutcomeRecord::of(outcome) else { return };
        let proposal = ordered.proposal;
        let record = FirstResultRecord {
            id: ordered.id.0.to_vec(),
            height: self.height.0,
            position: ordered.position,
            request_hash: proposal.request_hash().0.to_vec(),
            outcome: Some(outcome),
        };
        self.state
            .put(keys::first_result(&proposal.account, &proposal.idempotency_key), record.encode_to_vec());
        self.used_keys
            .push(UsedKey { account: proposal.account.0.to_vec(), key: proposal.idempotency_key.clone() });
    }

    /// Queues the block's new keys for forgetting.
    pub(crate) fn schedule_forgetting(&mut self) {
        let retention = self.setting.rules.get(Parameter::IdempotencyRetentionMs);
        // A lifetime longer than the retention is not within the parameters' ranges; the argument must not depend on that.
        let kept = retention.max(self.setting.rules.get(Parameter::ProposalLifetimeMaxMs));
        let forget_ms = self.timestamp_ms.saturating_add(kept);
        let used = std::mem::take(&mut self.used_keys);
        for (number, chunk) in (0_u32..).zip(used.chunks(KEYS_PER_RECORD)) {
            let record = ForgetRecord { keys: chunk.to_vec() };
            self.state.put(keys::forget(forget_ms, self.height, number), record.encode_to_vec());
        }
    }

    /// Forgets keys whose time has come. `proposals` is the number of proposals of the block.
    pub(crate) fn forget_results(&mut self, proposals: usize) -> Result<(), LedgerError> {
        let budget = proposals.saturating_mul(2).saturating_add(FORGET_MIN);
        let mut forgotten = 0_usize;
        let mut from = keys::FORGET.to_vec();
        while forgotten < budget {
            let Some((key, value)) = next_in(&self.state, keys::FORGET, &from)? else { break };
            if keys::number_at(&key, keys::FORGET.len()).is_none_or(|due_ms| due_ms > self.timestamp_ms) {
                break;
            }
            let record: ForgetRecord = decode(&key, &value)?;
            forgotten = forgotten.saturating_add(record.keys.len().max(1));
            for used in &record.keys {
                let account = records::account(&key, &used.account)?;
                self.state.delete(keys::first_result(&account, &used.key));
            }
            from = after(&key);
            self.state.delete(key);
        }
        Ok(())
    }
}
