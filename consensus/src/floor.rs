//! Where a validator may vote again after a part of what it knew was lost.
//!
//! A validator that has lost votes it may have sent must not vote where those votes count. Votes name epoch and height, so
//! two bounds say where that is: it keeps silent in all epochs before one, and as long as its tip is below a height. While
//! it keeps silent it follows blocks as an observer does; to the others it is one that has stopped.

use aegis_types::{Epoch, Height};

/// The lowest epoch, and the lowest tip, at which a validator may vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VoteFloor {
    /// No vote is cast in an epoch before this one.
    pub epoch: Epoch,
    /// No vote is cast while the tip is below this height: all votes up to it may be forgotten, those above are not.
    pub height: Height,
}

impl VoteFloor {
    /// Nothing was lost.
    pub const NONE: Self = Self { epoch: Epoch::ZERO, height: Height::ZERO };
    /// Votes of any epoch may be lost: silent until it is known which.
    pub const UNKNOWN: Self = Self { epoch: Epoch(u64::MAX), height: Height::ZERO };

    /// Whether votes may be cast in an epoch, above a tip.
    pub fn allows(&self, epoch: Epoch, tip: Height) -> bool {
        epoch >= self.epoch && tip >= self.height
    }

    /// Whether it is not known yet from which epoch on votes may be cast.
    pub fn is_unknown(&self) -> bool {
        self.epoch == Self::UNKNOWN.epoch
    }
}
