//! Statistics and weights over gRPC: field by field what REST says.

use aegis_rpc::proto;
use serde_json::{Value, json};
use tonic::Code;

use crate::fixture::start;
use crate::grpc::{client, error};

/// An id as REST writes it.
fn hex_id(id: &[u8]) -> Value {
    aegis_types::ValidatorId(id.try_into().expect("32 bytes")).to_string().into()
}

fn ids(ids: &[Vec<u8>]) -> Vec<Value> {
    ids.iter().map(|id| hex_id(id)).collect()
}

fn values(values: proto::ConsciousnessMetrics) -> Value {
    let proto::ConsciousnessMetrics { phi, coherence, stability, divergence, consciousness_level } = values;
    json!({
        "phi": phi, "coherence": coherence, "stability": stability, "divergence": divergence,
        "consciousness_level": consciousness_level,
    })
}

fn global(state: proto::GlobalState) -> Value {
    let proto::GlobalState { network_coherence, collective_awareness, system_health } = state;
    json!({
        "network_coherence": network_coherence, "collective_awareness": collective_awareness,
        "system_health": system_health,
    })
}

fn quality(quality: proto::Quality) -> Value {
    json!({
        "window_s": quality.window_s, "samples": quality.samples, "channels": quality.channels,
        "dropped_channels": quality.dropped_channels, "shrinkage": quality.shrinkage,
        "p_value": quality.p_value, "phi_measure": quality.phi_measure, "phi_nats": quality.phi_nats,
        "phi_cut": Some(quality.phi_cut).filter(|cut| !cut.is_empty()),
        "divergence_channel": quality.divergence_channel, "attested_by": quality.attested_by,
        "epoch": quality.epoch, "reasons": quality.reasons,
    })
}

fn node(node: proto::NodeMetrics) -> Value {
    let role = if node.role() == proto::Role::Validator { "validator" } else { "observer" };
    let report = node.report.map(|report| {
        json!({
            "sequence": report.sequence, "height": report.height, "age_ms": report.age_ms,
            "samples": report.samples, "p_value": report.p_value,
            "divergence_channel": report.divergence_channel,
            "commit_latency_us": report.commit_latency_us, "covered_weight": report.covered_weight,
        })
    });
    json!({
        "node_id": hex_id(&node.node_id), "name": node.name, "role": role, "weight": node.weight,
        "is_self": node.is_self, "report": report,
        "consciousness_metrics": node.consciousness_metrics.map(values),
    })
}

fn observers(observers: proto::ObserverMetrics) -> Value {
    let quantile = |quantile: &proto::ObserverQuantile| {
        json!({
            "value": quantile.value, "rank": quantile.rank, "estimate": quantile.estimate,
            "lower": quantile.lower, "upper": quantile.upper, "epsilon": quantile.epsilon,
            "sample": quantile.sample,
        })
    };
    json!({
        "population": observers.population, "sample": observers.sample, "liars": observers.liars,
        "confidence": observers.confidence,
        "quantiles": observers.quantiles.iter().map(quantile).collect::<Vec<_>>(),
    })
}

fn trade(trade: proto::Trade) -> Value {
    json!({
        "members": trade.members, "total": trade.total, "quorum": trade.quorum,
        "arbitrary_faults": trade.arbitrary_faults, "arbitrary_faults_equal": trade.arbitrary_faults_equal,
        "weight_may_fail": trade.weight_may_fail, "simultaneous_crashes": trade.simultaneous_crashes,
        "simultaneous_crashes_lightest": trade.simultaneous_crashes_lightest,
        "sequential_crashes": trade.sequential_crashes,
    })
}

fn member(member: proto::WeightMember) -> Value {
    json!({
        "id": hex_id(&member.id), "name": member.name, "weight": member.weight, "share": member.share,
        "in_core": member.in_core, "clean_epochs": member.clean_epochs, "leader_rank": member.leader_rank,
    })
}

fn weight_terms(node: proto::WeightTerms) -> Value {
    let terms = node.terms.map(|terms| {
        json!({
            "participation": terms.participation, "coherence": terms.coherence,
            "stability": terms.stability, "divergence": terms.divergence, "typicality": terms.typicality,
        })
    });
    json!({
        "validator": hex_id(&node.validator), "terms": terms, "reported": node.reported,
        "level": node.level, "hysteresis": node.hysteresis, "ineligible": node.ineligible,
        "rank": node.rank, "in_core": node.in_core, "before": node.before, "target": node.target,
        "grown": node.grown, "growth_limited": node.growth_limited, "capped": node.capped,
        "after": node.after, "clean_epochs_after": node.clean_epochs_after,
    })
}

