//! Whole clusters in virtual time, decided by one seed.
//!
//! A run has two phases. In the *safety phase* messages are lost, doubled and reordered, partitions come and go, nodes
//! crash at any point and restart with what they had flushed, clocks are skewed, and some validators may be Byzantine. Then
//! everything heals, and in the *liveness phase* every correct node must commit a number of further heights, and every batch
//! that a correct node holds, within a bounded time. All along, invariants watch what nodes send, decide and execute.
//!
//! | file | responsibility |
//! |---|---|
//! | [`rng`] | numbers from the seed, a stream for each purpose |
//! | [`scenario`] | what the seed decides before the run: validators, weights, parameters, faults |
//! | [`clock`] | a node's skewed and drifting clocks |
//! | [`network`] | delay, loss, duplication, reordering, partitions |
//! | [`disk`] | what survives a crash |
//! | [`node`], [`boot`] | a node over its crashes, and how it restarts from its disk |
//! | [`process`] | the driver around an engine: group commit, batches, execution, sync |
//! | [`packet`] | what travels between nodes |
//! | [`application`] | the replicated application that nodes execute |
//! | [`client`] | proposals, duplicates, changes of the validator set |
//! | [`faults`] | when what breaks, and that all heals |
//! | [`actors`] | Byzantine validators, one file each |
//! | [`invariants`] | what must hold, one file each; none calls the code that it judges |
//! | [`world`] | the event queue that ties it together |
//! | [`trace`] | the run as a hash, and as text |
//! | [`report`] | what came of it |
//!
//! Nothing here reads a clock, the operating system's randomness or the order of a hash map: one seed, one trace.

pub mod actors;
pub mod application;
pub mod boot;
pub mod client;
pub mod clock;
pub mod disk;
pub mod faults;
pub mod invariants;
pub mod network;
pub mod node;
pub mod packet;
pub mod process;
pub mod report;
pub mod rng;
pub mod scenario;
pub mod trace;
pub mod world;

pub use report::Report;
pub use scenario::Scenario;
pub use trace::Recording;
pub use world::run;
