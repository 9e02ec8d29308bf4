//! The driver: the thread that owns the engine and the vote journal.
//!
//! Each turn takes whatever inputs are there, makes all records that they yield durable with one flush, and only then
//! carries out the rest. What queues up during a flush shares the next one, so no timer is needed to group commits.
//! A flush that fails ends the thread, and with it the node: it never votes on what is not durable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aegis_consensus::{Engine, EngineStatus, Event, Input, Message, NextEpoch, Output, VoteFloor};
use aegis_p2p::{Lane, Network, Offence};
use aegis_store::Journal;
use aegis_types::{
    Batch, BatchRef, Certificate, CommittedBlock, Epoch, Hash, Header, Height, ValidatorId, Vote,
};
use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::batches::{BatchPool, HeldBatch};
use super::clock::Clock;
use super::journal::{Entry, JournalId};
use super::last_votes;
use super::metrics::Observation;
use super::metrics::receipt::Receipt;
use super::telemetry::Telemetry;

/// Inputs handled in one turn: more would delay the first one's effects.
const TURN_INPUTS: usize = 256;
/// A turn takes no further input once it has so many bytes for the journal: one flush has a limit, and takes its time.
const TURN_BYTES: u64 = 32 * 1024 * 1024;
/// Messages from peers that may wait for the driver; further ones are dropped, which the protocol tolerates.
pub const INPUTS_MAX: usize = 4_096;
/// Blocks between driver and executor. The engine never lets more be underway, so neither side ever waits for the other.
pub const BLOCKS_MAX: usize = 1_024;
/// The journal is rewritten with what still binds once it has grown by so much, or by as much as that is.
const CHECKPOINT_BYTES: u64 = 64 * 1024 * 1024;
/// How often it is noted how far the journal has got, by another thread: of what was confirmed since, a loss may go unnoticed.
const MILESTONE_INTERVAL: Duration = Duration::from_secs(5);
/// How often the published status is refreshed while nothing changes but votes.
const STATUS_INTERVAL: Duration = Duration::from_millis(50);
/// How often the engine is told how far a quorum is away. It is a median over minutes.
const ROUND_TRIP_INTERVAL: Duration = Duration::from_secs(1);

/// What the driver is told by the rest of the node.
#[derive(Debug)]
pub enum DriverInput {
    /// A decoded message of an authenticated peer.
    Message {
        /// The peer.
        from: ValidatorId,
        /// The message.
        message: Box<Message>,
    },
    /// A batch that was just taken into the pool.
    Batch(Arc<HeldBatch>),
    /// A decided block from a peer, not verified.
    Synced(Box<CommittedBlock>),
    /// Votes of this node that may be lost are of earlier epochs than this one.
    VoteFrom(Epoch),
}

/// A block was executed.
#[derive(Debug)]
pub struct ExecutedInput {
    /// Its height.
    pub height: Height,
    /// Root of the state after it.
    pub state_root: Hash,
    /// For a closing block: the next epoch.
    pub next_epoch: Option<NextEpoch>,
}

/// A block to execute.
#[derive(Debug)]
pub struct DecidedBlock {
    /// The header.
    pub header: Header,
    /// Its commit certificate.
    pub certificate: Certificate,
    /// The batches that the header names, in its order.
    pub batches: Vec<Arc<HeldBatch>>,
}

/// What the driver wants from the asynchronous part of the node.
#[derive(Debug)]
pub enum DriverRequest {
    /// Obtain batches.
    FetchBatches {
        /// Their digests.
        digests: Vec<Hash>,
        /// Who should hold them.
        from: ValidatorId,
    },
    /// Obtain blocks.
    FetchBlocks {
        /// The last height.
        last: Height,
        /// Who claims to hold them.
        from: ValidatorId,
    },
    /// Submit a proof of equivocation.
    Evidence(Box<Vote>, Box<Vote>),
}

/// Requests that may wait. A full queue drops fetches, which the engine repeats, and lets evidence wait, which it does not.
pub const REQUESTS_MAX: usize = 256;

