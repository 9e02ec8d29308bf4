//! The evidence: simulator, Byzantine actors, invariants, and end-to-end tests over real processes.
//!
//! [`sim`] runs whole clusters of the real consensus engine and the real ledger in virtual time; [`model`] explores small
//! instances of the engine by system: Twins and model checking; [`fuzz`] says what hostile bytes may not do; [`chaos`] crashes
//! real processes under load, and [`linearize`] checks histories of what they answer; [`latency`] measures what weights do to
//! commit latency, [`mod@bench`] how fast real processes are, [`through_tor`] what Tor costs, and [`weight_vectors`] compares the
//! weight rule with published vectors. `tests/` holds what `cargo test`
//! runs: a number of simulated seeds, the tidiness of the workspace, and end-to-end scenarios.

#![warn(missing_docs)]

pub mod bench;
pub mod chaos;
pub mod fuzz;
pub mod latency;
pub mod linearize;
pub mod model;
pub mod network;
pub mod sim;
pub mod through_tor;
pub mod weight_vectors;
