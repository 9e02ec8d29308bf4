//! The replicated application that simulated nodes execute: the real ledger, over the store's in-memory key-value tables,
//! and what a node keeps beside it about the end of its committed log.
//!
//! All of it is derived from the log. A crash leaves it as it is or, at times, loses it as a whole; then it is built again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use aegis_consensus::{EpochContext, NextEpoch, Tip};
use aegis_ledger::{Change, Ledger, Outcome, StateError, StateReader};
use aegis_store::{KvStore, MemoryKv, Op, Table};
use aegis_types::{AccountId, BlockKind, CommittedBlock, Genesis, Hash, Height, Kind, ProposalId};

/// What became of a proposal of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The proposal.
    pub id: ProposalId,
    /// Its account.
    pub account: AccountId,
    /// Its idempotency key.
    pub idempotency_key: String,
    /// What it asked for.
    pub kind: Kind,
    /// What became of it.
    pub effect: Effect,
}

/// What became of a proposal, as far as the simulation looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It took effect.
    Applied,
    /// It opened a vote.
    Opened,
    /// It was refused, or repeats an earlier one.
    None,
}

/// The result of executing a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// The block's height.
    pub height: Height,
    /// Root of the state after it.
    pub state_root: Hash,
    /// For a closing block: the next epoch.
    pub next_epoch: Option<NextEpoch>,
    /// What became of each proposal, in order.
    pub receipts: Vec<Receipt>,
}

/// Where execution stands: what an engine starts from.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The newest executed block.
    pub tip: Tip,
    /// The epoch that the next block belongs to.
    pub epoch: EpochContext,
    /// Height and digest of the block that the epoch started from.
    pub origin: (Height, Hash),
    /// The next epoch, when the tip is a closing block.
    pub next_epoch: Option<NextEpoch>,
    /// State roots by height.
    pub roots: BTreeMap<Height, Hash>,
    /// Batches in executed blocks.
    pub ordered: BTreeSet<Hash>,
}

/// A node's agreed state.
pub struct Application {
    ledger: Ledger,
    tables: Tables,
    standing: Standing,
}

struct Tables(MemoryKv);

impl StateReader for Tables {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.0.get(Table::State, key).map_err(|error| StateError(error.to_string()))
    }

    fn next(&self, from: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, StateError> {
        let mut found = None;
        let scanned = self.0.scan(Table::State, from, &mut |key, value| {
            found = Some((key.to_vec(), value.to_vec()));
            ControlFlow::Break(())
        });
        scanned.map(|()| found).map_err(|error| StateError(error.to_string()))
    }
}

impl Tables {
    fn write(&self, changes: Vec<Change>) -> Result<(), String> {
        let op = |Change { key, value }| match value {
            Some(value) => Op::Put { table: Table::State, key, value },
            None => Op::Delete { table: Table::State, key },
        };
        let ops: Vec<Op> = changes.into_iter().map(op).collect();
        self.0.commit(&ops).and_then(|()| self.0.flush()).map_err(|error| error.to_string())
    }
}

impl Application {
    /// The state of a genesis.
    ///
    /// # Errors
    /// When the ledger or the store refuses it.
    pub fn genesis(genesis: &Genesis) -> Result<Self, String> {
        let (ledger, changes) = Ledger::genesis(genesis).map_err(|error| error.to_string())?;
        let tables = Tables(MemoryKv::new());
        tables.write(changes)?;
        let standing = Standing {
            tip: Tip::genesis(genesis),
            epoch: EpochContext::genesis(genesis),
            origin: (Height::ZERO, genesis.hash()),
            next_epoch: None,
            roots: BTreeMap::from([(Height::ZERO, ledger.root())]),
            ordered: BTreeSet::new(),
        };
        Ok(Self { ledger, tables, standing })
    }

    /// Where execution stands.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Executes a block.
    ///
    /// # Errors
    /// When the ledger or the store fails: never for a block that was decided.
    pub fn apply(&mut self, block: &CommittedBlock) -> Result<Executed, String> {
        let applied = self.ledger.apply(&self.tables, block).map_err(|error| error.to_string())?;
        self.tables.write(applied.changes)?;
        let next_epoch = applied
            .next_epoch
            .map(|next| NextEpoch { validators: next.validators, parameters: next.parameters });
        self.standing.advance(block, applied.state_root, next_epoch.clone());
        let receipts = applied.receipts.into_iter().map(|receipt| Receipt {
            id: receipt.id,
            account: receipt.account,
            idempotency_key: receipt.idempotency_key,
            kind: receipt.kind,
            effect: match receipt.outcome {
                Outcome::Applied { .. } => Effect::Applied,
                Outcome::Opened { .. } => Effect::Opened,
                Outcome::Rejected { .. } | Outcome::Duplicate { .. } => Effect::None,
            },
        });
        Ok(Executed {
            height: applied.height,
            state_root: applied.state_root,
            next_epoch,
            receipts: receipts.collect(),
        })
    }
}

impl Standing {
    fn advance(&mut self, block: &CommittedBlock, root: Hash, next_epoch: Option<NextEpoch>) {
        let header = &block.header;
        if let (BlockKind::Handover { .. }, Some(next)) = (header.kind, self.next_epoch.take()) {
            let NextEpoch { validators, parameters } = next;
            self.epoch = EpochContext { validators, parameters, start_ms: header.timestamp_ms };
            self.origin = (header.height, block.certificate.content.digest);
        }
        self.next_epoch = next_epoch;
        self.roots.insert(header.height, root);
        self.ordered.extend(header.batches.iter().map(|batch| batch.digest));
        self.tip = Tip::of(header.clone(), block.certificate.clone());
    }
}
