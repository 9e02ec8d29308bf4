//! A network in which nobody has the first blocks any more.

use std::time::{Duration, Instant};

use aegis_rpc::Role;
use aegis_types::{Height, Parameter, ProposalBody, Weight};

use crate::cluster::{Cluster, Transport};
use crate::state_sync::{has_first_block, wait_caught_up};

const BOTH: [Transport; 2] = [Transport::Quic, Transport::Tcp];
const POLL: Duration = Duration::from_millis(200);
/// The newest 1,024 blocks are kept whatever is configured: so many take their time, also when all are empty.
const PRUNING_PATIENCE: Duration = Duration::from_secs(600);
/// Values that fill the first file of the log, of at least 1 MiB, and some more.
const VALUES: usize = 24;
const VALUE_BYTES: usize = 60_000;

fn value_of(number: usize) -> ProposalBody {
    ProposalBody::KvPut { key: format!("key-{number}"), value: vec![number as u8; VALUE_BYTES] }
}

/// Four nodes that keep as little as they may, in the middle of a few epochs, and have let the first blocks go.
async fn pruned() -> Cluster {
    let parameters = [
        (Parameter::IdleIntervalMs, 20),
        (Parameter::EpochLengthMs, 10_000),
        (Parameter::ProposalLifetimeMaxMs, 20_000),
    ];
    let mut cluster = Cluster::new(&[1; 4], &parameters);
    let settings = [
        "store.keep_time=1s",
        "store.keep_size=1MiB",
        "store.log_segment=1MiB",
        "store.snapshot_blocks=100",
        "sync.snapshot_distance=50",
    ];
    cluster.settings = settings.map(str::to_owned).to_vec();
    cluster.start_all();
    for number in 0..VALUES {
        cluster.commit(value_of(number), &format!("put-{number}")).await;
    }
    let deadline = Instant::now() + PRUNING_PATIENCE;
    for index in 0..4 {
        loop {
            let status = cluster.status(index).await.expect("the node answers");
            if status.first_height > Some(Height(1)) {
                break;
            }
            assert!(Instant::now() < deadline, "node {index} lets no block go: {status:#?}");
            tokio::time::sleep(POLL).await;
        }
        assert!(!has_first_block(&cluster, index).await);
    }
    cluster
}

async fn check_reads(cluster: &Cluster, index: usize) {
    let client = cluster.client(index);
    for number in [0, VALUES / 2, VALUES - 1] {
        let entry = client.kv_get(&format!("key-{number}")).await.unwrap();
        assert_eq!(entry.value, vec![number as u8; VALUE_BYTES]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_has_pruned_starts_again_takes_in_newcomers_and_mends_its_members() {
    let mut cluster = pruned().await;
    for index in 0..4 {
        cluster.stop(index);
    }
    cluster.start_all();
    let restarted = cluster.commit(value_of(VALUES), "restarted").await.height.unwrap();
    cluster.wait_same_root(restarted).await;
    for index in 0..4 {
        check_reads(&cluster, index).await;
        let status = cluster.wait_status(index, "its seat", |status| status.silent.is_none()).await;
        assert_eq!((status.weight, status.first_height > Some(Height(1))), (Weight(1), true), "node {index}");
    }

    // One that has nothing.
    let fifth = cluster.add_home();
    cluster.start_node(fifth, &BOTH);
    wait_caught_up(&cluster, fifth).await;
    assert!(!has_first_block(&cluster, fifth).await);
    check_reads(&cluster, fifth).await;

    // One that has lost everything that others have, too: its journal and its home are left.
    cluster.kill(3);
    let data = cluster.nodes[3].home.join("data");
    for folder in ["kv", "clog", "snap"] {
        std::fs::remove_dir_all(data.join(folder)).unwrap();
    }
    cluster.start_node(3, &BOTH);
    wait_caught_up(&cluster, 3).await;
    check_reads(&cluster, 3).await;
    cluster
        .wait_status(3, "its vote", |status| status.role == Role::Validator && status.silent.is_none())
        .await;
    // It is needed now: three of four decide.
    cluster.kill(0);
    let done = cluster.commit(value_of(VALUES + 1), "without the first").await.height.unwrap();
    for index in [1, 2, 3, fifth] {
        cluster.wait_status(index, "the new block", |status| status.executed_height >= done).await;
    }
    cluster.wait_same_root(done).await;
}
