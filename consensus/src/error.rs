//! What can be wrong with a message or record.

use aegis_types::TypesError;

/// Why a message or record was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsensusError {
    /// The bytes or a value in them are malformed: the sender's fault.
    #[error("a consensus message is malformed: {0}")]
    Malformed(#[from] TypesError),
    /// The message breaks a rule of the protocol: the sender's fault.
    #[error("a consensus message breaks the protocol: {0}")]
    Invalid(&'static str),
}
