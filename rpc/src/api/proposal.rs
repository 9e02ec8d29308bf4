//! What is known about proposals.

use aegis_types::{AccountId, Height, Kind, ProposalId, ValidatorId, Weight};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::ProposalBodyJson;

/// Where a proposal is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProposalState {
    /// Checked by this node, not yet in a committed block.
    Admitted,
    /// An immediate proposal that took effect.
    Applied,
    /// Ordered, and without effect; the outcome says why.
    Rejected,
    /// A voted proposal on which the vote is open.
    Open,
    /// A voted proposal that passed and was carried out; the outcome says how.
    Passed,
    /// A voted proposal that can no longer pass, or did not by its deadline.
    Failed,
}

impl ProposalState {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Admitted, Self::Applied, Self::Rejected, Self::Open, Self::Passed, Self::Failed];

    /// The name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Applied => "applied",
            Self::Rejected => "rejected",
            Self::Open => "open",
            Self::Passed => "passed",
            Self::Failed => "failed",
        }
    }
}

/// What execution made of a proposal. The same on every node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// The proposal's state after it.
    pub state: ProposalState,
    /// A stable code, such as `version_mismatch`; absent when all went well.
    pub code: Option<String>,
    /// What happened, in words.
    pub message: String,
    /// The key's version after a write.
    pub version: Option<u64>,
}

/// The weights of a vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tally {
    /// Weight of yes.
    #[schema(value_type = u64)]
    pub yes: Weight,
    /// Weight of no.
    #[schema(value_type = u64)]
    pub no: Weight,
    /// Weight of all validators at the tallying height.
    #[schema(value_type = u64)]
    pub total: Weight,
    /// The smallest weight of yes that passes.
    #[schema(value_type = u64)]
    pub needed: Weight,
}

/// A validator's vote on a voted proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CastVote {
    /// Who voted.
    #[schema(value_type = String)]
    pub validator: ValidatorId,
    /// Its weight at the tallying height.
    #[schema(value_type = u64)]
    pub weight: Weight,
    /// Yes or no.
    pub approve: bool,
    /// Height of the block with the vote.
    #[schema(value_type = u64)]
    pub height: Height,
}

/// A step in a proposal's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryEntry {
    /// Height of the block in which it happened; 0 for what happened before ordering.
    #[schema(value_type = u64)]
    pub height: Height,
    /// Agreed time of that block, in milliseconds of the Unix epoch.
    pub timestamp_ms: u64,
    /// What happened, in words.
    pub event: String,
}

/// Everything that is known about a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProposalDetail {
    /// Its name.
    #[schema(value_type = String)]
    pub id: ProposalId,
    /// Who signed it.
    #[schema(value_type = String)]
    pub account: AccountId,
    /// Kind and body.
    #[serde(flatten)]
    pub body: ProposalBodyJson,
    /// Its idempotency key.
    pub idempotency_key: String,
    /// Agreed time from which on it has no effect, in milliseconds of the Unix epoch.
    pub expires_at_ms: u64,
    /// Where it is in its life.
    pub state: ProposalState,
    /// Height of its block, once ordered.
    #[schema(value_type = Option<u64>)]
    pub height: Option<Height>,
    /// Its position among all proposals of the block, from 0.
    pub position: Option<u32>,
    /// What execution made of it.
    pub outcome: Option<Outcome>,
    /// The weights of the vote, for a voted kind that was ordered.
    pub tally: Option<Tally>,
    /// The votes in order of arrival, at most one per validator.
    pub votes: Vec<CastVote>,
    /// Agreed time at which an open vote fails, in milliseconds of the Unix epoch.
    pub deadline_ms: Option<u64>,
    /// What happened to it, oldest first.
    pub history: Vec<HistoryEntry>,
}

/// A proposal in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProposalSummary {
    /// Its name.
    #[schema(value_type = String)]
    pub id: ProposalId,
    /// Who signed it.
    #[schema(value_type = String)]
    pub account: AccountId,
    /// Its kind.
    #[schema(value_type = String)]
    pub kind: Kind,
    /// What it is about, in one line: a key, a title, a validator.
    pub subject: String,
    /// Where it is in its life.
    pub state: ProposalState,
    /// Height of its block, once ordered.
    #[schema(value_type = Option<u64>)]
    pub height: Option<Height>,
    /// Its position among all proposals of the block, from 0.
    pub position: Option<u32>,
    /// The weights of the vote, for a voted kind that was ordered.
    pub tally: Option<Tally>,
    /// Agreed time at which an open vote fails, in milliseconds of the Unix epoch.
    pub deadline_ms: Option<u64>,
}

/// Which proposals a list has; absent fields do not filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProposalFilter {
    /// Only this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Only in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ProposalState>,
    /// Only by this account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// Only in the block of this height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<Height>,
}
