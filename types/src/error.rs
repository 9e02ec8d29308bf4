//! What can be wrong with a value that came from outside.
#![allow(missing_docs, reason = "the messages name every field")]

use crate::ids::ValidatorId;

/// Why a value was refused. Every variant is the sender's fault; none says anything about this node's own state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypesError {
    /// The bytes are no protobuf message of the expected type.
    #[error("{what} cannot be decoded: {reason}")]
    Undecodable { what: &'static str, reason: String },
    /// The bytes decode, but are not the canonical encoding of what they decode to.
    #[error(
        "{what} is not in canonical form: encode it again with fields in order and without unknown fields"
    )]
    NotCanonical { what: &'static str },
    /// A message or field is larger than allowed.
    #[error("{what} has {actual} bytes; at most {limit} are allowed")]
    TooLarge { what: &'static str, actual: usize, limit: usize },
    /// A list is longer than allowed.
    #[error("{what} has {actual} entries; at most {limit} are allowed")]
    TooMany { what: &'static str, actual: usize, limit: usize },
    /// A field does not have the form it must have.
    #[error("{field} is invalid: {reason}")]
    Invalid { field: &'static str, reason: String },
    /// The kind of a proposal is not known to this version.
    #[error("unknown proposal kind `{kind}`; known kinds are {known}")]
    UnknownKind { kind: String, known: String },
    /// A signature does not match.
    #[error("the signature of the {what} is not valid for this content, key and chain")]
    BadSignature { what: &'static str },
    /// A vote set or certificate names somebody outside the validator set.
    #[error("{validator} is not a member of the validator set")]
    NotAMember { validator: ValidatorId },
    /// A certificate's weight is below the quorum.
    #[error("the certificate carries weight {weight}, a quorum needs {quorum}")]
    BelowQuorum { weight: u64, quorum: u64 },
    /// No weights other than equal ones keep `t` members below a third.
    #[error(
        "a fault tolerance of {tolerance} needs at least {needed} members and there are {members}; lower \
         `fault_tolerance` or add members"
    )]
    TooFewMembers { members: usize, tolerance: u32, needed: u64 },
    /// A core outside `2t + 1..=n`.
    #[error(
        "a core of {core} is not possible; with fault tolerance {tolerance} and {members} members use {smallest} to \
         {members}"
    )]
    BadCore { core: u32, tolerance: u32, members: usize, smallest: u64 },
    /// A name that is no fault tolerance.
    #[error(
        "`{text}` is no fault tolerance; use `safe`, `fast` or a number of members from 1 on, such as `2`"
    )]
    BadTolerance { text: String },
    /// A validator set breaks one of its rules.
    #[error("the validator set is invalid: {reason}")]
    BadValidatorSet { reason: String },
}

impl TypesError {
    /// A field with the wrong form.
    pub fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid { field, reason: reason.into() }
    }
}
