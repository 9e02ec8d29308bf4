//! What shows that a block was decided, and who decides from the next epoch on.
//!
//! The genesis names the validators of epoch 0. Each epoch ends with a *handover* block, decided by that epoch's set, whose
//! header names the hash of the next one. So the handovers of all epochs, in order, lead from a genesis to the set of today;
//! whoever follows them needs to trust nobody but a quorum of each epoch's weight while it was in office.

use crate::block::{BlockKind, Header};
use crate::canonical::{Canonical, required};
use crate::certificate::Certificate;
use crate::crypto::Domain;
use crate::entries::{Quota, check_entries};
use crate::error::TypesError;
use crate::proto;
use crate::validators::ValidatorSet;
use crate::vote::VoteKind;

/// A header with the commit certificate that decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedHeader {
    /// The header.
    pub header: Header,
    /// A quorum of Commit votes for its digest.
    pub certificate: Certificate,
}

impl CertifiedHeader {
    /// Checks that the validators of `set` decided the header: epoch, set, digest, weight and every signature.
    ///
    /// # Errors
    /// `Invalid` naming what does not belong together, `BelowQuorum`, or `BadSignature`.
    pub fn verify(&self, set: &ValidatorSet, domain: &Domain) -> Result<(), TypesError> {
        let (header, content) = (&self.header, &self.certificate.content);
        if header.epoch != set.epoch() {
            let reason =
                format!("it is of epoch {}, the validator set of epoch {}", header.epoch, set.epoch());
            return Err(TypesError::invalid("header", reason));
        }
        if header.validators_hash != set.hash() {
            return Err(TypesError::invalid("header", "it names another validator set than its epoch's"));
        }
        if content.kind != VoteKind::Commit {
            return Err(TypesError::invalid(
                "certificate",
                "its votes do not decide a block: they are no commits",
            ));
        }
        if content.digest != header.digest()
            || content.height != header.height
            || content.epoch != header.epoch
        {
            return Err(TypesError::invalid("certificate", "it is for another block than the header"));
        }
        self.certificate.verify(set, domain)
    }
}

impl Canonical for CertifiedHeader {
    type Proto = proto::CertifiedHeader;
    const NAME: &'static str = "certified header";
    const MAX_BYTES: usize = 64 + Header::MAX_BYTES + Certificate::MAX_BYTES;

    fn to_proto(&self) -> Self::Proto {
        proto::CertifiedHeader {
            header: Some(self.header.to_proto()),
            certificate: Some(self.certificate.to_proto()),
        }
    }

    fn from_proto(proto: Self::Proto) -> Result<Self, TypesError> {
        Ok(Self {
            header: Header::from_proto(required("header", proto.header)?)?,
            certificate: Certificate::from_proto(required("certificate", proto.certificate)?)?,
        })
    }
}

/// The end of an epoch: its handover block, and the next epoch's validators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    /// The handover block's header, decided by the epoch that ends.
    pub block: CertifiedHeader,
    /// The validators of the next epoch.
    pub next: ValidatorSet,
}

impl Handover {
    /// Most handovers in one answer or page: each takes up to some 30 kB.
    pub const PAGE_MAX: usize = 128;

    /// Checks that the validators of `set` handed over to the next epoch's.
    ///
    /// # Errors
    /// Those of [`CertifiedHeader::verify`]; `Invalid` when the block is no handover, or hands over to another set.
    pub fn verify(&self, set: &ValidatorSet, domain: &Domain) -> Result<(), TypesError> {
        let BlockKind::Handover { next_validators_hash } = self.block.header.kind else {
            return Err(TypesError::invalid("handover", "its block does not end an epoch"));
        };
        if self.next.epoch() != set.epoch().next() {
            let reason = format!("epoch {} does not follow epoch {}", self.next.epoch(), set.epoch());
            return Err(TypesError::invalid("handover", reason));
        }
        if next_validators_hash != self.next.hash() {
            return Err(TypesError::invalid("handover", "its block names another set of next validators"));
        }
        self.block.verify(set, domain)
    }
}

impl Canonical for Handover {
    type Proto = proto::Handover;
    const NAME: &'static str = "handover";
    const MAX_BYTES: usize = 64 + CertifiedHeader::MAX_BYTES + ValidatorSet::MAX_BYTES;

    fn check_encoding(bytes: &[u8]) -> Result<(), TypesError> {
        let block =
            Quota::one(1, CertifiedHeader::NAME, CertifiedHeader::MAX_BYTES, CertifiedHeader::check_encoding);
        let next = Quota::one(2, ValidatorSet::NAME, ValidatorSet::MAX_BYTES, ValidatorSet::check_encoding);
        check_entries(Self::NAME, bytes, [block, next])
    }

    fn to_proto(&self) -> Self::Proto {
        proto::Handover { block: Some(self.block.to_proto()), next: Some(self.next.to_proto()) }
    }

    fn from_proto(proto: Self::Proto) -> Result<Self, TypesError> {
        Ok(Self {
            block: CertifiedHeader::from_proto(required("block", proto.block)?)?,
            next: ValidatorSet::from_proto(required("next validators", proto.next)?)?,
        })
    }
}
