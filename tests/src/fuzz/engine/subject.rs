//! The engine under test with what its driver keeps: journal, committed log, execution.

use std::collections::BTreeMap;

use aegis_consensus::{
    Engine, EpochContext, Input, Message, NextEpoch, Now, Output, Record, Start, Tip, VoteFloor,
};
use aegis_types::{BlockKind, Certificate, Epoch, Header, Height, ValidatorId, View};

use super::network::{GENESIS_MS, Network, root};
use super::watch::{Watch, check_bounds, check_decided};

/// Different batches that a script can name.
pub const BATCHES: u64 = 12;

/// Messages of the engine that are kept to be sent back to it, changed or not.
const SENT_MAX: usize = 64;

/// Ticks at one time: the end of a view, a resend, and one to spare.
const TICKS_MAX: usize = 3;

/// An engine and its driver.
#[derive(Debug)]
pub struct Subject {
    /// The members around it.
    pub network: Network,
    /// The position of its key.
    pub me: usize,
    /// The engine.
    pub engine: Engine,
    /// Its clocks.
    pub now: Now,
    /// What it decided.
    pub log: Vec<(Header, Certificate)>,
    /// The highest height that was executed.
    pub executed: Height,
    /// Headers that were proposed by anyone.
    pub headers: Vec<Header>,
    /// Some of what it sent.
    pub sent: Vec<Message>,
    /// How often it was restarted.
    pub restarts: usize,
    journal: Vec<Record>,
    watch: Watch,
}

impl Subject {
    /// A fresh engine.
    pub fn new(network: Network, me: usize) -> Self {
        let me = me % network.keys.len();
        let now = Now { monotonic_ms: 0, unix_ms: GENESIS_MS };
        let engine = Engine::recover(start(&network, me, &[], Vec::new(), now));
        Self {
            network,
            me,
            engine,
            now,
            log: Vec::new(),
            executed: Height::ZERO,
            headers: Vec::new(),
            sent: Vec::new(),
            restarts: 0,
            journal: Vec::new(),
            watch: Watch::default(),
        }
    }

    /// The epoch that the engine is in.
    pub fn epoch(&self) -> Epoch {
        self.engine.validators().epoch()
    }

    /// The view that the engine is in.
    pub fn view(&self) -> View {
        self.engine.status().view
    }

    /// The newest decided header.
    pub fn tip(&self) -> Option<&Header> {
        self.log.last().map(|(header, _)| header)
    }

    /// Hands the engine a message.
    pub fn receive(&mut self, from: ValidatorId, message: Message) {
        self.input(Input::Message { from, message: Box::new(message) });
    }

    /// Hands the engine an input and carries out what it wants done.
    ///
    /// # Panics
    /// When the engine breaks a rule.
    pub fn input(&mut self, input: Input) {
        let me = self.network.id(self.me);
        for output in self.engine.handle(self.now, input) {
            self.watch.observe(&self.network, me, &output);
            match output {
                Output::Persist(record) => self.journal.push(record),
                Output::Committed { header, certificate } => {
                    check_decided(&self.network, &self.log, &header, &certificate);
                    self.log.push((header, certificate));
                }
                Output::Broadcast(message) | Output::Send { message, .. } => self.keep(message),
                Output::FetchBatches { .. }
                | Output::FetchBlocks { .. }
                | Output::Evidence { .. }
                | Output::Misbehaviour { .. }
                | Output::Event(_)
                | Output::Diverged { .. } => {}
            }
        }
        let batches = usize::try_from(BATCHES).expect("a small number");
        check_bounds(&self.engine.status(), self.network.keys.len(), batches);
    }

    fn keep(&mut self, message: Message) {
        if let Message::PrePrepare(message) = &message {
            self.know(message.header.clone());
        }
        if self.sent.len() < SENT_MAX {
            self.sent.push(message);
        }
    }

    /// Remembers a header for later choices.
    pub fn know(&mut self, header: Header) {
        if self.headers.len() < SENT_MAX {
            self.headers.push(header);
        }
    }

    /// Ticks until nothing is due at this time.
    ///
    /// # Panics
    /// When that does not end: the driver would never come to rest.
    pub fn tick(&mut self) {
        let now = self.now.monotonic_ms;
        for _ in 0..TICKS_MAX {
            self.input(Input::Tick);
            if self.engine.deadline().is_none_or(|deadline| deadline > now) {
                return;
            }
        }
        panic!("after {TICKS_MAX} ticks at {now} one is due at {:?}", self.engine.deadline());
    }

    /// Executes the next decided block.
    pub fn execute(&mut self) {
        let next = self.executed.next();
        let Some((header, _)) = self.log.iter().find(|(header, _)| header.height == next) else { return };
        let next_epoch = next_epoch(&self.network, header).map(Box::new);
        self.executed = next;
        self.input(Input::Executed { height: next, state_root: root(next), next_epoch });
    }

    /// Stops the process and starts it again from what is durable: the log as far as it is executed, and the journal.
    pub fn crash(&mut self) {
        self.restarts += 1;
        let executed = self.executed;
        self.log.retain(|(header, _)| header.height <= executed);
        let start = start(&self.network, self.me, &self.log, self.journal.clone(), self.now);
        self.engine = Engine::recover(start);
        let _ = (self.engine.deadline(), self.engine.live_records());
    }

    /// Replaces the journal by the records that still bind.
    pub fn shorten_journal(&mut self) {
        if let Some(records) = self.engine.live_records() {
            self.journal = records;
        }
    }
}

fn next_epoch(network: &Network, header: &Header) -> Option<NextEpoch> {
    (header.kind == BlockKind::Closing).then(|| NextEpoch {
        validators: network.set(header.epoch.next()),
        parameters: network.genesis.parameters.clone(),
    })
}

/// What an engine starts from: a log that is executed to its end, and a journal.
fn start(
    network: &Network,
    me: usize,
    log: &[(Header, Certificate)],
    records: Vec<Record>,
    now: Now,
) -> Start {
    let mut start = Start {
        domain: network.domain.clone(),
        keypair: network.keys[me].clone(),
        epoch: EpochContext::genesis(&network.genesis),
        origin: (Height::ZERO, network.genesis.hash()),
        next_epoch: None,
        tip: Tip::genesis(&network.genesis),
        roots: BTreeMap::from([(Height::ZERO, root(Height::ZERO))]),
        records,
        floor: VoteFloor::NONE,
        now,
    };
    for (header, certificate) in log {
        start.roots.insert(header.height, root(header.height));
        if let (BlockKind::Handover { .. }, Some(next)) = (header.kind, start.next_epoch.take()) {
            let NextEpoch { validators, parameters } = next;
            start.epoch = EpochContext { validators, parameters, start_ms: header.timestamp_ms };
            start.origin = (header.height, header.digest());
        }
        start.next_epoch = next_epoch(network, header);
        start.tip = Tip::of(header.clone(), certificate.clone());
    }
    start
}
