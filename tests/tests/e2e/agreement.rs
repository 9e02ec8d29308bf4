//! Agreement under load, crashes, and with too few validators.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aegis_rpc::{PageRequest, ProposalFilter, Submit};
use aegis_types::{Height, ProposalBody};

use crate::cluster::{Cluster, api_error};

fn put(key: String) -> ProposalBody {
    ProposalBody::KvPut { value: key.clone().into_bytes(), key }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_proposals_survive_the_leaders_death_and_are_committed_once() {
    const CLIENTS: usize = 8;
    const EACH: usize = 125;
    let cluster = Arc::new(tokio::sync::RwLock::new(Cluster::start(4)));
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let cluster = cluster.clone();
        clients.spawn(async move {
            let mut places = Vec::new();
            for number in 0..EACH {
                let name = format!("c{client}-{number}");
                let done = cluster.read().await.commit(put(name.clone()), &name).await;
                places.push((done.height.unwrap(), done.position.unwrap()));
            }
            places
        });
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let leader = {
        let cluster = cluster.read().await;
        let leader = cluster.status(0).await.unwrap().leader.unwrap();
        cluster.index_of(&leader)
    };
    cluster.write().await.kill(leader);
    let mut places = BTreeSet::new();
    let mut count = 0;
    while let Some(done) = clients.join_next().await {
        for place in done.unwrap() {
            places.insert(place);
            count += 1;
        }
    }
    assert_eq!(count, CLIENTS * EACH);
    assert_eq!(places.len(), count, "two proposals share a place");

    let mut cluster = cluster.write().await;
    cluster.start_node(leader, &[crate::cluster::Transport::Quic, crate::cluster::Transport::Tcp]);
    let top = places.last().unwrap().0;
    cluster.wait_same_root(top).await;
    for index in 0..4 {
        let client = cluster.client(index);
        let mut found = BTreeSet::new();
        let mut page = PageRequest { cursor: None, limit: 500 };
        loop {
            let listed = client.kv_list("c", page.clone()).await.unwrap();
            for entry in listed.items {
                assert_eq!(entry.version, 1, "{} was put twice", entry.key);
                found.insert(entry.key);
            }
            match listed.next_cursor {
                Some(cursor) => page.cursor = Some(cursor),
                None => break,
            }
        }
        assert_eq!(found.len(), count, "node {index} lacks values");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_two_of_four_down_nothing_commits_and_one_back_is_enough() {
    let mut cluster = Cluster::start(4);
    cluster.commit(put("before".into()), "before").await;
    cluster.kill(2);
    cluster.kill(3);
    let encoding = cluster.sign(put("during".into()), "during");
    let submit = Submit { timeout_ms: 4_000, ..Submit::signed(encoding.clone()) };
    let error = api_error(cluster.client(0).submit(submit).await);
    assert_eq!(error.code, aegis_rpc::ErrorCode::OutcomeUnknown, "{error}");
    assert!(error.message.contains("safe"), "{error}");
    let status = cluster.wait_status(0, "two dead", |status| status.weight_alive.0 == 2).await;
    assert_eq!(status.weight_may_still_fail.0, 0);
    cluster.start_node(2, &[crate::cluster::Transport::Quic]);
    let done = cluster.commit_signed(encoding).await;
    assert!(done.height.unwrap() > Height(1));
    cluster.wait_same_root(done.height.unwrap()).await;
    assert_eq!(cluster.client(2).kv_get("during").await.unwrap().value, b"during");
}

#[tokio::test(flavor = "multi_thread")]
async fn quorums_follow_weight_and_not_count() {
    // W = 20, f = 6, quorum 14: the three heaviest and one light one decide, the four lightest alone do not.
    let mut cluster = Cluster::new(&[5, 5, 4, 2, 2, 1, 1], &[]);
    cluster.start_all();
    let before = cluster.commit(put("all".into()), "all").await;
    assert!(before.certificate.unwrap().weight.0 >= 14);
    for light in 4..7 {
        cluster.kill(light);
    }
    let done = cluster.commit(put("heavy".into()), "heavy").await;
    let certificate = done.certificate.unwrap();
    assert!(certificate.weight.0 >= 14 && certificate.signers.len() <= 4, "{certificate:?}");
    // Two heavy ones less leave weight 6 of 20 alive with 2 nodes, after the light ones are back 10 with 5 of 7 nodes.
    cluster.kill(0);
    cluster.kill(1);
    for light in 4..7 {
        cluster.start_node(light, &[crate::cluster::Transport::Quic]);
    }
    let encoding = cluster.sign(put("light".into()), "light");
    let submit = Submit { timeout_ms: 4_000, ..Submit::signed(encoding) };
    let error = api_error(cluster.client(2).submit(submit).await);
    assert_eq!(
        error.code,
        aegis_rpc::ErrorCode::OutcomeUnknown,
        "five of seven nodes, but half of the weight"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_submission_returns_the_first_result() {
    let cluster = Cluster::start(4);
    let first = cluster.commit(put("once".into()), "key-1").await;
    assert!(!first.duplicate);
    let again = cluster.commit(put("once".into()), "key-1").await;
    assert!(again.duplicate);
    assert_eq!((first.id, first.height, first.position), (again.id, again.height, again.position));
    assert_eq!(first.outcome, again.outcome);
    let other = cluster.sign(put("twice".into()), "key-1");
    let error = api_error(cluster.client(1).submit(Submit::signed(other)).await);
    assert_eq!(error.code, aegis_rpc::ErrorCode::Conflict);
    let listed =
        cluster.client(2).proposals(ProposalFilter::default(), PageRequest::default()).await.unwrap();
    assert_eq!(listed.items.len(), 1, "{listed:?}");
}
