//! Who may sign, epoch by epoch.

use aegis_types::{CertifiedHeader, Domain, Epoch, Genesis, Handover, ValidatorSet};

use crate::error::LightError;
use crate::verified::VerifiedState;

/// Follows a network's validators from its genesis on, and checks what they have decided.
///
/// It keeps the current epoch's validators, no headers and no state. To go on after a restart without all handovers again,
/// keep [`Self::validators`] where nobody else can write, and [`Self::resume`] from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LightClient {
    domain: Domain,
    validators: ValidatorSet,
}

impl LightClient {
    /// A client that knows a genesis, which is all that it trusts.
    pub fn new(genesis: &Genesis) -> Self {
        Self { domain: genesis.domain(), validators: genesis.validators.clone() }
    }

    /// A client that goes on where an earlier one stood. The validators are trusted as the genesis is: they must be what
    /// [`Self::validators`] said then.
    pub fn resume(genesis: &Genesis, validators: ValidatorSet) -> Self {
        Self { domain: genesis.domain(), validators }
    }

    /// The epoch that it has reached.
    pub fn epoch(&self) -> Epoch {
        self.validators.epoch()
    }

    /// That epoch's validators.
    pub fn validators(&self) -> &ValidatorSet {
        &self.validators
    }

    /// Enters the next epoch. The handover must be the one that ended the client's epoch.
    ///
    /// # Errors
    /// `WrongEpoch` for another epoch's, `BadHandover` when the epoch's validators have not decided it.
    pub fn follow(&mut self, handover: &Handover) -> Result<(), LightError> {
        let (expected, actual) = (self.epoch(), handover.block.header.epoch);
        if expected != actual {
            return Err(LightError::WrongEpoch { what: "handover", expected, actual });
        }
        handover
            .verify(&self.validators, &self.domain)
            .map_err(|reason| LightError::BadHandover { epoch: expected, reason })?;
        self.validators = handover.next.clone();
        Ok(())
    }

    /// Follows handovers in order of epoch; none may be missing. It stands after the last good one when there is an error.
    ///
    /// # Errors
    /// Those of [`Self::follow`].
    pub fn follow_all<'a>(
        &mut self,
        handovers: impl IntoIterator<Item = &'a Handover>,
    ) -> Result<(), LightError> {
        handovers.into_iter().try_for_each(|handover| self.follow(handover))
    }

    /// Checks that the client's validators decided a header. What it yields is the state that the header certifies, which is the
    /// one after the block that the header names as executed.
    ///
    /// # Errors
    /// `WrongEpoch` for a header of another epoch, `NotCertified` when the certificate does not hold.
    pub fn verify_header(&self, block: &CertifiedHeader) -> Result<VerifiedState, LightError> {
        let (expected, actual) = (self.epoch(), block.header.epoch);
        if expected != actual {
            return Err(LightError::WrongEpoch { what: "header", expected, actual });
        }
        block.verify(&self.validators, &self.domain).map_err(|reason| LightError::NotCertified { reason })?;
        Ok(VerifiedState::of(block, &self.validators))
    }
}
