//! Executes a committed log again from the genesis, for the weights that come of it.
//!
//! Nothing is taken from the state store: the measurements come from the proposals in the blocks, and the validator sets from
//! the handover blocks, which the executed state must agree with. The state is held in memory.

use std::sync::Arc;

use aegis_config::StoreSection;
use aegis_ledger::weights;
use aegis_metrics::WeightInput;
use aegis_store::{CommittedLog, DataDir, KvStore, LogReader, MemoryKv, SegmentOptions};
use aegis_types::{Canonical, CommittedBlock, Epoch, Genesis, Height, ValidatorSet};
use anyhow::{Context as _, ensure};

use super::check::Progress;
use super::recovery::start_over;
use super::state::StateView;
use crate::home::Home;

/// The weights of an epoch as they come of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayedWeights {
    /// What the rule read.
    pub input: WeightInput,
    /// The validators that the handover block names.
    pub validators: ValidatorSet,
}

/// The measured weights of `from` and later epochs.
///
/// # Errors
/// When a node runs on the home, the log does not begin with the first block, or it does not execute.
pub fn replay_weights(
    home: &Home,
    genesis: &Genesis,
    store: &StoreSection,
    from: Epoch,
    progress: Progress<'_>,
) -> anyhow::Result<Vec<ReplayedWeights>> {
    let data_dir = DataDir::open(&home.data_path())?;
    let options = SegmentOptions { segment_bytes: store.log_segment.bytes() };
    let log = CommittedLog::open(&data_dir.log_dir(), options)?;
    replay_log(&log.reader(), genesis, from, progress)
}

fn replay_log(
    log: &LogReader,
    genesis: &Genesis,
    from: Epoch,
    progress: Progress<'_>,
) -> anyhow::Result<Vec<ReplayedWeights>> {
    let Some(last) = log.last() else { return Ok(Vec::new()) };
    ensure!(
        log.first() == Some(Height(1)),
        "this node's log does not begin with the first block: replay an archive node's, or leave --replay out"
    );
    let kv: Arc<dyn KvStore> = Arc::new(MemoryKv::new());
    let mut execution = start_over(&kv, genesis)?;
    let mut replayed = Vec::new();
    for height in 1..=last.0 {
        let block = log.read(Height(height))?.with_context(|| format!("block {height} is missing"))?;
        let block = CommittedBlock::decode(&block).with_context(|| format!("block {height}"))?;
        let origin = execution.standing.origin;
        execution.execute(&block).with_context(|| format!("block {height}"))?;
        progress(height, last.0);
        let validators = execution.standing.epoch.validators.clone();
        let is_new = execution.standing.origin != origin && validators.epoch() >= from;
        if is_new && let Some(on_record) = weights::weights(&StateView(kv.as_ref()), validators.epoch())? {
            replayed.push(ReplayedWeights { input: on_record.input, validators });
        }
    }
    Ok(replayed)
}
