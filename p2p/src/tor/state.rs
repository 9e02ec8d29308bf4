//! How the Tor client stands, for whoever asks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use libp2p::Multiaddr;

use super::config::TorMode;

/// Where the Tor client stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TorStatus {
    /// How Tor is used.
    pub mode: TorMode,
    /// The address of this node's onion service. It lasts as long as its folder.
    pub onion_address: Multiaddr,
    /// How far the client is on its way into the Tor network, 0 to 100; it may fall again.
    pub percent: u8,
    /// What it does on that way, in words.
    pub phase: String,
    /// Why it does not get further, as far as it can tell.
    pub blocked: Option<String>,
    /// Whether the descriptor of the onion service is published, so that peers find it.
    pub is_reachable: bool,
    /// Open streams to peers through Tor, each on a circuit of its own.
    pub circuits: usize,
    /// What a node with restricted discovery lists in `authorized_clients` to let this one find it.
    pub client_key: String,
}

/// The state as the Tor tasks keep it.
#[derive(Debug)]
pub(crate) struct TorState {
    status: RwLock<TorStatus>,
    circuits: AtomicUsize,
}

impl TorState {
    pub(crate) fn status(&self) -> TorStatus {
        let mut status = self.status.read().unwrap_or_else(PoisonError::into_inner).clone();
        status.circuits = self.circuits.load(Ordering::Relaxed);
        status
    }
}

#[cfg(feature = "tor")]
impl TorState {
    pub(super) fn new(mode: TorMode, onion_address: Multiaddr, client_key: String) -> Self {
        let status = TorStatus {
            mode,
            onion_address,
            percent: 0,
            phase: "starting".to_owned(),
            blocked: None,
            is_reachable: false,
            circuits: 0,
            client_key,
        };
        Self { status: RwLock::new(status), circuits: AtomicUsize::new(0) }
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut TorStatus)) {
        change(&mut self.status.write().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn opened(&self) {
        self.circuits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn closed(&self) {
        self.circuits.fetch_sub(1, Ordering::Relaxed);
    }
}
