//! Start from what is on disk.
//!
//! The committed log is the truth about state, the vote journal about promises. The state store is derived: when it is
//! damaged or does not match what its own row says, it is set aside and built again from the log. What happens to a log that
//! is damaged itself says `repair`. Each block that is
//! executed is checked against the digest of the one before, the first one against the genesis.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, RwLock};

use aegis_consensus::{Engine, Record, Start, Tip, VoteFloor};
use aegis_ledger::{Admission, Ledger, LedgerError, RejectCode};
use aegis_store::{
    BufferedKv, CommittedLog, DataDir, FoundJournal, Journal, KvStore, Op, Part, SegmentOptions, SledKv,
    StoreError, Table, data_dir::FORMAT_VERSION,
};
use aegis_types::{BatchRef, Canonical, CommittedBlock, Genesis, Hash, Height, Keypair, Parameter};
use anyhow::{Context as _, anyhow, bail};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::batches::{BatchPool, HeldBatch, Offer, Taken};
use super::certified::CertifiedState;
use super::clock::Clock;
use super::executor::Execution;
use super::forgotten::forgotten_vote;
use super::handovers;
use super::journal::{Entry, HomeMilestones, JournalId};
use super::repair::{LostBlocks, Opened, open_log_and_state};
use super::snapshot::shelf::Shelf;
use super::state::{self, Standing, StateView};
use super::state_sync::settle::{keep_blocks, settle};
use super::stop::Stopped;
use crate::home::Home;

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
    /// The journal's name.
    pub journal_id: JournalId,
    /// Snapshots for others.
    pub shelf: Arc<Shelf>,
}

/// What recovery needs to know.
pub struct RecoverOptions<'a> {
    pub home: &'a Home,
    pub genesis: &'a Genesis,
    pub node_key: &'a Keypair,
    pub store: &'a aegis_config::StoreSection,
    pub clock: Clock,
    /// Ends the start early.
    pub stop: &'a CancellationToken,
}

/// Opens the data folder and brings the engine to where it was.
///
/// # Errors
/// When the folder is in use, belongs to another network, or is damaged where it cannot be rebuilt; [`Stopped`].
pub fn recover(options: &RecoverOptions<'_>) -> anyhow::Result<Recovered> {
    let RecoverOptions { home, genesis, node_key, store, clock, stop } = options;
    forbid_missing_data(home)?;
    let mut data_dir = DataDir::open(&home.data_path())?;
    let shelf =
        Arc::new(Shelf::open(data_dir.path().join("snap")).context("the snapshots cannot be opened")?);
    if store.archive {
        keep_blocks(&shelf).context("a fetched snapshot cannot be set aside")?;
    }
    settle(&data_dir, &shelf)?;
    let found = FoundJournal::read(
        &data_dir.journal_dir(),
        SegmentOptions { segment_bytes: store.journal_segment.bytes() },
    )?;
    let has_log = has_log(&data_dir)?;
    let mut records = Vec::new();
    let mut batches = Vec::new();
    let mut founded = None;
    let mut told_floor: Option<VoteFloor> = None;
    for entry in found.records() {
        match Entry::decode(entry)? {
            Entry::Record(record) => records.push(*record),
            Entry::Batch(batch) => batches.push(batch),
            Entry::Founded(id) => founded = Some(id),
            Entry::Floor(newer) => told_floor = Some(told_floor.unwrap_or_default().then(newer)),
        }
    }
    // What is not this home's whole journal stays as it is.
    match founded {
        Some(id) => recognise_journal(&found, id, home, &data_dir)?,
        None => forbid_missing_journal(home, &data_dir, !has_log)?,
    }
    let (mut journal, _) = found.open()?;
    // The first version wrote no floor: one that is there says that votes were lost, or that an earlier start did not get far.
    let is_first_of_version = data_dir.version() < FORMAT_VERSION && told_floor.is_none();
    if is_first_of_version {
        journal.append(&Entry::Floor(VoteFloor::UNKNOWN).encode());
        journal.flush()?;
    }
    let Opened { log, state, was_repaired } = open_log_and_state(&data_dir, genesis, store, stop)?;
    let State { execution, roots } = state;
    let journal_id = match founded {
        Some(id) => id,
        None => name_journal(&mut journal)?,
    };
    journal.keep_milestones(Arc::new(HomeMilestones::new((*home).clone(), journal_id)))?;
    let mut floor = told_floor.unwrap_or_default();
    if is_first_of_version {
        floor = first_floor(&log, was_repaired);
        journal.append(&Entry::Floor(floor).encode());
        journal.flush()?;
    }
    if let Some(height) =
        forgotten_vote(&log, execution.kv.as_ref(), &records, &floor, &node_key.validator_id())?
    {
        warn!(
            %height,
            "the committed log has a block that this node has signed, and the vote journal does not know of it: votes are \
             lost, so this node does not vote before it has found out from which epoch on it may"
        );
        floor = VoteFloor { epoch: VoteFloor::UNKNOWN.epoch, ..floor };
        journal.append(&Entry::Floor(floor).encode());
        journal.flush()?;
    }
    if data_dir.version() < FORMAT_VERSION {
        data_dir.raise_version()?;
        info!(from = 1, to = FORMAT_VERSION, "the data folder was brought to a newer format");
    }
    let (pool, batches) = recover_batches(&execution, &log, &records, batches)?;
    let engine = recover_engine(&execution, roots, &log, (records, floor), node_key, genesis, *clock)?;
    Ok(Recovered { data_dir, journal, log, execution, engine, pool, batches, journal_id, shelf })
}