/// The driver's ends of the node's channels.
#[derive(Debug)]
pub struct Ports {
    /// From network and admission.
    pub inputs: mpsc::Receiver<DriverInput>,
    /// From the executor.
    pub executed: mpsc::Receiver<ExecutedInput>,
    /// To the executor.
    pub decided: mpsc::Sender<DecidedBlock>,
    /// To the asynchronous part.
    pub requests: mpsc::Sender<DriverRequest>,
    /// The engine's state for everybody to read.
    pub status: watch::Sender<EngineStatus>,
    /// The highest height for which this node has ever voted Commit, or its tip: what it answers to those who read. None
    /// while its votes may be forgotten.
    pub committing: watch::Sender<Option<Height>>,
}

/// Engine, journal and channels.
pub struct Driver {
    pub engine: Engine,
    pub journal: Journal,
    /// The journal's name, which its checkpoints must keep.
    pub journal_id: JournalId,
    /// Whether the journal has records that were not flushed.
    pub is_journal_dirty: bool,
    /// Batches that the journal holds already and that the engine is told of first.
    pub recovered: Vec<BatchRef>,
    pub network: Network,
    pub pool: Arc<BatchPool>,
    pub telemetry: Arc<Telemetry>,
    /// Is told of every vote and decision; nothing comes back but receipts to send.
    pub observation: Arc<Observation>,
    pub clock: Clock,
    pub ports: Ports,
    pub stop: CancellationToken,
}

/// What handling inputs has yielded and is not carried out.
#[derive(Default)]
struct Turn {
    outputs: Vec<Output>,
    /// The batches of each block that the outputs commit. Taken at once: the engine does not have them any more.
    payloads: BTreeMap<Height, Vec<Arc<HeldBatch>>>,
    /// Receipts for votes that were handled.
    receipts: Vec<(ValidatorId, Receipt)>,
}

enum Wake {
    Input(DriverInput),
    Executed(ExecutedInput),
    Tick,
    Stop,
}

impl Driver {
    /// Runs until the node stops.
    ///
    /// # Errors
    /// When the journal fails, or the certified state differs from this node's: the node must stop.
    pub fn run(mut self, runtime: &Handle) -> anyhow::Result<()> {
        let mut published = Instant::now();
        let mut measured = Instant::now();
        let mut noted = (Instant::now(), self.journal.confirmed());
        self.resume()?;
        loop {
            let first = runtime.block_on(self.next_wake());
            let mut turn = Turn::default();
            let recorded = self.journal.bytes_since_checkpoint();
            let mut wake = Some(first);
            let mut handled = 0;
            let mut is_stopping = false;
            while let Some(next) = wake {
                match next {
                    Wake::Stop => {
                        is_stopping = true;
                        break;
                    }
                    next => self.handle(next, &mut turn)?,
                }
                handled += 1;
                let grown = self.journal.bytes_since_checkpoint().saturating_sub(recorded);
                let is_full = handled >= TURN_INPUTS || grown >= TURN_BYTES;
                wake = if is_full { None } else { self.ready_wake() };
            }
            self.send_receipts(&mut turn);
            self.persist(&turn.outputs)?;
            self.publish_committing();
            if self.ports.status.borrow().tip.0 != self.engine.height()
                || published.elapsed() >= STATUS_INTERVAL
            {
                self.publish_status();
                published = Instant::now();
            }
            if measured.elapsed() >= ROUND_TRIP_INTERVAL {
                self.engine.set_round_trip(self.observation.round_trip_us().map(|us| us.div_ceil(1_000)));
                measured = Instant::now();
            }
            self.carry_out(turn)?;
            self.checkpoint_if_due()?;
            if noted.0.elapsed() >= MILESTONE_INTERVAL && noted.1 < self.journal.confirmed() {
                noted = (Instant::now(), self.journal.confirmed());
                self.note_milestone(runtime);
            }
            if is_stopping {
                if let Err(error) = self.journal.note_milestone() {
                    warn!(%error, "how far the vote journal has got cannot be noted");
                }
                return Ok(());
            }
        }
    }

