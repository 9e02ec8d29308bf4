//! What to do about those who are behind, and when behind oneself.

use std::collections::{BTreeMap, BTreeSet};

use aegis_types::{Hash, Header, Height, ValidatorId, ValidatorSet, VoteContent};

use super::Engine;
use crate::limits::{EARLY_MESSAGES_PER_VALIDATOR, FETCH_BLOCKS};
use crate::message::{Message, Status};
use crate::output::Output;

/// What is known of other validators' progress, and what was asked of them. Bounded by the set's size and the window.
#[derive(Debug, Clone, Default)]
pub(super) struct Peers {
    heights: BTreeMap<ValidatorId, Height>,
    /// When each was last helped forward.
    told_ms: BTreeMap<ValidatorId, u64>,
    /// Batches asked for since the last resend.
    asked: BTreeSet<Hash>,
    blocks_asked_ms: Option<u64>,
    /// Turn with each question, so that a silent peer is not asked for ever. One for each kind of question: with a common
    /// one, two questions per round would ask every other peer only.
    block_turn: usize,
    batch_turn: usize,
}

impl Peers {
    pub(super) fn highest(&self) -> Height {
        self.heights.values().copied().max().unwrap_or_default()
    }

    pub(super) fn retain_members(&mut self, set: &ValidatorSet) {
        self.heights.retain(|validator, _| set.contains(validator));
        self.told_ms.retain(|validator, _| set.contains(validator));
        self.asked.clear();
    }
}

impl Engine {
    pub(super) fn on_status(&mut self, from: ValidatorId, status: Status) {
        self.note_height(from, status.height);
        if status.view < self.view {
            self.tell_view(from);
        }
    }

    fn note_height(&mut self, from: ValidatorId, height: Height) {
        self.peers.heights.insert(from, height);
        // A block or two will come by themselves; the next tick sees to it if they do not.
        if height.distance_above(self.tip.height) > self.epoch.window() {
            self.fetch_blocks(height, from);
        }
    }

    /// Keeps a message of the next epoch until this validator has entered it, and takes it as a sign to catch up.
    pub(super) fn keep_early(&mut self, from: ValidatorId, message: Message) {
        let next = self.epoch.validators.epoch().next();
        let is_known = |set: &ValidatorSet| set.contains(&from);
        if !is_known(&self.epoch.validators)
            && !self.next_epoch.as_ref().is_some_and(|next| is_known(&next.validators))
        {
            return;
        }
        if let Message::Status(status) = message {
            if self.epoch.validators.contains(&from) {
                self.note_height(from, status.height);
            }
            return;
        }
        // ViewChanges and NewViews are large and are sent again: keeping them would let one validator fill much memory.
        let is_kept = matches!(message, Message::PrePrepare(_) | Message::Vote(_));
        if message.epoch() == next && is_kept {
            let kept = self.early.entry(from).or_default();
            if kept.len() < EARLY_MESSAGES_PER_VALIDATOR {
                kept.push(message);
            }
        }
    }

    /// Answers somebody in an older epoch: the status says that there are blocks to fetch.
    pub(super) fn tell_status(&mut self, to: ValidatorId) {
        if self.me.is_some() && self.epoch.validators.contains(&to) && self.may_tell(to) {
            let status = self.own_status();
            self.outputs.push(Output::Send { to, message: Message::Status(status) });
        }
    }

    /// Answers somebody in an older view with the proof of this one.
    pub(super) fn tell_view(&mut self, to: ValidatorId) {
        if let Some(proof) = self.new_view.clone()
            && self.may_tell(to)
        {
            self.outputs.push(Output::Send { to, message: Message::NewView(proof) });
        }
    }

    /// At most one answer per resend interval: a flood of old messages must not become a flood of answers.
    fn may_tell(&mut self, to: ValidatorId) -> bool {
        let (now, interval) = (self.now.monotonic_ms, self.resend_interval_ms());
        let is_recent = self.peers.told_ms.get(&to).is_some_and(|told| now.saturating_sub(*told) < interval);
        if !is_recent {
            self.peers.told_ms.insert(to, now);
        }
        !is_recent
    }

