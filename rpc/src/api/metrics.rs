//! Statistics of telemetry, in the names of the project's source document. They measure no consciousness: what each value
//! tells an operator, and what it does not, stands in `docs/metrics.md`.
//!
//! A value that could not be computed is `null`, never 0.

use std::collections::BTreeMap;

use aegis_types::{Epoch, Height, ValidatorId, Weight};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::status::Role;

/// One node's values and those of the network as it sees them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IntegrationMetrics {
    /// Milliseconds of the Unix epoch.
    pub timestamp: u64,
    /// The node.
    pub node_id: String,
    /// The node's values.
    pub consciousness_metrics: ConsciousnessMetrics,
    /// The network's values.
    pub global_state: GlobalState,
    /// How good the values are.
    pub quality: Quality,
}

/// A node's values, each 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct ConsciousnessMetrics {
    /// Cross-channel coupling.
    pub phi: Option<f64>,
    /// Vote-timing agreement.
    pub coherence: Option<f64>,
    /// Self-consistency.
    pub stability: Option<f64>,
    /// Distance from peers.
    pub divergence: Option<f64>,
    /// Composite score.
    pub consciousness_level: Option<f64>,
}

/// The network's values, each 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct GlobalState {
    /// Round synchrony.
    pub network_coherence: Option<f64>,
    /// Observability coverage.
    pub collective_awareness: Option<f64>,
    /// Quorum headroom.
    pub system_health: Option<f64>,
}

/// How good a node's values are.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Quality {
    /// Seconds that the window spans.
    pub window_s: u64,
    /// Samples in it.
    pub samples: u64,
    /// Channels that were used.
    pub channels: Vec<String>,
    /// Channels that were not, and why.
    pub dropped_channels: BTreeMap<String, String>,
    /// How far correlations were shrunk.
    pub shrinkage: Option<f64>,
    /// How likely chance alone gives such a phi.
    pub p_value: Option<f64>,
    /// What phi is.
    pub phi_measure: String,
    /// phi before it is divided, in nats.
    pub phi_nats: Option<f64>,
    /// Channels on one side of the weakest cut.
    pub phi_cut: Option<Vec<String>>,
    /// The channel that diverges most.
    pub divergence_channel: Option<String>,
    /// Members whose rows of round-trip times the coherence rests on.
    pub attested_by: u64,
    /// The epoch.
    pub epoch: u64,
    /// For each value that is `null`, why.
    pub reasons: BTreeMap<String, String>,
}

/// The network as a node sees it: from its own votes and from signed reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NetworkMetrics {
    /// Milliseconds of the Unix epoch.
    pub timestamp: u64,
    /// The epoch.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// The network's values.
    pub global_state: GlobalState,
    /// The members in ascending order of id, then observers, at most a hundred of them.
    pub nodes: Vec<NodeMetrics>,
    /// All observers, from a random sample of their reports; absent when none reports.
    pub observers: Option<ObserverMetrics>,
}

/// What a node says of itself, and what follows from the reports of others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeMetrics {
    /// The node.
    #[schema(value_type = String)]
    pub node_id: ValidatorId,
    /// The name that the genesis gives it.
    pub name: Option<String>,
    /// What it is in the epoch.
    pub role: Role,
    /// Its weight; 0 for an observer.
    #[schema(value_type = u64)]
    pub weight: Weight,
    /// Whether it is the answering node.
    pub is_self: bool,
    /// Its newest report; absent while there is none that is not out of date.
    pub report: Option<ReportInfo>,
    /// Its values. `phi`, `stability` and `divergence` are its own word.
    pub consciousness_metrics: ConsciousnessMetrics,
}

/// A signed report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReportInfo {
    /// Its number: higher than those of all earlier ones of the node.
    pub sequence: u64,
    /// The node's height when it made it.
    #[schema(value_type = u64)]
    pub height: Height,
    /// How long ago it came, in milliseconds.
    pub age_ms: u64,
    /// Samples in the node's window.
    pub samples: u64,
    /// How likely chance alone gives its phi.
    pub p_value: Option<f64>,
    /// The channel that diverges most.
    pub divergence_channel: Option<String>,
    /// Its median commit latency, in microseconds.
    pub commit_latency_us: Option<u32>,
    /// Weight of the members whose reports it holds.
    #[schema(value_type = u64)]
    pub covered_weight: Weight,
}

/// All observers, from a random sample of their signed reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ObserverMetrics {
    /// Observers that report: counted while there are few, estimated when the sample is full.
    pub population: u64,
    /// Reports in the sample.
    pub sample: u64,
    /// Share of observers that the bounds allow to lie.
    pub liars: f64,
    /// Probability with which the bounds hold.
    pub confidence: f64,
    /// Quantiles of their values.
    pub quantiles: Vec<ObserverQuantile>,
}

/// A quantile of the observers' values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ObserverQuantile {
    /// The value: `phi`, `stability` or `divergence`.
    pub value: String,
    /// The rank, 0 to 1.
    pub rank: f64,
    /// The sample's quantile.
    pub estimate: f64,
    /// The true quantile is at least this; absent when the bound reaches below the sample.
    pub lower: Option<f64>,
    /// The true quantile is at most this; absent when the bound reaches above the sample.
    pub upper: Option<f64>,
    /// Error in rank.
    pub epsilon: f64,
    /// Reports in the sample that have this value.
    pub sample: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_values_are_null_and_not_left_out() {
        let json = serde_json::to_value(ConsciousnessMetrics::default()).unwrap();
        let names = ["coherence", "consciousness_level", "divergence", "phi", "stability"];
        assert_eq!(json.as_object().unwrap().keys().collect::<Vec<_>>(), names);
        assert!(json.as_object().unwrap().values().all(serde_json::Value::is_null));
    }
}
