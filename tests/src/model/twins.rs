//! Twins (Bano et al., arXiv 2004.10617): a correct validator that runs twice under one key is a Byzantine one.
//!
//! Four validators and a second copy of one of them go through three rounds. In each round the five nodes are divided in
//! any of the 52 possible ways, messages pass only within a group, and there Commits pass, are lost, or reach only one node,
//! or Prepares do. In each round two batches come, to the copy in the other order, so that a copy that leads proposes
//! other blocks, then views time out. Afterwards all is healed, and every correct validator has to commit again within a
//! bounded number of timeouts.
//!
//! Which of the validators is doubled, the divisions and the losses make a scenario: 4 · (52 · 4)³ = 35,995,648 of them, and
//! 4 · 52³ = 562,432 without losses. [`Space`] numbers them; nothing is random.

use std::collections::{BTreeSet, VecDeque};

use aegis_consensus::{Engine, Event, Input, Message, Output};
use aegis_types::{BatchRef, Certificate, Hash, Header, Height, ValidatorId, VoteKind};

use super::instance::{Instance, TIMEOUT_MS, now, root};
use super::judge::{Judge, vote_in};
use super::partitions::{self, Partition};

/// Validators.
const MEMBERS: u8 = 4;
/// Rounds before all is healed.
pub const ROUNDS: usize = 3;
/// Within a round, messages are sent again after this part of a timeout.
const RESEND_MS: u64 = TIMEOUT_MS / 4;
/// A healed network must commit before so many deadlines of engines have passed; the longest seen is some 60.
const HEALING_TICKS_MAX: usize = 600;
/// More deliveries than any finite exchange needs.
const DELIVERIES_MAX: usize = 200_000;

/// What happens to votes within a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// They arrive.
    Nothing,
    /// Commits are lost.
    Commits,
    /// Only the group's first node gets Commits.
    CommitsButToOne,
    /// Only the group's first node gets Prepares; proposals arrive.
    PreparesButToOne,
}

const LOSSES: [Loss; 4] = [Loss::Nothing, Loss::Commits, Loss::CommitsButToOne, Loss::PreparesButToOne];

/// One round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// The group of each of the five nodes; the last one is the copy.
    pub partition: Partition,
    /// What becomes of votes.
    pub loss: Loss,
}

/// A scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// The validator that runs twice.
    pub doubled: usize,
    /// The rounds.
    pub rounds: Vec<Round>,
}

/// All scenarios, numbered.
#[derive(Debug)]
pub struct Space {
    rounds: Vec<Round>,
}

impl Space {
    /// Every division with every loss.
    pub fn with_losses() -> Self {
        Self::of(&LOSSES)
    }

    /// Every division; what is sent within a group arrives.
    pub fn without_losses() -> Self {
        Self::of(&[Loss::Nothing])
    }

    fn of(losses: &[Loss]) -> Self {
        let divisions = partitions::all(usize::from(MEMBERS) + 1);
        let with = |partition: &Partition| {
            let partition = partition.clone();
            losses.iter().map(move |loss| Round { partition: partition.clone(), loss: *loss })
        };
        Self { rounds: divisions.iter().flat_map(with).collect() }
    }

    /// How many scenarios there are.
    pub fn size(&self) -> u64 {
        (self.rounds.len() as u64).pow(ROUNDS as u32) * u64::from(MEMBERS)
    }

    /// The scenario of a number. Consecutive numbers lie far apart, so that a few are a fair sample; each number below
    /// [`Space::size`] is another scenario.
    pub fn scenario(&self, number: u64) -> Scenario {
        /// A prime that divides neither size, so multiplication by it only changes the order.
        const STRIDE: u128 = 2_654_435_761;
        let size = self.size();
        let mut rest = (u128::from(number % size) * STRIDE % u128::from(size)) as u64;
        let doubled = (rest % u64::from(MEMBERS)) as usize;
        rest /= u64::from(MEMBERS);
        let mut rounds = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let choices = self.rounds.len() as u64;
            rounds.push(self.rounds[(rest % choices) as usize].clone());
            rest /= choices;
        }
        Scenario { doubled, rounds }
    }
}

/// What scenarios amounted to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Scenarios run.
    pub scenarios: u64,
    /// Blocks decided by correct validators.
    pub decisions: u64,
    /// Views entered by correct validators.
    pub views: u64,
    /// Messages delivered.
    pub deliveries: u64,
    /// Proofs of equivocation that correct validators found.
    pub evidence: u64,
    /// The most deadlines that a healed network needed until all had committed.
    pub healing_max: u64,
}

impl Counts {
    /// Adds another count.
    pub fn add(&mut self, other: &Self) {
        self.scenarios += other.scenarios;
        self.decisions += other.decisions;
        self.views += other.views;
        self.deliveries += other.deliveries;
        self.evidence += other.evidence;
        self.healing_max = self.healing_max.max(other.healing_max);
    }
}

