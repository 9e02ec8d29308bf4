//! Rule 8: evidence for an equivocation whose halves went to different validators.
//!
//! Whoever votes for two blocks in one round and shows each vote to other validators is not found out by any of them alone.
//! But some of them see that a round is contested: they hold votes for different blocks, or for another block than the one
//! that was decided. When they decide that height they show the others what may be half of an equivocation: the votes that
//! differ from what they voted for themselves, and the leader's own vote. Whoever holds the other half has the evidence.
//!
//! # Invariants
//! - A testimony counts for nothing. It is compared with what is held, and forgotten.
//! - No signature is checked unless the vote contradicts one that is held, and nobody shows a vote that it has not checked.
//! - At most [`TESTIMONIES_PER_VALIDATOR`] votes of one validator are shown in an epoch.

use aegis_types::{ValidatorId, Vote, VoteContent, VoteKind};

use super::Engine;
use crate::limits::TESTIMONIES_PER_VALIDATOR;
use crate::message::Message;
use crate::output::Output;
use crate::tally::Compared;

impl Engine {
    /// Shows the others what is odd about the votes at the height that is being decided.
    pub(super) fn testify(&mut self, decided: &VoteContent) {
        if self.me.is_none() {
            return;
        }
        for (view, kind) in self.tally.contested(decided.height, decided) {
            let leader = self.schedule.leader(view);
            let round = (decided.height, view, kind);
            let votes: Vec<Vote> = self.tally.votes(decided.epoch, round, &self.epoch.validators).collect();
            let me = self.keypair.validator_id();
            let own = votes.iter().find(|vote| vote.validator == me).map(|vote| vote.content.digest);
            let reference = own.or_else(|| (view == decided.view).then_some(decided.digest));
            for vote in votes {
                let is_odd = reference.is_some_and(|reference| vote.content.digest != reference);
                let is_leaders = kind == VoteKind::Prepare && vote.validator == leader;
                if vote.validator != me && (is_odd || is_leaders) {
                    self.show(vote);
                }
            }
        }
    }

    fn show(&mut self, vote: Vote) {
        if self.accused.contains(&vote.validator) {
            return;
        }
        let shown = self.testified.entry(vote.validator).or_default();
        if *shown >= TESTIMONIES_PER_VALIDATOR || !vote.verify(&self.domain) {
            return;
        }
        *shown = shown.saturating_add(1);
        self.outputs.push(Output::Broadcast(Message::Testimony(vote)));
    }

    pub(super) fn on_testimony(&mut self, from: ValidatorId, vote: &Vote) {
        if vote.validator != self.keypair.validator_id() {
            self.compare(from, vote);
        }
    }

    /// Compares a vote that does not count with those that are held.
    pub(super) fn compare(&mut self, from: ValidatorId, vote: &Vote) {
        let index = self.epoch.validators.index_of(&vote.validator);
        let Some(index) = index.and_then(|index| u32::try_from(index).ok()) else { return };
        if self.accused.contains(&vote.validator) {
            return;
        }
        match self.tally.compare(vote, index, &self.domain) {
            Compared::Alone => {}
            Compared::Contradiction { first, second } => self.accuse(first, second),
            Compared::Forged => self.report(from, "a vote with a wrong signature"),
        }
    }

    /// Reports an equivocation, once per validator and epoch.
    pub(super) fn accuse(&mut self, first: Box<Vote>, second: Box<Vote>) {
        if self.accused.insert(first.validator) {
            self.outputs.push(Output::Evidence { first, second });
        }
    }
}
