//! Makes a snapshot now and then, beside execution.
//!
//! A snapshot is due when the certified height has passed a multiple of the configured number of blocks. Which heights are
//! certified stands in the decided headers, so all nodes with the same setting make the same snapshots. A node that is still
//! busy with one leaves the next one out.

use std::sync::Arc;
use std::thread::JoinHandle;

use aegis_store::{KvStore, LogReader};
use aegis_types::{Canonical as _, CertifiedHeader, CommittedBlock, Height};
use anyhow::{Context as _, anyhow};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::shelf::Shelf;
use super::writer::Source;
use crate::node::certified::{CertifiedState, Followed};

/// How much the thread that writes snapshots stands back behind all others.
const NICENESS: i32 = 10;

/// Makes snapshots on a thread of its own; at most one at a time.
pub struct SnapshotMaker {
    shelf: Arc<Shelf>,
    kv: Arc<dyn KvStore>,
    log: LogReader,
    /// Blocks between two snapshots; none are made without.
    every: Option<u64>,
    /// The certified height when it was looked at last.
    seen: Option<Height>,
    writing: Option<JoinHandle<()>>,
    stop: CancellationToken,
}

impl SnapshotMaker {
    /// A maker that makes a snapshot every so many blocks; with 0, none.
    pub fn new(shelf: Arc<Shelf>, kv: Arc<dyn KvStore>, log: LogReader, every: u64) -> Self {
        let every = Some(every).filter(|every| *every > 0);
        Self { shelf, kv, log, every, seen: None, writing: None, stop: CancellationToken::new() }
    }

    /// The newest snapshot that is complete.
    pub fn newest(&self) -> Option<Height> {
        self.shelf.offers().last().map(|offer| offer.height)
    }

    /// Begins a snapshot if one is due. Called by the executor after each block.
    pub fn consider(&mut self, certified: &CertifiedState) {
        let Some(every) = self.every else { return };
        let Ok(point) = certified.newest() else { return };
        let height = point.executed.height;
        let passed = |before: Height| height.0 / every > before.0 / every;
        // After a start, the first certified height is only looked at: which one it is depends on when the node started.
        let is_due = self.seen.replace(height).is_some_and(passed);
        let is_busy = self.writing.as_ref().is_some_and(|writing| !writing.is_finished());
        if !is_due || is_busy || self.shelf.has(height) {
            return;
        }
        if let Err(error) = self.begin(certified) {
            warn!(%height, error = format!("{error:#}"), "a snapshot could not be begun");
        }
    }

    fn begin(&mut self, certified: &CertifiedState) -> anyhow::Result<()> {
        let Followed { point, buckets, pinned } = certified.follow()?;
        let height = point.executed.height;
        let block_encoding = self.log.read(height)?.context("its block is not in the committed log")?;
        let block = CommittedBlock::decode(&block_encoding)?;
        let source = Source {
            kv: self.kv.clone(),
            pinned,
            buckets,
            block: CertifiedHeader { header: block.header, certificate: block.certificate },
            block_encoding,
            witness: point.by.clone(),
            stop: self.stop.clone(),
        };
        let shelf = self.shelf.clone();
        let write = move || {
            // Without it the thread only competes a little more.
            let _ = rustix::process::nice(NICENESS);
            if let Err(error) = write(&shelf, &source, height) {
                warn!(%height, error = format!("{error:#}"), "no snapshot was made");
            }
        };
        let thread = std::thread::Builder::new().name("snapshot".to_owned()).spawn(write);
        self.writing = Some(thread.map_err(|error| anyhow!("the thread cannot be started: {error}"))?);
        Ok(())
    }

    /// Gives up what is being written, and waits until the stores are not used any more.
    pub fn finish(self) {
        self.stop.cancel();
        if let Some(writing) = self.writing
            && writing.join().is_err()
        {
            warn!("writing a snapshot ended in a panic");
        }
    }
}

fn write(shelf: &Shelf, source: &Source, height: Height) -> anyhow::Result<()> {
    let begun = std::time::Instant::now();
    let folder = shelf.begin(height)?;
    let written = source.write_into(&folder);
    let manifest = match written {
        Ok(manifest) => manifest,
        Err(error) => {
            shelf.discard(&folder)?;
            return Err(error);
        }
    };
    shelf.finish(&folder, height)?;
    info!(
        %height,
        chunks = manifest.chunks.len(),
        bytes = manifest.total_bytes(),
        seconds = begun.elapsed().as_secs(),
        "made a snapshot"
    );
    Ok(())
}
