//! Bringing the Tor client and its onion service up.

use std::sync::Arc;
use std::time::Duration;

use arti_client::TorClient;
use libp2p::Multiaddr;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tor_hsservice::RunningOnionService;
use tor_rtcompat::PreferredRuntime;

use super::client::Client;
use super::client_keys::{ClientKeys, ClientSecret, public_key};
use super::config::TorConfig;
use super::onion_service::{STREAMS_MAX, accept};
use super::progress::follow_client;
use super::service_watch::follow_service;
use super::state::TorState;
use super::transport::TorTransport;
use super::{ONION_PORT, settings};
use crate::backoff::Backoff;
use crate::error::{P2pError, chain_of};

/// Delays before the client tries again to get into the Tor network after it gave up.
const BOOTSTRAP_RETRY: Duration = Duration::from_secs(2);
const BOOTSTRAP_RETRY_MAX: Duration = Duration::from_secs(120);

/// What may be done about a way into the Tor network that is blocked.
pub(super) const ADVICE: &str =
    "check the clock and the internet connection; where Tor is blocked, set `p2p.tor.bridges`";

/// Starts the Tor client and its onion service. When it returns, the address is known; the way into the network is under way.
pub(crate) async fn start(
    config: &TorConfig,
    secret: ClientSecret,
) -> Result<(TorTransport, Arc<TorState>), P2pError> {
    // Two libraries bring a provider each; without a choice the first handshake would panic. A choice made earlier stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let failed = |error: &dyn std::error::Error| P2pError::Tor { reason: chain_of(error) };
    let tor = TorClient::builder()
        .config(settings::client(config)?)
        .create_unbootstrapped_async()
        .await
        .map_err(|error| failed(&error))?;
    let launched = tor.launch_onion_service(settings::service(config)?).map_err(|error| failed(&error))?;
    let (service, rendezvous) =
        launched.ok_or_else(|| P2pError::Tor { reason: "the onion service is switched off".to_owned() })?;
    let address = address_of(&service)?;
    let state = Arc::new(TorState::new(config.mode, address.clone(), public_key(secret)));
    let is_closed_network = !config.authorized_clients.is_empty();
    let keys = is_closed_network.then(|| ClientKeys::new(Arc::clone(&tor), secret));
    let client = Client::new(Arc::clone(&tor), Arc::clone(&state), keys);
    let stop = CancellationToken::new();
    let (sender, streams) = mpsc::channel(STREAMS_MAX);
    tokio::spawn(accept(rendezvous, sender, Arc::clone(&state), stop.clone()));
    tokio::spawn(until(stop.clone(), bootstrap(Arc::clone(&tor))));
    tokio::spawn(until(stop.clone(), follow_client(tor, Arc::clone(&state))));
    tokio::spawn(until(stop.clone(), follow_service(service, Arc::clone(&state))));
    Ok((TorTransport::new(Arc::new(client), address, streams, stop.drop_guard()), state))
}

async fn until(stop: CancellationToken, task: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = task => {}
    }
}

fn address_of(service: &RunningOnionService) -> Result<Multiaddr, P2pError> {
    use safelog::DisplayRedacted as _;
    let missing = || P2pError::Tor { reason: "the onion service has no key; see its folder".to_owned() };
    let name = service.onion_address().ok_or_else(missing)?.display_unredacted().to_string();
    let host = name.strip_suffix(".onion").ok_or_else(missing)?;
    format!("/onion3/{host}:{ONION_PORT}").parse().map_err(|_| missing())
}

/// Gets the client into the Tor network, however often that takes.
async fn bootstrap(tor: Arc<TorClient<PreferredRuntime>>) {
    let mut backoff = Backoff::new(BOOTSTRAP_RETRY, BOOTSTRAP_RETRY_MAX);
    while let Err(error) = tor.bootstrap().await {
        tracing::warn!(
            reason = chain_of(&error),
            "the Tor network cannot be reached; it is tried again: {ADVICE}"
        );
        sleep(backoff.next_delay()).await;
    }
}
