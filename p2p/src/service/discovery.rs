//! Finding nodes: bootstrap addresses, lookups of direct peers, random walks.

use std::time::Instant;

use libp2p::swarm::DialError;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{PeerId, kad};

use super::state::Service;
use crate::bootstrap::Demand;
use crate::direct::DueDial;
use crate::ids::node_id_of;
use crate::tor::TorMode;

/// Lookups of direct peers at once. Each asks a few nodes; a hundred missing validators are looked up in turns.
const LOOKUPS_MAX: usize = 8;

/// Peers from the routing table that are dialled per walk while there are too few.
const DIALS_PER_WALK: usize = 8;

impl Service {
    pub(super) fn dial_what_is_due(&mut self, now: Instant) {
        let demand = self.demand();
        let peers = &self.peers;
        for dial in self.bootstrap.due(now, demand, |peer| peers.is_connected(peer)) {
            let id = dial.connection_id();
            if let Err(error) = self.swarm.dial(dial) {
                self.on_dial_failed(id, None, &error);
            }
        }
        let peers = &self.peers;
        for dial in self.direct.due(now, |peer| peers.is_connected(peer)) {
            self.dial_direct(dial);
        }
        if self.config.tor.mode == TorMode::Also {
            self.dial_shortcuts(now);
        }
    }

    /// Looks for a direct way to validators that are reached through Tor alone.
    fn dial_shortcuts(&mut self, now: Instant) {
        let peers = &self.peers;
        for (peer, addresses) in self.direct.due_shortcuts(now, |peer| peers.is_only_through_tor(peer)) {
            let dial =
                DialOpts::peer_id(peer).condition(PeerCondition::NotDialing).addresses(addresses).build();
            if let Err(error) = self.swarm.dial(dial) {
                tracing::debug!(%peer, %error, "a direct way to a peer cannot be tried now");
            }
        }
    }

    fn demand(&self) -> Demand {
        if self.shared.connected() < self.config.discovery.target_peers {
            Demand::Wanted
        } else {
            Demand::Settled
        }
    }

    fn dial_direct(&mut self, due: DueDial) {
        let DueDial { peer, mut addresses, is_repeated } = due;
        for address in self.bootstrap.addresses_of(&peer) {
            if !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
        let dial = DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(addresses)
            .extend_addresses_through_behaviour()
            .build();
        let is_unknown = match self.swarm.dial(dial) {
            Ok(()) => false,
            Err(error) => {
                tracing::debug!(%peer, %error, "a direct peer cannot be dialled now");
                matches!(error, DialError::NoAddresses)
            }
        };
        if is_unknown || is_repeated {
            self.look_up(peer);
        }
    }

    fn look_up(&mut self, peer: PeerId) {
        let is_under_way = self.lookups.values().any(|wanted| *wanted == peer);
        if !is_under_way && self.lookups.len() < LOOKUPS_MAX && self.shared.connected() > 0 {
            let query = self.swarm.behaviour_mut().kad.get_closest_peers(peer);
            self.lookups.insert(query, peer);
        }
    }

    pub(super) fn on_kad(&mut self, event: kad::Event) {
        match event {
            kad::Event::OutboundQueryProgressed { id, result, step, .. } => {
                if let kad::QueryResult::GetClosestPeers(Ok(found)) = result {
                    self.on_found(&found.peers);
                }
                if step.last {
                    self.lookups.remove(&id);
                }
            }
            kad::Event::InboundRequest { .. }
            | kad::Event::RoutingUpdated { .. }
            | kad::Event::UnroutablePeer { .. }
            | kad::Event::RoutablePeer { .. }
            | kad::Event::PendingRoutablePeer { .. }
            | kad::Event::ModeChanged { .. } => {}
        }
    }

    fn on_found(&mut self, found: &[kad::PeerInfo]) {
        let now = Instant::now();
        for info in found {
            tracing::debug!(peer = %info.peer_id, addresses = ?info.addrs, "a peer was found by hearsay");
            let addresses = self.scope.sensible(&info.peer_id, &info.addrs);
            let direct = node_id_of(&info.peer_id).and_then(|node| self.direct.get_mut(&node));
            if let Some(direct) = direct
                && !self.peers.is_connected(&info.peer_id)
            {
                direct.on_found(addresses, now);
            }
        }
    }

    /// Looks around: asks for our own neighbourhood and for a random place, and dials known nodes if peers are too few.
    pub(super) fn walk_if_due(&mut self, now: Instant) {
        if now < self.next_walk {
            return;
        }
        let discovery = &self.config.discovery;
        let is_wanted = self.demand() == Demand::Wanted;
        self.next_walk =
            now + if is_wanted { discovery.walk_interval } else { discovery.walk_interval_settled };
        if self.shared.connected() == 0 {
            return;
        }
        let kad = &mut self.swarm.behaviour_mut().kad;
        // Without a known peer there is nothing to ask.
        let _ = kad.bootstrap();
        kad.get_closest_peers(PeerId::random());
        if is_wanted {
            self.dial_known_peers();
        }
    }

    fn dial_known_peers(&mut self) {
        let missing = self.config.discovery.target_peers.saturating_sub(self.shared.connected());
        let peers = &self.peers;
        let mut known = Vec::new();
        for bucket in self.swarm.behaviour_mut().kad.kbuckets() {
            known.extend(bucket.iter().map(|entry| *entry.node.key.preimage()));
        }
        known.retain(|peer| !peers.is_connected(peer));
        for peer in known.into_iter().take(missing.min(DIALS_PER_WALK)) {
            let dial = DialOpts::peer_id(peer).condition(PeerCondition::DisconnectedAndNotDialing).build();
            if let Err(error) = self.swarm.dial(dial) {
                tracing::debug!(%peer, %error, "a known peer cannot be dialled now");
            }
        }
    }
}
