//! A proof as a file: everything that is needed to check a value offline, except the genesis, and except the handovers before
//! a checkpoint where they were left out.
//!
//! JSON; `docs/proofs.md` describes it for those who write their own reader. What is signed or hashed stands in it in its
//! canonical encoding, as base64; what is there for people is checked against that.

use aegis_types::{
    Canonical, CertifiedHeader, ChainId, Epoch, Genesis, Handover, Hash, Height, KvRecord, StateProof,
    TypesError,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::client::LightClient;
use crate::error::LightError;
use crate::verified::VerifiedValue;

/// A value of the key-value state, or its absence, with all that proves it to whoever has the genesis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofFile {
    /// The network's name.
    pub chain: ChainId,
    /// The hash of its genesis.
    pub genesis: Hash,
    /// The epoch of the first handover. 0, and the proof needs nothing but the genesis; else it needs a checkpoint, too.
    pub first_epoch: Epoch,
    /// How each epoch ended, from the first one to the one before the header's.
    pub handovers: Vec<Handover>,
    /// The decided header that names the state.
    pub certified: CertifiedHeader,
    /// The key.
    pub key: String,
    /// What the state has under the key, as it is encoded there; none when the key does not exist.
    pub record: Option<Vec<u8>>,
    /// The way from the key to the state root.
    pub proof: StateProof,
}

/// What the file calls itself.
const FORMAT: &str = "aegis-proof";
/// The version of a proof that begins at the genesis.
const VERSION_WHOLE: u32 = 1;
/// The version of one that begins at a later epoch, and the newest that this program reads.
const VERSION: u32 = 2;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    format: String,
    version: u32,
    chain: ChainId,
    genesis: Hash,
    key: String,
    record: Option<RecordForm>,
    proof_base64: String,
    certified_header_base64: String,
    /// In version 2 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_epoch: Option<Epoch>,
    handovers_base64: Vec<String>,
}

/// The record for people, and its encoding, which is what the proof covers.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordForm {
    version: u64,
    modified_height: Height,
    /// Absent when it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    value_base64: String,
    encoding_base64: String,
}

/// The head of a file, which must be right before the rest means anything.
#[derive(Deserialize)]
struct HeadForm {
    format: String,
    version: u32,
}

impl ProofFile {
    /// Largest file that is read: the handovers of some fifty thousand epochs of four validators, or of two thousand
    /// epochs of a full set, with the largest value.
    pub const BYTES_MAX: usize = 64 << 20;

    /// The file's text.
    ///
    /// # Errors
    /// `BadFile` when the record is not in its canonical encoding; `FileTooLarge` when nobody would read it.
    pub fn to_json(&self) -> Result<String, LightError> {
        let form = FileForm {
            format: FORMAT.to_owned(),
            version: if self.is_whole() { VERSION_WHOLE } else { VERSION },
            chain: self.chain.clone(),
            genesis: self.genesis,
            key: self.key.clone(),
            record: self.record.as_deref().map(RecordForm::of).transpose()?,
            proof_base64: STANDARD.encode(self.proof.encode()),
            certified_header_base64: STANDARD.encode(self.certified.encode()),
            first_epoch: Some(self.first_epoch).filter(|_| !self.is_whole()),
            handovers_base64: self
                .handovers
                .iter()
                .map(|handover| STANDARD.encode(handover.encode()))
                .collect(),
        };
        let json = serde_json::to_string_pretty(&form).map_err(|error| bad(&error))? + "\n";
        check_size(json.len())?;
        Ok(json)
    }

