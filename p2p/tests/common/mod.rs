//! Nodes on loopback for the tests, and waiting for what they do.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use aegis_p2p::{EventReceiver, Multiaddr, Network, NetworkConfig, NetworkEvent, NodeId, P2pError, PeerInfo};
use aegis_types::{Hash, Keypair};
use tokio::time::{sleep, timeout};

/// Far more than anything here takes on a busy machine; only a failing test waits for it.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

pub struct Node {
    pub network: Network,
    pub events: EventReceiver,
}

pub fn key(byte: u8) -> Keypair {
    Keypair::from_seed(&[byte; 32])
}

pub fn id(byte: u8) -> NodeId {
    key(byte).validator_id()
}

pub fn ids(bytes: &[u8]) -> BTreeSet<NodeId> {
    bytes.iter().map(|byte| id(*byte)).collect()
}

/// A node of the chain `test` that listens at `listen`, and is as quick to retry as a test wants it.
pub fn config(listen: &str) -> NetworkConfig {
    let mut config = NetworkConfig::new("test".parse().unwrap(), Hash::ZERO);
    config.listen = vec![listen.parse().unwrap()];
    config.discovery.walk_interval = Duration::from_millis(500);
    config.discovery.direct_retry_max = Duration::from_secs(1);
    config.discovery.bootstrap_retry_max = Duration::from_secs(1);
    config
}

pub async fn try_start(byte: u8, config: NetworkConfig) -> Result<Node, P2pError> {
    let (network, events) = aegis_p2p::start(&key(byte), config).await?;
    Ok(Node { network, events })
}

pub async fn start(byte: u8, config: NetworkConfig) -> Node {
    try_start(byte, config).await.unwrap()
}

/// Starts a node that knows `bootstrap`.
pub async fn join(byte: u8, listen: &str, bootstrap: &Node) -> Node {
    let mut config = config(listen);
    config.bootstrap = bootstrap.network.listen_addresses().await;
    start(byte, config).await
}

/// Two connected nodes, 1 and 2.
pub async fn pair(listen: &str) -> (Node, Node) {
    let mut first = start(1, config(listen)).await;
    let mut second = join(2, listen, &first).await;
    first.connected_to(2).await;
    second.connected_to(1).await;
    (first, second)
}

/// Two nodes that are each other's direct peers, with all lanes open.
pub async fn direct_pair(listen: &str) -> (Node, Node) {
    let (mut first, mut second) = pair(listen).await;
    first.network.set_direct_peers(ids(&[1, 2]));
    second.network.set_direct_peers(ids(&[1, 2]));
    first.direct_ready(2).await;
    second.direct_ready(1).await;
    (first, second)
}

pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// Looks again and again until `condition` holds.
pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    in_time(what, async {
        while !condition().await {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

impl Node {
    pub async fn address(&self) -> Multiaddr {
        self.network.listen_addresses().await.remove(0)
    }

    /// Takes events until one is what `pick` wants.
    pub async fn next<T>(&mut self, what: &str, mut pick: impl FnMut(NetworkEvent) -> Option<T>) -> T {
        in_time(what, async {
            loop {
                let event = self.events.recv().await.unwrap_or_else(|| panic!("stopped before {what}"));
                if let Some(picked) = pick(event) {
                    return picked;
                }
            }
        })
        .await
    }

    pub async fn connected_to(&mut self, byte: u8) {
        let wanted = id(byte);
        self.next("a connection", |event| {
            matches!(event, NetworkEvent::PeerConnected { peer } if peer == wanted).then_some(())
        })
        .await;
    }

    pub async fn disconnected_from(&mut self, byte: u8) {
        let wanted = id(byte);
        self.next("a disconnection", |event| {
            matches!(event, NetworkEvent::PeerDisconnected { peer } if peer == wanted).then_some(())
        })
        .await;
    }

    pub async fn direct_ready(&mut self, byte: u8) {
        let wanted = id(byte);
        self.next("open lanes", |event| {
            matches!(event, NetworkEvent::DirectReady { peer } if peer == wanted).then_some(())
        })
        .await;
    }

    pub async fn peer(&self, byte: u8) -> Option<PeerInfo> {
        self.network.peers().await.into_iter().find(|peer| peer.id == id(byte))
    }
}
