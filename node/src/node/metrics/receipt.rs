//! Receipts: the answer to a Prepare, from which its sender learns the round-trip time.
//!
//! A receipt is owed for every Prepare, also for the one in a PrePrepare, so leaders measure what all others measure. It leaves
//! once the driver's turn that handled the vote is over, by the lane of votes, and *before* the turn's flush: few votes cause a
//! flush, and those that do would else look farther away. It is noted as soon as the network delivers it.
//!
//! So it measures the way there, the wait for the receiver's driver, and the way back: not the flush of a journal, the check of
//! a block, or the wait for the own driver. Those show in the commit latency, and in the share of votes that come in time.
//!
//! It names the vote by a hash of its signature: nobody can name it before the vote has reached it, as nobody else can make the
//! signature. It promises nothing, so nothing needs to be durable before it. A node could send receipts fast and votes slowly:
//! its votes are then late in the reports of all, and an epoch whose commits become slow brings equal weights back.

use aegis_types::{Hash, Vote};
use bytes::Bytes;

/// What a frame with a receipt begins with. No consensus message does: the encoding of a message begins with the number of a
/// field, which is never 0.
const MARK: u8 = 0;

/// Names a vote that was handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Receipt(Hash);

impl Receipt {
    /// The receipt of a vote.
    pub fn of(vote: &Vote) -> Self {
        Self(Hash::of("aegis v1 receipt", &vote.signature.0))
    }

    /// The frame.
    pub fn encode(&self) -> Bytes {
        [&[MARK][..], self.0.as_bytes()].concat().into()
    }

    /// Reads a frame; nothing when it is no receipt.
    pub fn decode(frame: &[u8]) -> Option<Self> {
        let hash = frame.strip_prefix(&[MARK])?;
        Hash::from_slice("receipt", hash).ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use aegis_consensus::{Message, Status};
    use aegis_types::{Epoch, Height, View};

    use super::*;

    #[test]
    fn a_receipt_is_read_again_and_no_message_is_taken_for_one() {
        let receipt = Receipt(Hash([7; 32]));
        assert_eq!(Receipt::decode(&receipt.encode()), Some(receipt));
        assert!(Message::decode(&receipt.encode()).is_err());
        let status = Status { epoch: Epoch(0), view: View(0), height: Height(0) };
        assert_eq!(Receipt::decode(&Message::Status(status).encode()), None);
        for garbage in [&[][..], &[MARK], &[MARK; 34], &[1; 33]] {
            assert_eq!(Receipt::decode(garbage), None);
        }
    }
}
