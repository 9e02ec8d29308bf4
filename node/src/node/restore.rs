//! Filling a new home's data from a backup.
//!
//! # What restoring believes
//! Nothing but the genesis of the home. Every block is checked against the certificate of its epoch's validators, every
//! validator set against the handover before, the snapshot against the root that a quorum certified; the state is computed
//! anew. The restored node has lost its votes, and knows it.
//!
//! # When it fails
//! A home that knew a journal is then as it was before. One that knew none keeps the new journal, which says that votes may be lost:
//! its key may have voted on the machine that the backup is of, and a node that found nothing here would vote at once.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aegis_config::StoreSection;
use aegis_store::{CommittedLog, DataDir, KvStore, SegmentOptions, SledKv, StoreError, Table, set_aside};
use aegis_types::{Canonical as _, CommittedBlock, Genesis, Height};
use anyhow::{Context as _, anyhow, bail, ensure};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::backup::{
    HANDOVERS, LOG, SNAPSHOTS, check_snapshot, copy_file, copy_folder, proved, read_mark, remove,
};
use super::chain_check::{ProvedSets, read_block};
use super::check::Progress;
use super::executor::Execution;
use super::lost_votes::{found_without_votes, knows_of_no_vote};
use super::recovery::{open_state, start_over};
use super::snapshot::shelf::{Shelf, make_folder, read_manifest};
use super::state;
use super::state_sync::build::Build;
use super::state_sync::settle::{Incoming, settle};
use crate::home::{Home, JournalNote};

/// Restores a backup into a home whose data folder is empty or absent. The node then has no votes.
///
/// # Errors
/// When the home has data, or anything in the backup does not follow from the home's genesis. The home is then as it was before.
pub fn restore(
    home: &Home,
    genesis: &Genesis,
    from: &Path,
    store: &StoreSection,
    progress: Progress<'_>,
) -> anyhow::Result<Height> {
    let mark = read_mark(from)?;
    ensure!(
        mark.genesis == genesis.hash().to_string(),
        "the backup is of the chain `{}` with genesis {}, this home's genesis is {}",
        mark.chain,
        mark.genesis,
        genesis.hash()
    );
    let options = SegmentOptions { segment_bytes: store.journal_segment.bytes() };
    // A node that runs has data, and whoever is told to move that aside must be told to stop it first.
    DataDir::forbid_in_use(&home.data_path())?;
    check_empty(home, options)?;
    let before = Before::of(home)?;
    let data_dir = DataDir::open(&home.data_path())?;
    // Again, now that no node can run on it: what a failure leaves is deleted.
    check_empty(home, options)?;
    let restored = try_restore(home, genesis, &data_dir, from, store, progress);
    restored.map_err(|error| match before.bring_back(home) {
        Ok(()) if before.note.is_some() => error.context("nothing was restored, and the home is as it was before"),
        Ok(()) => error.context(
            "nothing was restored; all that was written is the note that votes of this key may be lost, so that a node of this \
             home votes only from a later epoch on",
        ),
        Err(left) => error.context(format!(
            "nothing was restored; what was written cannot be removed ({left:#}): move {} aside before you try again",
            home.data_path().display()
        )),
    })
}

fn try_restore(
    home: &Home,
    genesis: &Genesis,
    data_dir: &DataDir,
    from: &Path,
    store: &StoreSection,
    progress: Progress<'_>,
) -> anyhow::Result<Height> {
    // First of all: whatever becomes of the rest, this home never votes as if it knew its votes.
    let options = SegmentOptions { segment_bytes: store.journal_segment.bytes() };
    let journal = data_dir.journal_dir();
    if is_empty(&journal)? {
        found_without_votes(home, data_dir, options)?;
    } else if home.read_journal_note()?.is_none() {
        // A crash came between the journal and the home's note of it.
        set_aside(&journal)?;
        found_without_votes(home, data_dir, options)?;
    }
    let source = copy_to_read(data_dir, from)?;
    let restored = fill(genesis, data_dir, from, &source, store, progress)
        .map_err(|error| naming_the_original(&error, &source, &from.join(LOG)))?;
    remove(&source)?;
    Ok(restored)
}

