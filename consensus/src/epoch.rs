//! What an engine knows about the epoch it votes in and about the block it stands on.

use aegis_types::{Certificate, Genesis, Hash, Header, Height, Parameter, Parameters, ValidatorSet};

/// Validators, parameters and end of an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochContext {
    /// The validators that vote in it.
    pub validators: ValidatorSet,
    /// The parameters that hold in it.
    pub parameters: Parameters,
    /// Agreed time at which it began: the timestamp of the last block of the epoch before, or of the genesis.
    pub start_ms: u64,
}

impl EpochContext {
    /// Epoch 0.
    pub fn genesis(genesis: &Genesis) -> Self {
        Self {
            validators: genesis.validators.clone(),
            parameters: genesis.parameters.clone(),
            start_ms: genesis.timestamp_ms,
        }
    }

    /// Agreed time from which on a block is the closing one.
    pub fn end_ms(&self) -> u64 {
        self.start_ms.saturating_add(self.parameters.get(Parameter::EpochLengthMs))
    }

    /// How many blocks above the tip may be in agreement.
    pub fn window(&self) -> u64 {
        self.parameters.get(Parameter::Window)
    }
}

/// What executing a closing block yields for the epoch after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextEpoch {
    /// The next validator set.
    pub validators: ValidatorSet,
    /// The parameters of the next epoch.
    pub parameters: Parameters,
}

/// The newest committed block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// Its height; 0 for the genesis.
    pub height: Height,
    /// Its digest; the genesis hash for the genesis.
    pub digest: Hash,
    /// Its timestamp.
    pub timestamp_ms: u64,
    /// Header and commit certificate; none for the genesis.
    pub block: Option<(Header, Certificate)>,
}

impl Tip {
    /// The tip of a network without blocks.
    pub fn genesis(genesis: &Genesis) -> Self {
        Self { height: Height::ZERO, digest: genesis.hash(), timestamp_ms: genesis.timestamp_ms, block: None }
    }

    /// The tip after a committed block.
    pub fn of(header: Header, certificate: Certificate) -> Self {
        Self {
            height: header.height,
            digest: certificate.content.digest,
            timestamp_ms: header.timestamp_ms,
            block: Some((header, certificate)),
        }
    }

    /// The header, unless this is the genesis.
    pub fn header(&self) -> Option<&Header> {
        self.block.as_ref().map(|(header, _)| header)
    }
}
