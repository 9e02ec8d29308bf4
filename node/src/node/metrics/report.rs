//! This node's own report.

use std::collections::BTreeMap;

use aegis_metrics::matrix::MISSING_RTT_US;
use aegis_metrics::{Report, SignedReport};
use aegis_types::ValidatorSet;

use super::live_reports::Setting;
use super::observation::Rows;
use crate::node::context::NodeContext;

impl NodeContext {
    /// Says and signs what this node has measured. None in the moment in which driver and executor are in different epochs.
    pub fn own_report(&self) -> Option<SignedReport> {
        let standing = self.standing.borrow().clone();
        let set: &ValidatorSet = &standing.epoch.validators;
        let me = self.node_key.validator_id();
        let rows = if set.contains(&me) {
            self.observation.rows(set)?
        } else {
            Rows { rtt_us: Vec::new(), votes_in_time: Vec::new(), commit_latency_us: None }
        };
        let rows = Rows { rtt_us: self.claimed(rows.rtt_us), ..rows };
        let statistics = self.measured.statistics();
        // Distributions are compared among members only; an observer's report has little room.
        let channels = if set.contains(&me) { statistics.summaries.clone() } else { BTreeMap::new() };
        let report = Report {
            epoch: set.epoch(),
            sequence: self.measured.next_sequence(),
            reporter: me,
            height: standing.executed.height,
            values: statistics.reported_values(rows.commit_latency_us),
            channels,
            rtt_us: rows.rtt_us,
            votes_in_time: rows.votes_in_time,
            covered_weight: self.in_setting(|setting| self.live.covered_weight(setting)),
        };
        Some(report.sign(&self.node_key, &self.domain))
    }

    /// The round-trip times as they are reported: as they were measured, unless a test lets this node lie.
    fn claimed(&self, measured_us: Vec<u32>) -> Vec<u32> {
        if self.claimed_round_trip.is_zero() {
            return measured_us;
        }
        let claim =
            u32::try_from(self.claimed_round_trip.as_micros()).unwrap_or(u32::MAX).min(MISSING_RTT_US);
        vec![claim; measured_us.len()]
    }

    /// Runs a look at the live reports against the current epoch.
    pub fn in_setting<T>(&self, look: impl FnOnce(Setting<'_>) -> T) -> T {
        let standing = self.standing.borrow().clone();
        look(Setting {
            set: &standing.epoch.validators,
            height: standing.executed.height,
            beacon: standing.origin.1,
            now_us: self.clock.monotonic_us(),
        })
    }
}
