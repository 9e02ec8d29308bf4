//! The values as Prometheus series, under plain names. What is not known is `NaN`, as is usual there.

use std::sync::atomic::AtomicU64;

use aegis_metrics::sampling::IntegrationMetrics;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

type Share = Gauge<f64, AtomicU64>;

/// Series of the node's and the network's values.
#[derive(Debug)]
pub struct MetricSeries {
    channel_coupling: Share,
    vote_timing_agreement: Share,
    self_consistency: Share,
    distance_from_peers: Share,
    composite_score: Share,
    round_synchrony: Share,
    observability_coverage: Share,
    quorum_headroom: Share,
    window_samples: Gauge,
    reporting_members: Gauge,
}

impl MetricSeries {
    /// Registers all of them.
    pub fn register(registry: &mut Registry) -> Self {
        let mut share = |name: &str, help: &str| {
            let series = Share::default();
            series.set(f64::NAN);
            registry.register(name, help, series.clone());
            series
        };
        let series = Self {
            channel_coupling: share("channel_coupling", "Coupling of this node's channels (phi), 0 to 1"),
            vote_timing_agreement: share(
                "vote_timing_agreement",
                "How close this node is to the weighted quorum in time (coherence), 0 to 1",
            ),
            self_consistency: share(
                "self_consistency",
                "Whether this node behaves as five minutes ago (stability), 0 to 1",
            ),
            distance_from_peers: share(
                "distance_from_peers",
                "How unlike its peers this node behaves (divergence), 0 to 1",
            ),
            composite_score: share(
                "composite_score",
                "Score by which the voting core is chosen (consciousness_level), 0 to 1",
            ),
            round_synchrony: share(
                "round_synchrony",
                "Whether heights are voted on in step (network_coherence), 0 to 1",
            ),
            observability_coverage: share(
                "observability_coverage",
                "Share of the weight with fresh reports of a quorum (collective_awareness), 0 to 1",
            ),
            quorum_headroom: share(
                "quorum_headroom",
                "How much weight may still fail before commits stop (system_health), 0 to 1",
            ),
            window_samples: Gauge::default(),
            reporting_members: Gauge::default(),
        };
        registry.register(
            "window_samples",
            "Seconds in the window of the node's channels",
            series.window_samples.clone(),
        );
        registry.register(
            "reporting_members",
            "Validators whose fresh reports this node holds",
            series.reporting_members.clone(),
        );
        series
    }

    /// Takes over the newest values.
    pub fn set(&self, metrics: &IntegrationMetrics) {
        let (own, global) = (&metrics.consciousness_metrics, &metrics.global_state);
        for (series, value) in [
            (&self.channel_coupling, own.phi),
            (&self.vote_timing_agreement, own.coherence),
            (&self.self_consistency, own.stability),
            (&self.distance_from_peers, own.divergence),
            (&self.composite_score, own.consciousness_level),
            (&self.round_synchrony, global.network_coherence),
            (&self.observability_coverage, global.collective_awareness),
            (&self.quorum_headroom, global.system_health),
        ] {
            series.set(value.unwrap_or(f64::NAN));
        }
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.window_samples.set(count(metrics.quality.samples));
        self.reporting_members.set(count(metrics.quality.attested_by));
    }
}
