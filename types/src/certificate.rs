//! Certificates: a quorum of equal votes, checkable by anyone who knows the validator set.

use crate::canonical::{Canonical, Limits, required};
use crate::crypto::{Domain, Signature, verify_strict};
use crate::error::TypesError;
use crate::proto;
use crate::validators::{ValidatorSet, Weight};
use crate::vote::VoteContent;

/// A set of signatures under one [`VoteContent`].
///
/// A *commit certificate* (kind Commit) decides a block; a *prepared certificate* (kind Prepare) shows that no other block
/// can have been prepared at that height in that view. Decoding checks form only: call [`Certificate::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// What every signer voted for.
    pub content: VoteContent,
    /// Position in the validator set and signature, in ascending order of position, each position once.
    pub signatures: Vec<(u32, Signature)>,
}

impl Certificate {
    /// The weight of the named signers in `set`; positions outside the set count nothing.
    pub fn weight(&self, set: &ValidatorSet) -> Weight {
        self.signers(set).fold(Weight::ZERO, |sum, (_, weight)| sum.plus(weight))
    }

    /// The signers that are members of `set`, with their weights.
    pub fn signers<'a>(
        &'a self,
        set: &'a ValidatorSet,
    ) -> impl Iterator<Item = (crate::ids::ValidatorId, Weight)> + 'a {
        self.signatures
            .iter()
            .filter_map(|(index, _)| set.get(usize::try_from(*index).ok()?))
            .map(|member| (member.validator, member.weight))
    }

    /// Checks everything: epoch, membership, order, weight and each signature.
    ///
    /// # Errors
    /// `Invalid` for a wrong epoch, order or position, `BelowQuorum`, or `BadSignature`.
    pub fn verify(&self, set: &ValidatorSet, domain: &Domain) -> Result<(), TypesError> {
        if self.content.epoch != set.epoch() {
            return Err(TypesError::invalid(
                "certificate epoch",
                format!("it is of epoch {}, the validator set of epoch {}", self.content.epoch, set.epoch()),
            ));
        }
        check_order(&self.signatures)?;
        let mut weight = Weight::ZERO;
        let mut signers = Vec::with_capacity(self.signatures.len());
        for (index, signature) in &self.signatures {
            let member = usize::try_from(*index).ok().and_then(|index| set.get(index)).ok_or_else(|| {
                TypesError::invalid(
                    "certificate signer",
                    format!("position {index} is outside the validator set"),
                )
            })?;
            weight = weight.plus(member.weight);
            signers.push((member.validator, signature));
        }
        if weight < set.quorum() {
            return Err(TypesError::BelowQuorum { weight: weight.0, quorum: set.quorum().0 });
        }
        let (purpose, content) = (self.content.kind.purpose(), self.content.encode());
        if signers
            .iter()
            .all(|(signer, signature)| verify_strict(domain, purpose, &content, signer, signature))
        {
            Ok(())
        } else {
            Err(TypesError::BadSignature { what: "certificate" })
        }
    }
}

fn check_order(signatures: &[(u32, Signature)]) -> Result<(), TypesError> {
    if signatures.is_sorted_by(|a, b| a.0 < b.0) {
        Ok(())
    } else {
        Err(TypesError::invalid("certificate signers", "they are not in order, or one signs twice"))
    }
}

impl Canonical for Certificate {
    type Proto = proto::Certificate;
    const NAME: &'static str = "certificate";
    const MAX_BYTES: usize = 128 + 80 * Limits::VALIDATORS;

    fn to_proto(&self) -> Self::Proto {
        let signatures = self.signatures.iter().map(|(member, signature)| proto::CertificateSignature {
            member: *member,
            signature: signature.0.to_vec(),
        });
        proto::Certificate { content: Some(self.content.to_proto()), signatures: signatures.collect() }
    }

    fn from_proto(proto: Self::Proto) -> Result<Self, TypesError> {
        let (actual, limit) = (proto.signatures.len(), Limits::VALIDATORS);
        if actual > limit {
            return Err(TypesError::TooMany { what: "certificate signatures", actual, limit });
        }
        let mut signatures = Vec::with_capacity(actual);
        for entry in proto.signatures {
            signatures.push((entry.member, Signature::from_slice(&entry.signature)?));
        }
        check_order(&signatures)?;
        Ok(Self {
            content: VoteContent::from_proto(required("certificate content", proto.content)?)?,
            signatures,
        })
    }
}