/// Whether the committed log had files before it was opened or repaired: this is not the home's first start then.
fn has_log(data_dir: &DataDir) -> anyhow::Result<bool> {
    let folder = data_dir.log_dir();
    let mut entries =
        std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    Ok(entries.next().is_some())
}

/// The floor of a journal that was written by the first version, which does not say below which block it has dropped votes.
/// Those up to the end of the log may be among them; if the log is no longer what it was, any may.
fn first_floor(log: &CommittedLog, was_repaired: bool) -> VoteFloor {
    let end = log.last().unwrap_or_default();
    if was_repaired { VoteFloor::UNKNOWN } else { VoteFloor { height: end, ..VoteFloor::NONE } }
}

/// Compares the journal's name and length with what the home remembers.
fn recognise_journal(
    journal: &FoundJournal,
    id: JournalId,
    home: &Home,
    data_dir: &DataDir,
) -> anyhow::Result<()> {
    match home.read_journal_note()? {
        Some(known) if known.id != id.0 => bail!(
            "the vote journal in {} is another one than this home's: it may lack votes. Restore the folder of this very \
             home as it was when the node stopped; if that is lost, run `aegis store accept-lost-votes --home {}`: the node \
             then does not vote until it is safe",
            data_dir.journal_dir().display(),
            home.path().display()
        ),
        Some(known) => Ok(journal.check_reaches(known.confirmed.unwrap_or_default())?),
        None => Ok(()),
    }
}

/// Refuses to begin a journal where this home had one before.
/// Before anything is made in its place: a folder that is not mounted, or was moved, is to be found again.
fn forbid_missing_data(home: &Home) -> anyhow::Result<()> {
    let data = home.data_path();
    if !DataDir::has_data(&data) && home.read_journal_note()?.is_some() {
        bail!(
            "the data folder of this home is gone: there is no data in {}. Mount it or move it back as it was when the node \
             stopped; if its vote journal is lost, run `aegis store accept-lost-votes --home {}`: the node then does not vote \
             until it is safe",
            data.display(),
            home.path().display()
        );
    }
    Ok(())
}

fn forbid_missing_journal(home: &Home, data_dir: &DataDir, is_first_start: bool) -> anyhow::Result<()> {
    if home.read_journal_note()?.is_some() || !is_first_start {
        data_dir.remove_empty_journal_dir();
        bail!(
            "the vote journal of this home is missing: without it the node cannot know what it has voted for, and might \
             contradict itself. Restore the folder {} as it was when the node stopped, never an older copy; if that is \
             lost, run `aegis store accept-lost-votes --home {}`: the node then does not vote until it is safe",
            data_dir.journal_dir().display(),
            home.path().display()
        );
    }
    Ok(())
}