#[allow(clippy::large_enum_variant, reason = "few exist at a time, and most are messages")]
enum Parcel {
    Message(usize, Message),
    Batch(BatchRef),
    Block(Box<(Header, Certificate)>),
    Executed(Height),
}

struct Node {
    member: usize,
    engine: Engine,
    held: BTreeSet<Hash>,
    log: Vec<(Header, Certificate)>,
}

struct Run<'a> {
    instance: &'a Instance,
    doubled: usize,
    nodes: Vec<Node>,
    batches: Vec<BatchRef>,
    queue: VecDeque<(usize, Parcel)>,
    round: Round,
    at_ms: u64,
    judge: Judge,
    counts: Counts,
}

/// Runs a scenario.
///
/// # Errors
/// What was broken, in words.
pub fn run(instance: &Instance, scenario: &Scenario) -> Result<Counts, String> {
    let mut run = Run::new(instance, scenario.doubled);
    for round in &scenario.rounds {
        run.live_through(round)?;
    }
    run.heal()?;
    Ok(run.counts)
}

/// The network that scenarios run on.
///
/// # Errors
/// Never, unless the engine's rules about validator sets change.
pub fn instance() -> anyhow::Result<Instance> {
    Instance::equal(MEMBERS)
}

impl<'a> Run<'a> {
    fn new(instance: &'a Instance, doubled: usize) -> Self {
        let node =
            |member| Node { member, engine: instance.engine(member), held: BTreeSet::new(), log: Vec::new() };
        let members = usize::from(MEMBERS);
        Self {
            instance,
            doubled,
            nodes: (0..members).chain([doubled]).map(node).collect(),
            batches: Vec::new(),
            queue: VecDeque::new(),
            round: Round { partition: vec![0; members + 1], loss: Loss::Nothing },
            at_ms: 0,
            judge: Judge::default(),
            counts: Counts { scenarios: 1, ..Counts::default() },
        }
    }

    fn live_through(&mut self, round: &Round) -> Result<(), String> {
        self.round = round.clone();
        self.pass(RESEND_MS)?;
        self.spread_batches()?;
        self.pass(TIMEOUT_MS)
    }

    fn heal(&mut self) -> Result<(), String> {
        self.round = Round { partition: vec![0; self.nodes.len()], loss: Loss::Nothing };
        let goal = self.judge.highest().next();
        self.spread_batches()?;
        for tick in 0..HEALING_TICKS_MAX {
            if self.correct().all(|node| self.nodes[node].engine.height() >= goal) {
                self.counts.healing_max = tick as u64;
                return Ok(());
            }
            let next = self.nodes.iter().filter_map(|node| node.engine.deadline()).min();
            let wait = next.map_or(RESEND_MS, |deadline| deadline.saturating_sub(self.at_ms));
            self.pass(wait.max(1))?;
        }
        Err(format!("not all correct validators reach height {goal} after healing"))
    }

    fn correct(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(|node| self.is_correct(*node))
    }

    fn is_correct(&self, node: usize) -> bool {
        self.nodes[node].member != self.doubled
    }

    fn pass(&mut self, wait_ms: u64) -> Result<(), String> {
        self.at_ms += wait_ms;
        for node in 0..self.nodes.len() {
            if self.nodes[node].engine.deadline().is_some_and(|deadline| deadline <= self.at_ms) {
                self.input(node, Input::Tick)?;
            }
        }
        self.deliver_all()
    }

    /// Two batches for everyone; the copy gets them the other way round.
    fn spread_batches(&mut self) -> Result<(), String> {
        let number = self.batches.len() as u64;
        let pair = [self.instance.batch(number), self.instance.batch(number + 1)];
        self.batches.extend(pair);
        let copy = self.nodes.len() - 1;
        for node in 0..self.nodes.len() {
            let order = if node == copy { [pair[1], pair[0]] } else { pair };
            for batch in order {
                self.offer(node, batch)?;
            }
        }
        self.deliver_all()
    }

    fn offer(&mut self, node: usize, batch: BatchRef) -> Result<(), String> {
        if self.nodes[node].held.insert(batch.digest) {
            self.input(node, Input::BatchAvailable(batch))?;
        }
        Ok(())
    }

    fn deliver_all(&mut self) -> Result<(), String> {
        for _ in 0..DELIVERIES_MAX {
            let Some((to, parcel)) = self.queue.pop_front() else { return Ok(()) };
            self.counts.deliveries += 1;
            match parcel {
                Parcel::Message(from, message) => {
                    let from = self.instance.id(self.nodes[from].member);
                    self.input(to, Input::Message { from, message: Box::new(message) })?;
                }
                Parcel::Batch(batch) => self.offer(to, batch)?,
                Parcel::Block(block) => {
                    let (header, certificate) = *block;
                    let (header, certificate) = (Box::new(header), Box::new(certificate));
                    self.input(to, Input::Synced { header, certificate })?;
                }
                Parcel::Executed(height) => {
                    let state_root = root(height);
                    self.input(to, Input::Executed { height, state_root, next_epoch: None })?;
                }
            }
        }
        Err("the nodes talk without end".to_owned())
    }

