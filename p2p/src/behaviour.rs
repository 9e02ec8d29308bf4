//! The protocols that every connection speaks.

use std::num::NonZeroUsize;
use std::time::Duration;

use libp2p::identity::Keypair;
use libp2p::kad::store::{MemoryStore, MemoryStoreConfig};
use libp2p::swarm::NetworkBehaviour;
use libp2p::{identify, kad, memory_connection_limits};
use libp2p_allow_block_list::BlockedPeers;
use libp2p_connection_limits::ConnectionLimits;

use crate::config::NetworkConfig;
use crate::error::P2pError;
use crate::exchange::{self, RequestResponse};
use crate::gossip::{self, Gossipsub, Topics};
use crate::pings::Pings;
use crate::protocols::Protocols;
use crate::tor::Pace;

/// Records that the routing table's store would hold. It holds none: nobody's records are accepted.
const KAD_RECORDS_MAX: usize = 1;

/// Largest message of the routing protocol, in bytes: twenty peers with their addresses.
const KAD_PACKET_BYTES_MAX: usize = 32 << 10;

/// Queries go to this many nodes at once.
const KAD_PARALLELISM: NonZeroUsize = NonZeroUsize::new(3).expect("3 is not 0");

/// Identify is repeated this often, for addresses that changed without a push.
const IDENTIFY_INTERVAL: Duration = Duration::from_secs(300);

/// All protocols. The limits come first: they must refuse a connection before the others have seen it.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) limits: libp2p_connection_limits::Behaviour,
    pub(crate) memory: memory_connection_limits::Behaviour,
    pub(crate) blocked: libp2p_allow_block_list::Behaviour<BlockedPeers>,
    pub(crate) identify: identify::Behaviour,
    pub(crate) ping: Pings,
    pub(crate) kad: kad::Behaviour<MemoryStore>,
    pub(crate) gossip: Gossipsub,
    pub(crate) exchange: RequestResponse,
    pub(crate) streams: libp2p_stream::Behaviour,
}

impl Behaviour {
    pub(crate) fn new(
        keypair: &Keypair,
        config: &NetworkConfig,
        protocols: &Protocols,
        topics: &Topics,
    ) -> Result<Self, P2pError> {
        let pace = Pace::of(config.tor.mode);
        let identify = identify::Config::new(protocols.identity(), keypair.public())
            .with_agent_version(config.agent.clone())
            .with_interval(IDENTIFY_INTERVAL)
            .with_push_listen_addr_updates(true);
        Ok(Self {
            limits: libp2p_connection_limits::Behaviour::new(connection_limits(config)),
            memory: memory_connection_limits::Behaviour::with_max_bytes(config.limits.process_memory_bytes),
            blocked: libp2p_allow_block_list::Behaviour::default(),
            identify: identify::Behaviour::new(identify),
            ping: Pings::new(config.discovery.ping_interval, Pace::DIRECT, Pace::TOR),
            kad: kademlia(keypair, protocols, pace)?,
            gossip: gossip::behaviour(protocols, topics)?,
            exchange: exchange::behaviour(protocols, &config.limits)?,
            streams: libp2p_stream::Behaviour::new(),
        })
    }
}

fn connection_limits(config: &NetworkConfig) -> ConnectionLimits {
    let limits = &config.limits;
    ConnectionLimits::default()
        .with_max_established_incoming(Some(limits.connections_inbound))
        .with_max_established_outgoing(Some(limits.connections_outbound))
        .with_max_established_per_peer(Some(limits.connections_per_peer))
        .with_max_pending_incoming(Some(limits.connections_pending))
        .with_max_pending_outgoing(Some(limits.connections_pending))
}

/// A routing table that stores no records and takes in only what we add: peers that identify has shown to be of our chain.
fn kademlia(
    keypair: &Keypair,
    protocols: &Protocols,
    pace: Pace,
) -> Result<kad::Behaviour<MemoryStore>, P2pError> {
    let local = keypair.public().to_peer_id();
    let mut config = kad::Config::new(protocols.kademlia()?);
    config
        .set_query_timeout(pace.query)
        .set_parallelism(KAD_PARALLELISM)
        .set_max_packet_size(KAD_PACKET_BYTES_MAX)
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_publication_interval(None)
        .set_periodic_bootstrap_interval(None);
    let store = MemoryStoreConfig {
        max_records: KAD_RECORDS_MAX,
        max_value_bytes: 1,
        max_providers_per_key: 1,
        max_provided_keys: KAD_RECORDS_MAX,
    };
    let mut kad = kad::Behaviour::with_config(local, MemoryStore::with_config(local, store), config);
    kad.set_mode(Some(kad::Mode::Server));
    Ok(kad)
}
