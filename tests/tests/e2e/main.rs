//! End to end: real processes of the real binary on loopback, driven as a user would drive them.
//!
//! Every port is one that the system hands out, every process is ended by its handle, and every folder is temporary.

mod agreement;
mod cluster;
mod crashes;
mod joining;
mod membership;
mod metrics;
mod placement;
mod proofs;
mod pruned;
mod reads;
mod refusals;
mod state_sync;
mod store;
mod two_reports;
mod weights;
