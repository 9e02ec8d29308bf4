//! What can be wrong with a value that this crate is given.
#![allow(missing_docs, reason = "the messages name every field")]

use aegis_types::{TypesError, ValidatorId};

/// Why something was refused. Each is the fault of whoever made the value; none says anything about this node's own
/// state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetricsError {
    /// A row whose length is not the number of members.
    #[error(
        "a row has {actual} entries and there are {expected} members; build it from the epoch's validator set"
    )]
    BadRow { expected: usize, actual: usize },
    /// A report of another epoch.
    #[error(
        "the report is of epoch {actual} and this is epoch {expected}; report again in the current epoch"
    )]
    WrongEpoch { expected: u64, actual: u64 },
    /// A report whose height lies outside the allowed range.
    #[error("the report stands at height {actual}; {lowest} to {highest} are current, so make a new one")]
    StaleHeight { lowest: u64, highest: u64, actual: u64 },
    /// A report whose number does not rise.
    #[error(
        "report {actual} of {reporter} does not come after report {previous}; number each one higher than the last"
    )]
    OldSequence { reporter: ValidatorId, previous: u64, actual: u64 },
    /// Two reports that do not contradict each other.
    #[error("the two reports prove nothing: {reason}")]
    NoEvidence { reason: &'static str },
    /// An encoding, signature or field that the vocabulary refuses.
    #[error(transparent)]
    Types(#[from] TypesError),
}
