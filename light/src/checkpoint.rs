//! How far a light client has got, as a file: who may sign in one epoch, for whoever goes on from there.
//!
//! The chain of handovers grows with every epoch, and no proof file holds all of it for ever. A checkpoint stands for the
//! handovers before its epoch. It proves nothing: its validators are trusted as the genesis is, so it is worth what the
//! client was worth that wrote it, and what has kept it since.

use aegis_types::{Canonical, ChainId, Epoch, Genesis, Hash, ValidatorSet};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::client::LightClient;
use crate::error::LightError;

/// What the file calls itself.
const FORMAT: &str = "aegis-checkpoint";
/// The version that this program writes and reads.
const VERSION: u32 = 1;

/// The validators of an epoch that a [`LightClient`] has reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    chain: ChainId,
    genesis: Hash,
    validators: ValidatorSet,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    format: String,
    version: u32,
    chain: ChainId,
    genesis: Hash,
    epoch: Epoch,
    validators_base64: String,
}

impl Checkpoint {
    /// Largest file that is read: several times the validators of a full set.
    pub const BYTES_MAX: usize = 1 << 20;

    /// Where a client stands that has started at this genesis.
    pub fn of(genesis: &Genesis, client: &LightClient) -> Self {
        let validators = client.validators().clone();
        Self { chain: genesis.chain.clone(), genesis: genesis.hash(), validators }
    }

    /// Its epoch.
    pub fn epoch(&self) -> Epoch {
        self.validators.epoch()
    }

    /// Hash of the genesis that it goes back to.
    pub fn genesis(&self) -> Hash {
        self.genesis
    }

    /// A client that goes on from here.
    ///
    /// # Errors
    /// `OtherGenesis` when the checkpoint is another network's.
    pub fn client(&self, genesis: &Genesis) -> Result<LightClient, LightError> {
        let (expected, actual) = (genesis.hash(), self.genesis);
        if expected != actual || genesis.chain != self.chain {
            return Err(LightError::OtherGenesis { expected, actual });
        }
        Ok(LightClient::resume(genesis, self.validators.clone()))
    }

    /// The file's text.
    ///
    /// # Errors
    /// `BadCheckpoint` when it cannot be written as JSON.
    pub fn to_json(&self) -> Result<String, LightError> {
        let form = FileForm {
            format: FORMAT.to_owned(),
            version: VERSION,
            chain: self.chain.clone(),
            genesis: self.genesis,
            epoch: self.epoch(),
            validators_base64: STANDARD.encode(self.validators.encode()),
        };
        Ok(serde_json::to_string_pretty(&form).map_err(|error| bad(&error))? + "\n")
    }

    /// Reads a file.
    ///
    /// # Errors
    /// `BadCheckpoint` naming what cannot be read.
    pub fn parse(json: &[u8]) -> Result<Self, LightError> {
        if json.len() > Self::BYTES_MAX {
            return Err(bad(&format!("it has more than {} bytes", Self::BYTES_MAX)));
        }
        let form: FileForm = serde_json::from_slice(json).map_err(|error| bad(&error))?;
        if form.format != FORMAT || form.version != VERSION {
            return Err(bad(&format!("it is no `{FORMAT}` of version {VERSION}")));
        }
        let validators = STANDARD.decode(&form.validators_base64).map_err(|error| bad(&error))?;
        let validators = ValidatorSet::decode(&validators).map_err(|error| bad(&error))?;
        if validators.epoch() != form.epoch {
            return Err(bad(&"its validators are of another epoch than it says"));
        }
        Ok(Self { chain: form.chain, genesis: form.genesis, validators })
    }
}

fn bad(reason: &dyn std::fmt::Display) -> LightError {
    LightError::BadCheckpoint { reason: reason.to_string() }
}
