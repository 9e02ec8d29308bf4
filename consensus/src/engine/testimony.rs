//! Rule 8: evidence for an equivocation whose halves went to different validators.
//!
//! Whoever votes for two blocks in one round and shows each vote to other validators is not found out by any of them alone.
//! But some of them see that a round is contested: they hold votes for different blocks, or for another block than the one
//! that was decided. When they decide that height they show the others what may be half of an equivocation: the votes that
//! differ from what they voted for themselves, and the leader's own vote. Whoever holds the other half has the evidence.
//!
//! The votes for the last heights of an epoch are held until the next one ends: testimonies about them come when many are in
//! the next epoch already, and the ledger takes evidence of the epoch before.
//!
//! # Invariants
//! - A testimony counts for nothing. It is compared with what is held, and forgotten.
//! - No signature is checked unless the vote contradicts one that is held, and nobody shows a vote that it has not checked.
//!   So whoever shows a forged one is at fault, and is not heard again about the round.
//! - At most [`TESTIMONIES_PER_VALIDATOR`] odd votes of one validator are shown in a window of heights, and as many that it cast as
//!   a leader: others who make its rounds look contested do not use up what its own odd votes need.

use aegis_types::{ValidatorId, ValidatorSet, Vote, VoteContent, VoteKind};

use super::Engine;
use crate::limits::TESTIMONIES_PER_VALIDATOR;
use crate::message::Message;
use crate::output::Output;
use crate::tally::{Compared, Tally};

/// What is left of an epoch that has ended: votes for its last window of heights.
#[derive(Debug, Clone)]
pub(super) struct Past {
    pub(super) validators: ValidatorSet,
    pub(super) tally: Tally,
}

/// Why a vote is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shown {
    /// It differs from the own one.
    AsOdd,
    /// It is the leader's, and others' votes differ from it.
    AsLeaders,
}

impl Engine {
    /// Shows the others what is odd about the votes at the height that is being decided.
    pub(super) fn testify(&mut self, decided: &VoteContent) {
        if self.me.is_none() {
            return;
        }
        let window = decided.height.0.checked_div(self.epoch.window()).unwrap_or_default();
        if window != self.testified_window {
            self.testified_window = window;
            self.testified.clear();
        }
        for (view, kind) in self.tally.contested(decided.height, decided) {
            let leader = self.schedule.leader(view);
            let round = (decided.height, view, kind);
            let votes: Vec<Vote> = self.tally.votes(decided.epoch, round, &self.epoch.validators).collect();
            let me = self.keypair.validator_id();
            let own = votes.iter().find(|vote| vote.validator == me).map(|vote| vote.content.digest);
            let reference = own.or_else(|| (view == decided.view).then_some(decided.digest));
            for vote in votes {
                if vote.validator == me {
                    continue;
                }
                if reference.is_some_and(|reference| vote.content.digest != reference) {
                    self.show(vote, Shown::AsOdd);
                } else if kind == VoteKind::Prepare && vote.validator == leader {
                    self.show(vote, Shown::AsLeaders);
                }
            }
        }
    }

    fn show(&mut self, vote: Vote, why: Shown) {
        if self.accused.contains(&(vote.content.epoch, vote.validator)) {
            return;
        }
        if self.testified.get(&(vote.validator, why)).is_some_and(|shown| *shown >= TESTIMONIES_PER_VALIDATOR)
        {
            return;
        }
        if !vote.verify(&self.domain) {
            // Whose vote it claims to be has delivered it.
            self.report(vote.validator, "a vote with a wrong signature");
            return;
        }
        let shown = self.testified.entry((vote.validator, why)).or_default();
        *shown = shown.saturating_add(1);
        self.outputs.push(Output::Broadcast(Message::Testimony(vote)));
    }

    pub(super) fn on_testimony(&mut self, from: ValidatorId, vote: &Vote) {
        if vote.validator != self.keypair.validator_id() {
            self.compare(from, vote);
        }
    }

    /// Compares a vote of an epoch that has ended, if there is one in a message.
    pub(super) fn compare_with_past(&mut self, from: ValidatorId, message: &Message) {
        match message {
            Message::PrePrepare(message) if message.vote.validator == from => {
                self.compare(from, &message.vote);
            }
            Message::Vote(vote) if vote.validator == from => self.compare(from, vote),
            Message::Testimony(vote) => self.on_testimony(from, vote),
            Message::PrePrepare(_)
            | Message::Vote(_)
            | Message::ViewChange(_)
            | Message::NewView(_)
            | Message::Status(_) => {}
        }
    }

    /// Compares a vote that does not count with those that are held, of its epoch.
    pub(super) fn compare(&mut self, from: ValidatorId, vote: &Vote) {
        let epoch = vote.content.epoch;
        let is_current = epoch == self.epoch.validators.epoch();
        let (validators, tally) = match &mut self.past {
            _ if is_current => (&self.epoch.validators, &mut self.tally),
            Some(past) if past.validators.epoch() == epoch => (&past.validators, &mut past.tally),
            Some(_) | None => return,
        };
        let place = |id| validators.index_of(id).and_then(|index| u32::try_from(index).ok());
        let (Some(index), Some(witness)) = (place(&vote.validator), place(&from)) else { return };
        if self.accused.contains(&(epoch, vote.validator)) {
            return;
        }
        match tally.compare(vote, index, witness, &self.domain) {
            Compared::Alone => {}
            Compared::Contradiction { first, second } => self.accuse(first, second),
            Compared::Forged => self.report(from, "a vote with a wrong signature"),
            Compared::HeldForged => self.report(vote.validator, "a vote with a wrong signature"),
        }
    }

    /// Reports an equivocation, once per validator and epoch.
    pub(super) fn accuse(&mut self, first: Box<Vote>, second: Box<Vote>) {
        if self.accused.insert((first.content.epoch, first.validator)) {
            self.outputs.push(Output::Evidence { first, second });
        }
    }
}