/// Names a new journal, durably.
fn name_journal(journal: &mut Journal) -> anyhow::Result<JournalId> {
    let id = JournalId(rand::random());
    journal.append(&Entry::Founded(id).encode());
    journal.flush()?;
    Ok(id)
}

/// Fills the pool with the journal's batches, and names those that the engine is to be told of: all that are not executed,
/// and those that a vote above the executed blocks vouches for, executed before or not.
fn recover_batches(
    execution: &Execution,
    log: &CommittedLog,
    records: &[Record],
    batches: Vec<Arc<HeldBatch>>,
) -> anyhow::Result<(BatchPool, Vec<BatchRef>)> {
    let executed = execution.standing.executed.height;
    let voted_for = |record: &Record| match record {
        Record::Prepared { header, .. } | Record::Committing { header, .. } if header.height > executed => {
            header.batches.iter().map(|batch| batch.digest).collect()
        }
        Record::Prepared { .. } | Record::Committing { .. } | Record::ViewChange(_) | Record::NewView(_) => {
            Vec::new()
        }
    };
    let promised: BTreeSet<Hash> = records.iter().flat_map(voted_for).collect();
    // Of the blocks before the log's first, the index does not know which batches they had.
    let is_history_whole = log.first().is_none_or(|first| first == Height(1));
    let pool = BatchPool::default();
    let mut references = Vec::new();
    for batch in batches {
        let reference = batch.reference;
        let is_needed = promised.contains(&reference.digest)
            || !state::is_batch_executed(execution.kv.as_ref(), &reference.digest)?
                && (is_history_whole || !is_spent(execution, &batch)?);
        if is_needed && pool.offer(batch, Offer::Named) == Taken::New {
            references.push(reference);
        }
    }
    Ok((pool, references))
}

/// Whether nothing in a batch can take effect any more: each proposal has had its result, or has expired.
fn is_spent(execution: &Execution, batch: &HeldBatch) -> anyhow::Result<bool> {
    let ledger = execution.ledger.read().map_err(|_| anyhow!("a panic left the ledger half changed"))?;
    let view = StateView(execution.kv.as_ref());
    for proposal in &batch.batch.proposals {
        // Agreed time alone counts here, not this node's clock.
        match ledger.check(&view, proposal, ledger.timestamp_ms())? {
            Admission::Duplicate(_) | Admission::Conflict => {}
            Admission::Refused { code: RejectCode::Expired, .. } => {}
            Admission::Fresh | Admission::Refused { .. } => return Ok(false),
        }
    }
    Ok(true)
}

fn recover_engine(
    execution: &Execution,
    roots: BTreeMap<Height, Hash>,
    log: &CommittedLog,
    (records, floor): (Vec<Record>, VoteFloor),
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
    info!(
        %height,
        epoch = %standing.epoch.validators.epoch(),
        records = records.len(),
        // Left out while it is not known.
        votes_from_epoch = (!floor.is_unknown()).then_some(floor.epoch.0),
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
        floor,
        now: clock.now(),
    }))
}

fn decode(block: &[u8], height: Height) -> anyhow::Result<CommittedBlock> {
    CommittedBlock::decode(block)
        .with_context(|| format!("block {height} of the committed log cannot be read"))
}

/// The state at the end of the committed log, and the newest state roots up to it.
pub struct State {
    pub execution: Execution,
    pub roots: BTreeMap<Height, Hash>,
}

/// The state store holds another state than it says, although its checksums are right.
#[derive(Debug, thiserror::Error)]
#[error("the state store has the state root {computed}, but should have {recorded}")]
struct WrongRoot {
    computed: Hash,
    recorded: Hash,
}

