//! Why something was not accepted.

use aegis_types::{Epoch, Hash, TypesError};

/// What is wrong with what the light client was given. It is unchanged after every one of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LightError {
    /// The header or handover belongs to another epoch than the one that the client has reached.
    #[error(
        "the {what} is of epoch {actual}, but the validators followed so far are those of epoch {expected}; follow the handover \
         of each epoch in turn, and start at the genesis for an earlier one"
    )]
    WrongEpoch {
        /// `header` or `handover`.
        what: &'static str,
        /// The client's epoch.
        expected: Epoch,
        /// The epoch given.
        actual: Epoch,
    },
    /// A handover does not show who may sign next.
    #[error("the handover of epoch {epoch} does not hold: {reason}; ask another node for it")]
    BadHandover {
        /// The epoch that it should end.
        epoch: Epoch,
        /// What is wrong with it.
        reason: TypesError,
    },
    /// The header was not decided by its epoch's validators.
    #[error("the header is not certified: {reason}; ask another node")]
    NotCertified {
        /// What is wrong with it.
        reason: TypesError,
    },
    /// The proof does not lead from the certified state to the value.
    #[error("the value is not proved: {reason}; ask another node")]
    NotProved {
        /// What is wrong with it.
        reason: TypesError,
    },
    /// The proof file is about another network.
    #[error(
        "the proof is about the network with genesis {actual}, not about the one with genesis {expected}"
    )]
    OtherGenesis {
        /// Hash of the genesis that is trusted.
        expected: Hash,
        /// Hash that the file names.
        actual: Hash,
    },
    /// The proof leaves out the handovers before an epoch, and the client has not reached that epoch.
    #[error(
        "the proof begins at epoch {first}, and the validators known are those of epoch {reached}: it can be checked only from \
         a checkpoint of epoch {first} or a later one, up to the proof's own"
    )]
    NeedsCheckpoint {
        /// The epoch of its first handover.
        first: Epoch,
        /// The client's epoch.
        reached: Epoch,
    },
    /// The file is no checkpoint.
    #[error("the checkpoint cannot be read: {reason}")]
    BadCheckpoint {
        /// What is wrong with it.
        reason: String,
    },
    /// The proof file is larger than any proof.
    #[error(
        "the proof file has {actual} bytes, at most {limit} are read; a chain of handovers as long as that does not fit: leave \
         out those before a checkpoint"
    )]
    FileTooLarge {
        /// Its size in bytes.
        actual: usize,
        /// Most bytes.
        limit: usize,
    },
    /// The file was written by another version.
    #[error(
        "the proof file has version {actual}; this program reads versions up to {expected}: use a newer program"
    )]
    OtherVersion {
        /// The newest version that this program reads.
        expected: u32,
        /// The file's.
        actual: u32,
    },
    /// The file is no proof file.
    #[error("the proof file cannot be read: {reason}")]
    BadFile {
        /// What is wrong with it.
        reason: String,
    },
}
