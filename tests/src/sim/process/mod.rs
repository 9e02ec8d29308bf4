//! A running node: the driver around an engine and the executor behind it, in the shape of the real ones.
//!
//! Inputs are handled one after the other, and what they make durable is flushed together (group commit); messages and
//! decided blocks wait for the flush. The executor then writes blocks to the committed log, flushes that, acknowledges and
//! executes them. The driver also keeps the batches (see `pool`): it seals its clients' proposals, pushes its batches until
//! they are ordered, offers each batch to the engine once and never one that is ordered already, and asks around for
//! blocks when it is no validator or stands still.

mod incoming;

use std::collections::VecDeque;
use std::rc::Rc;

use aegis_consensus::{Engine, Input, Now, Output, Record, ViewChange};
use aegis_store::StoreError;
use aegis_types::{
    AccountId, Batch, Canonical, Certificate, CommittedBlock, Domain, Hash, Header, Height, Keypair,
    Proposal, ProposalBody, ValidatorId,
};

use crate::sim::application::{Application, Effect};
use crate::sim::boot::Booted;
use crate::sim::clock::{MILLI, Micros};
use crate::sim::disk::OpenDisk;
use crate::sim::held_batch::HeldBatch;
use crate::sim::invariants::Observation;
use crate::sim::journal_entry::{of_batch, of_record};
use crate::sim::packet::Packet;
use crate::sim::pool::{Pool, Source};
use crate::sim::rng::Rng;
use crate::sim::scenario::{NodeIndex, Scenario};

/// Time between two rounds of the driver's chores; proposals wait at most so long for their batch.
const CHORES_EVERY: Micros = 50 * MILLI;
/// A node that is no validator, or stands still, asks for blocks so often.
const POLL_EVERY: Micros = 400 * MILLI;
/// A validator stands still when it has committed nothing for so many view timeouts.
const STILL_AFTER_TIMEOUTS: u64 = 10;
/// Most blocks in an answer.
const BLOCKS_PER_ANSWER: u64 = 16;
/// Work that waits for a process; the real node's network drops what is more.
const INBOX_MAX: usize = 4_096;
/// Decided blocks that share one flush of the committed log.
const BLOCKS_PER_FLUSH: usize = 4;

/// Work that arrived and is not handled yet.
#[derive(Debug, Clone)]
pub enum Work {
    /// A packet from another node.
    Packet(NodeIndex, Packet),
    /// A proposal of a client.
    Proposal(Box<Proposal>),
}

/// The time, as a process sees it.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// What its clocks show.
    pub now: Now,
    /// Virtual time.
    pub at: Micros,
}

/// A running node.
pub struct Process {
    node: NodeIndex,
    scenario: Rc<Scenario>,
    domain: Domain,
    keypair: Keypair,
    engine: Engine,
    application: Application,
    disk: OpenDisk,
    rng: Rng,
    pool: Pool,
    mempool: Vec<Proposal>,
    sequence: u64,
    inbox: VecDeque<Work>,
    /// Whether the journal has entries that are not flushed.
    is_dirty: bool,
    /// What waits for the flush of the journal.
    outbox: Vec<(NodeIndex, Packet)>,
    decided: Vec<(Header, Certificate)>,
    /// What waits for the executor.
    to_execute: VecDeque<(Header, Certificate)>,
    observations: Vec<Observation>,
    chores_at: Micros,
    poll_at: Micros,
    committed_at: Micros,
}

