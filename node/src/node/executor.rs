//! The executor: the thread that owns execution and the committed log.
//!
//! For each decided block: append it to the committed log and flush (now it is durable), execute it, write the changes
//! in one transaction, and only then tell clients, watchers and peers. The state store is derived from the log, so it is
//! flushed now and then only; after a crash the log's end is executed again.

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use aegis_ledger::{Ledger, LedgerEvent, Outcome, Receipt};
use aegis_p2p::{MAX_GOSSIP_BYTES, Network, Topic};
use aegis_rpc::api::WatchEvent;
use aegis_store::{CommittedLog, KvStore, Op, Table};
use aegis_types::{Canonical, CommittedBlock, ValidatorId};
use anyhow::{Context as _, anyhow};
use tokio::sync::{mpsc, watch};
use tracing::info;

use super::batches::BatchPool;
use super::driver::{DecidedBlock, ExecutedInput, gauge_value};
use super::mempool::Mempool;
use super::state::{self, IndexedProposal, Standing, StateView};
use super::telemetry::Telemetry;
use super::watch::{self as hub, WatchHub};

/// Decided blocks that share one flush of the committed log.
const BLOCKS_PER_FLUSH: usize = 32;
/// The state store is flushed after so many blocks: a restart executes at most these again.
const BLOCKS_PER_STATE_FLUSH: u64 = 512;
/// ... or after so long.
const STATE_FLUSH_INTERVAL: Duration = Duration::from_secs(10);

/// How often waiting clients are told that their proposal has expired.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);

/// Executes blocks against the stores. Used by the executor and by recovery.
pub struct Execution {
    pub ledger: Arc<RwLock<Ledger>>,
    pub kv: Arc<dyn KvStore>,
    pub standing: Standing,
}

/// What executing a block yielded, besides what was written.
pub struct ExecutedBlock {
    pub receipts: Vec<Receipt>,
    pub events: Vec<LedgerEvent>,
    pub watch_events: Vec<WatchEvent>,
}

impl Execution {
    /// Executes the next block and writes all that follows from it in one transaction.
    ///
    /// # Errors
    /// When the store fails or the block does not follow: both end the node.
    pub fn execute(&mut self, block: &CommittedBlock) -> anyhow::Result<ExecutedBlock> {
        let mut ledger = self.ledger.write().map_err(|_| anyhow!("a panic left the ledger half changed"))?;
        let applied = ledger.apply(&StateView(self.kv.as_ref()), block)?;
        let next_epoch = applied.next_epoch.clone().map(|next| aegis_consensus::NextEpoch {
            validators: next.validators,
            parameters: next.parameters,
        });
        let standing = self.standing.after(block, applied.state_root, next_epoch)?;
        let mut ops: Vec<Op> = applied
            .changes
            .into_iter()
            .map(|change| match change.value {
                Some(value) => Op::Put { table: Table::State, key: change.key, value },
                None => Op::Delete { table: Table::State, key: change.key },
            })
            .collect();
        let rows = index_rows(block, &applied.receipts);
        let closings = hub::closings(applied.height, &applied.events);
        ops.extend(index_ops(block, &rows));
        ops.push(put(state::root_key(applied.height), applied.state_root.0.to_vec()));
        if !closings.is_empty() {
            ops.push(put(state::closings_key(applied.height), serde_json::to_vec(&closings)?));
        }
        if standing.origin != self.standing.origin {
            ops.push(state::validators_op(&standing.epoch.validators));
        }
        ops.push(state::standing_op(&standing));
        self.kv.commit(&ops).context("the state store cannot be written")?;
        self.standing = standing;
        let watch_events = hub::block_events(block, &rows, applied.state_root, closings);
        Ok(ExecutedBlock { receipts: applied.receipts, events: applied.events, watch_events })
    }
}

fn put(key: Vec<u8>, value: Vec<u8>) -> Op {
    Op::Put { table: Table::Index, key, value }
}

fn index_rows(block: &CommittedBlock, receipts: &[Receipt]) -> Vec<IndexedProposal> {
    let proposals = block.batches.iter().flat_map(|batch| &batch.proposals);
    let row = |(proposal, receipt): (&aegis_types::Proposal, &Receipt)| {
        let mut row = IndexedProposal {
            id: receipt.id.0.to_vec(),
            account: receipt.account.0.to_vec(),
            kind: receipt.kind.name().to_owned(),
            subject: hub::subject(&proposal.body),
            ..IndexedProposal::default()
        };
        match &receipt.outcome {
            Outcome::Applied { version } => {
                row.outcome = 1;
                row.version_plus_one = version.map_or(0, |version| version.saturating_add(1));
            }
            Outcome::Opened { deadline_ms } => {
                row.outcome = 2;
                row.deadline_ms = *deadline_ms;
            }
            Outcome::Rejected { code, reason } => {
                row.outcome = 3;
                row.code = code.name().to_owned();
                row.reason.clone_from(reason);
            }
            Outcome::Duplicate { first } => {
                row.outcome = 4;
                row.first = first.id.0.to_vec();
            }
        }
        row
    };
    proposals.zip(receipts).map(row).collect()
}

