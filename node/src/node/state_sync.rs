//! State sync: how a node that is far behind takes over the newest certified state instead of executing all blocks.
//!
//! | file | part |
//! |---|---|
//! | `chain` | who may sign: the handovers from the genesis on, verified one by one |
//! | `following` | handovers, from one peer after the other |
//! | `asking` | questions to peers, and what their answers are worth |
//! | `candidates` | what peers offer, and in which order it is tried |
//! | `fetch` | the pieces of one snapshot, from many peers at once |
//! | `sources` | how much is asked of these peers at once, and of whom next |
//! | `pace` | whether a snapshot comes in useful time |
//! | `begun` | the sets of pieces that are kept from one attempt to the next |
//! | `sync` | which snapshot, from whom, and what to do when it fails |
//! | `build` | a state store and a committed log from verified pieces |
//! | `settle` | puts them in the place of the old ones, in one step for whoever looks |
//! | `progress` | how far it is |
//!
//! # Trust
//! None is needed. The genesis names the first validators; each handover is signed by the ones before; a quorum of the epoch
//! in office signed the header that names the state root; every chunk is checked against that root when it arrives, and the
//! state as a whole once more before it is used. A peer can withhold, delay and send rubbish: that costs time, and rubbish
//! costs the peer its place.
//!
//! # Crashes
//! What is fetched is durable piece by piece and found again. The node goes on with its old state until the new one is
//! complete beside it; the exchange is announced by a file, and whatever interrupts it, the next start completes it. The vote
//! journal is never touched.

pub mod asking;
pub mod begun;
pub mod build;
pub mod candidates;
pub mod chain;
pub mod fetch;
pub mod following;
pub mod pace;
pub mod progress;
pub mod settle;
pub mod sorting;
pub mod sources;
pub mod sync;
#[cfg(test)]
mod tests;

pub use sync::{StateSync, SyncFailure};
