//! What handles and tasks may look at without asking the swarm's task.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use libp2p::Multiaddr;
use tokio_util::sync::CancellationToken;

use crate::ids::NodeId;
use crate::lane::Lane;
use crate::outbox::Outbox;
use crate::tor::TorState;

/// The open outgoing lanes to one direct peer.
#[derive(Debug, Clone)]
pub(crate) struct Lanes {
    pub(crate) consensus: Arc<Outbox>,
    pub(crate) payload: Arc<Outbox>,
}

/// A view of the network, kept current by its tasks.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    connected: RwLock<HashSet<NodeId>>,
    lanes: RwLock<HashMap<NodeId, Lanes>>,
    listening: RwLock<Vec<Multiaddr>>,
    /// Bytes that were handed over to be sent.
    sent: AtomicU64,
    /// How the Tor client stands; set once, before anything runs, if there is one.
    pub(crate) tor: OnceLock<Arc<TorState>>,
    /// Why the network stopped by itself, if it did.
    pub(crate) join_error: OnceLock<String>,
    /// Cancelled once nothing runs any more.
    pub(crate) stopped: CancellationToken,
}

impl Shared {
    pub(crate) fn set_connected(&self, node: NodeId) {
        self.connected.write().unwrap_or_else(PoisonError::into_inner).insert(node);
    }

    pub(crate) fn set_disconnected(&self, node: &NodeId) {
        self.connected.write().unwrap_or_else(PoisonError::into_inner).remove(node);
    }

    pub(crate) fn is_connected(&self, node: &NodeId) -> bool {
        self.connected.read().unwrap_or_else(PoisonError::into_inner).contains(node)
    }

    pub(crate) fn connected(&self) -> usize {
        self.connected.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(crate) fn is_connected_beside(&self, nodes: &BTreeSet<NodeId>) -> bool {
        let connected = self.connected.read().unwrap_or_else(PoisonError::into_inner);
        connected.iter().any(|node| !nodes.contains(node))
    }

    pub(crate) fn outbox(&self, node: &NodeId, lane: Lane) -> Option<Arc<Outbox>> {
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
        lanes.get(node).map(|lanes| match lane {
            Lane::Consensus => Arc::clone(&lanes.consensus),
            Lane::Payload => Arc::clone(&lanes.payload),
        })
    }

    pub(crate) fn count_sent(&self, bytes: usize) {
        self.sent.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(crate) fn listening(&self) -> Vec<Multiaddr> {
        self.listening.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn add_listening(&self, address: Multiaddr) {
        let mut listening = self.listening.write().unwrap_or_else(PoisonError::into_inner);
        if !listening.contains(&address) {
            listening.push(address);
        }
    }

    pub(crate) fn remove_listening(&self, address: &Multiaddr) {
        self.listening.write().unwrap_or_else(PoisonError::into_inner).retain(|kept| kept != address);
    }
}

/// Keeps lanes in the shared view for as long as their streams are open, however the task that writes to them ends.
#[derive(Debug)]
pub(crate) struct LanesGuard {
    shared: Arc<Shared>,
    node: NodeId,
    lanes: Lanes,
}

impl LanesGuard {
    pub(crate) fn publish(shared: Arc<Shared>, node: NodeId, lanes: Lanes) -> Self {
        shared.lanes.write().unwrap_or_else(PoisonError::into_inner).insert(node, lanes.clone());
        Self { shared, node, lanes }
    }
}

impl Drop for LanesGuard {
    fn drop(&mut self) {
        let mut lanes = self.shared.lanes.write().unwrap_or_else(PoisonError::into_inner);
        let is_ours = lanes
            .get(&self.node)
            .is_some_and(|current| Arc::ptr_eq(&current.consensus, &self.lanes.consensus));
        if is_ours {
            lanes.remove(&self.node);
        }
    }
}
