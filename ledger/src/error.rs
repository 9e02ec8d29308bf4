//! What can go wrong while the ledger works. Nothing here is the fault of a client: what a client asks wrongly is answered
//! with an [`Outcome`](crate::Outcome), never with an error.

use aegis_types::{Epoch, Hash, Height};

/// The store could not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state store failed: {0}; check the disk and start the node again")]
pub struct StateError(pub String);

/// Why the ledger could not do what was asked. The ledger is unchanged after every one of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Reading the state failed. Fatal for this process: a block must not be executed on half of the state.
    #[error(transparent)]
    State(#[from] StateError),
    /// A record in the store is not what the ledger wrote. Fatal: the derived state must be rebuilt from the committed log.
    #[error(
        "the state record at key {key} is damaged: {reason}; rebuild the state from the committed log or restore a backup"
    )]
    Damaged {
        /// The record's key, in hexadecimal digits.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store belongs to another network.
    #[error(
        "the state was made by the genesis {actual}, this is the genesis {expected}; use the home of this network or an empty one"
    )]
    OtherGenesis {
        /// Hash of the genesis given.
        expected: Hash,
        /// Hash of the genesis that the state was made by.
        actual: Hash,
    },
    /// Blocks are executed one after another; this one is not the next.
    #[error(
        "the next block to execute has height {expected}, this one has height {actual}; execute blocks in order"
    )]
    WrongHeight {
        /// The height that comes next.
        expected: Height,
        /// The block's height.
        actual: Height,
    },
    /// The block is of another epoch. Consensus never commits one: the committed log is not of this chain.
    #[error(
        "the ledger is in epoch {expected}, the block is of epoch {actual}; check that the committed log is this network's"
    )]
    WrongEpoch {
        /// The ledger's epoch.
        expected: Epoch,
        /// The block's epoch.
        actual: Epoch,
    },
    /// Agreed time did not advance. Consensus never commits such a block.
    #[error(
        "the block's timestamp {actual} ms is not after its parent's, {parent} ms; check that the committed log is this network's"
    )]
    TimeStoodStill {
        /// Timestamp of the block before, in milliseconds of the Unix epoch.
        parent: u64,
        /// The block's timestamp.
        actual: u64,
    },
    /// The block's kind does not fit the block before it: a closing block is followed by its handover and by nothing else.
    #[error(
        "block {height} does not fit the end of its epoch: {reason}; check that the committed log is this network's"
    )]
    WrongKind {
        /// The block's height.
        height: Height,
        /// What does not fit.
        reason: &'static str,
    },
    /// So many keys share a part of the tree that a proof would be too large to send.
    #[error(
        "the key shares its bucket with {actual} others; a proof has room for {limit}: read it without a proof"
    )]
    Unprovable {
        /// Leaves of the key's bucket.
        actual: usize,
        /// Most leaves of a proof.
        limit: usize,
    },
    /// The state tree has no such level.
    #[error("the state tree has no level {level}; its deepest level is 16")]
    NoSuchLevel {
        /// The level asked for.
        level: u32,
    },
}

impl LedgerError {
    /// A record that is not what the ledger wrote.
    pub(crate) fn damaged(key: &[u8], reason: impl Into<String>) -> Self {
        let digits: String = key.iter().take(96).map(|byte| format!("{byte:02x}")).collect();
        Self::Damaged { key: digits, reason: reason.into() }
    }
}
