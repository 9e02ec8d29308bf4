//! A running node: the driver around an engine, in the shape of the real one.
//!
//! Inputs are handled one after the other, and what they make durable is flushed together (group commit); messages,
//! acknowledgements and execution wait for the flush. The driver also keeps the batches: it seals its clients' proposals,
//! pushes its batches until they are ordered, offers each batch to the engine once and never one that is ordered already,
//! and asks around for blocks when it is no validator or stands still.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use aegis_consensus::{Engine, Input, Message, Now, Output, Record};
use aegis_types::{Batch, CommittedBlock, Hash, Height, Keypair, Proposal, ProposalBody, ValidatorId};

use super::application::{Application, Effect};
use super::clock::{MILLI, Micros};
use super::disk::Disk;
use super::invariants::Observation;
use super::packet::Packet;
use super::rng::Rng;
use super::scenario::{NodeIndex, Scenario};

/// Time between two rounds of the driver's chores; proposals wait at most so long for their batch.
const CHORES_EVERY: Micros = 50 * MILLI;
/// An own batch that is not ordered is pushed again after this time.
const PUSH_AGAIN_AFTER: Micros = 1_000 * MILLI;
/// A node that is no validator, or stands still, asks for blocks so often.
const POLL_EVERY: Micros = 400 * MILLI;
/// A validator stands still when it has committed nothing for so many view timeouts.
const STILL_AFTER_TIMEOUTS: u64 = 10;
/// Most blocks in an answer.
const BLOCKS_PER_ANSWER: usize = 16;

/// Work that arrived and is not handled yet.
#[derive(Debug, Clone)]
pub enum Work {
    /// A packet from another node.
    Packet(NodeIndex, Packet),
    /// A proposal of a client.
    Proposal(Box<Proposal>),
}

/// A running node.
pub struct Process {
    node: NodeIndex,
    scenario: Rc<Scenario>,
    keypair: Keypair,
    engine: Engine,
    application: Application,
    rng: Rng,
    /// Every batch on the disk, flushed or not.
    batches: BTreeMap<Hash, Rc<Batch>>,
    /// Batches in decided blocks.
    ordered: BTreeSet<Hash>,
    /// Batches that the engine knows to be available.
    offered: BTreeSet<Hash>,
    /// Own batches that are not ordered, and when each was last pushed.
    own: BTreeMap<Hash, Micros>,
    mempool: Vec<Proposal>,
    sequence: u64,
    inbox: VecDeque<Work>,
    /// What waits for the flush.
    outbox: Vec<(NodeIndex, Packet)>,
    unacknowledged: Vec<Rc<CommittedBlock>>,
    unexecuted: VecDeque<Rc<CommittedBlock>>,
    observations: Vec<Observation>,
    chores_at: Micros,
    poll_at: Micros,
    committed_at: Micros,
}

impl Process {
    /// A process over what is durable on the disk. `incarnation` counts the node's starts.
    pub fn start(
        node: NodeIndex,
        scenario: &Rc<Scenario>,
        booted: super::boot::Booted,
        disk: &Disk,
        incarnation: u64,
        at: Micros,
        rng: Rng,
    ) -> Self {
        let keypair = scenario.keypairs[node].clone();
        let super::boot::Booted { engine, application, executed, unexecuted, ordered } = booted;
        let batches: BTreeMap<Hash, Rc<Batch>> =
            disk.batches.durable().iter().map(|batch| (batch.digest(), batch.clone())).collect();
        let me = keypair.validator_id();
        let own = batches
            .iter()
            .filter(|(digest, batch)| batch.author == me && !ordered.contains(*digest))
            .map(|(digest, _)| (*digest, 0))
            .collect();
        Self {
            node,
            scenario: scenario.clone(),
            keypair,
            engine,
            application,
            rng,
            batches,
            ordered,
            offered: BTreeSet::new(),
            own,
            mempool: Vec::new(),
            sequence: incarnation << 32,
            inbox: VecDeque::new(),
            outbox: Vec::new(),
            unacknowledged: Vec::new(),
            unexecuted,
            observations: executed
                .into_iter()
                .map(|executed| Observation::Executed { node, executed })
                .collect(),
            chores_at: at,
            poll_at: at,
            committed_at: at,
        }
    }

