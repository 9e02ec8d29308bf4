//! Errors as every surface reports them: a stable code for programs, a message for people.

use std::fmt;

use aegis_types::{Height, TypesError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The machine-readable part of an error. Codes are never renamed or given another meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// A field, parameter or document has not the form it must have.
    InvalidArgument,
    /// The proposal's kind is not known to this version.
    UnknownKind,
    /// A signature does not fit content, key and chain. Which of them is wrong cannot be told: a proposal does not name its
    /// chain, its signature covers it.
    BadSignature,
    /// The proposal's expiry has passed.
    Expired,
    /// The proposal's expiry lies further ahead than the network's parameter `proposal_lifetime_max_ms` allows.
    ExpiryTooFar,
    /// The request or a part of it is larger than allowed.
    TooLarge,
    /// What was asked for does not exist.
    NotFound,
    /// The path exists, but not with this HTTP method.
    MethodNotAllowed,
    /// The request contradicts an earlier one, such as an idempotency key that was used for another request.
    Conflict,
    /// The call needs the node's bearer token.
    Unauthenticated,
    /// The request comes from a web page of another origin, or names a host that this node does not serve.
    ForbiddenOrigin,
    /// A limit of load is reached; later it may work.
    Busy,
    /// The node cannot do this now or in its role.
    NotReady,
    /// The time was up before the result was known. Retrying with the same idempotency key is safe.
    OutcomeUnknown,
    /// The watcher read too slowly and was closed.
    SlowReader,
    /// The node starts, stops, or did not answer in time. Nothing was changed.
    Unavailable,
    /// It existed, and this node no longer holds it.
    Pruned,
    /// A fault of the node.
    Internal,
}

impl ErrorCode {
    /// All codes.
    pub const ALL: [Self; 18] = [
        Self::InvalidArgument,
        Self::UnknownKind,
        Self::BadSignature,
        Self::Expired,
        Self::ExpiryTooFar,
        Self::TooLarge,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::Unauthenticated,
        Self::ForbiddenOrigin,
        Self::Busy,
        Self::NotReady,
        Self::OutcomeUnknown,
        Self::SlowReader,
        Self::Unavailable,
        Self::Pruned,
        Self::Internal,
    ];

