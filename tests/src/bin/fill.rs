//! Writes the data folder of a network of one validator that has ordered many keys, for measurements of sync.
//!
//! The blocks are what the validator would have decided: signed proposals, headers that name executed states, signed
//! certificates. Only the time it would have taken to order them is saved.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use aegis_config::GenesisFile;
use aegis_ledger::{Ledger, StateError, StateReader};
use aegis_store::{CommittedLog, DataDir, Journal, KvStore, MemoryKv, Op, SegmentOptions, Table};
use aegis_types::{
    Batch, BlockKind, Canonical, Certificate, CommittedBlock, Executed, Genesis, Hash, Header, Height,
    Keypair, Proposal, ProposalBody, View, Vote, VoteContent, VoteKind,
};
use anyhow::{Context as _, ensure};
use clap::Parser;

/// Tag of the journal's entry with its name, as the node writes it.
const FOUNDED: u8 = 3;
const JOURNAL_ID: [u8; 16] = [1; 16];
/// Agreed time between two blocks.
const BLOCK_MS: u64 = 10;
const LIFETIME_MS: u64 = 60_000;

/// Fills the home of a network's only validator with blocks that set keys.
#[derive(Debug, Parser)]
#[command(name = "fill")]
struct Arguments {
    /// The home, with a genesis and without data.
    #[arg(long)]
    home: PathBuf,
    /// The node's secret key, as `aegis keys export --secret` prints it.
    #[arg(long)]
    secret: String,
    /// Keys to set.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// Bytes of each value.
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    /// Proposals in a batch.
    #[arg(long, default_value_t = 2_000)]
    batch: u64,
    /// Batches in a block.
    #[arg(long, default_value_t = 2)]
    batches: u64,
}

struct State(MemoryKv);

impl StateReader for State {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.0.get(Table::State, key).map_err(|error| StateError(error.to_string()))
    }

    fn next(&self, from: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, StateError> {
        let mut found = None;
        let mut visit = |key: &[u8], value: &[u8]| {
            found = Some((key.to_vec(), value.to_vec()));
            ControlFlow::Break(())
        };
        self.0.scan(Table::State, from, &mut visit).map_err(|error| StateError(error.to_string()))?;
        Ok(found)
    }
}

/// The chain as far as it is made.
struct Chain {
    genesis: Genesis,
    key: Keypair,
    ledger: Ledger,
    state: State,
    executed: Executed,
    parent: Hash,
    timestamp_ms: u64,
    sequence: u64,
}

impl Chain {
    fn begin(genesis: Genesis, key: Keypair) -> anyhow::Result<Self> {
        let (ledger, changes) = Ledger::genesis(&genesis)?;
        let executed = Executed { height: Height::ZERO, state_root: ledger.root() };
        let (parent, timestamp_ms) = (genesis.hash(), genesis.timestamp_ms);
        let state = State(MemoryKv::new());
        let chain = Self { genesis, key, ledger, state, executed, parent, timestamp_ms, sequence: 0 };
        chain.write(changes)?;
        Ok(chain)
    }

    fn write(&self, changes: Vec<aegis_ledger::Change>) -> anyhow::Result<()> {
        let op = |change: aegis_ledger::Change| match change.value {
            Some(value) => Op::Put { table: Table::State, key: change.key, value },
            None => Op::Delete { table: Table::State, key: change.key },
        };
        self.state.0.commit(&changes.into_iter().map(op).collect::<Vec<_>>())?;
        Ok(self.state.0.flush()?)
    }

    fn batch(&mut self, numbers: std::ops::Range<u64>, value_bytes: usize) -> anyhow::Result<Batch> {
        self.sequence += 1;
        let (domain, expires) = (self.genesis.domain(), self.timestamp_ms + LIFETIME_MS);
        let proposal = |number: u64| {
            let value = number.to_be_bytes().into_iter().cycle().take(value_bytes).collect();
            let body = ProposalBody::KvPut { key: format!("key-{number:09}"), value };
            Proposal::sign(body, expires, format!("fill-{number}"), &self.key, &domain)
        };
        let proposals = numbers.map(proposal).collect::<Result<_, _>>()?;
        Ok(Batch { author: self.key.validator_id(), sequence: self.sequence, proposals })
    }

    /// Decides and executes the next block.
    fn decide(&mut self, batches: Vec<Batch>) -> anyhow::Result<CommittedBlock> {
        self.timestamp_ms += BLOCK_MS;
        let header = Header {
            epoch: self.genesis.validators.epoch(),
            height: self.executed.height.next(),
            timestamp_ms: self.timestamp_ms,
            parent: self.parent,
            proposer: self.key.validator_id(),
            batches: batches.iter().map(Batch::reference).collect(),
            executed: self.executed,
            validators_hash: self.genesis.validators.hash(),
            kind: BlockKind::Normal,
        };
        let content = VoteContent {
            kind: VoteKind::Commit,
            epoch: header.epoch,
            view: View::ZERO,
            height: header.height,
            digest: header.digest(),
        };
        let vote = Vote::sign(content, &self.key, &self.genesis.domain());
        let certificate = Certificate { content, signatures: vec![(0, vote.signature)] };
        let block = CommittedBlock { header, certificate, batches };
        let applied = self.ledger.apply(&self.state, &block)?;
        self.write(applied.changes)?;
        self.executed = Executed { height: block.header.height, state_root: applied.state_root };
        self.parent = content.digest;
        Ok(block)
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let genesis = GenesisFile::load(&arguments.home.join("genesis.toml"))?.genesis;
    let secret = hex::decode(arguments.secret.trim())?;
    let key = Keypair::from_seed(&secret.try_into().ok().context("a secret key has 32 bytes")?);
    ensure!(
        genesis.validators.len() == 1 && genesis.validators.contains(&key.validator_id()),
        "the genesis must have this key as its only validator"
    );
    let begun = Instant::now();
    let mut chain = Chain::begin(genesis, key)?;
    let mut log = open(&arguments.home)?;
    let mut next = 0;
    while next < arguments.keys {
        let mut batches = Vec::new();
        for _ in 0..arguments.batches {
            let end = arguments.keys.min(next + arguments.batch);
            if next < end {
                batches.push(chain.batch(next..end, arguments.value_bytes)?);
                next = end;
            }
        }
        let block = chain.decide(batches)?;
        log.append(block.header.height, &block.encode())?;
        log.flush()?;
    }
    let Executed { height, state_root } = chain.executed;
    println!("{next} keys in {height} blocks, state root {state_root}, {} s", begun.elapsed().as_secs());
    Ok(())
}

/// A data folder with an empty committed log, and a journal that knows of no vote.
fn open(home: &Path) -> anyhow::Result<CommittedLog> {
    let data_dir = DataDir::open(&home.join("data"))?;
    let (mut journal, entries) = Journal::open(&data_dir.journal_dir(), SegmentOptions::default())?;
    ensure!(entries.is_empty(), "the home has data already");
    journal.append(&[&[FOUNDED][..], &JOURNAL_ID].concat());
    journal.flush()?;
    fs::write(home.join("journal.id"), format!("{}\n", hex::encode(JOURNAL_ID)))?;
    Ok(CommittedLog::open(&data_dir.log_dir(), SegmentOptions::default())?)
}
