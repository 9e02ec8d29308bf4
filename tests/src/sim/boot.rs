//! Restart: from a disk's durable content to an engine and its application.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use aegis_consensus::{Engine, EpochContext, NextEpoch, Now, Record, Start, Tip};
use aegis_types::{BlockKind, CommittedBlock, Hash, Height};

use super::application::{Application, Executed};
use super::disk::Disk;
use super::rng::Rng;
use super::scenario::{NodeIndex, Scenario};

/// How many of the newest blocks a restarted node may not have executed yet.
const UNEXECUTED_MAX: usize = 4;

/// What a process starts with.
pub struct Booted {
    /// The engine.
    pub engine: Engine,
    /// The application, at the newest executed block.
    pub application: Application,
    /// What executing the durable blocks yielded.
    pub executed: Vec<Rc<Executed>>,
    /// Durable blocks that are still to be executed.
    pub unexecuted: VecDeque<Rc<CommittedBlock>>,
    /// Batches that blocks have ordered.
    pub ordered: BTreeSet<Hash>,
}

/// Rebuilds everything from what is durable; every block is executed anew, from the genesis on.
///
/// # Errors
/// When the ledger refuses a block.
pub fn boot(
    scenario: &Scenario,
    node: NodeIndex,
    disk: &Disk,
    now: Now,
    rng: &mut Rng,
) -> Result<Booted, String> {
    let log = disk.log.durable();
    let count = executed_count(log, rng);
    let mut executed = Vec::with_capacity(count);
    let mut application = Application::genesis(&scenario.genesis)?;
    let mut roots = BTreeMap::from([(Height::ZERO, application.root())]);
    let mut epoch = EpochContext::genesis(&scenario.genesis);
    let mut origin = (Height::ZERO, scenario.genesis.hash());
    let mut next_epoch: Option<NextEpoch> = None;
    for (index, block) in log.iter().enumerate() {
        let header = &block.header;
        if index < count {
            let result = application.apply(block)?;
            roots.insert(header.height, result.state_root);
            if result.next_epoch.is_some() {
                next_epoch.clone_from(&result.next_epoch);
            }
            executed.push(Rc::new(result));
        }
        if let BlockKind::Handover { .. } = header.kind
            && let Some(NextEpoch { validators, parameters }) = next_epoch.take()
        {
            epoch = EpochContext { validators, parameters, start_ms: header.timestamp_ms };
            origin = (header.height, block.certificate.content.digest);
        }
    }
    let tip = log.last().map_or_else(
        || Tip::genesis(&scenario.genesis),
        |block| Tip::of(block.header.clone(), block.certificate.clone()),
    );
    let certified = tip.header().map_or(Height::ZERO, |header| header.executed.height);
    let records = disk.journal.durable().iter();
    let engine = Engine::recover(Start {
        domain: scenario.domain(),
        keypair: scenario.keypairs[node].clone(),
        epoch,
        origin,
        next_epoch,
        tip,
        roots: roots.split_off(&certified),
        records: records.map(|bytes| Record::decode(bytes).expect("the disk does not corrupt")).collect(),
        now,
    });
    let batches = log.iter().flat_map(|block| &block.header.batches);
    Ok(Booted {
        engine,
        executed,
        application,
        unexecuted: log[count..].iter().cloned().collect(),
        ordered: batches.map(|batch| batch.digest).collect(),
    })
}

/// How many blocks the restarted node finds executed: the certified ones and every closing block in any case, since the
/// engine starts from them.
fn executed_count(log: &[Rc<CommittedBlock>], rng: &mut Rng) -> usize {
    let lag = rng.index(UNEXECUTED_MAX + 1);
    let closing = log.iter().rposition(|block| block.header.kind == BlockKind::Closing);
    let certified = log.last().map_or(0, |block| block.header.executed.height.0 as usize);
    log.len().saturating_sub(lag).max(closing.map_or(0, |index| index + 1)).max(certified)
}
