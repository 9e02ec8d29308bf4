//! The replicated application: what an agreed proposal does, as a pure function of state and block.
#![warn(missing_docs)]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::float_arithmetic
    )
)]
//!
//! # What it is
//! Agreed state is a set of entries, key and value, each a record of a kind (see the module `keys` in the source for the
//! keyspace). [`Ledger::apply`] takes a committed block and the entries before it, and yields the writes, a receipt for each
//! proposal, events, and the state root. It has no clock but the block's timestamp, no randomness and no floats: the same
//! blocks give the same bytes everywhere.
//!
//! ```text
//! committed block --> Ledger::apply --> Applied { changes, receipts, state_root, next_epoch, events }
//!                          |  reads                 |
//!                    StateReader <---- the store <--+ written in one atomic step
//! ```
//!
//! # What a block does, in order
//! 1. What agreed time has made due: open votes are counted anew after a change of weights, votes past their deadline end,
//!    closed votes, evidence and idempotency keys are forgotten. All of it is bounded per block; what is left over is done by
//!    the next blocks.
//! 2. Each proposal, batches in the header's order. A proposal whose account used its idempotency key before yields
//!    that first result and nothing else.
//! 3. A *closing* block computes the next epoch. The *handover* block after it has no proposals: with it the next set and the
//!    parameters that wait for the epoch come into force.
//!
//! # Invariants
//! - **Exactly once.** An envelope takes effect at most once, ever. The argument stands in the module `idempotency`.
//! - **All or nothing.** A rejected proposal changes nothing but its first result; after an error of `apply` the
//!   ledger is as before.
//! - **The root is the state's.** It depends on the entries alone, so [`Ledger::open`] finds the same one in a scan. What is
//!   meant for people only, such as the reason of a rejection, is not part of the state.
//! - **Versions do not recur.** No key ever has the same version twice.
//! - **Weights are the epoch's.** A vote is decided by the weights of the epoch of the block that decides it.
//! - **Measured weights follow from agreed state alone**, and what they came from is kept: see the module `weighing`.
//! - **Everything is bounded**, save the key-value state itself: open votes (`open_votes_max`, a tenth of it per account), votes
//!   per proposal (the set's size), closed votes and evidence (30 days; those that did not pass also by number), first results
//!   (`idempotency_retention_ms`), reports (one per validator and epoch), weights on record (`weights_history_epochs`).
//!
//! Nobody's proposal can make the ledger panic. What [`Ledger::apply`] trusts is that consensus committed the block: that its
//! proposals decode and are signed, and that batches belong to the header.

mod admission;
mod applied;
mod boundary;
mod earlier_tree;
mod enact;
mod error;
mod evidence;
mod execution;
mod idempotency;
mod keys;
mod kv;
mod ledger;
mod outcome;
mod overlay;
pub mod query;
mod records;
mod reports;
mod sampling;
mod state;
mod tally;
mod tree;
mod undo;
mod voted;
mod voting;
mod weighing;
mod weighing_records;
pub mod weights;

pub use applied::{Applied, LedgerEvent, NextEpoch, TakesEffect};
pub use error::{LedgerError, StateError};
pub use ledger::Ledger;
pub use outcome::{Admission, FirstResult, Outcome, Receipt, RejectCode};
pub use state::{Change, Entry, StateReader};
pub use undo::{EarlierState, StateUndo, UndoLog};
pub use voted::{
    CastVote, Closed, Enactment, EvidenceOnRecord, OpenedAt, PendingChange, PendingValidator, Tally,
    VoteStatus, VotedProposal,
};
