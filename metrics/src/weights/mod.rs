//! From agreed measurements to integer weights, with an explanation and the price. Fault tolerance and core size come from
//! [`aegis_types::WeightPolicy`].
//!
//! | file | what |
//! |---|---|
//! | [`rule`] | the rule itself: core, growth, cap |
//! | [`input`] | everything that the rule reads, and the outcome with fallbacks |
//! | [`explain`] | each term of each member, and where the cap bit |
//! | [`leaders`] | who leads: the core, without the recently absent |
//! | [`latency`] | when weights made things worse than equal ones |
//! | [`trade`] | what is gained and what it costs, computed exactly |

mod encoding;
pub mod explain;
pub mod input;
pub mod latency;
pub mod leaders;
pub mod rule;
pub(crate) mod thresholds;
pub mod trade;

pub use aegis_types::{FaultTolerance, WeightPolicy};
pub use explain::{Fallback, Ineligible, NodeExplanation, WeightOutcome};
pub use input::{Candidate, CandidateReport, Mode, WeightInput};
pub use latency::LatencyGuard;
pub use rule::{Standing, Weighing, weigh};
pub use trade::{LiveShare, Trade};
