//! The Tor client of a node: its way into the network, and dialling through it.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arti_client::config::BoolOrAuto;
use arti_client::{HsId, IsolationToken, KeystoreSelector, StreamPrefs, TorClient};
use tokio::time::timeout;
use tor_hscrypto::pk::{HsClientDescEncKey, HsClientDescEncSecretKey};
use tor_llcrypto::pk::curve25519::StaticSecret;
use tor_rtcompat::PreferredRuntime;

use super::state::TorState;
use super::stream::TorStream;
use crate::error::chain_of;

/// Fetching a descriptor and building circuits takes seconds on the public network, and several tries at worst. Longer waits
/// come from a descriptor of before a restart of the peer, and end sooner with a new dial.
const DIAL_TIMEOUT: Duration = Duration::from_secs(45);

/// Onion addresses that have circuits of their own. Far more than a node has peers; the addresses come from others.
const ISOLATED_MAX: usize = 1024;

/// The secret with which services with restricted discovery are found.
pub(super) type ClientSecret = [u8; 32];

/// A client that is running, not necessarily connected yet.
pub(super) struct Client {
    tor: Arc<TorClient<PreferredRuntime>>,
    state: Arc<TorState>,
    isolated: Mutex<HashMap<String, IsolationToken>>,
    /// Shown to services in a network with restricted discovery.
    secret: Option<ClientSecret>,
}

impl Client {
    pub(super) fn new(
        tor: Arc<TorClient<PreferredRuntime>>,
        state: Arc<TorState>,
        secret: Option<ClientSecret>,
    ) -> Self {
        Self { tor, state, isolated: Mutex::default(), secret }
    }

    /// Opens a stream to an onion service.
    pub(super) async fn dial(&self, onion: String, port: u16) -> io::Result<TorStream> {
        self.show_key(&onion)?;
        let mut preferences = StreamPrefs::new();
        preferences.connect_to_onion_services(BoolOrAuto::Explicit(true));
        preferences.set_isolation(self.isolation(&onion));
        let dialled = self.tor.connect_with_prefs((onion.as_str(), port), &preferences);
        let failure = match timeout(DIAL_TIMEOUT, dialled).await {
            Ok(Ok(stream)) => return Ok(TorStream::new(stream, Arc::clone(&self.state))),
            Ok(Err(error)) => io::Error::other(chain_of(&error)),
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        // arti goes on with what has failed here, and a further dial would wait for it: the next one begins anew, with a
        // descriptor and circuits of its own.
        self.isolated.lock().unwrap_or_else(PoisonError::into_inner).remove(&onion);
        Err(failure)
    }

    fn isolation(&self, onion: &str) -> IsolationToken {
        let mut isolated = self.isolated.lock().unwrap_or_else(PoisonError::into_inner);
        if isolated.len() >= ISOLATED_MAX && !isolated.contains_key(onion) {
            isolated.clear();
        }
        *isolated.entry(onion.to_owned()).or_insert_with(IsolationToken::new)
    }

    /// Lets the Tor client use our key for a service, once per service.
    fn show_key(&self, onion: &str) -> io::Result<()> {
        let Some(secret) = self.secret else { return Ok(()) };
        let service: HsId = onion.parse().map_err(io::Error::other)?;
        let known = self.tor.get_service_discovery_key(service).map_err(io::Error::other)?;
        if known.is_none() {
            let key = secret_key(secret);
            self.tor
                .insert_service_discovery_key(KeystoreSelector::Primary, service, key)
                .map_err(io::Error::other)?;
        }
        Ok(())
    }
}

fn secret_key(secret: ClientSecret) -> HsClientDescEncSecretKey {
    StaticSecret::from(secret).into()
}

/// The public part of a secret, as services list it.
pub(super) fn public_key(secret: ClientSecret) -> String {
    HsClientDescEncKey::from(&secret_key(secret)).to_string()
}
