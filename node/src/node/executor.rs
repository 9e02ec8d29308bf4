//! The executor: the thread that owns execution and the committed log.
//!
//! For each decided block: append it to the committed log and flush (now it is durable), execute it, write the changes
//! in one transaction, and only then tell clients, watchers and peers. The state store is derived from the log, so its newest
//! rows wait in memory and it is flushed now and then only; after a crash the log's end is executed again.

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use aegis_ledger::{Ledger, LedgerEvent, Outcome, Receipt, RejectCode};
use aegis_p2p::{MAX_GOSSIP_BYTES, Network, Topic};
use aegis_rpc::api::WatchEvent;
use aegis_store::{CommittedLog, KvStore, Op, Table};
use aegis_types::{Canonical, CommittedBlock, ValidatorId};
use anyhow::{Context as _, bail};
use tokio::sync::{mpsc, watch};
use tracing::info;

use super::batches::BatchPool;
use super::certified::CertifiedState;
use super::closings;
use super::driver::{DecidedBlock, ExecutedInput, gauge_value};
use super::handovers;
use super::mempool::Mempool;
use super::prune::{self, Needs, Pruner};
use super::snapshot::maker::SnapshotMaker;
use super::state::{self, IndexedProposal, Standing};
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
    /// The newest state that a quorum vouches for.
    pub certified: Arc<CertifiedState>,
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
    /// When the store fails or the block does not follow: both end the node. The ledger may be ahead of the store then.
    pub fn execute(&mut self, block: &CommittedBlock) -> anyhow::Result<ExecutedBlock> {
        let Self { kv, standing, certified, .. } = self;
        let header = &block.header;
        if header.parent != standing.digest {
            bail!(
                "block {} follows {}, but the block before it is {}: the committed log is not of this chain; use the genesis \
                 file that the data was made with, or set the data folder aside and sync again",
                header.height,
                header.parent,
                standing.digest
            );
        }
        // Until the commit, readers find a store that is one block behind the ledger. What they ask, whether a proposal may
        // be admitted, was as uncertain a moment earlier; the block that orders it decides.
        let applied = certified.apply(block)?;
        let next_epoch = applied.next_epoch.clone().map(|next| aegis_consensus::NextEpoch {
            validators: next.validators,
            parameters: next.parameters,
        });
        let after = standing.after(block, applied.state_root, next_epoch)?;
        let mut ops: Vec<Op> = applied
            .changes
            .into_iter()
            .map(|change| match change.value {
                Some(value) => Op::Put { table: Table::State, key: change.key, value },
                None => Op::Delete { table: Table::State, key: change.key },
            })
            .collect();
        let mut rows = index_rows(block, &applied.receipts, &applied.events);
        let done = (applied.receipts.as_slice(), applied.events.as_slice());
        let closings = closings::record(kv.as_ref(), block, &standing.epoch.validators, done, &mut rows)?;
        ops.extend(index_ops(kv.as_ref(), block, &rows)?);
        ops.extend(header.batches.iter().map(|batch| state::batch_op(&batch.digest)));
        ops.push(state::root_op(applied.height, applied.state_root));
        ops.extend(closings::ops(applied.height, &closings));
        if after.origin != standing.origin {
            ops.push(state::validators_op(&after.epoch.validators));
            ops.extend(handovers::row_of(block, &after.epoch.validators));
        }
        ops.push(state::standing_op(&after));
        kv.commit(&ops).context("the state store cannot be written")?;
        *standing = after;
        certified.advance(block)?;
        let watch_events = hub::block_events(block, &rows, applied.state_root, &closings)?;
        Ok(ExecutedBlock { receipts: applied.receipts, events: applied.events, watch_events })
    }
}

fn put(key: Vec<u8>, value: Vec<u8>) -> Op {
    Op::Put { table: Table::Index, key, value }
}

