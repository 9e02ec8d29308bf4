//! Opens the committed log and the state store, and mends what other nodes can give back.
//!
//! | damaged or lost | what is done |
//! |---|---|
//! | state store | it is set aside and built again from the committed log |
//! | a part of the log | what is intact around the newest executed block stays, the rest is set aside; newer blocks are fetched again |
//! | an old block, noticed when it is read | the read fails; the next start repairs the log |
//! | the newest executed block, or blocks that the state must be built from | log and state store are set aside; all is fetched again |
//!
//! The vote journal is never touched here. It says below which block it has dropped votes ([`aegis_consensus::VoteFloor`]),
//! so a node whose log is shorter than it was follows blocks without voting until it is there again.

use aegis_store::{
    CommittedLog, DataDir, Part, SegmentOptions, SledKv, StoreError, repair_log, set_aside, tolerate_damage,
};
use aegis_types::{Genesis, Height};
use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::recovery::{State, open_state};
use super::state;

/// The committed log lacks blocks that the node needs.
#[derive(Debug, thiserror::Error)]
#[error("{reason}; other nodes have these blocks, and this one cannot go on without them")]
pub struct LostBlocks {
    /// Which.
    pub reason: String,
}

/// Log and state, open and of one moment.
pub struct Opened {
    pub log: CommittedLog,
    pub state: State,
    /// Whether anything had to be set aside.
    pub was_repaired: bool,
}

/// What is tried, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    AsItIs,
    AfterRepair,
    FromNothing,
}

/// Opens log and state, repairing them as far as it takes.
///
/// # Errors
/// What cannot be mended: errors of the disk, data of another network, or damage in a network where no other node has the
/// blocks. [`Stopped`](super::stop::Stopped) when told to stop.
pub fn open_log_and_state(
    data_dir: &DataDir,
    genesis: &Genesis,
    store: &aegis_config::StoreSection,
    stop: &CancellationToken,
) -> anyhow::Result<Opened> {
    let open = || -> anyhow::Result<(CommittedLog, State)> {
        let options = SegmentOptions { segment_bytes: store.log_segment.bytes() };
        let log = CommittedLog::open(&data_dir.log_dir(), options)?;
        let state = open_state(&data_dir.kv_dir(), genesis, &log, store.cache.bytes(), stop)?;
        Ok((log, state))
    };
    let has_others = genesis.validators.len() > 1;
    if !has_others {
        tolerate_damage(&data_dir.log_dir())?;
    }
    let mut attempt = Attempt::AsItIs;
    loop {
        let error = match open() {
            Ok((log, state)) => {
                return Ok(Opened { log, state, was_repaired: attempt != Attempt::AsItIs });
            }
            Err(error) => error,
        };
        let is_mendable = is_log_damage(&error) && has_others;
        attempt = match attempt {
            _ if !is_mendable => return Err(error),
            Attempt::AsItIs => mend(data_dir, store, &error)?,
            Attempt::AfterRepair => start_over(data_dir, &error)?,
            Attempt::FromNothing => return Err(error),
        };
    }
}

/// Keeps what is intact around the newest executed block, if that block is.
fn mend(
    data_dir: &DataDir,
    store: &aegis_config::StoreSection,
    error: &anyhow::Error,
) -> anyhow::Result<Attempt> {
    let needed = newest_executed(data_dir, store).unwrap_or(Height(1));
    warn!(error = format!("{error:#}"), %needed, "committed log and state cannot be used as they are; what is intact of the log around the newest executed block is kept");
    let repair = repair_log(&data_dir.log_dir(), needed).context("the committed log cannot be repaired")?;
    match repair.kept {
        Some(_) => Ok(Attempt::AfterRepair),
        None => start_over(data_dir, error),
    }
}

