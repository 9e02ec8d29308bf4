//! Engines that agree in one process, without network, disk or execution: what agreement itself costs.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use aegis_consensus::{Engine, EpochContext, Input, Message, Now, Output, Start, Tip, VoteFloor};
use aegis_types::{
    BatchRef, Epoch, Genesis, Hash, Height, Keypair, Member, Parameter, ValidatorId, ValidatorSet, Weight,
};

use crate::sim::scenario::parameters_with;

/// When all of it happens; only differences matter.
const GENESIS_MS: u64 = 1_800_000_000_000;

/// A network of engines, and what they have cost so far.
pub struct Engines {
    ids: Vec<ValidatorId>,
    engines: Vec<Engine>,
    now_ms: u64,
    batches: u64,
    /// Time spent in engines.
    pub spent: Duration,
    /// Messages that were delivered, each receiver counted.
    pub delivered: u64,
    /// Messages that were made, whoever they went to.
    pub sent: u64,
    /// Journal records.
    pub records: u64,
    /// The messages of the newest block, one of each.
    pub messages: Vec<Message>,
}

impl Engines {
    /// Validators of equal weight at genesis.
    ///
    /// # Panics
    /// When there is none.
    pub fn new(validators: usize) -> Self {
        let key = |index: usize| Keypair::from_seed(&Hash::of("bench engines 1", &index.to_be_bytes()).0);
        let keys: Vec<Keypair> = (0..validators).map(key).collect();
        let member = |key: &Keypair| Member { validator: key.validator_id(), weight: Weight(1) };
        let validators = ValidatorSet::new(Epoch::ZERO, keys.iter().map(member).collect());
        let genesis = Genesis {
            chain: "bench".parse().expect("a name"),
            timestamp_ms: GENESIS_MS,
            validators: validators.expect("equal weights are always valid"),
            parameters: parameters_with(&[(Parameter::EpochLengthMs, 3_600_000)]),
        };
        let start = |keypair: &Keypair| Start {
            domain: genesis.domain(),
            keypair: keypair.clone(),
            epoch: EpochContext::genesis(&genesis),
            origin: (Height::ZERO, genesis.hash()),
            next_epoch: None,
            tip: Tip::genesis(&genesis),
            roots: BTreeMap::from([(Height::ZERO, root(Height::ZERO))]),
            records: Vec::new(),
            floor: VoteFloor::NONE,
            now: Now { monotonic_ms: 0, unix_ms: GENESIS_MS },
        };
        Self {
            ids: keys.iter().map(Keypair::validator_id).collect(),
            engines: keys.iter().map(|key| Engine::recover(start(key))).collect(),
            now_ms: 0,
            batches: 0,
            spent: Duration::ZERO,
            delivered: 0,
            sent: 0,
            records: 0,
            messages: Vec::new(),
        }
    }

    /// Lets them agree on a block with one batch.
    ///
    /// # Panics
    /// When not all commit it.
    pub fn commit_block(&mut self) {
        self.now_ms += 1;
        self.batches += 1;
        self.messages.clear();
        let batch = BatchRef {
            digest: Hash::of("bench batch 1", &self.batches.to_be_bytes()),
            author: self.ids[0],
            proposals: 1,
            bytes: 1_000,
        };
        let mut queue: VecDeque<(usize, Input)> =
            (0..self.engines.len()).map(|index| (index, Input::BatchAvailable(batch))).collect();
        while let Some((index, input)) = queue.pop_front() {
            self.step(index, input, &mut queue);
        }
        let height = Height(self.batches);
        assert!(self.engines.iter().all(|engine| engine.height() == height), "all commit block {height}");
    }

    fn step(&mut self, index: usize, input: Input, queue: &mut VecDeque<(usize, Input)>) {
        let now = Now { monotonic_ms: self.now_ms, unix_ms: GENESIS_MS + self.now_ms };
        let begun = Instant::now();
        let outputs = self.engines[index].handle(now, input);
        self.spent += begun.elapsed();
        for output in outputs {
            match output {
                Output::Broadcast(message) => {
                    self.sent += 1;
                    for other in (0..self.engines.len()).filter(|other| *other != index) {
                        self.deliver(index, other, message.clone(), queue);
                    }
                    self.messages.push(message);
                }
                Output::Send { to, message } => {
                    self.sent += 1;
                    if let Some(other) = self.ids.iter().position(|id| *id == to) {
                        self.deliver(index, other, message, queue);
                    }
                }
                Output::Committed { header, .. } => {
                    let height = header.height;
                    let executed = Input::Executed { height, state_root: root(height), next_epoch: None };
                    queue.push_back((index, executed));
                }
                Output::Persist(_) => self.records += 1,
                _ => {}
            }
        }
    }

    fn deliver(&mut self, from: usize, to: usize, message: Message, queue: &mut VecDeque<(usize, Input)>) {
        self.delivered += 1;
        queue.push_back((to, Input::Message { from: self.ids[from], message: Box::new(message) }));
    }
}

fn root(height: Height) -> Hash {
    Hash::of("bench state root 1", &height.0.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_commit_block_after_block_with_the_protocols_messages() {
        let mut engines = Engines::new(4);
        for _ in 0..5 {
            engines.commit_block();
        }
        // A PrePrepare, three Prepares and four Commits.
        assert_eq!((engines.messages.len(), engines.sent, engines.delivered), (8, 5 * 8, 5 * 8 * 3));
        assert!(engines.spent > Duration::ZERO && engines.records >= 5 * 8);
    }
}