fn index_rows(block: &CommittedBlock, receipts: &[Receipt], events: &[LedgerEvent]) -> Vec<IndexedProposal> {
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
                row.removal_version = removal_version(events.get(receipt.events.clone()).unwrap_or_default());
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

/// The version that the removal of a key counted as; 0 when none was removed.
fn removal_version(events: &[LedgerEvent]) -> u64 {
    let version = |event: &LedgerEvent| match event {
        LedgerEvent::KvChanged { version, value: None, .. } => Some(*version),
        _ => None,
    };
    events.iter().find_map(version).unwrap_or_default()
}

fn index_ops(kv: &dyn KvStore, block: &CommittedBlock, rows: &[IndexedProposal]) -> anyhow::Result<Vec<Op>> {
    use prost::Message as _;
    let height = block.header.height;
    let mut ops = Vec::with_capacity(rows.len() * 2);
    for (position, row) in (0_u32..).zip(rows) {
        ops.push(put(state::proposal_key(height, position), row.encode_to_vec()));
        if is_its_place(kv, row)? {
            ops.push(put(state::place_key(&row.id()?), state::place_value(height, position)));
        }
    }
    Ok(ops)
}

/// Whether this is where a proposal stands: where it first had a result that lasts. A copy that is ordered again is a
/// duplicate, or expired once the first result is forgotten; neither says what became of the proposal.
fn is_its_place(kv: &dyn KvStore, row: &IndexedProposal) -> anyhow::Result<bool> {
    let leaves_no_trace = RejectCode::ALL.iter().any(|code| !code.is_remembered() && code.name() == row.code);
    match row.outcome {
        4 => Ok(false),
        3 if leaves_no_trace => Ok(state::place_of(kv, &row.id()?)?.is_none()),
        _ => Ok(true),
    }
}

fn assemble(decided: DecidedBlock) -> CommittedBlock {
    let DecidedBlock { header, certificate, batches } = decided;
    let batches = batches.iter().map(|held| held.batch.clone()).collect();
    CommittedBlock { header, certificate, batches }
}

/// Execution with its log, its channels and those who want to know.
pub struct Executor {
    pub execution: Execution,
    pub log: CommittedLog,
    pub snapshots: SnapshotMaker,
    pub pruner: Pruner,
    pub pool: Arc<BatchPool>,
    pub mempool: Arc<Mempool>,
    pub hub: Arc<WatchHub>,
    pub telemetry: Arc<Telemetry>,
    pub network: Network,
    pub node_id: ValidatorId,
    pub decided: mpsc::Receiver<DecidedBlock>,
    pub executed: mpsc::Sender<ExecutedInput>,
    pub standing: watch::Sender<Standing>,
    /// Why old blocks stay that are to go, if so.
    pub held_back: watch::Sender<Option<&'static str>>,
    /// Ledger events for the node's own reactions, such as voting by itself.
    pub reactions: mpsc::Sender<Vec<LedgerEvent>>,
}

impl Executor {
    /// Runs until the driver stops.
    ///
    /// # Errors
    /// When a store fails: the node must stop.
    pub fn run(mut self) -> anyhow::Result<()> {
        let worked = self.work();
        // Also after a failure: the stores may be opened again in this process.
        self.snapshots.finish();
        worked
    }

    fn work(&mut self) -> anyhow::Result<()> {
        let mut pruned = Instant::now();
        let mut durable = self.execution.standing.executed.height;
        let mut flushed = Instant::now();
        let mut expired = Instant::now();
        let mut unflushed = 0;
        while let Some(first) = self.decided.blocking_recv() {
            let mut blocks = vec![assemble(first)];
            while blocks.len() < BLOCKS_PER_FLUSH {
                let Ok(next) = self.decided.try_recv() else { break };
                blocks.push(assemble(next));
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
                durable = self.execution.standing.executed.height;
            }
            if pruned.elapsed() >= prune::INTERVAL {
                let needs = Needs { durable, base: self.snapshots.base() };
                self.pruner.consider(&self.log.reader(), &self.execution.standing, needs)?;
                self.held_back.send_replace(self.pruner.held_back());
                pruned = Instant::now();
            }
            self.pruner.turn(&mut self.log, self.execution.kv.as_ref())?;
        }
        self.execution.kv.flush().context("the state store cannot be flushed")
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
        self.snapshots.consider(&self.execution.certified);
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

#[cfg(test)]
mod tests {
    use aegis_types::{Parameter, ProposalBody};

    use super::*;
    use crate::node::testing::{Chain, batch_digest, put};

    const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

    #[test]
    fn a_block_that_does_not_follow_is_refused_and_changes_nothing() {
        let mut chain = Chain::new();
        let mut execution = chain.execution();
        let mut block = chain.add(10, Vec::new());
        block.header.parent = aegis_types::Hash([7; 32]);
        assert!(execution.execute(&block).is_err());
        execution.execute(&chain.blocks[0]).unwrap();
        assert_eq!(execution.standing.executed.height, block.header.height);
    }

    #[test]
    fn a_proposal_keeps_its_place_when_it_is_ordered_again_after_its_first_result_was_forgotten() {
        let mut chain = Chain::new();
        let mut execution = chain.execution();
        let proposal = chain.proposal(put("k"));
        let id = proposal.id();
        let first = chain.add(10, vec![proposal.clone()]);
        execution.execute(&first).unwrap();
        let place = state::place_of(execution.kv.as_ref(), &id).unwrap();
        assert_eq!(place, Some((first.header.height, 0)));

        let again = execution.execute(&chain.add(2 * DAY_MS, vec![proposal])).unwrap();
        assert!(matches!(&again.receipts[0].outcome, Outcome::Rejected { code: RejectCode::Expired, .. }));
        assert_eq!(state::place_of(execution.kv.as_ref(), &id).unwrap(), place);
    }

    #[test]
    fn a_proposal_that_first_came_too_early_stands_where_it_took_effect() {
        let mut chain = Chain::new();
        let mut execution = chain.execution();
        let (domain, lifetime) = (chain.genesis.domain(), Parameter::ProposalLifetimeMaxMs.range().default);
        let expires = chain.now_ms() + lifetime + 1_000;
        let proposal = aegis_types::Proposal::sign(put("k"), expires, "key", &chain.key, &domain).unwrap();
        execution.execute(&chain.add(10, vec![proposal.clone()])).unwrap();
        let second = chain.add(10_000, vec![proposal.clone()]);
        execution.execute(&second).unwrap();
        let place = state::place_of(execution.kv.as_ref(), &proposal.id()).unwrap();
        assert_eq!(place, Some((second.header.height, 0)));
    }

    #[test]
    fn executed_batches_and_ended_votes_have_rows_of_their_own() {
        let mut chain = Chain::new();
        let mut execution = chain.execution();
        let text = |title: &str| ProposalBody::Text { title: title.into(), text: "text".into() };
        let proposal = |title: &str| {
            let key = format!("key-{title}");
            let expires = chain.now_ms() + 60_000;
            aegis_types::Proposal::sign(text(title), expires, key, &chain.key, &chain.genesis.domain())
                .unwrap()
        };
        let opening = vec![proposal("one"), proposal("two")];
        let first = chain.add(10, opening);
        execution.execute(&first).unwrap();
        let kv = execution.kv.clone();
        assert!(state::is_batch_executed(kv.as_ref(), &batch_digest(&first)).unwrap());

        let last = chain.add(DAY_MS, Vec::new());
        execution.execute(&last).unwrap();
        chain.add(10, Vec::new());
        execution.execute(&chain.blocks[2]).unwrap();
        let rows = |height| state::closing_rows(kv.as_ref(), height).unwrap().len();
        assert_eq!((rows(first.header.height), rows(last.header.height)), (0, 2));
        assert_eq!(rows(last.header.height.next()), 0);
    }
}
