//! The direct peers: who they are, when to dial them, and which tasks serve their lanes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::address::{ADDRESSES_PER_PEER, is_direct};
use crate::backoff::Backoff;
use crate::ids::{NodeId, peer_id_of};
use crate::lane::Lane;

/// Of two nodes that learn of each other at one moment, the one with the larger id lets the other dial first for this
/// long, so that one connection comes about and not two.
const YIELD_DELAY: Duration = Duration::from_millis(400);

/// A peer that is connected through Tor and has direct addresses is tried at these so often.
const DETOUR_DELAY: Duration = Duration::from_secs(60);

/// One direct peer.
#[derive(Debug)]
pub(crate) struct DirectPeer {
    pub(crate) peer: PeerId,
    /// Tells the writing task; the task ends when this is dropped.
    pub(crate) is_connected: watch::Sender<bool>,
    /// Makes the writing task open its lanes at once.
    pub(crate) nudge: Arc<Notify>,
    writer: AbortHandle,
    readers: BTreeMap<Lane, AbortHandle>,
    /// Where it said it listens, when it was last connected.
    known: Vec<Multiaddr>,
    /// Where the last lookup found it, by hearsay.
    found: Vec<Multiaddr>,
    backoff: Backoff,
    next_dial: Instant,
    /// When its direct addresses are tried again while it is connected through Tor.
    next_shortcut: Instant,
}

/// A dial that is due.
#[derive(Debug)]
pub(crate) struct DueDial {
    pub(crate) peer: PeerId,
    pub(crate) addresses: Vec<Multiaddr>,
    /// Whether earlier dials failed, so that the known addresses may be outdated.
    pub(crate) is_repeated: bool,
}

/// What changed when the set was replaced.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) added: Vec<NodeId>,
    pub(crate) removed: Vec<NodeId>,
}

/// All direct peers. Bounded by the validator set.
#[derive(Debug)]
pub(crate) struct DirectPeers {
    local: NodeId,
    retry: Duration,
    retry_max: Duration,
    entries: BTreeMap<NodeId, DirectPeer>,
}

impl DirectPeers {
    pub(crate) fn new(local: NodeId, retry: Duration, retry_max: Duration) -> Self {
        Self { local, retry, retry_max, entries: BTreeMap::new() }
    }

    pub(crate) fn contains(&self, node: &NodeId) -> bool {
        self.entries.contains_key(node)
    }

    pub(crate) fn get_mut(&mut self, node: &NodeId) -> Option<&mut DirectPeer> {
        self.entries.get_mut(node)
    }

    /// What has to change for the set to become `wanted`. We are no direct peer of ourselves.
    pub(crate) fn changes_to(&self, wanted: &BTreeSet<NodeId>) -> Change {
        let is_new = |node: &&NodeId| **node != self.local && !self.entries.contains_key(node);
        Change {
            added: wanted.iter().filter(is_new).copied().collect(),
            removed: self.entries.keys().filter(|node| !wanted.contains(node)).copied().collect(),
        }
    }

    /// Adds a peer whose lanes `writer` serves.
    pub(crate) fn add(
        &mut self,
        node: NodeId,
        is_connected: watch::Sender<bool>,
        nudge: Arc<Notify>,
        writer: AbortHandle,
        known: Vec<Multiaddr>,
        now: Instant,
    ) {
        let delay = if self.local < node { Duration::ZERO } else { YIELD_DELAY };
        let entry = DirectPeer {
            peer: peer_id_of(&node),
            is_connected,
            nudge,
            writer,
            readers: BTreeMap::new(),
            known,
            found: Vec::new(),
            backoff: Backoff::new(self.retry, self.retry_max),
            next_dial: now + delay,
            next_shortcut: now,
        };
        self.entries.insert(node, entry);
    }

    /// Removes a peer and stops the tasks of its lanes.
    pub(crate) fn remove(&mut self, node: &NodeId) -> Option<PeerId> {
        let entry = self.entries.remove(node)?;
        entry.writer.abort();
        entry.readers.values().for_each(AbortHandle::abort);
        Some(entry.peer)
    }

    /// The dials that are due. Each counts as failed until the peer is admitted.
    pub(crate) fn due(&mut self, now: Instant, is_connected: impl Fn(&PeerId) -> bool) -> Vec<DueDial> {
        let mut dials = Vec::new();
        for entry in self.entries.values_mut() {
            if is_connected(&entry.peer) || entry.next_dial > now {
                continue;
            }
            let is_repeated = entry.backoff.attempts() > 0;
            entry.next_dial = now + entry.backoff.next_delay();
            let mut addresses = entry.known.clone();
            addresses.extend(entry.found.iter().filter(|found| !entry.known.contains(found)).cloned());
            dials.push(DueDial { peer: entry.peer, addresses, is_repeated });
        }
        dials
    }
}

impl DirectPeers {
    /// The dials that are due to peers which are connected, but only through Tor, and have direct addresses.
    pub(crate) fn due_shortcuts(
        &mut self,
        now: Instant,
        is_detour: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut dials = Vec::new();
        for entry in self.entries.values_mut().filter(|entry| entry.next_shortcut <= now) {
            let addresses: Vec<_> = entry.known.iter().filter(|known| is_direct(known)).cloned().collect();
            if !addresses.is_empty() && is_detour(&entry.peer) {
                entry.next_shortcut = now + DETOUR_DELAY;
                dials.push((entry.peer, addresses));
            }
        }
        dials
    }
}

impl DirectPeer {
    /// The peer is connected and of our chain; these are its addresses.
    pub(crate) fn on_admitted(&mut self, addresses: Vec<Multiaddr>) {
        self.backoff.reset();
        if !addresses.is_empty() {
            self.known = addresses;
        }
        self.is_connected.send_replace(true);
    }

    /// The peer is gone and will be dialled soon.
    pub(crate) fn on_lost(&mut self, now: Instant) {
        self.is_connected.send_replace(false);
        self.next_dial = now + self.backoff.next_delay();
    }

    /// A lookup found addresses, which are tried at once.
    pub(crate) fn on_found(&mut self, addresses: Vec<Multiaddr>, now: Instant) {
        let is_news =
            addresses.iter().any(|address| !self.found.contains(address) && !self.known.contains(address));
        if is_news {
            self.found = addresses;
            self.found.truncate(ADDRESSES_PER_PEER);
            self.next_dial = now;
        }
    }

    /// Sets the reader of a lane and stops an older one; says whether that was still reading.
    pub(crate) fn set_reader(&mut self, lane: Lane, reader: AbortHandle) -> bool {
        self.nudge.notify_one();
        let Some(older) = self.readers.insert(lane, reader) else { return false };
        let was_reading = !older.is_finished();
        older.abort();
        was_reading
    }
}
