//! Blocks: headers that order batches, and committed blocks with payload and proof.

use crate::batch::Batch;
use crate::canonical::{Canonical, Limits, required};
use crate::certificate::Certificate;
use crate::entries::{Quota, check_entries};
use crate::error::TypesError;
use crate::hash::Hash;
use crate::ids::{Epoch, Height, ValidatorId};
use crate::proto;

/// Names a batch in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchRef {
    /// The batch's digest.
    pub digest: Hash,
    /// Who sealed it.
    pub author: ValidatorId,
    /// Number of its proposals.
    pub proposals: u32,
    /// Length of its encoding.
    pub bytes: u32,
}

/// The newest block that a proposer had executed, and the state root after it.
///
/// Voters check it before they prepare, so a commit certificate over a header certifies this state root too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Executed {
    /// Height of the executed block; 0 for the genesis.
    pub height: Height,
    /// Root of the state after it.
    pub state_root: Hash,
}

/// A block's role at the end of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// Any block before the epoch's end.
    Normal,
    /// The first block whose timestamp is at or past the epoch's end. Executing it yields the next validator set.
    Closing,
    /// The epoch's last block: no batches; names the next set, which so is certified by the old one.
    Handover {
        /// Hash of the next epoch's validator set.
        next_validators_hash: Hash,
    },
}

/// A block without its payload. The view is not part of it: a block keeps its digest over view changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The epoch whose set decides the block.
    pub epoch: Epoch,
    /// Position in the chain; the first block has height 1.
    pub height: Height,
    /// Agreed time in milliseconds of the Unix epoch; strictly larger than the parent's.
    pub timestamp_ms: u64,
    /// Digest of the block before; the genesis hash for the first block.
    pub parent: Hash,
    /// The validator that made the block.
    pub proposer: ValidatorId,
    /// The payload, in order of execution.
    pub batches: Vec<BatchRef>,
    /// What the proposer had executed.
    pub executed: Executed,
    /// Hash of the epoch's validator set.
    pub validators_hash: Hash,
    /// Role at the epoch's end.
    pub kind: BlockKind,
}

impl Header {
    /// The block's digest.
    pub fn digest(&self) -> Hash {
        Hash::of("aegis v1 block header", &self.encode())
    }

    /// The payload's size in bytes.
    pub fn payload_bytes(&self) -> u64 {
        self.batches.iter().map(|batch| u64::from(batch.bytes)).sum()
    }
}

impl Canonical for BatchRef {
    type Proto = proto::BatchRef;
    const NAME: &'static str = "batch reference";
    const MAX_BYTES: usize = 128;

    fn to_proto(&self) -> Self::Proto {
        proto::BatchRef {
            digest: self.digest.0.to_vec(),
            author: self.author.0.to_vec(),
            proposals: self.proposals,
            bytes: self.bytes,
        }
    }

    fn from_proto(proto: Self::Proto) -> Result<Self, TypesError> {
        Ok(Self {
            digest: Hash::from_slice("batch digest", &proto.digest)?,
            author: ValidatorId::from_slice(&proto.author)?,
            proposals: proto.proposals,
            bytes: proto.bytes,
        })
    }
}

impl Canonical for Header {
    type Proto = proto::Header;
    const NAME: &'static str = "block header";
    const MAX_BYTES: usize = 512 + 128 * Limits::BLOCK_BATCHES;

    fn to_proto(&self) -> Self::Proto {
        let (kind, next_validators_hash) = match &self.kind {
            BlockKind::Normal => (proto::BlockKind::Normal, Vec::new()),
            BlockKind::Closing => (proto::BlockKind::Closing, Vec::new()),
            BlockKind::Handover { next_validators_hash } => {
                (proto::BlockKind::Handover, next_validators_hash.0.to_vec())
            }
        };
        proto::Header {
            epoch: self.epoch.0,
            height: self.height.0,
            timestamp_ms: self.timestamp_ms,
            parent: self.parent.0.to_vec(),
            proposer: self.proposer.0.to_vec(),
            batches: self.batches.iter().map(Canonical::to_proto).collect(),
            executed: Some(proto::Executed {
                height: self.executed.height.0,
                state_root: self.executed.state_root.0.to_vec(),
            }),
            validators_hash: self.validators_hash.0.to_vec(),
            kind: kind.into(),
            next_validators_hash,
        }
    }

