//! What the swarm's task knows.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use libp2p::kad::QueryId;
use libp2p::{PeerId, Stream, StreamProtocol, Swarm};
use libp2p_stream::Control;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::lanes::TaskEnd;
use super::requests::Requests;
use crate::address::Scope;
use crate::behaviour::Behaviour;
use crate::bootstrap::Bootstrap;
use crate::config::NetworkConfig;
use crate::direct::DirectPeers;
use crate::error::{P2pError, RequestError};
use crate::gossip::{GossipId, Topic, Topics, Verdict};
use crate::ids::NodeId;
use crate::inbox::Inbox;
use crate::lane::Lane;
use crate::peers::{PeerInfo, PeerTable};
use crate::protocols::Protocols;
use crate::reputation::{Offence, Reputation};
use crate::shared::Shared;

/// Inbound streams that may wait to be given a reader. A stream that finds no room is dropped, and its peer tries again.
const INCOMING_STREAMS_MAX: usize = 256;

/// What a handle asks of the swarm's task.
#[derive(Debug)]
pub(crate) enum Command {
    Request { to: NodeId, request: Bytes, answer: oneshot::Sender<Result<Bytes, RequestError>> },
    Judge { gossip: GossipId, verdict: Verdict },
    Report { peer: NodeId, offence: Offence },
    Peers { answer: oneshot::Sender<Vec<PeerInfo>> },
}

/// A message to publish. It has a channel of its own because it may be large.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) topic: Topic,
    pub(crate) message: Bytes,
}

/// An inbound direct stream that nobody reads yet.
#[derive(Debug)]
pub(crate) struct IncomingStream {
    pub(super) peer: PeerId,
    pub(super) lane: Lane,
    pub(super) stream: Stream,
}

/// Where the handles' wishes arrive.
#[derive(Debug)]
pub(crate) struct Channels {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) publications: mpsc::Receiver<Publication>,
    pub(crate) direct: watch::Receiver<BTreeSet<NodeId>>,
    pub(crate) stop: CancellationToken,
}

/// The owner of the swarm and of all that is known about peers.
pub(crate) struct Service {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) config: NetworkConfig,
    pub(super) identity: String,
    pub(super) kad_protocol: StreamProtocol,
    pub(super) lane_protocols: [(Lane, StreamProtocol); 2],
    pub(super) topics: Topics,
    pub(super) scope: Scope,
    pub(super) channels: Channels,
    pub(super) incoming: mpsc::Receiver<IncomingStream>,
    pub(super) incoming_sender: mpsc::Sender<IncomingStream>,
    pub(super) control: Control,
    pub(super) tasks: JoinSet<TaskEnd>,
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) peers: PeerTable,
    pub(super) direct: DirectPeers,
    pub(super) bootstrap: Bootstrap,
    pub(super) reputation: Reputation,
    /// Nodes of other chains and when they may try again.
    pub(super) foreign: HashMap<PeerId, Instant>,
    /// Lookups of direct peers that are under way.
    pub(super) lookups: HashMap<QueryId, PeerId>,
    pub(super) next_walk: Instant,
    pub(super) requests: Requests,
}

impl Service {
    #[expect(clippy::too_many_arguments, reason = "called once, where all of these are made")]
    pub(crate) fn new(
        swarm: Swarm<Behaviour>,
        local: NodeId,
        config: NetworkConfig,
        protocols: Protocols,
        topics: Topics,
        channels: Channels,
        shared: &Arc<Shared>,
        inbox: &Arc<Inbox>,
    ) -> Result<Self, P2pError> {
        let now = Instant::now();
        let discovery = &config.discovery;
        let (incoming_sender, incoming) = mpsc::channel(INCOMING_STREAMS_MAX);
        let [first, second] = Lane::ALL;
        let bootstrap = Bootstrap::new(
            &config.bootstrap,
            *swarm.local_peer_id(),
            discovery.bootstrap_retry,
            discovery.bootstrap_retry_max,
            now,
        );
        Ok(Self {
            identity: protocols.identity(),
            kad_protocol: protocols.kademlia()?,
            lane_protocols: [(first, protocols.lane(first)?), (second, protocols.lane(second)?)],
            topics,
            scope: Scope::of(&config),
            channels,
            incoming,
            incoming_sender,
            control: swarm.behaviour().streams.new_control(),
            tasks: JoinSet::new(),
            shared: Arc::clone(shared),
            inbox: Arc::clone(inbox),
            peers: PeerTable::default(),
            direct: DirectPeers::new(local, discovery.direct_retry, discovery.direct_retry_max),
            bootstrap,
            reputation: Reputation::new(discovery.ban),
            foreign: HashMap::new(),
            lookups: HashMap::new(),
            next_walk: now,
            requests: Requests::new(config.limits.clone()),
            swarm,
            config,
        })
    }
}
