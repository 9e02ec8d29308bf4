//! Lets old blocks go, and the rows of the index that speak of them.
//!
//! What is kept is configured; what must be kept is not:
//! - the newest [`KEEP_BLOCKS`]: roots that headers name, undo, and what peers a little behind ask for;
//! - whatever a restart would execute again: blocks above the state that is durable, and above the newest snapshot if
//!   there is one, from which a damaged state could be built;
//! - batches whose proposals have not expired: the index of executed batches refuses them when they come again.
//!
//! Whole files of the log are deleted. First the rows of their blocks go, a few blocks at a time between the execution of
//! others, then the mark of how far that went is made durable, then the files go. So the log never has less than the index says.
//! Agreed state is never touched: idempotency, votes and values do not depend on history.

use std::ops::ControlFlow;
use std::time::Duration;

use aegis_config::StoreSection;
use aegis_store::{CommittedLog, KvStore, LogReader, Op, Table};
use aegis_types::{Canonical, CommittedBlock, Height, Parameter};
use anyhow::Context as _;
use prost::Message as _;
use tracing::info;

use super::state::{self, IndexedProposal, Standing};

/// Newest blocks that are always kept.
pub const KEEP_BLOCKS: u64 = 1_024;
/// Blocks whose rows go in one turn: some milliseconds, in which no block is executed.
const BLOCKS_PER_TURN: u64 = 32;
/// How often it is asked whether there is something to let go.
pub const INTERVAL: Duration = Duration::from_secs(10);
/// A vote that is open, in the index; its row is completed when it ends.
const OPENED: u32 = 2;

/// How much history is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// All of it.
    Archive,
    /// No more than this.
    Bounded {
        /// Agreed time, in milliseconds.
        age_ms: u64,
        /// Bytes of the committed log.
        bytes: u64,
    },
}

impl Retention {
    /// What is configured.
    pub fn of(store: &StoreSection) -> Self {
        if store.archive {
            return Self::Archive;
        }
        let age_ms = u64::try_from(store.keep_time.get().as_millis()).unwrap_or(u64::MAX);
        Self::Bounded { age_ms, bytes: store.keep_size.bytes() }
    }
}

/// What the node needs whatever is configured.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    /// The state up to this block is durable.
    pub durable: Height,
    /// The newest snapshot, if there is any.
    pub snapshot: Option<Height>,
}

/// Lets history go, bit by bit.
#[derive(Debug)]
pub struct Pruner {
    retention: Retention,
    /// The first block that is to stay, while blocks below it are being let go.
    target: Option<Height>,
}

impl Pruner {
    /// A pruner that keeps so much.
    pub fn new(retention: Retention) -> Self {
        Self { retention, target: None }
    }

    /// Whether there is work for [`turn`](Self::turn).
    pub fn is_busy(&self) -> bool {
        self.target.is_some()
    }

    /// Looks whether there are blocks to let go.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn consider(&mut self, log: &LogReader, standing: &Standing, needs: Needs) -> anyhow::Result<()> {
        if let Retention::Bounded { age_ms, bytes } = self.retention
            && self.target.is_none()
        {
            self.target = first_to_stay(log, standing, needs, (age_ms, bytes))?;
        }
        Ok(())
    }

    /// Lets the rows of some blocks go, and in the end the blocks.
    ///
    /// # Errors
    /// When a store fails.
    pub fn turn(&mut self, log: &mut CommittedLog, kv: &dyn KvStore) -> anyhow::Result<()> {
        let Some(target) = self.target else { return Ok(()) };
        let held = state::history_from(kv)?;
        let until = Height(target.0.min(held.0.saturating_add(BLOCKS_PER_TURN)));
        let reader = log.reader();
        let mut ops = Vec::new();
        for height in held.0..until.0 {
            forget_block(&reader, kv, Height(height), &mut ops)?;
        }
        if until > held {
            ops.push(state::history_op(until));
            kv.commit(&ops).context("old history cannot be deleted")?;
        }
        if until == target {
            kv.flush().context("the state store cannot be flushed")?;
            let freed = log.prune_below(target)?;
            info!(first = %target, freed, "old blocks were deleted");
            self.target = None;
        }
        Ok(())
    }
}

