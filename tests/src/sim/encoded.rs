//! A consensus message as bytes, with what comes of reading them: the receivers of a broadcast share both.

use std::cell::OnceCell;
use std::rc::Rc;

use aegis_consensus::Message;

use super::rng::mix;

/// Bytes that are said to be a consensus message.
///
/// What a receiver gets is always read from the bytes, never the sender's value. Reading depends on nothing else, so it is
/// done once for all receivers.
#[derive(Debug)]
pub struct EncodedMessage {
    bytes: Vec<u8>,
    read: OnceCell<Result<Rc<Message>, String>>,
    fingerprint: OnceCell<u64>,
}

impl EncodedMessage {
    /// Any bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, read: OnceCell::new(), fingerprint: OnceCell::new() }
    }

    /// The encoding of a message.
    pub fn of(message: &Message) -> Self {
        Self::new(message.encode())
    }

    /// Number of bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// What a receiver reads.
    ///
    /// # Errors
    /// Why the bytes are no message.
    pub fn message(&self) -> Result<&Rc<Message>, &String> {
        let read = || Message::decode(&self.bytes).map(Rc::new).map_err(|error| error.to_string());
        self.read.get_or_init(read).as_ref()
    }

    /// A number that depends on all bytes.
    pub fn fingerprint(&self) -> u64 {
        *self.fingerprint.get_or_init(|| folded(&self.bytes))
    }
}

/// A fast hash; nobody chooses its input to harm a simulation.
pub(super) fn folded(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(bytes.len() as u64, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mix(hash.rotate_left(23) ^ u64::from_le_bytes(word))
    })
}
