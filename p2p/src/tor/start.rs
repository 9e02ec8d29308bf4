//! Bringing the Tor client up, and following how it stands.

use std::sync::Arc;
use std::time::Duration;

use arti_client::TorClient;
use arti_client::status::BootstrapStatus;
use futures::StreamExt;
use libp2p::Multiaddr;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tor_hsservice::RunningOnionService;
use tor_hsservice::status::State;
use tor_rtcompat::PreferredRuntime;

use super::client::{Client, ClientSecret, public_key};
use super::config::TorConfig;
use super::onion_service::{STREAMS_MAX, accept};
use super::state::TorState;
use super::transport::TorTransport;
use super::{ONION_PORT, settings};
use crate::backoff::Backoff;
use crate::error::{P2pError, chain_of};

/// Delays before the client tries again to get into the Tor network after it gave up.
const BOOTSTRAP_RETRY: Duration = Duration::from_secs(2);
const BOOTSTRAP_RETRY_MAX: Duration = Duration::from_secs(120);

/// A client that is not in the Tor network after so long is told of: the public one takes some 10 s, a minute at worst.
const SLOW_AFTER: Duration = Duration::from_secs(60);

/// Progress is logged in steps of so many percent.
const PROGRESS_STEP: u8 = 20;

/// What may be done about a way into the Tor network that is blocked.
const ADVICE: &str =
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
    let client = Client::new(Arc::clone(&tor), Arc::clone(&state), is_closed_network.then_some(secret));
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

/// Keeps the state up to date and tells the operator of progress, trouble and its end.
async fn follow_client(tor: Arc<TorClient<PreferredRuntime>>, state: Arc<TorState>) {
    let mut events = tor.bootstrap_events();
    let mut told = Told::new();
    loop {
        told.tell(&note(&tor.bootstrap_status(), &state));
        tokio::select! {
            event = events.next() => if event.is_none() { return },
            () = told.slow() => {}
        }
    }
}

/// What is known of the way into the network.
struct Progress {
    percent: u8,
    phase: String,
    blocked: Option<String>,
    is_ready: bool,
}

fn note(status: &BootstrapStatus, state: &TorState) -> Progress {
    let is_ready = status.ready_for_traffic();
    // Only a client that is ready is at 100 percent, however the fraction is rounded.
    let most = if is_ready { 100.0 } else { 99.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between 0 and 100")]
    let percent = (status.as_frac() * 100.0).clamp(0.0, most) as u8;
    let text = status.to_string();
    let phase = text.split_once(": ").map_or(text.as_str(), |(_, phase)| phase).to_owned();
    let blocked = status.blocked().map(|blockage| blockage.to_string());
    state.change(|status| {
        status.percent = percent;
        status.phase.clone_from(&phase);
        status.blocked.clone_from(&blocked);
    });
    Progress { percent, phase, blocked, is_ready }
}

/// What the operator was told last, so that nothing is said twice.
struct Told {
    since: Instant,
    percent: u8,
    blocked: Option<String>,
    is_ready: bool,
    is_slow: bool,
}

impl Told {
    fn new() -> Self {
        Self { since: Instant::now(), percent: 0, blocked: None, is_ready: false, is_slow: false }
    }

    /// Completes when the way into the network has taken too long.
    async fn slow(&self) {
        if self.is_ready || self.is_slow {
            return std::future::pending().await;
        }
        tokio::time::sleep_until(self.since + SLOW_AFTER).await;
    }

    fn tell(&mut self, progress: &Progress) {
        let Progress { percent, phase, blocked, is_ready } = progress;
        if let Some(reason) = blocked
            && self.blocked.as_ref() != Some(reason)
        {
            tracing::warn!(percent, %reason, "the way into the Tor network is blocked: {ADVICE}");
        } else if *is_ready != self.is_ready {
            self.since = Instant::now();
            self.is_slow = false;
            if *is_ready {
                tracing::info!(percent, "connected to the Tor network");
            } else {
                tracing::warn!(percent, %phase, "the connection to the Tor network was lost; it is sought again");
            }
        } else if !is_ready && *percent >= self.percent.saturating_add(PROGRESS_STEP) {
            tracing::info!(percent, %phase, "connecting to the Tor network");
        } else if !is_ready && !self.is_slow && self.since.elapsed() >= SLOW_AFTER {
            self.is_slow = true;
            tracing::warn!(percent, %phase, "the way into the Tor network takes long: {ADVICE}");
        } else {
            return;
        }
        self.percent = *percent;
        self.blocked.clone_from(blocked);
        self.is_ready = *is_ready;
    }
}

/// Follows whether peers can find the onion service. It owns the service, which ends with it.
async fn follow_service(service: Arc<RunningOnionService>, state: Arc<TorState>) {
    let mut events = service.status_events();
    let mut was_reachable = false;
    loop {
        let status = service.status();
        let known = match status.state() {
            // A new directory makes a new publication due, and after a restart only half of it may be done. Until then the
            // one before serves, and peers who come show that they find the node.
            State::Bootstrapping => None,
            state => Some(state.is_fully_reachable()),
        };
        state.change(|status| status.is_reachable = known.unwrap_or(status.is_reachable));
        let is_reachable = state.status().is_reachable;
        if is_reachable && !was_reachable {
            tracing::info!("the onion service can be found by peers");
        } else if was_reachable && !is_reachable {
            tracing::info!(state = ?status.state(), "the onion service is being published anew; some peers may not find it");
        }
        was_reachable = is_reachable;
        if events.next().await.is_none() {
            return;
        }
    }
}