    /// Reads a file that may be hostile. Nothing is verified yet.
    ///
    /// # Errors
    /// `FileTooLarge`, `OtherVersion`, or `BadFile` naming what cannot be read.
    pub fn parse(json: &[u8]) -> Result<Self, LightError> {
        check_size(json.len())?;
        let head: HeadForm = serde_json::from_slice(json).map_err(|error| bad(&error))?;
        if head.format != FORMAT {
            return Err(bad(&format!("its format is `{}`, not `{FORMAT}`", head.format.escape_default())));
        }
        if !(VERSION_WHOLE..=VERSION).contains(&head.version) {
            return Err(LightError::OtherVersion { expected: VERSION, actual: head.version });
        }
        let form: FileForm = serde_json::from_slice(json).map_err(|error| bad(&error))?;
        let first_epoch = match (head.version, form.first_epoch) {
            (VERSION_WHOLE, None) => Epoch::ZERO,
            (VERSION, Some(first)) if first > Epoch::ZERO => first,
            _ => return Err(bad(&"`first_epoch` is what version 2 has beyond version 1, and it is not 0")),
        };
        let decode_handover = |text: &String| decode::<Handover>("handovers_base64", text);
        Ok(Self {
            chain: form.chain,
            genesis: form.genesis,
            first_epoch,
            handovers: form.handovers_base64.iter().map(decode_handover).collect::<Result<_, _>>()?,
            certified: decode("certified_header_base64", &form.certified_header_base64)?,
            key: form.key,
            record: form.record.map(RecordForm::check).transpose()?,
            proof: decode("proof_base64", &form.proof_base64)?,
        })
    }

    /// Whether it begins at the genesis.
    fn is_whole(&self) -> bool {
        self.first_epoch == Epoch::ZERO
    }

    /// Checks everything against a genesis, which is all that is trusted.
    ///
    /// # Errors
    /// Any [`LightError`] but those of reading the file; `NeedsCheckpoint` for a proof that does not begin at the genesis.
    pub fn verify(&self, genesis: &Genesis) -> Result<VerifiedValue, LightError> {
        self.verify_with(genesis, &mut LightClient::new(genesis))
    }

    /// Checks everything with a client of this genesis, which follows the handovers that it has not followed yet. It then
    /// stands at the proof's epoch; after an error, where it was or further.
    ///
    /// # Errors
    /// As for [`Self::verify`]; `WrongEpoch` when the client is beyond the proof's epoch.
    pub fn verify_with(
        &self,
        genesis: &Genesis,
        client: &mut LightClient,
    ) -> Result<VerifiedValue, LightError> {
        let (expected, actual) = (genesis.hash(), self.genesis);
        if expected != actual || genesis.chain != self.chain {
            return Err(LightError::OtherGenesis { expected, actual });
        }
        let (first, reached) = (self.first_epoch, client.epoch());
        let followed =
            reached.0.checked_sub(first.0).ok_or(LightError::NeedsCheckpoint { first, reached })?;
        client.follow_all(self.handovers.iter().skip(usize::try_from(followed).unwrap_or(usize::MAX)))?;
        let state = client.verify_header(&self.certified)?;
        let record = state.verify_kv(&self.key, self.record.as_deref(), &self.proof)?;
        Ok(VerifiedValue { key: self.key.clone(), record, state })
    }
}

impl RecordForm {
    fn of(encoding: &[u8]) -> Result<Self, LightError> {
        let record = KvRecord::decode(encoding).map_err(|error| bad(&error))?;
        Ok(Self {
            version: record.version,
            modified_height: record.height,
            value_base64: STANDARD.encode(&record.value),
            value: String::from_utf8(record.value).ok(),
            encoding_base64: STANDARD.encode(encoding),
        })
    }

    /// The encoding, if the rest says the same.
    fn check(self) -> Result<Vec<u8>, LightError> {
        let encoding = decode_base64("record.encoding_base64", &self.encoding_base64)?;
        if Self::of(&encoding)? == self {
            Ok(encoding)
        } else {
            Err(bad(
                &"`record` says something else than its `encoding_base64`, which is what the proof is about",
            ))
        }
    }
}

fn check_size(actual: usize) -> Result<(), LightError> {
    let limit = ProofFile::BYTES_MAX;
    if actual > limit { Err(LightError::FileTooLarge { actual, limit }) } else { Ok(()) }
}

fn bad(reason: &dyn std::fmt::Display) -> LightError {
    LightError::BadFile { reason: reason.to_string() }
}

fn decode_base64(field: &str, text: &str) -> Result<Vec<u8>, LightError> {
    STANDARD.decode(text).map_err(|error| bad(&format!("`{field}` is no base64 with padding: {error}")))
}

fn decode<T: Canonical>(field: &str, text: &str) -> Result<T, LightError> {
    T::decode(&decode_base64(field, text)?).map_err(|error: TypesError| bad(&format!("`{field}`: {error}")))
}
