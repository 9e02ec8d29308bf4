//! How the Tor client stands, for whoever asks.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use libp2p::Multiaddr;

use super::config::TorMode;

/// Where the onion service stands, as the Tor client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnionServiceState {
    /// Its descriptor is being published, for the first time or anew.
    Publishing,
    /// Its descriptor is published.
    Published,
    /// Too few introduction points work at the moment; others are sought.
    Recovering,
    /// Some directories did not take its descriptor; it is unlikely to be found.
    Unreachable,
    /// What is wrong did not mend for a while.
    Broken,
    /// It does not run.
    Stopped,
}

impl fmt::Display for OnionServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publishing => "being published",
            Self::Published => "published",
            Self::Recovering => "recovering",
            Self::Unreachable => "unreachable",
            Self::Broken => "broken",
            Self::Stopped => "stopped",
        })
    }
}

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
    /// Whether the client is in the network and the descriptor of the onion service published, as far as it can tell, so that
    /// peers find it.
    pub is_reachable: bool,
    /// Where the onion service stands.
    pub service: OnionServiceState,
    /// What the onion service last failed at, unless it is published.
    pub problem: Option<String>,
    /// Open streams to peers through Tor, each on a circuit of its own.
    pub circuits: usize,
    /// What a node with restricted discovery lists in `authorized_clients` to let this one find it.
    pub client_key: String,
}

/// What the Tor tasks have found out.
#[derive(Debug)]
pub(crate) struct Known {
    pub(super) status: TorStatus,
    /// Whether the client is in the network.
    pub(super) is_ready: bool,
    /// Whether a descriptor is published that serves, be it the one before the newest.
    pub(super) is_published: bool,
}

/// The state as the Tor tasks keep it.
#[derive(Debug)]
pub(crate) struct TorState {
    known: RwLock<Known>,
    circuits: AtomicUsize,
}

impl TorState {
    pub(crate) fn status(&self) -> TorStatus {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        TorStatus {
            is_reachable: known.is_ready && known.is_published,
            circuits: self.circuits.load(Ordering::Relaxed),
            ..known.status.clone()
        }
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
            service: OnionServiceState::Publishing,
            problem: None,
            circuits: 0,
            client_key,
        };
        let known = Known { status, is_ready: false, is_published: false };
        Self { known: RwLock::new(known), circuits: AtomicUsize::new(0) }
    }

    /// Whether the client is in the network.
    pub(super) fn is_ready(&self) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).is_ready
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.write().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn opened(&self) {
        self.circuits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn closed(&self) {
        self.circuits.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(all(test, feature = "tor"))]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_out_of_the_network_is_not_reachable_whatever_was_published() {
        let state = TorState::new(TorMode::Only, Multiaddr::empty(), String::new());
        state.change(|known| (known.is_ready, known.is_published) = (true, true));
        assert!(state.status().is_reachable);
        state.change(|known| known.is_ready = false);
        assert!(!state.status().is_reachable);
        state.change(|known| (known.is_ready, known.is_published) = (true, false));
        assert!(!state.status().is_reachable);
    }
}
