//! The engine: one validator's (or observer's) view of agreement.
//!
//! | file | rules of the crate's documentation |
//! |---|---|
//! | `propose.rs` | 1 |
//! | `validate.rs`, `vote.rs` | 2, 3 |
//! | `decide.rs` | 4, and the change of epochs |
//! | `timer.rs` | when to leave a view, what to send again |
//! | `view_change.rs` | 5, 6, 7 |
//! | `catch_up.rs` | what to do with those who are behind, and when behind |
//! | `testimony.rs` | 8 |
//! | `recovery.rs` | restart from the journal |

mod catch_up;
mod decide;
mod propose;
mod recovery;
mod testimony;
mod timer;
mod validate;
mod view_change;
mod vote;

use std::collections::{BTreeMap, BTreeSet};

use aegis_types::{
    Domain, Epoch, Executed, Hash, Header, Height, Keypair, ValidatorId, ValidatorSet, View, Vote,
};

use crate::epoch::{EpochContext, NextEpoch, Tip};
use crate::floor::VoteFloor;
use crate::input::{Input, Now};
use crate::leader::LeaderSchedule;
use crate::limits::EXECUTION_LAG_WINDOWS;
use crate::message::{Message, NewView, PrePrepare, PreparedBlock, ViewChange};
use crate::output::Output;
use crate::pending::Pending;
use crate::plan::Plan;
use crate::record::Record;
use crate::tally::Tally;

use catch_up::Peers;
use testimony::{Past, Shown};
use timer::Timing;

/// What an engine starts from: durable state of this node, trusted.
#[derive(Debug, Clone)]
pub struct Start {
    /// The chain.
    pub domain: Domain,
    /// The node's key; votes only while it is in the validator set.
    pub keypair: Keypair,
    /// The epoch that follows from the blocks up to the tip.
    pub epoch: EpochContext,
    /// Height and digest of the block that the epoch started from: the genesis, or a handover block.
    pub origin: (Height, Hash),
    /// The next epoch, when the newest executed block is a closing one.
    pub next_epoch: Option<NextEpoch>,
    /// The newest committed and durable block.
    pub tip: Tip,
    /// State roots of executed blocks, the newest being the newest executed block; reaching back at least to the tip
    /// header's `executed`.
    pub roots: BTreeMap<Height, Hash>,
    /// The vote journal, in order.
    pub records: Vec<Record>,
    /// Where it may vote, if it has lost votes.
    pub floor: VoteFloor,
    /// The time.
    pub now: Now,
}

/// A height that is open in the current view.
#[derive(Debug, Clone, Default)]
struct Slot {
    proposal: Option<Proposal>,
    prepare: Option<Vote>,
    commit: Option<Vote>,
}

#[derive(Debug, Clone)]
struct Proposal {
    header: Header,
    digest: Hash,
    origin: Origin,
    refused: bool,
}

/// How a header came to be proposed in the current view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// By a PrePrepare of the leader.
    Leader,
    /// By the view's plan.
    Plan,
}

impl Slot {
    /// The digest that this validator voted Prepare for.
    fn accepted(&self) -> Option<&Proposal> {
        self.proposal.as_ref().filter(|_| self.prepare.is_some())
    }
}

/// What people and telemetry may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineStatus {
    /// The validator set of the current epoch.
    pub validators: ValidatorSet,
    /// Agreed time at which the epoch ends.
    pub epoch_end_ms: u64,
    /// The view entered last.
    pub view: View,
    /// The view that a view change under way aims at.
    pub target: Option<View>,
    /// The leader of `view`.
    pub leader: ValidatorId,
    /// Whether this node votes in the epoch.
    pub is_member: bool,
    /// Where it may vote: a validator that is below does not, although it is in the set.
    pub floor: VoteFloor,
    /// The lowest tip at which it may vote, while it is below: its own Commits reach further above its tip than a view change
    /// may list. None while that keeps it from nothing.
    pub votes_from: Option<Height>,
    /// Height, digest and timestamp of the newest committed block.
    pub tip: (Height, Hash, u64),
    /// The newest executed block.
    pub executed: Executed,
    /// Batches held and not ordered.
    pub pending_batches: usize,
    /// Votes held.
    pub votes: usize,
    /// Sets that these votes are held in, one for each height, view and kind; none is empty.
    pub vote_sets: usize,
    /// Messages kept for later: of views ahead, of the next epoch, and wishes for views.
    pub kept_messages: usize,
    /// The highest height that each member was seen voting for in this epoch; claims, not proofs.
    pub last_voted: BTreeMap<ValidatorId, Height>,
    /// The highest tip that any validator claimed.
    pub claimed_height: Height,
}

