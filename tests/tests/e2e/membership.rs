//! Validators come and go by votes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aegis_rpc::{ProposalState, Role};
use aegis_types::{Parameter, ProposalBody, Weight};

use crate::cluster::{Cluster, Transport};

/// Opens a voted proposal and has the first four nodes vote for it.
pub async fn decide(cluster: &Cluster, body: ProposalBody, key: &str) {
    let opened = cluster.commit(body, key).await;
    assert_eq!(opened.outcome.unwrap().state, ProposalState::Open);
    for index in 0..4 {
        let vote = ProposalBody::ProposalVote { proposal: opened.id, approve: true };
        let signed = cluster.sign_by(&cluster.nodes[index].key, vote, key);
        if let Err(error) = cluster.try_commit_signed(signed).await {
            // The votes before were enough.
            assert!(index >= 3 && error.message.contains("over"), "vote {index}: {error}");
        }
    }
    let detail = cluster.client(0).proposal(opened.id).await.unwrap();
    assert_eq!(detail.state, ProposalState::Passed, "{detail:#?}");
    let tally = detail.tally.unwrap();
    assert!(tally.yes >= tally.needed, "{tally:?}");
    assert!(detail.history.len() >= 4, "{:?}", detail.history);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_is_added_and_removed_by_votes_under_load() {
    let mut cluster = Cluster::new(&[1; 4], &[(Parameter::EpochLengthMs, 3_000)]);
    cluster.start_all();
    let fifth = cluster.add_home();
    cluster.start_node(fifth, &[Transport::Quic, Transport::Tcp]);
    let cluster = Arc::new(cluster);
    let is_over = Arc::new(AtomicBool::new(false));
    let load = {
        let (cluster, is_over) = (cluster.clone(), is_over.clone());
        tokio::spawn(async move {
            let mut count = 0_u32;
            while !is_over.load(Ordering::Relaxed) {
                let name = format!("load-{count}");
                cluster.commit(ProposalBody::KvPut { key: name.clone(), value: vec![1; 100] }, &name).await;
                count += 1;
            }
            count
        })
    };
    let id = cluster.nodes[fifth].key.validator_id();
    decide(&cluster, ProposalBody::ValidatorAdd { validator: id, weight: Weight(1) }, "add").await;
    let status = cluster.wait_status(fifth, "a seat", |status| status.role == Role::Validator).await;
    assert_eq!(status.total_weight, Weight(5));
    // It votes: with it alive all five are seen voting.
    cluster.wait_status(0, "five voters", |status| status.weight_alive == Weight(5)).await;
    decide(&cluster, ProposalBody::ValidatorRemove { validator: id }, "remove").await;
    let status = cluster.wait_status(fifth, "its seat's end", |status| status.role == Role::Observer).await;
    assert_eq!(status.total_weight, Weight(4));
    is_over.store(true, Ordering::Relaxed);
    let count = load.await.unwrap();
    assert!(count > 10, "the load was {count} proposals");
    let height = cluster.status(0).await.unwrap().height;
    cluster.wait_same_root(height).await;
}
