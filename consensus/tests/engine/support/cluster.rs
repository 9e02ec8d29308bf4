//! Whole small networks with a seeded order of events: a source of realistic histories.

use aegis_consensus::{Engine, EpochContext, Input, Message, NextEpoch, Output, Record, Start, Tip};
use aegis_types::{
    BlockKind, Certificate, Epoch, Hash, Header, Height, Parameter, ValidatorId, ValidatorSet,
};

use super::{Net, batch, now, root};

/// Numbers from a seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Rng(pub u64);

impl Rng {
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.draw() % bound as u64) as usize
    }
}

pub type Block = (Header, Certificate);

/// A point at which the driver of a node could have shortened its journal.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// How many outputs came before.
    pub position: usize,
    pub records: Vec<Record>,
    pub executed: Height,
}

/// A validator and all that it ever did.
pub struct Member {
    pub engine: Engine,
    pub history: Vec<Output>,
    /// The executed height after each output.
    pub executed_at: Vec<Height>,
    pub log: Vec<Block>,
    pub executed: Height,
    pub checkpoints: Vec<Checkpoint>,
}

pub struct Cluster {
    pub net: Net,
    pub members: Vec<Member>,
    /// Every message that was ever sent, with its sender.
    pub sent: Vec<(usize, Message)>,
    in_flight: Vec<(usize, usize, Message)>,
    rng: Rng,
    at_ms: u64,
    batches: u64,
}

/// The epoch after the one that a closing block ends: the same members.
pub fn next_epoch(net: &Net, header: &Header) -> Option<NextEpoch> {
    (header.kind == BlockKind::Closing).then(|| NextEpoch {
        validators: ValidatorSet::new(header.epoch.next(), net.set().members().to_vec()).unwrap(),
        parameters: net.genesis.parameters.clone(),
    })
}

/// What a validator restarts from: a committed log that is executed to its end, and a journal.
pub fn start_from(net: &Net, index: usize, log: &[Block], records: Vec<Record>, at_ms: u64) -> Start {
    let mut start = net.start(index, records);
    start.now = now(at_ms);
    for (header, certificate) in log {
        start.roots.insert(header.height, root(header.height));
        if let BlockKind::Handover { .. } = header.kind
            && let Some(NextEpoch { validators, parameters }) = start.next_epoch.take()
        {
            start.epoch = EpochContext { validators, parameters, start_ms: header.timestamp_ms };
            start.origin = (header.height, header.digest());
        }
        if header.kind == BlockKind::Closing {
            start.next_epoch = next_epoch(net, header);
        }
        start.tip = Tip::of(header.clone(), certificate.clone());
    }
    start
}

impl Cluster {
    /// A network with short epochs, so that runs cross some.
    pub fn new(weights: &[u64], seed: u64) -> Self {
        let mut net = Net::weighted(weights);
        net.genesis.parameters.set(Parameter::EpochLengthMs, 3_000).unwrap();
        net.domain = net.genesis.domain();
        let member = |index| Member {
            engine: net.engine(index),
            history: Vec::new(),
            executed_at: Vec::new(),
            log: Vec::new(),
            executed: Height::ZERO,
            checkpoints: Vec::new(),
        };
        let members = (0..weights.len()).map(member).collect();
        Self { net, members, sent: Vec::new(), in_flight: Vec::new(), rng: Rng(seed), at_ms: 10, batches: 0 }
    }

    pub fn epoch(&self) -> Epoch {
        self.members.iter().map(|member| member.engine.validators().epoch()).max().unwrap()
    }

    pub fn at_ms(&self) -> u64 {
        self.at_ms
    }

