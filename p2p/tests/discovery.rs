//! Finding nodes, and telling chains apart.

mod common;

use std::time::Duration;

use aegis_p2p::{AddressPart, NetworkEvent, P2pError};
use aegis_types::Hash;
use common::{QUIC, TCP, config, id, join, start, try_start, until};
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_finds_all_others_from_one_address() {
    for listen in [QUIC, TCP] {
        let hub = start(1, config(listen)).await;
        let second = join(2, listen, &hub).await;
        let third = join(3, listen, &hub).await;
        let newcomer = join(4, listen, &hub).await;
        for node in [&hub, &second, &third, &newcomer] {
            until("everybody to know everybody", || async { node.network.connected() == 3 }).await;
        }
        assert!(newcomer.network.is_connected(&id(2)) && newcomer.network.is_connected(&id(3)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bootstrap_address_needs_no_peer_id_and_may_come_up_later() {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("/ip4/127.0.0.1/tcp/{}", probe.local_addr().unwrap().port());
    drop(probe);
    let mut newcomer = config(TCP);
    newcomer.bootstrap = vec![listen.parse().unwrap()];
    let mut newcomer = start(2, newcomer).await;
    let early =
        newcomer.next("nothing", |event| matches!(event, NetworkEvent::PeerConnected { .. }).then_some(()));
    assert!(timeout(Duration::from_millis(300), early).await.is_err());
    let _late = start(1, config(&listen)).await;
    newcomer.connected_to(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_own_address_among_the_bootstrap_addresses_does_no_harm() {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("/ip4/127.0.0.1/tcp/{}", probe.local_addr().unwrap().port());
    drop(probe);
    let mut own = config(&listen);
    own.bootstrap = vec![listen.parse().unwrap()];
    let mut node = start(1, own).await;
    let _other = join(2, TCP, &node).await;
    node.connected_to(2).await;
    assert_eq!(node.network.connected(), 1);
}

async fn strangers_stay_strangers(chain: &str, genesis: Hash) {
    let mut home = start(1, config(TCP)).await;
    let mut other = config(TCP);
    other.chain = chain.parse().unwrap();
    other.genesis = genesis;
    other.bootstrap = home.network.listen_addresses().await;
    let mut stranger = start(2, other).await;
    let met = async {
        tokio::select! {
            () = home.connected_to(2) => {}
            () = stranger.connected_to(1) => {}
        }
    };
    assert!(timeout(Duration::from_millis(1500), met).await.is_err(), "two chains were mixed");
    assert_eq!((home.network.connected(), stranger.network.connected()), (0, 0));
    // A third node of the home chain, met later, must not hear of the stranger.
    let mut third = join(3, TCP, &home).await;
    third.connected_to(1).await;
    assert_eq!(third.network.connected(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_chain_is_refused() {
    strangers_stay_strangers("other", Hash::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_genesis_is_refused() {
    strangers_stay_strangers("test", Hash([1; 32])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_port_is_an_error_that_names_the_address() {
    for listen in [TCP, QUIC] {
        let first = start(1, config(listen)).await;
        let mut taken = first.address().await;
        assert!(matches!(taken.pop(), Some(AddressPart::P2p(_))));
        match try_start(2, config(&taken.to_string())).await {
            Err(P2pError::Listen { address, .. }) => assert_eq!(address, taken),
            Err(other) => panic!("another error: {other}"),
            Ok(_) => panic!("two nodes listen on {taken}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listen_addresses_have_real_ports_and_the_peer_id() {
    let node = start(1, config(QUIC)).await;
    let address = node.address().await;
    let parts: Vec<_> = address.iter().collect();
    assert!(matches!(parts[1], AddressPart::Udp(port) if port != 0));
    assert_eq!(parts.last(), Some(&AddressPart::P2p(aegis_p2p::peer_id_of(&id(1)))));
}
