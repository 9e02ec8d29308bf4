//! How bytes reach another node: QUIC, or TCP or Tor with Noise and Yamux. All prove the remote's key.
//!
//! Everything behind [`build`] is one boxed transport, so a further one only needs to be added here. Where nothing but Tor may
//! be used, no other transport is made, and no resolver: what is no onion address cannot be dialled then.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, Transport};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, dns, noise, quic, tcp, yamux};

use crate::address::ip_of;
use crate::error::P2pError;
use crate::link_delay::{self, DelayedMuxer, LinkDelays};
#[cfg(feature = "tor")]
use crate::tor::{DirectFirst, Threshold, TorTransport};

/// A handshake over a slow link takes a few round trips; one that takes longer only occupies a slot.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A dial through Tor, with what comes before the handshake: a descriptor, circuits, tries. A dial that waits costs nothing but
/// a slot among the pending ones.
#[cfg(feature = "tor")]
const TOR_DIAL_TIMEOUT: Duration = Duration::from_secs(75);

/// The handshake of somebody who came through Tor: some four round trips, of several seconds each at worst. Strangers can hold
/// their places for so long without a word.
#[cfg(feature = "tor")]
const TOR_INBOUND_TIMEOUT: Duration = Duration::from_secs(20);

/// The part of the room for pending inbound connections that strangers through Tor may take: one in so many. The rest is for
/// those whose address is known.
#[cfg(feature = "tor")]
const TOR_PENDING_SHARE: u32 = 2;

/// Streams that one TCP connection may carry at once. Two lanes, gossip, a few queries and requests need far fewer.
const STREAMS_MAX: usize = 256;

/// One transport for everything.
type Whole = Boxed<(PeerId, StreamMuxerBox)>;

/// Which transports a node has.
pub(crate) enum Reach {
    /// TCP and QUIC.
    Direct,
    /// TCP and QUIC, and Tor besides.
    #[cfg(feature = "tor")]
    Also(TorTransport),
    /// Nothing but Tor.
    #[cfg(feature = "tor")]
    Only(TorTransport),
}

/// All transports as one, with names resolved, and with links that are slow on purpose. `pending_max` is how many inbound
/// connections the swarm lets be in the middle of their handshake.
#[cfg_attr(not(feature = "tor"), expect(unused_variables, reason = "only Tor has a bound of its own"))]
pub(crate) fn build(
    keypair: &Keypair,
    reach: Reach,
    pending_max: u32,
    delays: LinkDelays,
) -> Result<Whole, P2pError> {
    let transport = match reach {
        Reach::Direct => resolving(keypair)?,
        #[cfg(feature = "tor")]
        Reach::Also(tor) => DirectFirst::new(resolving(keypair)?, onion(keypair, tor, pending_max)?).boxed(),
        #[cfg(feature = "tor")]
        Reach::Only(tor) => onion(keypair, tor, pending_max)?,
    };
    if delays.is_empty() {
        return Ok(transport);
    }
    let delay = move |(peer, muxer): (PeerId, StreamMuxerBox), _| match link_delay::of_peer(&delays, &peer) {
        Some(delay) => (peer, StreamMuxerBox::new(DelayedMuxer::new(muxer, delay))),
        None => (peer, muxer),
    };
    Ok(transport.map(delay).boxed())
}

#[cfg(feature = "tor")]
fn onion(keypair: &Keypair, tor: TorTransport, pending_max: u32) -> Result<Whole, P2pError> {
    let proven = tor
        .upgrade(Version::V1Lazy)
        .authenticate(security(keypair)?)
        .multiplex(multiplexing())
        .outbound_timeout(TOR_DIAL_TIMEOUT)
        .inbound_timeout(TOR_INBOUND_TIMEOUT)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .boxed();
    let strangers_max = usize::try_from(pending_max / TOR_PENDING_SHARE).unwrap_or(usize::MAX);
    Ok(Threshold::new(proven, strangers_max).boxed())
}

fn security(keypair: &Keypair) -> Result<noise::Config, P2pError> {
    noise::Config::new(keypair).map_err(|error| P2pError::Transport { reason: error.to_string() })
}

fn multiplexing() -> yamux::Config {
    let mut multiplexing = yamux::Config::default();
    multiplexing.set_max_num_streams(STREAMS_MAX);
    multiplexing
}

fn resolving(keypair: &Keypair) -> Result<Whole, P2pError> {
    match dns::tokio::Transport::system(numeric(keypair)?) {
        Ok(resolving) => Ok(resolving.boxed()),
        Err(error) => {
            tracing::warn!(%error, "no usable resolver configuration: only numeric addresses can be dialled");
            numeric(keypair)
        }
    }
}

/// The transports for numeric addresses.
fn numeric(keypair: &Keypair) -> Result<Whole, P2pError> {
    let tcp = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(security(keypair)?)
        .multiplex(multiplexing())
        .timeout(HANDSHAKE_TIMEOUT)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let quic = quic::tokio::Transport::new(quic::Config::new(keypair))
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    Ok(quic.or_transport(tcp).map(|either, _| either.into_inner()).boxed())
}

/// Finds out whether a TCP port is taken.
///
/// libp2p listens with `SO_REUSEPORT`, with which the system lets two processes of one user share a port in silence; a
/// second node on one port has to be an error instead.
pub(crate) fn check_free(address: &Multiaddr) -> Result<(), P2pError> {
    let Some(socket) = tcp_socket(address) else { return Ok(()) };
    match TcpListener::bind(socket) {
        Ok(_) => Ok(()),
        Err(error) => Err(P2pError::Listen { address: address.clone(), reason: error.to_string() }),
    }
}

/// Whether the port of a QUIC address that we listened on is free again; true for all other addresses.
///
/// QUIC holds its socket a little longer than its connections, to repeat its goodbyes.
pub(crate) fn is_released(address: &Multiaddr) -> bool {
    udp_socket(address).is_none_or(|socket| UdpSocket::bind(socket).is_ok())
}

/// The socket address of a TCP address with a fixed port.
fn tcp_socket(address: &Multiaddr) -> Option<SocketAddr> {
    match address.iter().nth(1)? {
        Protocol::Tcp(port) if port != 0 => Some(SocketAddr::new(ip_of(address)?, port)),
        _ => None,
    }
}

fn udp_socket(address: &Multiaddr) -> Option<SocketAddr> {
    match address.iter().nth(1)? {
        Protocol::Udp(port) if port != 0 => Some(SocketAddr::new(ip_of(address)?, port)),
        _ => None,
    }
}