impl Process {
    /// A process over what its disk holds. `incarnation` counts the node's starts.
    pub fn start(
        node: NodeIndex,
        scenario: &Rc<Scenario>,
        booted: Booted,
        incarnation: u64,
        moment: Moment,
        rng: Rng,
    ) -> Self {
        let Booted { engine, application, executed, batches, disk, .. } = booted;
        let keypair = scenario.keypairs[node].clone();
        let pool = Pool::new(keypair.validator_id(), application.standing().ordered.clone());
        let at = moment.at;
        let observe = |executed| Observation::Executed { node, executed: Rc::new(executed) };
        let mut process = Self {
            node,
            scenario: scenario.clone(),
            domain: scenario.domain(),
            keypair,
            engine,
            application,
            disk,
            rng,
            pool,
            mempool: Vec::new(),
            sequence: incarnation << 32,
            inbox: VecDeque::new(),
            is_dirty: false,
            outbox: Vec::new(),
            decided: Vec::new(),
            to_execute: VecDeque::new(),
            observations: executed.into_iter().map(observe).collect(),
            chores_at: at,
            poll_at: at,
            committed_at: at,
        };
        // All are in the journal: the engine, told of the first, may vote for a block that names the last.
        let digests: Vec<Hash> = batches.iter().map(|batch| batch.reference.digest).collect();
        for batch in batches {
            process.pool.insert(Rc::new(batch), Source::Spread);
        }
        let offered: Vec<Rc<HeldBatch>> =
            digests.iter().filter_map(|digest| process.pool.offer(digest)).collect();
        for batch in offered {
            process.input(Input::BatchAvailable(batch.reference), moment);
        }
        process
    }

    /// The engine, to look at.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The agreed state, which outlives the process.
    pub fn into_application(self) -> Application {
        self.application
    }

    /// The agreed state, to look at.
    pub fn application(&self) -> &Application {
        &self.application
    }

    /// The batches, to look at.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Keeps an account's batches from the engine, as a Byzantine node may.
    pub fn censor(&mut self, account: AccountId) {
        self.pool.censor(account);
    }

    /// Takes work in; nothing happens before [`Process::work`].
    pub fn accept(&mut self, work: Work) {
        if self.inbox.len() < INBOX_MAX {
            self.inbox.push_back(work);
        }
    }

    /// Adds a proposal of this node to its next batch.
    pub fn propose(&mut self, body: ProposalBody) {
        let expires_at_ms = crate::sim::clock::GENESIS_UNIX_MS + 50 * 60 * 1_000;
        let key = format!("own {}", Hash::of("aegis simulator own proposal", &body.encode()));
        let key = &key[..key.len().min(60)];
        match Proposal::sign(body, expires_at_ms, key, &self.keypair, &self.domain) {
            Ok(proposal) => {
                self.observations.push(Observation::Submitted { proposal: proposal.id() });
                self.mempool.push(proposal);
            }
            Err(error) => self.broken(format!("its own proposal is malformed: {error}")),
        }
    }

    /// Handles everything that has arrived, and whatever is due.
    pub fn work(&mut self, moment: Moment) {
        while let Some(work) = self.inbox.pop_front() {
            match work {
                Work::Packet(from, packet) => self.on_packet(from, packet, moment),
                Work::Proposal(proposal) => self.mempool.push(*proposal),
            }
        }
        if moment.at >= self.chores_at {
            self.chores_at = moment.at + CHORES_EVERY;
            self.seal_batch(moment);
            for batch in self.pool.due_for_push(moment.at) {
                self.broadcast(&Packet::Batch(batch));
            }
            self.poll(moment.at);
        }
        if self.engine.deadline().is_some_and(|deadline| moment.now.monotonic_ms >= deadline) {
            self.input(Input::Tick, moment);
        }
    }

    /// Whether the journal has something to flush.
    pub fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// Makes the journal durable.
    ///
    /// # Errors
    /// When the disk fails: the process must end.
    pub fn flush_journal(&mut self) -> Result<(), StoreError> {
        self.is_dirty = false;
        self.disk.journal.flush()
    }

    /// Everything that was promised is durable: returns what may leave, and hands decided blocks to the executor.
    pub fn release(&mut self) -> Vec<(NodeIndex, Packet)> {
        for block in std::mem::take(&mut self.decided) {
            let decided = Observation::Decided { node: self.node, block: Rc::new(block.clone()) };
            self.observations.push(decided);
            self.to_execute.push_back(block);
        }
        std::mem::take(&mut self.outbox)
    }

    /// At times, when nothing waits for a flush, shortens the journal to what still binds the validator.
    ///
    /// # Errors
    /// When the disk fails: the process must end.
    pub fn checkpoint(&mut self) -> Result<(), StoreError> {
        let is_due = self.disk.journal.bytes_since_checkpoint() > self.scenario.checkpoint_bytes;
        if self.is_dirty || !is_due {
            return Ok(());
        }
        let Some(records) = self.engine.live_records() else { return Ok(()) };
        let batches = self.pool.held().map(|batch| of_batch(batch));
        let live: Vec<Vec<u8>> = batches.chain(records.iter().map(of_record)).collect();
        self.disk.journal.checkpoint(live.iter().map(Vec::as_slice))
    }

