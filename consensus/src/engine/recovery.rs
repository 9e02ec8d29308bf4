//! Restart: an engine that never contradicts what it sent before.
//!
//! Records are written in the order in which promises were made, so replaying them in that order ends in the same view,
//! with the same accepted headers and votes. Records of earlier epochs and of heights that are committed bind nothing any more.
//!
//! The journal may be ahead of the committed log, even by an epoch: votes follow the decision of a handover block at once,
//! while the block itself is still being written. Records of a later epoch are kept and replayed when it is entered.

use std::collections::{BTreeMap, BTreeSet};

use aegis_types::{Certificate, Executed, Hash, Header, Height, Vote};

use super::catch_up::Peers;
use super::timer::Timing;
use super::{Engine, Origin, Proposal, Start};
use crate::epoch::Tip;
use crate::leader::LeaderSchedule;
use crate::message::PreparedBlock;
use crate::pending::Pending;
use crate::plan::Plan;
use crate::record::Record;
use crate::tally::Tally;

impl Engine {
    /// An engine that stands where the durable state says. It sends nothing until its first input.
    pub fn recover(start: Start) -> Self {
        let Start { domain, keypair, epoch, origin, next_epoch, tip, roots, records, floor, now } = start;
        let executed = roots
            .last_key_value()
            .map_or_else(Executed::default, |(height, root)| Executed { height: *height, state_root: *root });
        let mut engine = Self {
            schedule: LeaderSchedule::new(&epoch.validators),
            validators_hash: Hash::ZERO,
            me: None,
            floor,
            plan: Plan { base: origin.0, headers: Vec::new() },
            domain,
            keypair,
            epoch,
            origin,
            next_epoch,
            last_full: newest_full(&tip),
            tip,
            executed,
            roots,
            certified_roots: BTreeMap::new(),
            view: aegis_types::View::ZERO,
            target: None,
            new_view: None,
            slots: BTreeMap::new(),
            prepared: BTreeMap::new(),
            tally: Tally::default(),
            view_changes: BTreeMap::new(),
            verified_view_changes: BTreeSet::new(),
            ahead: BTreeMap::new(),
            early: BTreeMap::new(),
            accused: BTreeSet::new(),
            testified: BTreeMap::new(),
            testified_window: 0,
            past: None,
            last_voted: BTreeMap::new(),
            // Also of records that bind nothing any more: that the Commit was cast remains true.
            committing: records.iter().filter_map(committed_height).max().unwrap_or_default(),
            promises: BTreeMap::new(),
            later: Vec::new(),
            pending: Pending::default(),
            timing: Timing::starting_at(now.monotonic_ms),
            peers: Peers::default(),
            now,
            is_halted: false,
            outputs: Vec::new(),
        };
        engine.take_seat();
        for record in records {
            engine.replay(record);
        }
        // Now that it is known how far the own Commits reach.
        engine.take_seat();
        engine.outputs.clear();
        engine
    }

    /// The records that still bind this validator: what the journal must keep when it drops older segments.
    ///
    /// None while the block that the epoch started from is not executed, so perhaps not durable: a restart could then fall
    /// back to the epoch before, whose views are forgotten here already.
    pub fn live_records(&self) -> Option<Vec<Record>> {
        if self.executed.height < self.origin.0 {
            return None;
        }
        let promised = || self.promises.values().flatten().cloned();
        let own_view_change = self.view_changes.get(&self.keypair.validator_id());
        // Replay takes votes of earlier views for what they are only before it enters this one.
        let mut records: Vec<Record> = promised().filter(|record| !self.is_of_this_view(record)).collect();
        records.extend(self.new_view.clone().map(Record::NewView));
        records.extend(promised().filter(|record| self.is_of_this_view(record)));
        if self.target.is_some() {
            records.extend(own_view_change.cloned().map(Record::ViewChange));
        }
        records.extend(self.later.iter().cloned());
        Some(records)
    }

    fn is_of_this_view(&self, record: &Record) -> bool {
        match record {
            Record::Prepared { vote, .. } | Record::Committing { vote, .. } => {
                vote.content.view == self.view && vote.content.epoch == self.epoch.validators.epoch()
            }
            Record::ViewChange(_) | Record::NewView(_) => false,
        }
    }

    /// Replays what was promised in the epoch that has just been entered, before a restart.
    pub(super) fn replay_later(&mut self) {
        for record in std::mem::take(&mut self.later) {
            self.replay(record);
        }
    }

    fn replay(&mut self, record: Record) {
        let epoch = self.epoch.validators.epoch();
        if record.epoch() > epoch {
            self.later.push(record);
            return;
        }
        match record {
            Record::NewView(message) if message.epoch == epoch && message.view > self.view => {
                self.enter_view(message);
            }
            Record::ViewChange(message) if message.epoch == epoch && message.view > self.view => {
                self.target = Some(message.view);
                self.verified_view_changes.insert(message.validator);
                self.view_changes.insert(message.validator, message);
            }
            Record::Prepared { header, vote } if header.epoch == epoch && header.height > self.tip.height => {
                self.replay_prepare(header, vote);
            }
            Record::Committing { header, certificate, vote }
                if header.epoch == epoch && header.height > self.tip.height =>
            {
                self.replay_commit(header, certificate, vote);
            }
            Record::NewView(_)
            | Record::ViewChange(_)
            | Record::Prepared { .. }
            | Record::Committing { .. } => {}
        }
    }

    fn replay_prepare(&mut self, header: Header, vote: Vote) {
        self.count_own(&vote);
        let record = Record::Prepared { header: header.clone(), vote: vote.clone() };
        self.keep_promise(header.height, record);
        if vote.content.view == self.view {
            let origin = if header.height > self.plan.end() { Origin::Leader } else { Origin::Plan };
            let slot = self.slots.entry(header.height).or_default();
            slot.proposal = Some(Proposal { digest: vote.content.digest, header, origin, refused: false });
            slot.prepare = Some(vote);
        }
    }

    fn replay_commit(&mut self, header: Header, certificate: Certificate, vote: Vote) {
        self.count_own(&vote);
        let height = header.height;
        let record = Record::Committing {
            header: header.clone(),
            certificate: certificate.clone(),
            vote: vote.clone(),
        };
        self.keep_promise(height, record);
        if vote.content.view == self.view
            && let Some(slot) = self.slots.get_mut(&height)
        {
            slot.commit = Some(vote);
        }
        let is_newer = self
            .prepared
            .get(&height)
            .is_none_or(|known| known.certificate.content.view <= certificate.content.view);
        if is_newer {
            self.prepared.insert(height, PreparedBlock { header, certificate });
        }
    }
}

/// The newest block up to the tip that may have batches: of those below the tip nothing is known here.
fn newest_full(tip: &Tip) -> Height {
    let is_empty = tip.header().is_some_and(|header| header.batches.is_empty());
    if is_empty { tip.height.previous() } else { tip.height }
}

/// The height of a Commit vote.
fn committed_height(record: &Record) -> Option<Height> {
    match record {
        Record::Committing { vote, .. } => Some(vote.content.height),
        Record::Prepared { .. } | Record::ViewChange(_) | Record::NewView(_) => None,
    }
}
