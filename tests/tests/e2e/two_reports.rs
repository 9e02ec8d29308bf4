//! A validator that tells two things under one number: the network keeps the proof, and it costs what is documented.
//!
//! The node itself is an honest process. Its key is in a second pair of hands: a bystander on the gossip that signs, beside
//! each report of the node, another one of the same number. That is what a network sees of a validator that lies to a part of it.

use std::time::{Duration, Instant};

use aegis_metrics::{ReportEvidence, SignedReport};
use aegis_p2p::{NetworkConfig, NetworkEvent, Topic, Verdict};
use aegis_rpc::api::{PageRequest, ProposalFilter, ProposalState, WeightTerms, WeightsExplained};
use aegis_types::{
    Canonical, Domain, Epoch, Keypair, Kind, Parameter, ProposalBody, ProposalId, ValidatorId, Weight,
};

use crate::cluster::{Cluster, PATIENCE, Transport, aegis};

/// Who says two things.
const OFFENDER: usize = 3;
/// Epochs without such a proof that the rule asks for; the members of the genesis begin with as many.
const CLEAN_EPOCHS: u32 = 2;
const EPOCH_MS: u64 = 6_000;
const LOWEST: Weight = Weight(1_000);
const POLL: Duration = Duration::from_millis(200);
/// Long enough for several epochs on a busy machine.
const EPOCHS_PATIENCE: Duration = Duration::from_secs(150);

fn cluster() -> Cluster {
    let measured = Parameter::WeightsMode.parse_value("measured").unwrap();
    let parameters = [
        (Parameter::EpochLengthMs, EPOCH_MS),
        (Parameter::WeightsMode, measured),
        (Parameter::CleanEpochs, u64::from(CLEAN_EPOCHS)),
    ];
    Cluster::new(&[LOWEST.0; 4], &parameters)
}

/// Another report with the same number.
fn contradiction(heard: &SignedReport, key: &Keypair, domain: &Domain) -> SignedReport {
    let mut other = heard.report.clone();
    other.rtt_us.iter_mut().filter(|rtt| **rtt > 0).for_each(|rtt| *rtt = 1_000);
    other.sign(key, domain)
}

/// Listens to the gossip and contradicts the offender's reports there, with its own key, until it is dropped.
async fn contradict(cluster: &Cluster) {
    let bystander = Keypair::from_seed(&[201; 32]);
    let mut config = NetworkConfig::new(cluster.genesis.chain.clone(), cluster.genesis.hash());
    config.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
    config.bootstrap = vec![cluster.nodes[0].address(Transport::Tcp).unwrap().parse().unwrap()];
    let (network, mut events) = aegis_p2p::start(&bystander, config).await.unwrap();
    let (key, domain) = (&cluster.nodes[OFFENDER].key, cluster.genesis.domain());
    while let Some(event) = events.recv().await {
        let NetworkEvent::Gossip { id, topic, message, .. } = event else { continue };
        network.judge(id, Verdict::Accept);
        let Ok(heard) = SignedReport::decode(&message) else { continue };
        if topic == Topic::Reports && heard.report.reporter == key.validator_id() {
            // Before it has a neighbour in the gossip this fails; the next report comes in seconds.
            let _ = network.publish(topic, contradiction(&heard, key, &domain).encode().into());
        }
    }
}

/// The proofs of two reports that took effect.
async fn proofs(cluster: &Cluster, index: usize) -> Vec<(ProposalId, String)> {
    let filter = ProposalFilter {
        kind: Some(Kind::MetricsEvidence),
        state: Some(ProposalState::Applied),
        ..ProposalFilter::default()
    };
    let page = cluster.client(index).proposals(filter, PageRequest::default()).await.unwrap();
    page.items.into_iter().map(|proposal| (proposal.id, proposal.subject)).collect()
}

async fn wait_proof(cluster: &Cluster, index: usize) -> (ProposalId, String) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(proof) = proofs(cluster, index).await.pop() {
            return proof;
        }
        assert!(Instant::now() < deadline, "node {index} holds no proof");
        tokio::time::sleep(POLL).await;
    }
}

/// How the offender fared in the weights of an epoch.
fn offender<'a>(cluster: &Cluster, explained: &'a WeightsExplained) -> &'a WeightTerms {
    let id = cluster.nodes[OFFENDER].key.validator_id();
    let nodes = &explained.explanation.nodes;
    nodes.iter().find(|node| node.validator == id).expect("it stays a member")
}

