//! Rule 4 and what follows from it: committed blocks, execution, the change of epochs.

use aegis_types::{BlockKind, Certificate, Executed, Hash, Header, Height, Vote, VoteContent, VoteKind};

use super::Engine;
use super::testimony::Past;
use crate::epoch::{NextEpoch, Tip};
use crate::leader::LeaderSchedule;
use crate::limits::{SETTLED_WINDOWS, VIEW_CHANGE_WINDOWS};
use crate::output::{Event, Output};
use crate::plan::Plan;

impl Engine {
    /// Decides the block above the tip if a quorum of Commits for it is there.
    pub(super) fn try_decide(&mut self) -> bool {
        if self.me.is_none() || !self.may_decide() {
            return false;
        }
        let height = self.tip.height.next();
        for (view, digest) in self.tally.candidates(height, VoteKind::Commit, &self.epoch.validators) {
            let epoch = self.epoch.validators.epoch();
            let content = VoteContent { kind: VoteKind::Commit, epoch, view, height, digest };
            let (certificate, forgers) =
                self.tally.certificate(content, &self.epoch.validators, &self.domain);
            for forger in forgers {
                self.report(forger, "a vote with a wrong signature");
            }
            let Some(certificate) = certificate else { continue };
            let Some(header) = self.header_of(height, digest) else {
                if let Some(voter) = self.any_voter(&content) {
                    self.fetch_blocks(height, voter);
                }
                continue;
            };
            if !header.batches.iter().all(|batch| self.pending.holds(batch)) {
                let from = self.any_voter(&content).unwrap_or(header.proposer);
                self.fetch_batches(&header, from);
                continue;
            }
            return self.decide(header, certificate);
        }
        false
    }

    /// A decided block from elsewhere: worth exactly what its certificate is worth.
    pub(super) fn on_synced(&mut self, header: Header, certificate: Certificate) {
        let content = &certificate.content;
        let is_next = header.height == self.tip.height.next()
            && content.kind == VoteKind::Commit
            && content.height == header.height
            && content.digest == header.digest()
            && header.epoch == self.epoch.validators.epoch();
        if is_next
            && self.may_decide()
            && certificate.verify(&self.epoch.validators, &self.domain).is_ok()
            && self.decide(header, certificate)
        {
            self.timing.forget_commit();
        }
    }

    /// Execution must not fall behind without bound.
    fn may_decide(&self) -> bool {
        self.tip.height.next().distance_above(self.executed.height) <= self.execution_lag_max()
    }

    pub(super) fn header_of(&self, height: Height, digest: Hash) -> Option<Header> {
        let proposal = self.slots.get(&height).and_then(|slot| slot.proposal.as_ref());
        let prepared = self.prepared.get(&height);
        proposal
            .filter(|proposal| proposal.digest == digest)
            .map(|proposal| &proposal.header)
            .or_else(|| {
                prepared.filter(|block| block.certificate.content.digest == digest).map(|block| &block.header)
            })
            .cloned()
    }

    /// Makes a certified block the tip; false when it has to wait for execution.
    fn decide(&mut self, header: Header, certificate: Certificate) -> bool {
        if header.parent != self.tip.digest {
            // A quorum signed a fork: more than f of the weight is faulty. Nothing here can mend that.
            self.halt(header.height, certificate.content.digest, self.tip.digest);
            return false;
        }
        let next_epoch = match header.kind {
            BlockKind::Normal | BlockKind::Closing => None,
            BlockKind::Handover { next_validators_hash } => {
                let Some(next) = self.next_epoch.clone() else { return false };
                let computed = next.validators.hash();
                if computed != next_validators_hash {
                    self.halt(header.height, next_validators_hash, computed);
                    return false;
                }
                Some(next)
            }
        };
        if !self.check_certified(header.executed) {
            return false;
        }
        self.testify(&certificate.content);
        self.tip = Tip::of(header.clone(), certificate.clone());
        if !header.batches.is_empty() {
            self.last_full = header.height;
        }
        self.pending.remove(&header);
        self.forget_decided(header.executed.height);
        self.on_progress();
        self.outputs.push(Output::Committed { header, certificate });
        if let Some(next) = next_epoch {
            self.enter_epoch(next);
        } else {
            self.return_to_seat();
        }
        true
    }

    fn forget_decided(&mut self, certified: Height) {
        let above = self.tip.height.next();
        self.slots = self.slots.split_off(&above);
        self.prepared = self.prepared.split_off(&above);
        let kept = self.epoch.window().saturating_mul(SETTLED_WINDOWS);
        self.tally.settle(self.tip.height, Height(self.tip.height.0.saturating_sub(kept)));
        self.roots = self.roots.split_off(&certified);
        for kept in self.ahead.values_mut() {
            *kept = kept.split_off(&above);
        }
        self.ahead.retain(|_, kept| !kept.is_empty());
        self.forget_questions();
    }

