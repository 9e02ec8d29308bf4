//! Reads: what was acknowledged is never missed, and who asks for less than that gets an answer when there is no quorum.

use std::time::Duration;

use aegis_rpc::{Consistency, ErrorCode};
use aegis_tests::linearize::campaign::{Plan, run};
use aegis_tests::linearize::nemesis::FaultKind;
use aegis_types::ProposalBody;

use crate::cluster::{Cluster, Transport, aegis, api_error, binary};

fn put(key: &str, value: u64) -> ProposalBody {
    ProposalBody::KvPut { key: key.to_owned(), value: value.to_string().into_bytes() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_acknowledged_every_node_shows_at_once() {
    let mut cluster = Cluster::start(4);
    let observer = cluster.add_home();
    cluster.start_node(observer, &[Transport::Quic]);
    cluster.wait_status(observer, "a block", |status| status.executed_height.0 > 0).await;
    for round in 0..20 {
        let done = cluster.commit(put("k", round), &format!("round-{round}")).await;
        for reader in 0..=observer {
            let entry = cluster.client(reader).kv_get("k").await.unwrap();
            assert_eq!(entry.value, round.to_string().into_bytes(), "node {reader} in round {round}");
            assert!(entry.read_height >= done.height.unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_only_reads_that_may_be_old_are_answered() {
    let mut cluster = Cluster::start(4);
    let done = cluster.commit(put("k", 1), "before").await;
    cluster.wait_same_root(done.height.unwrap()).await;
    cluster.kill(2);
    cluster.kill(3);

    let error = api_error(cluster.client(0).kv_get("k").await);
    assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
    assert!(error.message.contains("certified") && error.message.contains("local"), "{error}");
    let local = cluster.client(0).reading(Consistency::Local).kv_get("k").await.unwrap();
    assert_eq!((local.value.as_slice(), local.certified), (&b"1"[..], None));
    let certified = cluster.client(0).reading(Consistency::Certified).kv_get("k").await.unwrap();
    let age = certified.certified.expect("a certified read says how old it is");
    assert_eq!(certified.value, b"1");
    assert!(certified.read_height >= done.height.unwrap() && certified.read_height <= local.read_height);
    assert!(age.agreed_time_ms >= cluster.genesis.timestamp_ms && age.age_ms > 0, "{age:?}");

    let home = cluster.nodes[0].home.to_str().unwrap();
    let said = aegis(&["--home", home, "kv", "get", "k", "--consistency", "local"]).unwrap();
    assert_eq!(said, "1");
    let refused = aegis(&["--home", home, "kv", "get", "k"]).unwrap_err();
    assert!(refused.contains("quorum"), "{refused}");

    cluster.start_node(2, &[Transport::Quic]);
    let deadline = std::time::Instant::now() + crate::cluster::PATIENCE;
    while let Err(error) = cluster.client(0).kv_get("k").await {
        assert!(std::time::Instant::now() < deadline, "a quorum is back, but: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_is_not_read_from_certified_state() {
    let cluster = Cluster::start(4);
    let done = cluster.commit(put("k", 1), "k").await;
    let error = api_error(cluster.client(0).reading(Consistency::Certified).proposal(done.id).await);
    assert_eq!(error.code, ErrorCode::InvalidArgument, "{error}");
    let parameters = cluster.client(0).reading(Consistency::Certified).parameters().await.unwrap();
    assert_eq!(parameters.len(), cluster.client(0).parameters().await.unwrap().len());
}

fn plan(faults: &[FaultKind], reads: Consistency) -> Plan {
    let duration = Duration::from_secs(20);
    Plan { duration, faults: faults.to_vec(), clients: 6, keys: 4, nodes: 4, seed: 11, reads }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_killed_paused_and_cut_stays_linearizable() {
    let plan = plan(&FaultKind::ALL, Consistency::Linearizable);
    let report = run(binary(), &plan).await.unwrap();
    println!("{report}");
    assert!(report.anomalies.is_empty(), "{report}");
    assert!(report.operations() > 100, "{report}");
    assert!(report.faults.iter().any(|fault| fault.is_proven), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checker_finds_out_reads_that_are_local_only() {
    let report = run(binary(), &plan(&[FaultKind::Pause], Consistency::Local)).await.unwrap();
    assert!(!report.anomalies.is_empty(), "{report}");
    let smallest = report.anomalies.iter().map(|anomaly| anomaly.operations.len()).min();
    assert!(smallest < Some(8), "{report}");
}
