//! Statistics of node and network as the interface shows them.

use std::collections::BTreeMap;

use aegis_metrics::sampling::Channel;
use aegis_metrics::statistics::sampled_quantile;
use aegis_metrics::{Micro, Report, sampling};
use aegis_rpc::api::{
    ConsciousnessMetrics, GlobalState, IntegrationMetrics, NetworkMetrics, NodeMetrics, ObserverMetrics,
    ObserverQuantile, Quality, ReportInfo, Role,
};
use aegis_types::{ValidatorId, Weight};
use serde::Serialize;

use super::Api;
use crate::node::clock::unix_ms;
use crate::node::metrics::view::NetworkLook;
use crate::node::metrics::{Kept, ObserverSample};

/// Observers that are listed one by one; of more, only the quantiles say something to people.
const OBSERVERS_LISTED: usize = 100;
/// Ranks whose values are estimated for all observers.
const RANKS: [f64; 3] = [0.1, 0.5, 0.9];
/// Probability that the bounds of a quantile fail.
const DELTA: f64 = 0.05;

/// A value in a report.
type ReportedValue = fn(&Report) -> Option<Micro>;

impl Api {
    /// This node's statistics. Cheap: they are computed elsewhere, now and then.
    pub(super) fn own_metrics(&self) -> IntegrationMetrics {
        shown(self.node.integration_metrics())
    }

    pub(super) fn all_metrics(&self, liars: f64) -> NetworkMetrics {
        let look = self.node.look();
        let observers = self.node.in_setting(|setting| self.node.live.observers(setting));
        let now_us = self.node.clock.monotonic_us();
        let members = look.set.members().iter().map(|member| {
            let kept = look.reports.get(&member.validator);
            self.node_metrics_of(&member.validator, member.weight, kept, &look, now_us)
        });
        let listed = observers.reports().take(OBSERVERS_LISTED).map(|kept| {
            self.node_metrics_of(&kept.signed.report.reporter, Weight::ZERO, Some(kept), &look, now_us)
        });
        NetworkMetrics {
            timestamp: unix_ms(),
            epoch: look.set.epoch(),
            global_state: GlobalState {
                network_coherence: look.network_coherence.map(Micro::to_share),
                collective_awareness: look.collective_awareness.map(Micro::to_share),
                system_health: look.system_health.map(Micro::to_share),
            },
            nodes: members.chain(listed).collect(),
            observers: observer_metrics(&observers, liars),
        }
    }

    fn node_metrics_of(
        &self,
        node: &ValidatorId,
        weight: Weight,
        kept: Option<&Kept>,
        look: &NetworkLook,
        now_us: u64,
    ) -> NodeMetrics {
        let values = look.values_of(node);
        let said = kept.map(|kept| kept.signed.report.values).unwrap_or_default();
        NodeMetrics {
            node_id: *node,
            name: self.names.get(node).cloned(),
            role: if look.set.contains(node) { Role::Validator } else { Role::Observer },
            weight,
            is_self: *node == self.node.node_key.validator_id(),
            report: kept.map(|kept| report_info(kept, now_us)),
            consciousness_metrics: ConsciousnessMetrics {
                phi: said.phi.map(Micro::to_share),
                coherence: values.coherence.map(Micro::to_share),
                stability: said.stability.map(Micro::to_share),
                divergence: said.divergence.map(Micro::to_share),
                consciousness_level: values.level.map(Micro::to_share),
            },
        }
    }
}

fn report_info(kept: &Kept, now_us: u64) -> ReportInfo {
    let Report { sequence, height, values, covered_weight, .. } = kept.signed.report;
    let channel = values.leading_channel.and_then(Channel::from_number);
    ReportInfo {
        sequence,
        height,
        age_ms: now_us.saturating_sub(kept.at_us) / 1_000,
        samples: u64::from(values.samples),
        p_value: values.p_value.map(Micro::to_share),
        divergence_channel: channel.map(|channel| channel.name().to_owned()),
        commit_latency_us: values.commit_latency_us,
        covered_weight,
    }
}

fn observer_metrics(observers: &ObserverSample, liars: f64) -> Option<ObserverMetrics> {
    let sample = observers.reports().len();
    if sample == 0 {
        return None;
    }
    let population = observers.population();
    let values: [(&str, ReportedValue); 3] = [
        ("phi", |report| report.values.phi),
        ("stability", |report| report.values.stability),
        ("divergence", |report| report.values.divergence),
    ];
    let quantiles = values.into_iter().flat_map(|(name, value)| {
        let known = observers.reports().filter_map(|kept| value(&kept.signed.report));
        let known: Vec<f64> = known.map(Micro::to_share).collect();
        // A report without the value says nothing of how many have it: the sample stands for those that do.
        let standing_for =
            if known.len() == sample { population } else { scaled(population, known.len(), sample) };
        let quantile = move |rank| {
            let found = sampled_quantile(&known, standing_for, rank, DELTA, liars)?;
            Some(ObserverQuantile {
                value: name.to_owned(),
                rank,
                estimate: found.estimate,
                lower: found.lower,
                upper: found.upper,
                epsilon: found.epsilon,
                sample: count(found.sample),
            })
        };
        RANKS.into_iter().filter_map(quantile).collect::<Vec<_>>()
    });
    Some(ObserverMetrics {
        population: count(population),
        sample: count(sample),
        liars,
        confidence: 1.0 - DELTA,
        quantiles: quantiles.collect(),
    })
}