/// Opens the state store and executes what the log has above it. A store that turns out to be damaged anywhere on the way
/// is set aside, and all of the log is executed into a new one.
///
/// # Errors
/// [`LostBlocks`] when the log does not have what the state must be built from; damage of the log; errors of the disk;
/// [`Stopped`], and then the next start goes on from here.
pub fn open_state(
    kv_dir: &Path,
    genesis: &Genesis,
    log: &CommittedLog,
    cache_bytes: u64,
    stop: &CancellationToken,
) -> anyhow::Result<State> {
    let opened = SledKv::open(kv_dir, cache_bytes).map_err(anyhow::Error::from);
    match opened.and_then(|kv| bring_up(Arc::new(BufferedKv::new(kv)), genesis, log, stop)) {
        Err(error) if is_damage(&error) => {
            if let Some(first) = log.first().filter(|first| *first > Height(1)) {
                let reason = format!(
                    "the state store is damaged, and the log it is built from begins at block {first}"
                );
                return Err(error.context(LostBlocks { reason }));
            }
            warn!(
                error = format!("{error:#}"),
                "the state store is damaged; it is set aside and built again from the committed log"
            );
            let kv = SledKv::recreate(kv_dir, cache_bytes)?;
            bring_up(Arc::new(BufferedKv::new(kv)), genesis, log, stop)
        }
        outcome => outcome,
    }
}

/// Whether an error says that the state store must be built again, and not that something else is wrong.
fn is_damage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let of_store = matches!(
            cause.downcast_ref(),
            Some(StoreError::Damaged { part: Part::Kv, .. } | StoreError::Poisoned { part: Part::Kv })
        );
        let of_ledger =
            matches!(cause.downcast_ref(), Some(LedgerError::State(_) | LedgerError::Damaged { .. }));
        of_store || of_ledger || cause.is::<state::DamagedRow>() || cause.is::<WrongRoot>()
    })
}

fn bring_up(
    kv: Arc<dyn KvStore>,
    genesis: &Genesis,
    log: &CommittedLog,
    stop: &CancellationToken,
) -> anyhow::Result<State> {
    let mut execution = match load(&kv, genesis)? {
        Some(execution) => execution,
        None => start_over(&kv, genesis)?,
    };
    execute_rest(&mut execution, log, stop)?;
    let roots = state::recent_roots(kv.as_ref(), execution.standing.executed, ROOTS)?;
    Ok(State { execution, roots })
}

