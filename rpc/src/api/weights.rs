//! Voting weights: what they are, how they came about, and what they trade.

use aegis_types::{Epoch, ValidatorId, Weight};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::encoded::EncodedBytes;

/// The current epoch's weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Weights {
    /// The epoch.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// Who decides them: `fixed`, `measured` or `equal`.
    pub mode: String,
    /// The agreed fault tolerance: `safe`, `fast` or a number of members.
    pub fault_tolerance: String,
    /// The members in ascending order of id.
    pub members: Vec<WeightMember>,
    /// What these weights trade.
    pub trade: TradeInfo,
    /// The epochs whose weights can be explained; absent when none can.
    pub on_record: Option<EpochRange>,
}

/// Epochs from one to another, both among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EpochRange {
    /// The oldest.
    #[schema(value_type = u64)]
    pub oldest: Epoch,
    /// The newest.
    #[schema(value_type = u64)]
    pub newest: Epoch,
}

/// A member's weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WeightMember {
    /// The validator.
    #[schema(value_type = String)]
    pub id: ValidatorId,
    /// The name that the genesis gives it.
    pub name: Option<String>,
    /// Its weight.
    #[schema(value_type = u64)]
    pub weight: Weight,
    /// Its part of the total weight, 0 to 1. For display; nothing is decided by it.
    pub share: f64,
    /// Whether it is in the core; absent while weights are fixed.
    pub in_core: Option<bool>,
    /// Epochs of membership without proof of equivocation; absent while weights are fixed.
    pub clean_epochs: Option<u32>,
    /// Its place among those that lead, from 0; absent when it does not, or all lead in proportion to their weights.
    pub leader_rank: Option<u64>,
}

/// What weights trade, computed exactly from the weights themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TradeInfo {
    /// Number of members.
    pub members: u64,
    /// Weight of all members.
    #[schema(value_type = u64)]
    pub total: Weight,
    /// Weight that decides.
    #[schema(value_type = u64)]
    pub quorum: Weight,
    /// Members that may fail in any way, whichever they are.
    pub arbitrary_faults: u64,
    /// The same with equal weights.
    pub arbitrary_faults_equal: u64,
    /// Weight that may fail in any way.
    #[schema(value_type = u64)]
    pub weight_may_fail: Weight,
    /// Crashes at one time that are always survived, whichever members crash.
    pub simultaneous_crashes: u64,
    /// Most crashes at one time that can be survived: the lightest members.
    pub simultaneous_crashes_lightest: u64,
    /// Crashes survived at one per epoch, the heaviest member each time.
    pub sequential_crashes: u64,
}

/// How the weights of an epoch came about. Computed again from the agreed measurements on record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WeightsExplained {
    /// The epoch that the weights are for.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// Whether the rule gives the weights that the epoch had. If not, this node's state is damaged.
    pub is_confirmed: bool,
    /// Each term of each member, and where each limit bit.
    pub explanation: WeightExplanation,
    /// Canonical encoding of what the rule read: the agreed measurements of the epoch before.
    #[schema(value_type = String)]
    pub input_base64: EncodedBytes,
    /// Canonical encoding of the validator set that the epoch had.
    #[schema(value_type = String)]
    pub validators_base64: EncodedBytes,
}

/// The rule's way from measurements to weights. Shares are in millionths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WeightExplanation {
    /// Fault tolerance and core size; absent when they do not fit the number of members.
    pub policy: Option<PolicyInfo>,
    /// Why the weights are equal instead of the rule's: an object with `reason` and its figures.
    #[schema(value_type = Option<Object>)]
    pub fallback: Option<serde_json::Value>,
    /// The median of the sanitised round-trip times, in microseconds.
    pub median_rtt_us: u32,
    /// Agreed median commit latency of the epoch before, in microseconds.
    pub commit_latency_us: Option<u32>,
    /// Nobody has more.
    #[schema(value_type = u64)]
    pub cap: Weight,
    /// The members in ascending order of id.
    pub nodes: Vec<WeightTerms>,
    /// The core, best first; empty when weights are equal for a reason.
    #[schema(value_type = Vec<String>)]
    pub core: Vec<ValidatorId>,
    /// Who leads, in the order of views; empty when all lead in proportion to their weights.
    #[schema(value_type = Vec<String>)]
    pub leaders: Vec<ValidatorId>,
    /// What the weights trade.
    pub trade: TradeInfo,
}

/// Fault tolerance and core size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyInfo {
    /// Members that may fail in any way.
    pub fault_tolerance: u32,
    /// Members that gather weight.
    pub core_size: u32,
}

/// One member's way from terms to weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WeightTerms {
    /// The validator.
    #[schema(value_type = String)]
    pub validator: ValidatorId,
    /// The terms of its level.
    pub terms: LevelInfo,
    /// Whether an agreed report of it entered.
    pub reported: bool,
    /// Its level.
    pub level: u32,
    /// What was added to its level for being in the core already.
    pub hysteresis: u32,
    /// Why it cannot be in the core; empty when it can.
    pub ineligible: Vec<String>,
    /// Its place among the eligible, from 0.
    pub rank: Option<u64>,
    /// Whether it is in the core.
    pub in_core: bool,
    /// Its weight before.
    #[schema(value_type = u64)]
    pub before: Weight,
    /// What it aims at.
    #[schema(value_type = u64)]
    pub target: Weight,
    /// Its weight after growth.
    #[schema(value_type = u64)]
    pub grown: Weight,
    /// Whether growth was limited to twofold.
    pub growth_limited: bool,
    /// Whether the cap took something away.
    pub capped: bool,
    /// Its weight.
    #[schema(value_type = u64)]
    pub after: Weight,
    /// Its epochs of membership without proof of equivocation, for the next time.
    pub clean_epochs_after: u32,
}

/// The terms of a level, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LevelInfo {
    /// Share of the drawn heights with its vote.
    pub participation: u32,
    /// Agreement in time with the weighted quorum.
    pub coherence: u32,
    /// Likeness of the two halves of its window; its own word.
    pub stability: Option<u32>,
    /// Distance from its peers; its own word.
    pub divergence: Option<u32>,
    /// How typical its phi is among the members'.
    pub typicality: Option<u32>,
}
