//! Answers to "are you well?".

use aegis_types::{ChainId, Epoch, Height, ValidatorId, View, Weight};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether the node can serve reads and take proposals now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// It can.
    pub ready: bool,
    /// Why not, one sentence each; empty when it can.
    pub reasons: Vec<String>,
}

impl Readiness {
    /// The node can.
    pub fn ready() -> Self {
        Self { ready: true, reasons: Vec::new() }
    }

    /// The node cannot, for these reasons.
    pub fn not_ready(reasons: Vec<String>) -> Self {
        Self { ready: false, reasons }
    }
}

/// The reply of `/api/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok` or `not_ready`.
    pub status: String,
    /// Version of the node's program.
    pub version: String,
    /// Whether the node can serve reads and take proposals now, and why not.
    pub readiness: Readiness,
}

/// The network in a few figures, as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkStatus {
    /// The chain's name.
    #[schema(value_type = String)]
    pub chain_id: ChainId,
    /// The answering node.
    #[schema(value_type = String)]
    pub node_id: ValidatorId,
    /// Height of the newest committed block.
    #[schema(value_type = u64)]
    pub height: Height,
    /// The epoch.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// The view.
    #[schema(value_type = u64)]
    pub view: View,
    /// The view's leader; absent while none is known.
    #[schema(value_type = Option<String>)]
    pub leader: Option<ValidatorId>,
    /// Connected peers of this node.
    pub peers: u32,
    /// Members of the epoch's validator set.
    pub validators: u32,
    /// Members that were seen voting recently.
    pub validators_alive: u32,
    /// Weight of those.
    #[schema(value_type = u64)]
    pub weight_alive: Weight,
    /// Weight that decides.
    #[schema(value_type = u64)]
    pub quorum: Weight,
    /// Weight of all members.
    #[schema(value_type = u64)]
    pub total_weight: Weight,
    /// Whether the living weight reaches the quorum, so that the network can decide.
    pub can_decide: bool,
    /// Whether this node is catching up.
    pub syncing: bool,
}
