//! A chain of one ledger over a state in memory, for scenarios.
#![allow(dead_code)]

use std::collections::BTreeMap;

use aegis_ledger::{Applied, Change, Entry, Ledger, LedgerError, Outcome, StateError, StateReader};
use aegis_types::{
    Batch, BlockKind, Certificate, CommittedBlock, Epoch, Executed, Genesis, Hash, Header, Keypair, Member,
    Parameter, Parameters, Proposal, ProposalBody, ProposalId, Signature, ValidatorId, ValidatorSet, View,
    Vote, VoteContent, VoteKind, Weight,
};

pub const SECOND: u64 = 1_000;
pub const HOUR: u64 = 3_600 * SECOND;
pub const DAY: u64 = 24 * HOUR;
pub const START: u64 = 1_800_000_000_000;

/// The entries of agreed state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryState(pub BTreeMap<Vec<u8>, Vec<u8>>);

impl MemoryState {
    pub fn write(&mut self, changes: &[Change]) {
        for change in changes {
            match &change.value {
                Some(value) => self.0.insert(change.key.clone(), value.clone()),
                None => self.0.remove(&change.key),
            };
        }
    }

    pub fn count(&self, prefix: &[u8]) -> usize {
        self.0.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix)).count()
    }
}

impl StateReader for MemoryState {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.0.get(key).cloned())
    }

    fn next(&self, from: &[u8]) -> Result<Option<Entry>, StateError> {
        Ok(self.0.range(from.to_vec()..).next().map(|(key, value)| (key.clone(), value.clone())))
    }
}

/// The key pair of validator or account `n`.
pub fn keypair(n: u8) -> Keypair {
    Keypair::from_seed(&[n; 32])
}

pub fn validator(n: u8) -> ValidatorId {
    keypair(n).validator_id()
}

pub fn genesis(weights: &[u64], parameters: &[(Parameter, u64)]) -> Genesis {
    let members = (1..)
        .zip(weights)
        .map(|(n, weight)| Member { validator: validator(n), weight: Weight(*weight) })
        .collect();
    let mut chosen = Parameters::default();
    for (parameter, value) in parameters {
        chosen.set(*parameter, *value).expect("the scenario's parameters are in range");
    }
    Genesis {
        chain: "aegis-test".parse().expect("a valid chain id"),
        timestamp_ms: START,
        validators: ValidatorSet::new(Epoch::ZERO, members).expect("the scenario's set is valid"),
        parameters: chosen,
    }
}

/// A chain; validators are the key pairs 1, 2, ..., in the order of the weights given.
#[derive(Clone)]
pub struct Chain {
    pub genesis: Genesis,
    pub ledger: Ledger,
    pub state: MemoryState,
    pub now: u64,
    serial: u64,
}

impl Chain {
    pub fn new(weights: &[u64]) -> Self {
        Self::with_parameters(weights, &[])
    }

    pub fn with_parameters(weights: &[u64], parameters: &[(Parameter, u64)]) -> Self {
        let genesis = genesis(weights, parameters);
        let (ledger, changes) = Ledger::genesis(&genesis).expect("a genesis is valid");
        let mut state = MemoryState::default();
        state.write(&changes);
        Self { genesis, ledger, state, now: START, serial: 0 }
    }

    /// A proposal of account `n` under a key of its own, which expires in half an hour.
    pub fn proposal(&mut self, n: u8, body: ProposalBody) -> Proposal {
        self.serial += 1;
        envelope(n, body, &format!("key {}", self.serial), self.now + HOUR / 2)
    }

    /// The block that would come next.
    pub fn next_block(&self, kind: BlockKind, timestamp_ms: u64, proposals: Vec<Proposal>) -> CommittedBlock {
        let batches: Vec<Batch> = if proposals.is_empty() {
            Vec::new()
        } else {
            vec![Batch { author: validator(1), sequence: 0, proposals }]
        };
        self.next_block_of(kind, timestamp_ms, batches)
    }

    pub fn next_block_of(&self, kind: BlockKind, timestamp_ms: u64, batches: Vec<Batch>) -> CommittedBlock {
        let header = Header {
            epoch: self.ledger.epoch(),
            height: self.ledger.height().next(),
            timestamp_ms,
            parent: Hash::ZERO,
            proposer: validator(1),
            batches: batches.iter().map(Batch::reference).collect(),
            executed: Executed::default(),
            validators_hash: self.ledger.validators().hash(),
            kind,
        };
        let content = VoteContent {
            kind: VoteKind::Commit,
            epoch: header.epoch,
            view: View::ZERO,
            height: header.height,
            digest: header.digest(),
        };
        CommittedBlock { header, certificate: Certificate { content, signatures: Vec::new() }, batches }
    }

    pub fn apply(&mut self, block: &CommittedBlock) -> Result<Applied, LedgerError> {
        let applied = self.ledger.apply(&self.state, block)?;
        self.now = block.header.timestamp_ms;
        self.state.write(&applied.changes);
        assert_eq!(applied.state_root, self.ledger.root());
        Ok(applied)
    }