    /// The name in documents and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::UnknownKind => "unknown_kind",
            Self::BadSignature => "bad_signature",
            Self::Expired => "expired",
            Self::ExpiryTooFar => "expiry_too_far",
            Self::TooLarge => "too_large",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Conflict => "conflict",
            Self::Unauthenticated => "unauthenticated",
            Self::ForbiddenOrigin => "forbidden_origin",
            Self::Busy => "busy",
            Self::NotReady => "not_ready",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::SlowReader => "slow_reader",
            Self::Unavailable => "unavailable",
            Self::Pruned => "pruned",
            Self::Internal => "internal",
        }
    }

    /// A short title, the same for every error of the code.
    pub const fn title(self) -> &'static str {
        match self {
            Self::InvalidArgument => "The request is invalid",
            Self::UnknownKind => "The proposal kind is unknown",
            Self::BadSignature => "The signature is not valid",
            Self::Expired => "The proposal has expired",
            Self::ExpiryTooFar => "The proposal would expire too late",
            Self::TooLarge => "The request is too large",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "The method is not allowed here",
            Self::Conflict => "The request contradicts an earlier one",
            Self::Unauthenticated => "A token is needed",
            Self::ForbiddenOrigin => "The origin or host is not allowed",
            Self::Busy => "The node is busy",
            Self::NotReady => "The node is not ready",
            Self::OutcomeUnknown => "The outcome is unknown",
            Self::SlowReader => "The reader was too slow",
            Self::Unavailable => "The node is unavailable",
            Self::Pruned => "No longer held by this node",
            Self::Internal => "The node failed",
        }
    }

    /// Whether the same request may succeed later without a change.
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::Busy | Self::NotReady | Self::OutcomeUnknown | Self::SlowReader | Self::Unavailable
        )
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An error of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct ApiError {
    /// What kind of error it is, for programs.
    pub code: ErrorCode,
    /// What is wrong and what to do next, for people.
    pub message: String,
    /// The field or parameter that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Why a block would reject the proposal, as a stable code such as `vote-closed`: those that outcomes have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reject_code: Option<String>,
    /// Height to resume a watch from, or the oldest height that is still held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_from: Option<Height>,
    /// Milliseconds to wait before a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl ApiError {
    /// An error with a code and a message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            field: None,
            reject_code: None,
            resume_from: None,
            retry_after_ms: None,
        }
    }

    /// A field or parameter that is wrong.
    pub fn invalid(field: impl Into<String>, reason: impl fmt::Display) -> Self {
        let field = field.into();
        let message = format!("`{field}` is invalid: {reason}");
        Self { field: Some(field), ..Self::new(ErrorCode::InvalidArgument, message) }
    }

    /// Something that does not exist, such as `proposal 00..ff`.
    pub fn not_found(what: impl fmt::Display) -> Self {
        Self::new(ErrorCode::NotFound, format!("{what} does not exist here"))
    }

    /// A limit of load that is reached.
    pub fn busy(reason: impl fmt::Display, retry_after_ms: u64) -> Self {
        let message = format!("{reason}; nothing was done, try again in {retry_after_ms} ms");
        Self { retry_after_ms: Some(retry_after_ms), ..Self::new(ErrorCode::Busy, message) }
    }

    /// The time was up while a proposal was on its way.
    pub fn outcome_unknown(timeout_ms: u64) -> Self {
        let message =
            format!("outcome unknown after {timeout_ms} ms; retrying with the same idempotency key is safe");
        Self::new(ErrorCode::OutcomeUnknown, message)
    }

    /// A watcher that did not keep up. Everything before `resume_from` has been delivered.
    pub fn slow_reader(resume_from: Height) -> Self {
        let message = format!("the reader was too slow and is closed; watch again from height {resume_from}");
        Self { resume_from: Some(resume_from), ..Self::new(ErrorCode::SlowReader, message) }
    }

    /// Something that this node dropped; `oldest` is the first height that it still holds.
    pub fn pruned(what: impl fmt::Display, oldest: Height) -> Self {
        let message = format!(
            "{what} is not held by this node, which has blocks from {oldest} on: ask an archive node"
        );
        Self { resume_from: Some(oldest), ..Self::new(ErrorCode::Pruned, message) }
    }
}

impl From<TypesError> for ApiError {
    fn from(error: TypesError) -> Self {
        let message = error.to_string();
        match error {
            TypesError::UnknownKind { .. } => Self::new(ErrorCode::UnknownKind, message),
            TypesError::BadSignature { .. } => Self::new(ErrorCode::BadSignature, message),
            TypesError::TooLarge { what, .. } | TypesError::TooMany { what, .. } => {
                Self { field: Some(what.to_owned()), ..Self::new(ErrorCode::TooLarge, message) }
            }
            TypesError::Invalid { field, .. } => {
                Self { field: Some(field.to_owned()), ..Self::new(ErrorCode::InvalidArgument, message) }
            }
            TypesError::Undecodable { .. }
            | TypesError::NotCanonical { .. }
            | TypesError::NotAMember { .. }
            | TypesError::BelowQuorum { .. }
            | TypesError::TooFewMembers { .. }
            | TypesError::BadCore { .. }
            | TypesError::BadTolerance { .. }
            | TypesError::BadValidatorSet { .. } => Self::new(ErrorCode::InvalidArgument, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_listed_once_and_serialises_as_its_name() {
        for (index, code) in ErrorCode::ALL.iter().enumerate() {
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
            assert!(!ErrorCode::ALL[..index].contains(code), "{code} is listed twice");
        }
    }
}
