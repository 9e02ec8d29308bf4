//! Connections that come and go, and who is at their other end.

use std::time::Instant;

use libp2p::core::ConnectedPoint;
use libp2p::swarm::{ConnectionError, ConnectionId, DialError};
use libp2p::{PeerId, identify, ping};

use super::state::Service;
use crate::address::is_direct;
use crate::error::chain_of;
use crate::event::NetworkEvent;
use crate::ids::node_id_of;
use crate::peers::Identity;
use crate::reputation::{Consequence, Offence};
use crate::tor::Pace;

/// Nodes of other chains that are remembered. Beyond it they are only disconnected.
const FOREIGN_MAX: usize = 1024;

impl Service {
    pub(super) fn on_connection_opened(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        tracing::debug!(%peer, address = %endpoint.get_remote_address(), "connection opened");
        self.bootstrap.on_connected(id, peer);
        let open = self.peers.open(peer, id, endpoint);
        if is_direct(endpoint.get_remote_address()) {
            // Once there is a direct way, consensus does not go the long one.
            for detour in self.peers.through_tor(&peer) {
                self.swarm.close_connection(detour);
            }
        }
        // Direct peers are exempt from the swarm's own limits. The oldest connection goes: after a restart it is the dead one.
        if open > self.config.limits.connections_per_peer as usize {
            let oldest = self.peers.get(&peer).and_then(|peer| peer.connections.keys().next().copied());
            if let Some(oldest) = oldest {
                self.swarm.close_connection(oldest);
            }
        }
    }

    pub(super) fn on_connection_closed(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        cause: Option<ConnectionError>,
    ) {
        let cause = cause.map(|cause| chain_of(&cause));
        tracing::debug!(%peer, ?cause, "connection closed");
        let Some(gone) = self.peers.close(&peer, id) else { return };
        let now = Instant::now();
        self.requests.forget(&peer);
        self.bootstrap.on_lost(&peer, now);
        let Some(node) = gone.identity.map(|identity| identity.node) else { return };
        self.shared.set_disconnected(&node);
        if let Some(direct) = self.direct.get_mut(&node) {
            direct.on_lost(now);
        }
        tracing::debug!(peer = %node.short(), ?cause, "peer disconnected");
        self.inbox.push_connection(NetworkEvent::PeerDisconnected { peer: node });
    }

    pub(super) fn on_dial_failed(&mut self, id: ConnectionId, peer: Option<PeerId>, error: &DialError) {
        if let DialError::LocalPeerId { address } = error {
            tracing::info!(%address, "a bootstrap address is this node's own: it is left out");
            self.bootstrap.on_self(id);
            return;
        }
        let reason = chain_of(error);
        if matches!(error, DialError::DialPeerConditionFalse(_)) {
            self.bootstrap.on_skipped(id);
            return;
        }
        match self.bootstrap.on_failed(id) {
            Some(address) => {
                tracing::warn!(%address, %reason, "a bootstrap address cannot be reached; it is tried again for ever");
            }
            None => tracing::debug!(?peer, %reason, "a dial failed"),
        }
    }

    pub(super) fn on_identify(&mut self, event: identify::Event) {
        match event {
            identify::Event::Received { peer_id, info, .. } => {
                if info.protocol_version == self.identity {
                    self.admit(peer_id, info);
                } else {
                    self.refuse_foreign(peer_id, &info);
                }
            }
            identify::Event::Error { peer_id, error, .. } => {
                tracing::debug!(peer = %peer_id, %error, "a peer did not identify itself");
            }
            identify::Event::Sent { .. } | identify::Event::Pushed { .. } => {}
        }
    }

