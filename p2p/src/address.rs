//! Which addresses of others are worth keeping.
//!
//! Addresses come from hostile peers. Kept are only those that our transports can dial, few per peer, and loopback ones
//! only where the whole network is on loopback: elsewhere they would make nodes dial themselves. A node with nothing but
//! Tor keeps onion addresses alone, and one without Tor none of them.

use std::net::IpAddr;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use crate::config::NetworkConfig;
use crate::peers::TransportKind;
use crate::tor::TorMode;

/// Addresses kept per peer. A node has a few interfaces times two transports and one onion address; more would only be room for
/// garbage.
pub(crate) const ADDRESSES_PER_PEER: usize = 16;

/// Addresses looked at for it. What a peer says of itself has 4 KiB, which is some 350 of the shortest.
const ADDRESSES_EXAMINED: usize = 512;

/// Longest address kept, in bytes: a full DNS name and a peer id.
const ADDRESS_BYTES_MAX: usize = 320;

/// Where a node's direct addresses are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On this machine only.
    Loopback,
    /// Anywhere else.
    Open,
}

/// Where this node's network lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scope {
    place: Place,
    tor: TorMode,
}

impl Scope {
    /// A node that listens (or, when it does not, starts) on loopback only lives there.
    pub(crate) fn of(config: &NetworkConfig) -> Self {
        let is_direct = |address: &&Multiaddr| transport_of(address) != TransportKind::Tor;
        let own = config.listen.iter().chain(&config.external).filter(is_direct);
        let mut judged: Vec<_> = own.collect();
        if judged.is_empty() {
            judged = config.bootstrap.iter().filter(is_direct).collect();
        }
        let is_loopback = |address: &&Multiaddr| ip_of(address).is_some_and(|ip| ip.is_loopback());
        let is_local = !judged.is_empty() && judged.iter().all(is_loopback);
        let place = if is_local { Place::Loopback } else { Place::Open };
        Self { place, tor: config.tor.mode }
    }

    /// The addresses of `peer` that are worth keeping, without `/p2p`, each once. An onion address comes first, as it stays when
    /// the others change and a host with many interfaces must not lose it among them; further ones, which a node does not have
    /// and others may have made up, come last.
    pub(crate) fn sensible<'a>(
        self,
        peer: &PeerId,
        addresses: impl IntoIterator<Item = &'a Multiaddr>,
    ) -> Vec<Multiaddr> {
        let is_onion = |address: &&Multiaddr| transport_of(address) == TransportKind::Tor;
        let (onion, other): (Vec<_>, Vec<_>) =
            addresses.into_iter().take(ADDRESSES_EXAMINED).partition(is_onion);
        let mut kept = Vec::new();
        let (first, further) = onion.split_at(onion.len().min(1));
        for address in first.iter().copied().chain(other).chain(further.iter().copied()) {
            let (bare, named) = split_peer(address);
            let is_own = named.is_none_or(|named| named == *peer);
            if is_own && self.is_sensible(&bare) && !kept.contains(&bare) {
                kept.push(bare);
            }
            if kept.len() == ADDRESSES_PER_PEER {
                break;
            }
        }
        kept
    }

    fn is_sensible(self, address: &Multiaddr) -> bool {
        if address.len() > ADDRESS_BYTES_MAX {
            return false;
        }
        match (transport_of(address), self.tor) {
            (TransportKind::Tor, mode) => return mode != TorMode::Off,
            (TransportKind::Other, _) | (_, TorMode::Only) => return false,
            (TransportKind::Quic | TransportKind::Tcp, TorMode::Off | TorMode::Also) => {}
        }
        let has_port =
            address.iter().any(|part| matches!(part, Protocol::Tcp(port) | Protocol::Udp(port) if port != 0));
        let is_placed = match ip_of(address) {
            Some(ip) if ip.is_unspecified() || ip.is_multicast() => false,
            Some(ip) if ip.is_loopback() => self.place == Place::Loopback,
            Some(_) | None => true,
        };
        has_port && is_placed
    }
}

/// The IP address that an address starts with, if it is not a name.
pub(crate) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// Splits `/p2p/<peer id>` off the end.
pub(crate) fn split_peer(address: &Multiaddr) -> (Multiaddr, Option<PeerId>) {
    let mut bare = address.clone();
    match bare.pop() {
        Some(Protocol::P2p(peer)) => (bare, Some(peer)),
        Some(_) | None => (address.clone(), None),
    }
}

/// How an address is dialled: exactly `/host/tcp/port`, `/host/udp/port/quic-v1` or `/onion3/service:port`, anything else is
/// foreign to us.
pub(crate) fn transport_of(address: &Multiaddr) -> TransportKind {
    let (bare, _) = split_peer(address);
    let parts: Vec<_> = bare.iter().collect();
    match parts.as_slice() {
        [host, Protocol::Tcp(_)] if is_host(host) => TransportKind::Tcp,
        [host, Protocol::Udp(_), Protocol::QuicV1] if is_host(host) => TransportKind::Quic,
        [Protocol::Onion3(onion)] if onion.port() != 0 => TransportKind::Tor,
        _ => TransportKind::Other,
    }
}

