//! Statistics as gRPC says them.

use super::replies::id;
use crate::api::{
    ConsciousnessMetrics, GlobalState, IntegrationMetrics, NetworkMetrics, NodeMetrics, ObserverMetrics,
    ObserverQuantile, Quality, ReportInfo,
};
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

impl From<NetworkMetrics> for proto::NetworkMetrics {
    fn from(metrics: NetworkMetrics) -> Self {
        Self {
            timestamp: metrics.timestamp,
            epoch: metrics.epoch.0,
            global_state: Some(metrics.global_state.into()),
            nodes: metrics.nodes.into_iter().map(Into::into).collect(),
            observers: metrics.observers.map(Into::into),
        }
    }
}

impl From<NodeMetrics> for proto::NodeMetrics {
    fn from(node: NodeMetrics) -> Self {
        Self {
            node_id: id(node.node_id),
            name: node.name,
            role: proto::Role::from(node.role).into(),
            weight: node.weight.0,
            is_self: node.is_self,
            report: node.report.map(Into::into),
            consciousness_metrics: Some(node.consciousness_metrics.into()),
        }
    }
}

impl From<ReportInfo> for proto::ReportInfo {
    fn from(report: ReportInfo) -> Self {
        Self {
            sequence: report.sequence,
            height: report.height.0,
            age_ms: report.age_ms,
            samples: report.samples,
            p_value: report.p_value,
            divergence_channel: report.divergence_channel,
            commit_latency_us: report.commit_latency_us,
            covered_weight: report.covered_weight.0,
        }
    }
}

impl From<ObserverMetrics> for proto::ObserverMetrics {
    fn from(observers: ObserverMetrics) -> Self {
        let ObserverMetrics { population, sample, liars, confidence, quantiles } = observers;
        let quantiles = quantiles.into_iter().map(Into::into).collect();
        Self { population, sample, liars, confidence, quantiles }
    }
}

impl From<ObserverQuantile> for proto::ObserverQuantile {
    fn from(quantile: ObserverQuantile) -> Self {
        let ObserverQuantile { value, rank, estimate, lower, upper, epsilon, sample } = quantile;
        Self { value, rank, estimate, lower, upper, epsilon, sample }
    }
}
