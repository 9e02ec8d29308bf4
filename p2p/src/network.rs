//! The handle of a running network.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libp2p::Multiaddr;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::error::{PublishError, RequestError, SendError};
use crate::exchange::{MAX_REQUEST_BYTES, TIMEOUT_SLACK};
use crate::gossip::{GossipId, MAX_GOSSIP_BYTES, Topic, Verdict};
use crate::ids::NodeId;
use crate::lane::Lane;
use crate::peers::PeerInfo;
use crate::reputation::Offence;
use crate::service::{Command, Publication};
use crate::shared::Shared;
use crate::tor::TorStatus;

/// A shutdown that takes longer is not waited for.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// A running network. Clones are handles of the same one; it stops with [`Network::shutdown`] or when the last is dropped.
#[derive(Debug, Clone)]
pub struct Network {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) local: NodeId,
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) publications: mpsc::Sender<Publication>,
    pub(crate) direct: watch::Sender<BTreeSet<NodeId>>,
    pub(crate) stop: CancellationToken,
    pub(crate) request_timeout: Duration,
}

impl Network {
    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// Our own name.
    pub fn local_id(&self) -> NodeId {
        self.inner.local
    }

    /// Where we listen, with real ports and `/p2p/<peer id>`.
    pub async fn listen_addresses(&self) -> Vec<Multiaddr> {
        self.inner.shared.listening()
    }

    /// Replaces the set of direct peers: the validators, without us. They are looked up and dialled for ever and exempt
    /// from connection limits; direct streams are accepted from them alone.
    pub fn set_direct_peers(&self, peers: BTreeSet<NodeId>) {
        self.inner.direct.send_replace(peers);
    }

    /// Queues a frame for a direct peer; never waits.
    ///
    /// # Errors
    /// `NotConnected` before `DirectReady`; `Full` when the peer is slower than we; `TooLarge` above
    /// [`Lane::max_frame_bytes`].
    pub fn send(&self, to: &NodeId, lane: Lane, frame: Bytes) -> Result<(), SendError> {
        let bytes = frame.len();
        self.inner.shared.outbox(to, lane).ok_or(SendError::NotConnected)?.push(frame)?;
        self.inner.shared.count_sent(bytes);
        Ok(())
    }

    /// Bytes of frames, questions and gossip that this node has given to the network to send, since it started. Answers, and
    /// gossip of others that is passed on, are not among them.
    pub fn bytes_sent(&self) -> u64 {
        self.inner.shared.sent()
    }

    /// Asks a connected node and waits for its answer.
    ///
    /// # Errors
    /// See [`RequestError`]; after `Timeout` and `Disconnected` the node may have handled the request all the same.
    pub async fn request(&self, to: &NodeId, request: Bytes) -> Result<Bytes, RequestError> {
        if request.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::TooLarge { actual: request.len(), limit: MAX_REQUEST_BYTES });
        }
        self.inner.shared.count_sent(request.len());
        let (answer, answered) = oneshot::channel();
        let command = Command::Request { to: *to, request, answer };
        let deadline = self.inner.request_timeout.saturating_add(TIMEOUT_SLACK);
        let exchange = async {
            self.inner.commands.send(command).await.map_err(|_| RequestError::Stopped)?;
            answered.await.map_err(|_| RequestError::Stopped)?
        };
        timeout(deadline, exchange).await.unwrap_or(Err(RequestError::Timeout))
    }

    /// Queues a message for everybody. Success means queued: with nobody connected it reaches nobody.
    ///
    /// # Errors
    /// `TooLarge` above [`MAX_GOSSIP_BYTES`]; `Busy` when earlier messages still wait.
    pub fn publish(&self, topic: Topic, message: Bytes) -> Result<(), PublishError> {
        if message.len() > MAX_GOSSIP_BYTES {
            return Err(PublishError::TooLarge { actual: message.len(), limit: MAX_GOSSIP_BYTES });
        }
        let bytes = message.len();
        self.inner.publications.try_send(Publication { topic, message }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => PublishError::Busy,
            mpsc::error::TrySendError::Closed(_) => PublishError::Stopped,
        })?;
        self.inner.shared.count_sent(bytes);
        Ok(())
    }

    /// Says what becomes of a gossiped message. Without a verdict within a few seconds it is not passed on.
    pub fn judge(&self, gossip: GossipId, verdict: Verdict) {
        self.tell(Command::Judge { gossip, verdict });
    }

    /// Reports what a peer did. Below a score of -100 it is disconnected and banned for a time.
    pub fn report(&self, peer: &NodeId, offence: Offence) {
        self.tell(Command::Report { peer: *peer, offence });
    }

    /// All connected peers, by id.
    pub async fn peers(&self) -> Vec<PeerInfo> {
        let (answer, answered) = oneshot::channel();
        if self.inner.commands.send(Command::Peers { answer }).await.is_err() {
            return Vec::new();
        }
        answered.await.unwrap_or_default()
    }

    /// How many nodes of our chain are connected.
    pub fn connected(&self) -> usize {
        self.inner.shared.connected()
    }

    /// Whether a node is connected.
    pub fn is_connected(&self, node: &NodeId) -> bool {
        self.inner.shared.is_connected(node)
    }

    /// Whether a node of our chain is connected that is no direct peer: one that learns from gossip alone.
    pub fn has_listeners(&self) -> bool {
        self.inner.shared.is_connected_beside(&self.inner.direct.borrow())
    }

    /// How the Tor client stands; nothing on a node without Tor.
    pub fn tor_status(&self) -> Option<TorStatus> {
        self.inner.shared.tor.get().map(|state| state.status())
    }

    /// Why the network stopped by itself, if it did: what a panic said, or that its onion service ended.
    pub fn join_error(&self) -> Option<String> {
        self.inner.shared.join_error.get().cloned()
    }

    /// Closes all connections and waits, at most two seconds, until nothing runs any more. Safe to call again.
    pub async fn shutdown(&self) {
        self.inner.stop.cancel();
        if timeout(SHUTDOWN_TIMEOUT, self.inner.shared.stopped.cancelled()).await.is_err() {
            tracing::warn!("the network did not stop in time");
        }
    }

    /// Hands over what may be lost when the network is hopelessly behind: it must not block the caller.
    fn tell(&self, command: Command) {
        if self.inner.commands.try_send(command).is_err() {
            tracing::debug!("the network is too busy for a verdict or report, or has stopped");
        }
    }
}
