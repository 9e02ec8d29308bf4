//! Makes a snapshot now and then, beside execution.
//!
//! A snapshot is due when the certified height has passed a multiple of the configured number of blocks. Which heights are
//! certified stands in the decided headers, so all nodes with the same setting make the same snapshots: a newcomer has
//! several sources of each. They do not all write at once, though: the state is pinned at that height, and each node waits
//! for a while that its id tells before it reads and writes. A node that is still busy with one leaves the next one out.
//!
//! None is made without room to spare ([`SnapshotRoom`]), and what was begun is given up when the room shrinks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aegis_store::{KvStore, LogReader};
use aegis_types::{Canonical as _, CertifiedHeader, CommittedBlock, Height, ValidatorId};
use anyhow::{Context as _, anyhow};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::cut::Uncuttable;
use super::room::SnapshotRoom;
use super::shelf::{Shelf, read_manifest};
use super::writer::Source;
use crate::node::certified::{CertifiedState, Followed};
use crate::node::prune::Base;

/// How much the thread that writes snapshots stands back behind all others.
const NICENESS: i32 = 10;
/// Longest wait before a snapshot is written. Longer would spread the load further, and cost more memory for what changes
/// meanwhile.
const SPREAD_MAX: Duration = Duration::from_secs(20);
/// ... and the longest as a part of the time since the one before was due: the wait must be nothing beside the interval.
const SPREAD_PART: u32 = 8;
/// How often a waiting writer looks whether it should begin or end.
const SPREAD_STEP: Duration = Duration::from_millis(100);
/// How long a stopping node waits for a snapshot that it has given up: less than the node has for stopping.
const GIVE_UP_TIMEOUT: Duration = Duration::from_millis(2_000);
const GIVE_UP_STEP: Duration = Duration::from_millis(5);

/// What makes snapshots.
pub struct MakerOptions {
    /// Where they are kept.
    pub shelf: Arc<Shelf>,
    /// The state.
    pub kv: Arc<dyn KvStore>,
    /// The blocks.
    pub log: LogReader,
    /// Blocks between two snapshots; with 0, none are made.
    pub every: u64,
    /// The disk.
    pub room: SnapshotRoom,
    /// Whose id tells how long to wait.
    pub node: ValidatorId,
}

/// Makes snapshots on a thread of its own; at most one at a time.
pub struct SnapshotMaker {
    options: MakerOptions,
    /// The certified height when it was looked at last.
    seen: Option<Height>,
    /// When the last snapshot was due, or this was made.
    due: Instant,
    writing: Option<JoinHandle<()>>,
    /// Whether the last try has shown that no snapshot can be made of the state.
    is_uncuttable: Arc<AtomicBool>,
    stop: CancellationToken,
}

impl SnapshotMaker {
    /// A maker that has made nothing yet.
    pub fn new(options: MakerOptions) -> Self {
        Self {
            options,
            seen: None,
            due: Instant::now(),
            writing: None,
            is_uncuttable: Arc::default(),
            stop: CancellationToken::new(),
        }
    }

    /// The snapshots that blocks must follow on.
    pub fn base(&self) -> Base {
        if self.is_uncuttable.load(Ordering::Relaxed) {
            Base::Impossible
        } else {
            Base::of(&self.options.shelf)
        }
    }

    /// Begins a snapshot if one is due. Called by the executor after each block.
    pub fn consider(&mut self, certified: &CertifiedState) {
        let Some(every) = Some(self.options.every).filter(|every| *every > 0) else { return };
        let Ok(point) = certified.newest() else { return };
        let height = point.executed.height;
        let passed = |before: Height| height.0 / every > before.0 / every;
        // After a start, the first certified height is only looked at: which one it is depends on when the node started.
        let is_due = self.seen.replace(height).is_some_and(passed);
        if !is_due {
            return;
        }
        let spread = spread(&self.options.node, self.due.elapsed());
        self.due = Instant::now();
        let is_busy = self.writing.as_ref().is_some_and(|writing| !writing.is_finished());
        if is_busy || self.options.shelf.has(height) {
            return;
        }
        if let Err(error) = self.begin(certified, spread) {
            warn!(%height, error = format!("{error:#}"), "a snapshot could not be begun");
        }
    }

