//! What a validator says about the commit certificate of a sampled height, and proof of its own part in it.
//!
//! The certificate that a node keeps of a block is its own choice among the votes, so it is not agreed. Participation is
//! counted from what all members say of the same few heights instead: each names the members whose Commits it received,
//! and shows its own Commit. Nobody can be credited with a vote that it has not itself shown, and a minority that leaves
//! out votes of others does not move a median.

use crate::canonical::{Canonical, Limits};
use crate::crypto::Signature;
use crate::error::TypesError;
use crate::ids::{Height, View};
use crate::proto;

/// A set of positions in a validator set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberBits(Vec<u8>);

impl MemberBits {
    /// Longest encoding: a bit per member of a full set.
    pub const MAX_BYTES: usize = Limits::VALIDATORS / 8;

    /// Reads the bits, the lowest of the first byte first.
    ///
    /// # Errors
    /// `TooLarge` for more than [`MemberBits::MAX_BYTES`]; `Invalid` when the last byte is zero.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, TypesError> {
        if bytes.len() > Self::MAX_BYTES {
            let (what, actual) = ("voters", bytes.len());
            return Err(TypesError::TooLarge { what, actual, limit: Self::MAX_BYTES });
        }
        if bytes.last() == Some(&0) {
            return Err(TypesError::invalid("voters", "their last byte is zero: leave it out"));
        }
        Ok(Self(bytes))
    }

    /// The bits as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Adds a position; one outside a full set is left out.
    pub fn insert(&mut self, position: usize) {
        let (byte, bit) = (position / 8, position % 8);
        if byte >= Self::MAX_BYTES {
            return;
        }
        if self.0.len() <= byte {
            self.0.resize(byte.saturating_add(1), 0);
        }
        if let Some(bits) = self.0.get_mut(byte) {
            *bits |= 1 << bit;
        }
    }

    /// Whether a position is in the set.
    pub fn contains(&self, position: usize) -> bool {
        self.0.get(position / 8).is_some_and(|bits| bits >> (position % 8) & 1 == 1)
    }

    /// The positions in ascending order.
    pub fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.0.len().saturating_mul(8)).filter(|position| self.contains(*position))
    }
}

impl FromIterator<usize> for MemberBits {
    fn from_iter<T: IntoIterator<Item = usize>>(positions: T) -> Self {
        let mut bits = Self::default();
        for position in positions {
            bits.insert(position);
        }
        bits
    }
}

/// One validator's account of one sampled height. May be hostile: nothing in it is checked against the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampledVotes {
    /// The height.
    pub height: Height,
    /// Whose Commits it received.
    pub voters: MemberBits,
    /// View and signature of its own Commit for the block at this height, if it cast one.
    pub own: Option<(View, Signature)>,
}

impl Canonical for SampledVotes {
    type Proto = proto::SampledVotes;
    const NAME: &'static str = "sampled votes";
    const MAX_BYTES: usize = 128;

    fn to_proto(&self) -> Self::Proto {
        let (view, signature) =
            self.own.map_or((0, Vec::new()), |(view, signature)| (view.0, signature.0.to_vec()));
        proto::SampledVotes {
            height: self.height.0,
            voters: self.voters.as_bytes().to_vec(),
            view,
            signature,
        }
    }

    fn from_proto(proto: Self::Proto) -> Result<Self, TypesError> {
        let own = match (proto.view, proto.signature.as_slice()) {
            (0, []) => None,
            (_, []) => return Err(TypesError::invalid("sampled votes", "a view has no signature")),
            (view, signature) => Some((View(view), Signature::from_slice(signature)?)),
        };
        Ok(Self { height: Height(proto.height), voters: MemberBits::from_bytes(proto.voters)?, own })
    }
}
