//! Signed reports: what nodes tell each other about themselves and their peers.
//!
//! The same report travels by gossip every few seconds, for live views, and once per epoch as an agreed transaction,
//! where it is a row of the [`ObservationMatrix`](crate::ObservationMatrix). A node numbers its reports upwards,
//! across restarts too; two different ones with one number are [`ReportEvidence`].

pub(crate) mod encoding;
mod evidence;
mod latest;
mod reference;
mod report;

pub use evidence::ReportEvidence;
pub use latest::{LatestReports, latest_reports};
pub use reference::agreed_octiles;
pub use report::{
    CHANNELS, ChannelSummary, REPORT_EXPIRY_SECONDS, REPORT_PERIOD_SECONDS, Report, ReportContext,
    ReportedValues, SAMPLES_MAX, SignedReport,
};
