//! Submitting proposals.

use aegis_types::{Height, Parameter, ProposalBody, ProposalId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::block::CertificateInfo;
use super::body::ProposalBodyJson;
use super::encoded::EncodedBytes;
use super::error::ApiError;
use super::proposal::Outcome;

/// What a submission waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// Until the proposal is in a committed and executed block: the reply has height, outcome and certificate.
    #[default]
    Commit,
    /// Until the node has checked and admitted it. It is held in this node's memory only until a block orders it: should the
    /// node stop before that, it may be lost, so ask for its outcome or wait for the commit.
    Admit,
    /// Not at all: the reply says only that the node has taken the request.
    None,
}

/// A proposal to submit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Signed by an account: the canonical encoding, not yet looked at.
    Signed(Vec<u8>),
    /// To be signed by the node for its own account.
    ByNode {
        /// What it asks for; checked.
        body: ProposalBody,
        /// The idempotency key; client or surface make a random one when it is absent, so a node always gets one.
        idempotency_key: Option<String>,
        /// The proposal has no effect later than this, in milliseconds from now; checked to be 1 to
        /// [`Submit::EXPIRY_MS_MAX`]. When it is absent the node chooses: [`Submit::EXPIRY_MS_DEFAULT`], or less where the
        /// network's parameters ask for it.
        expires_in_ms: Option<u64>,
    },
}

/// A submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submit {
    /// The proposal.
    pub payload: Payload,
    /// What to wait for.
    pub wait: Wait,
    /// How long to wait, in milliseconds; checked to be 1 to [`Submit::TIMEOUT_MS_MAX`].
    pub timeout_ms: u64,
}

impl Submit {
    /// How long a submission waits when the client does not say: some view changes fit in.
    pub const TIMEOUT_MS_DEFAULT: u64 = 30_000;
    /// Longest wait; a client that needs longer asks for the proposal again by its id.
    pub const TIMEOUT_MS_MAX: u64 = 300_000;
    /// How long a node-signed proposal stays valid at most when the client does not say.
    pub const EXPIRY_MS_DEFAULT: u64 = 600_000;
    /// Longest validity of a node-signed proposal: what no network's `proposal_lifetime_max_ms` exceeds.
    pub const EXPIRY_MS_MAX: u64 = Parameter::ProposalLifetimeMaxMs.range().max;

    /// Submits a signed proposal and waits for its commit.
    pub fn signed(encoding: Vec<u8>) -> Self {
        Self { payload: Payload::Signed(encoding), wait: Wait::Commit, timeout_ms: Self::TIMEOUT_MS_DEFAULT }
    }

    /// Has the node sign for its own account, and waits for the commit.
    pub fn by_node(body: ProposalBody) -> Self {
        let payload = Payload::ByNode { body, idempotency_key: None, expires_in_ms: None };
        Self { payload, wait: Wait::Commit, timeout_ms: Self::TIMEOUT_MS_DEFAULT }
    }

    /// Checks the bounds of times.
    ///
    /// # Errors
    /// `invalid_argument`, naming the field.
    pub fn check(&self) -> Result<(), ApiError> {
        check_timeout(self.timeout_ms)?;
        match &self.payload {
            Payload::ByNode { expires_in_ms: Some(chosen), .. } => {
                check_range("expires_in_ms", *chosen, Self::EXPIRY_MS_MAX)
            }
            Payload::ByNode { expires_in_ms: None, .. } | Payload::Signed(_) => Ok(()),
        }
    }
}

/// Checks how long a submission or vote is to wait.
///
/// # Errors
/// `invalid_argument`.
pub(crate) fn check_timeout(timeout_ms: u64) -> Result<(), ApiError> {
    check_range("timeout_ms", timeout_ms, Submit::TIMEOUT_MS_MAX)
}

fn check_range(field: &str, value: u64, max: u64) -> Result<(), ApiError> {
    if (1..=max).contains(&value) {
        Ok(())
    } else {
        Err(ApiError::invalid(field, format_args!("{value} is outside 1 to {max} milliseconds")))
    }
}

