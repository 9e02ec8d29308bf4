//! Rules 5, 6 and 7: leaving a view, joining others, entering the next.

use aegis_types::{Signature, ValidatorId, View, Weight};

use super::{Engine, Origin, Proposal, Slot};
use crate::message::{Message, NewView, PreparedBlock, ViewChange};
use crate::output::{Event, Output};
use crate::plan::Plan;
use crate::record::Record;

impl Engine {
    /// Rule 5.
    pub(super) fn leave_view(&mut self, target: View, reason: &'static str) {
        let message = ViewChange {
            epoch: self.epoch.validators.epoch(),
            view: target,
            tip_height: self.tip.height,
            tip: self.tip_proof(),
            prepared: self.prepared.values().cloned().collect(),
            validator: self.keypair.validator_id(),
            signature: Signature([0; 64]),
        }
        .signed(&self.keypair, &self.domain);
        self.target = Some(target);
        self.outputs.push(Output::Event(Event::ViewChangeStarted { target, reason }));
        self.outputs.push(Output::Persist(Record::ViewChange(message.clone())));
        self.outputs.push(Output::Broadcast(Message::ViewChange(message.clone())));
        self.verified_view_changes.insert(message.validator);
        self.view_changes.insert(message.validator, message);
        self.timing.enter_view(self.now.monotonic_ms);
    }

    /// The tip with its certificate, unless the epoch started from it.
    fn tip_proof(&self) -> Option<PreparedBlock> {
        let (header, certificate) = self.tip.block.as_ref().filter(|_| self.tip.height > self.origin.0)?;
        Some(PreparedBlock { header: header.clone(), certificate: certificate.clone() })
    }

    pub(super) fn on_view_change(&mut self, from: ValidatorId, message: ViewChange) {
        if message.validator != from {
            self.report(from, "a view change of somebody else");
            return;
        }
        if message.view <= self.view {
            self.tell_view(from);
            return;
        }
        if self.view_changes.get(&from).is_some_and(|known| known.view >= message.view) {
            return;
        }
        if message.is_overlong(self.epoch.window()) {
            self.report(from, "a view change that lists too many blocks");
            return;
        }
        if !message.verify_signature(&self.domain) {
            self.report(from, "a view change with a wrong signature");
            return;
        }
        self.verified_view_changes.remove(&from);
        self.view_changes.insert(from, message);
    }

    /// Rule 6.
    pub(super) fn try_join(&mut self) -> bool {
        if self.me.is_none() {
            return false;
        }
        let own = self.target.unwrap_or(self.view);
        let set = &self.epoch.validators;
        let above = || self.view_changes.values().filter(|message| message.view > own);
        let weight = above().fold(Weight::ZERO, |sum, message| sum.plus(set.weight_of(&message.validator)));
        if weight >= set.weak_quorum()
            && let Some(lowest) = above().map(|message| message.view).min()
        {
            self.leave_view(lowest, "others left the view");
            return true;
        }
        false
    }

    /// Rule 7, the leader's part.
    pub(super) fn try_start_view(&mut self) -> bool {
        let Some(target) = self.target else { return false };
        if self.me.is_none() || self.schedule.leader(target) != self.keypair.validator_id() {
            return false;
        }
        if self.weight_for(target) < self.epoch.validators.quorum() {
            return false;
        }
        self.drop_invalid_view_changes(target);
        if self.weight_for(target) < self.epoch.validators.quorum() {
            return false;
        }
        let message = NewView {
            epoch: self.epoch.validators.epoch(),
            view: target,
            view_changes: self
                .view_changes
                .values()
                .filter(|message| message.view == target)
                .cloned()
                .collect(),
            leader: self.keypair.validator_id(),
            signature: Signature([0; 64]),
        }
        .signed(&self.keypair, &self.domain);
        self.outputs.push(Output::Persist(Record::NewView(message.clone())));
        self.outputs.push(Output::Broadcast(Message::NewView(message.clone())));
        self.enter_view(message);
        true
    }

    fn weight_for(&self, target: View) -> Weight {
        let set = &self.epoch.validators;
        self.view_changes
            .values()
            .filter(|message| message.view == target)
            .fold(Weight::ZERO, |sum, message| sum.plus(set.weight_of(&message.validator)))
    }

    fn drop_invalid_view_changes(&mut self, target: View) {
        let unverified: Vec<ViewChange> = self
            .view_changes
            .values()
            .filter(|message| {
                message.view == target && !self.verified_view_changes.contains(&message.validator)
            })
            .cloned()
            .collect();
        for message in unverified {
            let (first, window) = (self.origin.0, self.epoch.window());
            match message.verify_content(first, window, &self.epoch.validators, &self.domain) {
                Ok(()) => {
                    self.verified_view_changes.insert(message.validator);
                }
                Err(_) => {
                    self.view_changes.remove(&message.validator);
                    self.report(message.validator, "a view change that proves nothing");
                }
            }
        }
    }

    /// Rule 7, everyone's part. Who delivers the message does not matter: its leader signed it.
    pub(super) fn on_new_view(&mut self, from: ValidatorId, message: NewView) {
        if message.view <= self.view || self.target.is_some_and(|target| message.view < target) {
            return;
        }
        if message.leader != self.schedule.leader(message.view) {
            self.report(from, "a new view of somebody who does not lead it");
            return;
        }
        let (first, window) = (self.origin.0, self.epoch.window());
        if message.verify(first, window, &self.epoch.validators, &self.domain).is_err() {
            self.report(from, "a new view that is not valid");
            return;
        }
        self.outputs.push(Output::Persist(Record::NewView(message.clone())));
        self.enter_view(message);
    }

    /// Enters a view whose proof is valid and persisted before anything else is sent.
    pub(super) fn enter_view(&mut self, message: NewView) {
        self.view = message.view;
        self.target = None;
        self.plan = Plan::of(&message.view_changes, self.origin);
        self.new_view = Some(message);
        self.slots.clear();
        for header in &self.plan.headers {
            if header.height > self.tip.height {
                let proposal = Proposal {
                    header: header.clone(),
                    digest: header.digest(),
                    origin: Origin::Plan,
                    refused: false,
                };
                self.slots.insert(header.height, Slot { proposal: Some(proposal), ..Slot::default() });
            }
        }
        let view = self.view;
        self.view_changes.retain(|_, message| message.view > view);
        let kept = &self.view_changes;
        self.verified_view_changes.retain(|validator| kept.contains_key(validator));
        self.pending.restart_patience(self.now.monotonic_ms);
        self.timing.enter_view(self.now.monotonic_ms);
        let leader = self.schedule.leader(view);
        self.outputs.push(Output::Event(Event::ViewEntered { view, leader }));
        if self.plan.base > self.tip.height {
            self.fetch_blocks(self.plan.base, leader);
        }
        if let Some(kept) = self.ahead.remove(&leader) {
            for message in kept.into_values().filter(|message| message.vote.content.view == view) {
                self.on_pre_prepare(leader, message);
            }
        }
        self.ahead.retain(|_, kept| {
            kept.retain(|_, message| message.vote.content.view > view);
            !kept.is_empty()
        });
    }
}
