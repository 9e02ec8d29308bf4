//! What an operator can set, and the defaults.
//!
//! Sizes that both ends must agree on (largest frame, gossip message, request and response) are constants of the
//! protocol and not set here.

use std::time::Duration;

use aegis_types::{ChainId, Hash};
use libp2p::Multiaddr;

use crate::error::P2pError;
use crate::inbox::FRAME_OVERHEAD_BYTES;
use crate::lane::Lane;
use crate::link_delay::LinkDelays;
use crate::tor::TorConfig;

/// Longest agent text, in bytes: it goes into every identify message, which has 4 KiB in all.
const AGENT_BYTES_MAX: usize = 128;

/// How a node takes part in the network.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// The chain; nodes of other chains are refused.
    pub chain: ChainId,
    /// The genesis's hash; tells apart two chains of one name.
    pub genesis: Hash,
    /// Where to listen, such as `/ip4/0.0.0.0/udp/9000/quic-v1` or `/ip4/0.0.0.0/tcp/9000`. Empty: dial only.
    pub listen: Vec<Multiaddr>,
    /// Addresses under which others reach this node, when they differ from those it listens on.
    pub external: Vec<Multiaddr>,
    /// Nodes to start from, with or without `/p2p/<peer id>`.
    pub bootstrap: Vec<Multiaddr>,
    /// Name and version of the program, shown to peers; at most 128 bytes.
    pub agent: String,
    /// What peers may use up.
    pub limits: NetworkLimits,
    /// How other nodes are found and kept.
    pub discovery: DiscoveryConfig,
    /// Whether Tor is used, and how.
    pub tor: TorConfig,
    /// For tests: how long what these nodes send is held back before it is read. Empty for every real node.
    pub link_delays: LinkDelays,
}

