//! The two kinds of direct stream.

/// A one-way stream to a direct peer. Each peer has one of each kind in each direction, so that large frames of one kind
/// never stand in the way of small ones of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Votes and the other messages of agreement; served first.
    Consensus,
    /// Batches and what repairs their loss.
    Payload,
}

impl Lane {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Consensus, Self::Payload];

    /// Largest frame, in bytes. Consensus frames include a new view with the certificates of a whole window (8 MiB);
    /// batches are cut to less than 2 MiB. Both ends must agree, so this is no setting.
    pub const fn max_frame_bytes(self) -> usize {
        match self {
            Self::Consensus => 8 << 20,
            Self::Payload => 2 << 20,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Consensus => "consensus",
            Self::Payload => "payload",
        }
    }
}