    fn from_proto(proto: Self::Proto) -> Result<Self, TypesError> {
        let (actual, limit) = (proto.batches.len(), Limits::BLOCK_BATCHES);
        if actual > limit {
            return Err(TypesError::TooMany { what: "batches of a block", actual, limit });
        }
        let kind = match proto::BlockKind::try_from(proto.kind) {
            Ok(proto::BlockKind::Normal) => BlockKind::Normal,
            Ok(proto::BlockKind::Closing) => BlockKind::Closing,
            Ok(proto::BlockKind::Handover) => BlockKind::Handover {
                next_validators_hash: Hash::from_slice("next validators hash", &proto.next_validators_hash)?,
            },
            Err(_) => return Err(TypesError::invalid("block kind", format!("{} is not known", proto.kind))),
        };
        if !matches!(kind, BlockKind::Handover { .. }) && !proto.next_validators_hash.is_empty() {
            return Err(TypesError::invalid("next validators hash", "only a handover block has one"));
        }
        let executed = required("executed", proto.executed)?;
        Ok(Self {
            epoch: Epoch(proto.epoch),
            height: Height(proto.height),
            timestamp_ms: proto.timestamp_ms,
            parent: Hash::from_slice("parent", &proto.parent)?,
            proposer: ValidatorId::from_slice(&proto.proposer)?,
            batches: proto.batches.into_iter().map(BatchRef::from_proto).collect::<Result<_, _>>()?,
            executed: Executed {
                height: Height(executed.height),
                state_root: Hash::from_slice("state root", &executed.state_root)?,
            },
            validators_hash: Hash::from_slice("validators hash", &proto.validators_hash)?,
            kind,
        })
    }
}

/// A decided block: header, payload and the commit certificate that anyone can check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedBlock {
    /// The header.
    pub header: Header,
    /// A quorum of Commit votes for the header's digest.
    pub certificate: Certificate,
    /// The header's batches, in its order.
    pub batches: Vec<Batch>,
}

/// The beginnings of a committed block's encoding; what else there is is skipped.
#[derive(Clone, PartialEq, prost::Message)]
struct BlockPlace {
    #[prost(message, optional, tag = "1")]
    header: Option<HeaderPlace>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct HeaderPlace {
    #[prost(uint64, tag = "2")]
    height: u64,
}

impl CommittedBlock {
    /// The height that an encoding claims, for whoever only wants to know whether the block is news. Nothing is checked.
    pub fn height_of_encoding(bytes: &[u8]) -> Option<Height> {
        let place = <BlockPlace as prost::Message>::decode(bytes).ok()?;
        place.header.map(|header| Height(header.height))
    }

    /// Checks that certificate and batches belong to the header. The certificate's signatures are not checked here.
    ///
    /// # Errors
    /// `Invalid` naming what does not belong.
    pub fn check_consistency(&self) -> Result<(), TypesError> {
        let content = &self.certificate.content;
        if content.digest != self.header.digest()
            || content.height != self.header.height
            || content.epoch != self.header.epoch
        {
            return Err(TypesError::invalid("certificate", "it is for another block than the header"));
        }
        if self.batches.len() != self.header.batches.len()
            || self.batches.iter().zip(&self.header.batches).any(|(batch, named)| batch.reference() != *named)
        {
            return Err(TypesError::invalid("batches", "they are not the ones that the header names"));
        }
        Ok(())
    }
}

impl Canonical for CommittedBlock {
    type Proto = proto::CommittedBlock;
    const NAME: &'static str = "committed block";
    const MAX_BYTES: usize = Limits::COMMITTED_BLOCK_BYTES;

    fn check_encoding(bytes: &[u8]) -> Result<(), TypesError> {
        let quotas = [
            Quota::of::<Header>(1, "headers of a committed block", 1),
            Quota::of::<Certificate>(2, "certificates of a committed block", 1),
            Quota::of::<Batch>(3, "batches of a block", Limits::BLOCK_BATCHES),
        ];
        check_entries(Self::NAME, bytes, quotas)
    }

    fn to_proto(&self) -> Self::Proto {
        proto::CommittedBlock {
            header: Some(self.header.to_proto()),
            certificate: Some(self.certificate.to_proto()),
            batches: self.batches.iter().map(Canonical::to_proto).collect(),
        }
    }

    fn from_proto(proto: Self::Proto) -> Result<Self, TypesError> {
        let block = Self {
            header: Header::from_proto(required("header", proto.header)?)?,
            certificate: Certificate::from_proto(required("certificate", proto.certificate)?)?,
            batches: proto.batches.into_iter().map(Batch::from_proto).collect::<Result<_, _>>()?,
        };
        block.check_consistency()?;
        Ok(block)
    }
}