/// Refuses a home that has votes, blocks or state.
fn check_empty(home: &Home, options: SegmentOptions) -> anyhow::Result<()> {
    for name in PARTS {
        let folder = home.data_path().join(name);
        let is_free = is_empty(&folder)? || name == JOURNAL && knows_of_no_vote(&folder, options)?;
        ensure!(is_free, "{} is not empty; move the home's data folder aside first", folder.display());
    }
    Ok(())
}

/// Whether a folder has no entry, or is absent.
fn is_empty(folder: &Path) -> anyhow::Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error).with_context(|| folder.display().to_string()),
    }
}

/// An error about a file of the copy, with the name of the file that it was copied from: that is the one to replace.
fn naming_the_original(error: &anyhow::Error, copy: &Path, original: &Path) -> anyhow::Error {
    let of_store = error.chain().find_map(|cause| cause.downcast_ref());
    if let Some(StoreError::Damaged { file, offset, reason, .. }) = of_store
        && let Ok(name) = file.strip_prefix(copy)
    {
        let file = original.join(name);
        let place = offset.map_or_else(String::new, |offset| format!(" at byte {offset}"));
        return anyhow!(
            "the backup is damaged: {}{place}: {reason}; use another backup, or let the node fetch everything from others",
            file.display()
        );
    }
    anyhow!(format!("{error:#}").replace(&copy.display().to_string(), &original.display().to_string()))
}

/// The folder of the vote journal in a data folder.
const JOURNAL: &str = "wal";
/// Votes, blocks and state in a data folder.
const PARTS: [&str; 3] = [JOURNAL, LOG, "kv"];
/// The copy of the backup's log.
const COPY: &str = "restoring";
/// All that a restore makes in a data folder.
const MADE: [&str; 5] = [JOURNAL, LOG, "kv", COPY, SNAPSHOTS];

/// A home before a restore.
struct Before {
    /// What is in its data folder; none if there is no such folder. Votes, blocks and state are not.
    entries: Option<BTreeSet<OsString>>,
    note: Option<JournalNote>,
}

impl Before {
    fn of(home: &Home) -> anyhow::Result<Self> {
        let data = home.data_path();
        let entries = match fs::read_dir(&data) {
            Ok(entries) => {
                let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
                Some(names.collect::<io::Result<_>>().with_context(|| data.display().to_string())?)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| data.display().to_string()),
        };
        Ok(Self { entries, note: home.read_journal_note()? })
    }

