//! From agreed measurements to integer weights, with an explanation and the price.
//!
//! | file | what |
//! |---|---|
//! | [`policy`] | fault tolerance, core size, the profiles `safe` and `fast` |
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
pub mod policy;
pub mod rule;
pub(crate) mod thresholds;
pub mod trade;

pub use explain::{Fallback, Ineligible, NodeExplanation, WeightOutcome};
pub use input::{Candidate, CandidateReport, Mode, WeightInput};
pub use latency::LatencyGuard;
pub use policy::{FaultTolerance, WeightPolicy};
pub use rule::{Standing, Weighing, weigh};
pub use trade::{LiveShare, Trade};
