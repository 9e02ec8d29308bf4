//! Who is connected, and how.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use libp2p::core::ConnectedPoint;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};

use crate::address::{connection_kind, split_peer};
use crate::ids::NodeId;

/// How a connection travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransportKind {
    /// QUIC over UDP.
    Quic,
    /// TCP with Noise and Yamux.
    Tcp,
    /// Tor with Noise and Yamux.
    Tor,
    /// Anything else.
    Other,
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quic => "quic",
            Self::Tcp => "tcp",
            Self::Tor => "tor",
            Self::Other => "other",
        })
    }
}

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The other node.
    Inbound,
    /// We.
    Outbound,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        })
    }
}

/// A connected peer, for status displays. With several connections, transport and direction are those of the oldest.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerInfo {
    /// The node.
    pub id: NodeId,
    /// The same as libp2p spells it.
    pub peer_id: String,
    /// The remote ends of its connections, as seen from here, oldest first. `/memory/N` stands for somebody who connected
    /// through Tor: where from is unknown.
    pub addresses: Vec<Multiaddr>,
    /// How it is connected.
    pub transport: TransportKind,
    /// Who connected.
    pub direction: Direction,
    /// The last measured round trip, shortest over its connections; none before the first ping.
    pub latency: Option<Duration>,
    /// What it says it runs; printable characters only.
    pub agent: String,
    /// The protocol of its chain.
    pub protocol: String,
    /// Whether it is one of our direct peers.
    pub is_direct: bool,
    /// Since when it is connected.
    pub connected_since: SystemTime,
    /// What it did to us: 0 at best, -100 before a ban.
    pub score: f64,
}

/// Longest agent text kept of a peer, in characters.
const AGENT_CHARS_MAX: usize = 128;

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) address: Multiaddr,
    pub(crate) direction: Direction,
    latency: Option<Duration>,
}

impl Connection {
    fn is_tor(&self) -> bool {
        connection_kind(&self.address) == TransportKind::Tor
    }
}

#[derive(Debug)]
pub(crate) struct Peer {
    /// In the order they were opened.
    pub(crate) connections: BTreeMap<ConnectionId, Connection>,
    pub(crate) connected_at: Instant,
    connected_since: SystemTime,
    /// What identify said, once it showed that the peer is of our chain.
    pub(crate) identity: Option<Identity>,
}

#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) node: NodeId,
    pub(crate) agent: String,
    pub(crate) protocol: String,
}

impl Identity {
    pub(crate) fn new(node: NodeId, agent: &str, protocol: String) -> Self {
        let agent = agent.chars().filter(|c| !c.is_control()).take(AGENT_CHARS_MAX).collect();
        Self { node, agent, protocol }
    }
}

/// All open connections by peer. Bounded by the connection limits.
#[derive(Debug, Default)]
pub(crate) struct PeerTable {
    peers: HashMap<PeerId, Peer>,
}

impl PeerTable {
    pub(crate) fn get(&self, peer: &PeerId) -> Option<&Peer> {
        self.peers.get(peer)
    }

    /// The node of a peer that identify has shown to be of our chain.
    pub(crate) fn node(&self, peer: &PeerId) -> Option<NodeId> {
        self.peers.get(peer).and_then(|peer| peer.identity.as_ref()).map(|identity| identity.node)
    }

    pub(crate) fn is_connected(&self, peer: &PeerId) -> bool {
        self.peers.contains_key(peer)
    }

    /// Notes an open connection; says how many the peer has now.
    pub(crate) fn open(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) -> usize {
        let direction = if endpoint.is_dialer() { Direction::Outbound } else { Direction::Inbound };
        let (address, _) = split_peer(endpoint.get_remote_address());
        let entry = self.peers.entry(peer).or_insert_with(|| Peer {
            connections: BTreeMap::new(),
            connected_at: Instant::now(),
            connected_since: SystemTime::now(),
            identity: None,
        });
        entry.connections.insert(id, Connection { address, direction, latency: None });
        entry.connections.len()
    }