    pub fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
        }
    }

    fn step(&mut self) {
        let index = self.rng.below(self.members.len());
        match self.rng.below(100) {
            0..=69 => self.deliver(),
            70..=75 => self.lose(),
            76..=79 => self.spread_batch(),
            80..=93 => self.execute(index),
            _ => self.let_time_pass(),
        }
    }

    fn deliver(&mut self) {
        if self.in_flight.is_empty() {
            return;
        }
        let chosen = self.rng.below(self.in_flight.len().min(40));
        let (from, to, message) = self.in_flight.remove(chosen);
        let from = self.net.id(from);
        self.input(to, Input::Message { from, message: Box::new(message) });
    }

    fn lose(&mut self) {
        if !self.in_flight.is_empty() {
            let chosen = self.rng.below(self.in_flight.len());
            self.in_flight.swap_remove(chosen);
        }
    }

    fn spread_batch(&mut self) {
        self.batches += 1;
        let author = self.net.id(self.rng.below(self.members.len()));
        let reference = batch(author, self.batches);
        for index in 0..self.members.len() {
            self.input(index, Input::BatchAvailable(reference));
        }
    }

    fn execute(&mut self, index: usize) {
        let member = &mut self.members[index];
        let height = member.executed.next();
        let Some((header, _)) = member.log.get(member.executed.0 as usize) else { return };
        let next_epoch = next_epoch(&self.net, header).map(Box::new);
        member.executed = height;
        self.input(index, Input::Executed { height, state_root: root(height), next_epoch });
    }

    fn let_time_pass(&mut self) {
        self.at_ms += 60;
        if self.rng.below(40) == 0 {
            // An outage that is longer than a view's timeout.
            self.in_flight.clear();
            self.at_ms += 1_500;
        }
        for index in 0..self.members.len() {
            if self.members[index].engine.deadline().is_some_and(|deadline| deadline <= self.at_ms) {
                self.input(index, Input::Tick);
            }
        }
    }

    fn input(&mut self, index: usize, input: Input) {
        let time = now(self.at_ms);
        let outputs = self.members[index].engine.handle(time, input);
        for output in &outputs {
            let member = &mut self.members[index];
            member.history.push(output.clone());
            member.executed_at.push(member.executed);
            match output {
                Output::Broadcast(message) => {
                    for to in self.net.others(&[index]) {
                        self.in_flight.push((index, to, message.clone()));
                    }
                    self.sent.push((index, message.clone()));
                }
                Output::Send { to, message } => {
                    let to = self.index_of(to);
                    self.in_flight.push((index, to, message.clone()));
                    self.sent.push((index, message.clone()));
                }
                Output::Committed { header, certificate } => {
                    member.log.push((header.clone(), certificate.clone()));
                }
                _ => {}
            }
        }
        let member = &mut self.members[index];
        if let Some(records) = member.engine.live_records() {
            let (position, executed) = (member.history.len(), member.executed);
            member.checkpoints.push(Checkpoint { position, records, executed });
        }
        for output in outputs {
            self.answer(index, output);
        }
    }

    fn answer(&mut self, index: usize, output: Output) {
        match output {
            Output::FetchBlocks { first, last, from } => {
                let from = self.index_of(&from);
                let blocks: Vec<Block> = self.members[from]
                    .log
                    .iter()
                    .filter(|(header, _)| header.height >= first && header.height <= last)
                    .cloned()
                    .collect();
                for (header, certificate) in blocks {
                    let input =
                        Input::Synced { header: Box::new(header), certificate: Box::new(certificate) };
                    self.input(index, input);
                }
            }
            Output::Misbehaviour { peer, reason } => panic!("{index} accuses {peer:?}: {reason}"),
            Output::Evidence { first, second } => panic!("{index} has evidence {first:?} {second:?}"),
            Output::Diverged { height, .. } => panic!("{index} diverged at {height}"),
            Output::Persist(_)
            | Output::Send { .. }
            | Output::Broadcast(_)
            | Output::Committed { .. }
            | Output::FetchBatches { .. }
            | Output::Event(_) => {}
        }
    }

    fn index_of(&self, validator: &ValidatorId) -> usize {
        self.net.set().index_of(validator).unwrap()
    }

    /// The digests that were decided at each height; panics when two members disagree.
    pub fn decided(&self) -> Vec<Hash> {
        let longest = self.members.iter().max_by_key(|member| member.log.len()).unwrap();
        let digests: Vec<Hash> = longest.log.iter().map(|(header, _)| header.digest()).collect();
        for member in &self.members {
            for ((header, certificate), digest) in member.log.iter().zip(&digests) {
                assert_eq!((header.digest(), certificate.content.digest), (*digest, *digest));
            }
        }
        digests
    }
}
