//! The Tor client of a node: its way into the network, and dialling through it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arti_client::config::BoolOrAuto;
use arti_client::{ErrorKind, HasKind, StreamPrefs, TorClient};
use tokio::time::timeout;
use tor_rtcompat::PreferredRuntime;

use super::client_keys::ClientKeys;
use super::isolation::Isolation;
use super::state::TorState;
use super::stream::TorStream;
use crate::error::chain_of;

/// Fetching a descriptor and building circuits takes seconds on the public network, and several tries at worst. Longer waits
/// come from a descriptor of before a restart of the peer, and end sooner with a new dial.
const DIAL_TIMEOUT: Duration = Duration::from_secs(45);

/// A client that is running, not necessarily connected yet.
pub(super) struct Client {
    tor: Arc<TorClient<PreferredRuntime>>,
    state: Arc<TorState>,
    isolation: Isolation,
    /// Shown to services in a network with restricted discovery.
    keys: Option<ClientKeys>,
}

impl Client {
    pub(super) fn new(
        tor: Arc<TorClient<PreferredRuntime>>,
        state: Arc<TorState>,
        keys: Option<ClientKeys>,
    ) -> Self {
        Self { tor, state, isolation: Isolation::default(), keys }
    }

    /// Opens a stream to an onion service.
    pub(super) async fn dial(&self, onion: String, port: u16) -> io::Result<TorStream> {
        let _shown = self.keys.as_ref().map(|keys| keys.show(&onion)).transpose()?;
        let token = self.isolation.token(&onion);
        let mut preferences = StreamPrefs::new();
        preferences.connect_to_onion_services(BoolOrAuto::Explicit(true));
        preferences.set_isolation(token);
        let dialled = self.tor.connect_with_prefs((onion.as_str(), port), &preferences);
        let (failure, was_silent) = match timeout(DIAL_TIMEOUT, dialled).await {
            Ok(Ok(stream)) => return Ok(TorStream::outbound(stream, Arc::clone(&self.state))),
            // Circuits stand, and nobody at their other end answers.
            Ok(Err(error)) => {
                (io::Error::other(chain_of(&error)), error.kind() == ErrorKind::RemoteNetworkTimeout)
            }
            Err(_) => (io::ErrorKind::TimedOut.into(), true),
        };
        if was_silent {
            self.isolation.on_silence(&onion, token);
        }
        Err(failure)
    }
}
