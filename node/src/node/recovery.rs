//! Start from what is on disk.
//!
//! The committed log is the truth about state, the vote journal about promises. The state store is derived: when it is
//! damaged or does not match what its own row says, it is set aside and built again from the log.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use aegis_consensus::{Engine, Record, Start, Tip};
use aegis_ledger::Ledger;
use aegis_store::{
    CommittedLog, DataDir, Journal, KvStore, LogReader, Op, SegmentOptions, SledKv, StoreError, Table,
};
use aegis_types::{BatchRef, Canonical, CommittedBlock, Genesis, Height, Keypair, Parameter};
use anyhow::{Context as _, bail};
use tracing::{info, warn};

use super::batches::{BatchPool, Offer, Taken};
use super::clock::Clock;
use super::executor::Execution;
use super::journal::Entry;
use super::state::{self, Standing, StateView};

/// Roots loaded at a restart: what the oldest certified state that a header may name needs, with the largest window.
const ROOTS: u64 = 512;
/// Progress is logged each time so many blocks of the log were executed again.
const REPLAY_REPORT: u64 = 10_000;

/// Everything that a node has on disk, open and consistent.
pub struct Recovered {
    /// Keeps the folder locked.
    pub data_dir: DataDir,
    pub journal: Journal,
    pub log: CommittedLog,
    pub execution: Execution,
    pub engine: Engine,
    pub pool: BatchPool,
    /// Batches of the journal that are not ordered yet. The engine does not know them: what it says to them must be made
    /// durable, and that is the driver's work.
    pub batches: Vec<BatchRef>,
}

/// What recovery needs to know.
pub struct RecoverOptions<'a> {
    pub data: &'a std::path::Path,
    pub genesis: &'a Genesis,
    pub node_key: &'a Keypair,
    pub store: &'a aegis_config::StoreSection,
    pub clock: Clock,
}

/// Opens the data folder and brings the engine to where it was.
///
/// # Errors
/// When the folder is in use, belongs to another network, or is damaged where it cannot be rebuilt.
pub fn recover(options: &RecoverOptions<'_>) -> anyhow::Result<Recovered> {
    let RecoverOptions { data, genesis, node_key, store, clock } = options;
    let data_dir = DataDir::open(data)?;
    let (journal, entries) = Journal::open(
        &data_dir.journal_dir(),
        SegmentOptions { segment_bytes: store.journal_segment.bytes() },
    )?;
    let log =
        CommittedLog::open(&data_dir.log_dir(), SegmentOptions { segment_bytes: store.log_segment.bytes() })?;
    let execution = open_state(&data_dir, genesis, &log.reader(), &log, store.cache.bytes())?;
    let pool = BatchPool::default();
    let mut records = Vec::new();
    let mut batches = Vec::new();
    for entry in &entries {
        match Entry::decode(entry)? {
            Entry::Record(record) => records.push(*record),
            Entry::Batch(batch) => batches.push(batch),
        }
    }
    forget_recent(&pool, &log.reader(), execution.standing.executed.height)?;
    let engine = recover_engine(&execution, &log, records, node_key, genesis, *clock)?;
    if journal.is_new() && log.last().is_some() && engine.status().is_member {
        bail!(
            "the vote journal of this validator is missing, but its committed log is not: without the journal it cannot \
             know what it has voted for, and might contradict itself. Restore the folder {}; if it is lost, have this \
             validator removed by a vote and join with a new key",
            data_dir.journal_dir().display()
        );
    }
    let batches = batches
        .into_iter()
        .map(|batch| (batch.reference, pool.offer(batch, Offer::Spread)))
        .filter(|(_, taken)| *taken == Taken::New)
        .map(|(reference, _)| reference)
        .collect();
    Ok(Recovered { data_dir, journal, log, execution, engine, pool, batches })
}

/// Batches of the last blocks must not be ordered once more because the journal still has them.
fn forget_recent(pool: &BatchPool, log: &LogReader, executed: Height) -> anyhow::Result<()> {
    const BLOCKS: u64 = 1_024;
    let first = executed.0.saturating_sub(BLOCKS).max(1);
    for height in first..=executed.0 {
        if let Some(block) = log.read(Height(height))? {
            pool.forget(&decode(&block, Height(height))?.header);
        }
    }
    Ok(())
}

