//! Checks a home's data folder in full: every checksum, every certificate, the state against its root, the index against
//! the log.
//!
//! Opening the parts does what the node does at its start: an unconfirmed write at the end of a journal or log is cut off.
//! Nothing else is changed.

use std::ops::ControlFlow;
use std::path::Path;

use aegis_config::StoreSection;
use aegis_consensus::VoteFloor;
use aegis_ledger::Ledger;
use aegis_store::{CommittedLog, DataDir, FoundJournal, KvStore, SegmentOptions, SledKv, Table};
use aegis_types::{CommittedBlock, Genesis, Hash, Height};
use anyhow::{Context as _, bail, ensure};
use serde::Serialize;

use super::chain_check::{ChainCheck, ProvedSets, read_block};
use super::journal::Entry;
use super::state::{self, StateView};
use crate::home::Home;

/// Faults that are listed; further ones are counted.
const FAULTS_MAX: usize = 100;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Version of the folder's layout.
    pub format: u32,
    /// The first block of the committed log.
    pub first_height: Option<u64>,
    /// The last block of the committed log.
    pub last_height: Option<u64>,
    /// Blocks whose contents and certificates hold.
    pub blocks: u64,
    /// The block after which the state is.
    pub executed_height: Option<u64>,
    /// The state's root, computed anew.
    pub state_root: Option<String>,
    /// Entries of the state store, each with a checksum that fits.
    pub entries: u64,
    /// The first block of an epoch whose validators follow only from blocks that are not executed yet, as after a crash: its
    /// certificate and those after it are checked when the node starts.
    pub unjudged_from: Option<u64>,
    /// The epoch from which on this node may vote; absent when it is not known yet.
    pub votes_from_epoch: Option<u64>,
    /// What is wrong, in words; at most a hundred.
    pub faults: Vec<String>,
    /// How much is wrong.
    pub faults_total: u64,
}

impl CheckReport {
    fn fault(&mut self, part: &str, reason: impl std::fmt::Display) {
        self.faults_total += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(format!("{part}: {reason}"));
        }
    }
}

/// Told how many blocks of how many are checked.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Checks the data of a home on which no node runs.
///
/// # Errors
/// When it cannot be checked: a node runs, or the folder cannot be opened. What is damaged stands in the report.
pub fn check(
    home: &Home,
    genesis: &Genesis,
    store: &StoreSection,
    progress: Progress<'_>,
) -> anyhow::Result<CheckReport> {
    let has_state = home.data_path().join("kv").is_dir();
    let data_dir = DataDir::open(&home.data_path())?;
    let mut report = CheckReport {
        format: data_dir.version(),
        first_height: None,
        last_height: None,
        blocks: 0,
        executed_height: None,
        state_root: None,
        entries: 0,
        unjudged_from: None,
        votes_from_epoch: None,
        faults: Vec::new(),
        faults_total: 0,
    };
    match check_journal(home, &data_dir, store) {
        Ok(floor) => report.votes_from_epoch = (!floor.is_unknown()).then_some(floor.epoch.0),
        Err(error) => {
            data_dir.remove_empty_journal_dir();
            report.fault("vote journal", format_args!("{error:#}"));
        }
    }
    let kv = match open_state_store(&data_dir.kv_dir(), has_state, store) {
        Ok(kv) => Some(kv),
        Err(error) => {
            report.fault("state store", format_args!("{error:#}"));
            None
        }
    };
    let sets = match kv.as_ref().map(|kv| ProvedSets::of_store(genesis, kv)) {
        Some(Ok(sets)) => sets,
        Some(Err(error)) => {
            report.fault("state store", format_args!("{error:#}"));
            ProvedSets::new(genesis)
        }
        None => ProvedSets::new(genesis),
    };
    let options = SegmentOptions { segment_bytes: store.log_segment.bytes() };
    let log = match CommittedLog::open(&data_dir.log_dir(), options) {
        Ok(log) => Some(log),
        Err(error) => {
            report.fault("committed log", error);
            None
        }
    };
    if let Some(kv) = &kv
        && let Err(error) = check_state(genesis, kv, log.as_ref(), &mut report)
    {
        report.fault("state store", format_args!("{error:#}"));
    }
    if let Some(log) = &log {
        check_blocks(genesis, log, &sets, kv.as_ref(), &mut report, progress);
    }
    Ok(report)
}

/// What an operator does about a state store that was lost.
const LOST: &str = "it is missing; start the node, which builds it again from the committed log or from peers, then check once more";

fn open_state_store(folder: &Path, has_state: bool, store: &StoreSection) -> anyhow::Result<SledKv> {
    if !has_state {
        // Opening the data folder has made an empty one, which would be taken for a store that was emptied.
        let _ = std::fs::remove_dir(folder);
        bail!(LOST);
    }
    Ok(SledKv::open(folder, store.cache.bytes())?)
}

fn check_journal(home: &Home, data_dir: &DataDir, store: &StoreSection) -> anyhow::Result<VoteFloor> {
    let options = SegmentOptions { segment_bytes: store.journal_segment.bytes() };
    let journal = FoundJournal::read(&data_dir.journal_dir(), options)?;
    let mut founded = None;
    let mut floor = VoteFloor::NONE;
    for entry in journal.records() {
        match Entry::decode(entry)? {
            Entry::Founded(id) => founded = Some(id.0),
            Entry::Floor(newer) => floor = floor.then(newer),
            Entry::Record(_) | Entry::Batch(_) => {}
        }
    }
    let known = home.read_journal_note()?;
    ensure!(founded == known.map(|known| known.id), "it is missing, or another one than this home's");
    journal.check_reaches(known.and_then(|known| known.confirmed).unwrap_or_default())?;
    Ok(floor)
}

