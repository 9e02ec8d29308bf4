//! What the network has agreed on besides values and proposals: parameters and evidence.

use aegis_types::{Epoch, Height, Parameter, ProposalId, ValidatorId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An agreed parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ParameterInfo {
    /// Its name, as `param.set` takes it.
    #[schema(value_type = String)]
    pub name: Parameter,
    /// The value in force. Names that end in `_ms` are milliseconds.
    pub value: u64,
    /// The value from the next epoch on, when a vote has set another one.
    pub next_epoch_value: Option<u64>,
    /// The value of a network whose genesis does not say.
    pub default: u64,
    /// Smallest value.
    pub min: u64,
    /// Largest value.
    pub max: u64,
    /// What it means.
    pub description: String,
}

impl ParameterInfo {
    /// A parameter with its values.
    pub fn new(name: Parameter, value: u64, next_epoch_value: Option<u64>) -> Self {
        let range = name.range();
        Self {
            name,
            value,
            next_epoch_value,
            default: range.default,
            min: range.min,
            max: range.max,
            description: name.description().to_owned(),
        }
    }
}

/// Evidence on record: a validator voted for two blocks at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EvidenceInfo {
    /// Who equivocated.
    #[schema(value_type = String)]
    pub validator: ValidatorId,
    /// In which epoch.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// The proposal that carries the two votes.
    #[schema(value_type = String)]
    pub proposal: ProposalId,
    /// The block that ordered it.
    #[schema(value_type = u64)]
    pub height: Height,
}
