//! When to leave a view, and what to send again.
//!
//! The timer of a view runs while there is work: an open height, or a held batch that is not ordered; without any it also
//! runs from the moment that an idle block is overdue. It starts anew with each commit and doubles with each view that
//! commits nothing. The timer of a view change starts when a quorum of ViewChanges is there, not before: a validator that
//! is alone with its wish waits, and goes on following commits.
//!
//! The first timeout is the agreed one, or longer where a quorum is farther away than that allows for
//! ([`Engine::set_round_trip`]). Timers decide when a validator wishes to leave a view, and how old a fresh proposal may be that it
//! votes for: only what it does *not* vote for, so that validators may differ in them and measurements may be wrong or lies.
//! Safety does not depend on them, and liveness on nothing but that they grow while nothing is committed.

use aegis_types::{Parameter, View};

use super::{Engine, Origin, Proposal, Slot};
use crate::limits::{
    BATCH_PATIENCE_TIMEOUTS, EMPTY_BLOCK_PART, RESENDS_PER_TIMEOUT, ROUND_TRIP_MS_MAX,
    ROUND_TRIPS_PER_TIMEOUT, TIMEOUT_DOUBLINGS,
};
use crate::message::{Message, PrePrepare, Status};
use crate::output::Output;

#[derive(Debug, Clone, Default)]
pub(super) struct Timing {
    /// When the last block was committed, or the epoch entered.
    pub(super) last_commit_ms: u64,
    /// The same, where this node saw it happen: none after a restart, and above a block that it fetched.
    seen_commit_ms: Option<u64>,
    /// When the last block was committed or the last view entered.
    last_progress_ms: u64,
    /// Since when there has been work.
    work_since_ms: Option<u64>,
    /// Views in a row that this validator left by timeout.
    timeouts: u32,
    /// Since when a quorum of ViewChanges for the target or above has been there.
    quorum_since_ms: Option<u64>,
    last_resend_ms: u64,
    /// The measured round trip to a quorum, 0 while none is known.
    round_trip_ms: u64,
}

impl Timing {
    pub(super) fn starting_at(now_ms: u64) -> Self {
        Self { last_commit_ms: now_ms, last_progress_ms: now_ms, last_resend_ms: now_ms, ..Self::default() }
    }

    pub(super) fn enter_epoch(&mut self, now_ms: u64) {
        let Self { round_trip_ms, seen_commit_ms, .. } = *self;
        *self = Self { round_trip_ms, seen_commit_ms, ..Self::starting_at(now_ms) };
    }

    /// The tip was fetched: when it was committed is not known.
    pub(super) fn forget_commit(&mut self) {
        self.seen_commit_ms = None;
    }

    pub(super) fn enter_view(&mut self, now_ms: u64) {
        self.last_progress_ms = now_ms;
        self.quorum_since_ms = None;
        self.last_resend_ms = now_ms;
    }
}

impl Engine {
    fn base_timeout_ms(&self) -> u64 {
        let agreed = self.epoch.parameters.get(Parameter::ViewTimeoutMs);
        agreed.max(self.timing.round_trip_ms.saturating_mul(ROUND_TRIPS_PER_TIMEOUT))
    }

    /// Sets the time in which this validator reaches a quorum and hears back, in milliseconds, as the caller has measured it
    /// lately; nothing when it cannot tell. Above [`ROUND_TRIP_MS_MAX`] it counts as that.
    pub fn set_round_trip(&mut self, round_trip_ms: Option<u64>) {
        self.timing.round_trip_ms = round_trip_ms.unwrap_or(0).min(ROUND_TRIP_MS_MAX);
    }

    /// How long the current view may go without a commit.
    pub(super) fn timeout_ms(&self) -> u64 {
        let doublings = self.timing.timeouts.min(TIMEOUT_DOUBLINGS);
        self.base_timeout_ms().saturating_mul(1_u64.checked_shl(doublings).unwrap_or(1))
    }

    pub(super) fn resend_interval_ms(&self) -> u64 {
        self.base_timeout_ms().checked_div(RESENDS_PER_TIMEOUT).unwrap_or(1).max(1)
    }

    /// The tip moved.
    pub(super) fn on_progress(&mut self) {
        let now = self.now.monotonic_ms;
        self.timing.last_commit_ms = now;
        self.timing.seen_commit_ms = Some(now);
        self.timing.last_progress_ms = now;
        self.timing.timeouts = self.timing.timeouts.saturating_sub(1);
        self.timing.work_since_ms = None;
    }

    /// Keeps track of whether there is work, after every input.
    pub(super) fn note_work(&mut self) {
        let is_work = |slot: &Slot| slot.proposal.is_some() && !self.is_held_back(slot);
        let has_work = self.pending.len() > 0 || self.slots.values().any(is_work);
        if !has_work {
            self.timing.work_since_ms = None;
        } else if self.timing.work_since_ms.is_none() {
            self.timing.work_since_ms = Some(self.now.monotonic_ms);
        }
        if let Some(target) = self.target {
            let set = &self.epoch.validators;
            let weight = self
                .view_changes
                .values()
                .filter(|message| message.view >= target)
                .fold(aegis_types::Weight::ZERO, |sum, message| sum.plus(set.weight_of(&message.validator)));
            if weight < set.quorum() {
                self.timing.quorum_since_ms = None;
            } else if self.timing.quorum_since_ms.is_none() {
                self.timing.quorum_since_ms = Some(self.now.monotonic_ms);
            }
        }
    }

