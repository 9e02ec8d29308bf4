//! Agreement among nodes that have nothing but Tor.

use std::time::Instant;

use aegis_rpc::Status;
use aegis_types::ProposalBody;

use crate::cluster::{Transport, binary};
use crate::tor_network::{network, wait_connected, wait_status};

fn put(index: u64) -> ProposalBody {
    ProposalBody::KvPut { key: format!("tor/{index}"), value: format!("value {index}").into_bytes() }
}

#[tokio::test]
async fn four_validators_and_an_observer_agree_and_find_each_other_from_one_onion_address() {
    let network = network();
    binary();
    let started = Instant::now();
    let cluster = network.start(4);
    let mut last = None;
    for index in 0..5 {
        let committed = cluster.commit(put(index), &format!("agreement-{index}")).await;
        if index == 0 {
            eprintln!("first commit {:.1} s after the first start", started.elapsed().as_secs_f64());
        }
        last = committed.height;
    }
    wait_connected(&cluster).await;
    let is_published = |status: &Status| status.tor.as_ref().is_some_and(|tor| tor.reachable);
    wait_status(&cluster, 0, "a published descriptor", is_published).await;
    eprintln!("all connected after {:.1} s", started.elapsed().as_secs_f64());
    let height = last.expect("a committed proposal has a height");
    wait_status(&cluster, 4, "what was committed", |status| status.executed_height >= height).await;
    cluster.wait_same_root(height).await;
    for index in 0..5 {
        let peers = cluster.client(index).peers().await.unwrap();
        assert!(peers.iter().all(|peer| peer.transport == "tor"), "{peers:#?}");
    }
}

#[tokio::test]
async fn a_restarted_node_has_the_same_address_and_comes_back() {
    let network = network();
    let mut cluster = network.start(4);
    cluster.commit(put(0), "before").await;
    let address = cluster.nodes[1].address(Transport::Tor).expect("an onion address");
    let shown = cluster.status(1).await.unwrap().tor.expect("a state of Tor");
    assert!(address.starts_with(&shown.onion_address), "{address} is not {}", shown.onion_address);
    cluster.stop(1);
    let committed = cluster.commit(put(1), "meanwhile").await;
    cluster.start_node(1, &[Transport::Tor]);
    assert_eq!(cluster.nodes[1].address(Transport::Tor).as_ref(), Some(&address));
    let height = committed.height.expect("a height");
    wait_status(&cluster, 1, "what it has missed", |status| status.executed_height >= height).await;
    wait_connected(&cluster).await;
    let tor = cluster.status(1).await.unwrap().tor.expect("a state of Tor");
    assert_eq!((tor.mode.as_str(), tor.percent, tor.blocked), ("only", 100, None));
    assert!(tor.circuits >= 4, "{} circuits", tor.circuits);
}
