//! Receipts of votes, which share the lane of votes with consensus messages.
//!
//! The node is a program and no library, so its source file is compiled in here.

use aegis_consensus::Message;

use super::{memory, messages, samples};

#[path = "../../../node/src/node/metrics/receipt.rs"]
mod receipt_file;

use receipt_file::Receipt;

/// A frame is a receipt, or a message, or neither, but never both; a receipt has one encoding.
///
/// # Panics
/// When that does not hold, or a decoder takes too much memory.
pub fn run(frame: &[u8]) {
    let receipt = memory::bounded(frame.len(), || Receipt::decode(frame));
    let message = memory::bounded(frame.len(), || Message::decode(frame));
    if let Some(receipt) = receipt {
        assert_eq!(&receipt.encode()[..], frame, "a receipt has a second encoding");
        assert!(message.is_err(), "a receipt is a message, too");
    }
    if let Ok(message) = message {
        assert_eq!(Receipt::decode(&message.encode()), None, "a message is a receipt, too");
    }
}

/// A receipt, one that is a byte short, one that is a byte long, and a message of each kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let receipt = Receipt::of(&samples::prepare()).encode().to_vec();
    let short = receipt[..receipt.len() - 1].to_vec();
    let long = [&receipt[..], &[0]].concat();
    [receipt, short, long].into_iter().chain(messages::message_seeds()).collect()
}