/// Weighted PBFT as a state machine. The crate's documentation says how to drive it.
#[derive(Debug, Clone)]
pub struct Engine {
    domain: Domain,
    keypair: Keypair,
    /// Position in the validator set; none for an observer, and for a validator that must keep silent.
    me: Option<u32>,
    floor: VoteFloor,
    epoch: EpochContext,
    schedule: LeaderSchedule,
    validators_hash: Hash,
    origin: (Height, Hash),
    next_epoch: Option<NextEpoch>,

    tip: Tip,
    /// The newest committed block with batches; after a restart the newest that may have some.
    last_full: Height,
    executed: Executed,
    /// Own state roots, from the tip's certified one on.
    roots: BTreeMap<Height, Hash>,
    /// Roots that committed headers certify and that are not executed here yet.
    certified_roots: BTreeMap<Height, Hash>,

    view: View,
    /// The view of the own ViewChange, while it has not started.
    target: Option<View>,
    plan: Plan,
    new_view: Option<NewView>,
    slots: BTreeMap<Height, Slot>,
    /// By height, the prepared block of the highest view for which a Commit was sent.
    prepared: BTreeMap<Height, PreparedBlock>,
    tally: Tally,
    view_changes: BTreeMap<ValidatorId, ViewChange>,
    verified_view_changes: BTreeSet<ValidatorId>,
    /// PrePrepares of views not entered yet, by sender; those of its highest view.
    ahead: BTreeMap<ValidatorId, BTreeMap<Height, PrePrepare>>,
    /// Messages of the next epoch, by sender.
    early: BTreeMap<ValidatorId, Vec<Message>>,
    /// Whom evidence was found against, in this epoch and the one before.
    accused: BTreeSet<(Epoch, ValidatorId)>,
    /// How many votes of each validator were shown to the others in the window of heights that the newest decision is in.
    testified: BTreeMap<(ValidatorId, Shown), u32>,
    /// Number of that window.
    testified_window: u64,
    /// What is left of the epoch before.
    past: Option<Past>,
    last_voted: BTreeMap<ValidatorId, Height>,
    /// The highest height for which this validator ever voted Commit, in any epoch and view, as far as its journal reaches.
    committing: Height,
    /// Own votes for heights that are not yet executed, for the journal's checkpoint.
    promises: BTreeMap<Height, Vec<Record>>,
    /// Own promises of epochs that this engine has not entered since its restart.
    later: Vec<Record>,

    pending: Pending,
    timing: Timing,
    peers: Peers,
    now: Now,
    is_halted: bool,
    outputs: Vec<Output>,
}

impl Engine {
    /// Handles one input and returns what is to be done, in order.
    pub fn handle(&mut self, now: Now, input: Input) -> Vec<Output> {
        self.now = now;
        if self.is_halted {
            return Vec::new();
        }
        match input {
            Input::Message { from, message } => self.on_message(from, *message),
            Input::BatchAvailable(reference) => {
                self.pending.insert(reference, now.monotonic_ms);
            }
            Input::Executed { height, state_root, next_epoch } => {
                self.on_executed(height, state_root, next_epoch.map(|next| *next));
            }
            Input::Synced { header, certificate } => self.on_synced(*header, *certificate),
            Input::Tick => self.on_tick(),
        }
        self.advance();
        std::mem::take(&mut self.outputs)
    }

    /// When to deliver the next [`Input::Tick`], on the monotonic clock; none for an observer.
    pub fn deadline(&self) -> Option<u64> {
        if self.is_halted { None } else { self.next_deadline() }
    }

    /// Where the engine stands.
    pub fn status(&self) -> EngineStatus {
        EngineStatus {
            validators: self.epoch.validators.clone(),
            epoch_end_ms: self.epoch.end_ms(),
            view: self.view,
            target: self.target,
            leader: self.schedule.leader(self.view),
            is_member: self.me.is_some(),
            floor: self.floor,
            votes_from: Some(self.seat_tip()).filter(|seat| self.tip.height < *seat),
            tip: (self.tip.height, self.tip.digest, self.tip.timestamp_ms),
            executed: self.executed,
            pending_batches: self.pending.len(),
            votes: self.tallies().map(Tally::len).sum(),
            vote_sets: self.tallies().map(Tally::sets).sum(),
            kept_messages: self.kept_messages(),
            last_voted: self.last_voted.clone(),
            claimed_height: self.peers.highest(),
        }
    }

    /// How many blocks above the tip may be in agreement, in the current epoch.
    pub fn window(&self) -> u64 {
        self.epoch.window()
    }

    /// Sets where this validator may vote: for one that has found out which of its votes may be lost.
    ///
    /// The floor must be durable, as a restart must find it again.
    pub fn set_floor(&mut self, floor: VoteFloor) {
        self.floor = floor;
        self.return_to_seat();
    }

    /// Where votes are held: of this epoch, and of the one before.
    fn tallies(&self) -> impl Iterator<Item = &Tally> {
        std::iter::once(&self.tally).chain(self.past.as_ref().map(|past| &past.tally))
    }