/// The JSON form of [`Submit`]: either `signed_base64`, or `proposal` and what belongs to it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitJson {
    /// A signed proposal in canonical encoding, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub signed_base64: Option<EncodedBytes>,
    /// A proposal that the node signs for its own account; needs the bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<ProposalBodyJson>,
    /// With `proposal`: of all proposals of the account with one key, the first takes effect. 1 to 64 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// With `proposal`: how long it stays valid, in milliseconds; the node chooses some minutes when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
    /// What to wait for.
    #[serde(default)]
    pub wait: Wait,
    /// How long to wait, in milliseconds.
    #[serde(default = "default_timeout")]
    pub timeout_ms: u64,
}

pub(crate) fn default_timeout() -> u64 {
    Submit::TIMEOUT_MS_DEFAULT
}

impl TryFrom<SubmitJson> for Submit {
    type Error = ApiError;

    fn try_from(json: SubmitJson) -> Result<Self, ApiError> {
        let SubmitJson { signed_base64, proposal, idempotency_key, expires_in_ms, wait, timeout_ms } = json;
        let payload = match (signed_base64, proposal) {
            (Some(EncodedBytes(encoding)), None) => {
                if idempotency_key.is_some() || expires_in_ms.is_some() {
                    return Err(ApiError::invalid(
                        "signed_base64",
                        "a signed proposal carries its own idempotency key and expiry; leave those fields out",
                    ));
                }
                Payload::Signed(encoding)
            }
            (None, Some(proposal)) => {
                Payload::ByNode { body: proposal.to_body()?, idempotency_key, expires_in_ms }
            }
            (None, None) | (Some(_), Some(_)) => {
                return Err(ApiError::invalid(
                    "proposal",
                    "give either `signed_base64` or `proposal`, one of the two",
                ));
            }
        };
        Ok(Self { payload, wait, timeout_ms })
    }
}

impl From<Submit> for SubmitJson {
    fn from(submit: Submit) -> Self {
        let Submit { payload, wait, timeout_ms } = submit;
        match payload {
            Payload::Signed(encoding) => Self {
                signed_base64: Some(EncodedBytes(encoding)),
                proposal: None,
                idempotency_key: None,
                expires_in_ms: None,
                wait,
                timeout_ms,
            },
            Payload::ByNode { body, idempotency_key, expires_in_ms } => Self {
                signed_base64: None,
                proposal: Some(ProposalBodyJson::from(&body)),
                idempotency_key,
                expires_in_ms,
                wait,
                timeout_ms,
            },
        }
    }
}

/// A vote with the node's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoteRequest {
    /// Yes or no.
    pub approve: bool,
    /// What to wait for.
    #[serde(default)]
    pub wait: Wait,
    /// How long to wait, in milliseconds.
    #[serde(default = "default_timeout")]
    pub timeout_ms: u64,
}

/// How far a submission has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SubmissionState {
    /// The node has taken the request and has not looked at it.
    Received,
    /// The proposal is valid and waits to be ordered.
    Admitted,
    /// The proposal is in a committed and executed block.
    Committed,
}

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Submission {
    /// The proposal's name.
    #[schema(value_type = String)]
    pub id: ProposalId,
    /// Its idempotency key.
    pub idempotency_key: String,
    /// How far it has come.
    pub state: SubmissionState,
    /// Height of its block, once committed.
    #[schema(value_type = Option<u64>)]
    pub height: Option<Height>,
    /// Its position among all proposals of the block, from 0.
    pub position: Option<u32>,
    /// What it did, once committed.
    pub outcome: Option<Outcome>,
    /// The block's commit certificate, once committed.
    pub certificate: Option<CertificateInfo>,
    /// Whether an earlier submission with the same account and key gave this result.
    pub duplicate: bool,
    /// Time from the request to this reply, in milliseconds.
    pub elapsed_ms: u64,
}
