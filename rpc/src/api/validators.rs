//! The validator set as a node sees it.

use aegis_types::{Epoch, Height, ProposalId, ValidatorId, Weight};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The epoch's validator set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Validators {
    /// The epoch.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// Weight of all members.
    #[schema(value_type = u64)]
    pub total_weight: Weight,
    /// Weight that decides.
    #[schema(value_type = u64)]
    pub quorum: Weight,
    /// Weight that may fail in any way.
    #[schema(value_type = u64)]
    pub max_faulty: Weight,
    /// The members in ascending order of id.
    pub members: Vec<ValidatorInfo>,
    /// What changes at the epoch's end.
    pub pending: Vec<PendingValidator>,
}

/// A change of the set that waits for the epoch's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PendingValidator {
    /// Whom it concerns.
    #[schema(value_type = String)]
    pub id: ValidatorId,
    /// Its new weight; absent when it leaves.
    #[schema(value_type = Option<u64>)]
    pub weight: Option<Weight>,
    /// Whether it leaves because it equivocated.
    pub is_offender: bool,
    /// The voted or evidence proposal that brought it about.
    #[schema(value_type = String)]
    pub proposal: ProposalId,
}

/// A member of the set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ValidatorInfo {
    /// The validator's public key.
    #[schema(value_type = String)]
    pub id: ValidatorId,
    /// The name that the genesis gives it.
    pub name: Option<String>,
    /// Its voting weight.
    #[schema(value_type = u64)]
    pub weight: Weight,
    /// Its part of the total weight, 0 to 1. For display; nothing is decided by it.
    pub share: f64,
    /// Whether it leads the view.
    pub is_leader: bool,
    /// Whether it is the answering node.
    pub is_self: bool,
    /// Whether the answering node is connected to it.
    pub connected: bool,
    /// Highest block that it was seen to vote for.
    #[schema(value_type = Option<u64>)]
    pub last_voted_height: Option<Height>,
    /// Whether it was seen voting recently.
    pub alive: bool,
}