/// How a connection travels, by the address of its remote end. Who has connected to us through Tor has no address, only a
/// number that the transport gave.
pub(crate) fn connection_kind(address: &Multiaddr) -> TransportKind {
    match address.iter().next() {
        Some(Protocol::Memory(_)) => TransportKind::Tor,
        Some(_) | None => transport_of(address),
    }
}

/// Whether an address leads to a node without Tor.
pub(crate) fn is_direct(address: &Multiaddr) -> bool {
    matches!(transport_of(address), TransportKind::Tcp | TransportKind::Quic)
}

fn is_host(part: &Protocol<'_>) -> bool {
    use Protocol::{Dns, Dns4, Dns6, Ip4, Ip6};
    matches!(part, Ip4(_) | Ip6(_) | Dns(_) | Dns4(_) | Dns6(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    fn config_listening_on(listen: &[&str]) -> NetworkConfig {
        let mut config = NetworkConfig::new("test".parse().unwrap(), aegis_types::Hash::ZERO);
        config.listen = listen.iter().map(|text| address(text)).collect();
        config
    }

    fn open() -> Scope {
        Scope { place: Place::Open, tor: TorMode::Off }
    }

    #[test]
    fn each_mode_keeps_what_it_can_dial() {
        let peer = PeerId::random();
        let onion = address("/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:7003");
        let direct = address("/ip4/10.0.0.1/tcp/9000");
        let offered = [direct.clone(), onion.clone(), address("/dns/node.example/tcp/9000")];
        let kept = |tor| Scope { place: Place::Open, tor }.sensible(&peer, &offered);
        assert_eq!(kept(TorMode::Only), std::slice::from_ref(&onion));
        assert_eq!(kept(TorMode::Also), [onion, direct.clone(), offered[2].clone()]);
        assert_eq!(kept(TorMode::Off), [direct, offered[2].clone()]);
    }

    #[test]
    fn a_host_with_many_interfaces_keeps_its_onion_address() {
        let onion = address("/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:7003");
        let mut offered: Vec<_> =
            (1..=200).map(|host| address(&format!("/ip4/10.0.0.{host}/tcp/1"))).collect();
        offered.push(onion.clone());
        let kept = Scope { place: Place::Open, tor: TorMode::Also }.sensible(&PeerId::random(), &offered);
        assert_eq!((kept.len(), &kept[0]), (ADDRESSES_PER_PEER, &onion));
    }

    #[test]
    fn loopback_addresses_are_kept_only_on_a_loopback_network() {
        let peer = PeerId::random();
        let offered = [address("/ip4/127.0.0.1/tcp/9000"), address("/ip4/10.0.0.1/udp/9000/quic-v1")];
        let local = Scope::of(&config_listening_on(&["/ip4/127.0.0.1/tcp/0"]));
        assert_eq!(local.sensible(&peer, &offered), offered);
        let open = Scope::of(&config_listening_on(&["/ip4/127.0.0.1/tcp/0", "/ip4/0.0.0.0/tcp/0"]));
        assert_eq!(open.sensible(&peer, &offered), offered[1..]);
    }

    #[test]
    fn addresses_that_nobody_can_dial_are_dropped() {
        let peer = PeerId::random();
        let offered = [
            address("/ip4/10.0.0.1/tcp/0"),
            address("/ip4/0.0.0.0/tcp/9000"),
            address("/ip4/224.0.0.1/tcp/9000"),
            address("/ip4/10.0.0.1/udp/9000"),
            address("/memory/7"),
            address(&format!("/ip4/10.0.0.1/tcp/9000/p2p/{}", PeerId::random())),
            Multiaddr::empty(),
        ];
        assert_eq!(open().sensible(&peer, &offered), Vec::<Multiaddr>::new());
    }

    #[test]
    fn a_peer_cannot_fill_the_table_with_addresses() {
        let offered: Vec<_> = (1..=200).map(|port| address(&format!("/ip4/10.0.0.1/tcp/{port}"))).collect();
        assert_eq!(open().sensible(&PeerId::random(), &offered).len(), ADDRESSES_PER_PEER);
    }

    #[test]
    fn the_peer_id_at_the_end_is_split_off() {
        let peer = PeerId::random();
        let bare = address("/dns/node.example/tcp/9000");
        assert_eq!(split_peer(&bare.clone().with(Protocol::P2p(peer))), (bare.clone(), Some(peer)));
        assert_eq!(split_peer(&bare), (bare, None));
    }
}