    /// Lets another thread note how far the journal has got: agreement does not wait for it.
    fn note_milestone(&self, runtime: &Handle) {
        let (milestones, confirmed) = (self.journal.milestones(), self.journal.confirmed());
        runtime.spawn_blocking(move || {
            if let Some(Err(error)) = milestones.map(|milestones| milestones.note(confirmed)) {
                warn!(%error, "how far the vote journal has got cannot be noted");
            }
        });
    }

    /// Tells the engine what was held before the restart.
    fn resume(&mut self) -> anyhow::Result<()> {
        let mut turn = Turn::default();
        for reference in std::mem::take(&mut self.recovered) {
            self.tell(Input::BatchAvailable(reference), Vec::new(), &mut turn)?;
        }
        self.persist(&turn.outputs)?;
        self.publish_committing();
        self.carry_out(turn)
    }

    /// Tells everybody where the engine stands.
    fn publish_status(&self) {
        let mut status = self.engine.status();
        self.ports.status.send_modify(|published| {
            last_votes::carry_over(&published.last_voted, &mut status.last_voted, &status.validators);
            *published = status;
        });
    }

    /// Says how far this node may have helped to acknowledge. Before any Commit leaves: whoever asks after that one was
    /// counted must hear of it.
    fn publish_committing(&self) {
        let committing = self.engine.committing();
        self.ports.committing.send_if_modified(|published| {
            let is_other = committing != *published;
            *published = committing;
            is_other
        });
    }