/// The first block of the oldest file that is to stay; none when nothing is to go.
fn first_to_stay(
    log: &LogReader,
    standing: &Standing,
    needs: Needs,
    (age_ms, bytes): (u64, u64),
) -> anyhow::Result<Option<Height>> {
    let files = log.files()?;
    let base = needs.snapshot.map_or(needs.durable, |snapshot| snapshot.min(needs.durable));
    let newest = standing.executed.height;
    let needed = Height(base.0.min(newest.0.saturating_sub(KEEP_BLOCKS)));
    let Some(now_ms) = timestamp_of(log, newest)? else { return Ok(None) };
    let lifetime_ms = standing.epoch.parameters.get(Parameter::ProposalLifetimeMaxMs);
    let mut left: u64 = files.iter().map(|(_, size)| *size).fold(0, u64::saturating_add);
    let mut first = None;
    for (file, next) in files.iter().zip(files.iter().skip(1)) {
        let (size, next) = (file.1, next.0);
        let Some(end_ms) = timestamp_of(log, next.previous())? else { break };
        let age = now_ms.saturating_sub(end_ms);
        let is_wanted = age <= age_ms && left <= bytes;
        // A proposal may have been signed as long before its block as it may live after it.
        let may_return = age <= lifetime_ms.saturating_mul(2);
        if is_wanted || may_return || next > needed {
            break;
        }
        left = left.saturating_sub(size);
        first = Some(next);
    }
    Ok(first)
}

fn timestamp_of(log: &LogReader, height: Height) -> anyhow::Result<Option<u64>> {
    let Some(block) = log.read(height)? else { return Ok(None) };
    Ok(Some(CommittedBlock::decode(&block)?.header.timestamp_ms))
}

