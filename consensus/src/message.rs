//! What validators say to each other.

use aegis_types::{
    Certificate, Domain, Epoch, Header, Height, Keypair, Purpose, Signature, ValidatorId, ValidatorSet, View,
    Vote, VoteKind, crypto,
};

use crate::error::ConsensusError;
use crate::limits::VIEW_CHANGE_WINDOWS;
use crate::wire;

/// A consensus message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A leader's proposal of a block.
    PrePrepare(PrePrepare),
    /// A Prepare or Commit vote.
    Vote(Vote),
    /// The wish to leave a view.
    ViewChange(ViewChange),
    /// The start of a view.
    NewView(NewView),
    /// Where the sender stands. Not signed: a hint that leads at most to a question.
    Status(Status),
    /// A vote of somebody else, shown to those who may hold its contradiction. It counts for nothing.
    Testimony(Vote),
}

impl Message {
    /// The bytes on the wire.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode_message(self)
    }

    /// Reads a message from bytes that may be hostile.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn decode(bytes: &[u8]) -> Result<Self, ConsensusError> {
        wire::decode_message(bytes)
    }

    /// The epoch that the message belongs to.
    pub fn epoch(&self) -> Epoch {
        match self {
            Self::PrePrepare(message) => message.vote.content.epoch,
            Self::Vote(vote) | Self::Testimony(vote) => vote.content.epoch,
            Self::ViewChange(message) => message.epoch,
            Self::NewView(message) => message.epoch,
            Self::Status(status) => status.epoch,
        }
    }
}

/// A header with its leader's Prepare vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrePrepare {
    /// The proposed block.
    pub header: Header,
    /// The leader's vote; its view is the view of the proposal.
    pub vote: Vote,
}

impl PrePrepare {
    /// Whether header and vote belong together.
    pub fn is_consistent(&self) -> bool {
        let content = &self.vote.content;
        content.kind == VoteKind::Prepare
            && content.epoch == self.header.epoch
            && content.height == self.header.height
            && content.digest == self.header.digest()
    }
}

/// A header with a certificate over it: prepared in a [`ViewChange`]'s list, committed as its tip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedBlock {
    /// The header.
    pub header: Header,
    /// The votes for it.
    pub certificate: Certificate,
}

impl PreparedBlock {
    /// Checks that the certificate is a quorum's for this header, of the given kind.
    ///
    /// # Errors
    /// `Invalid` or `Malformed`.
    pub fn verify(&self, kind: VoteKind, set: &ValidatorSet, domain: &Domain) -> Result<(), ConsensusError> {
        let content = &self.certificate.content;
        if content.kind != kind
            || content.height != self.header.height
            || content.digest != self.header.digest()
        {
            return Err(ConsensusError::Invalid("a certificate does not belong to its header"));
        }
        Ok(self.certificate.verify(set, domain)?)
    }
}

/// A validator's wish for a view, with all that binds the view's plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewChange {
    /// The epoch.
    pub epoch: Epoch,
    /// The view that the sender wants; it votes in no lower one any more.
    pub view: View,
    /// Height of the sender's tip.
    pub tip_height: Height,
    /// The tip's header and commit certificate; none when the tip is the block (or genesis) that the epoch started from.
    pub tip: Option<PreparedBlock>,
    /// Prepared blocks above the tip, in ascending order of height, each the one of the highest view.
    pub prepared: Vec<PreparedBlock>,
    /// The sender.
    pub validator: ValidatorId,
    /// Its signature over all of the above.
    pub signature: Signature,
}

impl ViewChange {
    /// Signs the message.
    #[must_use]
    pub fn signed(mut self, keypair: &Keypair, domain: &Domain) -> Self {
        self.validator = keypair.validator_id();
        self.signature = keypair.sign(domain, Purpose::ViewChange, &wire::view_change_content(&self));
        self
    }