/// Waits for the first epoch from `from` on whose weights say of the offender what is wanted.
async fn wait_weights(
    cluster: &Cluster,
    from: Epoch,
    what: &str,
    is_wanted: impl Fn(&WeightTerms) -> bool,
) -> WeightsExplained {
    let deadline = Instant::now() + EPOCHS_PATIENCE;
    let mut epoch = from;
    loop {
        match cluster.client(0).explain_weights(epoch).await {
            Ok(explained) if is_wanted(offender(cluster, &explained)) => return explained,
            Ok(_) => epoch = epoch.next(),
            Err(_) => tokio::time::sleep(POLL).await,
        }
        assert!(Instant::now() < deadline, "waited in vain for {what} up to the weights of epoch {epoch}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_reports_with_one_number_are_proven_to_all_and_cost_the_weight_until_clean_epochs_have_passed() {
    let mut cluster = cluster();
    cluster.start_all();
    let before =
        wait_weights(&cluster, Epoch(1), "a weight to lose", |node| node.after > LOWEST.plus(LOWEST)).await;

    let proof = {
        let contradicting = contradict(&cluster);
        let proven = wait_proof(&cluster, 0);
        tokio::select! {
            () = contradicting => panic!("the bystander's network stopped"),
            proof = proven => proof,
        }
    };
    let id = cluster.nodes[OFFENDER].key.validator_id();
    shown_everywhere(&cluster, &id, &proof).await;

    let fallen = wait_weights(&cluster, before.epoch.next(), "the fall", |node| {
        node.ineligible.iter().any(|reason| reason == "equivocated")
    })
    .await;
    let node = offender(&cluster, &fallen);
    assert!(node.before > LOWEST && node.after == LOWEST, "down at once: {node:?}");
    assert_eq!((node.reported, node.in_core, node.clean_epochs_after), (false, false, 0), "{node:?}");
    assert!(!fallen.explanation.core.contains(&id));
    let elsewhere = cluster.client(1).explain_weights(fallen.epoch).await.unwrap();
    assert_eq!(elsewhere, fallen, "two nodes weigh alike, the offender's report left out");
    let home = cluster.nodes[1].home.to_str().unwrap();
    let text = aegis(&["--home", home, "weights", "explain", &fallen.epoch.0.to_string()]).unwrap();
    let line = text.lines().find(|line| line.contains(&id.short())).expect("its row");
    assert!(line.contains("equivocated, no report"), "{text}");

    comes_back_after_clean_epochs(&cluster, fallen.epoch).await;
    assert_eq!(proofs(&cluster, 0).await.len(), 1, "one proof was enough");
}

/// The rule has the offender wait for as many epochs as one that joins, and lets it grow twofold from the lowest weight.
async fn comes_back_after_clean_epochs(cluster: &Cluster, fallen: Epoch) {
    let is_joining = |node: &WeightTerms| node.ineligible.iter().any(|reason| reason == "joining");
    let clean = wait_weights(cluster, fallen.next(), "clean epochs", |node| !is_joining(node)).await;
    assert_eq!(clean.epoch.0 - fallen.0, u64::from(CLEAN_EPOCHS) + 1, "clean epochs count anew");
    let mut is_heard = false;
    for epoch in fallen.0 + 1..clean.epoch.0 {
        let between = cluster.client(0).explain_weights(Epoch(epoch)).await.unwrap();
        let node = offender(cluster, &between);
        assert_eq!((node.in_core, node.after), (false, LOWEST), "{node:?}");
        is_heard |= node.reported;
    }
    assert!(is_heard, "its reports count again");
    let back = wait_weights(cluster, clean.epoch, "its return", |node| node.in_core).await;
    assert_eq!(offender(cluster, &back).after, LOWEST.plus(LOWEST), "up twofold at most");
}

/// The proof stands in a block, with both reports, at every node and on the command line.
async fn shown_everywhere(cluster: &Cluster, id: &ValidatorId, proof: &(ProposalId, String)) {
    for index in 0..cluster.nodes.len() {
        assert_eq!(wait_proof(cluster, index).await, *proof, "node {index}");
    }
    assert_eq!(proof.1, format!("against {}", id.short()));
    let detail = cluster.client(0).proposal(proof.0).await.unwrap();
    let ProposalBody::MetricsEvidence { first, second } = detail.body.to_body().unwrap() else {
        panic!("{detail:?}")
    };
    let [first, second] = [first, second].map(|report| SignedReport::decode(&report).unwrap());
    assert_ne!(first.report.rtt_us, second.report.rtt_us);
    let evidence = ReportEvidence::new(first, second).unwrap();
    assert_eq!(evidence.reporter(), *id);
    evidence.verify(&cluster.genesis.domain()).unwrap();
    let home = cluster.nodes[2].home.to_str().unwrap();
    let list = aegis(&["--home", home, "proposal", "list", "--kind", "metrics.evidence"]).unwrap();
    assert!(list.contains(&proof.1) && list.contains("applied"), "{list}");
    let telemetry = cluster.client(0).telemetry().await.unwrap();
    let found = telemetry.lines().find_map(|line| line.strip_prefix("aegis_evidence_total "));
    assert_eq!(found, Some("1"), "{telemetry}");
}
