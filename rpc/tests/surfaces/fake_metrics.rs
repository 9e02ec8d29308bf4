//! Statistics and weights of the scripted node.

use aegis_rpc::api::*;
use aegis_types::{Epoch, Height, ValidatorId, Weight};

use super::NEWEST;

pub fn node_metrics() -> IntegrationMetrics {
    IntegrationMetrics {
        timestamp: 1_700_000_000_000,
        node_id: ValidatorId([3; 32]).to_string(),
        consciousness_metrics: ConsciousnessMetrics {
            coherence: Some(0.75),
            stability: Some(0.5),
            ..ConsciousnessMetrics::default()
        },
        global_state: GlobalState { system_health: Some(1.0), ..GlobalState::default() },
        quality: Quality {
            window_s: 12,
            samples: 12,
            dropped_channels: [("cpu".to_owned(), "few_values".to_owned())].into(),
            phi_measure: "Phi_G".into(),
            attested_by: 4,
            epoch: 2,
            reasons: [("phi".to_owned(), "12 samples".to_owned())].into(),
            ..Quality::default()
        },
    }
}

pub fn network_metrics(liars: f64) -> NetworkMetrics {
    let report = ReportInfo {
        sequence: 9,
        height: Height(NEWEST),
        age_ms: 1_200,
        samples: 600,
        p_value: None,
        divergence_channel: Some("cpu".into()),
        commit_latency_us: Some(4_000),
        covered_weight: Weight(18),
    };
    let node = NodeMetrics {
        node_id: ValidatorId([3; 32]),
        name: None,
        role: Role::Validator,
        weight: Weight(5),
        is_self: true,
        report: Some(report),
        consciousness_metrics: node_metrics().consciousness_metrics,
    };
    NetworkMetrics {
        timestamp: 1_700_000_000_000,
        epoch: Epoch(2),
        global_state: node_metrics().global_state,
        nodes: vec![node],
        observers: Some(ObserverMetrics {
            population: 10_000,
            sample: 1_000,
            liars,
            confidence: 0.95,
            quantiles: vec![ObserverQuantile {
                value: "stability".into(),
                rank: 0.5,
                estimate: 0.875,
                lower: Some(0.75),
                upper: None,
                epsilon: 0.05,
                sample: 990,
            }],
        }),
    }
}

fn trade() -> TradeInfo {
    TradeInfo {
        members: 7,
        total: Weight(67_000),
        quorum: Weight(44_667),
        arbitrary_faults: 1,
        arbitrary_faults_equal: 2,
        weight_may_fail: Weight(22_333),
        simultaneous_crashes: 1,
        simultaneous_crashes_lightest: 4,
        sequential_crashes: 2,
    }
}

pub fn weights() -> Weights {
    let member = WeightMember {
        id: ValidatorId([3; 32]),
        name: Some("one".into()),
        weight: Weight(16_000),
        share: 0.25,
        in_core: Some(true),
        clean_epochs: Some(12),
        leader_rank: Some(0),
    };
    Weights {
        epoch: Epoch(2),
        mode: "measured".into(),
        fault_tolerance: "fast".into(),
        members: vec![member],
        trade: trade(),
        on_record: Some(EpochRange { oldest: Epoch(1), newest: Epoch(2) }),
    }
}

fn terms() -> WeightTerms {
    WeightTerms {
        validator: ValidatorId([3; 32]),
        terms: LevelInfo {
            participation: 990_000,
            coherence: 750_000,
            stability: Some(500_000),
            divergence: Some(120_000),
            typicality: None,
        },
        reported: true,
        level: 601_000,
        hysteresis: 20_000,
        ineligible: vec!["joining".into()],
        rank: Some(6),
        in_core: false,
        before: Weight(8_000),
        target: Weight(1_000),
        grown: Weight(1_001),
        growth_limited: true,
        capped: false,
        after: Weight(1_002),
        clean_epochs_after: 7,
    }
}

/// The weights of epoch 1 are equal for a reason.
pub fn explanation(epoch: Epoch) -> WeightsExplained {
    let fallback = serde_json::json!({ "reason": "too_few_reports", "reporting": 5, "quorum": 13 });
    let explanation = WeightExplanation {
        policy: Some(PolicyInfo { fault_tolerance: 1, core_size: 4 }),
        fallback: (epoch == Epoch(1)).then_some(fallback),
        median_rtt_us: 90_000,
        commit_latency_us: None,
        cap: Weight(16_000),
        nodes: vec![terms()],
        core: vec![ValidatorId([3; 32])],
        leaders: vec![ValidatorId([3; 32])],
        trade: trade(),
    };
    WeightsExplained {
        epoch,
        is_confirmed: true,
        explanation,
        input_base64: EncodedBytes(vec![1]),
        validators_base64: EncodedBytes(vec![2]),
    }
}
