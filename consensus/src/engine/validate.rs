//! What a validator checks before it votes for a header.

use std::collections::BTreeSet;

use aegis_types::{BlockKind, Certificate, Header, Limits, Parameter};

use super::{Ancestor, Engine, Origin};
use crate::limits::AGE_TIMEOUTS;

/// The verdict about a header whose parent is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may be voted for.
    Accept,
    /// Not yet: this node lacks something.
    Wait(Missing),
    /// Never in this view: the proposer's fault.
    Refuse(&'static str),
}

/// What a node may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Batches that the header names.
    Batches,
    /// Execution, or time: both come by themselves.
    Progress,
}

impl Engine {
    /// Checks a proposed header against its parent, this node's state and its clock.
    pub(super) fn validate(&self, header: &Header, origin: Origin, parent: Ancestor<'_>) -> Verdict {
        if self.is_overtaken(header, parent) {
            return Verdict::Wait(Missing::Progress);
        }
        if let Some(reason) = self.find_fault(header, origin, parent) {
            return Verdict::Refuse(reason);
        }
        if let Some(verdict) = self.check_kind(header, parent) {
            return verdict;
        }
        let drift = self.epoch.parameters.get(Parameter::ClockDriftMaxMs);
        if origin == Origin::Leader && header.timestamp_ms > self.now.unix_ms.saturating_add(drift) {
            return Verdict::Wait(Missing::Progress);
        }
        if origin == Origin::Leader && (self.is_too_old(header) || self.is_premature(header)) {
            return Verdict::Wait(Missing::Progress);
        }
        if header.executed.height > self.executed.height {
            return Verdict::Wait(Missing::Progress);
        }
        if self.roots.get(&header.executed.height) != Some(&header.executed.state_root) {
            return Verdict::Refuse("it names a state root that this node did not compute");
        }
        if header.batches.iter().any(|batch| self.pending.contradicts(batch)) {
            return Verdict::Refuse("it describes a batch wrongly");
        }
        if header.batches.iter().all(|batch| self.pending.holds(batch)) {
            Verdict::Accept
        } else {
            Verdict::Wait(Missing::Batches)
        }
    }

    /// Whether a fresh proposal is older by its timestamp than a correct leader's would be: by more than the accepted drift and
    /// two of this node's timeouts.
    ///
    /// A leader stamps what it makes with its clock, or a millisecond after the parent. What is on its way for longer than a
    /// timeout ends its view as a rule; the second one is for the wait for a parent, for batches and for execution. The bound
    /// grows with the timeout. Nobody is accused: the way may have been long, or this node's clock be wrong.
    fn is_too_old(&self, header: &Header) -> bool {
        let drift = self.epoch.parameters.get(Parameter::ClockDriftMaxMs);
        let age = self.now.unix_ms.saturating_sub(header.timestamp_ms);
        age > drift.saturating_add(self.timeout_ms().saturating_mul(AGE_TIMEOUTS))
    }

    /// Whether a fresh proposal is an empty block that comes too early: there may be one above a committed tip only, when at
    /// least half of the time has passed after which a leader makes one.
    ///
    /// Without this bound a faulty leader could fill the others' logs with nothing at the speed of agreement. Half, as
    /// the leader may have committed the tip that much earlier than this node. After a restart, and above blocks that were
    /// fetched, this node does not know when the tip was committed, and lets others judge.
    pub(super) fn is_premature(&self, header: &Header) -> bool {
        let may_be_empty = matches!(header.kind, BlockKind::Handover { .. });
        if may_be_empty || !header.batches.is_empty() {
            return false;
        }
        let is_above_tip = header.height.previous() == self.tip.height;
        !is_above_tip || self.empty_block_from().is_some_and(|from| self.now.monotonic_ms < from)
    }

    /// Whether a later view has committed another parent: the header was right when it was proposed, so nobody is to blame,
    /// and this validator has yet to enter that view.
    fn is_overtaken(&self, header: &Header, parent: Ancestor<'_>) -> bool {
        let committed_later = |(_, certificate): &(Header, Certificate)| {
            certificate.content.epoch == header.epoch && certificate.content.view > self.view
        };
        header.height.previous() == self.tip.height
            && header.parent != parent.digest
            && self.tip.block.as_ref().is_some_and(committed_later)
    }

    fn find_fault(&self, header: &Header, origin: Origin, parent: Ancestor<'_>) -> Option<&'static str> {
        let set = &self.epoch.validators;
        let parent_executed = parent.header.map_or(0, |header| header.executed.height.0);
        let faults = [
            (header.epoch != set.epoch(), "it belongs to another epoch"),
            (header.validators_hash != self.validators_hash, "it names another validator set"),
            (header.parent != parent.digest, "it does not extend the accepted chain"),
            (
                origin == Origin::Leader && header.proposer != self.schedule.leader(self.view),
                "its proposer does not lead this view",
            ),
            (!set.contains(&header.proposer), "its proposer is no validator"),
            (header.timestamp_ms <= parent.timestamp_ms, "its timestamp is not after its parent's"),
            (header.executed.height >= header.height, "it claims to be executed itself"),
            (header.executed.height.0 < parent_executed, "it takes back certified state"),
            (
                header.height.distance_above(header.executed.height) > self.execution_lag_max(),
                "its certified state is too far behind",
            ),
            (header.payload_bytes() > limit(Limits::BLOCK_BYTES), "its payload is too large"),
            (self.repeats_batch(header), "it names a batch twice, or one of an open block"),
        ];
        faults.into_iter().find(|(is_fault, _)| *is_fault).map(|(_, reason)| reason)
    }

    fn check_kind(&self, header: &Header, parent: Ancestor<'_>) -> Option<Verdict> {
        let parent_height = header.height.previous();
        let parent_kind = parent.header.filter(|_| parent_height > self.origin.0).map(|header| header.kind);
        match (parent_kind, header.kind) {
            (Some(BlockKind::Closing), BlockKind::Handover { next_validators_hash }) => {
                if self.tip.height != parent_height || self.executed.height != parent_height {
                    return Some(Verdict::Wait(Missing::Progress));
                }
                let Some(next) = &self.next_epoch else { return Some(Verdict::Wait(Missing::Progress)) };
                let is_right = next.validators.hash() == next_validators_hash
                    && header.executed.height == parent_height
                    && header.batches.is_empty();
                (!is_right).then_some(Verdict::Refuse("its handover is not what the closing block yields"))
            }
            (Some(BlockKind::Closing), BlockKind::Normal | BlockKind::Closing) => {
                Some(Verdict::Refuse("only a handover may follow a closing block"))
            }
            (Some(BlockKind::Handover { .. }), _) => {
                Some(Verdict::Refuse("nothing may follow a handover in its epoch"))
            }
            (_, BlockKind::Handover { .. }) => {
                Some(Verdict::Refuse("a handover may only follow a closing block"))
            }
            (_, kind) => {
                let is_closing = kind == BlockKind::Closing;
                let is_due = header.timestamp_ms >= self.epoch.end_ms();
                (is_closing != is_due).then_some(Verdict::Refuse("it closes the epoch at the wrong time"))
            }
        }
    }

    fn repeats_batch(&self, header: &Header) -> bool {
        let mut seen = BTreeSet::new();
        let below = self.slots.range(..header.height).filter_map(|(_, slot)| slot.accepted());
        for proposal in below {
            seen.extend(proposal.header.batches.iter().map(|batch| batch.digest));
        }
        !header.batches.iter().all(|batch| seen.insert(batch.digest))
    }
}

fn limit(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
