//! Nodes measure themselves and tell each other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aegis_rpc::api::{NetworkMetrics, NodeMetrics, Role};
use aegis_types::ValidatorId;

use crate::cluster::{Cluster, PATIENCE, Transport, aegis};

/// Nodes report every three seconds.
const PERIOD: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(100);

async fn network(cluster: &Cluster, index: usize) -> NetworkMetrics {
    let no_liars = 0.0;
    cluster.client(index).network_metrics(no_liars).await.unwrap()
}

/// Asks a node for the network until it is as wanted.
async fn wait_network(
    cluster: &Cluster,
    index: usize,
    patience: Duration,
    is_wanted: impl Fn(&NetworkMetrics) -> bool,
) -> NetworkMetrics {
    let deadline = Instant::now() + patience;
    loop {
        let metrics = network(cluster, index).await;
        if is_wanted(&metrics) {
            return metrics;
        }
        assert!(Instant::now() < deadline, "node {index} sees {metrics:#?}");
        tokio::time::sleep(POLL).await;
    }
}

fn sequences(metrics: &NetworkMetrics) -> BTreeMap<ValidatorId, u64> {
    let sequence = |node: &NodeMetrics| Some((node.node_id, node.report.as_ref()?.sequence));
    metrics.nodes.iter().filter_map(sequence).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_sees_the_values_of_all_within_two_periods_and_an_observer_is_sampled() {
    let mut cluster = Cluster::start(4);
    let observer = cluster.add_home();
    cluster.start_node(observer, &[Transport::Quic, Transport::Tcp]);
    let is_whole = |metrics: &NetworkMetrics| {
        metrics.nodes.iter().filter(|node| node.report.is_some() && node.role == Role::Validator).count() == 4
            && metrics.nodes.iter().take(4).all(|node| node.consciousness_metrics.coherence.is_some())
    };
    for index in 0..5 {
        wait_network(&cluster, index, PATIENCE, is_whole).await;
    }
    for index in 0..5 {
        let before = sequences(&network(&cluster, index).await);
        let start = Instant::now();
        let is_newer = |metrics: &NetworkMetrics| {
            let now = sequences(metrics);
            cluster.nodes.iter().take(4).all(|node| {
                let id = node.key.validator_id();
                now.get(&id) > before.get(&id)
            })
        };
        wait_network(&cluster, index, 2 * PERIOD, is_newer).await;
        assert!(start.elapsed() <= 2 * PERIOD + POLL * 5, "{:?}", start.elapsed());
    }
    let seen = wait_network(&cluster, 0, PATIENCE, |metrics| metrics.observers.is_some()).await;
    let observers = seen.observers.unwrap();
    assert_eq!((observers.population, observers.sample), (1, 1));
    assert!(seen.nodes.iter().any(|node| node.role == Role::Observer));

    let whole =
        wait_network(&cluster, 0, PATIENCE, |metrics| {
            let global = metrics.global_state;
            global.system_health == Some(1.0)
                && global.collective_awareness == Some(1.0)
                && global.network_coherence.is_some()
                && metrics.nodes.iter().take(4).all(|node| {
                    node.consciousness_metrics.consciousness_level.is_some_and(|level| level > 0.0)
                })
        })
        .await;
    for node in whole.nodes.iter().take(4) {
        let values = node.consciousness_metrics;
        assert!(values.coherence.is_some(), "{node:?}");
        assert!(values.phi.is_none(), "phi needs minutes: {node:?}");
        assert!(node.report.as_ref().unwrap().commit_latency_us.is_some(), "{node:?}");
    }
    shown_in_the_documented_forms(&cluster).await;
    cluster.stop(3);
    shown_as_silent(&cluster, 3).await;
}

/// What a stopped validator said last is still shown, and that it is silent now.
async fn shown_as_silent(cluster: &Cluster, stopped: usize) {
    let home = cluster.nodes[0].home.to_str().unwrap();
    let id = cluster.nodes[stopped].key.validator_id().short();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = aegis(&["--home", home, "metrics", "network"]).unwrap();
        let silent: Vec<&str> = text.lines().filter(|line| line.ends_with("silent")).collect();
        if silent.iter().any(|line| line.starts_with(&id)) {
            assert_eq!(silent.len(), 1, "{text}");
            return;
        }
        assert!(Instant::now() < deadline, "{text}");
        tokio::time::sleep(POLL).await;
    }
}

async fn shown_in_the_documented_forms(cluster: &Cluster) {
    let metrics = cluster.client(0).node_metrics().await.unwrap();
    assert_eq!(metrics.quality.attested_by, 4);
    assert!(metrics.quality.samples > 2 && metrics.quality.reasons.contains_key("phi"), "{metrics:?}");
    let telemetry = cluster.client(0).telemetry().await.unwrap();
    let series = |name: &str| {
        let line = telemetry.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("no {name} in\n{telemetry}")).to_owned()
    };
    assert_eq!(series("aegis_quorum_headroom "), "aegis_quorum_headroom 1.0");
    assert_eq!(series("aegis_channel_coupling "), "aegis_channel_coupling NaN");
    let home = cluster.nodes[0].home.to_str().unwrap();
    let text = aegis(&["--home", home, "metrics"]).unwrap();
    assert!(text.contains("quorum headroom") && text.contains("1.000"), "{text}");
    let text = aegis(&["--home", home, "metrics", "network"]).unwrap();
    assert!(text.contains("quorum headroom 1.000") && text.contains("observer"), "{text}");
    let lines = aegis(&[
        "--home",
        home,
        "--output",
        "json",
        "metrics",
        "watch",
        "--interval",
        "200ms",
        "--count",
        "2",
    ])
    .unwrap();
    assert_eq!(lines.lines().count(), 2, "{lines}");
    let told = aegis(&["--home", home, "weights", "recompute", "--from", "1"]).unwrap_err();
    assert!(told.contains("weights of this network are fixed"), "{told}");
    let text = aegis(&["--home", home, "weights"]).unwrap();
    assert!(text.contains("weights are fixed") && text.contains("any 1 of 4 members"), "{text}");
}
