//! A chain of blocks for tests. Its certificates have no signatures: execution does not look at them.

use std::collections::BTreeMap;
use std::sync::Arc;

use aegis_store::{KvStore, MemoryKv};
use aegis_types::{
    Batch, BlockKind, Certificate, CommittedBlock, Epoch, Executed, Genesis, Hash, Header, Height, Keypair,
    Member, Parameters, Proposal, ProposalBody, ValidatorSet, View, Vote, VoteContent, VoteKind, Weight,
};

use super::executor::Execution;
use super::recovery::start_over;

/// A network of one validator, which is the author of everything.
pub struct Chain {
    pub key: Keypair,
    pub genesis: Genesis,
    pub blocks: Vec<CommittedBlock>,
    /// The state roots after blocks, where a test keeps them.
    pub roots: BTreeMap<Height, Hash>,
}

impl Chain {
    pub fn new() -> Self {
        let key = Keypair::from_seed(&[1; 32]);
        let member = Member { validator: key.validator_id(), weight: Weight(1) };
        let genesis = Genesis {
            chain: "test".parse().unwrap(),
            timestamp_ms: 1_000,
            validators: ValidatorSet::new(Epoch(0), vec![member]).unwrap(),
            parameters: Parameters::default(),
        };
        Self { key, genesis, blocks: Vec::new(), roots: BTreeMap::new() }
    }

    /// A state at the genesis, in memory.
    pub fn execution(&self) -> Execution {
        let kv: Arc<dyn KvStore> = Arc::new(MemoryKv::new());
        start_over(&kv, &self.genesis).unwrap()
    }

    /// Agreed time of the newest block.
    pub fn now_ms(&self) -> u64 {
        self.blocks.last().map_or(self.genesis.timestamp_ms, |block| block.header.timestamp_ms)
    }

    /// A proposal that expires a minute after the newest block.
    pub fn proposal(&self, body: ProposalBody) -> Proposal {
        let key = format!("key-{}", self.blocks.len());
        Proposal::sign(body, self.now_ms() + 60_000, key, &self.key, &self.genesis.domain()).unwrap()
    }

    /// The next block, `after_ms` after the newest; one batch with all proposals, if there are any.
    pub fn add(&mut self, after_ms: u64, proposals: Vec<Proposal>) -> CommittedBlock {
        let height = Height(self.blocks.len() as u64 + 1);
        let author = self.key.validator_id();
        let batch = Batch { author, sequence: height.0, proposals };
        let batches = if batch.proposals.is_empty() { Vec::new() } else { vec![batch] };
        let parent = self.blocks.last().map(|block| block.certificate.content.digest);
        let header = Header {
            epoch: Epoch(0),
            height,
            timestamp_ms: self.now_ms() + after_ms,
            parent: parent.unwrap_or_else(|| self.genesis.hash()),
            proposer: author,
            batches: batches.iter().map(Batch::reference).collect(),
            executed: Executed::default(),
            validators_hash: self.genesis.validators.hash(),
            kind: BlockKind::Normal,
        };
        let block = certify(header, batches);
        self.blocks.push(block.clone());
        block
    }

    /// The next block as validators decide it: its header names the state that was executed last, and its certificate is
    /// signed. It is executed.
    pub fn decide(&mut self, execution: &mut Execution, proposals: Vec<Proposal>) -> CommittedBlock {
        let mut block = self.add(10, proposals);
        block.header.executed = execution.standing.executed;
        let mut block = certify(block.header, block.batches);
        let vote = Vote::sign(block.certificate.content, &self.key, &self.genesis.domain());
        block.certificate.signatures = vec![(0, vote.signature)];
        self.blocks.pop();
        self.blocks.push(block.clone());
        execution.execute(&block).unwrap();
        block
    }

    /// Puts another header in the place of the newest block's.
    pub fn replace_newest(&mut self, block: CommittedBlock) -> CommittedBlock {
        let block = certify(block.header, block.batches);
        self.blocks.pop();
        self.blocks.push(block.clone());
        block
    }
}

fn certify(header: Header, batches: Vec<Batch>) -> CommittedBlock {
    let (height, digest) = (header.height, header.digest());
    let content = VoteContent { kind: VoteKind::Commit, epoch: Epoch(0), view: View::ZERO, height, digest };
    CommittedBlock { header, certificate: Certificate { content, signatures: Vec::new() }, batches }
}

/// Sets a key.
pub fn put(key: &str) -> ProposalBody {
    ProposalBody::KvPut { key: key.to_owned(), value: b"value".to_vec() }
}

/// The digest of a block's one batch.
pub fn batch_digest(block: &CommittedBlock) -> Hash {
    block.header.batches[0].digest
}