fn explanation(explanation: proto::WeightExplanation) -> Value {
    let fallback = explanation.fallback.map(|fallback| {
        let mut object = json!(fallback.figures);
        object["reason"] = fallback.reason.into();
        object
    });
    let policy = explanation
        .policy
        .map(|policy| json!({ "fault_tolerance": policy.fault_tolerance, "core_size": policy.core_size }));
    json!({
        "policy": policy, "fallback": fallback, "median_rtt_us": explanation.median_rtt_us,
        "commit_latency_us": explanation.commit_latency_us, "cap": explanation.cap,
        "nodes": explanation.nodes.into_iter().map(weight_terms).collect::<Vec<_>>(),
        "core": ids(&explanation.core), "leaders": ids(&explanation.leaders),
        "trade": explanation.trade.map(trade),
    })
}

#[tokio::test]
async fn this_nodes_values_are_those_of_rest() {
    let server = start().await;
    let said = client(&server).await.get_node_metrics(proto::GetNodeMetricsRequest {}).await.unwrap();
    let said = said.into_inner();
    let said = json!({
        "timestamp": said.timestamp, "node_id": said.node_id,
        "consciousness_metrics": said.consciousness_metrics.map(values),
        "global_state": said.global_state.map(global), "quality": said.quality.map(quality),
    });
    assert_eq!(said, server.get("/v1/metrics/node").await.json());
}

#[tokio::test]
async fn the_networks_values_are_those_of_rest_with_the_share_of_liars_that_was_asked_for() {
    let server = start().await;
    let mut client = client(&server).await;
    let request = proto::GetNetworkMetricsRequest { liars: 0.1 };
    let said = client.get_network_metrics(request).await.unwrap().into_inner();
    let said = json!({
        "timestamp": said.timestamp, "epoch": said.epoch, "global_state": said.global_state.map(global),
        "nodes": said.nodes.into_iter().map(node).collect::<Vec<_>>(),
        "observers": said.observers.map(observers),
    });
    assert_eq!(said, server.get("/v1/metrics/network?liars=0.1").await.json());
    for liars in [1.0, -0.1, f64::NAN, f64::INFINITY] {
        let refused =
            client.get_network_metrics(proto::GetNetworkMetricsRequest { liars }).await.unwrap_err();
        assert_eq!(
            (refused.code(), error(&refused).field.as_deref()),
            (Code::InvalidArgument, Some("liars"))
        );
    }
}

#[tokio::test]
async fn weights_and_their_explanations_are_those_of_rest() {
    let server = start().await;
    let mut client = client(&server).await;
    let said = client.get_weights(proto::GetWeightsRequest {}).await.unwrap().into_inner();
    let said = json!({
        "epoch": said.epoch, "mode": said.mode, "fault_tolerance": said.fault_tolerance,
        "members": said.members.into_iter().map(member).collect::<Vec<_>>(),
        "trade": said.trade.map(trade),
        "on_record": said.on_record.map(|range| json!({ "oldest": range.oldest, "newest": range.newest })),
    });
    assert_eq!(said, server.get("/v1/weights").await.json());

    // Of epoch 1 the weights are equal for a reason, of epoch 2 they are the rule's.
    for epoch in [1, 2] {
        let said = client.explain_weights(proto::ExplainWeightsRequest { epoch }).await.unwrap().into_inner();
        assert_eq!((&said.input, &said.validators), (&vec![1], &vec![2]));
        let mut by_rest = server.get(&format!("/v1/weights/{epoch}")).await.json();
        let encodings = ["input_base64", "validators_base64"].map(|name| by_rest[name].take());
        assert_eq!(encodings, [json!("AQ=="), json!("Ag==")]);
        let said = json!({
            "epoch": said.epoch, "is_confirmed": said.is_confirmed,
            "explanation": said.explanation.map(explanation),
            "input_base64": null, "validators_base64": null,
        });
        assert_eq!(said, by_rest);
    }
    let absent = client.explain_weights(proto::ExplainWeightsRequest { epoch: 999 }).await.unwrap_err();
    assert_eq!((absent.code(), error(&absent).code.as_str()), (Code::NotFound, "not_found"));
}
