//! Pings, with a patience that fits the way of each connection.
//!
//! A link over TCP or QUIC that answers nothing for seconds is dead, and a node that can also be reached through Tor need not
//! wait for it; a circuit may well be silent for so long. libp2p has one patience for all connections of a behaviour, so there
//! are two of them, and the address of a connection decides whose it is.

use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm,
};
use libp2p::{Multiaddr, PeerId, ping};

use crate::address::connection_kind;
use crate::peers::TransportKind;
use crate::tor::Pace;

/// The pings of all connections.
pub(crate) struct Pings {
    direct: ping::Behaviour,
    tor: ping::Behaviour,
}

impl Pings {
    /// Pings every `interval`; one that takes longer than the pace of its way allows is lost, and the second in a row reported.
    pub(crate) fn new(interval: Duration, direct: Pace, tor: Pace) -> Self {
        let of = |pace: Pace| {
            ping::Behaviour::new(ping::Config::new().with_interval(interval).with_timeout(pace.ping))
        };
        Self { direct: of(direct), tor: of(tor) }
    }

    fn of(&mut self, remote: &Multiaddr) -> &mut ping::Behaviour {
        match connection_kind(remote) {
            TransportKind::Tor => &mut self.tor,
            TransportKind::Quic | TransportKind::Tcp | TransportKind::Other => &mut self.direct,
        }
    }
}

impl NetworkBehaviour for Pings {
    type ConnectionHandler = <ping::Behaviour as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = ping::Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.of(remote).handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.of(remote).handle_established_outbound_connection(connection, peer, remote, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.direct.on_swarm_event(event);
        self.tor.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        // It only goes on to the swarm, from either.
        self.direct.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        match self.direct.poll(context) {
            Poll::Ready(event) => Poll::Ready(event),
            Poll::Pending => self.tor.poll(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures::StreamExt;
    use libp2p::core::upgrade::Version;
    use libp2p::identity::Keypair;
    use libp2p::swarm::{Config, SwarmEvent};
    use libp2p::{Swarm, Transport, noise, tcp, yamux};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    fn swarm() -> Swarm<Pings> {
        let key = Keypair::generate_ed25519();
        let transport = tcp::tokio::Transport::new(tcp::Config::new())
            .upgrade(Version::V1Lazy)
            .authenticate(noise::Config::new(&key).unwrap())
            .multiplex(yamux::Config::default())
            .boxed();
        let pace = |ping| Pace { ping, ..Pace::DIRECT };
        let (quick, slow) = (Duration::from_millis(300), Duration::from_secs(60));
        let pings = Pings::new(Duration::from_millis(50), pace(quick), pace(slow));
        let config = Config::with_tokio_executor().with_idle_connection_timeout(Duration::from_secs(60));
        Swarm::new(transport, pings, key.public().to_peer_id(), config)
    }

    /// Forwards what a connection carries until it is told to fall silent without a word.
    async fn link_to(
        target: std::net::SocketAddr,
        mut is_silent: tokio::sync::watch::Receiver<bool>,
    ) -> Multiaddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(target).await.unwrap();
            let (mut ahead, mut back) = (vec![0; 4096], vec![0; 4096]);
            while !*is_silent.borrow() {
                tokio::select! {
                    read = near.read(&mut ahead) => far.write_all(&ahead[..read.unwrap()]).await.unwrap(),
                    read = far.read(&mut back) => near.write_all(&back[..read.unwrap()]).await.unwrap(),
                    _ = is_silent.changed() => {}
                }
            }
            // Both ends stay open.
            std::future::pending::<()>().await;
        });
        format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
    }

    #[tokio::test]
    async fn a_direct_link_that_falls_silent_is_found_out_by_its_own_patience_not_by_that_of_tor() {
        let (mut near, mut far) = (swarm(), swarm());
        far.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let SwarmEvent::NewListenAddr { address, .. } = far.select_next_some().await else {
            panic!("it listens")
        };
        let port = address.iter().find_map(|part| match part {
            libp2p::multiaddr::Protocol::Tcp(port) => Some(port),
            _ => None,
        });
        let (silence, is_silent) = tokio::sync::watch::channel(false);
        let link = link_to(([127, 0, 0, 1], port.unwrap()).into(), is_silent).await;
        tokio::spawn(async move {
            loop {
                far.select_next_some().await;
            }
        });
        near.dial(link).unwrap();
        let mut fell_silent = None;
        loop {
            let event = tokio::time::timeout(Duration::from_secs(20), near.select_next_some());
            match event.await.expect("the silence is found out") {
                SwarmEvent::Behaviour(ping::Event { result: Ok(_), .. }) if fell_silent.is_none() => {
                    silence.send_replace(true);
                    fell_silent = Some(Instant::now());
                }
                // The first is lost by its patience; the second finds no answer to the stream that it asks for.
                SwarmEvent::Behaviour(ping::Event { result: Err(_), .. }) => break,
                _ => {}
            }
        }
        assert!(fell_silent.is_some(), "the link worked before");
    }

    #[test]
    fn who_came_through_tor_gets_the_patience_of_tor() {
        let mut pings = swarm();
        let pings = pings.behaviour_mut();
        let tor: *const ping::Behaviour = &raw const pings.tor;
        let onion = "/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:7003";
        for remote in [onion, "/memory/5"] {
            assert!(std::ptr::eq(pings.of(&remote.parse().unwrap()), tor));
        }
        for remote in ["/ip4/192.0.2.1/tcp/7003", "/ip4/192.0.2.1/udp/7003/quic-v1"] {
            assert!(!std::ptr::eq(pings.of(&remote.parse().unwrap()), tor));
        }
    }
}
