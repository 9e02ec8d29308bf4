//! Which addresses of others are worth keeping.
//!
//! Addresses come from hostile peers. Kept are only those that our transports can dial, few per peer, and loopback ones
//! only where the whole network is on loopback: elsewhere they would make nodes dial themselves.

use std::net::IpAddr;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use crate::config::NetworkConfig;
use crate::peers::TransportKind;

/// Addresses kept per peer. A node has a few interfaces times two transports; more would only be room for garbage.
pub(crate) const ADDRESSES_PER_PEER: usize = 16;

/// Longest address kept, in bytes: a full DNS name and a peer id.
const ADDRESS_BYTES_MAX: usize = 320;

/// Where this node's network lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// On this machine only.
    Loopback,
    /// Anywhere else.
    Open,
}

impl Scope {
    /// A node that listens (or, when it does not, starts) on loopback only lives there.
    pub(crate) fn of(config: &NetworkConfig) -> Self {
        let own = config.listen.iter().chain(&config.external);
        let mut judged: Vec<_> = own.collect();
        if judged.is_empty() {
            judged = config.bootstrap.iter().collect();
        }
        let is_loopback = |address: &&Multiaddr| ip_of(address).is_some_and(|ip| ip.is_loopback());
        if !judged.is_empty() && judged.iter().all(is_loopback) { Self::Loopback } else { Self::Open }
    }

    /// The addresses of `peer` that are worth keeping, without `/p2p`, each once.
    pub(crate) fn sensible<'a>(
        self,
        peer: &PeerId,
        addresses: impl IntoIterator<Item = &'a Multiaddr>,
    ) -> Vec<Multiaddr> {
        let mut kept = Vec::new();
        for address in addresses.into_iter().take(ADDRESSES_PER_PEER * 4) {
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
        if address.len() > ADDRESS_BYTES_MAX || transport_of(address) == TransportKind::Other {
            return false;
        }
        let has_port =
            address.iter().any(|part| matches!(part, Protocol::Tcp(port) | Protocol::Udp(port) if port != 0));
        let is_placed = match ip_of(address) {
            Some(ip) if ip.is_unspecified() || ip.is_multicast() => false,
            Some(ip) if ip.is_loopback() => self == Self::Loopback,
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

/// How an address is dialled: exactly `/host/tcp/port` or `/host/udp/port/quic-v1`, anything else is foreign to us.
pub(crate) fn transport_of(address: &Multiaddr) -> TransportKind {
    let (bare, _) = split_peer(address);
    let parts: Vec<_> = bare.iter().collect();
    match parts.as_slice() {
        [host, Protocol::Tcp(_)] if is_host(host) => TransportKind::Tcp,
        [host, Protocol::Udp(_), Protocol::QuicV1] if is_host(host) => TransportKind::Quic,
        _ => TransportKind::Other,
    }
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
        assert_eq!(Scope::Open.sensible(&peer, &offered), Vec::<Multiaddr>::new());
    }

    #[test]
    fn a_peer_cannot_fill_the_table_with_addresses() {
        let offered: Vec<_> = (1..=200).map(|port| address(&format!("/ip4/10.0.0.1/tcp/{port}"))).collect();
        assert_eq!(Scope::Open.sensible(&PeerId::random(), &offered).len(), ADDRESSES_PER_PEER);
    }

    #[test]
    fn the_peer_id_at_the_end_is_split_off() {
        let peer = PeerId::random();
        let bare = address("/dns/node.example/tcp/9000");
        assert_eq!(split_peer(&bare.clone().with(Protocol::P2p(peer))), (bare.clone(), Some(peer)));
        assert_eq!(split_peer(&bare), (bare, None));
    }
}
