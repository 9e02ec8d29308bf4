//! Nodes that take over a certified state instead of executing all blocks.

use std::time::{Duration, Instant};

use aegis_rpc::{ErrorCode, Role};
use aegis_types::{Height, Parameter, ProposalBody, Weight};

use crate::cluster::{Cluster, PATIENCE, Transport, api_error};

const POLL: Duration = Duration::from_millis(50);

const KEYS: usize = 40;

fn value_of(number: usize) -> ProposalBody {
    ProposalBody::KvPut { key: format!("key-{number}"), value: vec![b'x'; 100 + number] }
}

/// A network with snapshots every ten blocks, some of them made, that has passed a few epochs.
async fn grown() -> Cluster {
    let mut cluster = Cluster::new(&[1; 4], &[(Parameter::EpochLengthMs, 3_000)]);
    cluster.settings = vec!["store.snapshot_blocks=10".into(), "sync.snapshot_distance=15".into()];
    cluster.start_all();
    for number in 0..KEYS {
        cluster.commit(value_of(number), &format!("put-{number}")).await;
    }
    let status = cluster.status(0).await.unwrap();
    let goal = status.height.max(Height(40)).plus(20);
    for index in 0..4 {
        cluster.wait_status(index, "some height", |status| status.executed_height >= goal).await;
    }
    // Making one stands back behind everything else, so on a busy machine it takes a while.
    let deadline = Instant::now() + PATIENCE;
    while !(0..4).all(|index| has_snapshot(&cluster, index)) {
        assert!(Instant::now() < deadline, "no snapshot was made");
        tokio::time::sleep(POLL).await;
    }
    cluster
}

/// Whether a node has a complete snapshot, whose folder is named by its height.
fn has_snapshot(cluster: &Cluster, index: usize) -> bool {
    let Ok(folders) = std::fs::read_dir(cluster.nodes[index].home.join("data").join("snap")) else {
        return false;
    };
    folders.flatten().any(|folder| folder.file_name().to_string_lossy().parse::<u64>().is_ok())
}

async fn check_reads(cluster: &Cluster, index: usize) {
    let client = cluster.client(index);
    for number in [0, KEYS / 2, KEYS - 1] {
        let entry = client.kv_get(&format!("key-{number}")).await.unwrap();
        assert_eq!(entry.value.len(), 100 + number);
    }
}

/// Whether a node has the first block; if not, it says why.
pub async fn has_first_block(cluster: &Cluster, index: usize) -> bool {
    match cluster.client(index).block(Some(Height(1))).await {
        Ok(_) => true,
        Err(error) => {
            let error = api_error::<()>(Err(error));
            assert_eq!(error.code, ErrorCode::Pruned, "{error}");
            assert!(error.message.contains("archive"), "{error}");
            false
        }
    }
}

/// Waits until a node has caught up with the first.
pub async fn wait_caught_up(cluster: &Cluster, index: usize) {
    let height = cluster.status(0).await.unwrap().executed_height;
    cluster.wait_status(index, "the others' height", |status| status.executed_height >= height).await;
    cluster.wait_same_root(height).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_takes_over_a_snapshot_reads_and_becomes_a_validator() {
    let mut cluster = grown().await;
    let fifth = cluster.add_home();
    cluster.start_node(fifth, &[Transport::Quic, Transport::Tcp]);
    wait_caught_up(&cluster, fifth).await;
    assert!(!has_first_block(&cluster, fifth).await, "it has executed all blocks");
    check_reads(&cluster, fifth).await;
    // The same request again finds its first result, which this node has not seen happen.
    let again = cluster.sign(value_of(0), "put-0");
    let again = cluster.commit_signed(again).await;
    assert!(again.height.is_some());

    let id = cluster.nodes[fifth].key.validator_id();
    let body = ProposalBody::ValidatorAdd { validator: id, weight: Weight(1) };
    crate::membership::decide(&cluster, body, "add").await;
    cluster.wait_status(fifth, "a seat", |status| status.role == Role::Validator).await;
    cluster.wait_status(0, "five voters", |status| status.weight_alive == Weight(5)).await;
    // It has what it needs to start again.
    cluster.stop(fifth);
    cluster.start_node(fifth, &[Transport::Quic, Transport::Tcp]);
    cluster.wait_status(0, "five voters again", |status| status.weight_alive == Weight(5)).await;
    wait_caught_up(&cluster, fifth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_that_lost_all_but_its_journal_syncs_and_votes_again() {
    let mut cluster = grown().await;
    cluster.kill(3);
    let data = cluster.nodes[3].home.join("data");
    for folder in ["kv", "clog", "snap"] {
        std::fs::remove_dir_all(data.join(folder)).unwrap();
    }
    let journal = std::fs::metadata(data.join("wal")).unwrap();
    assert!(journal.is_dir());
    cluster.start_node(3, &[Transport::Quic, Transport::Tcp]);
    wait_caught_up(&cluster, 3).await;
    assert!(!has_first_block(&cluster, 3).await, "it has executed all blocks");
    let status = cluster.wait_status(3, "its vote", |status| status.silent.is_none()).await;
    assert_eq!(status.weight, Weight(1));
    // It is needed now: three of four decide.
    cluster.kill(0);
    let done = cluster.commit(value_of(KEYS), "after").await;
    for index in 1..4 {
        let height = done.height.unwrap();
        cluster.wait_status(index, "the new block", |status| status.executed_height >= height).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_has_every_block_from_the_first() {
    let mut cluster = grown().await;
    cluster.settings.push("sync.mode=blocks".into());
    let archive = cluster.add_home();
    cluster.start_node(archive, &[Transport::Quic, Transport::Tcp]);
    wait_caught_up(&cluster, archive).await;
    assert!(has_first_block(&cluster, archive).await);
    check_reads(&cluster, archive).await;
}