fn scaled(population: usize, part: usize, whole: usize) -> usize {
    population.saturating_mul(part).checked_div(whole).unwrap_or_default().max(part)
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// The name of a unit-like value, as it is serialised.
fn name(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(_) | Err(_) => String::new(),
    }
}

fn names(channels: Vec<Channel>) -> Vec<String> {
    channels.into_iter().map(|channel| channel.name().to_owned()).collect()
}

/// The same values in the interface's types, so that its document lists them.
fn shown(metrics: sampling::IntegrationMetrics) -> IntegrationMetrics {
    let (own, global, quality) = (metrics.consciousness_metrics, metrics.global_state, metrics.quality);
    let dropped: BTreeMap<String, String> = quality
        .dropped_channels
        .into_iter()
        .map(|(channel, reason)| (channel.to_owned(), name(reason)))
        .collect();
    IntegrationMetrics {
        timestamp: metrics.timestamp,
        node_id: metrics.node_id,
        consciousness_metrics: ConsciousnessMetrics {
            phi: own.phi,
            coherence: own.coherence,
            stability: own.stability,
            divergence: own.divergence,
            consciousness_level: own.consciousness_level,
        },
        global_state: GlobalState {
            network_coherence: global.network_coherence,
            collective_awareness: global.collective_awareness,
            system_health: global.system_health,
        },
        quality: Quality {
            window_s: count(quality.window_s),
            samples: count(quality.samples),
            channels: names(quality.channels),
            dropped_channels: dropped,
            shrinkage: quality.shrinkage,
            p_value: quality.p_value,
            phi_measure: quality.phi_measure.to_owned(),
            phi_nats: quality.phi_nats,
            phi_cut: quality.phi_cut.map(names),
            divergence_channel: quality.divergence_channel.map(|channel| channel.name().to_owned()),
            attested_by: count(quality.attested_by),
            epoch: quality.epoch,
            reasons: quality.reasons.into_iter().map(|(value, reason)| (value.to_owned(), reason)).collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    use aegis_metrics::SignedReport;
    use aegis_metrics::reports::ReportedValues;
    use aegis_metrics::sampling::view::NetworkValues;
    use aegis_metrics::sampling::{Baseline, LocalStatistics, Peers, Window};
    use aegis_types::{Epoch, Hash, Height, Signature};

    use super::*;

    #[test]
    fn the_interface_shows_what_was_measured_name_by_name() {
        let row = |second: u64| {
            std::array::from_fn(|channel| {
                let number = u32::try_from(second * (channel as u64 + 3) % 97).unwrap();
                (channel != 4).then_some(f64::from(number))
            })
        };
        let mut window = Window::default();
        for second in 0..300 {
            window.push(second, row(second));
        }
        let local = LocalStatistics::of(&window.view(), &Baseline::default(), &Peers::default());
        let values = NetworkValues { coherence: Some(Micro::new(7)), epoch: 3, ..NetworkValues::default() };
        let metrics = sampling::IntegrationMetrics::new(5, "node".into(), &local, values);
        assert!(metrics.quality.dropped_channels.contains_key("quorum_rtt"));
        let json = serde_json::to_value(&metrics).unwrap();
        assert_eq!(serde_json::to_value(shown(metrics)).unwrap(), json);
    }

    fn sample(observers: u32, with_phi: u32) -> ObserverSample {
        let mut sample = ObserverSample::new(Hash([1; 32]));
        for number in 0..observers {
            let values = ReportedValues {
                phi: (number < with_phi).then_some(Micro::new(number * 200)),
                stability: Some(Micro::ONE),
                ..ReportedValues::default()
            };
            let report = Report {
                epoch: Epoch(0),
                sequence: 1,
                reporter: ValidatorId(Hash::of("node", &number.to_be_bytes()).0),
                height: Height(1),
                rtt_us: Vec::new(),
                votes_in_time: Vec::new(),
                channels: BTreeMap::new(),
                values,
                covered_weight: Weight(0),
            };
            sample.keep(SignedReport { report, signature: Signature([0; 64]) }, 0);
        }
        sample
    }

    #[test]
    fn a_few_observers_are_counted_without_error_and_without_any_there_is_nothing() {
        assert_eq!(observer_metrics(&sample(0, 0), 0.0), None);
        let shown = observer_metrics(&sample(11, 11), 0.0).unwrap();
        assert_eq!((shown.population, shown.sample), (11, 11));
        let median = shown.quantiles.iter().find(|found| found.value == "phi" && found.rank == 0.5).unwrap();
        assert_eq!((median.estimate, median.lower, median.upper), (0.001, Some(0.001), Some(0.001)));
        assert!(shown.quantiles.iter().all(|found| found.value != "divergence"), "nobody has one");
    }

    #[test]
    fn a_full_sample_stands_for_more_and_has_bounds_that_liars_widen() {
        let full = sample(4_000, 4_000);
        let width = |liars: f64| {
            let shown = observer_metrics(&full, liars).unwrap();
            assert!((3_500..4_500).contains(&shown.population), "{}", shown.population);
            let median = shown.quantiles.into_iter().find(|found| found.value == "phi" && found.rank == 0.5);
            let median = median.unwrap();
            assert!(median.epsilon > 0.04, "{}", median.epsilon);
            median.upper.unwrap() - median.lower.unwrap()
        };
        assert!(width(0.0) > 0.0);
        assert!(width(0.2) > width(0.0));
    }
}