    /// The engine, to look at.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Takes work in; nothing happens before [`Process::work`].
    pub fn accept(&mut self, work: Work) {
        self.inbox.push_back(work);
    }

    /// Offers the engine what the disk holds; the first thing after a start.
    pub fn offer_all(&mut self, now: Now, at: Micros, disk: &mut Disk) {
        let waiting: Vec<Hash> =
            self.batches.keys().filter(|digest| !self.ordered.contains(*digest)).copied().collect();
        for digest in waiting {
            self.offer(digest, now, at, disk);
        }
    }

    /// Handles everything that has arrived, and whatever is due.
    pub fn work(&mut self, now: Now, at: Micros, disk: &mut Disk) {
        while let Some(work) = self.inbox.pop_front() {
            match work {
                Work::Packet(from, packet) => self.on_packet(from, packet, now, at, disk),
                Work::Proposal(proposal) => self.mempool.push(*proposal),
            }
        }
        if at >= self.chores_at {
            self.chores_at = at + CHORES_EVERY;
            self.seal_batch(now, at, disk);
            self.push_batches(at);
            self.poll(at);
        }
        if self.engine.deadline().is_some_and(|deadline| now.monotonic_ms >= deadline) {
            self.input(Input::Tick, now, at, disk);
        }
    }

    /// What may leave once everything is durable.
    pub fn take_outbox(&mut self) -> Vec<(NodeIndex, Packet)> {
        std::mem::take(&mut self.outbox)
    }

    /// What happened since the last call.
    pub fn take_observations(&mut self) -> Vec<Observation> {
        std::mem::take(&mut self.observations)
    }

    /// Acknowledges and hands to execution what has become durable.
    pub fn on_flushed(&mut self) {
        let node = self.node;
        for block in std::mem::take(&mut self.unacknowledged) {
            let (height, digest) = (block.header.height, block.header.digest());
            self.observations.push(Observation::Decided { node, block: block.clone() });
            self.observations.push(Observation::Acknowledged { node, height, digest });
            self.unexecuted.push_back(block);
        }
    }

    /// Whether a durable block waits to be executed.
    pub fn has_unexecuted(&self) -> bool {
        !self.unexecuted.is_empty()
    }

    /// Executes the next block.
    pub fn execute(&mut self, now: Now, at: Micros, disk: &mut Disk) {
        let Some(block) = self.unexecuted.pop_front() else { return };
        let executed = match self.application.apply(&block) {
            Ok(executed) => Rc::new(executed),
            Err(error) => return self.broken(format!("a decided block cannot be executed: {error}")),
        };
        self.observations.push(Observation::Executed { node: self.node, executed: executed.clone() });
        for receipt in executed.receipts.iter().filter(|receipt| receipt.effect == Effect::Opened) {
            self.propose(ProposalBody::ProposalVote { proposal: receipt.id, approve: true });
        }
        let input = Input::Executed {
            height: executed.height,
            state_root: executed.state_root,
            next_epoch: executed.next_epoch.clone().map(Box::new),
        };
        self.input(input, now, at, disk);
    }

    /// The next time at which there is something to do without any input; `when` turns the engine's clock into virtual time.
    pub fn wake_at(&self, when: impl Fn(u64) -> Micros) -> Micros {
        self.engine.deadline().map_or(self.chores_at, |deadline| when(deadline).min(self.chores_at))
    }

    /// The records that the journal must keep.
    pub fn live_records(&self) -> Option<Vec<Vec<u8>>> {
        Some(self.engine.live_records()?.iter().map(Record::encode).collect())
    }

