//! A node with nothing but Tor talks to relays alone, and says nothing about where it is.

use std::collections::BTreeSet;
use std::time::Duration;

use aegis_types::ProposalBody;

use crate::cluster::{Cluster, Transport};
use crate::sockets::{Allowed, SocketWatch, host_addresses};
use crate::tor_network::{TorNetwork, network, wait_connected};
use crate::vacated::Vacated;

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

/// The ports of loopback sockets that a text names.
fn loopback_ports(text: &str) -> BTreeSet<u16> {
    let digits = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>();
    let after = |(at, found): (usize, &str)| digits(&text[at + found.len()..]).parse().ok();
    text.match_indices("127.0.0.1:").filter_map(after).collect()
}

/// Neither what nodes show nor what peers have told them names an address of the host.
pub async fn assert_silent_about_the_host(cluster: &Cluster, network: &TorNetwork) {
    let relays: BTreeSet<u16> = network.addresses().iter().map(|relay| relay.port()).collect();
    for index in cluster.running().collect::<Vec<_>>() {
        let status = cluster.status(index).await.unwrap();
        let peers = cluster.client(index).peers().await.unwrap();
        let said = format!("{:?} {peers:?}", status.listen_addresses);
        assert_eq!(traces(&said), Vec::<String>::new(), "node {index} says {said}");
        assert_eq!(loopback_ports(&said), BTreeSet::new(), "node {index} says {said}");
        let log = std::fs::read_to_string(cluster.nodes[index].home.join("node.log")).unwrap();
        // What peers told of themselves and of others is logged as they said it, before any of it is left out.
        let is_seen = log.contains("/onion3/") && log.contains("sees_us_at");
        assert!(is_seen, "the log of node {index} shows what peers say of themselves and of it");
        assert_eq!(traces(&log), Vec::<String>::new(), "in the log of node {index}");
        let mut ports = loopback_ports(&log);
        // Where it serves clients is told to its own operator.
        ports.retain(|port| {
            !relays.contains(port) && !cluster.nodes[index].rest().ends_with(&format!(":{port}"))
        });
        assert_eq!(ports, BTreeSet::new(), "loopback sockets in the log of node {index}");
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

/// Nodes 1 and 2 have nothing but Tor; node 3 has direct addresses too, and shows that a dial would be seen.
#[tokio::test]
async fn direct_addresses_that_a_peer_offers_are_not_tried_even_when_it_is_gone() {
    let network = network();
    let mut cluster = network.cluster(4);
    for index in [0, 3] {
        cluster.nodes[index].settings.push("p2p.tor.mode=also".to_owned());
    }
    cluster.start_node_by(0, &[Transport::Tcp], None);
    let onion = cluster.nodes[0].address(Transport::Tor).expect("an onion address");
    let direct = cluster.nodes[0].address(Transport::Tcp).expect("a direct address");
    for index in 1..4 {
        let transport = if index == 3 { Transport::Tcp } else { Transport::Tor };
        cluster.start_node_by(index, &[transport], Some(&onion));
    }
    let others = allowed(&cluster, &network).split_off(1);
    let hidden = others[..2].to_vec();
    let watch = SocketWatch::start(hidden.clone());
    wait_connected(&cluster).await;
    for index in 1..4 {
        let log = std::fs::read_to_string(cluster.nodes[index].home.join("node.log")).unwrap();
        assert!(log.contains("/ip4/127.0.0.1/tcp/"), "node {index} was offered a direct address");
    }
    cluster.kill(0);
    let vacated = Vacated::take(&direct, others.clone());
    let put = ProposalBody::KvPut { key: "tempted".to_owned(), value: b"not".to_vec() };
    cluster.commit(put, "tempted").await;
    tokio::time::sleep(LOOK).await;
    let dials = vacated.end();
    let contacts = watch.end();
    assert!(dials.contains_key(&Some(others[2].pid)), "a dial of node 3 is seen: {dials:?}");
    assert_eq!(dials.len(), 1, "somebody else has dialled the direct address of a dead node: {dials:?}");
    assert!(contacts.is_empty(), "contacts besides the relays: {contacts:#?}");
}
