//! Statistics as gRPC says them.

use crate::api::{ConsciousnessMetrics, GlobalState, IntegrationMetrics, Quality};
use crate::proto;

impl From<IntegrationMetrics> for proto::IntegrationMetrics {
    fn from(metrics: IntegrationMetrics) -> Self {
        Self {
            timestamp: metrics.timestamp,
            node_id: metrics.node_id,
            consciousness_metrics: Some(metrics.consciousness_metrics.into()),
            global_state: Some(metrics.global_state.into()),
            quality: Some(metrics.quality.into()),
        }
    }
}

impl From<ConsciousnessMetrics> for proto::ConsciousnessMetrics {
    fn from(metrics: ConsciousnessMetrics) -> Self {
        let ConsciousnessMetrics { phi, coherence, stability, divergence, consciousness_level } = metrics;
        Self { phi, coherence, stability, divergence, consciousness_level }
    }
}

impl From<GlobalState> for proto::GlobalState {
    fn from(state: GlobalState) -> Self {
        let GlobalState { network_coherence, collective_awareness, system_health } = state;
        Self { network_coherence, collective_awareness, system_health }
    }
}

impl From<Quality> for proto::Quality {
    fn from(quality: Quality) -> Self {
        Self {
            window_s: quality.window_s,
            samples: quality.samples,
            channels: quality.channels,
            dropped_channels: quality.dropped_channels.into_iter().collect(),
            shrinkage: quality.shrinkage,
            p_value: quality.p_value,
            phi_measure: quality.phi_measure,
            phi_nats: quality.phi_nats,
            phi_cut: quality.phi_cut.unwrap_or_default(),
            divergence_channel: quality.divergence_channel,
            attested_by: quality.attested_by,
            epoch: quality.epoch,
            reasons: quality.reasons.into_iter().collect(),
        }
    }
}
