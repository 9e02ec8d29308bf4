//! A node with nothing but Tor talks to relays alone, and says nothing about where it is.

use std::time::Duration;

use aegis_types::ProposalBody;

use crate::cluster::{Cluster, Transport};
use crate::sockets::{Allowed, SocketWatch, host_addresses};
use crate::tor_network::{TorNetwork, network, wait_connected};

/// How long nodes are looked at after a peer is gone: several dials to it, each after a longer delay.
const LOOK: Duration = Duration::from_secs(20);

/// What a node may do: serve clients, and talk to relays.
pub fn allowed(cluster: &Cluster, network: &TorNetwork) -> Vec<Allowed> {
    let remotes = network.addresses();
    let of = |index: usize| {
        let node = &cluster.nodes[index];
        let rpc = node.rest().trim_start_matches("http://").parse().unwrap();
        Allowed { pid: node.pid(), rpc, remotes: remotes.clone() }
    };
    cluster.running().map(of).collect()
}

/// What must not stand in anything that a node says.
fn traces(text: &str) -> Vec<String> {
    let mut traces: Vec<String> = host_addresses().into_keys().collect();
    traces.extend(["/ip4/", "/ip6/", "/dns", "/tcp/", "/udp/"].map(str::to_owned));
    traces.retain(|trace| text.contains(trace.as_str()));
    traces
}

/// Neither what nodes show nor what peers have told them names an address of the host.
pub async fn assert_silent_about_the_host(cluster: &Cluster) {
    for index in cluster.running().collect::<Vec<_>>() {
        let status = cluster.status(index).await.unwrap();
        let peers = cluster.client(index).peers().await.unwrap();
        let said = format!("{:?} {peers:?}", status.listen_addresses);
        assert_eq!(traces(&said), Vec::<String>::new(), "node {index} says {said}");
        let log = std::fs::read_to_string(cluster.nodes[index].home.join("node.log")).unwrap();
        // What peers told of themselves and of others is logged as they said it, before any of it is left out.
        assert!(log.contains("/onion3/"), "the log of node {index} shows what peers say");
        assert_eq!(traces(&log), Vec::<String>::new(), "in the log of node {index}");
    }
}

/// What a watch and a search for traces find in a node that also has direct addresses: neither is blind.
pub async fn assert_seen(cluster: &Cluster, index: usize, watch: SocketWatch) {
    let contacts = watch.end();
    assert!(
        contacts.iter().any(|contact| contact.contains("state 0A")),
        "its listener was not seen: {contacts:?}"
    );
    let said = cluster.status(index).await.unwrap().listen_addresses.join(" ");
    assert!(said.contains("/onion3/") && !traces(&said).is_empty(), "it has both kinds of addresses: {said}");
}

#[tokio::test]
async fn direct_addresses_that_a_peer_offers_are_not_tried_even_when_it_is_gone() {
    let network = network();
    let mut cluster = network.cluster(4);
    cluster.nodes[0].settings.push("p2p.tor.mode=also".to_owned());
    cluster.start_node_by(0, &[Transport::Tcp], None);
    let onion = cluster.nodes[0].address(Transport::Tor).expect("an onion address");
    for index in 1..4 {
        cluster.start_node_by(index, &[Transport::Tor], Some(&onion));
    }
    let watched = allowed(&cluster, &network).split_off(1);
    let watch = SocketWatch::start(watched);
    wait_connected(&cluster).await;
    for index in 1..4 {
        let log = std::fs::read_to_string(cluster.nodes[index].home.join("node.log")).unwrap();
        assert!(log.contains("/ip4/127.0.0.1/tcp/"), "node {index} was offered a direct address");
    }
    cluster.kill(0);
    let put = ProposalBody::KvPut { key: "tempted".to_owned(), value: b"not".to_vec() };
    cluster.commit(put, "tempted").await;
    tokio::time::sleep(LOOK).await;
    let contacts = watch.end();
    assert!(contacts.is_empty(), "contacts besides the relays: {contacts:#?}");
}
