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

    /// The floor after one that was written later. The height never sinks: a journal that has dropped votes does not get them
    /// back. The epoch may: it is unknown until it is found.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self { epoch: later.epoch, height: self.height.max(later.height) }
    }

    /// The floor once it is known that all lost votes are of epochs before `epoch`; never lower than what was known.
    #[must_use]
    pub fn known_from(self, epoch: Epoch) -> Self {
        let epoch = if self.is_unknown() { epoch } else { self.epoch.max(epoch) };
        Self { epoch, ..self }
    }

    /// Whether it is not known yet from which epoch on votes may be cast.
    pub fn is_unknown(&self) -> bool {
        self.epoch == Self::UNKNOWN.epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_that_is_known_never_sinks() {
        let floor = |epoch, height| VoteFloor { epoch: Epoch(epoch), height: Height(height) };
        assert_eq!(VoteFloor::UNKNOWN.known_from(Epoch(3)), floor(3, 0));
        assert_eq!(floor(3, 9).known_from(Epoch(2)), floor(3, 9));
        assert_eq!(floor(3, 9).known_from(Epoch(4)), floor(4, 9));
        assert_eq!(floor(0, 9).then(floor(2, 5)), floor(2, 9));
        assert_eq!(floor(0, 9).then(VoteFloor::UNKNOWN).then(floor(2, 0)), floor(2, 9));
    }
}
