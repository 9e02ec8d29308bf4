//! What the node measures of itself and its peers, and what it tells about that.
//!
//! ```text
//!  driver ── votes sent and heard ──► observation ──┐
//!  events ── receipts ─────────────►  (ballots,     ├─► sampler, once a second ─► statistics
//!  batches, network, process ──────►   round trips) ┘            │
//!                                                                ▼
//!  gossip ── signed reports ─► live reports ◄── own report, every few seconds ─► gossip
//!                                  │                             └─ once an epoch ─► a proposal
//!                                  ▼
//!                           views for the interface, series for Prometheus
//! ```
//!
//! | file | what |
//! |---|---|
//! | `receipt`, `round_trips` | round-trip times, from a vote to its receipt |
//! | `ballots` | who voted when at which height |
//! | `observation` | the two behind one lock, and the counters |
//! | `sampler` | one reading a second, statistics now and then |
//! | `live_reports`, `observer_sample` | the newest reports of others, bounded |
//! | `hearsay` | gossiped reports are checked |
//! | `report`, `publish`, `agreed` | own reports: made, gossiped, submitted |
//! | `view`, `series` | what people and programs see |
//!
//! # Invariants
//! - Nothing here decides anything: safety and liveness of agreement do not depend on a number in this folder.
//! - What was not measured is missing, never 0.
//! - Whatever others can make grow is bounded by a named constant.

pub mod agreed;
mod ballots;
pub mod hearsay;
pub mod live_reports;
mod observation;
mod observer_sample;
pub mod publish;
pub mod receipt;
mod report;
mod round_trips;
pub mod sampler;
mod series;
pub mod view;

pub use live_reports::LiveReports;
pub use observation::Observation;
pub use observer_sample::{Kept, ObserverSample};
pub use sampler::Measured;
pub use series::MetricSeries;