    /// Whether the signature is the sender's.
    pub fn verify_signature(&self, domain: &Domain) -> bool {
        let content = wire::view_change_content(self);
        crypto::verify_strict(domain, Purpose::ViewChange, &content, &self.validator, &self.signature)
    }

    /// Whether it lists more prepared blocks than any validator can have, which is cheap to see.
    pub fn is_overlong(&self, window: u64) -> bool {
        let listed = u64::try_from(self.prepared.len()).unwrap_or(u64::MAX);
        listed > window.saturating_mul(VIEW_CHANGE_WINDOWS)
    }

    /// Checks everything inside: the tip's certificate, and order, height, view and certificates of the prepared blocks.
    /// `first` is the height that the epoch started from.
    ///
    /// # Errors
    /// `Invalid` or `Malformed`.
    pub fn verify_content(
        &self,
        first: Height,
        window: u64,
        set: &ValidatorSet,
        domain: &Domain,
    ) -> Result<(), ConsensusError> {
        match &self.tip {
            Some(tip) if tip.header.height == self.tip_height && self.tip_height > first => {
                tip.verify(VoteKind::Commit, set, domain)?;
            }
            None if self.tip_height == first => {}
            Some(_) | None => {
                return Err(ConsensusError::Invalid("a view change does not prove its tip"));
            }
        }
        let reach = window.saturating_mul(VIEW_CHANGE_WINDOWS);
        let mut below = self.tip_height;
        for block in &self.prepared {
            let height = block.header.height;
            if height <= below
                || height.distance_above(self.tip_height) > reach
                || block.certificate.content.view >= self.view
            {
                return Err(ConsensusError::Invalid(
                    "a view change lists prepared blocks that it cannot have",
                ));
            }
            block.verify(VoteKind::Prepare, set, domain)?;
            below = height;
        }
        Ok(())
    }
}

/// A quorum of view changes: the proof that a view may start, and what it must start with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewView {
    /// The epoch.
    pub epoch: Epoch,
    /// The view that starts.
    pub view: View,
    /// The view changes, each of another validator.
    pub view_changes: Vec<ViewChange>,
    /// The view's leader.
    pub leader: ValidatorId,
    /// Its signature over all of the above.
    pub signature: Signature,
}

impl NewView {
    /// Signs the message.
    #[must_use]
    pub fn signed(mut self, keypair: &Keypair, domain: &Domain) -> Self {
        self.leader = keypair.validator_id();
        self.signature = keypair.sign(domain, Purpose::NewView, &wire::new_view_content(&self));
        self
    }

    /// Checks everything but who the leader ought to be.
    ///
    /// # Errors
    /// `Invalid` or `Malformed`.
    pub fn verify(
        &self,
        first: Height,
        window: u64,
        set: &ValidatorSet,
        domain: &Domain,
    ) -> Result<(), ConsensusError> {
        let content = wire::new_view_content(self);
        if !crypto::verify_strict(domain, Purpose::NewView, &content, &self.leader, &self.signature) {
            return Err(ConsensusError::Invalid("the signature of a new view is wrong"));
        }
        let mut signers = std::collections::BTreeSet::new();
        let mut weight = aegis_types::Weight::ZERO;
        for message in &self.view_changes {
            if message.epoch != self.epoch || message.view != self.view || !signers.insert(message.validator)
            {
                return Err(ConsensusError::Invalid(
                    "a new view carries view changes that do not belong to it",
                ));
            }
            weight = weight.plus(set.weight_of(&message.validator));
        }
        if weight < set.quorum() {
            return Err(ConsensusError::Invalid("a new view carries less than a quorum of view changes"));
        }
        for message in &self.view_changes {
            if !set.contains(&message.validator) || !message.verify_signature(domain) {
                return Err(ConsensusError::Invalid("a new view carries a view change that is not signed"));
            }
            message.verify_content(first, window, set, domain)?;
        }
        Ok(())
    }
}

/// Where a validator stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Its epoch.
    pub epoch: Epoch,
    /// The view that it entered last.
    pub view: View,
    /// Its tip.
    pub height: Height,
}
