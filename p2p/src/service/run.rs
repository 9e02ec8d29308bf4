//! The loop itself, and its beginning and end.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::Multiaddr;
use libp2p::core::transport::ListenerId;
use libp2p::swarm::SwarmEvent;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::state::{Command, Service};
use crate::address::transport_of;
use crate::behaviour::BehaviourEvent;
use crate::error::{P2pError, chain_of};
use crate::event::NetworkEvent;
use crate::peers::TransportKind;
use crate::transport;

/// How often dials, bans and walks that are due are looked at. Delays are no finer than this.
const TICK: Duration = Duration::from_millis(100);

/// A bound socket reports its address at once; a listener that does not within this never will.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the shutdown waits for connections to close in order.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

impl Service {
    /// Binds all listen addresses and waits until they are reported with their real ports.
    pub(crate) async fn listen(&mut self) -> Result<(), P2pError> {
        for address in &self.config.listen {
            transport::check_free(address)?;
        }
        let mut waiting: HashSet<ListenerId> = HashSet::new();
        for address in self.config.listen.clone() {
            let bound = self.swarm.listen_on(address.clone());
            let listener = bound.map_err(|error| P2pError::Listen { address, reason: chain_of(&error) })?;
            waiting.insert(listener);
        }
        for address in self.config.external.clone() {
            self.swarm.add_external_address(address);
        }
        let reported = async {
            while !waiting.is_empty() {
                let event = self.swarm.select_next_some().await;
                match &event {
                    SwarmEvent::NewListenAddr { listener_id, .. } => {
                        waiting.remove(listener_id);
                    }
                    SwarmEvent::ListenerClosed { listener_id, reason: Err(error), .. }
                        if waiting.contains(listener_id) =>
                    {
                        return Err(error.to_string());
                    }
                    _ => {}
                }
                self.on_swarm_event(event);
            }
            Ok(())
        };
        let outcome = timeout(LISTEN_TIMEOUT, reported).await;
        let reason = match outcome {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(reason)) => reason,
            Err(_) => "the listener reported no address".to_owned(),
        };
        let address = self.config.listen.first().cloned().unwrap_or_else(Multiaddr::empty);
        Err(P2pError::Listen { address, reason })
    }

    /// Runs until the stop is asked for or the last handle is gone.
    pub(crate) async fn run(mut self) {
        self.accept_streams();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stop = self.channels.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                command = self.channels.commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => break,
                },
                Some(publication) = self.channels.publications.recv() => self.on_publication(publication),
                Ok(()) = self.channels.direct.changed() => self.on_direct_set(),
                Some(incoming) = self.incoming.recv() => self.on_incoming_stream(incoming),
                Some(end) = self.tasks.join_next() => self.on_task_end(end),
                Some(answered) = self.requests.next_answer() => self.on_answer(answered),
                _ = tick.tick() => self.on_tick(Instant::now()),
            }
        }
        self.close().await;
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Request { to, request, answer } => self.on_request_command(to, request, answer),
            Command::Judge { gossip, verdict } => self.on_verdict(&gossip, verdict),
            Command::Report { peer, offence } => self.on_offence(crate::ids::peer_id_of(&peer), offence),
            Command::Peers { answer } => {
                let now = Instant::now();
                let is_direct = |node: &_| self.direct.contains(node);
                let infos = self.peers.infos(is_direct, |peer| self.reputation.score(peer, now));
                // Who asked may have given up meanwhile.
                let _ = answer.send(infos);
            }
        }
    }

    fn on_tick(&mut self, now: Instant) {
        self.release_peers(now);
        self.drop_silent_peers(now);
        self.dial_what_is_due(now);
        self.walk_if_due(now);
    }

    pub(super) fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_connection_opened(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, cause, .. } => {
                self.on_connection_closed(peer_id, connection_id, cause);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id, error } => {
                self.on_dial_failed(connection_id, peer_id, &error);
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                let address = self.with_own_id(address);
                tracing::debug!(%address, "listening");
                self.shared.add_listening(address.clone());
                self.inbox.push_connection(NetworkEvent::Listening { address });
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                let address = self.with_own_id(address);
                tracing::debug!(%address, "no longer listening");
                self.shared.remove_listening(&address);
            }
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                self.on_listener_closed(&addresses, reason.err());
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "a listener reported an error"),
            // The rest is either ours (dials) or said again by what follows it.
            _ => {}
        }
    }

    /// An onion service that has ended does not come back: the network fails with it.
    fn on_listener_closed(&mut self, addresses: &[Multiaddr], failure: Option<std::io::Error>) {
        tracing::warn!(?addresses, ?failure, "a listener closed: nobody can connect to these addresses");
        let is_onion = |address: &Multiaddr| transport_of(address) == TransportKind::Tor;
        if let Some(failure) = failure
            && addresses.iter().any(is_onion)
        {
            // An earlier reason stands.
            let _ = self.shared.join_error.set(failure.to_string());
            self.channels.stop.cancel();
        }
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(event) => self.on_identify(event),
            BehaviourEvent::Ping(event) => self.on_ping(event),
            BehaviourEvent::Kad(event) => self.on_kad(event),
            BehaviourEvent::Gossip(event) => self.on_gossip(event),
            BehaviourEvent::Exchange(event) => self.on_exchange(event),
            BehaviourEvent::Streams(()) => {}
            BehaviourEvent::Limits(never)
            | BehaviourEvent::Memory(never)
            | BehaviourEvent::Blocked(never) => match never {},
        }
    }

    fn with_own_id(&self, address: Multiaddr) -> Multiaddr {
        let local = *self.swarm.local_peer_id();
        address.with_p2p(local).unwrap_or_else(|address| address)
    }

    /// Closes all connections in order, as far as that is quick, and stops the tasks of the lanes.
    async fn close(mut self) {
        self.tasks.shutdown().await;
        let connected: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in connected {
            // It may have gone by itself meanwhile.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let closed = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        };
        if timeout(CLOSE_TIMEOUT, closed).await.is_err() {
            tracing::debug!("some connections did not close in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aegis_types::{Hash, Keypair};
    use libp2p::{Swarm, swarm};
    use tokio::sync::{mpsc, watch};
    use tokio_util::sync::CancellationToken;

    use super::super::state::Channels;
    use super::*;
    use crate::behaviour::Behaviour;
    use crate::config::NetworkConfig;
    use crate::gossip::Topics;
    use crate::ids::identity_of;
    use crate::inbox::Inbox;
    use crate::protocols::Protocols;
    use crate::shared::Shared;
    use crate::transport::Reach;

    const ONION: &str = "/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:7003";

    fn service(shared: &Arc<Shared>) -> Service {
        let keypair = Keypair::from_seed(&[1; 32]);
        let config = NetworkConfig::new("test".parse().unwrap(), Hash::ZERO);
        let identity = identity_of(&keypair).unwrap();
        let protocols = Protocols::new(&config.chain, &config.genesis);
        let topics = Topics::new(&protocols);
        let pending_max = config.limits.connections_pending;
        let transport =
            transport::build(&identity, Reach::Direct, pending_max, config.link_delays.clone()).unwrap();
        let behaviour = Behaviour::new(&identity, &config, &protocols, &topics).unwrap();
        let swarm_config = swarm::Config::with_tokio_executor();
        let swarm = Swarm::new(transport, behaviour, identity.public().to_peer_id(), swarm_config);
        let channels = Channels {
            commands: mpsc::channel(1).1,
            publications: mpsc::channel(1).1,
            direct: watch::channel(Default::default()).1,
            stop: CancellationToken::new(),
        };
        let inbox = Arc::new(Inbox::new(&config.limits));
        let local = keypair.validator_id();
        Service::new(swarm, local, config, protocols, topics, channels, shared, &inbox).unwrap()
    }

    fn closed(address: &str) -> SwarmEvent<BehaviourEvent> {
        SwarmEvent::ListenerClosed {
            listener_id: ListenerId::next(),
            addresses: vec![address.parse().unwrap()],
            reason: Err(std::io::Error::other("it has ended")),
        }
    }

    #[tokio::test]
    async fn the_end_of_the_onion_service_is_that_of_the_network_and_said_as_its_reason() {
        let shared = Arc::new(Shared::default());
        let mut service = service(&shared);
        service.on_swarm_event(closed("/ip4/127.0.0.1/tcp/7003"));
        assert_eq!(shared.join_error.get(), None);
        assert!(!service.channels.stop.is_cancelled());
        service.on_swarm_event(closed(ONION));
        assert_eq!(shared.join_error.get().map(String::as_str), Some("it has ended"));
        assert!(service.channels.stop.is_cancelled());
    }
}
