//! Tasks of the direct lanes: who may have one, and what their ends mean.

use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use libp2p::PeerId;
use tokio::sync::{Notify, watch};
use tokio::task::JoinError;

use super::state::{IncomingStream, Service};
use crate::ids::{NodeId, node_id_of, peer_id_of};
use crate::incoming::{ReadEnd, read_frames};
use crate::lane::Lane;
use crate::outgoing::Outgoing;
use crate::reputation::Offence;
use crate::tor::Pace;

/// How a task ended.
#[derive(Debug)]
pub(crate) enum TaskEnd {
    /// It took in streams until the swarm was gone.
    Acceptor,
    /// It wrote to a peer until that was no direct peer any more.
    Writer,
    /// It read a lane.
    Reader { peer: PeerId, lane: Lane, end: ReadEnd },
}

impl Service {
    /// Takes in direct streams on both lanes. Each lane has a task for it: libp2p drops a stream that is not taken at once.
    pub(super) fn accept_streams(&mut self) {
        for (lane, protocol) in self.lane_protocols.clone() {
            let mut streams = match self.control.accept(protocol) {
                Ok(streams) => streams,
                Err(error) => unreachable!("each lane is accepted once: {error}"),
            };
            let sender = self.incoming_sender.clone();
            self.tasks.spawn(async move {
                while let Some((peer, stream)) = streams.next().await {
                    // Without room the stream is dropped, and its peer tries again.
                    let _ = sender.try_send(IncomingStream { peer, lane, stream });
                }
                TaskEnd::Acceptor
            });
        }
    }

    pub(super) fn on_direct_set(&mut self) {
        let wanted = self.channels.direct.borrow_and_update().clone();
        let change = self.direct.changes_to(&wanted);
        for node in change.removed {
            if let Some(peer) = self.direct.remove(&node) {
                self.swarm.behaviour_mut().limits.remove_peer_id(&peer);
                self.inbox.forget(&node);
            }
        }
        for node in change.added {
            self.add_direct(node);
        }
    }

    fn add_direct(&mut self, node: NodeId) {
        let peer = peer_id_of(&node);
        self.swarm.behaviour_mut().limits.bypass_peer_id(&peer);
        let (is_connected, connection) = watch::channel(self.peers.node(&peer).is_some());
        let nudge = Arc::new(Notify::new());
        let outgoing = Outgoing {
            node,
            peer,
            control: self.control.clone(),
            protocols: self.lane_protocols.clone(),
            is_connected: connection,
            nudge: Arc::clone(&nudge),
            shared: Arc::clone(&self.shared),
            inbox: Arc::clone(&self.inbox),
            limits: self.config.limits.clone(),
            pace: Pace::of(self.config.tor.mode),
        };
        let writer = self.tasks.spawn(async move {
            outgoing.run().await;
            TaskEnd::Writer
        });
        let known = self.peers.dialled_address(&peer).cloned().into_iter().collect();
        self.direct.add(node, is_connected, nudge, writer, known, Instant::now());
    }

    /// Gives a direct peer's stream a reader; a stranger's stream is dropped.
    pub(super) fn on_incoming_stream(&mut self, incoming: IncomingStream) {
        let IncomingStream { peer, lane, stream } = incoming;
        let direct = node_id_of(&peer).and_then(|node| Some((node, self.direct.get_mut(&node)?)));
        let Some((node, direct)) = direct else {
            tracing::debug!(%peer, lane = lane.name(), "a direct stream of a stranger was dropped");
            return;
        };
        let inbox = Arc::clone(&self.inbox);
        let reader = self.tasks.spawn(async move {
            let end = read_frames(node, lane, stream, &inbox).await;
            TaskEnd::Reader { peer, lane, end }
        });
        if direct.set_reader(lane, reader) {
            self.keep_newest_connection(peer);
        }
    }

    /// A peer that opens a lane anew while the old stream seems open has most likely crashed and come back: what we still
    /// hold of its former life would swallow our frames until it times out.
    fn keep_newest_connection(&mut self, peer: PeerId) {
        let Some(entry) = self.peers.get(&peer) else { return };
        let outdated: Vec<_> = entry.connections.keys().rev().skip(1).copied().collect();
        for connection in outdated {
            tracing::debug!(%peer, ?connection, "an outdated connection is closed");
            self.swarm.close_connection(connection);
        }
    }

    pub(super) fn on_task_end(&mut self, end: Result<TaskEnd, JoinError>) {
        match end {
            Ok(TaskEnd::Acceptor | TaskEnd::Writer) => {}
            Ok(TaskEnd::Reader { peer, lane, end: ReadEnd::Closed }) => {
                tracing::debug!(%peer, lane = lane.name(), "a direct stream of a peer ended");
            }
            Ok(TaskEnd::Reader { peer, lane, end: ReadEnd::Oversized { actual, limit } }) => {
                tracing::warn!(%peer, lane = lane.name(), actual, limit, "a peer announced an oversized frame");
                self.on_offence(peer, Offence::Malformed);
            }
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // Replaced by a newer one, or its peer is no direct peer any more.
            Err(_) => {}
        }
    }
}
