//! Prepare and Commit votes.

use crate::canonical::{Canonical, required};
use crate::crypto::{Domain, Keypair, Purpose, Signature, verify_strict};
use crate::error::TypesError;
use crate::hash::Hash;
use crate::ids::{Epoch, Height, ValidatorId, View};
use crate::proto;

/// The two votes of the normal case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoteKind {
    /// "I accept this block at this height in this view, and hold its batches."
    Prepare,
    /// "I know that a quorum prepared it, and all before it."
    Commit,
}

impl VoteKind {
    /// The purpose that its signatures have.
    pub const fn purpose(self) -> Purpose {
        match self {
            Self::Prepare => Purpose::Prepare,
            Self::Commit => Purpose::Commit,
        }
    }
}

/// What a vote says; the part that is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VoteContent {
    /// Prepare or Commit.
    pub kind: VoteKind,
    /// The epoch whose set counts the vote.
    pub epoch: Epoch,
    /// The view it was cast in.
    pub view: View,
    /// The block's height.
    pub height: Height,
    /// The block's digest.
    pub digest: Hash,
}

impl VoteContent {
    /// Whether two votes of one validator with these contents prove that it is faulty: same kind, epoch, view and
    /// height, another digest.
    pub fn contradicts(&self, other: &Self) -> bool {
        self.digest != other.digest && Self { digest: other.digest, ..*self } == *other
    }
}

impl Canonical for VoteContent {
    type Proto = proto::VoteContent;
    const NAME: &'static str = "vote content";
    const MAX_BYTES: usize = 128;

    fn to_proto(&self) -> Self::Proto {
        let kind = match self.kind {
            VoteKind::Prepare => proto::VoteKind::Prepare,
            VoteKind::Commit => proto::VoteKind::Commit,
        };
        proto::VoteContent {
            kind: kind.into(),
            epoch: self.epoch.0,
            view: self.view.0,
            height: self.height.0,
            digest: self.digest.0.to_vec(),
        }
    }

    fn from_proto(proto: Self::Proto) -> Result<Self, TypesError> {
        let kind = match proto::VoteKind::try_from(proto.kind) {
            Ok(proto::VoteKind::Prepare) => VoteKind::Prepare,
            Ok(proto::VoteKind::Commit) => VoteKind::Commit,
            Ok(proto::VoteKind::Unspecified) | Err(_) => {
                return Err(TypesError::invalid(
                    "vote kind",
                    format!("{} is neither Prepare nor Commit", proto.kind),
                ));
            }
        };
        Ok(Self {
            kind,
            epoch: Epoch(proto.epoch),
            view: View(proto.view),
            height: Height(proto.height),
            digest: Hash::from_slice("digest", &proto.digest)?,
        })
    }
}

/// A validator's signed vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// What it says.
    pub content: VoteContent,
    /// Who is said to have cast it.
    pub validator: ValidatorId,
    /// The signature over the content.
    pub signature: Signature,
}

impl Vote {
    /// Casts a vote.
    pub fn sign(content: VoteContent, keypair: &Keypair, domain: &Domain) -> Self {
        let signature = keypair.sign(domain, content.kind.purpose(), &content.encode());
        Self { content, validator: keypair.validator_id(), signature }
    }

    /// Whether the signature is the validator's.
    pub fn verify(&self, domain: &Domain) -> bool {
        verify_strict(
            domain,
            self.content.kind.purpose(),
            &self.content.encode(),
            &self.validator,
            &self.signature,
        )
    }
}

impl Canonical for Vote {
    type Proto = proto::Vote;
    const NAME: &'static str = "vote";
    const MAX_BYTES: usize = 256;

    fn to_proto(&self) -> Self::Proto {
        proto::Vote {
            content: Some(self.content.to_proto()),
            validator: self.validator.0.to_vec(),
            signature: self.signature.0.to_vec(),
        }
    }

    fn from_proto(proto: Self::Proto) -> Result<Self, TypesError> {
        Ok(Self {
            content: VoteContent::from_proto(required("vote content", proto.content)?)?,
            validator: ValidatorId::from_slice(&proto.validator)?,
            signature: Signature::from_slice(&proto.signature)?,
        })
    }
}
