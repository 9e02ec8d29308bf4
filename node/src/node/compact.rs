//! Makes a data folder smaller while no node runs on it: lets old blocks go as configured, and writes the state store anew.

use aegis_config::StoreSection;
use aegis_store::kv::compact::compact as write_anew;
use aegis_store::{CommittedLog, DataDir, KvStore, SegmentOptions, SledKv};
use anyhow::Context as _;
use serde::Serialize;

use super::prune::{Base, Needs, Pruner, Retention};
use super::snapshot::shelf::Shelf;
use super::state;
use crate::home::Home;

/// What was gained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compacted {
    /// The first block that is left.
    pub first_height: Option<u64>,
    /// Bytes of the committed log, before and after.
    pub log_bytes: Sizes,
    /// Bytes of the state store, before and after.
    pub kv_bytes: Sizes,
}

/// The size of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Before it was compacted.
    pub before: u64,
    /// After that.
    pub after: u64,
}

/// Compacts a home's data. `copied` is told how many entries of the state store are written.
///
/// # Errors
/// When a node runs, or a store fails; what was there is then still there.
pub fn compact(home: &Home, store: &StoreSection, copied: &mut dyn FnMut(u64)) -> anyhow::Result<Compacted> {
    let data_dir = DataDir::open(&home.data_path())?;
    let sizes = || (folder_bytes(&data_dir.log_dir()), folder_bytes(&data_dir.kv_dir()));
    let before = sizes();
    let options = SegmentOptions { segment_bytes: store.log_segment.bytes() };
    let mut log = CommittedLog::open(&data_dir.log_dir(), options)?;
    prune(&data_dir, &mut log, store)?;
    let first = log.first();
    write_anew(&data_dir.kv_dir(), store.cache.bytes(), copied)?;
    let after = sizes();
    Ok(Compacted {
        first_height: first.map(|height| height.0),
        log_bytes: Sizes { before: before.0, after: after.0 },
        kv_bytes: Sizes { before: before.1, after: after.1 },
    })
}

fn prune(data_dir: &DataDir, log: &mut CommittedLog, store: &StoreSection) -> anyhow::Result<()> {
    let kv = SledKv::open(&data_dir.kv_dir(), store.cache.bytes())?;
    let Some(standing) = state::load_standing(&kv)? else { return Ok(()) };
    kv.flush()?;
    let shelf = Shelf::open(data_dir.path().join("snap")).context("the snapshots cannot be opened")?;
    let mut pruner = Pruner::new(Retention::of(store));
    pruner.consider(
        &log.reader(),
        &standing,
        Needs { durable: standing.executed.height, base: Base::of(&shelf) },
    )?;
    while pruner.is_busy() {
        pruner.turn(log, &kv)?;
    }
    Ok(())
}

fn folder_bytes(folder: &std::path::Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len());
    sizes.fold(0, u64::saturating_add)
}
