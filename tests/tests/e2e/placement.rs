//! Seven nodes, some of them far away from all others: what measured weights do to latency, and what a stopped node and a
//! liar get.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aegis_rpc::api::WeightsExplained;
use aegis_types::{Epoch, Parameter, ProposalBody, ValidatorId, Weight};

use crate::cluster::{Cluster, PATIENCE};

/// How far each node is from the middle of the network, in milliseconds one way. The profile `fast` lets one of seven fail and
/// has a core of four.
const DISTANCES_MS: [u64; 7] = [4, 4, 4, 4, 150, 150, 200];
/// With equal weights five of seven are a quorum, so each decision needs one that is far away: its Prepare and its Commit answer
/// what has the same way to go. What a busy machine adds to the measurement must not make the bound easier.
const EQUAL_LEAST: Duration = Duration::from_millis(2 * (4 + 150));
/// The one that stops and returns: in the core.
const STOPPED: usize = 3;
/// The one that claims to be near to everybody: the farthest.
const LIAR: usize = 6;
const EPOCH_MS: u64 = 8_000;
const LOWEST: Weight = Weight(1_000);
const POLL: Duration = Duration::from_millis(200);
/// Long enough for a weight to go through several epochs on a busy machine.
const EPOCHS_PATIENCE: Duration = Duration::from_secs(150);
/// Proposals of which the median latency is taken.
const PROPOSALS: usize = 9;

fn cluster() -> Cluster {
    let measured = Parameter::WeightsMode.parse_value("measured").unwrap();
    let fast = Parameter::FaultTolerance.parse_value("fast").unwrap();
    let parameters = [
        (Parameter::EpochLengthMs, EPOCH_MS),
        (Parameter::WeightsMode, measured),
        (Parameter::FaultTolerance, fast),
        (Parameter::ViewTimeoutMs, 2_000),
    ];
    let mut cluster = Cluster::new(&[LOWEST.0; DISTANCES_MS.len()], &parameters);
    let ids: Vec<ValidatorId> = cluster.nodes.iter().map(|node| node.key.validator_id()).collect();
    for (index, node) in cluster.nodes.iter_mut().enumerate() {
        let others = (0..ids.len()).filter(|other| *other != index);
        let delay = |other: usize| format!("{}={}ms", ids[other], DISTANCES_MS[other] + DISTANCES_MS[index]);
        let delays: Vec<String> = others.map(delay).collect();
        node.settings.push(format!("p2p.test_link_delays={}", delays.join(",")));
    }
    cluster.nodes[LIAR].settings.push("p2p.test_claimed_round_trip=1ms".to_owned());
    cluster
}