    fn input(&mut self, node: usize, input: Input) -> Result<(), String> {
        for output in self.nodes[node].engine.handle(now(self.at_ms), input) {
            if self.is_correct(node) {
                let doubled = self.instance.id(self.doubled);
                self.judge.observe(node, &output, |validator| *validator != doubled)?;
                self.count(&output);
            }
            self.carry_out(node, output);
        }
        Ok(())
    }

    fn count(&mut self, output: &Output) {
        match output {
            Output::Committed { .. } => self.counts.decisions += 1,
            Output::Evidence { .. } => self.counts.evidence += 1,
            Output::Event(Event::ViewEntered { .. }) => self.counts.views += 1,
            Output::Persist(_)
            | Output::Send { .. }
            | Output::Broadcast(_)
            | Output::FetchBatches { .. }
            | Output::FetchBlocks { .. }
            | Output::Misbehaviour { .. }
            | Output::Event(_)
            | Output::Diverged { .. } => {}
        }
    }

    fn carry_out(&mut self, node: usize, output: Output) {
        match output {
            Output::Broadcast(message) => {
                for to in 0..self.nodes.len() {
                    self.send(node, to, &message);
                }
            }
            Output::Send { to, message } => {
                for to in self.copies_of(&to) {
                    self.send(node, to, &message);
                }
            }
            Output::Committed { header, certificate } => {
                let height = header.height;
                self.nodes[node].log.push((header, certificate));
                self.queue.push_back((node, Parcel::Executed(height)));
            }
            Output::FetchBatches { digests, from } => {
                for other in self.sources(&from, node) {
                    let held = &self.nodes[other].held;
                    let found = self
                        .batches
                        .iter()
                        .filter(|batch| digests.contains(&batch.digest) && held.contains(&batch.digest));
                    let parcels: Vec<Parcel> = found.map(|batch| Parcel::Batch(*batch)).collect();
                    self.queue.extend(parcels.into_iter().map(|parcel| (node, parcel)));
                }
            }
            Output::FetchBlocks { first, last, from } => {
                for other in self.sources(&from, node) {
                    let blocks = self.nodes[other].log.iter().cloned();
                    let wanted = blocks.filter(|(header, _)| header.height >= first && header.height <= last);
                    self.queue.extend(wanted.map(|block| (node, Parcel::Block(Box::new(block)))));
                }
            }
            Output::Persist(_)
            | Output::Evidence { .. }
            | Output::Misbehaviour { .. }
            | Output::Event(_)
            | Output::Diverged { .. } => {}
        }
    }

    fn copies_of(&self, validator: &ValidatorId) -> Vec<usize> {
        let member = self.instance.index_of(validator);
        (0..self.nodes.len()).filter(|node| Some(self.nodes[*node].member) == member).collect()
    }

    /// The copies of a validator that can answer a node at once.
    fn sources(&self, validator: &ValidatorId, node: usize) -> Vec<usize> {
        self.copies_of(validator).into_iter().filter(|other| self.hears(*other, node)).collect()
    }

    /// Whether what one node sends reaches another; a copy does not hear its twin, whose name is its own.
    fn hears(&self, from: usize, to: usize) -> bool {
        let Round { partition, .. } = &self.round;
        partition[from] == partition[to] && self.nodes[from].member != self.nodes[to].member
    }

    fn send(&mut self, from: usize, to: usize, message: &Message) {
        if !self.hears(from, to) {
            return;
        }
        let kind = vote_in(message).map(|vote| vote.content.kind);
        let is_prepare = kind == Some(VoteKind::Prepare) && !matches!(message, Message::PrePrepare(_));
        let is_commit = kind == Some(VoteKind::Commit);
        let group = self.round.partition[to];
        let is_first = self.round.partition.iter().position(|other| *other == group) == Some(to);
        let is_lost = match self.round.loss {
            Loss::Nothing => false,
            Loss::Commits => is_commit,
            Loss::CommitsButToOne => is_commit && !is_first,
            Loss::PreparesButToOne => is_prepare && !is_first,
        };
        if !is_lost {
            self.queue.push_back((to, Parcel::Message(from, message.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_number_is_another_scenario() {
        let space = Space::without_losses();
        assert_eq!(space.size(), 562_432);
        assert_eq!(Space::with_losses().size(), 35_995_648);
        let seen: BTreeSet<String> =
            (0..2_000).map(|number| format!("{:?}", space.scenario(number))).collect();
        assert_eq!(seen.len(), 2_000);
    }

    #[test]
    fn the_same_scenario_ends_the_same_and_without_a_violation() {
        let instance = instance().unwrap();
        let space = Space::with_losses();
        let mut counts = Counts::default();
        for number in 0..25 {
            let scenario = space.scenario(number);
            let first = run(&instance, &scenario);
            assert_eq!(first, run(&instance, &scenario));
            counts.add(&first.unwrap());
        }
        assert!(counts.views > 0 && counts.evidence > 0 && counts.decisions > 0, "{counts:?}");
    }
}