/// Executes what the log has above the stored state.
fn execute_rest(
    execution: &mut Execution,
    log: &CommittedLog,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let executed = execution.standing.executed.height;
    let first = executed.next();
    if let Some(begins) = log.first().filter(|begins| *begins > first) {
        let reason =
            format!("the committed log begins at block {begins}, the state store stands at {executed}");
        return Err(LostBlocks { reason }.into());
    }
    let Some(last) = log.last() else {
        if executed > Height::ZERO {
            let reason =
                format!("the committed log is empty, but the state store stands at block {executed}");
            return Err(LostBlocks { reason }.into());
        }
        return Ok(());
    };
    if executed > last {
        let reason =
            format!("the committed log ends at block {last}, but the state store stands at {executed}");
        return Err(LostBlocks { reason }.into());
    }
    let reader = log.reader();
    for height in first.0..=last.0 {
        if stop.is_cancelled() {
            execution.kv.flush()?;
            info!(height, %last, "told to stop while executing the committed log again");
            return Err(Stopped.into());
        }
        let block = reader.read(Height(height))?.ok_or_else(|| LostBlocks {
            reason: format!("block {height} is missing from the committed log, so the state cannot be built"),
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
    Ok(())
}

/// The stored state; none in an empty store.
fn load(kv: &Arc<dyn KvStore>, genesis: &Genesis) -> anyhow::Result<Option<Execution>> {
    let Some(hash) = state::load_genesis_hash(kv.as_ref())? else { return Ok(None) };
    if hash != genesis.hash() {
        bail!(
            "this home's data belongs to the genesis {hash}, but its genesis file is {}; use the genesis file that the data was made with, or another home",
            genesis.hash()
        );
    }
    let Some(standing) = state::load_standing(kv.as_ref())? else { return Ok(None) };
    let ledger = Ledger::open(genesis, &StateView(kv.as_ref()))?;
    let (computed, recorded) = (ledger.root(), standing.executed.state_root);
    if computed != recorded {
        return Err(WrongRoot { computed, recorded }.into());
    }
    handovers::check_complete(kv.as_ref(), standing.epoch.validators.epoch())?;
    Ok(Some(begin(kv, ledger, standing)?))
}

/// Empties a state store and writes the genesis into it.
///
/// # Errors
/// When the store fails.
pub fn start_over(kv: &Arc<dyn KvStore>, genesis: &Genesis) -> anyhow::Result<Execution> {
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
    begin(kv, ledger, standing)
}

fn begin(kv: &Arc<dyn KvStore>, ledger: Ledger, standing: Standing) -> anyhow::Result<Execution> {
    let ledger = Arc::new(RwLock::new(ledger));
    let certified = Arc::new(CertifiedState::new(kv.clone(), ledger.clone())?);
    Ok(Execution { ledger, kv: kv.clone(), standing, certified })
}

#[cfg(test)]
mod tests {
    use aegis_types::{Epoch, View, Vote, VoteContent, VoteKind};

    use super::*;
    use crate::node::testing::{Chain, batch_digest, put};

    const CACHE_BYTES: u64 = 8 << 20;

    fn write_log(folder: &Path, chain: &Chain) -> CommittedLog {
        let mut log = CommittedLog::open(folder, SegmentOptions::default()).unwrap();
        for block in &chain.blocks {
            log.append(block.header.height, &block.encode()).unwrap();
        }
        log.flush().unwrap();
        log
    }

    fn chain_of(blocks: usize) -> Chain {
        let mut chain = Chain::new();
        for number in 0..blocks {
            let proposal = chain.proposal(put(&format!("k{number}")));
            chain.add(10, vec![proposal]);
        }
        chain
    }

    /// Changes a byte of the values under the keys of a closed store's table that begin so.
    fn garble(folder: &Path, tree: &str, prefix: &[u8]) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        let sled = loop {
            match sled::open(folder) {
                Ok(sled) => break sled,
                Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
            }
        };
        let tree = sled.open_tree(tree).unwrap();
        let entries: Vec<_> = tree.scan_prefix(prefix).map(Result::unwrap).collect();
        assert!(!entries.is_empty());
        for (key, value) in entries {
            let mut value = value.to_vec();
            if let Some(last) = value.last_mut() {
                *last ^= 1;
            }
            tree.insert(key, value).unwrap();
        }
        sled.flush().unwrap();
    }

    #[test]
    fn a_state_store_that_is_damaged_anywhere_is_built_again_from_the_log() {
        let chain = chain_of(5);
        for (tree, prefix) in
            [("meta", &b"genesis"[..]), ("meta", b"standing"), ("state", b""), ("index", b"r")]
        {
            let folder = tempfile::tempdir().unwrap();
            let (kv, log) = (folder.path().join("kv"), folder.path().join("clog"));
            let log = write_log(&log, &chain);
            let stop = CancellationToken::new();
            let before =
                open_state(&kv, &chain.genesis, &log, CACHE_BYTES, &stop).unwrap().execution.standing;
            garble(&kv, tree, prefix);
            let after = open_state(&kv, &chain.genesis, &log, CACHE_BYTES, &stop).unwrap();
            assert_eq!(after.execution.standing, before, "{tree}");
            assert_eq!(after.roots.len(), chain.blocks.len());
            assert!(folder.path().join("kv.damaged").is_dir(), "{tree}");
        }
    }

    #[test]
    fn a_start_that_is_told_to_stop_ends_at_the_next_block_and_the_one_after_goes_on_from_there() {
        let chain = chain_of(5);
        let folder = tempfile::tempdir().unwrap();
        let kv = folder.path().join("kv");
        let log = write_log(&folder.path().join("clog"), &chain);
        let stop = CancellationToken::new();
        stop.cancel();
        let stopped = open_state(&kv, &chain.genesis, &log, CACHE_BYTES, &stop).err().expect("stopped");
        assert!(stopped.is::<Stopped>(), "{stopped:#}");
        let stop = CancellationToken::new();
        let opened = open_state(&kv, &chain.genesis, &log, CACHE_BYTES, &stop).unwrap();
        assert_eq!(opened.execution.standing.executed.height, Height(5));
        assert!(!folder.path().join("kv.damaged").exists());
    }

    #[test]
    fn a_missing_journal_leaves_its_place_free_for_whoever_moves_it_back() {
        let chain = chain_of(1);
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        drop(recover_at(&home, &chain));
        let (wal, away) = (home.data_path().join("wal"), folder.path().join("away"));
        std::fs::rename(&wal, &away).unwrap();
        let error = try_recover(&home, &chain).err().expect("the votes are not known").to_string();
        assert!(error.contains("is missing") && !wal.exists(), "{error}");
        std::fs::rename(&away, &wal).unwrap();
        drop(recover_at(&home, &chain));
    }

    #[test]
    fn a_log_is_not_executed_on_another_genesis() {
        let chain = chain_of(2);
        let folder = tempfile::tempdir().unwrap();
        let log = write_log(&folder.path().join("clog"), &chain);
        let mut other = chain.genesis.clone();
        other.timestamp_ms += 1;
        let stop = CancellationToken::new();
        let refused = open_state(&folder.path().join("kv"), &other, &log, CACHE_BYTES, &stop);
        let refused = refused.err().expect("the log is another network's").to_string();
        assert!(refused.contains("not of this chain"), "{refused}");
    }

    fn log_from(folder: &Path, chain: &Chain, first: usize) {
        let mut log = CommittedLog::open(folder, SegmentOptions::default()).unwrap();
        for block in &chain.blocks[first - 1..] {
            log.append(block.header.height, &block.encode()).unwrap();
        }
        log.flush().unwrap();
    }

    fn recover_at(home: &Home, chain: &Chain) -> Recovered {
        try_recover(home, chain).unwrap()
    }

    #[test]
    fn votes_that_were_lost_before_the_folder_was_brought_to_this_version_stay_lost() {
        let chain = chain_of(3);
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        drop(recover_at(&home, &chain));
        log_from(&home.data_path().join("clog"), &chain, 1);
        let (mut journal, _) =
            Journal::open(&home.data_path().join("wal"), SegmentOptions::default()).unwrap();
        journal.append(&Entry::Floor(VoteFloor::UNKNOWN).encode());
        journal.flush().unwrap();
        drop(journal);
        std::fs::write(home.data_path().join("FORMAT"), "aegis data format 1\n").unwrap();
        for _ in 0..2 {
            let recovered = recover_at(&home, &chain);
            assert!(recovered.engine.status().floor.is_unknown());
            assert!(!recovered.engine.status().is_member);
            assert_eq!(recovered.data_dir.version(), FORMAT_VERSION);
        }
    }

    /// A home whose journal has some entries behind its name, with the segment that they are in and where they begin.
    fn home_with_entries(folder: &Path, chain: &Chain) -> (Home, std::path::PathBuf, u64) {
        let home = Home::new(folder);
        drop(recover_at(&home, chain));
        let wal = home.data_path().join("wal");
        let segment = std::fs::read_dir(&wal).unwrap().next().unwrap().unwrap().path();
        let begin = std::fs::metadata(&segment).unwrap().len();
        let (mut journal, _) = Journal::open(&wal, SegmentOptions::default()).unwrap();
        for epoch in 0..3 {
            let floor = VoteFloor { epoch: Epoch(epoch), ..VoteFloor::NONE };
            journal.append(&Entry::Floor(floor).encode());
            journal.flush().unwrap();
        }
        (home, segment, begin)
    }

    fn try_recover(home: &Home, chain: &Chain) -> anyhow::Result<Recovered> {
        let store = aegis_config::StoreSection::default();
        recover(&RecoverOptions {
            home,
            genesis: &chain.genesis,
            node_key: &chain.key,
            store: &store,
            clock: Clock::start(),
            stop: &CancellationToken::new(),
        })
    }

    #[test]
    fn a_journal_that_was_cut_after_a_start_had_found_it_longer_stops_the_node() {
        let chain = chain_of(1);
        let folder = tempfile::tempdir().unwrap();
        let (home, segment, begin) = home_with_entries(folder.path(), &chain);
        // This start notes how far the journal is.
        drop(recover_at(&home, &chain));
        std::fs::OpenOptions::new().write(true).open(&segment).unwrap().set_len(begin + 20).unwrap();
        let cut = std::fs::read(&segment).unwrap();
        let error = try_recover(&home, &chain).err().expect("votes are lost").to_string();
        assert!(error.contains("are missing") && error.contains("accept-lost-votes"), "{error}");
        assert!(std::fs::read(&segment).unwrap() == cut, "a journal that is refused is left as it is");
        let options = SegmentOptions::default();
        crate::node::lost_votes::accept_lost_votes(
            &home,
            options.segment_bytes,
            crate::node::lost_votes::Cause::Unusable,
        )
        .expect("it is not whole");
        assert!(recover_at(&home, &chain).engine.status().floor.is_unknown());
    }

    #[test]
    fn a_torn_write_above_what_was_noted_is_cut_without_alarm() {
        let chain = chain_of(1);
        let folder = tempfile::tempdir().unwrap();
        let (home, segment, _) = home_with_entries(folder.path(), &chain);
        drop(recover_at(&home, &chain));
        let end = std::fs::metadata(&segment).unwrap().len();
        let (mut journal, _) =
            Journal::open(&home.data_path().join("wal"), SegmentOptions::default()).unwrap();
        journal.append(&Entry::Floor(VoteFloor::NONE).encode());
        journal.flush().unwrap();
        drop(journal);
        std::fs::OpenOptions::new().write(true).open(&segment).unwrap().set_len(end + 20).unwrap();
        assert_eq!(recover_at(&home, &chain).engine.status().floor.epoch, Epoch(2));
    }

    #[test]
    fn an_older_copy_of_the_data_folder_is_told_from_the_true_one_as_the_home_knows_how_far_its_journal_was()
    {
        let chain = chain_of(1);
        let folder = tempfile::tempdir().unwrap();
        let (home, segment, begin) = home_with_entries(folder.path(), &chain);
        let older = std::fs::read(&segment).unwrap()[..usize::try_from(begin).unwrap()].to_vec();
        drop(recover_at(&home, &chain));
        std::fs::write(&segment, older).unwrap();
        assert!(try_recover(&home, &chain).is_err());
    }

    #[test]
    fn a_node_that_finds_its_signature_on_a_block_of_which_its_journal_knows_nothing_does_not_vote() {
        let mut chain = Chain::new();
        let mut execution = chain.execution();
        for number in 0..3 {
            let proposal = chain.proposal(put(&format!("k{number}")));
            chain.decide(&mut execution, vec![proposal]);
        }
        for (lost, may_vote) in [(0, true), (1, false), (3, false)] {
            let folder = tempfile::tempdir().unwrap();
            let home = Home::new(folder.path());
            drop(recover_at(&home, &chain));
            log_from(&home.data_path().join("clog"), &chain, 1);
            let (mut journal, _) =
                Journal::open(&home.data_path().join("wal"), SegmentOptions::default()).unwrap();
            for block in &chain.blocks[..3 - lost] {
                let (header, certificate) = (block.header.clone(), block.certificate.clone());
                let vote = Vote::sign(certificate.content, &chain.key, &chain.genesis.domain());
                let record = Record::Committing { header, certificate, vote };
                journal.append(&Entry::Record(Box::new(record)).encode());
            }
            journal.flush().unwrap();
            drop(journal);
            // Also at the start after: that votes are lost is in the journal by then.
            for _ in 0..2 {
                let status = recover_at(&home, &chain).engine.status();
                assert_eq!(
                    (status.is_member, status.floor.is_unknown()),
                    (may_vote, !may_vote),
                    "{lost} lost"
                );
            }
        }
    }

    #[test]
    fn a_node_whose_log_ends_below_what_its_journal_dropped_does_not_vote() {
        let chain = chain_of(5);
        for (blocks, may_vote) in [(3, false), (4, true), (5, true)] {
            let folder = tempfile::tempdir().unwrap();
            let home = Home::new(folder.path());
            drop(recover_at(&home, &chain));
            let wal = home.data_path().join("wal");
            let (mut journal, _) = Journal::open(&wal, SegmentOptions::default()).unwrap();
            let floor = VoteFloor { height: Height(4), ..VoteFloor::NONE };
            journal.append(&Entry::Floor(floor).encode());
            // What follows must not lower it: such a journal was written by a node that regained its seat after a checkpoint.
            journal.append(&Entry::Floor(VoteFloor::NONE).encode());
            journal.flush().unwrap();
            drop(journal);
            let mut log =
                CommittedLog::open(&home.data_path().join("clog"), SegmentOptions::default()).unwrap();
            for block in &chain.blocks[..blocks] {
                log.append(block.header.height, &block.encode()).unwrap();
            }
            log.flush().unwrap();
            drop(log);
            let recovered = recover_at(&home, &chain);
            assert_eq!(recovered.engine.status().is_member, may_vote);
        }
    }

    #[test]
    fn after_a_state_was_taken_over_batches_that_had_their_effect_are_not_offered_again() {
        let mut chain = chain_of(2);
        let mut execution = chain.execution();
        for block in &chain.blocks {
            execution.execute(block).unwrap();
        }
        // The index of a node that took over the state after block 2 does not know what stood in the blocks.
        let kv = execution.kv.clone();
        let ops: Vec<Op> =
            chain.blocks.iter().map(|block| state::forget_batch_op(&batch_digest(block))).collect();
        kv.commit(&ops).unwrap();
        let spent = Arc::new(HeldBatch::new(chain.blocks[0].batches[0].clone()));
        let proposal = chain.proposal(put("new"));
        let fresh = Arc::new(HeldBatch::new(chain.add(10, vec![proposal]).batches[0].clone()));
        let folder = tempfile::tempdir().unwrap();
        log_from(folder.path(), &chain, 2);
        let log = CommittedLog::open(folder.path(), SegmentOptions::default()).unwrap();
        let (_, references) = recover_batches(&execution, &log, &[], vec![spent, fresh.clone()]).unwrap();
        assert_eq!(references, [fresh.reference]);
    }

    #[test]
    fn recovered_batches_are_those_that_are_not_executed_or_that_a_vote_vouches_for() {
        let mut chain = chain_of(2);
        let mut execution = chain.execution();
        for block in &chain.blocks {
            execution.execute(block).unwrap();
        }
        let [executed, repeated] = [0, 1].map(|index| chain.blocks[index].batches[0].clone());
        // Above the executed blocks, a header names a batch once more.
        let mut header = chain.add(10, Vec::new()).header;
        header.batches = vec![repeated.reference()];
        let proposal = chain.proposal(put("new"));
        let fresh = chain.add(10, vec![proposal]);
        let held = [executed, repeated, fresh.batches[0].clone(), fresh.batches[0].clone()]
            .map(|batch| Arc::new(HeldBatch::new(batch)));
        let content = VoteContent {
            kind: VoteKind::Prepare,
            epoch: header.epoch,
            view: View::ZERO,
            height: header.height,
            digest: header.digest(),
        };
        let vote = Vote::sign(content, &chain.key, &chain.genesis.domain());
        let records = [Record::Prepared { header, vote }];
        let folder = tempfile::tempdir().unwrap();
        let log = write_log(folder.path(), &chain);
        let (pool, references) = recover_batches(&execution, &log, &records, held.to_vec()).unwrap();
        assert_eq!(references, [held[1].reference, held[2].reference]);
        assert!(references.iter().all(|reference| pool.is_pending(&reference.digest)));
        assert!(pool.get(&batch_digest(&chain.blocks[0])).is_none());
    }
}