    /// Batches that this node holds and that are not ordered.
    pub fn waiting_batches(&self) -> impl Iterator<Item = Hash> + '_ {
        self.batches.keys().filter(|digest| !self.ordered.contains(*digest)).copied()
    }

    /// Whether a batch is ordered, as far as this node knows.
    pub fn has_ordered(&self, digest: &Hash) -> bool {
        self.ordered.contains(digest)
    }

    fn on_packet(&mut self, from: NodeIndex, packet: Packet, now: Now, at: Micros, disk: &mut Disk) {
        match packet {
            Packet::Consensus(bytes) => match Message::decode(&bytes) {
                Ok(message) => {
                    let from = self.scenario.validator(from);
                    self.input(Input::Message { from, message: Box::new(message) }, now, at, disk);
                }
                Err(error) => self.broken(format!("a message of node {from} cannot be decoded: {error}")),
            },
            Packet::Batch(batch) => {
                let digest = batch.digest();
                self.store(digest, batch, disk);
                self.offer(digest, now, at, disk);
            }
            Packet::FetchBatches(digests) => {
                let held: Vec<Rc<Batch>> =
                    digests.iter().filter_map(|digest| self.batches.get(digest).cloned()).collect();
                self.outbox.extend(held.into_iter().map(|batch| (from, Packet::Batch(batch))));
            }
            Packet::FetchBlocks { first, last } => {
                let log = disk.log.durable();
                let first = (first.0.max(1) as usize - 1).min(log.len());
                let last = (last.0 as usize).min(log.len()).min(first + BLOCKS_PER_ANSWER).max(first);
                if first < last {
                    self.outbox.push((from, Packet::Blocks(log[first..last].into())));
                }
            }
            Packet::Blocks(blocks) => {
                for block in blocks.iter() {
                    self.on_block(block, now, at, disk);
                }
            }
        }
    }

    fn on_block(&mut self, block: &Rc<CommittedBlock>, now: Now, at: Micros, disk: &mut Disk) {
        if block.header.height <= self.engine.height() || block.check_consistency().is_err() {
            return;
        }
        for batch in &block.batches {
            self.store(batch.digest(), Rc::new(batch.clone()), disk);
        }
        let (header, certificate) = (Box::new(block.header.clone()), Box::new(block.certificate.clone()));
        self.input(Input::Synced { header, certificate }, now, at, disk);
    }

    fn store(&mut self, digest: Hash, batch: Rc<Batch>, disk: &mut Disk) {
        if let std::collections::btree_map::Entry::Vacant(entry) = self.batches.entry(digest) {
            entry.insert(batch.clone());
            disk.batches.append(batch);
        }
    }

    fn offer(&mut self, digest: Hash, now: Now, at: Micros, disk: &mut Disk) {
        if !self.ordered.contains(&digest)
            && let Some(batch) = self.batches.get(&digest)
            && self.offered.insert(digest)
        {
            let reference = batch.reference();
            self.input(Input::BatchAvailable(reference), now, at, disk);
        }
    }

    fn input(&mut self, input: Input, now: Now, at: Micros, disk: &mut Disk) {
        let mut missing = Vec::new();
        for output in self.engine.handle(now, input) {
            missing.extend(self.carry_out(output, at, disk));
        }
        // Batches that came with blocks may be held without the engine's knowledge.
        for digest in missing {
            self.offer(digest, now, at, disk);
        }
    }

    /// Carries out an output; returns digests that the engine wants and that this node may hold already.
    fn carry_out(&mut self, output: Output, at: Micros, disk: &mut Disk) -> Vec<Hash> {
        let node = self.node;
        match output {
            Output::Persist(record) => {
                disk.journal.append(record.encode());
                if let Record::Prepared { vote, .. } | Record::Committing { vote, .. } = record {
                    self.observations.push(Observation::Signed { node, vote: Box::new(vote) });
                }
            }
            Output::Send { to, message } => self.send(&to, Packet::Consensus(message.encode().into())),
            Output::Broadcast(message) => self.broadcast(&Packet::Consensus(message.encode().into())),
            Output::Committed { header, certificate } => {
                let held = header.batches.iter().filter_map(|named| self.batches.get(&named.digest));
                let batches = held.map(|batch| (**batch).clone()).collect();
                let block = Rc::new(CommittedBlock { header, certificate, batches });
                for named in &block.header.batches {
                    self.ordered.insert(named.digest);
                    self.own.remove(&named.digest);
                }
                disk.log.append(block.clone());
                self.committed_at = at;
                self.unacknowledged.push(block);
            }
            Output::FetchBatches { digests, from } => {
                let (held, missing): (Vec<Hash>, Vec<Hash>) =
                    digests.into_iter().partition(|digest| self.batches.contains_key(digest));
                if !missing.is_empty() {
                    self.send(&from, Packet::FetchBatches(missing.into()));
                }
                return held;
            }
            Output::FetchBlocks { first, last, from } => {
                self.send(&from, Packet::FetchBlocks { first, last });
            }
            Output::Evidence { first, second } => {
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

    fn propose(&mut self, body: ProposalBody) {
        let expires_at_ms = super::clock::GENESIS_UNIX_MS + 50 * 60 * 1_000;
        let key = format!("own {}", Hash::of("aegis simulator own proposal", &body.encode()));
        let key = &key[..key.len().min(60)];
        match Proposal::sign(body, expires_at_ms, key, &self.keypair, &self.scenario.domain()) {
            Ok(proposal) => {
                self.observations.push(Observation::Submitted { proposal: proposal.id() });
                self.mempool.push(proposal);
            }
            Err(error) => self.broken(format!("its own proposal is malformed: {error}")),
        }
    }

    fn seal_batch(&mut self, now: Now, at: Micros, disk: &mut Disk) {
        if self.mempool.is_empty() {
            return;
        }
        self.sequence += 1;
        let proposals = std::mem::take(&mut self.mempool);
        let batch =
            Rc::new(Batch { author: self.keypair.validator_id(), sequence: self.sequence, proposals });
        let digest = batch.digest();
        self.store(digest, batch, disk);
        self.own.insert(digest, 0);
        self.offer(digest, now, at, disk);
    }

    fn push_batches(&mut self, at: Micros) {
        let mut due = Vec::new();
        for (digest, pushed) in &mut self.own {
            if *pushed == 0 || at >= *pushed + PUSH_AGAIN_AFTER {
                *pushed = at.max(1);
                due.push(*digest);
            }
        }
        for batch in due.iter().filter_map(|digest| self.batches.get(digest)).cloned().collect::<Vec<_>>() {
            self.broadcast(&Packet::Batch(batch));
        }
    }

    fn poll(&mut self, at: Micros) {
        let status = self.engine.status();
        let timeout = self.scenario.genesis.parameters.get(aegis_types::Parameter::ViewTimeoutMs) * MILLI;
        let stands_still = at >= self.committed_at + STILL_AFTER_TIMEOUTS * timeout;
        if at < self.poll_at || (status.is_member && !stands_still) {
            return;
        }
        self.poll_at = at + POLL_EVERY;
        let others: Vec<NodeIndex> =
            (0..self.scenario.keypairs.len()).filter(|other| *other != self.node).collect();
        if let Some(other) = self.rng.pick(&others) {
            let first = self.engine.height().next();
            let last = Height(first.0 + BLOCKS_PER_ANSWER as u64);
            self.outbox.push((other, Packet::FetchBlocks { first, last }));
        }
    }

    fn send(&mut self, to: &ValidatorId, packet: Packet) {
        if let Some(to) = self.scenario.node_of(to) {
            self.outbox.push((to, packet));
        }
    }

    fn broadcast(&mut self, packet: &Packet) {
        let members: Vec<ValidatorId> =
            self.engine.validators().members().iter().map(|member| member.validator).collect();
        let me = self.keypair.validator_id();
        for member in members.iter().filter(|member| **member != me) {
            self.send(member, packet.clone());
        }
    }

    fn broken(&mut self, reason: String) {
        self.observations.push(Observation::Broken { node: self.node, reason });
    }
}
