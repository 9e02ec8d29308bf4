//! The sampler: one look per second at the node and its operating system, a window of ten minutes, and what follows
//! from it.
//!
//! Readings come in through [`NodeReadings`], which the node fills from its own counters, and [`SystemReadings`],
//! which [`ProcessReadings`] takes from the operating system. Nothing is made up: what could not be read is a gap.

pub mod baseline;
pub mod channel;
pub mod local;
pub mod sampler;
pub mod system;
pub mod view;
pub mod window;

pub use baseline::Baseline;
pub use channel::Channel;
pub use local::{LocalStatistics, Peers};
pub use sampler::{NodeReadings, Sampler};
pub use system::{ProcessReadings, SystemReadings};
pub use view::{ConsciousnessMetrics, GlobalState, IntegrationMetrics, Quality};
pub use window::{DropReason, Window, WindowView};