    /// What begins the next turn. A deadline that has passed comes first: peers that never fall silent must not keep the
    /// engine from leaving a silent leader. A turn has a bound, so a deadline never waits for more than one.
    async fn next_wake(&mut self) -> Wake {
        let tick = self.engine.deadline().map(|deadline| self.clock.until(deadline));
        if tick.is_some_and(|delay| delay.is_zero()) && !self.stop.is_cancelled() {
            return Wake::Tick;
        }
        let tick = async {
            match tick {
                Some(delay) => tokio::time::sleep(delay).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Wake::Stop,
            executed = self.ports.executed.recv() => executed.map_or(Wake::Stop, Wake::Executed),
            input = self.ports.inputs.recv() => input.map_or(Wake::Stop, Wake::Input),
            () = tick => Wake::Tick,
        }
    }

    fn ready_wake(&mut self) -> Option<Wake> {
        if let Ok(executed) = self.ports.executed.try_recv() {
            return Some(Wake::Executed(executed));
        }
        self.ports.inputs.try_recv().ok().map(Wake::Input)
    }

    fn handle(&mut self, wake: Wake, turn: &mut Turn) -> anyhow::Result<()> {
        let input = match wake {
            Wake::Input(DriverInput::Message { from, message }) => {
                return self.handle_message(from, message, turn);
            }
            Wake::Input(DriverInput::Batch(batch)) => {
                let reference = batch.reference;
                if !self.pool.is_pending(&reference.digest) {
                    return Ok(());
                }
                self.append(&Entry::Batch(batch));
                Input::BatchAvailable(reference)
            }
            Wake::Input(DriverInput::VoteFrom(epoch)) => return self.vote_from(epoch),
            Wake::Input(DriverInput::Synced(block)) => return self.handle_synced(*block, turn),
            Wake::Executed(ExecutedInput { height, state_root, next_epoch }) => {
                Input::Executed { height, state_root, next_epoch: next_epoch.map(Box::new) }
            }
            Wake::Tick => Input::Tick,
            Wake::Stop => return Ok(()),
        };
        self.tell(input, Vec::new(), turn)
    }

    fn handle_message(
        &mut self,
        from: ValidatorId,
        message: Box<Message>,
        turn: &mut Turn,
    ) -> anyhow::Result<()> {
        let at_us = self.clock.monotonic_us();
        turn.receipts.extend(self.observation.heard(&from, &message).map(|receipt| (from, receipt)));
        let proposed = match &*message {
            Message::PrePrepare(proposal) => Some(proposal.vote.clone()),
            _ => None,
        };
        let earlier = turn.outputs.len();
        self.tell(Input::Message { from, message }, Vec::new(), turn)?;
        if let Some(vote) = proposed {
            let status = self.engine.status();
            let outputs = turn.outputs.get(earlier..).unwrap_or_default();
            self.observation.proposed(&vote, at_us, status.view, &status.leader, outputs);
        }
        Ok(())
    }

    /// Gives the engine an input. `brought` are batches that came with it, for the block that it may decide.
    fn tell(&mut self, input: Input, brought: Vec<Batch>, turn: &mut Turn) -> anyhow::Result<()> {
        let outputs = self.engine.handle(self.clock.now(), input);
        let mut brought = Some(brought);
        for output in &outputs {
            if let Output::Committed { header, .. } = output {
                let brought = brought.take().unwrap_or_default().into_iter();
                let brought = brought.map(|batch| Arc::new(HeldBatch::new(batch))).collect();
                let height = header.height;
                let payload = self.pool.decide(header, brought).map_err(|digest| {
                    anyhow!("batch {digest} of the decided block {height} is gone; please report this")
                })?;
                turn.payloads.insert(height, payload);
            }
        }
        turn.outputs.extend(outputs);
        Ok(())
    }

    fn append(&mut self, entry: &Entry) {
        self.journal.append(&entry.encode());
        self.is_journal_dirty = true;
    }

    /// Takes a block from a peer if it is the next one. Its batches count for nothing before the engine has found its
    /// certificate right.
    fn handle_synced(&mut self, block: CommittedBlock, turn: &mut Turn) -> anyhow::Result<()> {
        let CommittedBlock { header, certificate, batches } = block;
        if header.height != self.engine.height().next() {
            return Ok(());
        }
        let input = Input::Synced { header: Box::new(header), certificate: Box::new(certificate) };
        self.tell(input, batches, turn)
    }

    /// Lets the engine vote from an epoch on, once that is durable: a restart in between must not find less.
    fn vote_from(&mut self, epoch: Epoch) -> anyhow::Result<()> {
        let floor = self.engine.status().floor.known_from(epoch);
        self.append(&Entry::Floor(floor));
        self.persist(&[])?;
        self.engine.set_floor(floor);
        Ok(())
    }

    /// Makes everything durable that the outputs, or a batch's acceptance, promise.
    fn persist(&mut self, outputs: &[Output]) -> anyhow::Result<()> {
        for output in outputs {
            if let Output::Persist(record) = output {
                self.append(&Entry::Record(Box::new(record.clone())));
            }
        }
        if self.is_journal_dirty {
            let start = Instant::now();
            self.journal.flush().context("the vote journal cannot be written, so this node must not vote")?;
            self.is_journal_dirty = false;
            self.telemetry.journal_flush_seconds.observe(start.elapsed().as_secs_f64());
        }
        Ok(())
    }

    /// Before the flush, whether there is one or not: then all receipts measure the same. They promise nothing.
    fn send_receipts(&self, turn: &mut Turn) {
        for (to, receipt) in turn.receipts.drain(..) {
            self.send(&to, &receipt.encode());
        }
    }

    fn carry_out(&mut self, turn: Turn) -> anyhow::Result<()> {
        let Turn { outputs, mut payloads, .. } = turn;
        self.observation.enter(self.engine.validators());
        for output in outputs {
            match output {
                Output::Persist(_) => {}
                Output::Send { to, message } => self.send(&to, &message.encode().into()),
                Output::Broadcast(message) => {
                    self.broadcast(&message.encode().into());
                    self.observation.said(&message);
                }
                Output::Committed { header, certificate } => {
                    self.observation.decided(&certificate);
                    self.telemetry.committed_height.set(gauge_value(header.height.0));
                    let batches = payloads.remove(&header.height).unwrap_or_default();
                    let block = DecidedBlock { header, certificate, batches };
                    if self.ports.decided.blocking_send(block).is_err() {
                        // The executor has stopped: so does the node, for the executor's reason.
                        self.stop.cancel();
                    }
                }
                Output::FetchBatches { digests, from } => {
                    self.request(DriverRequest::FetchBatches { digests, from });
                }
                Output::FetchBlocks { last, from, .. } => {
                    self.request(DriverRequest::FetchBlocks { last, from })
                }
                Output::Evidence { first, second } => {
                    self.telemetry.evidence.inc();
                    warn!(validator = %first.validator, height = %first.content.height, "a validator voted for two blocks");
                    if self.ports.requests.blocking_send(DriverRequest::Evidence(first, second)).is_err() {
                        self.stop.cancel();
                    }
                }
                Output::Misbehaviour { peer, reason } => {
                    self.telemetry.misbehaviours.inc();
                    warn!(%peer, reason, "a peer broke the protocol");
                    self.network.report(&peer, Offence::Invalid);
                }
                Output::Event(event) => self.note(event),
                Output::Diverged { height, certified, computed } => bail!(
                    "a quorum certified state root {certified} at height {height}, but this node computed {computed}: \
                     its state is damaged; stop it, set the folders clog and kv of its data folder aside (not wal, which \
                     holds its votes) and let it sync again"
                ),
            }
        }
        Ok(())
    }

    fn broadcast(&self, frame: &Bytes) {
        let me = self.network.local_id();
        for member in self.engine.validators().members() {
            if member.validator != me {
                self.send(&member.validator, frame);
            }
        }
    }

    fn send(&self, to: &ValidatorId, frame: &Bytes) {
        if self.network.send(to, Lane::Consensus, frame.clone()).is_err() {
            self.telemetry.messages_not_sent.inc();
        }
    }

    fn request(&self, request: DriverRequest) {
        if let Err(mpsc::error::TrySendError::Closed(_)) = self.ports.requests.try_send(request) {
            self.stop.cancel();
        }
    }

    fn note(&self, event: Event) {
        match event {
            Event::ViewChangeStarted { target, reason } => {
                self.telemetry.view_changes.inc();
                info!(%target, reason, "view change");
            }
            Event::ViewEntered { view, leader } => {
                self.telemetry.view.set(gauge_value(view.0));
                info!(%view, leader = leader.short(), "entered view");
            }
            Event::EpochEntered { epoch } => {
                self.telemetry.view.set(0);
                self.telemetry.epoch.set(gauge_value(epoch.0));
                info!(%epoch, validators = self.engine.validators().len(), "entered epoch");
            }
        }
    }

    /// Drops what no longer binds from the journal, once that is worth it.
    fn checkpoint_if_due(&mut self) -> anyhow::Result<()> {
        let grown = self.journal.bytes_since_checkpoint();
        if grown < CHECKPOINT_BYTES || grown < self.pool.size().1 {
            return Ok(());
        }
        let Some(records) = self.engine.live_records() else { return Ok(()) };
        // The pool forgets a batch when its block is executed and durable, so all that may still be needed is in it.
        let batches = self.pool.all().into_iter().map(Entry::Batch);
        let status = self.engine.status();
        // The executor makes blocks durable before it executes them.
        let height = status.floor.height.max(status.executed.height);
        let floor = VoteFloor { height, ..status.floor };
        let live = [Entry::Founded(self.journal_id), Entry::Floor(floor)]
            .into_iter()
            .chain(batches)
            .chain(records.into_iter().map(Box::new).map(Entry::Record));
        self.journal
            .checkpoint(live.map(|entry| entry.encode()))
            .context("the vote journal cannot be written, so this node must not vote")?;
        // What is written about the floor later must not be lower.
        self.engine.set_floor(floor);
        Ok(())
    }
}

/// A height or count as a gauge takes it.
pub fn gauge_value(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