    /// Executes a normal block one second after the last.
    pub fn block(&mut self, proposals: Vec<Proposal>) -> Applied {
        self.block_at(self.now + SECOND, proposals)
    }

    pub fn block_at(&mut self, timestamp_ms: u64, proposals: Vec<Proposal>) -> Applied {
        let block = self.next_block(BlockKind::Normal, timestamp_ms, proposals);
        self.apply(&block).expect("the block fits")
    }

    /// Executes a closing block and its handover; yields what the closing block did.
    pub fn end_epoch(&mut self, proposals: Vec<Proposal>) -> Applied {
        let closing = self.next_block(BlockKind::Closing, self.now + SECOND, proposals);
        let closed = self.apply(&closing).expect("the block fits");
        let next = closed.next_epoch.as_ref().expect("a closing block yields the next epoch");
        let kind = BlockKind::Handover { next_validators_hash: next.validators.hash() };
        let handover = self.next_block(kind, self.now + SECOND, Vec::new());
        self.apply(&handover).expect("the handover fits");
        closed
    }

    /// Executes one proposal in a block of its own.
    pub fn submit(&mut self, n: u8, body: ProposalBody) -> (ProposalId, Outcome) {
        let proposal = self.proposal(n, body);
        let receipt = self.block(vec![proposal]).receipts.remove(0);
        (receipt.id, receipt.outcome)
    }

    /// Opens a vote as account `n`.
    pub fn open(&mut self, n: u8, body: ProposalBody) -> ProposalId {
        let (id, outcome) = self.submit(n, body);
        assert!(matches!(outcome, Outcome::Opened { .. }), "{outcome:?}");
        id
    }

    pub fn vote(&mut self, n: u8, proposal: ProposalId, approve: bool) -> Outcome {
        self.submit(n, ProposalBody::ProposalVote { proposal, approve }).1
    }

    /// Opens a vote and lets validators 1 to `voters` say yes.
    pub fn pass(&mut self, voters: u8, body: ProposalBody) -> ProposalId {
        let id = self.open(1, body);
        for n in 1..=voters {
            self.vote(n, id, true);
        }
        id
    }

    pub fn reopened(&self) -> Ledger {
        Ledger::open(&self.genesis, &self.state).expect("the state is whole")
    }
}

/// A proposal as the ledger sees it; it does not look at the signature.
pub fn envelope(n: u8, body: ProposalBody, key: &str, expires_at_ms: u64) -> Proposal {
    Proposal {
        account: keypair(n).account_id(),
        body,
        expires_at_ms,
        idempotency_key: key.to_owned(),
        signature: Signature([0; 64]),
    }
}

pub fn put(key: &str, value: &str) -> ProposalBody {
    ProposalBody::KvPut { key: key.to_owned(), value: value.into() }
}

pub fn delete(key: &str) -> ProposalBody {
    ProposalBody::KvDelete { key: key.to_owned() }
}

pub fn cas(key: &str, expected_version: u64, value: &str) -> ProposalBody {
    ProposalBody::KvCas { key: key.to_owned(), expected_version, value: value.into() }
}

pub fn text(title: &str) -> ProposalBody {
    ProposalBody::Text { title: title.to_owned(), text: "so be it".to_owned() }
}

pub fn set(parameter: Parameter, value: u64) -> ProposalBody {
    ProposalBody::ParamSet { name: parameter.name().to_owned(), value: value.to_string() }
}

pub fn add(n: u8, weight: u64) -> ProposalBody {
    ProposalBody::ValidatorAdd { validator: validator(n), weight: Weight(weight) }
}

pub fn remove(n: u8) -> ProposalBody {
    ProposalBody::ValidatorRemove { validator: validator(n) }
}

/// Two commit votes of validator `n` for two blocks of one height.
pub fn equivocation(chain: &Chain, n: u8, epoch: Epoch) -> ProposalBody {
    let domain = chain.genesis.domain();
    let vote = |digest: u8| {
        let content = VoteContent {
            kind: VoteKind::Commit,
            epoch,
            view: View(3),
            height: aegis_types::Height(7),
            digest: Hash([digest; 32]),
        };
        Box::new(Vote::sign(content, &keypair(n), &domain))
    };
    ProposalBody::Evidence { first: vote(1), second: vote(2) }
}

/// The code of a rejection.
pub fn code(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Rejected { code, .. } => code.name(),
        other => panic!("not a rejection: {other:?}"),
    }
}

impl Chain {
    /// Opens a vote and lets the first three validators say yes in the same block.
    pub fn pass_in_one_block(&mut self, body: ProposalBody) -> ProposalId {
        let opening = self.proposal(1, body);
        let id = opening.id();
        let mut proposals = vec![opening];
        for n in 1..=3 {
            proposals.push(self.proposal(n, ProposalBody::ProposalVote { proposal: id, approve: true }));
        }
        self.block(proposals);
        id
    }
}
