//! Telemetry of the Tor client.

use std::sync::atomic::AtomicU64;

use aegis_p2p::TorStatus;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// What Prometheus reads about Tor. A program that was built without Tor has none of it.
#[derive(Debug, Clone, Default)]
pub struct TorSeries {
    /// How far the Tor client is on its way into the network, 0 to 1.
    bootstrap_ratio: Gauge<f64, AtomicU64>,
    /// 1 while peers can find the onion service.
    reachable: Gauge,
    /// Connections to peers through Tor.
    circuits: Gauge,
}

impl TorSeries {
    /// The series, registered where Tor is built in.
    pub fn register(registry: &mut Registry) -> Self {
        let series = Self::default();
        if cfg!(feature = "tor") {
            let Self { bootstrap_ratio, reachable, circuits } = series.clone();
            registry.register_with_unit(
                "tor_bootstrap",
                "How far the Tor client is on its way into the network, 0 to 1",
                Unit::Ratios,
                bootstrap_ratio,
            );
            registry.register("tor_reachable", "1 while peers can find the onion service", reachable);
            registry.register("tor_circuits", "Connections to peers through Tor", circuits);
        }
        series
    }

    /// Takes over how Tor stands.
    pub fn set(&self, tor: &TorStatus) {
        self.bootstrap_ratio.set(f64::from(tor.percent) / 100.0);
        self.reachable.set(i64::from(tor.is_reachable));
        self.circuits.set(i64::try_from(tor.circuits).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn a_program_without_tor_has_no_series_about_it() {
        let mut registry = Registry::with_prefix("aegis");
        TorSeries::register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for name in ["aegis_tor_bootstrap_ratios", "aegis_tor_reachable", "aegis_tor_circuits"] {
            assert_eq!(text.contains(name), cfg!(feature = "tor"), "{text}");
        }
    }
}