    fn begin(&mut self, certified: &CertifiedState, spread: Duration) -> anyhow::Result<()> {
        let MakerOptions { shelf, kv, log, room, .. } = &self.options;
        room.check(bytes_of_newest(shelf))?;
        let Followed { point, buckets, pinned } = certified.follow()?;
        let height = point.executed.height;
        let block_encoding = log.read(height)?.context("its block is not in the committed log")?;
        let block = CommittedBlock::decode(&block_encoding)?;
        let source = Source {
            kv: kv.clone(),
            pinned,
            buckets,
            block: CertifiedHeader { header: block.header, certificate: block.certificate },
            block_encoding,
            witness: point.by.clone(),
            room: room.clone(),
            stop: self.stop.clone(),
        };
        let (shelf, is_uncuttable) = (shelf.clone(), self.is_uncuttable.clone());
        let write = move || {
            // Without it the thread only competes a little more.
            let _ = rustix::process::nice(NICENESS);
            wait(&source, spread);
            match write(&shelf, source, height) {
                Ok(()) => is_uncuttable.store(false, Ordering::Relaxed),
                Err(error) => {
                    is_uncuttable.store(error.is::<Uncuttable>(), Ordering::Relaxed);
                    warn!(%height, error = format!("{error:#}"), "no snapshot was made");
                }
            }
        };
        let thread = std::thread::Builder::new().name("snapshot".to_owned()).spawn(write);
        self.writing = Some(thread.map_err(|error| anyhow!("the thread cannot be started: {error}"))?);
        Ok(())
    }

    /// Gives up what is being written, and waits for a while until the stores are not used any more. On a busy machine the
    /// thread, which stands back, may take longer: then the node does not wait for it. What it leaves is deleted at the next
    /// start.
    pub fn finish(self) {
        self.stop.cancel();
        let Some(writing) = self.writing else { return };
        let begun = Instant::now();
        while !writing.is_finished() {
            if begun.elapsed() > GIVE_UP_TIMEOUT {
                warn!("a snapshot that was given up is still being written");
                return;
            }
            std::thread::sleep(GIVE_UP_STEP);
        }
        if writing.join().is_err() {
            warn!("writing a snapshot ended in a panic");
        }
    }
}

/// The size of the newest snapshot, which the next one will have about; 0 when there is none.
fn bytes_of_newest(shelf: &Shelf) -> u64 {
    let newest = shelf.offers().last().map(|offer| shelf.folder_of(offer.height));
    newest.and_then(|folder| read_manifest(&folder).ok()).map_or(0, |manifest| manifest.total_bytes())
}

/// How long this node waits, when the snapshot before was due so long ago: between nothing and the longest wait, by its id.
fn spread(node: &ValidatorId, since: Duration) -> Duration {
    let longest = SPREAD_MAX.min(since / SPREAD_PART);
    // An id is a public key, so its first bytes are as good as drawn.
    let [first, second, ..] = node.0;
    longest * u32::from(u16::from_be_bytes([first, second])) / u32::from(u16::MAX)
}

/// Waits, unless the node stops or the state changes so fast that the snapshot must be written soon.
fn wait(source: &Source, spread: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < spread && !source.stop.is_cancelled() && !source.pinned.is_urgent() {
        std::thread::sleep(SPREAD_STEP.min(spread.saturating_sub(begun.elapsed())));
    }
}

fn write(shelf: &Arc<Shelf>, source: Source, height: Height) -> anyhow::Result<()> {
    let begun = Instant::now();
    let folder = shelf.begin(height)?;
    let written = source.write_into(&folder);
    // From here on the stores are not used any more.
    drop(source);
    let manifest = match written {
        Ok(manifest) => manifest,
        Err(error) => {
            discard_aside(shelf.clone(), folder);
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

/// Deletes what was begun without anybody waiting for it: there may be many large files, and the node may be stopping. What
/// is left when the process ends is deleted at its next start.
fn discard_aside(shelf: Arc<Shelf>, folder: std::path::PathBuf) {
    let shown = folder.display().to_string();
    let discard = move || {
        if let Err(error) = shelf.discard(&folder) {
            warn!(folder = %folder.display(), %error, "an unfinished snapshot cannot be deleted");
        }
    };
    if let Err(error) = std::thread::Builder::new().name("snapshot-delete".to_owned()).spawn(discard) {
        warn!(folder = shown, %error, "an unfinished snapshot is deleted at the next start only");
    }
}

#[cfg(test)]
mod tests {
    use aegis_types::Keypair;

    use super::*;

    #[test]
    fn nodes_wait_differently_long_and_never_long_beside_the_interval() {
        let wait = |seed: u8, since: u64| {
            spread(&Keypair::from_seed(&[seed; 32]).validator_id(), Duration::from_secs(since))
        };
        let waits: std::collections::BTreeSet<Duration> = (0..20).map(|seed| wait(seed, 3_600)).collect();
        assert!(waits.len() >= 18, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= SPREAD_MAX));
        assert!(*waits.last().unwrap() - *waits.first().unwrap() > SPREAD_MAX / 2, "{waits:?}");
        for seed in 0..20 {
            assert_eq!(wait(seed, 3_600), wait(seed, 7_200));
            assert!(wait(seed, 8) <= Duration::from_secs(1));
            assert_eq!(wait(seed, 0), Duration::ZERO);
        }
    }
}
