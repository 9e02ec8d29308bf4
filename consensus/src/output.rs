//! What the engine wants done, in order.

use aegis_types::{Certificate, Epoch, Hash, Header, Height, ValidatorId, View, Vote};

use crate::message::Message;
use crate::record::Record;

/// An effect. A driver carries them out in order, and nothing before every record ahead of it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Append to the vote journal.
    Persist(Record),
    /// Send to one validator. May be lost.
    Send {
        /// The receiver.
        to: ValidatorId,
        /// The message.
        message: Message,
    },
    /// Send to all other validators of the epoch. May be lost.
    Broadcast(Message),
    /// A block is decided: execute it. Blocks come in height order, each once, their batches held.
    Committed {
        /// The header.
        header: Header,
        /// Its commit certificate.
        certificate: Certificate,
    },
    /// Obtain batches; answer with `BatchAvailable`. Asked again if they do not come.
    FetchBatches {
        /// Their digests.
        digests: Vec<Hash>,
        /// A validator that should hold them.
        from: ValidatorId,
    },
    /// Obtain decided blocks; answer with `Synced`. Asked again if they do not come.
    FetchBlocks {
        /// First height.
        first: Height,
        /// Last height.
        last: Height,
        /// A validator that claims to hold them.
        from: ValidatorId,
    },
    /// Two contradictory votes of one validator, both with valid signatures: submit them as a proposal.
    Evidence {
        /// The vote that came first.
        first: Box<Vote>,
        /// The other.
        second: Box<Vote>,
    },
    /// A peer sent something that no correct node sends.
    Misbehaviour {
        /// The peer.
        peer: ValidatorId,
        /// What it did.
        reason: &'static str,
    },
    /// Something that people or telemetry may want to know.
    Event(Event),
    /// A quorum certified a state root that this node did not compute: its state is damaged. Stop the node.
    Diverged {
        /// Height whose state differs.
        height: Height,
        /// The certified root.
        certified: Hash,
        /// This node's root.
        computed: Hash,
    },
}

/// Milestones, for telemetry and logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The engine voted to leave its view.
    ViewChangeStarted {
        /// The view it wants.
        target: View,
        /// Why.
        reason: &'static str,
    },
    /// The engine entered a view.
    ViewEntered {
        /// The view.
        view: View,
        /// Its leader.
        leader: ValidatorId,
    },
    /// The engine entered an epoch.
    EpochEntered {
        /// The epoch.
        epoch: Epoch,
    },
}
