//! Rule 1: what a leader proposes, and when.

use aegis_types::{BlockKind, Executed, Header, Height, Parameter, VoteContent, VoteKind};

use super::{Engine, Origin, Proposal};
use crate::limits::CERTIFY_AFTER_MS;
use crate::message::{Message, PrePrepare};
use crate::output::Output;
use crate::record::Record;

impl Engine {
    /// Proposes the next block if this is the leader and it is time for one.
    pub(super) fn try_propose(&mut self) -> bool {
        if !self.is_leader() || self.target.is_some() || self.is_left_behind() {
            return false;
        }
        let height = self.accepted_height().next();
        let is_free = self.slots.get(&height).is_none_or(|slot| slot.proposal.is_none());
        if !is_free
            || height <= self.plan.end()
            || height.distance_above(self.tip.height) > self.epoch.window()
            || height.distance_above(self.executed.height) > self.execution_lag_max()
        {
            return false;
        }
        let Some(header) = self.next_header(height) else { return false };
        self.propose(header);
        true
    }

    /// Whether a later view has committed the tip: a quorum has left this view, so nothing can come of it any more, and those who
    /// are still in it may have accepted another block in the tip's place.
    fn is_left_behind(&self) -> bool {
        self.tip.block.as_ref().is_some_and(|(_, certificate)| {
            let content = &certificate.content;
            content.epoch == self.epoch.validators.epoch() && content.view > self.view
        })
    }

    fn next_header(&mut self, height: Height) -> Option<Header> {
        let parent = self.block_at(height.previous())?;
        let timestamp_ms = self.now.unix_ms.max(parent.timestamp_ms.saturating_add(1));
        let parent_digest = parent.digest;
        let parent_executed = parent.header.map_or(Height::ZERO, |header| header.executed.height);
        let parent_kind = parent.header.map(|header| header.kind);
        let mut executed = self.executed;
        let kind = match parent_kind {
            Some(BlockKind::Closing) => {
                // The pipeline drains: the handover names the set that executing the closing block yields.
                if self.tip.height != height.previous() || self.executed.height != self.tip.height {
                    return None;
                }
                BlockKind::Handover { next_validators_hash: self.next_epoch.as_ref()?.validators.hash() }
            }
            Some(BlockKind::Handover { .. }) if height.previous() > self.origin.0 => return None,
            _ if timestamp_ms >= self.epoch.end_ms() => BlockKind::Closing,
            _ => BlockKind::Normal,
        };
        if executed.height < parent_executed {
            executed = Executed { height: parent_executed, state_root: *self.roots.get(&parent_executed)? };
        }
        let is_handover = matches!(kind, BlockKind::Handover { .. });
        let open = self.open_batches();
        let batches = if is_handover { Vec::new() } else { self.pending.select(&open) };
        if batches.is_empty() && !is_handover && !self.is_idle_block_due(height) {
            return None;
        }
        Some(Header {
            epoch: self.epoch.validators.epoch(),
            height,
            timestamp_ms,
            parent: parent_digest,
            proposer: self.keypair.validator_id(),
            batches,
            executed,
            validators_hash: self.validators_hash,
            kind,
        })
    }

    /// Whether an empty block is due: nothing is open and the last block is an idle interval old.
    fn is_idle_block_due(&self, height: Height) -> bool {
        height == self.tip.height.next() && self.now.monotonic_ms >= self.idle_block_at()
    }

    /// When the next block is due without any batch. What batches change is certified by a later block, so until the tip
    /// certifies the newest batches one is due soon, however long the interval is.
    pub(super) fn idle_block_at(&self) -> u64 {
        let mut interval = self.epoch.parameters.get(Parameter::IdleIntervalMs);
        // A block names the state of the one before it, or of an older one while execution lags.
        if self.tip.header().is_some_and(|header| self.last_full > header.executed.height) {
            interval = interval.min(CERTIFY_AFTER_MS);
        }
        self.timing.last_commit_ms.saturating_add(interval)
    }

    fn propose(&mut self, header: Header) {
        let digest = header.digest();
        let height = header.height;
        let vote = self.sign_vote(VoteContent {
            kind: VoteKind::Prepare,
            epoch: header.epoch,
            view: self.view,
            height,
            digest,
        });
        self.promise(height, Record::Prepared { header: header.clone(), vote: vote.clone() });
        self.count_own(&vote);
        let slot = self.slots.entry(height).or_default();
        slot.proposal =
            Some(Proposal { header: header.clone(), digest, origin: Origin::Leader, refused: false });
        slot.prepare = Some(vote.clone());
        self.outputs.push(Output::Broadcast(Message::PrePrepare(PrePrepare { header, vote })));
    }
}