    /// What happened since the last call.
    pub fn take_observations(&mut self) -> Vec<Observation> {
        std::mem::take(&mut self.observations)
    }

    /// Whether a decided block waits to be executed.
    pub fn has_unexecuted(&self) -> bool {
        !self.to_execute.is_empty()
    }

    /// Writes the next blocks to the committed log, acknowledges and executes them.
    ///
    /// # Errors
    /// When the disk fails: the process must end.
    pub fn execute(&mut self, moment: Moment) -> Result<(), StoreError> {
        let count = self.to_execute.len().min(BLOCKS_PER_FLUSH);
        let blocks: Vec<(Header, Certificate)> = self.to_execute.drain(..count).collect();
        let blocks: Vec<Rc<CommittedBlock>> = blocks.into_iter().map(|block| self.assemble(block)).collect();
        for block in &blocks {
            self.disk.log.append(block.header.height, &block.encode())?;
        }
        self.disk.log.flush()?;
        for block in blocks {
            self.execute_block(&block, moment);
        }
        Ok(())
    }

    /// The next time at which there is something to do without any input; `when` turns the engine's clock into virtual time.
    pub fn wake_at(&self, when: impl Fn(u64) -> Micros) -> Micros {
        self.engine.deadline().map_or(self.chores_at, |deadline| when(deadline).min(self.chores_at))
    }

    fn assemble(&self, (header, certificate): (Header, Certificate)) -> Rc<CommittedBlock> {
        let batches = header.batches.iter().filter_map(|named| self.pool.get(&named.digest));
        let batches = batches.map(|batch| batch.batch.clone()).collect();
        Rc::new(CommittedBlock { header, certificate, batches })
    }

    fn execute_block(&mut self, block: &Rc<CommittedBlock>, moment: Moment) {
        let node = self.node;
        let (height, digest) = (block.header.height, block.header.digest());
        self.observations.push(Observation::Acknowledged { node, height, digest, block: block.clone() });
        let executed = match self.application.apply(block) {
            Ok(executed) => Rc::new(executed),
            Err(error) => return self.broken(format!("a decided block cannot be executed: {error}")),
        };
        self.pool.forget(&block.header);
        self.observations.push(Observation::Executed { node, executed: executed.clone() });
        for receipt in executed.receipts.iter().filter(|receipt| receipt.effect == Effect::Opened) {
            if self.scenario.approves(&receipt.account) {
                self.propose(ProposalBody::ProposalVote { proposal: receipt.id, approve: true });
            }
        }
        let input = Input::Executed {
            height: executed.height,
            state_root: executed.state_root,
            next_epoch: executed.next_epoch.clone().map(Box::new),
        };
        self.input(input, moment);
    }

    /// Tells the engine of a batch, once; what the engine knows of becomes durable with the next flush.
    fn offer(&mut self, digest: Hash, moment: Moment) {
        if let Some(batch) = self.pool.offer(&digest) {
            self.disk.journal.append(&of_batch(&batch));
            self.is_dirty = true;
            self.input(Input::BatchAvailable(batch.reference), moment);
        }
    }

    fn input(&mut self, input: Input, moment: Moment) {
        let mut missing = Vec::new();
        for output in self.engine.handle(moment.now, input) {
            missing.extend(self.carry_out(output, moment.at));
        }
        // Batches that this node censors or that came with blocks may be held without the engine's knowledge.
        for digest in missing {
            self.pool.stop_censoring(&digest);
            self.offer(digest, moment);
        }
    }