/// The median time that a proposal to the first node takes until it is committed.
async fn commit_latency(cluster: &Cluster, round: &str) -> Duration {
    let mut times = Vec::new();
    for number in 0..PROPOSALS {
        let key = format!("{round}-{number}");
        let body = ProposalBody::KvPut { key: key.clone(), value: b"value".to_vec() };
        let begun = Instant::now();
        cluster.commit(body, &key).await;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times[PROPOSALS / 2]
}

/// Waits until the median latency is below a bound. A busy machine adds to what the links take, and may make a leader look absent for
/// an epoch; it never takes away from it.
async fn falls_below(cluster: &Cluster, bound: Duration) {
    let deadline = Instant::now() + EPOCHS_PATIENCE;
    for round in 0.. {
        let measured = commit_latency(cluster, &format!("measured-{round}")).await;
        println!("commit latency from the client with measured weights: {measured:?}; wanted: {bound:?}");
        if measured < bound {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "it never fell below {bound:?}, which is 0.6 of that with equal weights"
        );
    }
}

/// What is known of the weights of each epoch, from the first on.
async fn history(cluster: &Cluster) -> BTreeMap<Epoch, WeightsExplained> {
    let client = cluster.client(0);
    let mut history = BTreeMap::new();
    if let Some(range) = client.weights().await.ok().and_then(|weights| weights.on_record) {
        for epoch in range.oldest.0..=range.newest.0 {
            if let Ok(explained) = client.explain_weights(Epoch(epoch)).await {
                history.insert(Epoch(epoch), explained);
            }
        }
    }
    history
}

/// A node's weights by epoch.
fn weights_of(
    cluster: &Cluster,
    history: &BTreeMap<Epoch, WeightsExplained>,
    index: usize,
) -> BTreeMap<Epoch, Weight> {
    let id = cluster.nodes[index].key.validator_id();
    let weight = |explained: &WeightsExplained| {
        explained.explanation.nodes.iter().find(|node| node.validator == id).map(|node| node.after)
    };
    history.iter().filter_map(|(epoch, explained)| Some((*epoch, weight(explained)?))).collect()
}

/// Waits until a node's newest weight is as wanted; the epoch that has it.
async fn wait_weight(cluster: &Cluster, index: usize, is_wanted: impl Fn(Weight) -> bool) -> Epoch {
    let deadline = Instant::now() + EPOCHS_PATIENCE;
    loop {
        let history = history(cluster).await;
        let weights = weights_of(cluster, &history, index);
        if let Some((epoch, _)) = weights.last_key_value().filter(|(_, weight)| is_wanted(**weight)) {
            return *epoch;
        }
        assert!(Instant::now() < deadline, "node {index} has {weights:?}; {:#?}", history.last_key_value());
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_go_to_the_well_placed_and_latency_falls_and_a_stopped_node_comes_back_slowly() {
    let mut cluster = cluster();
    cluster.start_all();
    for index in cluster.running().collect::<Vec<_>>() {
        cluster.wait_status(index, "a connection to all", |status| status.peers >= 6).await;
    }
    let equal = commit_latency(&cluster, "equal").await.min(EQUAL_LEAST);
    assert!(
        weights_of(&cluster, &history(&cluster).await, 0).values().all(|weight| *weight <= Weight(2_000))
    );

    for index in 0..4 {
        wait_weight(&cluster, index, |weight| weight >= Weight(8_000)).await;
    }
    falls_below(&cluster, equal.mul_f64(0.6)).await;

    cluster.stop(STOPPED);
    let lost = wait_weight(&cluster, STOPPED, |weight| weight == LOWEST).await;
    cluster.start_node(STOPPED, &[crate::cluster::Transport::Quic, crate::cluster::Transport::Tcp]);
    wait_weight(&cluster, STOPPED, |weight| weight >= Weight(4_000)).await;
    let history = history(&cluster).await;
    let weights = weights_of(&cluster, &history, STOPPED);
    let after: Vec<u64> = weights.range(lost..).map(|(_, weight)| weight.0).collect();
    assert!(after.windows(2).all(|pair| pair[1] <= 2 * pair[0]), "it came back at once: {after:?}");

    let liar = weights_of(&cluster, &history, LIAR);
    assert!(liar.values().all(|weight| *weight == LOWEST), "a lie raised a weight: {liar:?}");
    assert!(history.values().all(|explained| explained.is_confirmed));
    let lied = |explained: &WeightsExplained| {
        let id = cluster.nodes[LIAR].key.validator_id();
        explained.explanation.nodes.iter().any(|node| node.validator == id && node.reported)
    };
    assert!(history.values().any(lied), "the liar was never heard");
    for (epoch, explained) in &history {
        let weights = (0..DISTANCES_MS.len()).map(|index| weights_of(&cluster, &history, index)[epoch].0);
        let latency = explained.explanation.commit_latency_us.map(|latency| latency / 1_000);
        println!("epoch {epoch}: {:?}, agreed latency before: {latency:?} ms", weights.collect::<Vec<_>>());
    }
    tokio::time::timeout(PATIENCE, cluster.wait_same_root(aegis_types::Height(1))).await.expect("all go on");
}
