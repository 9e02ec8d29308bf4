//! Proofs of replicated values, and what leads from the genesis to those who signed them.
//!
//! The node hands out encodings and checks nothing for the client: whoever wants to trust no node gives them to the crate
//! `aegis-light`, or to `aegis verify`.

use aegis_types::{Epoch, Height};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::encoded::EncodedBytes;

/// What a key has in a certified state, with the proof of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KvProof {
    /// The key.
    pub key: String,
    /// The block that the state is after.
    #[schema(value_type = u64)]
    pub height: Height,
    /// The epoch of the certified header: the handovers of all epochs before it lead to its validators.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// Canonical encoding of the `KvRecord`; absent when the key does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub record_base64: Option<EncodedBytes>,
    /// Canonical encoding of the `StateProof`, which leads from the key to the state root.
    #[schema(value_type = String)]
    pub proof_base64: EncodedBytes,
    /// Canonical encoding of the `CertifiedHeader` whose header names the state root.
    #[schema(value_type = String)]
    pub certified_header_base64: EncodedBytes,
}

/// How epochs ended, one after another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Handovers {
    /// Canonical encodings of the `Handover`s, in order of epoch.
    #[schema(value_type = Vec<String>)]
    pub handovers_base64: Vec<EncodedBytes>,
    /// Where to go on; absent when the epoch after the last one here has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub next_epoch: Option<Epoch>,
}
