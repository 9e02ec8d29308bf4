//! Restart: from a disk's durable content to an engine and its application.

use aegis_consensus::{Engine, Now, Start, VoteFloor};
use aegis_types::{Canonical, CommittedBlock, Height};

use super::application::{Application, Executed};
use super::disk::{Disk, OpenDisk};
use super::held_batch::HeldBatch;
use super::journal_entry::JournalEntry;
use super::scenario::{NodeIndex, Scenario};

/// What a process starts with.
pub struct Booted {
    /// The engine.
    pub engine: Engine,
    /// The application, at the log's end.
    pub application: Application,
    /// The results of the blocks that were executed at this start.
    pub executed: Vec<Executed>,
    /// Batches of the journal that no block has ordered.
    pub batches: Vec<HeldBatch>,
    /// The open disk.
    pub disk: OpenDisk,
    /// Whether the disk gives itself away as older than what this validator has signed.
    pub is_visibly_stale: bool,
}

/// Why a process cannot start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootFailure {
    /// The disk is damaged, and the store says so: the validator must not vote with this disk.
    Damaged(String),
    /// The disk's content contradicts itself: nobody has damaged it, so this is a bug.
    Broken(String),
}

/// Rebuilds a node from its disk. `saved` is the application as the last process left it, if it survived.
///
/// # Errors
/// When the disk is damaged, or the ledger refuses a block.
pub fn boot(
    scenario: &Scenario,
    node: NodeIndex,
    disk: &Disk,
    saved: Option<Application>,
    now: Now,
) -> Result<Booted, BootFailure> {
    let broken = BootFailure::Broken;
    let damaged = |error: aegis_store::StoreError| BootFailure::Damaged(error.to_string());
    let mut disk = disk.open().map_err(damaged)?;
    let last = disk.reader.last().unwrap_or(Height::ZERO);
    let mut application = match saved {
        // A state store that is ahead of the log belongs to another log: it is built again.
        Some(saved) if saved.standing().tip.height <= last => saved,
        Some(_) | None => Application::genesis(&scenario.genesis).map_err(broken)?,
    };
    let mut executed = Vec::new();
    for height in application.standing().tip.height.0 + 1..=last.0 {
        let block = disk.reader.read(Height(height)).map_err(damaged)?;
        let block = block.ok_or_else(|| broken(format!("height {height} is missing from the log")))?;
        let block = CommittedBlock::decode(&block).map_err(|error| broken(error.to_string()))?;
        executed.push(application.apply(&block).map_err(broken)?);
    }
    let (mut records, mut batches) = (Vec::new(), Vec::new());
    for entry in std::mem::take(&mut disk.entries) {
        match JournalEntry::decode(&entry).map_err(broken)? {
            JournalEntry::Record(record) => records.push(*record),
            JournalEntry::Batch(batch) => batches.push(HeldBatch::new(*batch)),
        }
    }
    let standing = application.standing();
    let is_visibly_stale =
        super::staleness::is_visible(&records, disk.journal.is_new(), standing, &scenario.validator(node));
    let certified = standing.tip.header().map_or(Height::ZERO, |header| header.executed.height);
    let engine = Engine::recover(Start {
        domain: scenario.domain(),
        keypair: scenario.keypairs[node].clone(),
        epoch: standing.epoch.clone(),
        origin: standing.origin,
        next_epoch: standing.next_epoch.clone(),
        tip: standing.tip.clone(),
        roots: standing.roots.range(certified..).map(|(height, root)| (*height, *root)).collect(),
        records,
        floor: VoteFloor::NONE,
        now,
    });
    batches.retain(|batch| !standing.ordered.contains(&batch.reference.digest));
    Ok(Booted { engine, executed, application, batches, disk, is_visibly_stale })
}