    /// Asks for blocks up to `height`, at most once per resend interval.
    pub(super) fn fetch_blocks(&mut self, height: Height, from: ValidatorId) {
        let (now, interval) = (self.now.monotonic_ms, self.resend_interval_ms());
        if self.peers.blocks_asked_ms.is_some_and(|asked| now.saturating_sub(asked) < interval) {
            return;
        }
        self.peers.blocks_asked_ms = Some(now);
        let first = self.tip.height.next();
        let last = height.min(self.tip.height.plus(FETCH_BLOCKS));
        self.outputs.push(Output::FetchBlocks { first, last, from });
    }

    /// Asks for the batches of a header that are not held, each once until the next resend.
    pub(super) fn fetch_batches(&mut self, header: &Header, first_choice: ValidatorId) {
        let missing: Vec<Hash> = header
            .batches
            .iter()
            .filter(|batch| !self.pending.holds(batch) && !self.peers.asked.contains(&batch.digest))
            .map(|batch| batch.digest)
            .collect();
        if missing.is_empty() {
            return;
        }
        for digest in &missing {
            self.peers.asked.insert(*digest);
        }
        let from = if first_choice == self.keypair.validator_id() {
            self.any_other().unwrap_or(first_choice)
        } else {
            first_choice
        };
        self.outputs.push(Output::FetchBatches { digests: missing, from });
    }

    /// Asks again for what did not come, each time somebody else.
    pub(super) fn fetch_again(&mut self) {
        let wanted: Vec<Hash> = self
            .slots
            .values()
            .filter_map(|slot| slot.proposal.as_ref())
            .flat_map(|proposal| &proposal.header.batches)
            .filter(|batch| !self.pending.holds(batch))
            .map(|batch| batch.digest)
            .collect();
        self.peers.asked.clear();
        for digest in &wanted {
            self.peers.asked.insert(*digest);
        }
        if !wanted.is_empty()
            && let Some(from) = self.any_other()
        {
            self.outputs.push(Output::FetchBatches { digests: wanted, from });
        }
        let tip = self.tip.height;
        let ahead: Vec<(ValidatorId, Height)> = self
            .peers
            .heights
            .iter()
            .filter(|(_, height)| **height > tip)
            .map(|(validator, height)| (*validator, *height))
            .collect();
        if let Some((from, height)) = next_turn(&mut self.peers.block_turn, &ahead) {
            self.fetch_blocks(height, from);
        }
    }

    /// Forgets questions for batches that no open block names any more.
    pub(super) fn forget_questions(&mut self) {
        if self.peers.asked.is_empty() {
            return;
        }
        let proposals = self.slots.values().filter_map(|slot| slot.proposal.as_ref());
        let named: BTreeSet<Hash> =
            proposals.flat_map(|proposal| &proposal.header.batches).map(|batch| batch.digest).collect();
        self.peers.asked.retain(|digest| named.contains(digest));
    }

    pub(super) fn any_voter(&mut self, content: &VoteContent) -> Option<ValidatorId> {
        let me = self.keypair.validator_id();
        let voters: Vec<ValidatorId> =
            self.tally.voters(content, &self.epoch.validators).filter(|voter| *voter != me).collect();
        next_turn(&mut self.peers.batch_turn, &voters)
    }

    fn any_other(&mut self) -> Option<ValidatorId> {
        let me = self.keypair.validator_id();
        let members = self.epoch.validators.members().iter().map(|member| member.validator);
        let others: Vec<ValidatorId> = members.filter(|validator| *validator != me).collect();
        next_turn(&mut self.peers.batch_turn, &others)
    }
}

fn next_turn<T: Copy>(turn: &mut usize, choices: &[T]) -> Option<T> {
    *turn = turn.wrapping_add(1);
    choices.get(turn.checked_rem(choices.len())?).copied()
}
