//! Batches: proposals that travel together, ahead of their ordering.

use crate::block::BatchRef;
use crate::canonical::{Canonical, Limits};
use crate::crypto::{AccountSignature, Domain, verify_accounts};
use crate::entries::{Quota, check_entries};
use crate::error::TypesError;
use crate::hash::Hash;
use crate::ids::ValidatorId;
use crate::proposal::Proposal;
use crate::proto;

/// Proposals that one validator sealed together. Blocks order batches by digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The validator that sealed it. Not signed: who delivers a batch under another's name gains nothing but its cost.
    pub author: ValidatorId,
    /// Rises with each batch of the author, so that equal proposals make different batches.
    pub sequence: u64,
    /// The proposals, in order of execution.
    pub proposals: Vec<Proposal>,
}

impl Batch {
    /// The digest that blocks name the batch by.
    pub fn digest(&self) -> Hash {
        Self::digest_of_encoding(&self.encode())
    }

    /// The digest, from bytes that are the batch's canonical encoding.
    pub fn digest_of_encoding(encoding: &[u8]) -> Hash {
        Hash::of("aegis v1 batch", encoding)
    }

    /// The entry that a header has for the batch.
    pub fn reference(&self) -> BatchRef {
        let encoding = self.encode();
        BatchRef {
            digest: Self::digest_of_encoding(&encoding),
            author: self.author,
            proposals: u32::try_from(self.proposals.len()).unwrap_or(u32::MAX),
            bytes: u32::try_from(encoding.len()).unwrap_or(u32::MAX),
        }
    }

    /// Checks all signatures at once. The verdict is the same at every validator, whatever the `seed`, which must be fresh
    /// and unpredictable.
    ///
    /// # Errors
    /// `BadSignature` when any proposal's signature is not its account's.
    pub fn verify(&self, domain: &Domain, seed: [u8; 32]) -> Result<(), TypesError> {
        let items: Vec<AccountSignature> =
            self.proposals.iter().map(|proposal| proposal.signature_item(domain)).collect();
        if verify_accounts(&items, seed) {
            Ok(())
        } else {
            Err(TypesError::BadSignature { what: "proposal in a batch" })
        }
    }
}

impl Canonical for Batch {
    type Proto = proto::Batch;
    const NAME: &'static str = "batch";
    const MAX_BYTES: usize = Limits::BATCH_BYTES;

    fn to_proto(&self) -> Self::Proto {
        proto::Batch {
            author: self.author.0.to_vec(),
            sequence: self.sequence,
            proposals: self.proposals.iter().map(Canonical::to_proto).collect(),
        }
    }

    fn check_encoding(bytes: &[u8]) -> Result<(), TypesError> {
        let proposals = Quota::of::<Proposal>(3, "proposals of a batch", Limits::BATCH_PROPOSALS);
        check_entries(Self::NAME, bytes, [proposals])
    }

    fn from_proto(proto: Self::Proto) -> Result<Self, TypesError> {
        let (actual, limit) = (proto.proposals.len(), Limits::BATCH_PROPOSALS);
        if actual > limit {
            return Err(TypesError::TooMany { what: "proposals of a batch", actual, limit });
        }
        if actual == 0 {
            return Err(TypesError::invalid("batch", "it has no proposals"));
        }
        Ok(Self {
            author: ValidatorId::from_slice(&proto.author)?,
            sequence: proto.sequence,
            proposals: proto.proposals.into_iter().map(Proposal::from_proto).collect::<Result<_, _>>()?,
        })
    }
}