fn index_ops(block: &CommittedBlock, rows: &[IndexedProposal]) -> Vec<Op> {
    use prost::Message as _;
    let height = block.header.height;
    let mut ops = Vec::with_capacity(rows.len() * 2);
    for (position, row) in (0_u32..).zip(rows) {
        ops.push(put(state::proposal_key(height, position), row.encode_to_vec()));
        let Ok(id) = row.id() else { continue };
        // Where a proposal stands is where it first took effect; a copy ordered again is a duplicate.
        if row.outcome != 4 {
            ops.push(put(state::place_key(&id), state::place_value(height, position)));
        }
    }
    ops
}

/// Execution with its log, its channels and those who want to know.
pub struct Executor {
    pub execution: Execution,
    pub log: CommittedLog,
    pub pool: Arc<BatchPool>,
    pub mempool: Arc<Mempool>,
    pub hub: Arc<WatchHub>,
    pub telemetry: Arc<Telemetry>,
    pub network: Network,
    pub node_id: ValidatorId,
    pub decided: mpsc::Receiver<DecidedBlock>,
    pub executed: mpsc::Sender<ExecutedInput>,
    pub standing: watch::Sender<Standing>,
    /// Ledger events for the node's own reactions, such as voting by itself.
    pub reactions: mpsc::Sender<Vec<LedgerEvent>>,
}

impl Executor {
    /// Runs until the driver stops.
    ///
    /// # Errors
    /// When a store fails: the node must stop.
    pub fn run(mut self) -> anyhow::Result<()> {
        let mut flushed = Instant::now();
        let mut expired = Instant::now();
        let mut unflushed = 0;
        while let Some(first) = self.decided.blocking_recv() {
            let mut blocks = vec![self.assemble(first)?];
            while blocks.len() < BLOCKS_PER_FLUSH {
                let Ok(next) = self.decided.try_recv() else { break };
                blocks.push(self.assemble(next)?);
            }
            let mut encodings = Vec::with_capacity(blocks.len());
            for block in &blocks {
                let encoding = block.encode();
                self.log.append(block.header.height, &encoding)?;
                encodings.push(encoding);
            }
            self.log.flush().context("the committed log cannot be written")?;
            for (block, encoding) in blocks.iter().zip(encodings) {
                self.execute(block, encoding)?;
                unflushed += 1;
            }
            if let Some(last) = blocks.last()
                && expired.elapsed() >= EXPIRY_INTERVAL
            {
                self.mempool.expire(last.header.timestamp_ms);
                expired = Instant::now();
            }
            if unflushed >= BLOCKS_PER_STATE_FLUSH || flushed.elapsed() >= STATE_FLUSH_INTERVAL {
                self.execution.kv.flush().context("the state store cannot be flushed")?;
                flushed = Instant::now();
                unflushed = 0;
            }
        }
        self.execution.kv.flush().context("the state store cannot be flushed")
    }

    fn assemble(&self, decided: DecidedBlock) -> anyhow::Result<CommittedBlock> {
        let DecidedBlock { header, certificate } = decided;
        let mut batches = Vec::with_capacity(header.batches.len());
        for named in &header.batches {
            let held = self.pool.get(&named.digest);
            let held = held.ok_or_else(|| anyhow!("batch {} of a decided block is gone", named.digest))?;
            batches.push(held.batch.clone());
        }
        Ok(CommittedBlock { header, certificate, batches })
    }

    fn execute(&mut self, block: &CommittedBlock, encoding: Vec<u8>) -> anyhow::Result<()> {
        let start = Instant::now();
        let done = self.execution.execute(block)?;
        let standing = self.execution.standing.clone();
        let height = block.header.height;
        let seconds = start.elapsed().as_secs_f64();
        self.telemetry.execution_seconds.observe(seconds);
        self.telemetry.executed_height.set(gauge_value(height.0));
        self.telemetry.blocks_executed.inc();
        self.telemetry.proposals_executed.inc_by(u64::try_from(done.receipts.len()).unwrap_or(u64::MAX));
        self.pool.forget(&block.header);
        let executed = ExecutedInput {
            height,
            state_root: standing.executed.state_root,
            next_epoch: standing.next_epoch.clone(),
        };
        if self.executed.blocking_send(executed).is_err() {
            // The driver has stopped; what is decided is durable and will be executed at the next start.
            return Ok(());
        }
        self.standing.send_replace(standing);
        let certificate = Arc::new(block.certificate.clone());
        for receipt in &done.receipts {
            if let Some(seconds) = self.mempool.resolve(receipt, height, &certificate) {
                self.telemetry.submission_seconds.observe(seconds);
            }
        }
        self.hub.publish(height, done.watch_events);
        self.spread(block, encoding);
        if !done.events.is_empty() && self.reactions.try_send(done.events).is_err() {
            info!(%height, "too busy to react to a block's events");
        }
        Ok(())
    }

    /// Gossips the block for observers. Its proposer does; whoever misses it asks for it.
    fn spread(&self, block: &CommittedBlock, encoding: Vec<u8>) {
        if block.header.proposer == self.node_id && encoding.len() <= MAX_GOSSIP_BYTES {
            // Without a peer that listens there is nothing to do.
            let _ = self.network.publish(Topic::Blocks, encoding.into());
        }
    }
}