/// Deletes the rows of a block. A vote that it opened and that is still open keeps its row.
fn forget_block(log: &LogReader, kv: &dyn KvStore, height: Height, ops: &mut Vec<Op>) -> anyhow::Result<()> {
    let mut gone = |key| ops.push(Op::Delete { table: Table::Index, key });
    let mut rows = Vec::new();
    kv.scan(
        Table::Index,
        &state::proposal_key(height, 0),
        &mut |key, value| match state::parse_proposal_key(key) {
            Some((at, position)) if at == height => {
                rows.push((position, value.to_vec()));
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Break(()),
        },
    )?;
    for (position, row) in rows {
        let row = IndexedProposal::decode(row.as_slice())?;
        if row.outcome == OPENED && row.closed.is_none() {
            continue;
        }
        gone(state::proposal_key(height, position));
        let id = row.id()?;
        if state::place_of(kv, &id)? == Some((height, position)) {
            gone(state::place_key(&id));
        }
    }
    for number in (0_u32..).take(state::closing_rows(kv, height)?.len()) {
        gone(state::closing_key(height, number));
    }
    gone(state::root_key(height));
    if let Some(block) = log.read(height)? {
        let header = CommittedBlock::decode(&block)?.header;
        header.batches.iter().for_each(|batch| gone(state::batch_key(&batch.digest)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use aegis_store::SegmentOptions;
    use aegis_types::ProposalBody;

    use super::*;
    use crate::node::testing::{Chain, batch_digest, put};

    const BLOCKS: u64 = KEEP_BLOCKS + 200;
    const STEP_MS: u64 = 60_000;
    const FOREVER: u64 = u64::MAX;

    struct Setting {
        _folder: tempfile::TempDir,
        chain: Chain,
        execution: crate::node::executor::Execution,
        log: CommittedLog,
    }

    /// A chain of more than the blocks that are always kept, a minute apart, in files of a few blocks each.
    fn setting() -> Setting {
        let folder = tempfile::tempdir().unwrap();
        let options = SegmentOptions { segment_bytes: 8 << 10 };
        let mut log = CommittedLog::open(folder.path(), options).unwrap();
        let mut chain = Chain::new();
        chain.genesis.parameters.set(Parameter::ProposalLifetimeMaxMs, STEP_MS).unwrap();
        let mut execution = chain.execution();
        for number in 0..BLOCKS {
            let body = match number {
                // A vote that never ends as long as its deadline is not reached.
                3 => ProposalBody::Text { title: "open".into(), text: "x".into() },
                _ => put(&format!("k{}", number % 7)),
            };
            let proposal = chain.proposal(body);
            let block = chain.add(STEP_MS / 100, vec![proposal]);
            execution.execute(&block).unwrap();
            log.append(block.header.height, &block.encode()).unwrap();
            log.flush().unwrap();
        }
        Setting { _folder: folder, chain, execution, log }
    }

    fn run(setting: &mut Setting, retention: Retention, needs: Needs) {
        let mut pruner = Pruner::new(retention);
        pruner.consider(&setting.log.reader(), &setting.execution.standing, needs).unwrap();
        while pruner.is_busy() {
            pruner.turn(&mut setting.log, setting.execution.kv.as_ref()).unwrap();
        }
    }

    #[test]
    fn old_blocks_go_with_their_rows_and_nothing_else_does() {
        let mut setting = setting();
        let all = Needs { durable: Height(BLOCKS), snapshot: None };
        run(&mut setting, Retention::Archive, all);
        assert_eq!(setting.log.first(), Some(Height(1)), "an archive keeps everything");
        run(&mut setting, Retention::Bounded { age_ms: FOREVER, bytes: FOREVER }, all);
        assert_eq!(setting.log.first(), Some(Height(1)));
        let root = setting.execution.standing.executed.state_root;

        run(&mut setting, Retention::Bounded { age_ms: 0, bytes: FOREVER }, all);
        let first = setting.log.first().unwrap();
        assert!(first > Height(20) && first.0 <= BLOCKS - KEEP_BLOCKS, "{first}");
        let kv = setting.execution.kv.as_ref();
        assert_eq!(state::history_from(kv).unwrap(), first);
        for block in &setting.chain.blocks {
            let height = block.header.height;
            let id = block.batches[0].proposals[0].id();
            let is_kept = height >= first;
            let is_open_vote = height == Height(4);
            assert_eq!(state::place_of(kv, &id).unwrap().is_some(), is_kept || is_open_vote, "{height}");
            assert_eq!(state::is_batch_executed(kv, &batch_digest(block)).unwrap(), is_kept, "{height}");
        }
        assert_eq!(setting.execution.ledger.read().unwrap().root(), root);
    }

    #[test]
    fn what_a_restart_or_a_repair_needs_stays() {
        for needs in [
            Needs { durable: Height(30), snapshot: None },
            Needs { durable: Height(BLOCKS), snapshot: Some(Height(30)) },
        ] {
            let mut setting = setting();
            run(&mut setting, Retention::Bounded { age_ms: 0, bytes: 0 }, needs);
            assert!(setting.log.first().unwrap() <= Height(30));
        }
    }

    #[test]
    fn size_alone_is_a_reason_too_and_unexpired_batches_stay() {
        let mut setting = setting();
        let all = Needs { durable: Height(BLOCKS), snapshot: None };
        run(&mut setting, Retention::Bounded { age_ms: FOREVER, bytes: 0 }, all);
        assert!(setting.log.first().unwrap() > Height(1));

        let mut setting = self::setting();
        setting.execution.standing.epoch.parameters.set(Parameter::ProposalLifetimeMaxMs, 3_600_000).unwrap();
        run(&mut setting, Retention::Bounded { age_ms: 0, bytes: 0 }, all);
        assert_eq!(setting.log.first(), Some(Height(1)));
    }
}