    fn kept_messages(&self) -> usize {
        let ahead = self.ahead.values().map(BTreeMap::len).fold(0, usize::saturating_add);
        let early = self.early.values().map(Vec::len).fold(0, usize::saturating_add);
        ahead.saturating_add(early).saturating_add(self.view_changes.len())
    }

    /// The height of the newest committed block.
    pub fn height(&self) -> Height {
        self.tip.height
    }

    /// The highest height for which this node has voted Commit, or its tip if that is higher.
    ///
    /// Nothing above it can have been acknowledged to anyone with this node's help: that is what linearizable reads rest on.
    /// Publish it after the records are durable and *before* messages are sent.
    ///
    /// None below the floor: votes that this node has cast may be forgotten, so it cannot tell. Above it the tip is beyond all
    /// that may be forgotten.
    pub fn committing(&self) -> Option<Height> {
        let may_tell = self.floor.allows(self.epoch.validators.epoch(), self.tip.height);
        may_tell.then(|| self.committing.max(self.tip.height))
    }

    /// The validator set of the current epoch.
    pub fn validators(&self) -> &ValidatorSet {
        &self.epoch.validators
    }

    fn on_message(&mut self, from: ValidatorId, message: Message) {
        let epoch = self.epoch.validators.epoch();
        if message.epoch() > epoch {
            self.keep_early(from, message);
            return;
        }
        if message.epoch() < epoch {
            self.compare_with_past(from, &message);
            self.tell_status(from);
            return;
        }
        if self.me.is_none() || !self.epoch.validators.contains(&from) {
            return;
        }
        match message {
            Message::PrePrepare(message) => self.on_pre_prepare(from, message),
            Message::Vote(vote) => self.on_vote(from, &vote),
            Message::ViewChange(message) => self.on_view_change(from, message),
            Message::NewView(message) => self.on_new_view(from, message),
            Message::Status(status) => self.on_status(from, status),
            Message::Testimony(vote) => self.on_testimony(from, &vote),
        }
    }

    /// Applies every rule that has become applicable.
    fn advance(&mut self) {
        while !self.is_halted
            && (self.try_decide()
                || self.try_prepare()
                || self.try_commit()
                || self.try_join()
                || self.try_start_view()
                || self.try_propose())
        {}
        self.note_work();
    }

    fn is_leader(&self) -> bool {
        self.me.is_some() && self.schedule.leader(self.view) == self.keypair.validator_id()
    }

    /// Digest, timestamp and header of the accepted or committed block at a height, if it is the tip or open above it.
    fn block_at(&self, height: Height) -> Option<Ancestor<'_>> {
        if height == self.tip.height {
            let header = self.tip.header();
            return Some(Ancestor { digest: self.tip.digest, timestamp_ms: self.tip.timestamp_ms, header });
        }
        let accepted = self.slots.get(&height)?.accepted()?;
        let header = &accepted.header;
        Some(Ancestor { digest: accepted.digest, timestamp_ms: header.timestamp_ms, header: Some(header) })
    }

    /// The highest height up to which every block above the tip is accepted.
    fn accepted_height(&self) -> Height {
        let mut height = self.tip.height;
        while self.slots.get(&height.next()).is_some_and(|slot| slot.accepted().is_some()) {
            height = height.next();
        }
        height
    }

    /// Digests of the batches in open, accepted blocks.
    fn open_batches(&self) -> BTreeSet<Hash> {
        let accepted = self.slots.values().filter_map(Slot::accepted);
        accepted.flat_map(|proposal| &proposal.header.batches).map(|batch| batch.digest).collect()
    }

    /// How far a block's certified state may lie behind it.
    fn execution_lag_max(&self) -> u64 {
        self.epoch.window().saturating_mul(EXECUTION_LAG_WINDOWS)
    }

    fn report(&mut self, peer: ValidatorId, reason: &'static str) {
        self.outputs.push(Output::Misbehaviour { peer, reason });
    }

    fn promise(&mut self, height: Height, record: Record) {
        self.keep_promise(height, record.clone());
        self.outputs.push(Output::Persist(record));
    }

    /// Remembers a vote for the journal's checkpoint, in place of one of the same kind in a lower view: that view is left
    /// for good, and only the prepared certificate of the highest view counts.
    fn keep_promise(&mut self, height: Height, record: Record) {
        let kept = self.promises.entry(height).or_default();
        kept.retain(|known| std::mem::discriminant(known) != std::mem::discriminant(&record));
        kept.push(record);
    }
}

/// A block that another may extend.
#[derive(Debug, Clone, Copy)]
struct Ancestor<'a> {
    digest: Hash,
    timestamp_ms: u64,
    /// None for the genesis.
    header: Option<&'a Header>,
}
