//! What must be durable before it is sent.

use aegis_types::{Certificate, Epoch, Header, Vote};

use crate::error::ConsensusError;
use crate::message::{NewView, ViewChange};
use crate::wire;

/// An entry of the vote journal. Together the records of an epoch restore every promise that this validator made in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The own Prepare vote, with the accepted header.
    Prepared {
        /// The header.
        header: Header,
        /// The vote.
        vote: Vote,
    },
    /// The own Commit vote, with the header and its prepared certificate.
    Committing {
        /// The header.
        header: Header,
        /// The prepared certificate.
        certificate: Certificate,
        /// The vote.
        vote: Vote,
    },
    /// The own ViewChange: no vote in lower views after this.
    ViewChange(ViewChange),
    /// The view that was entered, with the plan's proof.
    NewView(NewView),
}

impl Record {
    /// The epoch in which the promise binds.
    pub fn epoch(&self) -> Epoch {
        match self {
            Self::Prepared { vote, .. } | Self::Committing { vote, .. } => vote.content.epoch,
            Self::ViewChange(message) => message.epoch,
            Self::NewView(message) => message.epoch,
        }
    }

    /// The record's bytes for the journal.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode_record(self)
    }

    /// Reads a record from the journal's bytes.
    ///
    /// # Errors
    /// `Malformed` when the bytes are no record: the journal's checksum should have caught that.
    pub fn decode(bytes: &[u8]) -> Result<Self, ConsensusError> {
        wire::decode_record(bytes)
    }
}