fn start_over(data_dir: &DataDir, error: &anyhow::Error) -> anyhow::Result<Attempt> {
    warn!(
        error = format!("{error:#}"),
        "blocks that this node cannot do without are lost; committed log and state store are set aside, and all is fetched \
         from other nodes again"
    );
    for folder in [data_dir.log_dir(), data_dir.kv_dir()] {
        set_aside(&folder).context("damaged data cannot be set aside")?;
    }
    Ok(Attempt::FromNothing)
}

/// Where the state store stands, if it can tell.
fn newest_executed(data_dir: &DataDir, store: &aegis_config::StoreSection) -> Option<Height> {
    let kv = SledKv::open(&data_dir.kv_dir(), store.cache.bytes()).ok()?;
    let standing = state::load_standing(&kv).ok()??;
    Some(standing.executed.height).filter(|height| *height > Height::ZERO)
}

/// Whether an error says that the committed log is damaged or too short.
fn is_log_damage(error: &anyhow::Error) -> bool {
    let is_damage = |cause: &(dyn std::error::Error + 'static)| {
        matches!(cause.downcast_ref(), Some(StoreError::Damaged { part: Part::CommittedLog, .. }))
    };
    error.is::<LostBlocks>() || error.chain().any(is_damage)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use aegis_config::StoreSection;
    use aegis_types::{Canonical as _, Epoch, Keypair, Member, ValidatorSet, Weight};

    use super::*;
    use crate::node::testing::{Chain, put};

    const BLOCKS: u64 = 30;

    /// A chain of a network in which others have the blocks too.
    fn chain() -> Chain {
        let mut chain = Chain::new();
        let other = Keypair::from_seed(&[2; 32]).validator_id();
        let mut members = chain.genesis.validators.members().to_vec();
        members.push(Member { validator: other, weight: Weight(1) });
        chain.genesis.validators = ValidatorSet::new(Epoch(0), members).unwrap();
        for number in 0..BLOCKS {
            let proposal = chain.proposal(put(&format!("k{number}")));
            chain.add(10, vec![proposal]);
        }
        chain
    }

    fn open_all(data_dir: &DataDir, genesis: &Genesis, store: &StoreSection) -> anyhow::Result<Opened> {
        open_log_and_state(data_dir, genesis, store, &CancellationToken::new())
    }

    /// A data folder with all blocks, executed.
    fn folder(chain: &Chain) -> (tempfile::TempDir, StoreSection) {
        let temp = tempfile::tempdir().unwrap();
        let store = StoreSection::default();
        let data_dir = DataDir::open(temp.path()).unwrap();
        // Files of a few blocks.
        let options = SegmentOptions { segment_bytes: 2 << 10 };
        let mut log = CommittedLog::open(&data_dir.log_dir(), options).unwrap();
        for block in &chain.blocks {
            log.append(block.header.height, &block.encode()).unwrap();
            log.flush().unwrap();
        }
        drop(log);
        let opened = open_all(&data_dir, &chain.genesis, &store).unwrap();
        assert!(!opened.was_repaired);
        assert_eq!(opened.state.execution.standing.executed.height, Height(BLOCKS));
        (temp, store)
    }

    fn log_files(data: &Path) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(data.join("clog")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn flip(file: &Path, offset: usize) {
        let mut bytes = fs::read(file).unwrap();
        bytes[offset] ^= 1;
        fs::write(file, bytes).unwrap();
    }

    fn aside(data: &Path) -> Vec<String> {
        let names =
            fs::read_dir(data).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.contains(".damaged")).collect();
        names.sort();
        names
    }

    /// Opens a damaged folder: first block, last block, executed block.
    fn open(data: &Path, chain: &Chain, store: &StoreSection) -> (Option<u64>, Option<u64>, u64) {
        let data_dir = DataDir::open(data).unwrap();
        let opened = open_all(&data_dir, &chain.genesis, store).unwrap();
        let of = |height: Option<Height>| height.map(|height| height.0);
        (of(opened.log.first()), of(opened.log.last()), opened.state.execution.standing.executed.height.0)
    }

    #[test]
    fn a_damaged_old_file_costs_old_blocks_and_no_state() {
        let chain = chain();
        let (temp, store) = folder(&chain);
        let files = log_files(temp.path());
        flip(&files[1], 8);
        let (first, last, executed) = open(temp.path(), &chain, &store);
        assert!(first > Some(1) && (last, executed) == (Some(BLOCKS), BLOCKS), "{first:?}");
        assert_eq!(aside(temp.path()), ["clog.damaged"]);
        assert_eq!(
            open(temp.path(), &chain, &store),
            (first, last, executed),
            "and the next start finds all well"
        );
    }

    #[test]
    fn a_log_that_has_lost_the_newest_executed_block_starts_over() {
        let chain = chain();
        for damage in [
            |files: &[PathBuf]| fs::remove_file(files.last().unwrap()).unwrap(),
            |files: &[PathBuf]| flip(files.last().unwrap(), 8),
            |files: &[PathBuf]| files.iter().for_each(|file| fs::remove_file(file).unwrap()),
        ] {
            let (temp, store) = folder(&chain);
            damage(&log_files(temp.path()));
            assert_eq!(open(temp.path(), &chain, &store), (None, None, 0));
            assert_eq!(aside(temp.path()).last().unwrap(), "kv.damaged");
        }
    }

    #[test]
    fn a_state_that_must_be_built_again_is_built_as_far_as_the_log_is_intact() {
        let chain = chain();
        let (temp, store) = folder(&chain);
        fs::remove_dir_all(temp.path().join("kv")).unwrap();
        let files = log_files(temp.path());
        let middle = &files[files.len() / 2];
        // In a payload, where opening does not look.
        flip(middle, 64 + 32 + 100);
        let (first, last, executed) = open(temp.path(), &chain, &store);
        assert_eq!((first, last), (Some(1), Some(executed)));
        assert!(executed > 0 && executed < BLOCKS, "{executed}");
    }

    #[test]
    fn a_block_that_is_found_damaged_when_it_is_read_is_mended_at_the_next_start() {
        let chain = chain();
        let (temp, store) = folder(&chain);
        let files = log_files(temp.path());
        flip(&files[1], 64 + 32 + 100);
        let data_dir = DataDir::open(temp.path()).unwrap();
        let opened = open_all(&data_dir, &chain.genesis, &store).unwrap();
        let reads = (1..=BLOCKS).map(|height| opened.log.reader().read(Height(height)));
        let damaged = reads.filter(Result::is_err).count();
        assert_eq!(damaged, 1);
        drop((opened, data_dir));
        let (first, last, executed) = open(temp.path(), &chain, &store);
        assert!(first > Some(1) && (last, executed) == (Some(BLOCKS), BLOCKS), "{first:?}");
    }

    #[test]
    fn state_and_the_first_blocks_lost_together_start_over() {
        let chain = chain();
        let (temp, store) = folder(&chain);
        fs::remove_dir_all(temp.path().join("kv")).unwrap();
        fs::remove_file(&log_files(temp.path())[0]).unwrap();
        assert_eq!(open(temp.path(), &chain, &store), (None, None, 0));
    }

    #[test]
    fn where_nobody_else_has_the_blocks_nothing_is_touched() {
        let mut chain = Chain::new();
        for number in 0..BLOCKS {
            let proposal = chain.proposal(put(&format!("k{number}")));
            chain.add(10, vec![proposal]);
        }
        let (temp, store) = folder(&chain);
        fs::remove_file(log_files(temp.path()).last().unwrap()).unwrap();
        let files = log_files(temp.path());
        let data_dir = DataDir::open(temp.path()).unwrap();
        let error = open_all(&data_dir, &chain.genesis, &store).err().expect("refused");
        assert!(is_log_damage(&error), "{error:#}");
        assert_eq!(log_files(temp.path()), files);
        assert!(aside(temp.path()).is_empty());
    }
}