    /// Compares a certified state root with the own one, now or when the block is executed.
    fn check_certified(&mut self, certified: Executed) -> bool {
        match self.roots.get(&certified.height) {
            Some(own) if *own != certified.state_root => {
                let own = *own;
                self.halt(certified.height, certified.state_root, own);
                false
            }
            Some(_) => true,
            None => {
                if certified.height > self.executed.height {
                    self.certified_roots.insert(certified.height, certified.state_root);
                }
                true
            }
        }
    }

    pub(super) fn on_executed(&mut self, height: Height, state_root: Hash, next_epoch: Option<NextEpoch>) {
        if height <= self.executed.height || height > self.tip.height {
            return;
        }
        self.executed = Executed { height, state_root };
        self.roots.insert(height, state_root);
        self.promises = self.promises.split_off(&height.next());
        if next_epoch.is_some() {
            self.next_epoch = next_epoch;
        }
        if let Some(certified) = self.certified_roots.get(&height).copied()
            && certified != state_root
        {
            self.halt(height, certified, state_root);
        }
        self.certified_roots = self.certified_roots.split_off(&height.next());
    }

    fn halt(&mut self, height: Height, certified: Hash, computed: Hash) {
        self.is_halted = true;
        self.outputs.push(Output::Diverged { height, certified, computed });
    }

    /// Starts the next epoch at view 0, with nothing carried over but pending batches.
    fn enter_epoch(&mut self, next: NextEpoch) {
        let NextEpoch { validators, parameters } = next;
        let epoch = validators.epoch();
        let past = Past {
            validators: std::mem::replace(&mut self.epoch.validators, validators),
            tally: std::mem::take(&mut self.tally).into_settled(),
        };
        self.accused.retain(|(epoch, _)| *epoch == past.validators.epoch());
        self.past = Some(past);
        self.epoch.parameters = parameters;
        self.epoch.start_ms = self.tip.timestamp_ms;
        self.origin = (self.tip.height, self.tip.digest);
        self.next_epoch = None;
        self.prepared.clear();
        self.take_seat();
        self.view = aegis_types::View::ZERO;
        self.target = None;
        self.plan = Plan { base: self.tip.height, headers: Vec::new() };
        self.new_view = None;
        self.slots.clear();
        self.view_changes.clear();
        self.verified_view_changes.clear();
        self.ahead.clear();
        self.testified.clear();
        self.last_voted.clear();
        self.pending.restart_patience(self.now.monotonic_ms);
        self.timing.enter_epoch(self.now.monotonic_ms);
        self.peers.retain_members(&self.epoch.validators);
        self.outputs.push(Output::Event(Event::EpochEntered { epoch }));
        self.replay_later();
        self.take_seat();
        for (from, messages) in std::mem::take(&mut self.early) {
            for message in messages {
                self.on_message(from, message);
            }
        }
    }

    /// What follows from the epoch's validator set.
    pub(super) fn take_seat(&mut self) {
        let set = &self.epoch.validators;
        let seat = set.index_of(&self.keypair.validator_id()).and_then(|index| u32::try_from(index).ok());
        let may_vote = self.floor.allows(set.epoch(), self.tip.height) && self.tip.height >= self.seat_tip();
        self.me = seat.filter(|_| may_vote);
        self.schedule = LeaderSchedule::new(set);
        self.validators_hash = set.hash();
    }

    /// The lowest tip at which the own ViewChange lists no more blocks than others accept.
    ///
    /// A validator that runs is never below: it votes at most a window above its tip, and its tip is at most the lag of execution
    /// above what a crash leaves. Below is who has lost committed blocks, and not the journal. It must show all its promises or
    /// none, so it follows blocks until the rest of them fits.
    pub(super) fn seat_tip(&self) -> Height {
        let highest = self.prepared.last_key_value().map_or(Height::ZERO, |(height, _)| *height);
        let listed = self.epoch.window().saturating_mul(VIEW_CHANGE_WINDOWS);
        Height(highest.0.saturating_sub(listed))
    }

    /// Takes the seat that the floor, or the lack of blocks, has kept this validator from, once it no longer does.
    ///
    /// Votes that were replayed meanwhile bind, and count from now on.
    pub(super) fn return_to_seat(&mut self) {
        if self.me.is_some() {
            return;
        }
        self.take_seat();
        if self.me.is_none() {
            return;
        }
        self.timing.enter_epoch(self.now.monotonic_ms);
        let own: Vec<Vote> =
            self.slots.values().flat_map(|slot| [&slot.prepare, &slot.commit]).flatten().cloned().collect();
        for vote in &own {
            self.count_own(vote);
        }
    }
}