/// Reads every entry, computes the root, and compares where the store says it stands.
fn check_state(
    genesis: &Genesis,
    kv: &SledKv,
    log: Option<&CommittedLog>,
    report: &mut CheckReport,
) -> anyhow::Result<()> {
    for table in Table::ALL {
        kv.scan(table, &[], &mut |_, _| {
            report.entries += 1;
            ControlFlow::Continue(())
        })?;
    }
    let Some(standing) = state::load_standing(kv)? else {
        // It stands at the genesis before the first block is decided, whatever becomes of the process.
        ensure!(log.is_none_or(|log| log.last().is_none()), "{LOST}");
        return Ok(());
    };
    let stored = state::load_genesis_hash(kv)?;
    ensure!(stored == Some(genesis.hash()), "it belongs to another genesis");
    let executed = standing.executed;
    report.executed_height = Some(executed.height.0);
    let root = Ledger::open(genesis, &StateView(kv))?.root();
    report.state_root = Some(root.to_string());
    ensure!(
        root == executed.state_root,
        "its state has the root {root}, it should have {}",
        executed.state_root
    );
    let last = log.and_then(CommittedLog::last).unwrap_or_default();
    ensure!(
        executed.height <= last,
        "it stands at block {}, the committed log ends at {last}",
        executed.height
    );
    if executed.height > Height::ZERO
        && let Some(log) = log
    {
        let block = read_block(&log.reader(), executed.height);
        let block = block.with_context(|| format!("its block {}", executed.height))?;
        ensure!(block.header.digest() == standing.digest, "it stands at another block {}", executed.height);
    }
    Ok(())
}

fn check_blocks(
    genesis: &Genesis,
    log: &CommittedLog,
    sets: &ProvedSets,
    kv: Option<&SledKv>,
    report: &mut CheckReport,
    progress: Progress<'_>,
) {
    let (Some(first), Some(last)) = (log.first(), log.last()) else { return };
    (report.first_height, report.last_height) = (Some(first.0), Some(last.0));
    let reader = log.reader();
    let mut chain = ChainCheck::new(genesis, first);
    let total = last.0.saturating_sub(first.0).saturating_add(1);
    let executed = Height(report.executed_height.unwrap_or_default());
    let history = kv.and_then(|kv| state::history_from(kv).ok()).unwrap_or(Height(1));
    let mut unjudged: Option<(Height, Height)> = None;
    for height in first.0..=last.0 {
        let height = Height(height);
        let checked = read_block(&reader, height).and_then(|block| {
            chain.next(&block)?;
            if block.header.epoch > sets.epoch() {
                unjudged = Some((unjudged.map_or(height, |(from, _)| from), height));
            } else {
                sets.verify(&block)?;
            }
            Ok(block)
        });
        match checked {
            Ok(_) if unjudged.is_some() => {}
            Ok(block) => {
                report.blocks += 1;
                if let Some(kv) = kv
                    && height <= executed
                    && height >= history
                    && let Err(error) = check_rows(kv, &block)
                {
                    report.fault("index", format_args!("block {height}: {error:#}"));
                }
            }
            Err(error) => {
                report.fault("committed log", format_args!("block {height}: {error:#}"));
                // What follows is judged by itself.
                chain = ChainCheck::new(genesis, height.plus(2));
            }
        }
        progress(height.0.saturating_sub(first.0).saturating_add(1), total);
    }
    match unjudged {
        None => {}
        // Without a state, which is a fault that was told, nothing follows; and a crash leaves blocks that are not executed.
        Some((from, _)) if report.executed_height.is_none() || from > executed => {
            report.unjudged_from = Some(from.0);
        }
        Some((from, to)) => {
            let epoch = sets.epoch();
            report.fault(
                "committed log",
                format_args!(
                    "the certificates of blocks {from} to {to} cannot be checked: the state store does not tell who was a \
                     validator after epoch {epoch}; start the node, which builds that store again, then check once more"
                ),
            );
        }
    }
}

/// The rows that an executed block must have. A block from before a state was taken over has none.
fn check_rows(kv: &SledKv, block: &CommittedBlock) -> anyhow::Result<()> {
    let height = block.header.height;
    let Some(root) = kv.get(Table::Index, &state::root_key(height))? else { return Ok(()) };
    Hash::from_slice("state root", &root)?;
    let named = block.header.executed;
    if let Some(root) = kv.get(Table::Index, &state::root_key(named.height))? {
        ensure!(root == named.state_root.0, "the root after block {} is not the certified one", named.height);
    }
    let mut rows = super::watch::rows_of(kv, height)?.into_iter();
    let is_taken_over = rows.len() == 0;
    for proposal in block.batches.iter().flat_map(|batch| &batch.proposals) {
        if is_taken_over {
            break;
        }
        let row = rows.next().context("a proposal has no row")?;
        ensure!(row.id()? == proposal.id(), "a row is of another proposal than the block's");
        ensure!(state::place_of(kv, &proposal.id())?.is_some(), "proposal {} cannot be found", proposal.id());
    }
    for batch in &block.header.batches {
        ensure!(
            is_taken_over || state::is_batch_executed(kv, &batch.digest)?,
            "batch {} does not count as executed",
            batch.digest
        );
    }
    Ok(())
}
