//! Measures a node and its peers, and turns signed reports into scores and integer weights.
//!
//! These are statistics of telemetry. The names *phi*, *coherence* and *consciousness level* come from the project's
//! source document; nothing here measures or implies consciousness. `docs/metrics.md` says for each number what it
//! tells an operator and what it does not.
//!
//! # Two halves
//! ```text
//! node, operating system --> Sampler --> Window --> phi, stability, divergence        floating point, local,
//!                           (feature `sampler`, on by default)   |                     for display and reports
//! - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - -  | to_micro - - - - - - - - - - - - - - - - - -
//!                                                                v
//! Report, signed --> agreed by the log --> ObservationMatrix --> coherence, level      integers, the same on every
//! sampled Commits, agreed ----------------> Participation ----------^   |               node, for `ledger`
//!                                                                      v
//!                                              WeightInput::outcome: core, cap, weights, explanation
//! ```
//! Without the feature only the lower half is compiled, and it adds no crate to the tree of `aegis-types`. It has no
//! floats, clocks, randomness or state: the same input gives the same weights everywhere.
//!
//! # Invariants of the integer half
//! Let `n` be the number of members, `t` the fault tolerance, `W` the sum of the weights and `f = (W - 1) / 3`.
//! 1. **Cap.** No `t` members together hold more than `f`, whatever anyone reports: see [`weights::rule`]. Safety and
//!    liveness of agreement follow from this alone; reports decide only who of the members is in the core, hence
//!    latency.
//! 2. **Liars are bounded.** An entry of the matrix between two correct members depends on their own rows only; a
//!    liar can raise an entry it shares with a correct member and never lower it. What that does to coherence is said
//!    in [`matrix`].
//! 3. **Nothing reported, nothing gained.** A value that a member leaves out counts as the worst one.
//! 4. **Total.** [`weights::WeightInput::outcome`] has an answer for every input: equal weights where the rule cannot
//!    be applied, with the reason.

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

pub mod error;
pub mod level;
pub mod matrix;
pub mod median;
pub mod micro;
pub mod network;
pub mod participation;
pub mod reports;
pub mod weights;

#[cfg(feature = "sampler")]
pub mod sampling;
#[cfg(feature = "sampler")]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::float_arithmetic,
    reason = "numerical code over slices of its own making; nothing here enters agreed state"
)]
pub mod statistics;

/// The messages that `proto/aegis/v1/metrics.proto` generates: plain data, not yet checked.
#[allow(missing_docs, clippy::doc_markdown)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/aegis.v1.rs"));
}

/// The source of the generated messages, for crates that build on them.
pub const METRICS_PROTO: &str = include_str!("../proto/aegis/v1/metrics.proto");

pub use error::MetricsError;
pub use matrix::ObservationMatrix;
pub use micro::Micro;
pub use participation::{Participation, Witness};
pub use reports::{Report, ReportEvidence, SignedReport};
pub use weights::{Candidate, FaultTolerance, Trade, WeightInput, WeightOutcome, WeightPolicy};