impl NetworkConfig {
    /// A node of this chain that neither listens nor knows anybody yet, with default limits.
    pub fn new(chain: ChainId, genesis: Hash) -> Self {
        Self {
            chain,
            genesis,
            listen: Vec::new(),
            external: Vec::new(),
            bootstrap: Vec::new(),
            agent: concat!("aegis/", env!("CARGO_PKG_VERSION")).to_owned(),
            limits: NetworkLimits::default(),
            discovery: DiscoveryConfig::default(),
            tor: TorConfig::default(),
            link_delays: LinkDelays::new(),
        }
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// `Config` names the first setting that cannot work.
    pub fn check(&self) -> Result<(), P2pError> {
        if self.agent.len() > AGENT_BYTES_MAX {
            let reason = format!("it has {} bytes; at most {AGENT_BYTES_MAX} are possible", self.agent.len());
            return Err(P2pError::Config { setting: "agent", reason });
        }
        let lists = [("listen", &self.listen), ("external", &self.external), ("bootstrap", &self.bootstrap)];
        for (setting, addresses) in lists {
            self.tor.check_addresses(setting, addresses)?;
        }
        self.tor.check()?;
        self.limits.check()?;
        self.discovery.check()
    }
}

/// Bounds on what peers can make this node hold or do. Each is per node unless it says otherwise.
#[derive(Debug, Clone)]
pub struct NetworkLimits {
    /// Connections that others opened; direct peers are not counted. More serve more observers and cost about 100 KiB each.
    pub connections_inbound: u32,
    /// Connections that we opened; direct peers are not counted. Bounds what a poisoned routing table makes us dial.
    pub connections_outbound: u32,
    /// Connections in the middle of their handshake, in each direction; handshakes cost CPU before anybody has a name.
    pub connections_pending: u32,
    /// Connections per peer. Two nodes that dial each other at once end up with two; a restart may add a third for a while.
    pub connections_per_peer: u32,
    /// Above this resident size of the process, in bytes, no new connection is made or accepted.
    pub process_memory_bytes: usize,
    /// Frames that wait to be sent, per direct peer and lane.
    pub outbox_frames: usize,
    /// Bytes that wait to be sent, per direct peer and lane. Should hold some seconds of traffic, not minutes: old votes are stale.
    pub outbox_bytes: usize,
    /// Received bytes that wait for the consumer, per direct peer, on the consensus lane. At least one largest frame.
    pub inbox_consensus_bytes: usize,
    /// Received bytes that wait for the consumer, per direct peer, on the payload lane. At least one largest frame.
    pub inbox_payload_bytes: usize,
    /// Requests under way with one peer, in each direction.
    pub requests_per_peer: usize,
    /// Requests of others under way in all; direct peers are not counted. Each may hold one largest response in memory.
    pub requests_total: usize,
    /// Requests per second and peer, in each direction; twice as many in a burst.
    pub request_rate: u32,
    /// How long a request may take, from question to answer.
    pub request_timeout: Duration,
}

impl Default for NetworkLimits {
    fn default() -> Self {
        Self {
            connections_inbound: 256,
            connections_outbound: 64,
            connections_pending: 64,
            connections_per_peer: 3,
            process_memory_bytes: 4 << 30,
            outbox_frames: 8192,
            outbox_bytes: 32 << 20,
            inbox_consensus_bytes: 12 << 20,
            inbox_payload_bytes: 8 << 20,
            requests_per_peer: 4,
            requests_total: 32,
            request_rate: 2_000,
            request_timeout: Duration::from_secs(10),
        }
    }
}

impl NetworkLimits {
    fn check(&self) -> Result<(), P2pError> {
        let inboxes = [
            ("limits.inbox_consensus_bytes", self.inbox_consensus_bytes, Lane::Consensus),
            ("limits.inbox_payload_bytes", self.inbox_payload_bytes, Lane::Payload),
        ];
        for (setting, bytes, lane) in inboxes {
            let least = lane.max_frame_bytes() + FRAME_OVERHEAD_BYTES;
            if bytes < least || u32::try_from(bytes).is_err() {
                let reason = format!("{bytes} is not between {least} (one frame) and {}", u32::MAX);
                return Err(P2pError::Config { setting, reason });
            }
        }
        let positive = [
            ("limits.connections_per_peer", self.connections_per_peer as usize),
            ("limits.outbox_frames", self.outbox_frames),
            ("limits.requests_per_peer", self.requests_per_peer),
            ("limits.requests_total", self.requests_total),
            ("limits.request_rate", self.request_rate as usize),
            ("limits.request_timeout", self.request_timeout.as_millis() as usize),
        ];
        match positive.into_iter().find(|(_, value)| *value == 0) {
            Some((setting, _)) => {
                Err(P2pError::Config { setting, reason: "0 would allow nothing".to_owned() })
            }
            None => Ok(()),
        }
    }
}

/// How other nodes are found, dialled and kept. Delays between attempts double up to a cap, with jitter.
#[derive(Debug, Clone)]
pub struct DiscoveryConfig {
    /// With fewer connected peers than this, the node looks for more.
    pub target_peers: usize,
    /// First delay before a bootstrap address is dialled again.
    pub bootstrap_retry: Duration,
    /// Longest delay before a bootstrap address is dialled again.
    pub bootstrap_retry_max: Duration,
    /// First delay before a direct peer is dialled again.
    pub direct_retry: Duration,
    /// Longest delay before a direct peer is dialled again. A validator that returns dials by itself, so this may be long.
    pub direct_retry_max: Duration,
    /// Time between random walks while there are fewer peers than the target.
    pub walk_interval: Duration,
    /// Time between random walks once there are enough peers.
    pub walk_interval_settled: Duration,
    /// Time between pings, which measure latency and find dead connections.
    pub ping_interval: Duration,
    /// How long a node of another chain is left alone.
    pub foreign_pause: Duration,
    /// How long a first ban lasts; each further one lasts twice as long.
    pub ban: Duration,
}

impl Default for DiscoveryConfig {
    fn default() -> Self {
        Self {
            target_peers: 16,
            bootstrap_retry: Duration::from_millis(500),
            bootstrap_retry_max: Duration::from_secs(60),
            direct_retry: Duration::from_millis(250),
            direct_retry_max: Duration::from_secs(10),
            walk_interval: Duration::from_secs(10),
            walk_interval_settled: Duration::from_secs(120),
            ping_interval: Duration::from_secs(10),
            foreign_pause: Duration::from_secs(600),
            ban: Duration::from_secs(60),
        }
    }
}

impl DiscoveryConfig {
    fn check(&self) -> Result<(), P2pError> {
        let durations = [
            ("discovery.bootstrap_retry", self.bootstrap_retry),
            ("discovery.direct_retry", self.direct_retry),
            ("discovery.walk_interval", self.walk_interval),
            ("discovery.walk_interval_settled", self.walk_interval_settled),
            ("discovery.ping_interval", self.ping_interval),
        ];
        match durations.into_iter().find(|(_, duration)| duration.is_zero()) {
            Some((setting, _)) => {
                Err(P2pError::Config { setting, reason: "without a delay it would never rest".to_owned() })
            }
            None => Ok(()),
        }
    }
}