    /// Deletes what a restore made. The journal stays where the home knew none: without it the node would vote as if it knew its
    /// votes.
    fn bring_back(&self, home: &Home) -> anyhow::Result<()> {
        let data = home.data_path();
        let keeps_journal = self.note.is_none();
        let had =
            |name: &&str| self.entries.as_ref().is_some_and(|entries| entries.contains(OsStr::new(name)));
        for name in MADE {
            let path = data.join(name);
            if keeps_journal && name == JOURNAL {
                continue;
            }
            if !had(&name) {
                remove(&path)?;
            } else if PARTS.contains(&name) {
                // It was empty, and may be a link to a folder elsewhere.
                for made in fs::read_dir(&path)? {
                    let made = made?;
                    if made.file_type()?.is_dir() {
                        fs::remove_dir_all(made.path())?;
                    } else {
                        fs::remove_file(made.path())?;
                    }
                }
            }
        }
        let Some(note) = self.note else { return Ok(()) };
        home.write_journal_note(note)?;
        if self.entries.is_none() {
            return Ok(remove(&data)?);
        }
        for name in DataDir::FILES.iter().filter(|name| !had(name)) {
            match fs::remove_file(data.join(name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Opening a log may write to it; a backup stays as it is.
fn copy_to_read(data_dir: &DataDir, from: &Path) -> anyhow::Result<PathBuf> {
    let source = data_dir.path().join(COPY);
    remove(&source)?;
    copy_folder(&from.join(LOG), &source, |name| name.ends_with(".seg"))?;
    Ok(source)
}

fn fill(
    genesis: &Genesis,
    data_dir: &DataDir,
    from: &Path,
    source: &Path,
    store: &StoreSection,
    progress: Progress<'_>,
) -> anyhow::Result<Height> {
    let options = SegmentOptions { segment_bytes: store.log_segment.bytes() };
    let source = CommittedLog::open(source, options)?;
    let (Some(first), Some(last)) = (source.first(), source.last()) else {
        bail!("the backup holds no block")
    };
    let (mut execution, mut log) = if first == Height(1) {
        let kv: Arc<dyn KvStore> = Arc::new(SledKv::open(&data_dir.kv_dir(), store.cache.bytes())?);
        (start_over(&kv, genesis)?, CommittedLog::open(&data_dir.log_dir(), options)?)
    } else {
        from_snapshot(genesis, data_dir, from, store)?
    };
    let mut sets = proved(genesis, &from.join(HANDOVERS))?;
    let reader = source.reader();
    let begin = execution.standing.executed.height.next();
    ensure!(begin >= first, "the backup has no block {begin}");
    let total = last.0.saturating_sub(begin.0).saturating_add(1);
    for height in begin.0..=last.0 {
        restore_block(&mut sets, &mut execution, &mut log, read_block(&reader, Height(height)))
            .with_context(|| format!("block {height} of the backup does not hold"))?;
        if height % FLUSH_BLOCKS == 0 {
            log.flush()?;
        }
        progress(height.saturating_sub(begin.0).saturating_add(1), total);
    }
    log.flush()?;
    execution.kv.flush()?;
    Ok(last)
}

/// Blocks that share a flush.
const FLUSH_BLOCKS: u64 = 256;

/// Verifies a block, and the state that it certifies, and executes it.
fn restore_block(
    sets: &mut ProvedSets,
    execution: &mut Execution,
    log: &mut CommittedLog,
    block: anyhow::Result<CommittedBlock>,
) -> anyhow::Result<()> {
    let block = block?;
    if execution.standing.epoch.validators.epoch() > sets.epoch() {
        sets.follow(execution.kv.as_ref())?;
    }
    sets.verify(&block)?;
    let named = block.header.executed;
    if let Some(root) = execution.kv.get(Table::Index, &state::root_key(named.height))? {
        ensure!(
            root == named.state_root.0,
            "the state after block {} is not the certified one",
            named.height
        );
    }
    log.append(block.header.height, &block.encode())?;
    execution.execute(&block)?;
    Ok(())
}

/// Builds state and log from the backup's snapshot, as a node does that has fetched it from others.
fn from_snapshot(
    genesis: &Genesis,
    data_dir: &DataDir,
    from: &Path,
    store: &StoreSection,
) -> anyhow::Result<(Execution, CommittedLog)> {
    let mark = read_mark(from)?;
    let height = mark.snapshot_height.context("the backup has neither the first blocks nor a snapshot")?;
    check_snapshot(genesis, from, Height(height)).context("the backup's snapshot does not hold")?;
    let shelf = Shelf::open(data_dir.path().join(SNAPSHOTS))?;
    let incoming = Incoming::new(shelf.incoming());
    remove(incoming.folder())?;
    make_folder(incoming.folder())?;
    copy_folder(&from.join(SNAPSHOTS).join(height.to_string()), &incoming.pieces(), |_| true)?;
    copy_file(&from.join(HANDOVERS), &incoming.handovers())?;
    let manifest = read_manifest(&incoming.pieces())?;
    let (progress, _) = watch::channel(None);
    let build = Build {
        incoming: &incoming,
        genesis,
        manifest: &manifest,
        cache_bytes: store.cache.bytes(),
        log_segment_bytes: store.log_segment.bytes(),
        progress: &progress,
        stop: &CancellationToken::new(),
    };
    build.run()?;
    settle(data_dir, &shelf)?;
    let log =
        CommittedLog::open(&data_dir.log_dir(), SegmentOptions { segment_bytes: store.log_segment.bytes() })?;
    let state =
        open_state(&data_dir.kv_dir(), genesis, &log, store.cache.bytes(), &CancellationToken::new())?;
    Ok((state.execution, log))
}
