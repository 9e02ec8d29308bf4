//! The shape in which values are shown: the names of the project's source document, and beside them what is needed to
//! judge them.
//!
//! A value that could not be computed is `null`, with the reason under its name in `quality.reasons`. Never 0 for
//! "unknown".

use std::collections::BTreeMap;

use crate::micro::Micro;
use crate::sampling::channel::Channel;
use crate::sampling::local::LocalStatistics;
use crate::sampling::window::DropReason;
use crate::statistics::phi::MEASURE;

/// One node's values and those of the network as it sees it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
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

/// The node's values: statistics of telemetry, whatever they are called.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize)]
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

/// The network's values.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize)]
pub struct GlobalState {
    /// Round synchrony, debiased.
    pub network_coherence: Option<f64>,
    /// Observability coverage.
    pub collective_awareness: Option<f64>,
    /// Quorum headroom.
    pub system_health: Option<f64>,
}

/// How good the values are.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
pub struct Quality {
    /// Seconds that the window spans.
    pub window_s: usize,
    /// Samples in it.
    pub samples: usize,
    /// Channels that were used.
    pub channels: Vec<Channel>,
    /// Channels that were not, and why.
    pub dropped_channels: BTreeMap<&'static str, DropReason>,
    /// How far correlations were shrunk.
    pub shrinkage: Option<f64>,
    /// How likely chance alone gives such a phi.
    pub p_value: Option<f64>,
    /// What phi is.
    pub phi_measure: &'static str,
    /// phi before it is divided, in nats.
    pub phi_nats: Option<f64>,
    /// Channels on one side of the weakest cut.
    pub phi_cut: Option<Vec<Channel>>,
    /// The channel that diverges most.
    pub divergence_channel: Option<Channel>,
    /// How many members' agreed or gossiped rows the coherence rests on.
    pub attested_by: usize,
    /// The epoch.
    pub epoch: u64,
    /// For each value that is `null`, why.
    pub reasons: BTreeMap<&'static str, String>,
}

/// What the node adds to its own statistics before they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NetworkValues {
    /// The node's coherence, from the rows of the members' reports.
    pub coherence: Option<Micro>,
    /// The node's level.
    pub level: Option<Micro>,
    /// Round synchrony.
    pub network_coherence: Option<Micro>,
    /// Observability coverage.
    pub collective_awareness: Option<Micro>,
    /// Quorum headroom.
    pub system_health: Option<Micro>,
    /// Members whose rows were used.
    pub attested_by: usize,
    /// The epoch.
    pub epoch: u64,
}

impl IntegrationMetrics {
    /// Puts the values of a node together.
    pub fn new(timestamp_ms: u64, node_id: String, local: &LocalStatistics, network: NetworkValues) -> Self {
        let mut reasons = BTreeMap::new();
        let mut absent = |name: &'static str, reason: String| {
            reasons.insert(name, reason);
        };
        let phi = local.phi.as_ref().map_err(|reason| absent("phi", reason.to_string())).ok();
        let stability =
            local.stability.as_ref().map_err(|reason| absent("stability", reason.to_string())).ok();
        let divergence =
            local.divergence.as_ref().map_err(|reason| absent("divergence", reason.to_string())).ok();
        let mut counted = |name: &'static str, value: Option<Micro>, reason: &str| {
            if value.is_none() {
                absent(name, reason.to_owned());
            }
            value.map(Micro::to_share)
        };
        let coherence =
            counted("coherence", network.coherence, "no round-trip times of a quorum are reported yet");
        let level = counted(
            "consciousness_level",
            network.level,
            "it needs coherence and participation, for members only",
        );
        let global_state = GlobalState {
            network_coherence: counted(
                "network_coherence",
                network.network_coherence,
                "no height was voted on yet",
            ),
            collective_awareness: counted(
                "collective_awareness",
                network.collective_awareness,
                "no reports are held yet",
            ),
            system_health: counted("system_health", network.system_health, "no certificate was seen yet"),
        };
        let cut = local.cut_mask();
        let in_cut =
            |cut: u8| Channel::ALL.into_iter().filter(move |channel| cut & channel.bit() != 0).collect();
        Self {
            timestamp: timestamp_ms,
            node_id,
            consciousness_metrics: ConsciousnessMetrics {
                phi: phi.map(|phi| phi.phi),
                coherence,
                stability: stability.copied(),
                divergence: divergence.map(|divergence| divergence.value),
                consciousness_level: level,
            },
            global_state,
            quality: Quality {
                window_s: local.samples,
                samples: local.samples,
                channels: local.channels.clone(),
                dropped_channels: local
                    .dropped
                    .iter()
                    .map(|(channel, reason)| (channel.name(), *reason))
                    .collect(),
                shrinkage: phi.map(|phi| phi.shrinkage),
                p_value: phi.map(|phi| phi.p_value),
                phi_measure: MEASURE,
                phi_nats: phi.map(|phi| phi.nats),
                phi_cut: cut.map(in_cut),
                divergence_channel: local.leading_channel(),
                attested_by: network.attested_by,
                epoch: network.epoch,
                reasons,
            },
        }
    }
}