    /// Carries out an output; returns digests that the engine wants and that this node may hold already.
    fn carry_out(&mut self, output: Output, at: Micros) -> Vec<Hash> {
        let node = self.node;
        match output {
            Output::Persist(record) => {
                self.disk.journal.append(&of_record(&record));
                self.is_dirty = true;
                self.observe_promise(record);
            }
            Output::Send { to, message } => self.send(&to, &Packet::of(&message)),
            Output::Broadcast(message) => self.broadcast(&Packet::of(&message)),
            Output::Committed { header, certificate } => {
                self.pool.decide(&header);
                self.committed_at = at;
                self.decided.push((header, certificate));
            }
            Output::FetchBatches { digests, from } => {
                let (held, missing): (Vec<Hash>, Vec<Hash>) =
                    digests.into_iter().partition(|digest| self.pool.get(digest).is_some());
                self.pool.want_named(&missing);
                if !missing.is_empty() {
                    self.send(&from, &Packet::FetchBatches(missing.into()));
                }
                return held;
            }
            Output::FetchBlocks { first, last, from } => {
                self.send(&from, &Packet::FetchBlocks { first, last });
            }
            Output::Evidence { first, second } => {
                let (peer, epoch) = (first.validator, first.content.epoch);
                self.observations.push(Observation::Evidence { node, peer, epoch });
                self.propose(ProposalBody::Evidence { first, second });
            }
            Output::Misbehaviour { peer, reason } => {
                self.observations.push(Observation::Accused { node, peer, reason });
            }
            Output::Event(event) => self.observations.push(Observation::Milestone { node, event }),
            Output::Diverged { height, .. } => {
                self.observations.push(Observation::Diverged { node, height });
            }
        }
        Vec::new()
    }

    fn observe_promise(&mut self, record: Record) {
        let node = self.node;
        let observation = match record {
            Record::Prepared { header, vote } | Record::Committing { header, vote, .. } => {
                let is_missing = |digest: &Hash| !self.pool.is_offered(digest);
                let missing = header.batches.iter().filter(|batch| is_missing(&batch.digest)).count();
                Observation::Signed { node, vote: Box::new(vote), parent: header.parent, missing }
            }
            Record::ViewChange(ViewChange { epoch, view, .. }) => Observation::Wished { node, epoch, view },
            Record::NewView(proof) => Observation::Entered { node, proof: Rc::new(proof) },
        };
        self.observations.push(observation);
    }

    fn seal_batch(&mut self, moment: Moment) {
        if self.mempool.is_empty() {
            return;
        }
        self.sequence += 1;
        let proposals = std::mem::take(&mut self.mempool);
        let batch = Batch { author: self.keypair.validator_id(), sequence: self.sequence, proposals };
        let batch = HeldBatch::new(batch);
        let digest = batch.reference.digest;
        self.pool.insert(Rc::new(batch), Source::Own);
        self.offer(digest, moment);
    }

    fn poll(&mut self, at: Micros) {
        if at < self.poll_at {
            return;
        }
        let timeout = self.scenario.genesis.parameters.get(aegis_types::Parameter::ViewTimeoutMs) * MILLI;
        let stands_still = at >= self.committed_at + STILL_AFTER_TIMEOUTS * timeout;
        let is_member = self.engine.validators().contains(&self.keypair.validator_id());
        if is_member && !stands_still {
            return;
        }
        self.poll_at = at + POLL_EVERY;
        let others: Vec<NodeIndex> =
            (0..self.scenario.keypairs.len()).filter(|other| *other != self.node).collect();
        if let Some(other) = self.rng.pick(&others) {
            let first = self.engine.height().next();
            let last = Height(first.0 + BLOCKS_PER_ANSWER);
            self.outbox.push((other, Packet::FetchBlocks { first, last }));
        }
    }

    /// To every node that has the key: a twin receives what its sibling does.
    fn send(&mut self, to: &ValidatorId, packet: &Packet) {
        for to in self.scenario.nodes_of(to) {
            if *to != self.node {
                self.outbox.push((*to, packet.clone()));
            }
        }
    }

    fn broadcast(&mut self, packet: &Packet) {
        let me = self.keypair.validator_id();
        let scenario = self.scenario.clone();
        for member in self.engine.validators().members() {
            if member.validator != me {
                let to = scenario.nodes_of(&member.validator).iter();
                self.outbox.extend(to.map(|to| (*to, packet.clone())));
            }
        }
    }

    fn broken(&mut self, reason: String) {
        self.observations.push(Observation::Broken { node: self.node, reason });
    }
}
