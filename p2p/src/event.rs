//! What comes out of the network.

use std::sync::Arc;

use bytes::Bytes;
use libp2p::Multiaddr;

use crate::exchange::Reply;
use crate::gossip::{GossipId, Topic};
use crate::ids::NodeId;
use crate::inbox::{Inbox, Taken};
use crate::lane::Lane;

/// Something that happened on the network. All bytes are as hostile as their sender.
#[derive(Debug)]
pub enum NetworkEvent {
    /// A node of our chain is connected. Frames of a direct peer may come a moment earlier.
    PeerConnected {
        /// Which one.
        peer: NodeId,
    },
    /// The last connection to a node is closed. Frames of it that arrived before may still follow.
    PeerDisconnected {
        /// Which one.
        peer: NodeId,
    },
    /// Both outgoing lanes to a direct peer are open: [`crate::Network::send`] reaches it from now on. What was sent on
    /// earlier streams may be lost, so send again what still matters.
    DirectReady {
        /// Which one.
        peer: NodeId,
    },
    /// A frame of a direct peer. Frames of one peer and lane come in the order they were sent.
    Message {
        /// Its sender, proven by the connection.
        from: NodeId,
        /// The lane it came on.
        lane: Lane,
        /// The bytes.
        frame: Bytes,
    },
    /// A gossiped message. It goes no further until [`crate::Network::judge`] accepts it.
    Gossip {
        /// For the verdict.
        id: GossipId,
        /// The topic.
        topic: Topic,
        /// Who passed it on to us, not who wrote it: messages must prove their own origin.
        from: NodeId,
        /// The bytes.
        message: Bytes,
    },
    /// A question. Dropping the reply refuses it.
    Request {
        /// Who asks.
        from: NodeId,
        /// The bytes.
        request: Bytes,
        /// Where the answer goes.
        reply: Reply,
    },
    /// The node listens on one more address.
    Listening {
        /// With the real port and `/p2p/<peer id>`.
        address: Multiaddr,
    },
}

/// The one place where events come out. Dropping it makes the network discard all that it would have delivered.
///
/// Connections come first, then consensus frames (in turns by peer), then in turns requests, payload frames and gossip;
/// even under a flood of consensus frames one of the others is served for every 32 of them.
#[derive(Debug)]
pub struct EventReceiver {
    inbox: Arc<Inbox>,
}

impl EventReceiver {
    pub(crate) fn new(inbox: Arc<Inbox>) -> Self {
        Self { inbox }
    }

    /// The next event; `None` once the network has stopped and everything is delivered. Safe to cancel.
    pub async fn recv(&mut self) -> Option<NetworkEvent> {
        loop {
            match self.inbox.take() {
                Taken::Event(event) => return Some(event),
                Taken::Stopped => return None,
                Taken::Nothing => self.inbox.filled().await,
            }
        }
    }

    /// The next event if there is one already: for consumers that handle many at a time.
    pub fn try_recv(&mut self) -> Option<NetworkEvent> {
        match self.inbox.take() {
            Taken::Event(event) => Some(event),
            Taken::Nothing | Taken::Stopped => None,
        }
    }
}

impl Drop for EventReceiver {
    fn drop(&mut self) {
        self.inbox.abandon();
    }
}
