//! Committed blocks and their certificates.

use aegis_types::{
    AccountId, BlockKind, Canonical, Certificate, Epoch, Hash, Header, Height, Kind, ProposalId, ValidatorId,
    ValidatorSet, View, Weight,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::encoded::EncodedBytes;
use super::proposal::Outcome;

/// A committed block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockDetail {
    /// The block's digest.
    #[schema(value_type = String)]
    pub digest: Hash,
    /// Its header.
    pub header: HeaderInfo,
    /// The quorum of Commit votes that decided it.
    pub certificate: CertificateInfo,
    /// Number of its proposals.
    pub proposals_total: u64,
    /// The first of them, at most [`BlockDetail::PROPOSALS_MAX`], in order of execution.
    pub proposals: Vec<BlockProposal>,
}

impl BlockDetail {
    /// Most proposals that are listed with a block; the others are found by filtering proposals by height.
    pub const PROPOSALS_MAX: usize = 1_000;
}

/// A block's header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeaderInfo {
    /// The epoch whose set decided the block.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// Position in the chain.
    #[schema(value_type = u64)]
    pub height: Height,
    /// Agreed time, in milliseconds of the Unix epoch.
    pub timestamp_ms: u64,
    /// Digest of the block before.
    #[schema(value_type = String)]
    pub parent: Hash,
    /// The validator that made the block.
    #[schema(value_type = String)]
    pub proposer: ValidatorId,
    /// Number of its batches.
    pub batches: u32,
    /// Bytes of those batches.
    pub payload_bytes: u64,
    /// Height of the newest block that the proposer had executed.
    #[schema(value_type = u64)]
    pub executed_height: Height,
    /// Root of the state after that block.
    #[schema(value_type = String)]
    pub executed_state_root: Hash,
    /// Hash of the epoch's validator set.
    #[schema(value_type = String)]
    pub validators_hash: Hash,
    /// `normal`, `closing` or `handover`.
    pub kind: String,
    /// Hash of the next epoch's validator set, in a handover block.
    #[schema(value_type = Option<String>)]
    pub next_validators_hash: Option<Hash>,
    /// The canonical encoding, in base64: what the digest is the hash of.
    #[schema(value_type = String)]
    pub encoding: EncodedBytes,
}

impl From<&Header> for HeaderInfo {
    fn from(header: &Header) -> Self {
        let (kind, next_validators_hash) = match &header.kind {
            BlockKind::Normal => ("normal", None),
            BlockKind::Closing => ("closing", None),
            BlockKind::Handover { next_validators_hash } => ("handover", Some(*next_validators_hash)),
        };
        Self {
            epoch: header.epoch,
            height: header.height,
            timestamp_ms: header.timestamp_ms,
            parent: header.parent,
            proposer: header.proposer,
            batches: u32::try_from(header.batches.len()).unwrap_or(u32::MAX),
            payload_bytes: header.payload_bytes(),
            executed_height: header.executed.height,
            executed_state_root: header.executed.state_root,
            validators_hash: header.validators_hash,
            kind: kind.to_owned(),
            next_validators_hash,
            encoding: EncodedBytes(header.encode()),
        }
    }
}

/// A commit certificate with the weights of its signers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateInfo {
    /// The epoch whose set signed.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// The view in which it signed.
    #[schema(value_type = u64)]
    pub view: View,
    /// The block's height.
    #[schema(value_type = u64)]
    pub height: Height,
    /// The block's digest.
    #[schema(value_type = String)]
    pub digest: Hash,
    /// Weight of the signers.
    #[schema(value_type = u64)]
    pub weight: Weight,
    /// Weight that decides.
    #[schema(value_type = u64)]
    pub quorum: Weight,
    /// Weight of all members.
    #[schema(value_type = u64)]
    pub total_weight: Weight,
    /// Who signed.
    pub signers: Vec<Signer>,
    /// The canonical encoding, in base64; with the validator set it convinces anyone.
    #[schema(value_type = String)]
    pub encoding: EncodedBytes,
}

impl CertificateInfo {
    /// Describes a certificate of an epoch whose set is `set`.
    pub fn new(certificate: &Certificate, set: &ValidatorSet) -> Self {
        Self {
            epoch: certificate.content.epoch,
            view: certificate.content.view,
            height: certificate.content.height,
            digest: certificate.content.digest,
            weight: certificate.weight(set),
            quorum: set.quorum(),
            total_weight: set.total(),
            signers: certificate
                .signers(set)
                .map(|(validator, weight)| Signer { validator, weight })
                .collect(),
            encoding: EncodedBytes(certificate.encode()),
        }
    }
}

/// A signer of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Signer {
    /// Who signed.
    #[schema(value_type = String)]
    pub validator: ValidatorId,
    /// Its weight.
    #[schema(value_type = u64)]
    pub weight: Weight,
}

/// A proposal in a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockProposal {
    /// Its position among all proposals of the block, from 0.
    pub position: u32,
    /// Its name.
    #[schema(value_type = String)]
    pub id: ProposalId,
    /// Who signed it.
    #[schema(value_type = String)]
    pub account: AccountId,
    /// Its kind.
    #[schema(value_type = String)]
    pub kind: Kind,
    /// What execution made of it; absent while the block is not executed.
    pub outcome: Option<Outcome>,
}
