//! Whole clusters in virtual time, decided by one seed.
//!
//! A run has two phases. In the *safety phase* messages are lost, doubled and reordered, partitions come and go, nodes
//! crash at any point and restart with what they had flushed, disks fail, clocks are wrong, and some validators are Byzantine. Then
//! everything heals, and in the *liveness phase* every correct node must commit a number of further heights, and every batch
//! of a correct author, within a bounded time and number of view changes. All along, invariants watch what nodes send, decide and execute.
//!
//! | file | responsibility |
//! |---|---|
//! | [`rng`] | numbers from the seed, a stream for each purpose |
//! | [`options`] | what a run is given besides its seed, and what it leaves out |
//! | [`scenario`], [`plots`] | what the seed decides before the run: validators, weights, parameters, faults; by chance or for a purpose |
//! | [`clock`] | a node's skewed and drifting clocks |
//! | [`cities`], [`delays`], [`network`] | where nodes stand; delay, loss, duplication, reordering, partitions |
//! | [`disk`], [`journal_entry`], [`staleness`] | the real journal and log on a disk that fails; what shows that it is old |
//! | [`node`], [`boot`] | a node over its crashes, and how it restarts from its disk |
//! | [`process`], [`pool`], [`held_batch`] | the driver around an engine: group commit, batches, execution, sync |
//! | [`packet`], [`encoded`] | what travels between nodes; a message as bytes |
//! | [`application`] | the replicated application that nodes execute |
//! | [`client`] | proposals, duplicates, changes of the validator set |
//! | [`faults`] | what can break, and how often |
//! | [`actors`] | Byzantine validators, one file each |
//! | [`adversary`] | networks and crashes with a purpose, one file each |
//! | [`invariants`] | what must hold, one file each; none calls the code that it judges |
//! | [`world`] | the events that tie it together |
//! | [`trace`] | the run as a hash, and as text |
//! | [`report`] | what came of it |
//! | [`shrink`] | a failing run, made smaller |
//! | [`campaign`] | many seeds, over threads and interruptions |
//! | [`costs`] | messages, bytes, checks and flushes per block |
//!
//! Nothing here reads a clock, the operating system's randomness or the order of a hash map: one seed, one trace.

pub mod actors;
pub mod adversary;
pub mod application;
pub mod boot;
pub mod campaign;
pub mod cities;
pub mod client;
pub mod clock;
pub mod costs;
pub mod delays;
pub mod disk;
pub mod encoded;
pub mod faults;
pub mod held_batch;
pub mod invariants;
pub mod journal_entry;
pub mod network;
pub mod node;
pub mod options;
pub mod packet;
pub mod plots;
pub mod pool;
pub mod process;
pub mod report;
pub mod rng;
pub mod scenario;
pub mod shrink;
pub mod staleness;
pub mod trace;
pub mod world;

pub use options::Options;
pub use report::Report;
pub use scenario::Scenario;
pub use trace::Recording;
pub use world::{run, run_scenario};
