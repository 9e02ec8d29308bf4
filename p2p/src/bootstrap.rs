//! The addresses to start from, dialled for ever.
//!
//! While there are few peers an address is dialled again with growing delays. With enough peers it is only looked at now
//! and then, which mends a network that fell into two halves.

use std::time::{Duration, Instant};

use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId};

use crate::address::split_peer;
use crate::backoff::Backoff;

/// With enough peers a lost bootstrap address is dialled this often.
const SETTLED_DELAY: Duration = Duration::from_secs(300);

/// How the search for peers stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// There are fewer peers than wanted.
    Wanted,
    /// There are enough.
    Settled,
}

#[derive(Debug)]
struct Entry {
    address: Multiaddr,
    /// Who has to be there, if the address says so.
    named: Option<PeerId>,
    /// Who is expected there: the named one, or whoever was there last.
    peer: Option<PeerId>,
    dialling: Option<ConnectionId>,
    backoff: Backoff,
    next: Instant,
    is_self: bool,
}

/// All bootstrap addresses.
#[derive(Debug)]
pub(crate) struct Bootstrap {
    entries: Vec<Entry>,
}

impl Bootstrap {
    pub(crate) fn new(
        addresses: &[Multiaddr],
        local: PeerId,
        retry: Duration,
        retry_max: Duration,
        now: Instant,
    ) -> Self {
        let entry = |address: &Multiaddr| {
            let (address, peer) = split_peer(address);
            let backoff = Backoff::new(retry, retry_max);
            Entry {
                address,
                named: peer,
                peer,
                dialling: None,
                backoff,
                next: now,
                is_self: peer == Some(local),
            }
        };
        Self { entries: addresses.iter().map(entry).collect() }
    }

    /// The addresses known for a peer.
    pub(crate) fn addresses_of(&self, peer: &PeerId) -> impl Iterator<Item = &Multiaddr> {
        let peer = *peer;
        self.entries.iter().filter(move |entry| entry.peer == Some(peer)).map(|entry| &entry.address)
    }

    /// The dials that are due.
    pub(crate) fn due(
        &mut self,
        now: Instant,
        demand: Demand,
        is_connected: impl Fn(&PeerId) -> bool,
    ) -> Vec<DialOpts> {
        let mut dials = Vec::new();
        for entry in &mut self.entries {
            let is_there = entry.peer.as_ref().is_some_and(&is_connected);
            if entry.is_self || is_there || entry.dialling.is_some() || entry.next > now {
                continue;
            }
            let address = entry.address.clone();
            let dial = match entry.peer {
                Some(peer) => DialOpts::peer_id(peer)
                    .condition(PeerCondition::DisconnectedAndNotDialing)
                    .addresses(vec![address])
                    .build(),
                None => DialOpts::unknown_peer_id().address(address).build(),
            };
            entry.dialling = Some(dial.connection_id());
            let delay = entry.backoff.next_delay();
            entry.next = now + if demand == Demand::Settled { SETTLED_DELAY } else { delay };
            dials.push(dial);
        }
        dials
    }

    /// A connection was opened: now we know who is at that address.
    pub(crate) fn on_connected(&mut self, connection: ConnectionId, peer: PeerId) {
        if let Some(entry) = self.dialled_by(connection) {
            entry.dialling = None;
            entry.peer = Some(peer);
        }
    }

    /// The peer turned out to be of our chain.
    pub(crate) fn on_admitted(&mut self, peer: &PeerId) {
        for entry in self.entries.iter_mut().filter(|entry| entry.peer.as_ref() == Some(peer)) {
            entry.backoff.reset();
        }
    }

    /// A lost peer is dialled after a short delay.
    pub(crate) fn on_lost(&mut self, peer: &PeerId, now: Instant) {
        for entry in self.entries.iter_mut().filter(|entry| entry.peer.as_ref() == Some(peer)) {
            entry.next = now + entry.backoff.next_delay();
        }
    }

    /// A dial failed; gives the address if this is worth telling the operator: the first time, and then ever more rarely.
    pub(crate) fn on_failed(&mut self, connection: ConnectionId) -> Option<Multiaddr> {
        let entry = self.dialled_by(connection)?;
        entry.dialling = None;
        // Another node may live at this address by now.
        entry.peer = entry.named;
        entry.backoff.attempts().is_power_of_two().then(|| entry.address.clone())
    }

    /// The peer is being dialled otherwise: nothing failed.
    pub(crate) fn on_skipped(&mut self, connection: ConnectionId) {
        if let Some(entry) = self.dialled_by(connection) {
            entry.dialling = None;
        }
    }

    /// The dialled address is our own: it is not dialled again.
    pub(crate) fn on_self(&mut self, connection: ConnectionId) {
        if let Some(entry) = self.dialled_by(connection) {
            entry.dialling = None;
            entry.is_self = true;
        }
    }

    fn dialled_by(&mut self, connection: ConnectionId) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.dialling == Some(connection))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn bootstrap(now: Instant) -> Bootstrap {
        let address = "/ip4/127.0.0.1/tcp/9000".parse().unwrap();
        Bootstrap::new(&[address], PeerId::random(), SECOND, SECOND * 60, now)
    }

    #[test]
    fn a_failed_address_is_dialled_again_for_ever() {
        let mut now = Instant::now();
        let mut bootstrap = bootstrap(now);
        for _ in 0..100 {
            let dials = bootstrap.due(now, Demand::Wanted, |_| false);
            assert_eq!(dials.len(), 1);
            assert!(bootstrap.due(now, Demand::Wanted, |_| false).is_empty());
            bootstrap.on_failed(dials[0].connection_id());
            now += SECOND * 60;
        }
    }

    #[test]
    fn a_connected_one_is_left_alone_and_our_own_address_is_dropped() {
        let start = Instant::now();
        let (mut connected, peer) = (bootstrap(start), PeerId::random());
        let dial = connected.due(start, Demand::Wanted, |_| false).remove(0);
        connected.on_connected(dial.connection_id(), peer);
        assert!(connected.due(start + SECOND * 60, Demand::Wanted, |p| *p == peer).is_empty());
        assert_eq!(connected.due(start + SECOND * 60, Demand::Wanted, |_| false).len(), 1);

        let mut own = bootstrap(start);
        let dial = own.due(start, Demand::Wanted, |_| false).remove(0);
        own.on_self(dial.connection_id());
        assert!(own.due(start + SECOND * 600, Demand::Wanted, |_| false).is_empty());
    }
}
