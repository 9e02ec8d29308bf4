//! Bringing a network up, and noticing when it goes down.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "tor")]
use aegis_types::Hash;
use aegis_types::Keypair;
use libp2p::Swarm;
use libp2p::swarm;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::behaviour::Behaviour;
use crate::config::NetworkConfig;
use crate::error::P2pError;
use crate::event::EventReceiver;
use crate::gossip::Topics;
use crate::ids::identity_of;
use crate::inbox::Inbox;
use crate::network::{Inner, Network};
use crate::protocols::Protocols;
use crate::service::{Channels, Service};
use crate::shared::Shared;
use crate::tor::Pace;
#[cfg(feature = "tor")]
use crate::tor::TorMode;
use crate::transport::{self, Reach};

/// Commands that may wait for the swarm's task: requests, verdicts, reports.
const COMMANDS_MAX: usize = 1024;

/// Messages that may wait to be published; each may have two MiB.
const PUBLICATIONS_MAX: usize = 16;

/// A connection without streams is closed after this long. Gossip's mesh and direct lanes keep theirs.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// Inbound streams of one connection in the middle of their negotiation.
const NEGOTIATING_STREAMS_MAX: usize = 64;

/// Tasks of closed connections get this long to say goodbye before they are dropped.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(300);

/// How long, and how often, the end waits for QUIC to give its ports back.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(800);
const RELEASE_POLL: Duration = Duration::from_millis(10);

/// Tells the secret for restricted discovery from everything else that is derived from a node's key.
#[cfg(feature = "tor")]
const CLIENT_KEY_LABEL: &str = "aegis.tor.client-key.v1";

/// Starts the network on the current tokio runtime. When it returns, all listen addresses are bound.
///
/// # Errors
/// `Listen` names an address that is taken; `Config` a setting that cannot work.
///
/// With Tor the onion address is known then, and the way into the Tor network under way; see [`Network::tor_status`].
pub async fn start(
    keypair: &Keypair,
    mut config: NetworkConfig,
) -> Result<(Network, EventReceiver), P2pError> {
    config.check()?;
    config.limits.request_timeout = config.limits.request_timeout.max(Pace::of(config.tor.mode).request);
    let shared = Arc::new(Shared::default());
    let reach = reach(keypair, &mut config, &shared).await?;
    let identity = identity_of(keypair)?;
    let protocols = Protocols::new(&config.chain, &config.genesis);
    let topics = Topics::new(&protocols);
    let connections = Connections::default();
    let behaviour = Behaviour::new(&identity, &config, &protocols, &topics)?;
    let swarm = Swarm::new(
        transport::build(&identity, reach, config.limits.connections_pending, config.link_delays.clone())?,
        behaviour,
        identity.public().to_peer_id(),
        connections.swarm_config(),
    );

    let inbox = Arc::new(Inbox::new(&config.limits));
    let (commands, command_receiver) = mpsc::channel(COMMANDS_MAX);
    let (publications, publication_receiver) = mpsc::channel(PUBLICATIONS_MAX);
    let (direct, direct_receiver) = watch::channel(Default::default());
    let stop = CancellationToken::new();
    let inner = Inner {
        local: keypair.validator_id(),
        shared: Arc::clone(&shared),
        commands,
        publications,
        direct,
        stop: stop.clone(),
        request_timeout: config.limits.request_timeout,
    };
    let channels = Channels {
        commands: command_receiver,
        publications: publication_receiver,
        direct: direct_receiver,
        stop,
    };
    let mut service =
        Service::new(swarm, keypair.validator_id(), config, protocols, topics, channels, &shared, &inbox)?;
    service.listen().await?;
    let receiver = EventReceiver::new(Arc::clone(&inbox));
    tokio::spawn(supervise(service.run(), connections, inbox, shared));
    Ok((Network::new(inner), receiver))
}

/// The transports that the mode allows. A Tor client is started for it, and its address is one to listen on.
#[cfg(feature = "tor")]
async fn reach(keypair: &Keypair, config: &mut NetworkConfig, shared: &Shared) -> Result<Reach, P2pError> {
    if !config.tor.is_used() {
        return Ok(Reach::Direct);
    }
    let secret = Hash::of(CLIENT_KEY_LABEL, keypair.seed().as_ref());
    let (tor, state) = crate::tor::start(&config.tor, *secret.as_bytes()).await?;
    config.listen.push(tor.address().clone());
    // Nobody has set it before: the network is only being made.
    let _ = shared.tor.set(state);
    Ok(if config.tor.mode == TorMode::Only { Reach::Only(tor) } else { Reach::Also(tor) })
}

/// The transports that the mode allows: a mode with Tor was refused when the configuration was checked.
#[cfg(not(feature = "tor"))]
async fn reach(_: &Keypair, config: &mut NetworkConfig, _: &Shared) -> Result<Reach, P2pError> {
    if config.tor.is_used() { Err(P2pError::NoTor) } else { Ok(Reach::Direct) }
}

/// Runs the service to its end, however it ends, and only then says that the network has stopped.
async fn supervise(
    service: impl Future<Output = ()> + Send + 'static,
    connections: Connections,
    inbox: Arc<Inbox>,
    shared: Arc<Shared>,
) {
    if let Err(error) = tokio::spawn(service).await
        && error.is_panic()
    {
        let panic = error.into_panic();
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let text = text.unwrap_or_else(|| "a panic without a message".to_owned());
        tracing::error!(panic = %text, "the network has stopped because of a panic");
        // An earlier reason stands.
        let _ = shared.join_error.set(text);
    }
    connections.end().await;
    // Who starts again at once at the same port must not find it taken.
    let released = async {
        let listened = shared.listening();
        while !listened.iter().all(transport::is_released) {
            sleep(RELEASE_POLL).await;
        }
    };
    let _ = timeout(RELEASE_TIMEOUT, released).await;
    inbox.stop();
    shared.stopped.cancel();
}

/// The tasks that libp2p runs, one per connection, so that none outlives the network.
#[derive(Debug, Clone, Default)]
struct Connections {
    tasks: TaskTracker,
    end: CancellationToken,
}

impl Connections {
    fn swarm_config(&self) -> swarm::Config {
        let Self { tasks, end } = self.clone();
        let executor = move |task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
            let end = end.clone();
            tasks.spawn(async move {
                tokio::select! {
                    () = task => {}
                    () = end.cancelled() => {}
                }
            });
        };
        swarm::Config::with_executor(executor)
            .with_idle_connection_timeout(IDLE_TIMEOUT)
            .with_max_negotiating_inbound_streams(NEGOTIATING_STREAMS_MAX)
            .with_smart_dial()
    }

    async fn end(self) {
        self.tasks.close();
        let _ = timeout(GOODBYE_TIMEOUT, self.tasks.wait()).await;
        self.end.cancel();
        self.tasks.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NetworkLimits;
    use crate::inbox::Taken;

    #[tokio::test]
    async fn a_panic_ends_the_events_and_is_kept() {
        let (inbox, shared) = (Arc::new(Inbox::new(&NetworkLimits::default())), Arc::new(Shared::default()));
        let service = async { panic!("a planted fault") };
        supervise(service, Connections::default(), Arc::clone(&inbox), Arc::clone(&shared)).await;
        assert!(matches!(inbox.take(), Taken::Stopped));
        assert_eq!(shared.join_error.get().map(String::as_str), Some("a planted fault"));
        assert!(shared.stopped.is_cancelled());
    }
}
