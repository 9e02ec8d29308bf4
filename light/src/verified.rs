//! What was found to be so.

use aegis_types::{
    Canonical, CertifiedHeader, Epoch, Executed, Height, KvRecord, StateProof, ValidatorId, ValidatorSet,
    View, Weight,
};

use crate::error::LightError;

/// A state that a quorum vouches for. Only [`LightClient::verify_header`](crate::LightClient::verify_header) makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedState {
    executed: Executed,
    certified_by: Height,
    certified_ms: u64,
    epoch: Epoch,
    view: View,
    signers: Vec<(ValidatorId, Weight)>,
    quorum: Weight,
    total: Weight,
}

impl VerifiedState {
    /// The header must have been checked against `set`.
    pub(crate) fn of(block: &CertifiedHeader, set: &ValidatorSet) -> Self {
        let CertifiedHeader { header, certificate } = block;
        Self {
            executed: header.executed,
            certified_by: header.height,
            certified_ms: header.timestamp_ms,
            epoch: header.epoch,
            view: certificate.content.view,
            signers: certificate.signers(set).collect(),
            quorum: set.quorum(),
            total: set.total(),
        }
    }

    /// The block that the state is after, and the state's root.
    pub fn executed(&self) -> Executed {
        self.executed
    }

    /// The decided block whose header names that state: a later one.
    pub fn certified_by(&self) -> Height {
        self.certified_by
    }

    /// Agreed time of that later block, in milliseconds of the Unix epoch.
    pub fn certified_ms(&self) -> u64 {
        self.certified_ms
    }

    /// The epoch whose validators signed.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The view in which they signed.
    pub fn view(&self) -> View {
        self.view
    }

    /// Who signed, with their weights.
    pub fn signers(&self) -> &[(ValidatorId, Weight)] {
        &self.signers
    }

    /// The signers' weight together.
    pub fn weight(&self) -> Weight {
        self.signers.iter().fold(Weight::ZERO, |sum, (_, weight)| sum.plus(*weight))
    }

    /// The weight that decides.
    pub fn quorum(&self) -> Weight {
        self.quorum
    }

    /// The weight of all validators of the epoch.
    pub fn total(&self) -> Weight {
        self.total
    }

    /// Checks that an entry of agreed state has this value, or none.
    ///
    /// # Errors
    /// `NotProved`.
    pub fn verify_value(
        &self,
        key: &[u8],
        value: Option<&[u8]>,
        proof: &StateProof,
    ) -> Result<(), LightError> {
        proof
            .verify_value(&self.executed.state_root, key, value)
            .map_err(|reason| LightError::NotProved { reason })
    }

    /// Checks that a key of the key-value state has this record, in its canonical encoding, or none.
    ///
    /// # Errors
    /// `NotProved`.
    pub fn verify_kv(
        &self,
        key: &str,
        record: Option<&[u8]>,
        proof: &StateProof,
    ) -> Result<Option<KvRecord>, LightError> {
        self.verify_value(&KvRecord::state_key(key), record, proof)?;
        let record = record.map(KvRecord::decode).transpose();
        record.map_err(|reason| LightError::NotProved { reason })
    }
}

/// A value of the key-value state that a quorum vouches for, or its absence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedValue {
    /// The key.
    pub key: String,
    /// What the key has; none when it does not exist.
    pub record: Option<KvRecord>,
    /// The state in which it has that.
    pub state: VerifiedState,
}
