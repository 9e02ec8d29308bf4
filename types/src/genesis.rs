//! The genesis: what all nodes of a network start from.

use crate::canonical::{Canonical, Limits};
use crate::crypto::{ChainId, Domain, check_validator_key};
use crate::error::TypesError;
use crate::hash::Hash;
use crate::ids::{Epoch, ValidatorId};
use crate::parameters::{Parameter, Parameters};
use crate::proto;
use crate::validators::ValidatorSet;

/// Chain, first validator set and first parameters. Its hash is part of every signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// The network's name.
    pub chain: ChainId,
    /// Agreed time at height 0, in milliseconds of the Unix epoch.
    pub timestamp_ms: u64,
    /// The validators of epoch 0.
    pub validators: ValidatorSet,
    /// The parameters of epoch 0.
    pub parameters: Parameters,
}

impl Genesis {
    /// The hash that names the network, and the parent of its first block.
    pub fn hash(&self) -> Hash {
        Hash::of("aegis v1 genesis", &self.encode())
    }

    /// Checks that the parameters fit the validators: see [`Parameters::check_weight_policy`].
    ///
    /// # Errors
    /// `TooFewMembers` or `BadCore`.
    pub fn check(&self) -> Result<(), TypesError> {
        self.parameters.check_weight_policy(self.validators.len())
    }

    /// The domain of all signatures of this network.
    pub fn domain(&self) -> Domain {
        Domain::new(self.chain.clone(), self.hash())
    }
}

impl Canonical for Genesis {
    type Proto = proto::Genesis;
    const NAME: &'static str = "genesis";
    const MAX_BYTES: usize = 4096 + 64 * Limits::VALIDATORS;

    fn to_proto(&self) -> Self::Proto {
        let parameter = |(parameter, value): (Parameter, u64)| proto::Parameter {
            name: parameter.name().to_owned(),
            value,
        };
        proto::Genesis {
            chain: self.chain.as_str().to_owned(),
            timestamp_ms: self.timestamp_ms,
            validators: self.validators.to_proto().members,
            parameters: self.parameters.changed().map(parameter).collect(),
        }
    }

    fn from_proto(proto: Self::Proto) -> Result<Self, TypesError> {
        let mut parameters = Parameters::default();
        let mut names: Vec<Parameter> = Vec::with_capacity(Parameter::ALL.len());
        for entry in &proto.parameters {
            let parameter = entry.name.parse()?;
            if names.last().is_some_and(|last| *last >= parameter) {
                return Err(TypesError::invalid(
                    "genesis parameters",
                    "they are not in order of name, each once",
                ));
            }
            names.push(parameter);
            parameters.set(parameter, entry.value)?;
        }
        for member in &proto.validators {
            check_validator_key(&ValidatorId::from_slice(&member.validator)?)?;
        }
        let set =
            proto::ValidatorSet { epoch: Epoch::ZERO.0, members: proto.validators, leaders: Vec::new() };
        let genesis = Self {
            chain: proto.chain.parse()?,
            timestamp_ms: proto.timestamp_ms,
            validators: ValidatorSet::from_proto(set)?,
            parameters,
        };
        if genesis.parameters.changed().count() != proto.parameters.len() {
            return Err(TypesError::invalid("genesis parameters", "one stands at its default: leave it out"));
        }
        genesis.check()?;
        Ok(genesis)
    }
}