    /// Notes a closed connection; gives the peer if it was its last.
    pub(crate) fn close(&mut self, peer: &PeerId, id: ConnectionId) -> Option<Peer> {
        let entry = self.peers.get_mut(peer)?;
        entry.connections.remove(&id);
        if entry.connections.is_empty() { self.peers.remove(peer) } else { None }
    }

    /// Notes who a peer is; says whether that is new.
    pub(crate) fn identify(&mut self, peer: &PeerId, identity: Identity) -> bool {
        let Some(entry) = self.peers.get_mut(peer) else { return false };
        entry.identity.replace(identity).is_none()
    }

    pub(crate) fn set_latency(&mut self, peer: &PeerId, id: ConnectionId, latency: Duration) {
        let connection = self.peers.get_mut(peer).and_then(|peer| peer.connections.get_mut(&id));
        if let Some(connection) = connection {
            connection.latency = Some(latency);
        }
    }

    /// The address at which we reached a peer, if we dialled it.
    pub(crate) fn dialled_address(&self, peer: &PeerId) -> Option<&Multiaddr> {
        let connections = self.peers.get(peer)?.connections.values();
        connections.into_iter().find(|c| c.direction == Direction::Outbound).map(|c| &c.address)
    }

    /// The connections of a peer that go through Tor.
    pub(crate) fn through_tor(&self, peer: &PeerId) -> Vec<ConnectionId> {
        let connections = self.peers.get(peer).into_iter().flat_map(|peer| &peer.connections);
        connections.filter(|(_, connection)| connection.is_tor()).map(|(id, _)| *id).collect()
    }

    /// Whether a peer is connected, and only through Tor.
    pub(crate) fn is_only_through_tor(&self, peer: &PeerId) -> bool {
        self.peers.get(peer).is_some_and(|peer| peer.connections.values().all(Connection::is_tor))
    }

    /// Peers that have not said who they are within `limit`.
    pub(crate) fn silent(&self, now: Instant, limit: Duration) -> Vec<PeerId> {
        let is_silent =
            |peer: &Peer| peer.identity.is_none() && now.saturating_duration_since(peer.connected_at) > limit;
        self.peers.iter().filter(|(_, peer)| is_silent(peer)).map(|(id, _)| *id).collect()
    }

    /// All peers of our chain for display, by id.
    pub(crate) fn infos(
        &self,
        is_direct: impl Fn(&NodeId) -> bool,
        score: impl Fn(&PeerId) -> f64,
    ) -> Vec<PeerInfo> {
        let info = |(peer_id, peer): (&PeerId, &Peer)| {
            let identity = peer.identity.as_ref()?;
            let oldest = peer.connections.values().next()?;
            Some(PeerInfo {
                id: identity.node,
                peer_id: peer_id.to_string(),
                addresses: peer.connections.values().map(|connection| connection.address.clone()).collect(),
                transport: connection_kind(&oldest.address),
                direction: oldest.direction,
                latency: peer.connections.values().filter_map(|connection| connection.latency).min(),
                agent: identity.agent.clone(),
                protocol: identity.protocol.clone(),
                is_direct: is_direct(&identity.node),
                connected_since: peer.connected_since,
                score: score(peer_id),
            })
        };
        let mut infos: Vec<_> = self.peers.iter().filter_map(info).collect();
        infos.sort_by_key(|info| info.id);
        infos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_of_itself_is_cut_and_cleaned() {
        let node = aegis_types::ValidatorId([1; 32]);
        let identity = Identity::new(node, &format!("a\u{1b}[31m\n{}", "x".repeat(1000)), String::new());
        assert!(identity.agent.starts_with("a[31mx"));
        assert_eq!(identity.agent.chars().count(), AGENT_CHARS_MAX);
    }
}