    /// From when on an empty block may follow the tip; none where this node did not see when the tip was committed.
    pub(super) fn empty_block_from(&self) -> Option<u64> {
        let seen = self.timing.seen_commit_ms?;
        let interval = self.idle_block_at().saturating_sub(self.timing.last_commit_ms);
        Some(seen.saturating_add(interval / EMPTY_BLOCK_PART))
    }

    /// Whether a slot's proposal is an empty block that came too early. It waits, and the view does not wait for it: were it work, a
    /// validator that has seen the tip late would leave its view for it.
    fn is_held_back(&self, slot: &Slot) -> bool {
        let is_fresh = |proposal: &&Proposal| slot.prepare.is_none() && proposal.origin == Origin::Leader;
        slot.proposal.as_ref().filter(is_fresh).is_some_and(|proposal| self.is_premature(&proposal.header))
    }

    /// When a proposal that came too early may be voted for.
    fn held_back_until(&self) -> Option<u64> {
        let open = self.slots.get(&self.tip.height.next())?;
        self.empty_block_from().filter(|_| self.is_held_back(open))
    }

    /// When this view is given up, and why; none while a view change waits for its quorum.
    fn view_deadline(&self) -> Option<(u64, &'static str)> {
        let timeout = self.timeout_ms();
        if self.target.is_some() {
            let since = self.timing.quorum_since_ms?;
            return Some((since.saturating_add(timeout), "the new view did not start in time"));
        }
        let by_progress = match self.timing.work_since_ms {
            Some(since) => {
                let start = since.max(self.timing.last_progress_ms);
                (start.saturating_add(timeout), "nothing was committed in time")
            }
            None => {
                let due = self.idle_block_at().max(self.timing.last_progress_ms);
                (due.saturating_add(timeout), "no idle block came in time")
            }
        };
        let patience = self.base_timeout_ms().saturating_mul(BATCH_PATIENCE_TIMEOUTS);
        let by_patience = self.pending.oldest_ms().map(|since| {
            (since.saturating_add(patience).max(self.timing.last_progress_ms), "a batch was passed over")
        });
        Some(by_patience.filter(|patience| patience.0 < by_progress.0).unwrap_or(by_progress))
    }

    fn resend_at(&self) -> u64 {
        let last = self.timing.last_resend_ms.max(self.timing.last_progress_ms);
        last.saturating_add(self.resend_interval_ms())
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.me?;
        let mut deadline = self.resend_at();
        if let Some((view, _)) = self.view_deadline() {
            deadline = deadline.min(view);
        }
        if let Some(until) = self.held_back_until() {
            deadline = deadline.min(until);
        }
        if self.is_leader() && self.target.is_none() && self.slots.is_empty() {
            // Behind the clock's end, execution is what a proposal waits for: its input drives it.
            let idle = self.idle_block_at();
            if idle > self.now.monotonic_ms {
                deadline = deadline.min(idle);
            }
        }
        Some(deadline)
    }

    pub(super) fn on_tick(&mut self) {
        if self.me.is_none() {
            return;
        }
        let now = self.now.monotonic_ms;
        if let Some((deadline, reason)) = self.view_deadline()
            && now >= deadline
        {
            self.timing.timeouts = self.timing.timeouts.saturating_add(1);
            let highest: View = self.target.unwrap_or(self.view);
            self.leave_view(highest.next(), reason);
        } else if now >= self.resend_at() {
            self.resend();
        }
    }

    /// Sends again whatever may have been lost. Nothing here is new, so nothing needs to be persisted.
    fn resend(&mut self) {
        self.timing.last_resend_ms = self.now.monotonic_ms;
        let status = self.own_status();
        self.outputs.push(Output::Broadcast(Message::Status(status)));
        let me = self.keypair.validator_id();
        if self.target.is_some()
            && let Some(message) = self.view_changes.get(&me)
        {
            self.outputs.push(Output::Broadcast(Message::ViewChange(message.clone())));
        }
        let is_leader = self.is_leader();
        for slot in self.slots.values() {
            if let (Some(proposal), Some(vote)) = (&slot.proposal, &slot.prepare) {
                let message = if is_leader && proposal.origin == Origin::Leader {
                    Message::PrePrepare(PrePrepare { header: proposal.header.clone(), vote: vote.clone() })
                } else {
                    Message::Vote(vote.clone())
                };
                self.outputs.push(Output::Broadcast(message));
            }
            if let Some(vote) = &slot.commit {
                self.outputs.push(Output::Broadcast(Message::Vote(vote.clone())));
            }
        }
        self.fetch_again();
    }

    pub(super) fn own_status(&self) -> Status {
        Status { epoch: self.epoch.validators.epoch(), view: self.view, height: self.tip.height }
    }
}
