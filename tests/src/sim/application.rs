//! The replicated application that simulated nodes execute: the real ledger, over the store's in-memory key-value tables.

use std::ops::ControlFlow;

use aegis_consensus::NextEpoch;
use aegis_ledger::{Change, Ledger, Outcome, StateError, StateReader};
use aegis_store::{KvStore, MemoryKv, Op, Table};
use aegis_types::{AccountId, CommittedBlock, Genesis, Hash, Height, Kind, ProposalId};

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

/// A node's agreed state.
pub struct Application {
    ledger: Ledger,
    tables: Tables,
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
        Ok(Self { ledger, tables })
    }

    /// The root of the current state.
    pub fn root(&self) -> Hash {
        self.ledger.root()
    }

    /// Executes a block.
    ///
    /// # Errors
    /// When the ledger or the store fails: never for a block that was decided.
    pub fn apply(&mut self, block: &CommittedBlock) -> Result<Executed, String> {
        let applied = self.ledger.apply(&self.tables, block).map_err(|error| error.to_string())?;
        self.tables.write(applied.changes)?;
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
            next_epoch: applied
                .next_epoch
                .map(|next| NextEpoch { validators: next.validators, parameters: next.parameters }),
            receipts: receipts.collect(),
        })
    }
}