fn recover_engine(
    execution: &Execution,
    log: &CommittedLog,
    records: Vec<Record>,
    node_key: &Keypair,
    genesis: &Genesis,
    clock: Clock,
) -> anyhow::Result<Engine> {
    let standing = &execution.standing;
    let height = standing.executed.height;
    let tip = if height == Height::ZERO {
        Tip::genesis(genesis)
    } else {
        let block =
            log.reader().read(height)?.context("the newest executed block is not in the committed log")?;
        let block = decode(&block, height)?;
        Tip::of(block.header, block.certificate)
    };
    let roots: BTreeMap<_, _> = state::recent_roots(execution.kv.as_ref(), standing.executed, ROOTS)?;
    info!(
        %height,
        epoch = %standing.epoch.validators.epoch(),
        records = records.len(),
        window = standing.epoch.parameters.get(Parameter::Window),
        "recovered"
    );
    Ok(Engine::recover(Start {
        domain: genesis.domain(),
        keypair: node_key.clone(),
        epoch: standing.epoch.clone(),
        origin: standing.origin,
        next_epoch: standing.next_epoch.clone(),
        tip,
        roots,
        records,
        now: clock.now(),
    }))
}

fn decode(block: &[u8], height: Height) -> anyhow::Result<CommittedBlock> {
    CommittedBlock::decode(block)
        .with_context(|| format!("block {height} of the committed log cannot be read"))
}

/// Opens the state store and executes what the log has above it.
fn open_state(
    data_dir: &DataDir,
    genesis: &Genesis,
    reader: &LogReader,
    log: &CommittedLog,
    cache_bytes: u64,
) -> anyhow::Result<Execution> {
    let kv_dir = data_dir.kv_dir();
    let kv = match SledKv::open(&kv_dir, cache_bytes) {
        Ok(kv) => kv,
        Err(error @ StoreError::Damaged { .. }) => {
            warn!(%error, "the state store is damaged; it is set aside and built again from the committed log");
            SledKv::recreate(&kv_dir, cache_bytes)?
        }
        Err(error) => return Err(error.into()),
    };
    let kv: Arc<dyn KvStore> = Arc::new(kv);
    let mut execution = match load(&kv, genesis)? {
        Some(execution) => execution,
        None => start_over(&kv, genesis)?,
    };
    let first = execution.standing.executed.height.next();
    let Some(last) = log.last() else {
        if execution.standing.executed.height > Height::ZERO {
            bail!(
                "the committed log is empty, but the state store stands at block {}; restore the folder `clog`, or set the whole data folder aside and sync again",
                execution.standing.executed.height
            );
        }
        return Ok(execution);
    };
    if execution.standing.executed.height > last {
        bail!(
            "the committed log ends at block {last}, but the state store stands at {}: the log has lost blocks; set the whole data folder aside and sync again",
            execution.standing.executed.height
        );
    }
    for height in first.0..=last.0 {
        let block = reader.read(Height(height))?.with_context(|| {
            format!("block {height} is missing from the committed log, so the state cannot be built; set the data folder aside and sync again")
        })?;
        execution.execute(&decode(&block, Height(height))?)?;
        if height % REPLAY_REPORT == 0 {
            info!(height, %last, "executing the committed log again");
        }
    }
    if first <= last {
        execution.kv.flush()?;
        info!(from = %first, to = %last, "executed the end of the committed log again");
    }
    Ok(execution)
}

/// The stored state, if there is one and it is what it says it is.
fn load(kv: &Arc<dyn KvStore>, genesis: &Genesis) -> anyhow::Result<Option<Execution>> {
    let Some(hash) = state::load_genesis_hash(kv.as_ref())? else { return Ok(None) };
    if hash != genesis.hash() {
        bail!(
            "this home's data belongs to the genesis {hash}, but its genesis file is {}; use the genesis file that the data was made with, or another home",
            genesis.hash()
        );
    }
    let Some(standing) = state::load_standing(kv.as_ref())? else { return Ok(None) };
    let ledger = Ledger::open(genesis, &StateView(kv.as_ref()));
    match ledger {
        Ok(ledger) if ledger.root() == standing.executed.state_root => {
            Ok(Some(Execution { ledger: Arc::new(RwLock::new(ledger)), kv: kv.clone(), standing }))
        }
        Ok(ledger) => {
            warn!(
                computed = %ledger.root(),
                recorded = %standing.executed.state_root,
                "the state store does not have the state that it claims; it is built again from the committed log"
            );
            Ok(None)
        }
        Err(error) => {
            warn!(%error, "the state store cannot be read; it is built again from the committed log");
            Ok(None)
        }
    }
}

fn start_over(kv: &Arc<dyn KvStore>, genesis: &Genesis) -> anyhow::Result<Execution> {
    kv.clear()?;
    let (ledger, changes) = Ledger::genesis(genesis)?;
    let standing = Standing::genesis(genesis, ledger.root());
    let mut ops: Vec<Op> = changes
        .into_iter()
        .filter_map(|change| {
            change.value.map(|value| Op::Put { table: Table::State, key: change.key, value })
        })
        .collect();
    ops.push(state::genesis_op(genesis));
    ops.push(state::validators_op(&genesis.validators));
    ops.push(state::standing_op(&standing));
    kv.commit(&ops)?;
    kv.flush()?;
    Ok(Execution { ledger: Arc::new(RwLock::new(ledger)), kv: kv.clone(), standing })
}
