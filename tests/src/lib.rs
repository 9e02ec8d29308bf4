//! The evidence: simulator, Byzantine actors, invariants, and end-to-end tests over real processes.
//!
//! [`sim`] runs whole clusters of the real consensus engine and the real ledger in virtual time; [`model`] explores small
//! instances of the engine by system: Twins and model checking; [`chaos`] crashes real processes under load, [`linearize`]
//! checks histories of real processes from outside. `tests/` holds what
//! `cargo test` runs: a number of simulated seeds, the tidiness of the workspace, and end-to-end scenarios.

#![warn(missing_docs)]

pub mod chaos;
pub mod linearize;
pub mod model;
pub mod sim;
