//! Rules 2 and 3: Prepare and Commit.

use aegis_types::{Height, ValidatorId, Vote, VoteContent, VoteKind};

use super::validate::{Missing, Verdict};
use super::{Engine, Origin, Proposal};
use crate::limits::VOTE_WINDOWS;
use crate::message::{Message, PrePrepare, PreparedBlock};
use crate::output::Output;
use crate::record::Record;
use crate::tally::Counted;

impl Engine {
    pub(super) fn on_pre_prepare(&mut self, from: ValidatorId, message: PrePrepare) {
        let VoteContent { view, height, .. } = message.vote.content;
        if message.vote.validator != from || from != self.schedule.leader(view) || !message.is_consistent() {
            self.report(from, "a PrePrepare that is not its view's leader's own");
            return;
        }
        if height <= self.tip.height {
            self.compare(from, &message.vote);
            return;
        }
        if height.distance_above(self.tip.height) > self.epoch.window().saturating_mul(VOTE_WINDOWS) {
            return;
        }
        if view > self.view {
            self.keep_ahead(from, message);
            return;
        }
        if view < self.view || !self.count(from, &message.vote) {
            return;
        }
        if height <= self.plan.end() {
            return;
        }
        let digest = message.vote.content.digest;
        let slot = self.slots.entry(height).or_default();
        if slot.proposal.is_none() {
            slot.proposal =
                Some(Proposal { header: message.header, digest, origin: Origin::Leader, refused: false });
        }
    }

    pub(super) fn on_vote(&mut self, from: ValidatorId, vote: &Vote) {
        if vote.validator != from {
            self.report(from, "a vote of somebody else");
            return;
        }
        let height = vote.content.height;
        if height <= self.tip.height {
            self.compare(from, vote);
            return;
        }
        if height.distance_above(self.tip.height) > self.epoch.window().saturating_mul(VOTE_WINDOWS) {
            return;
        }
        self.count(from, vote);
    }

    /// Counts a vote that its validator delivered itself; false if it is worthless.
    fn count(&mut self, from: ValidatorId, vote: &Vote) -> bool {
        let Some(index) = self.epoch.validators.index_of(&from).and_then(|index| u32::try_from(index).ok())
        else {
            return false;
        };
        let counted = self.tally.count(vote, index, false, &self.domain);
        if counted == Counted::Replaced {
            self.report(from, "a vote with a wrong signature");
        }
        match counted {
            Counted::New | Counted::Known | Counted::Replaced => {
                let last = self.last_voted.entry(from).or_default();
                *last = vote.content.height.max(*last);
                true
            }
            Counted::Contradiction { first, second } => {
                self.accuse(first, second);
                true
            }
            Counted::Forged => {
                self.report(from, "a vote with a wrong signature");
                false
            }
        }
    }

    pub(super) fn count_own(&mut self, vote: &Vote) {
        if let Some(me) = self.me {
            self.tally.count(vote, me, true, &self.domain);
            self.last_voted.insert(vote.validator, vote.content.height);
        }
    }

    pub(super) fn sign_vote(&self, content: VoteContent) -> Vote {
        Vote::sign(content, &self.keypair, &self.domain)
    }

    /// Rule 2, for the lowest height that is not accepted.
    pub(super) fn try_prepare(&mut self) -> bool {
        if self.me.is_none() || self.target.is_some() {
            return false;
        }
        let height = self.accepted_height().next();
        if height.distance_above(self.tip.height) > self.epoch.window() {
            return false;
        }
        let Some(parent) = self.block_at(height.previous()) else { return false };
        let Some(proposal) = self.slots.get(&height).and_then(|slot| slot.proposal.as_ref()) else {
            return false;
        };
        if proposal.refused {
            return false;
        }
        match self.validate(&proposal.header, proposal.origin, parent) {
            Verdict::Accept => {
                self.prepare(height);
                true
            }
            Verdict::Wait(Missing::Batches) => {
                let header = proposal.header.clone();
                self.fetch_batches(&header, header.proposer);
                false
            }
            Verdict::Wait(Missing::Progress) => false,
            Verdict::Refuse(reason) => {
                self.refuse(height, reason);
                false
            }
        }
    }

    fn refuse(&mut self, height: Height, reason: &'static str) {
        let leader = self.schedule.leader(self.view);
        if let Some(proposal) = self.slots.get_mut(&height).and_then(|slot| slot.proposal.as_mut()) {
            proposal.refused = true;
            if proposal.origin == Origin::Leader {
                self.report(leader, reason);
            }
        }
    }

    fn prepare(&mut self, height: Height) {
        let Some(proposal) = self.slots.get(&height).and_then(|slot| slot.proposal.clone()) else { return };
        let vote = self.sign_vote(VoteContent {
            kind: VoteKind::Prepare,
            epoch: self.epoch.validators.epoch(),
            view: self.view,
            height,
            digest: proposal.digest,
        });
        self.promise(height, Record::Prepared { header: proposal.header, vote: vote.clone() });
        self.count_own(&vote);
        if let Some(slot) = self.slots.get_mut(&height) {
            slot.prepare = Some(vote.clone());
        }
        self.outputs.push(Output::Broadcast(Message::Vote(vote)));
    }

    /// Rule 3, for the lowest height without an own Commit.
    pub(super) fn try_commit(&mut self) -> bool {
        if self.me.is_none() || self.target.is_some() {
            return false;
        }
        let mut height = self.tip.height.next();
        while self.slots.get(&height).is_some_and(|slot| slot.commit.is_some()) {
            height = height.next();
        }
        let Some(accepted) = self.slots.get(&height).and_then(|slot| slot.accepted()) else { return false };
        // A later view may have committed another parent; nothing above that can be committed.
        if height.previous() == self.tip.height && accepted.header.parent != self.tip.digest {
            return false;
        }
        let content = VoteContent {
            kind: VoteKind::Prepare,
            epoch: accepted.header.epoch,
            view: self.view,
            height,
            digest: accepted.digest,
        };
        let (certificate, forgers) = self.tally.certificate(content, &self.epoch.validators, &self.domain);
        for forger in forgers {
            self.report(forger, "a vote with a wrong signature");
        }
        let Some(certificate) = certificate else { return false };
        let Some(header) = self.header_of(height, content.digest) else { return false };
        let vote = self.sign_vote(VoteContent { kind: VoteKind::Commit, ..content });
        let block = PreparedBlock { header: header.clone(), certificate: certificate.clone() };
        self.prepared.insert(height, block);
        self.committing = self.committing.max(height);
        self.promise(height, Record::Committing { header, certificate, vote: vote.clone() });
        self.count_own(&vote);
        if let Some(slot) = self.slots.get_mut(&height) {
            slot.commit = Some(vote.clone());
        }
        self.outputs.push(Output::Broadcast(Message::Vote(vote)));
        true
    }

    /// Keeps a PrePrepare of a view that is not entered yet: those of the sender's highest view, at most two windows.
    fn keep_ahead(&mut self, from: ValidatorId, message: PrePrepare) {
        let VoteContent { view, height, .. } = message.vote.content;
        let kept = self.ahead.entry(from).or_default();
        if kept.values().any(|known| known.vote.content.view > view) {
            return;
        }
        kept.retain(|known, other| other.vote.content.view == view && *known > self.tip.height);
        kept.entry(height).or_insert(message);
    }
}
