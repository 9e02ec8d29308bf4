//! Nodes with both kinds of addresses, among themselves and with nodes that have nothing but Tor.

use aegis_rpc::api::Peer;
use aegis_types::ProposalBody;

use crate::cluster::{Cluster, PATIENCE, Transport};
use crate::secrecy::{allowed, assert_seen};
use crate::sockets::SocketWatch;
use crate::tor_network::{network, wait_connected};

fn put(key: &str) -> ProposalBody {
    ProposalBody::KvPut { key: key.to_owned(), value: b"mixed".to_vec() }
}

/// Waits until the peers of a node are as wanted.
async fn wait_peers(cluster: &Cluster, index: usize, what: &str, is_wanted: impl Fn(&[Peer]) -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            let peers = cluster.client(index).peers().await.unwrap_or_default();
            if is_wanted(&peers) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    });
    if waited.await.is_err() {
        panic!("node {index}: waited in vain for {what}: {:#?}", cluster.client(index).peers().await);
    }
}

#[tokio::test]
async fn members_with_direct_addresses_leave_the_detour_and_are_seen_and_one_behind_tor_takes_part() {
    let network = network();
    let mut cluster = network.cluster(4);
    for index in 0..3 {
        cluster.nodes[index].settings.push("p2p.tor.mode=also".to_owned());
        // All join by the onion address of the first, so that each connection begins as a detour.
        let bootstrap = (index > 0).then(|| cluster.nodes[0].address(Transport::Tor)).flatten();
        cluster.start_node_by(index, &[Transport::Tcp], bootstrap.as_deref());
    }
    let bootstrap = cluster.nodes[0].address(Transport::Tor);
    cluster.start_node_by(3, &[Transport::Tor], bootstrap.as_deref());
    let watch = SocketWatch::start(allowed(&cluster, &network));
    wait_connected(&cluster).await;
    cluster.commit(put("before"), "mixed-before").await;
    let hidden = cluster.nodes[3].key.validator_id();
    for index in 0..3 {
        let is_settled = |peers: &[Peer]| {
            peers.len() == 3
                && peers.iter().all(|peer| (peer.transport == "tor") == (peer.node_id == Some(hidden)))
        };
        wait_peers(&cluster, index, "direct ways to all but the hidden one", is_settled).await;
    }
    cluster.commit(put("after"), "mixed-after").await;
    assert_seen(&cluster, 0, watch).await;
}

#[tokio::test]
async fn a_peer_whose_direct_addresses_are_dead_is_reached_through_tor() {
    let network = network();
    let mut cluster = network.cluster(2);
    for node in &mut cluster.nodes {
        node.settings.push("p2p.tor.mode=also".to_owned());
    }
    // Port 9 is nobody's: what the first node says of its direct address is of no use.
    cluster.nodes[0].settings.push("p2p.external=/ip4/127.0.0.1/tcp/9".to_owned());
    cluster.nodes[0].settings.push("p2p.listen=".to_owned());
    cluster.start_node_by(0, &[], None);
    let onion = cluster.nodes[0].address(Transport::Tor).expect("an onion address");
    cluster.start_node_by(1, &[Transport::Tcp], Some(&onion));
    wait_connected(&cluster).await;
    cluster.commit(put("first"), "fallback-first").await;
    // After the restart the second node dials what it has learned: the dead address, and the onion address.
    cluster.stop(0);
    cluster.start_node_by(0, &[], None);
    wait_connected(&cluster).await;
    cluster.commit(put("second"), "fallback-second").await;
}