    /// The peer is of our chain: it counts as connected, and its addresses go into the routing table.
    fn admit(&mut self, peer: PeerId, info: identify::Info) {
        let Some(node) = node_id_of(&peer) else { return };
        let dialled = self.peers.dialled_address(&peer).cloned();
        let addresses = self.scope.sensible(&peer, dialled.iter().chain(&info.listen_addrs));
        if info.protocols.contains(&self.kad_protocol) {
            for address in &addresses {
                self.swarm.behaviour_mut().kad.add_address(&peer, address.clone());
            }
        }
        let identity = Identity::new(node, &info.agent_version, info.protocol_version);
        let agent = identity.agent.clone();
        if !self.peers.is_connected(&peer) {
            return;
        }
        let is_new = self.peers.identify(&peer, identity);
        if let Some(direct) = self.direct.get_mut(&node) {
            direct.on_admitted(addresses);
        }
        if !is_new {
            return;
        }
        self.bootstrap.on_admitted(&peer);
        let score = self.reputation.score(&peer, Instant::now());
        self.swarm.behaviour_mut().gossip.set_application_score(&peer, score);
        let is_first = self.shared.connected() == 0;
        self.shared.set_connected(node);
        let (said, sees_us_at) = (&info.listen_addrs, &info.observed_addr);
        tracing::debug!(peer = %node.short(), %peer, %agent, ?said, %sees_us_at, "peer connected");
        self.inbox.push_connection(NetworkEvent::PeerConnected { peer: node });
        if is_first {
            self.next_walk = Instant::now();
        }
    }

    /// The peer is of another chain, or speaks another version: it is disconnected and left alone for a while.
    fn refuse_foreign(&mut self, peer: PeerId, info: &identify::Info) {
        let theirs: String = info.protocol_version.chars().filter(|c| !c.is_control()).take(128).collect();
        tracing::warn!(
            %peer,
            ours = %self.identity,
            %theirs,
            "a node of another chain, genesis or version was disconnected: check its genesis file, version and bootstrap \
             addresses"
        );
        if self.foreign.len() < FOREIGN_MAX {
            self.foreign.insert(peer, Instant::now() + self.config.discovery.foreign_pause);
            self.swarm.behaviour_mut().blocked.block_peer(peer);
        }
        self.swarm.behaviour_mut().kad.remove_peer(&peer);
        // It may have gone by itself meanwhile.
        let _ = self.swarm.disconnect_peer_id(peer);
    }

    pub(super) fn on_ping(&mut self, event: ping::Event) {
        match event.result {
            Ok(latency) => self.peers.set_latency(&event.peer, event.connection, latency),
            Err(ping::Failure::Unsupported) => {}
            Err(failure @ (ping::Failure::Timeout | ping::Failure::Other { .. })) => {
                tracing::debug!(peer = %event.peer, %failure, "a connection answers no pings: it is closed");
                self.swarm.close_connection(event.connection);
            }
        }
    }

    /// Notes an offence and does what follows from it.
    pub(super) fn on_offence(&mut self, peer: PeerId, offence: Offence) {
        let now = Instant::now();
        match self.reputation.report(peer, offence, now) {
            Consequence::Scored(score) => {
                tracing::debug!(%peer, ?offence, score, "offence noted");
            }
            Consequence::Banned(time) => {
                tracing::warn!(%peer, ?offence, seconds = time.as_secs(), "peer banned for repeated offences");
                self.swarm.behaviour_mut().blocked.block_peer(peer);
            }
        }
        let score = self.reputation.score(&peer, now);
        self.swarm.behaviour_mut().gossip.set_application_score(&peer, score);
    }

    /// Lets back in whose ban or pause is over.
    pub(super) fn release_peers(&mut self, now: Instant) {
        let mut released = self.reputation.release(now);
        self.foreign.retain(|peer, until| {
            let is_over = *until <= now;
            if is_over {
                released.push(*peer);
            }
            !is_over
        });
        for peer in released {
            if !self.foreign.contains_key(&peer) && !self.reputation.is_banned(&peer) {
                self.swarm.behaviour_mut().blocked.unblock_peer(peer);
            }
        }
    }

    pub(super) fn drop_silent_peers(&mut self, now: Instant) {
        for peer in self.peers.silent(now, Pace::of(self.config.tor.mode).identify) {
            tracing::debug!(%peer, "a peer did not identify itself in time");
            // It may have gone by itself meanwhile.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }
}
